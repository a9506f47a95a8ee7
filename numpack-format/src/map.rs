//! An array's bytes as memory. The only file with `unsafe` code.
#![allow(unsafe_code)]

use crate::error::{Error, Result};
use std::fs::File;
use std::ops::Deref;
use std::path::Path;

/// The logical bytes of an array, mapped from its file; see [`Array::map`](crate::Array::map).
#[derive(Debug)]
pub struct Map {
    /// `None`: no bytes.
    map: Option<memmap2::Mmap>,
}

impl Map {
    /// Maps `len` bytes of a file.
    ///
    /// # Safety
    ///
    /// While the map lives, nobody may change or shorten that part of the file.
    pub(crate) unsafe fn new(file: &File, offset: u64, len: u64, path: &Path) -> Result<Map> {
        let fail = Error::io("map", path);
        let Ok(size) = usize::try_from(len) else {
            return Err(fail(std::io::ErrorKind::OutOfMemory.into()));
        };
        if size == 0 {
            return Ok(Map { map: None });
        }
        let mut options = memmap2::MmapOptions::new();
        options.offset(offset).len(size);
        // SAFETY: the caller promises that these bytes of the file stay as they are as long as the
        // map lives; the pages are mapped for reading only.
        let map = unsafe { options.map(file) };
        Ok(Map { map: Some(map.map_err(fail)?) })
    }
}

impl Deref for Map {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

impl AsRef<[u8]> for Map {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl crate::Array {
    /// The logical bytes as memory, read from the disk as they are touched.
    ///
    /// An array in segments, or with dropped rows, is an error: its bytes are not one range of a
    /// file, so read it.
    ///
    /// # Safety
    ///
    /// While the map lives, nobody may change or shorten the file. This crate never does: it gives
    /// a changed array a new file, and the map keeps the old one. The public `numpack` package
    /// replaces rows in place, which changes the bytes under the map, and shortens files, after
    /// which touching the map ends the process by a signal.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("m.npk");
    /// # use numpack_format::{DType, Store, Writer};
    /// # let mut w = Writer::create(&path)?;
    /// # w.save("a", DType::U8, &[3], &[1], &[1, 2, 3], 0)?;
    /// # w.commit()?;
    /// let array = Store::open(&path)?.array("a")?;
    /// // SAFETY: no other program uses this store.
    /// let map = unsafe { array.map()? };
    /// assert_eq!(&map[..], [1, 2, 3]);
    /// # Ok(()) }
    /// ```
    pub unsafe fn map(&self) -> Result<Map> {
        let name = &self.info().name;
        let Some((file, offset, len)) = self.plain_file() else {
            return Err(Error::parameter(
                Some(name),
                "it is in segments or has dropped rows, so it cannot be mapped; read it instead",
            ));
        };
        // SAFETY: the caller promises what `new` asks for.
        unsafe { Map::new(file, offset, len, self.path()) }.map_err(|e| e.in_array(name))
    }
}
