//! An array's bytes as memory. The only file with `unsafe` code besides [`crate::lease`]
//! and [`crate::process`].
#![allow(unsafe_code)]

mod rows;
mod rows_mut;

use crate::error::{Error, Result};
pub use rows::MappedRows;
pub use rows_mut::RowsMut;
use std::fs::File;
use std::ops::{Deref, DerefMut};
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

/// A file mapped for writing.
#[derive(Debug)]
struct MapMut {
    /// `None`: no bytes.
    map: Option<memmap2::MmapMut>,
}

impl MapMut {
    /// Maps the first `len` bytes of a file.
    ///
    /// # Safety
    ///
    /// While the map lives, nobody else may change or shorten that part of the file.
    unsafe fn new(file: &File, len: u64, path: &Path) -> Result<MapMut> {
        let fail = Error::io("map", path);
        let Ok(size) = usize::try_from(len) else {
            return Err(fail(std::io::ErrorKind::OutOfMemory.into()));
        };
        if size == 0 {
            return Ok(MapMut { map: None });
        }
        let mut options = memmap2::MmapOptions::new();
        options.len(size);
        // SAFETY: the caller promises that nobody else touches these bytes of the file as long as
        // the map lives, and the map lends them to one at a time.
        let map = unsafe { options.map_mut(file) };
        Ok(MapMut { map: Some(map.map_err(fail)?) })
    }

    fn flush(&self) -> std::io::Result<()> {
        self.map.as_ref().map_or(Ok(()), memmap2::MmapMut::flush)
    }
}

impl Deref for MapMut {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.map.as_deref().unwrap_or_default()
    }
}

impl DerefMut for MapMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.map.as_deref_mut().unwrap_or_default()
    }
}

impl crate::NumPack {
    /// The bytes of an array as memory that can be written: work in place, without a copy.
    ///
    /// What is written is in the file at once, for every reader, and on the disk after
    /// [`flush`](RowsMut::flush). It is no commit: a crash leaves some of it, and readers see it
    /// half-done. The store stays locked until the memory is dropped, and the array must be as it
    /// is stored: [compact](crate::NumPack::compact_array) one with dropped rows or in segments first.
    ///
    /// # Safety
    ///
    /// While it lives, nobody else may change or shorten the file, and no other map of it may be
    /// read. This crate does not: the store is locked. Touching what another program has cut off ends the process by a signal
    /// (`SIGBUS`), and so does writing where the disk turns out to be full.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("m.npk");
    /// use numpack_format::{DType, NumPack, View};
    /// let npk = NumPack::create(&path)?;
    /// npk.save(&[("a", View::new(DType::U8, &[2, 2], &[1, 2, 3, 4]))])?;
    /// // SAFETY: no other program uses this store.
    /// let mut rows = unsafe { npk.map_rows_mut("a")? };
    /// rows.row_mut(1).unwrap().fill(9);
    /// rows.flush()?;
    /// drop(rows);
    /// let mut bytes = [0; 4];
    /// npk.array("a")?.read_into(&mut bytes)?;
    /// assert_eq!(bytes, [1, 2, 9, 9]);
    /// # Ok(()) }
    /// ```
    pub unsafe fn map_rows_mut(&self, name: &str) -> Result<RowsMut> {
        let mut writer = self.begin()?;
        let found = writer.file_to_map(name)?;
        // SAFETY: the caller promises what `new` asks for.
        let map = unsafe { MapMut::new(&found.file, found.len, &found.path) };
        Ok(RowsMut::new(map.map_err(|e| e.in_array(name))?, found, writer))
    }
}

impl crate::Array {
    /// The logical bytes as memory, read from the disk as they are touched.
    ///
    /// An array in segments, or with dropped rows, is an error: its bytes are not one range of a
    /// file, so [map its rows](crate::Array::map_rows), or read it.
    ///
    /// # Safety
    ///
    /// While the map lives, nobody may change or shorten the file. This crate replaces rows in
    /// place, which changes the bytes under the map, but for that it gives a changed array a new
    /// file, and the map keeps the old one. The public `numpack` package also shortens files, after
    /// which touching the map ends the process by a signal.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("m.npk");
    /// # use numpack_format::{DType, Store, View, Writer};
    /// # let mut w = Writer::create(&path)?;
    /// # w.save("a", &View::new(DType::U8, &[3], &[1, 2, 3]))?;
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
                "it is in segments, or has rows that were dropped or are just being replaced, so it cannot be mapped; map its rows, or read it",
            ));
        };
        // SAFETY: the caller promises what `new` asks for.
        unsafe { Map::new(file, offset, len, self.path()) }.map_err(|e| e.in_array(name))
    }

    /// The live rows as memory, read from the disk as they are touched: also of an array in
    /// segments, or with dropped rows.
    ///
    /// What comes back keeps the files and the choice of live rows as they are now: it outlives the
    /// array and the store, sees no later change but rows that are replaced, and can be used from
    /// several threads at once.
    ///
    /// # Safety
    ///
    /// While it lives, nobody may change or shorten any of the array's files. As with
    /// [`map`](crate::Array::map): rows that are replaced in place change under it, and touching
    /// what has been cut off a file ends the process by a signal (`SIGBUS`).
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("m.npk");
    /// # use numpack_format::{DType, Store, View, Writer};
    /// # let mut w = Writer::create(&path)?;
    /// # w.save("a", &View::new(DType::U8, &[3, 2], &[1, 2, 3, 4, 5, 6]))?;
    /// # w.commit()?;
    /// let array = Store::open(&path)?.array("a")?;
    /// // SAFETY: no other program uses this store.
    /// let rows = unsafe { array.map_rows()? };
    /// assert_eq!(rows.row(1), Some(&[3, 4][..]));
    ///
    /// let mut some = [0; 6];
    /// rows.gather_into(&[-1, 0, -1], &mut some)?;
    /// assert_eq!(some, [5, 6, 1, 2, 5, 6]);
    /// # Ok(()) }
    /// ```
    pub unsafe fn map_rows(&self) -> Result<MappedRows> {
        let name = Some(&self.info().name[..]);
        if !self.is_quiet() {
            let problem = "some of its rows are just being replaced, so it cannot be mapped; read it, or let a writer finish that first";
            return Err(Error::parameter(name, problem));
        }
        let maps = self.parts.iter().map(|part| {
            // SAFETY: the caller promises what `new` asks for, of every file.
            unsafe { Map::new(&part.file, 0, part.len, &part.path) }
        });
        let maps = maps.collect::<Result<_>>().map_err(|e| e.in_array(&self.info().name))?;
        MappedRows::new(self, maps)
    }
}

/// Tells the processor that the byte at `at` will be read soon, if there is one.
#[inline]
fn prefetch(bytes: &[u8], at: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(byte) = bytes.get(at) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the pointer is that of a reference; and this is a hint that never fails.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(byte).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (bytes, at);
}
