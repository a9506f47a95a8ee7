//! Any file with tensors becomes a `.safetensors`, `.npy` or `.npz` file.
//!
//! - `choose`: which tensors, under which names
//! - `write`: the three kinds of file

mod choose;
mod write;

use std::path::Path;

use torch_pickle::CrcPolicy;

use crate::progress::Meter;
use crate::supply::Supply;
use crate::tensors::Format;
use crate::to_torch::check_output;
use crate::{
    DEFAULT_CHUNK_SIZE, Error, Existing, Progress, Report, Result, Tensors, buffer_size, neighbours,
};

/// How [`export_file`] converts.
#[derive(Clone, Debug)]
pub struct Export {
    format: Option<Format>,
    key: Option<String>,
    array_names: Option<Vec<String>>,
    existing: Existing,
    chunk_size: u64,
    crc: CrcPolicy,
    copy_shared: bool,
}

impl Default for Export {
    fn default() -> Export {
        Export {
            format: None,
            key: None,
            array_names: None,
            existing: Existing::Replace,
            chunk_size: DEFAULT_CHUNK_SIZE,
            crc: CrcPolicy::Refuse,
            copy_shared: false,
        }
    }
}

impl Export {
    /// All tensors; the suffix of the output says what it becomes; an existing file is replaced.
    pub fn new() -> Export {
        Export::default()
    }

    /// What the output becomes, whatever its suffix is.
    #[must_use]
    pub fn format(mut self, format: Format) -> Export {
        self.format = Some(format);
        self
    }

    /// Only what stands at this key: first as it is, then as a dotted path. Names become relative
    /// to it.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Export {
        self.key = Some(key.into());
        self
    }

    /// Only these tensors, under these names.
    #[must_use]
    pub fn array_names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Export {
        self.array_names = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// What happens to a file that is there already. A file cannot be added to:
    /// [`Existing::Merge`] is an error.
    #[must_use]
    pub fn existing(mut self, existing: Existing) -> Export {
        self.existing = existing;
        self
    }

    /// Upper bound of the buffers, in bytes; they stay below 8 MiB whatever it is.
    #[must_use]
    pub fn chunk_size(mut self, bytes: u64) -> Export {
        self.chunk_size = bytes;
        self
    }

    /// What is done about a checksum that does not match; refused by default.
    #[must_use]
    pub fn crc(mut self, policy: CrcPolicy) -> Export {
        self.crc = policy;
        self
    }

    /// Writes tensors that show the same bytes once for each name, instead of refusing them.
    #[must_use]
    pub fn copy_shared(mut self, yes: bool) -> Export {
        self.copy_shared = yes;
        self
    }
}

/// Converts any file with tensors to a `.safetensors`, `.npy` or `.npz` file, streaming.
///
/// Tensors go by the dotted names that [`Tensors::list`] gives; a bare one by the stem of the
/// input's name. Each is written whole and contiguous, in Fortran order where it lies so and the
/// format can say it. What these formats have no place for is an error that names it: an element
/// type they lack, and tensors that show the same bytes, unless they are to be
/// [copied](Export::copy_shared). As `safetensors.torch.save_file` has it, that holds for equal
/// ones too, and not for parts of one storage that do not overlap. Values that are no tensors are
/// left out, and counted in a warning. The file appears whole or not at all.
///
/// # Errors
/// A file that cannot be read, a key or name that is not there, what cannot be written as above,
/// an output that may not be replaced or cannot be written, or cancellation. An existing output is
/// then as it was.
///
/// ```no_run
/// use numpack_interop::{Export, NoProgress, export_file};
/// let options = Export::new().key("model");
/// export_file("checkpoint.pt", "model.safetensors", &options, &mut NoProgress)?;
/// # Ok::<(), numpack_interop::Error>(())
/// ```
pub fn export_file(
    input: impl AsRef<Path>,
    output: impl AsRef<Path>,
    options: &Export,
    progress: &mut dyn Progress,
) -> Result<Report> {
    let (input, output) = (input.as_ref(), output.as_ref());
    let format = options.format.or_else(|| Format::of_suffix(output));
    let Some(format) = format.filter(|f| f.is_neighbour()) else {
        return Err(Error::Parameter(format!(
            "{}: the suffix says what to write; end it in .safetensors, .npy or .npz",
            output.display()
        )));
    };
    let target = check_output(input, output, options.existing)?;
    let source = Tensors::open_with(input, options.crc)?;
    let chosen = choose::choose(&source, format, options)?;
    let mut warnings = chosen.warnings;
    if format != Format::SafeTensors {
        warnings.extend(neighbours::lost(input, source.metadata()));
    }
    let bytes = chosen.items.iter().map(|item| item.nbytes).sum();
    let mut supply = Supply {
        from: &source,
        meter: Meter::new(progress, bytes),
        chunk: buffer_size(options.chunk_size),
        to: &target,
    };
    let replace = options.existing == Existing::Replace;
    write::write(&mut supply, format, &chosen.items, replace)?;
    warnings.extend(source.warnings());
    Ok(Report { tensors: chosen.items.len(), bytes, warnings })
}
