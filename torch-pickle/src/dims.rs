//! Sizes and strides.

use std::fmt;
use std::ops::{Deref, DerefMut};

use smallvec::SmallVec;

/// One number for each dimension: a slice, kept in place where there are two or fewer, as there
/// nearly always are.
///
/// ```
/// use torch_pickle::Dims;
/// let shape = Dims::from([2, 3]);
/// assert_eq!((shape.len(), shape[1], &shape[..]), (2, 3, &[2, 3][..]));
/// ```
#[derive(PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Dims(SmallVec<[u64; 2]>);

// The library's own clones numbers one by one.
impl Clone for Dims {
    #[inline]
    fn clone(&self) -> Dims {
        Dims::from(&**self)
    }
}

impl Deref for Dims {
    type Target = [u64];

    #[inline]
    fn deref(&self) -> &[u64] {
        &self.0
    }
}

impl DerefMut for Dims {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u64] {
        &mut self.0
    }
}

impl fmt::Debug for Dims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<const N: usize> From<[u64; N]> for Dims {
    fn from(dims: [u64; N]) -> Dims {
        Dims::from(&dims[..])
    }
}

impl From<&[u64]> for Dims {
    #[inline]
    fn from(dims: &[u64]) -> Dims {
        Dims(SmallVec::from_slice(dims))
    }
}

impl From<Vec<u64>> for Dims {
    fn from(dims: Vec<u64>) -> Dims {
        Dims::from(&dims[..])
    }
}

impl FromIterator<u64> for Dims {
    fn from_iter<I: IntoIterator<Item = u64>>(dims: I) -> Dims {
        Dims(dims.into_iter().collect())
    }
}

impl PartialEq<[u64]> for Dims {
    fn eq(&self, other: &[u64]) -> bool {
        **self == *other
    }
}

impl<const N: usize> PartialEq<[u64; N]> for Dims {
    fn eq(&self, other: &[u64; N]) -> bool {
        **self == *other
    }
}

impl PartialEq<Vec<u64>> for Dims {
    fn eq(&self, other: &Vec<u64>) -> bool {
        **self == **other
    }
}

impl<'a> IntoIterator for &'a Dims {
    type Item = &'a u64;
    type IntoIter = std::slice::Iter<'a, u64>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
