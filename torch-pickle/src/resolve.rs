//! Making stored values the logical ones: byte order, conjugate and negative bits.

use crate::{DType, Tensor};

/// What is to be done to the bytes of a tensor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Resolve {
    /// The size of the numbers whose bytes are swapped; 1 for none.
    swap: usize,
    dtype: DType,
    conj: bool,
    neg: bool,
}

impl Resolve {
    /// `None` where the type has no negatives but the bit is set.
    pub(crate) fn new(tensor: &Tensor, swap: usize) -> Option<Resolve> {
        let dtype = tensor.dtype;
        if tensor.neg && negate(dtype).is_none() {
            return None;
        }
        // The conjugate of a real number is the number itself.
        let conj = tensor.conj && dtype.is_complex();
        Some(Resolve { swap, dtype, conj, neg: tensor.neg })
    }

    /// Changes whole elements in place.
    pub(crate) fn apply(self, bytes: &mut [u8]) {
        swap_bytes(bytes, self.swap);
        if self.neg
            && let Some(negate) = negate(self.dtype)
        {
            negate(bytes);
        }
        if self.conj {
            // The sign is the top bit of the imaginary part, the last byte of an element.
            let size = self.dtype.size();
            for element in bytes.chunks_exact_mut(size) {
                element[size - 1] ^= 0x80;
            }
        }
    }
}

/// Reverses each number of `size` bytes.
pub(crate) fn swap_bytes(bytes: &mut [u8], size: usize) {
    fn swap<const N: usize>(bytes: &mut [u8]) {
        bytes.as_chunks_mut::<N>().0.iter_mut().for_each(|n| n.reverse());
    }
    match size {
        2 => swap::<2>(bytes),
        4 => swap::<4>(bytes),
        8 => swap::<8>(bytes),
        _ => {}
    }
}

fn negate(dtype: DType) -> Option<fn(&mut [u8])> {
    fn sign<const N: usize>(bytes: &mut [u8]) {
        bytes.as_chunks_mut::<N>().0.iter_mut().for_each(|n| n[N - 1] ^= 0x80);
    }
    fn int<const N: usize>(bytes: &mut [u8]) {
        for n in bytes.as_chunks_mut::<N>().0 {
            let mut wide = [0; 8];
            wide[..N].copy_from_slice(n);
            n.copy_from_slice(&u64::from_le_bytes(wide).wrapping_neg().to_le_bytes()[..N]);
        }
    }
    /// In these types the pattern of a negative zero is the only NaN.
    fn one_nan(bytes: &mut [u8]) {
        bytes.iter_mut().filter(|b| **b & 0x7F != 0).for_each(|b| *b ^= 0x80);
    }
    Some(match dtype {
        DType::Float64 | DType::Complex128 => sign::<8>,
        DType::Float32 | DType::Complex64 => sign::<4>,
        DType::Float16 | DType::BFloat16 | DType::Complex32 | DType::BComplex32 => sign::<2>,
        DType::Float8E4M3Fn | DType::Float8E5M2 => sign::<1>,
        DType::Float8E4M3Fnuz | DType::Float8E5M2Fnuz => one_nan,
        DType::Int64 | DType::UInt64 => int::<8>,
        DType::Int32 | DType::UInt32 => int::<4>,
        DType::Int16 | DType::UInt16 => int::<2>,
        DType::Int8 | DType::UInt8 => int::<1>,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negatives() {
        let negated = |dtype: DType, mut bytes: Vec<u8>| {
            negate(dtype).map(|f| {
                f(&mut bytes);
                bytes
            })
        };
        assert_eq!(
            negated(DType::Float32, 1.5f32.to_le_bytes().into()),
            Some((-1.5f32).to_le_bytes().into())
        );
        assert_eq!(
            negated(DType::Int16, (-300i16).to_le_bytes().into()),
            Some(300i16.to_le_bytes().into())
        );
        assert_eq!(negated(DType::Float8E4M3Fnuz, vec![0, 0x80, 1]), Some(vec![0, 0x80, 0x81]));
        assert_eq!(negated(DType::Bool, vec![1]), None);
    }
}
