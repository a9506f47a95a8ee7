//! A `.pt` file becomes a store.
//!
//! - `objects`: which objects are carried over
//! - `encode`: the object as a table of nodes
//! - `plan`: which arrays the tensors become
//! - `layout`: names and side information, new or merged
//! - `fill`: the bytes

mod encode;
mod fill;
mod layout;
mod objects;
pub(crate) mod plan;

use std::path::Path;

use numpack_format::Writer;
use torch_pickle::{Checkpoint, CrcPolicy, NodeId, Tree};

use crate::neighbours::{self, Opened};
use crate::progress::Meter;
use crate::tensors::Format;
use crate::{DEFAULT_CHUNK_SIZE, Error, Progress, Result};
pub(crate) use layout::stored_shape;
use plan::PlannedArray;

/// What happens to an output that is there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Existing {
    /// Arrays are added to an existing store, or replaced in it, in one commit.
    #[default]
    Merge,
    /// An existing store is replaced whole.
    Replace,
    /// It is an error.
    Refuse,
}

/// How [`from_torch_file`] converts.
#[derive(Clone, Debug)]
pub struct FromTorch {
    pub(crate) key: Option<String>,
    pub(crate) existing: Existing,
    pub(crate) chunk_size: u64,
    pub(crate) crc: CrcPolicy,
    pub(crate) keep_objects: bool,
    pub(crate) compact_views: bool,
}

impl Default for FromTorch {
    fn default() -> FromTorch {
        FromTorch {
            key: None,
            existing: Existing::Merge,
            chunk_size: DEFAULT_CHUNK_SIZE,
            crc: CrcPolicy::Refuse,
            keep_objects: false,
            compact_views: false,
        }
    }
}

impl FromTorch {
    /// The whole file, merged into an existing store, checksums verified.
    pub fn new() -> FromTorch {
        FromTorch::default()
    }

    /// Only what stands at this key: first as it is, then as a dotted path
    /// (`model.encoder.weight`). Names become relative to it.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> FromTorch {
        self.key = Some(key.into());
        self
    }

    /// What happens to an output that is there already.
    #[must_use]
    pub fn existing(mut self, existing: Existing) -> FromTorch {
        self.existing = existing;
        self
    }

    /// Upper bound of the buffers, in bytes; they stay below 8 MiB whatever it is.
    #[must_use]
    pub fn chunk_size(mut self, bytes: u64) -> FromTorch {
        self.chunk_size = bytes;
        self
    }

    /// What is done about a checksum that does not match; refused by default.
    #[must_use]
    pub fn crc(mut self, policy: CrcPolicy) -> FromTorch {
        self.crc = policy;
        self
    }

    /// Carries over objects of unknown classes as recipes. Loading them again takes
    /// `weights_only=False`, with all that this means; without it their tensors are kept and the
    /// rest is left out, with a warning.
    #[must_use]
    pub fn keep_objects(mut self, yes: bool) -> FromTorch {
        self.keep_objects = yes;
        self
    }

    /// Gives each view its own compact array, so that views of one storage no longer share it.
    #[must_use]
    pub fn compact_views(mut self, yes: bool) -> FromTorch {
        self.compact_views = yes;
        self
    }
}

/// What a conversion did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Arrays or tensors written.
    pub tensors: usize,
    /// Their bytes.
    pub bytes: u64,
    /// What the caller should know: what was left out, what looked odd.
    pub warnings: Vec<String>,
}

