//! NumPy's description of an array, `__array_interface__` version 3: read and given.
//!
//! Source: <https://numpy.org/doc/stable/reference/arrays.interface.html>.
#![allow(unsafe_code)]

use super::copy::{Places, copy};
use super::layout;
use super::{Storage, Tensor};
use crate::dtype::DType;
use crate::{Error, Result};

/// An array in memory as NumPy describes it.
#[derive(Clone, Copy, Debug)]
pub struct ArrayInterface<'a> {
    /// Where the element with index 0 is.
    pub data: *mut u8,
    /// Whether it may not be written to.
    pub read_only: bool,
    /// Byte order, kind and size of an element: `<f4`.
    pub typestr: &'a str,
    /// Length of each dimension.
    pub shape: &'a [usize],
    /// Step of each dimension in bytes; `None` for C order without gaps.
    pub strides: Option<&'a [isize]>,
}

/// The mark of numbers in this machine's byte order.
const NATIVE: char = if cfg!(target_endian = "little") { '<' } else { '>' };

/// The types NumPy has too, with kind and size.
const NUMPY: &[(DType, &str)] = &[
    (DType::BOOL, "b1"),
    (DType::UINT8, "u1"),
    (DType::UINT16, "u2"),
    (DType::UINT32, "u4"),
    (DType::UINT64, "u8"),
    (DType::INT8, "i1"),
    (DType::INT16, "i2"),
    (DType::INT32, "i4"),
    (DType::INT64, "i8"),
    (DType::FLOAT16, "f2"),
    (DType::FLOAT32, "f4"),
    (DType::FLOAT64, "f8"),
    (DType::COMPLEX64, "c8"),
    (DType::COMPLEX128, "c16"),
];

/// A description that was understood, its strides in bytes.
pub(super) struct Described {
    pub(super) dtype: DType,
    /// The bytes of each number are in the other order.
    swapped: bool,
    pub(super) strides: Vec<isize>,
    /// How many bytes lie before the first element, and in all.
    before: usize,
    nbytes: usize,
}

impl ArrayInterface<'_> {
    /// Understands the description, without looking at the memory.
    ///
    /// # Errors
    /// [`Error::Type`] for elements that are no numbers a tensor can have, [`Error::Parameter`] for
    /// a description that cannot be.
    pub(super) fn describe(&self) -> Result<Described> {
        let (dtype, swapped) = parse(self.typestr)?;
        let numel = layout::numel(self.shape)?;
        let (size, shape) = (dtype.size(), self.shape);
        let strides = match self.strides {
            Some(strides) if strides.len() != shape.len() => {
                let (sizes, given) = (shape.len(), strides.len());
                return Err(Error::Parameter(format!("{sizes} sizes and {given} strides")));
            }
            Some(strides) => strides.to_vec(),
            None => {
                layout::c_strides(shape).iter().map(|s| s.wrapping_mul(size as isize)).collect()
            }
        };
        let (mut before, mut after) = (0_i128, size as i128);
        for (&n, &stride) in shape.iter().zip(&strides) {
            let far = (n as i128 - 1) * stride as i128;
            if far < 0 { before -= far } else { after += far }
        }
        let nbytes = before + after;
        if numel == 0 {
            return Ok(Described { dtype, swapped, strides, before: 0, nbytes: 0 });
        }
        if isize::try_from(nbytes).is_err() {
            return Err(Error::Parameter(format!(
                "shape {shape:?} with strides {strides:?} reaches over {nbytes} bytes, more than \
                 memory can hold"
            )));
        }
        if self.data.is_null() {
            return Err(Error::Parameter(format!("the data of an array of {shape:?} is NULL")));
        }
        Ok(Described { dtype, swapped, strides, before: before as usize, nbytes: nbytes as usize })
    }

    /// Why its memory cannot be a tensor's.
    pub(super) fn obstacle(&self, found: &Described) -> Option<Error> {
        const COPY: &str = "copy it with tensor(), or let as_tensor() choose";
        let strides = &found.strides;
        let align = found.dtype.align();
        let problem = if found.swapped {
            format!("the array's elements {} are in the other byte order", self.typestr)
        } else if self.read_only {
            "the array is read-only, and a tensor that shares it could be written to".to_owned()
        } else if strides.iter().any(|&s| s < 0) {
            format!("the array has negative strides {strides:?}")
        } else if strides.iter().any(|&s| s % found.dtype.size() as isize != 0) {
            let size = found.dtype.size();
            format!(
                "the array has strides {strides:?}, not multiples of its elements' {size} bytes"
            )
        } else if found.nbytes > 0 && !self.data.addr().is_multiple_of(align) {
            format!("the array is misaligned: its data is at no multiple of {align} bytes")
        } else {
            return None;
        };
        Some(Error::Sharing { problem, advice: COPY })
    }

    /// A tensor of the same memory, against which there is no obstacle.
    ///
    /// # Safety
    /// As for [`from_numpy`](super::from_numpy).
    pub(super) unsafe fn share(
        &self,
        found: &Described,
        release: impl FnOnce() + Send + 'static,
    ) -> Result<Tensor> {
        let strides: Vec<isize> =
            found.strides.iter().map(|s| s / found.dtype.size() as isize).collect();
        // No stride is negative, so the first element is the lowest.
        // SAFETY: the description's promise, for the bytes that it reaches.
        let storage = unsafe { Storage::from_raw(self.data, found.nbytes, true, release) }?;
        Tensor::new(storage, found.dtype, self.shape, &strides, 0)
    }

    /// A copy of the elements, in C order and in this machine's byte order.
    ///
    /// # Safety
    /// As for [`tensor`](super::tensor).
    pub(super) unsafe fn copy(&self, found: &Described) -> Result<Tensor> {
        let new = Tensor::zeros(self.shape, found.dtype)?;
        if found.nbytes == 0 {
            return Ok(new);
        }
        // SAFETY: the lowest element is so far before the first, and the description reaches it.
        let start = unsafe { self.data.sub(found.before) };
        // SAFETY: these are the bytes from the lowest element to the highest, which the caller
        // vouches for.
        let bytes = unsafe { std::slice::from_raw_parts(start, found.nbytes) };
        let from = Places { offset: found.before as isize, strides: found.strides.clone() };
        let size = found.dtype.size();
        let mut out = new.storage.write()?;
        copy(self.shape, size, (bytes, &from), (&mut out, &new.layout.places(size)));
        if found.swapped {
            // Of a complex number, each half for itself.
            out.chunks_exact_mut(found.dtype.align()).for_each(<[u8]>::reverse);
        }
        drop(out);
        Ok(new)
    }
}

