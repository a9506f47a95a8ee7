//! An array in the caller's memory.

use crate::dtype::{DType, byte_size};
use crate::error::{Error, Result};
use crate::strided::Strided;

/// An array in the caller's memory, which is only borrowed: its element type, shape, and where
/// each element lies. Elements are little-endian.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("m.npk");
/// use numpack_format::{DType, Store, View, Writer};
/// let data = [1, 2, 3, 4, 5, 6];
/// let mut writer = Writer::create(&path)?;
/// writer.save("rows", &View::new(DType::U8, &[2, 3], &data))?;
/// // The same, transposed and with the last row first: the strides say so.
/// writer.save("other", &View::strided(DType::U8, &[3, 2], &[-1, 3], &data, 2))?;
/// writer.commit()?;
///
/// let mut bytes = [0; 6];
/// Store::open(&path)?.array("other")?.read_into(&mut bytes)?;
/// assert_eq!(bytes, [3, 6, 2, 5, 1, 4]);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub(crate) dtype: DType,
    pub(crate) shape: &'a [u64],
    /// Absent: C order, from the first byte to the last.
    strides: Option<&'a [isize]>,
    data: &'a [u8],
    offset: usize,
}

impl<'a> View<'a> {
    /// Elements in C order, without gaps. `data` must have exactly their size.
    pub fn new(dtype: DType, shape: &'a [u64], data: &'a [u8]) -> View<'a> {
        View { dtype, shape, strides: None, data, offset: 0 }
    }

    /// Element `[i, j, …]` is at byte `offset + i * strides[0] + j * strides[1] + …` of `data`.
    /// Strides are in bytes, and may be negative or 0; every element must lie in `data`.
    pub fn strided(
        dtype: DType,
        shape: &'a [u64],
        strides: &'a [isize],
        data: &'a [u8],
        offset: usize,
    ) -> View<'a> {
        View { dtype, shape, strides: Some(strides), data, offset }
    }

    /// How many rows it has: the first dimension.
    pub(crate) fn rows(&self) -> u64 {
        self.shape.first().copied().unwrap_or(1)
    }

    /// The elements, if each is found to lie in the memory.
    pub(crate) fn check(&self, array: &str) -> Result<Elements<'a>> {
        let refuse = |problem: String| Error::parameter(Some(array), problem);
        if let Some(strides) = self.strides {
            let strided =
                Strided::new(self.data, self.dtype.size(), self.shape, strides, self.offset);
            return strided.map(Elements::Strided).map_err(refuse);
        }
        match byte_size(self.dtype, self.shape.iter().copied()) {
            Some(n) if n == self.data.len() as u64 => Ok(Elements::Plain(self.data)),
            n => Err(refuse(format!(
                "shape {:?} of {} takes {} bytes, the data has {}",
                self.shape,
                self.dtype,
                n.map_or_else(|| "2^64 or more".to_owned(), |n| n.to_string()),
                self.data.len()
            ))),
        }
    }
}

/// Elements that have been found to lie in memory.
#[derive(Debug)]
pub(crate) enum Elements<'a> {
    Plain(&'a [u8]),
    Strided(Strided<'a>),
}

impl Elements<'_> {
    /// Hands their bytes on in C order, in pieces.
    pub(crate) fn for_each(&self, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        match self {
            Elements::Plain([]) => Ok(()),
            Elements::Plain(data) => sink(data),
            Elements::Strided(strided) => strided.for_each(sink),
        }
    }
}
