//! The three kinds of file.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use safetensors::tensor::TensorInfo;
use serde::ser::{Serialize, SerializeMap, Serializer};
use torch_pickle::{AtomicFile, DType, Tensor, ZipEntryWriter, ZipWriter};

use super::choose::Item;
use crate::copy::write_all_at;
use crate::dtype::stored_form;
use crate::neighbours::{HALVED, MAX_HEADER, NPY, TYPES};
use crate::supply::{Fill, Sink, Stopped, Supply, write_error};
use crate::tensors::Format;
use crate::{Error, Result, npy};

/// The buffer of the file that is written.
const BUFFER: usize = 1 << 20;
/// Elements in an archive start at a multiple of this, in the file and in their record.
const ALIGNMENT: u64 = 64;

pub(super) fn write(
    supply: &mut Supply<'_, '_>,
    format: Format,
    items: &[Item],
    replace: bool,
) -> Result<()> {
    let output = supply.to;
    let io = |e| Error::io(output, "write", e);
    // What cannot be written is found out before a file is begun.
    let plan = match format {
        Format::SafeTensors => Some(SafeTensors::plan(supply, items)?),
        _ => None,
    };
    let target = AtomicFile::create(output).map_err(io)?;
    match (plan, items) {
        (Some(plan), _) => plan.write(supply, target.file())?,
        (None, [item]) if format == Format::Npy => write_npy(supply, item, target.file())?,
        _ => write_npz(supply, items, target.file().try_clone().map_err(io)?)?,
    }
    target.commit(replace).map_err(|e| match e.kind() {
        // Somebody else was faster.
        std::io::ErrorKind::AlreadyExists => {
            Error::Exists { path: output.to_owned(), what: "a file" }
        }
        _ => io(e),
    })
}

/// A `.safetensors` file: its header, and the tensors in the order of their data.
struct SafeTensors<'i> {
    head: Vec<u8>,
    items: Vec<&'i Item>,
}

impl<'i> SafeTensors<'i> {
    fn plan(supply: &Supply<'_, '_>, items: &'i [Item]) -> Result<SafeTensors<'i>> {
        let (from, output) = (supply.from, supply.to);
        let mut all: Vec<(&Item, TensorInfo)> = Vec::with_capacity(items.len());
        let too_large =
            || Error::Parameter(format!("{}: it would exceed 64 bits", output.display()));
        for item in items {
            let info = info(from.tree().tensor(item.id)).ok_or_else(too_large)?;
            all.push((item, info));
        }
        // As the library does it, so that each tensor is aligned to its elements.
        all.sort_by(|(a, x), (b, y)| y.dtype.cmp(&x.dtype).then_with(|| a.name.cmp(&b.name)));
        let mut at = 0usize;
        for (item, info) in &mut all {
            let len = usize::try_from(item.nbytes).ok();
            let end = len.and_then(|len| at.checked_add(len)).ok_or_else(too_large)?;
            info.data_offsets = (at, end);
            at = end;
        }
        let mut metadata = from.metadata().clone();
        if from.format() != Format::SafeTensors {
            // Without it, the transformers library refuses the file.
            metadata.insert("format".to_owned(), "pt".to_owned());
        }
        let text = serde_json::to_vec(&Head { metadata: &metadata, tensors: &all })
            .map_err(|e| Error::io(output, "write", e.into()))?;
        let padded = text.len().next_multiple_of(8);
        if padded as u64 > MAX_HEADER {
            return Err(Error::Parameter(format!(
                "{}: the header would have {padded} bytes, and readers take at most {MAX_HEADER}; \
                 write several files",
                output.display()
            )));
        }
        let mut head = (padded as u64).to_le_bytes().to_vec();
        head.extend(text);
        head.resize(8 + padded, b' ');
        Ok(SafeTensors { head, items: all.into_iter().map(|(item, _)| item).collect() })
    }

    fn write(self, supply: &mut Supply<'_, '_>, file: &File) -> Result<()> {
        let mut out = Plain::new(file, supply.to);
        out.write(&self.head)?;
        for item in self.items {
            supply.tensor(item.id, false, &mut out)?;
        }
        Ok(out.flush()?)
    }
}

/// What the header says of a tensor, but for the place of its data.
fn info(tensor: &Tensor) -> Option<TensorInfo> {
    let (dtype, _) = *TYPES.iter().find(|(_, ours)| *ours == tensor.dtype)?;
    let shape = tensor.shape.iter().map(|&d| usize::try_from(d).ok());
    let mut shape = shape.collect::<Option<Vec<usize>>>()?;
    if dtype == HALVED.0 {
        let last = shape.last_mut()?;
        *last = last.checked_mul(2)?;
    }
    Some(TensorInfo { dtype, shape, data_offsets: (0, 0) })
}

/// A header, in the form and order in which the library writes it, but with sorted metadata: its
/// own order changes from run to run.
struct Head<'a> {
    metadata: &'a BTreeMap<String, String>,
    tensors: &'a [(&'a Item, TensorInfo)],
}