/// The element type, and whether its bytes are in the other order.
fn parse(typestr: &str) -> Result<(DType, bool)> {
    let (order, rest) = match typestr.chars().next() {
        Some(order @ ('<' | '>' | '|' | '=')) => (order, &typestr[1..]),
        _ => (NATIVE, typestr),
    };
    let Some(&(dtype, _)) = NUMPY.iter().find(|(_, name)| *name == rest) else {
        return Err(Error::Type {
            problem: format!("the array's elements are {typestr:?}, which no tensor has"),
            advice: "convert them to a bool, integer, float or complex type of 8 to 64 bits first",
        });
    };
    Ok((dtype, dtype.align() > 1 && !matches!(order, NATIVE | '=' | '|')))
}

/// A tensor as NumPy describes an array; the memory stays as long as this does.
#[derive(Debug)]
pub struct Array {
    tensor: Tensor,
    typestr: String,
    strides: Vec<isize>,
}

impl Array {
    /// Describes a tensor that NumPy can have.
    pub(super) fn of(tensor: &Tensor) -> Result<Array> {
        let dtype = tensor.dtype;
        let Some((_, name)) = NUMPY.iter().find(|(d, _)| *d == dtype) else {
            return Err(Error::Type {
                problem: format!("NumPy has no {dtype}"),
                advice: "convert it with to_dtype, to float32 for instance",
            });
        };
        let order = if dtype.align() == 1 { '|' } else { NATIVE };
        let size = dtype.size() as isize;
        let strides = tensor.strides().iter().map(|s| s.wrapping_mul(size)).collect();
        Ok(Array { tensor: tensor.detach(), typestr: format!("{order}{name}"), strides })
    }

    /// The description: strides are always given.
    pub fn interface(&self) -> ArrayInterface<'_> {
        ArrayInterface {
            // It was in this process when this was made, and a tensor does not move.
            data: self.tensor.data_ptr().unwrap_or_default(),
            read_only: self.tensor.is_read_only(),
            typestr: &self.typestr,
            shape: self.tensor.shape(),
            strides: Some(&self.strides),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_numpy_writes_them() {
        assert_eq!(parse("<f4").unwrap(), (DType::FLOAT32, false));
        assert_eq!(parse(">c16").unwrap(), (DType::COMPLEX128, true));
        assert_eq!(parse("|b1").unwrap(), (DType::BOOL, false));
        assert_eq!(parse(">u1").unwrap(), (DType::UINT8, false));
        for other in ["|O", "<U4", "|S3", "<M8[ns]", "<m8", "|V2", "<f16", "<c32", "", "é", "<f3"]
        {
            assert!(matches!(parse(other), Err(Error::Type { .. })), "{other}");
        }
    }
}
