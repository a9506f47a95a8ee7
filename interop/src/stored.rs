//! Arrays on the disk: those of a store, or of a package as it is.

use std::path::Path;

use numpack_format::{Array, ArrayInfo, Error, Package, PackedArray, SideInfo, Store};

use crate::tensors::Format;
use crate::{Result, tensors};

/// One state of a store, or a package.
pub(crate) enum Stored {
    Store(Box<Store>),
    Package(Box<Package>),
}

/// One array of it, open for reading.
pub(crate) enum Content<'a> {
    Store(Box<Array>),
    Package(Box<PackedArray<'a>>),
}

impl Stored {
    /// Opens what `format` says is there.
    pub(crate) fn open(path: &Path, format: Format) -> Result<Stored> {
        Ok(match format {
            Format::Package => Stored::Package(Box::new(Package::open(path)?)),
            _ => Stored::Store(Box::new(Store::open_listed(path)?)),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Stored::Store(store) => store.path(),
            Stored::Package(package) => package.path(),
        }
    }

    pub(crate) fn side(&self) -> Option<&SideInfo> {
        match self {
            Stored::Store(store) => store.side(),
            Stored::Package(package) => package.side(),
        }
    }

    pub(crate) fn warnings(&self) -> &[String] {
        match self {
            Stored::Store(store) => store.warnings(),
            Stored::Package(package) => &package.info().warnings,
        }
    }

    pub(crate) fn arrays(&self) -> Result<&[ArrayInfo]> {
        Ok(match self {
            Stored::Store(store) => store.arrays()?,
            Stored::Package(package) => package.arrays(),
        })
    }

    pub(crate) fn info(&self, name: &str) -> Result<Option<&ArrayInfo>> {
        Ok(match self {
            Stored::Store(store) => store.info(name)?,
            Stored::Package(package) => match package.array(name) {
                Ok(array) => Some(array.info()),
                Err(Error::NoArray { .. }) => None,
                Err(e) => return Err(e.into()),
            },
        })
    }

    /// Whether note `i` of the side information fits the array it is about.
    pub(crate) fn note_fits(&self, i: usize) -> bool {
        match self {
            Stored::Store(store) => store.note_fits(i),
            Stored::Package(package) => {
                let note = package.side().and_then(|side| side.arrays.get(i));
                let Some(note) = note.filter(|n| !n.dropped) else { return false };
                package.array(&note.name).is_ok_and(|a| a.info().note.as_ref() == Some(note))
            }
        }
    }

    pub(crate) fn array(&self, name: &str) -> Result<Content<'_>> {
        Ok(match self {
            Stored::Store(store) => Content::Store(Box::new(store.array(name)?)),
            Stored::Package(package) => Content::Package(Box::new(package.array(name)?)),
        })
    }

    /// Opens several arrays, for less than one by one.
    pub(crate) fn arrays_by_name(&self, names: &[&str]) -> Result<Vec<Content<'_>>> {
        match self {
            Stored::Store(store) => {
                let arrays = store.arrays_by_name(names)?;
                Ok(arrays.into_iter().map(|a| Content::Store(Box::new(a))).collect())
            }
            Stored::Package(_) => names.iter().map(|name| self.array(name)).collect(),
        }
    }
}

impl Content<'_> {
    /// Maps a store's array.
    ///
    /// # Safety
    /// As long as the map lives, nobody may change or shorten the array's file.
    ///
    /// # Errors
    /// [`crate::Error::Sharing`] for an array of a package, and what the store refuses to map.
    #[allow(unsafe_code, reason = "hands on the promise; nothing here looks at memory")]
    pub(crate) unsafe fn map(&self) -> Result<numpack_format::Map> {
        match self {
            // SAFETY: the caller's promise.
            Content::Store(array) => Ok(unsafe { array.map() }?),
            Content::Package(_) => Err(crate::Error::Sharing {
                problem: "an array of a package cannot be mapped".to_owned(),
                advice: "read it, or unpack the package first",
            }),
        }
    }

    pub(crate) fn nbytes(&self) -> u64 {
        match self {
            Content::Store(array) => array.nbytes(),
            Content::Package(array) => array.nbytes(),
        }
    }

    /// Reads any range of the bytes; in a package cheap only in their order.
    pub(crate) fn read_bytes_at(
        &mut self,
        offset: u64,
        out: &mut [u8],
    ) -> numpack_format::Result<()> {
        match self {
            Content::Store(array) => array.read_bytes_at(offset, out),
            Content::Package(array) => array.read_bytes_at(offset, out),
        }
    }

    /// Hands on all bytes in pieces.
    pub(crate) fn stream(
        &mut self,
        mut sink: impl FnMut(&[u8]) -> torch_pickle::Result<()>,
    ) -> Result<()> {
        let mut buffer = vec![0; (tensors::CHUNK as u64).min(self.nbytes()) as usize];
        let mut at = 0;
        while at < self.nbytes() {
            let n = (buffer.len() as u64).min(self.nbytes() - at) as usize;
            self.read_bytes_at(at, &mut buffer[..n])?;
            sink(&buffer[..n])?;
            at += n as u64;
        }
        Ok(())
    }
}