impl Serialize for Head<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.metadata.is_empty() {
            map.serialize_entry("__metadata__", self.metadata)?;
        }
        for (item, info) in self.tensors {
            map.serialize_entry(&item.name, info)?;
        }
        map.end()
    }
}

fn write_npy(supply: &mut Supply<'_, '_>, item: &Item, file: &File) -> Result<()> {
    let mut out = Plain::new(file, supply.to);
    let (header, fortran_order) = array_header(supply.from.tree().tensor(item.id));
    out.write(&header)?;
    supply.tensor(item.id, fortran_order, &mut out)?;
    Ok(out.flush()?)
}

fn write_npz(supply: &mut Supply<'_, '_>, items: &[Item], file: File) -> Result<()> {
    let output = supply.to;
    let mut zip = ZipWriter::new(file);
    for item in items {
        let (header, fortran_order) = array_header(supply.from.tree().tensor(item.id));
        let name = format!("{}{NPY}", item.name);
        let len = item.nbytes.checked_add(header.len() as u64);
        let len = len.ok_or_else(|| {
            Error::Parameter(format!("{}: it would exceed 64 bits", output.display()))
        })?;
        let added = zip.add_with(&name, ALIGNMENT, len, |entry| {
            entry.write(&header)?;
            let mut out = Entry { entry, output };
            supply.tensor(item.id, fortran_order, &mut out).map_err(Stopped::Ours)
        });
        added.map_err(|e| e.at(output))?;
    }
    zip.finish().map_err(|e| Error::io(output, "write", e))
}

/// The header of a `.npy` file, and whether the elements follow in Fortran order: where they lie
/// so already, and not also in C order, as NumPy decides it.
fn array_header(tensor: &Tensor) -> (Vec<u8>, bool) {
    let fortran_order = !tensor.is_contiguous() && tensor.reversed().is_contiguous();
    let dtype: DType = tensor.dtype;
    (npy::header(stored_form(dtype).0, &tensor.shape, fortran_order), fortran_order)
}

/// A file that is written front to back.
struct Plain<'a> {
    file: &'a File,
    path: &'a Path,
    /// Bytes not yet in the file; they belong at `at`.
    buffer: Vec<u8>,
    at: u64,
}

impl<'a> Plain<'a> {
    fn new(file: &'a File, path: &'a Path) -> Plain<'a> {
        Plain { file, path, buffer: Vec::new(), at: 0 }
    }

    fn flush(&mut self) -> torch_pickle::Result<()> {
        write_all_at(self.file, &self.buffer, self.at).map_err(|e| write_error(self.path, e))?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Sink for Plain<'_> {
    const CRC: bool = false;

    fn write(&mut self, bytes: &[u8]) -> torch_pickle::Result<()> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush()?;
        }
        if bytes.len() < BUFFER {
            self.buffer.extend_from_slice(bytes);
            return Ok(());
        }
        write_all_at(self.file, bytes, self.at).map_err(|e| write_error(self.path, e))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn splice(&mut self, len: u64, fill: Fill<'_>) -> torch_pickle::Result<()> {
        self.flush()?;
        fill(self.file, self.at).map_err(|e| write_error(self.path, e))?;
        self.at += len;
        Ok(())
    }
}

/// A record of an archive.
struct Entry<'e, 'a> {
    entry: &'e mut ZipEntryWriter<'a>,
    output: &'e Path,
}

impl Sink for Entry<'_, '_> {
    const CRC: bool = true;

    fn write(&mut self, bytes: &[u8]) -> torch_pickle::Result<()> {
        self.entry.write(bytes).map_err(|e| write_error(self.output, e))
    }

    fn splice(&mut self, len: u64, fill: Fill<'_>) -> torch_pickle::Result<()> {
        self.entry.splice(len, fill).map_err(|e| write_error(self.output, e))
    }
}
