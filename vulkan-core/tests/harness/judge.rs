//! What is right, and how much was compared.

use std::fmt;

use half::{bf16, f16};
use numpack_host_ops::Array;
use vulkan_core::{DType, Tensor};

use crate::layouts::on_host;
use crate::values::as_f64;

/// How far a float may be from the reference.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    /// So many units in the last place of a float32, and half of one of a narrower type.
    Ulps(f64),
    /// So many, or so much where the reference itself has lost its digits.
    UlpsOr(f64, f64),
    /// So much, whatever the size of the result, and half a unit of a narrower type.
    Absolute(f64),
    /// Bit for bit.
    Exact,
}

/// Counts what it compares.
#[derive(Default)]
pub(crate) struct Judge {
    cases: usize,
    elements: usize,
}

impl fmt::Display for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cases, {} elements", self.cases, self.elements)
    }
}

impl Judge {
    /// A float result against one in float64.
    pub(crate) fn floats(&mut self, got: &Tensor, expected: &Array, bound: Bound, case: &str) {
        assert_eq!(got.shape(), expected.shape(), "{case}");
        let expected =
            expected.cast(numpack_host_ops::DType::F64).unwrap().to_vec::<f64>().unwrap();
        let values = as_f64(got);
        for (i, (&got_value, &wanted)) in values.iter().zip(&expected).enumerate() {
            let right = is_near(got_value, wanted, got.dtype(), bound);
            assert!(right, "{case}: element {i} is {got_value:e}, not {wanted:e} within {bound:?}");
        }
        self.count(values.len());
    }

    /// A float result against one in float64, each element within so many units in the last place (of
    /// a float32) of a size of its own, and half of one of a narrower type.
    pub(crate) fn sized(
        &mut self,
        got: &Tensor,
        expected: &Array,
        (units, size): (f64, &Array),
        case: &str,
    ) {
        assert_eq!(got.shape(), expected.shape(), "{case}");
        assert_eq!(got.shape(), size.shape(), "{case}");
        let expected = expected.to_vec::<f64>().unwrap();
        let size = size.to_vec::<f64>().unwrap();
        let values = as_f64(got);
        for (i, ((&value, &wanted), &size)) in values.iter().zip(&expected).zip(&size).enumerate() {
            let off = units * f64::from(f32::EPSILON) * size;
            let right = is_near(value, wanted, got.dtype(), Bound::Absolute(off));
            assert!(right, "{case}: element {i} is {value:e}, not {wanted:e} within {off:e}");
        }
        self.count(values.len());
    }

    /// A result that must be the reference's, type and bits.
    pub(crate) fn bits(&mut self, got: &Tensor, expected: &Array, case: &str) {
        assert_eq!(on_host(got.dtype()), expected.dtype(), "{case}");
        assert_eq!(got.shape(), expected.shape(), "{case}");
        let (size, bytes) = (got.dtype().size(), got.to_bytes().unwrap());
        let wanted = expected.to_bytes().unwrap();
        for (i, (a, b)) in bytes.chunks(size).zip(wanted.chunks(size)).enumerate() {
            let both_nan =
                got.dtype().is_float() && is_nan(got.dtype(), a) && is_nan(got.dtype(), b);
            assert!(a == b || both_nan, "{case}: element {i} is {a:02x?}, not {b:02x?}");
        }
        self.count(bytes.len() / size);
    }

    fn count(&mut self, elements: usize) {
        self.cases += 1;
        self.elements += elements;
    }
}

fn is_nan(dtype: DType, bytes: &[u8]) -> bool {
    match dtype {
        DType::F32 => f32::from_ne_bytes(bytes.try_into().unwrap()).is_nan(),
        DType::F16 => f16::from_ne_bytes(bytes.try_into().unwrap()).is_nan(),
        _ => bf16::from_ne_bytes(bytes.try_into().unwrap()).is_nan(),
    }
}

/// The last place of a type at a number: its unit, the exponent of the smallest normal number, and the
/// largest number.
fn places(dtype: DType) -> (i32, i32, f64) {
    match dtype {
        DType::F16 => (10, -14, 65504.0),
        DType::BF16 => (7, -126, f64::from(bf16::MAX)),
        _ => (23, -126, f64::from(f32::MAX)),
    }
}

fn ulp(dtype: DType, value: f64) -> f64 {
    let (digits, smallest, _) = places(dtype);
    let exponent =
        if value == 0.0 { smallest } else { (value.abs().log2().floor() as i32).max(smallest) };
    2f64.powi(exponent - digits)
}

fn is_near(got: f64, wanted: f64, dtype: DType, bound: Bound) -> bool {
    if got.is_nan() || wanted.is_nan() {
        return got.is_nan() && wanted.is_nan();
    }
    let off = match bound {
        Bound::Exact => 0.0,
        Bound::Ulps(n) => n * ulp(DType::F32, wanted),
        Bound::UlpsOr(n, off) => (n * ulp(DType::F32, wanted)).max(off),
        Bound::Absolute(off) => off,
    };
    // Numbers too small to be normal may be flushed to 0.
    let flushed = if dtype == DType::F16 { 0.0 } else { 2f64.powi(-126) };
    let off = if matches!(bound, Bound::Exact) { 0.0 } else { off + flushed };
    let rounding = if dtype == DType::F32 { 0.0 } else { 0.501 * ulp(dtype, wanted) };
    let (_, _, largest) = places(dtype);
    if got.is_infinite() || wanted.is_infinite() {
        // Where rounding may go either way.
        let beyond = wanted.abs() + off + rounding.max(0.501 * ulp(dtype, largest)) >= largest;
        return got == wanted
            || (got.signum() == wanted.signum() && beyond && got.abs() >= largest * 0.999);
    }
    (got - wanted).abs() <= off + rounding
}
