//! Reading some rows of a tensor.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use numpack_format::{Rows, Span};

use crate::tensors::{CHUNK, Source};
use crate::{Error, Result, TensorInfo, Tensors};

impl Tensors {
    /// Hands on the bytes of some rows of a tensor, as [`read`](Tensors::read) does all of them:
    /// those of the selection, in its order. Rows are the first dimension.
    ///
    /// Memory stays at a few MiB. Of a checkpoint the storage is checked first, unless it is all
    /// read; a compressed file is inflated up to the last of the rows, and again from its start
    /// for each list entry or batch that goes back.
    ///
    /// # Errors
    /// When there are no such rows, they cannot be read, or `sink` breaks off
    /// ([`Error::Cancelled`]).
    ///
    /// ```no_run
    /// use numpack_interop::{Rows, Tensors};
    /// use std::ops::ControlFlow;
    /// let file = Tensors::open("model.npk")?;
    /// let tensor = file.find("encoder.weight")?;
    /// let mut bytes = Vec::new();
    /// file.read_rows(&tensor, &Rows::from(-10..), &mut |piece| {
    ///     bytes.extend_from_slice(piece);
    ///     ControlFlow::Continue(())
    /// })?;
    /// # Ok::<(), numpack_interop::Error>(())
    /// ```
    pub fn read_rows(
        &self,
        tensor: &TensorInfo,
        rows: &Rows<'_>,
        sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut pass = |bytes: &[u8]| match sink(bytes) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => {
                Err(torch_pickle::Error::Cancelled { file: self.path().to_owned() })
            }
        };
        if *rows == Rows::All {
            return self.stream(tensor.id, &mut pass);
        }
        for span in self.spans(tensor, rows)? {
            match u64::try_from(span.step) {
                Ok(step) => {
                    self.stream_rows(tensor, (span.first, span.count, step), &mut pass)?;
                }
                Err(_) => self.stream_backwards(tensor, span, &mut pass)?,
            }
        }
        Ok(())
    }

    /// How many rows the selection has of a tensor; 1 for all of a 0-d tensor.
    ///
    /// # Errors
    /// When there are no such rows.
    pub fn count_rows(&self, tensor: &TensorInfo, rows: &Rows<'_>) -> Result<u64> {
        if *rows == Rows::All {
            return Ok(tensor.shape.first().copied().unwrap_or(1));
        }
        Ok(self.spans(tensor, rows)?.iter().map(|span| span.count).sum())
    }

    fn spans(&self, tensor: &TensorInfo, rows: &Rows<'_>) -> Result<Vec<Span>> {
        let refuse = |message: String| Error::Name {
            path: self.path().to_owned(),
            message: format!("tensor {:?}: {message}", tensor.name),
        };
        let Some(&count) = tensor.shape.first() else {
            return Err(refuse("it is 0-d and has no rows to choose from".to_owned()));
        };
        rows.spans(count).map_err(|e| refuse(e.to_string()))
    }

    /// Hands on rows in the order in which they are stored.
    fn stream_rows(
        &self,
        tensor: &TensorInfo,
        rows: (u64, u64, u64),
        sink: &mut dyn FnMut(&[u8]) -> torch_pickle::Result<()>,
    ) -> Result<()> {
        match &self.source {
            Source::Torch(checkpoint) => Ok(checkpoint.stream_rows(tensor.id, rows, CHUNK, sink)?),
            Source::Stored(source) => {
                let (first, count, step) = rows;
                let part = source.tree.tensor(tensor.id).rows(first, count, step);
                let part = part.ok_or_else(|| {
                    Error::Parameter(format!("tensor {:?} has no such rows", tensor.name))
                })?;
                self.stream_stored(source, &part, sink)
            }
        }
    }

    /// Hands on rows from the last one to the first, a batch at a time.
    fn stream_backwards(
        &self,
        tensor: &TensorInfo,
        span: Span,
        sink: &mut dyn FnMut(&[u8]) -> torch_pickle::Result<()>,
    ) -> Result<()> {
        // There is at least one row.
        let row = tensor.nbytes / tensor.shape[0];
        if row == 0 {
            return Ok(());
        }
        let most = (CHUNK as u64 / row).max(1);
        let step = span.step.unsigned_abs();
        let mut batch = Vec::new();
        let mut done = 0;
        while done < span.count {
            let n = most.min(span.count - done);
            done += n;
            // A row that is larger than a batch is handed on as it comes.
            let first = span.first - (done - 1) * step;
            if n == 1 {
                self.stream_rows(tensor, (first, 1, 1), sink)?;
                continue;
            }
            batch.clear();
            self.stream_rows(tensor, (first, n, step), &mut |bytes| {
                batch.extend_from_slice(bytes);
                Ok(())
            })?;
            batch.chunks_exact(row as usize).rev().try_for_each(&mut *sink)?;
        }
        Ok(())
    }

    /// Reads rows and hands them to something that writes.
    pub(crate) fn write_rows(
        &self,
        tensor: &TensorInfo,
        rows: &Rows<'_>,
        put: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<()> {
        let mut failure = None;
        let read = self.read_rows(tensor, rows, &mut |bytes| match put(bytes) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => {
                failure = Some(e);
                ControlFlow::Break(())
            }
        });
        failure.map_or(read, |e| Err(output_error(e)))
    }
}

/// The error of a writer of which nothing more is known.
pub(crate) fn output_error(source: io::Error) -> Error {
    Error::Io { path: PathBuf::from("the output"), action: "write", source }
}

/// Writes all bytes.
pub(crate) fn put(out: &mut dyn Write, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes).map_err(output_error)
}