/// Converts a `.pt` file, or a `.safetensors`, `.npy` or `.npz` one, to a store, streaming.
///
/// A dictionary's tensors are named by their dotted paths (`model.encoder.weight`), a bare tensor
/// by the file's stem. Everything else of the object goes into the store's side information, so
/// that [`to_torch_file`](crate::to_torch_file) gives an equal object back. The change is one
/// commit: after a crash the store is as before or complete.
///
/// # Errors
/// A file that is no checkpoint or is damaged, a key that is not there, an output that may not be
/// replaced or cannot be written, or cancellation. The output is then as it was.
///
/// ```no_run
/// use numpack_interop::{FromTorch, NoProgress, from_torch_file};
/// let options = FromTorch::new().key("model");
/// let report = from_torch_file("checkpoint.pt", "model.npk", &options, &mut NoProgress)?;
/// println!("{} tensors, {} bytes", report.tensors, report.bytes);
/// # Ok::<(), numpack_interop::Error>(())
/// ```
pub fn from_torch_file(
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
    options: &FromTorch,
    progress: &mut dyn Progress,
) -> Result<Report> {
    let (input, output) = (input.as_ref(), output.as_ref());
    // What is no file, or a store, is for the checkpoint's reader to name.
    let format = Format::of_file(input).unwrap_or(Format::Torch);
    let Opened { checkpoint, metadata, warnings: odd } =
        neighbours::open(input, format, options.crc)?;
    let (root, root_name) = select(&checkpoint, options.key.as_deref())?;
    let object = Object { path: input, tree: checkpoint.tree(), root, root_name: &root_name };
    let fill = |writer: &mut Writer, arrays: &[PlannedArray], names: &[String]| {
        let bytes = arrays.iter().map(PlannedArray::nbytes).sum();
        let mut meter = Meter::new(progress, bytes);
        let mut filler = fill::Filler::new(&checkpoint, options, &mut meter);
        let mut each = arrays.iter().zip(names);
        each.try_for_each(|(array, name)| filler.fill(writer, array, name))
    };
    let mut report = into_store(&object, options, output, fill)?;
    report.warnings.extend(odd.into_iter().chain(neighbours::lost(input, &metadata)));
    report.warnings.extend(checkpoint.warnings());
    Ok(report)
}

/// An object that becomes a store.
pub(crate) struct Object<'a> {
    /// Where it comes from, for messages.
    pub(crate) path: &'a Path,
    pub(crate) tree: &'a Tree,
    pub(crate) root: NodeId,
    /// The name of a tensor that is all of it.
    pub(crate) root_name: &'a str,
}

/// Writes an object as a store, or into one; `fill` writes the bytes of the arrays under the names
/// it is given. Of the options, those that are about the object and the output count.
pub(crate) fn into_store(
    object: &Object<'_>,
    options: &FromTorch,
    output: &Path,
    fill: impl FnOnce(&mut Writer, &[PlannedArray], &[String]) -> Result<()>,
) -> Result<Report> {
    let choices = encode::Choices {
        keep_objects: options.keep_objects,
        compact_views: options.compact_views,
        root_name: object.root_name,
    };
    let mut encoded = encode::encode(object.tree, object.root, choices)
        .map_err(|message| Error::Unsupported { path: object.path.to_owned(), message })?;
    let mut warnings = std::mem::take(&mut encoded.warnings);

    let mut writer = open_output(output, options.existing)?;
    let store = writer.store();
    let (layout, arrays) = if store.is_empty() && store.side().is_none() {
        layout::fresh(encoded)
    } else {
        layout::merged(store, encoded, object.root_name)?
    };
    warnings.extend(writer.store().warnings().iter().chain(writer.warnings()).cloned());
    for name in &layout.remove {
        writer.remove_array(name)?;
    }
    fill(&mut writer, &arrays, &layout.names)?;
    writer.set_side(layout.side);
    warnings.extend(writer.commit_with_warnings()?);
    let bytes = arrays.iter().map(PlannedArray::nbytes).sum();
    Ok(Report { tensors: arrays.iter().filter(|a| !a.hidden).count(), bytes, warnings })
}

/// The part of the object that was asked for, and the name of a tensor that is all of it.
fn select(checkpoint: &Checkpoint, key: Option<&str>) -> Result<(NodeId, String)> {
    let path = checkpoint.path();
    let tree = checkpoint.tree();
    match key {
        Some(key) => Ok((tree.find(key).map_err(|e| Error::name(path, e))?, key.to_owned())),
        None => {
            let root = tree.root().ok_or_else(|| Error::Name {
                path: path.to_owned(),
                message: "the file holds no object".to_owned(),
            })?;
            let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned());
            Ok((root, stem.unwrap_or_else(|| "data".to_owned())))
        }
    }
}

fn open_output(output: &Path, existing: Existing) -> Result<Writer> {
    let is_store = output.join("metadata.npkm").exists();
    let exists = output.symlink_metadata().is_ok();
    let is_empty_folder = || output.read_dir().is_ok_and(|mut entries| entries.next().is_none());
    if exists && !is_store && !is_empty_folder() {
        let what = if output.is_dir() { "a folder that is no store" } else { "a file" };
        return Err(Error::Exists { path: output.to_owned(), what });
    }
    Ok(match existing {
        Existing::Refuse if is_store => {
            return Err(Error::Exists { path: output.to_owned(), what: "a store" });
        }
        Existing::Replace => Writer::replace(output)?,
        Existing::Merge if is_store => Writer::open(output)?,
        _ => Writer::create(output)?,
    })
}
