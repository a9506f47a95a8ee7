//! Rows of `.npy` files, added to arrays of a store.

use numpack_format::{ArrayInfo, DType, View, Writer};

use crate::dtype::{is_native, native};
use crate::npy::Npy;
use crate::progress::Meter;
use crate::store_tree::logical;
use crate::{Error, Progress, Result};

/// Bytes added at a time.
const CHUNK: u64 = 4 << 20;

/// Adds the rows of `.npy` files to arrays, as a part of what the writer will commit, and says how
/// many each has got.
///
/// Element type and all dimensions but the first must be those of the array. Everything that the
/// headers say is checked before the first row is added. Big-endian elements are turned; a file in
/// Fortran order with several dimensions is held in memory, any other passes through a buffer of
/// 4 MiB or one row.
///
/// # Errors
/// When rows do not fit, a file ends early or goes on, or something cannot be read or written, or
/// cancellation. The writer is then to be dropped.
///
/// ```no_run
/// use numpack_interop::{NoProgress, Npy, append_npy};
/// let mut writer = numpack_format::Writer::open("rows.npk")?;
/// append_npy(&mut writer, vec![("ids", Npy::open("ids.npy")?)], &mut NoProgress)?;
/// writer.commit()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn append_npy(
    writer: &mut Writer,
    files: Vec<(&str, Npy)>,
    progress: &mut dyn Progress,
) -> Result<Vec<u64>> {
    for (array, file) in &files {
        check(writer.array(array)?.info(), file)?;
    }
    let total = files.iter().fold(0, |n: u64, (_, file)| n.saturating_add(file.nbytes()));
    let mut meter = Meter::new(progress, total);
    files.into_iter().map(|(array, file)| append(writer, array, file, &mut meter)).collect()
}

/// Whether the rows of a file fit an array.
fn check(info: &ArrayInfo, file: &Npy) -> Result<()> {
    let (dtype, shape) = logical(info, info.note.as_ref());
    let (name, path) = (&info.name, file.path());
    let refuse = |message: String| Err(Error::Name { path: path.to_owned(), message });
    if !is_native(dtype) {
        return refuse(format!(
            "array {name:?} is of {dtype}, which .npy files do not have; its rows cannot come \
             from one"
        ));
    }
    if shape.is_empty() {
        return refuse(format!("array {name:?} is 0-d and has no rows to add to"));
    }
    let Some(row) = file.shape().get(1..).filter(|_| !file.shape().is_empty()) else {
        return refuse("it is 0-d and has no rows".to_owned());
    };
    if native(file.dtype()) != dtype || *row != shape[1..] {
        return refuse(format!(
            "its rows are {} of shape {row:?}, those of array {name:?} are {dtype} of shape {:?}; \
             convert it with numpy first",
            file.dtype(),
            &shape[1..]
        ));
    }
    Ok(())
}

fn append(writer: &mut Writer, array: &str, file: Npy, meter: &mut Meter<'_>) -> Result<u64> {
    let mut source = Source { file, buffer: Vec::new(), done: 0 };
    let header = source.file.header.clone();
    let (dtype, rows) = (header.dtype, header.shape.first().copied().unwrap_or(1));
    let nbytes = source.file.nbytes();
    let long = header.shape.iter().filter(|&&d| d != 1).count();
    let mut shape = header.shape;
    if nbytes == 0 {
        writer.append(&[(array, View::new(dtype, &shape, &[]))])?;
    } else if header.fortran_order && long > 1 {
        source.fill(nbytes, meter)?;
        let strides = fortran(&shape, dtype).ok_or_else(|| {
            source.file.refuse("it does not fit this machine's memory; save it in C order")
        })?;
        writer.append(&[(array, View::strided(dtype, &shape, &strides, &source.buffer, 0))])?;
    } else {
        let row = nbytes / rows;
        let most = (CHUNK / row).max(1);
        let mut at = 0;
        while at < rows {
            shape[0] = most.min(rows - at);
            source.fill(shape[0] * row, meter)?;
            writer.append(&[(array, View::new(dtype, &shape, &source.buffer))])?;
            at += shape[0];
        }
    }
    source.finish()?;
    Ok(rows)
}

/// The elements of a file as they come.
struct Source {
    file: Npy,
    buffer: Vec<u8>,
    done: u64,
}

impl Source {
    /// Fills the buffer with the next bytes, little-endian.
    fn fill(&mut self, len: u64, meter: &mut Meter<'_>) -> Result<()> {
        let full = self.file.read(&mut self.buffer, len)?;
        self.done += self.buffer.len() as u64;
        if !full {
            let (found, needed) = (self.done, self.file.nbytes());
            return Err(self.file.refuse(format!(
                "it is cut off: {found} bytes of elements, its header says {needed}; save it anew"
            )));
        }
        self.turn();
        if self.file.dtype() == DType::Bool
            && let Some(other) = self.buffer.iter().find(|&&b| b > 1)
        {
            let message = format!("a boolean is stored as {other}; save it anew with numpy");
            return Err(self.file.refuse(message));
        }
        meter.add(len).map_err(|e| Error::io(self.file.path(), "read", e))
    }

    fn turn(&mut self) {
        if !self.file.header.big_endian {
            return;
        }
        // Each half of a complex number by itself.
        let size = match self.file.dtype() {
            DType::Complex64 | DType::Complex128 => self.file.dtype().size() / 2,
            other => other.size(),
        };
        self.buffer.chunks_exact_mut(size).for_each(<[u8]>::reverse);
    }

    fn finish(mut self) -> Result<()> {
        if self.file.read(&mut self.buffer, 1)? {
            let message = "bytes follow its array; save each array in a file of its own";
            return Err(self.file.refuse(message));
        }
        Ok(())
    }
}

/// The strides of Fortran order, in bytes.
fn fortran(shape: &[u64], dtype: DType) -> Option<Vec<isize>> {
    let mut step = dtype.size() as u64;
    let mut strides = Vec::with_capacity(shape.len());
    for &d in shape {
        strides.push(isize::try_from(step).ok()?);
        step = step.checked_mul(d)?;
    }
    Some(strides)
}
