//! Elements to compute with.

use half::{bf16, f16};
use vulkan_core::{DType, Tensor};

use crate::common::Numbers;

/// Which numbers an operation is tried with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    /// All there are: of every size, infinite, no numbers.
    All,
    /// None so large that arithmetic with two of them would overflow.
    Moderate,
}

const SPECIAL: [f64; 20] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
    std::f64::consts::PI,
    -std::f64::consts::FRAC_PI_2,
    88.7,
    -103.5,
    9.999,
    -0.75,
    65504.0,
    1e-3,
    16777217.0,
    -2147483648.0,
];

/// So many numbers, the special ones in front.
pub(crate) fn floats(numbers: &mut Numbers, n: usize, range: Range) -> Vec<f64> {
    (0..n)
        .map(|i| match (range, SPECIAL.get(i)) {
            (Range::All, Some(&special)) => special,
            (Range::All, None) if i % 3 == 0 => {
                // Of any size that a float32 has without being too small to be normal.
                let exponent = numbers.unit() * 37.0;
                numbers.unit().signum() * 10f64.powf(exponent)
            }
            _ => numbers.unit() * 12.0,
        })
        .collect()
}

/// The bytes of numbers as elements of a type.
pub(crate) fn bytes(dtype: DType, values: &[f64]) -> Vec<u8> {
    let each = values.iter();
    match dtype {
        DType::F32 => each.flat_map(|&v| normal(v as f32).to_ne_bytes()).collect(),
        DType::F16 => each.flat_map(|&v| f16::from_f64(v).to_ne_bytes()).collect(),
        DType::BF16 => each.flat_map(|&v| bf16::from_f32(normal(v as f32)).to_ne_bytes()).collect(),
        DType::I32 => each.flat_map(|&v| (v as i32).to_ne_bytes()).collect(),
        DType::I64 => each.flat_map(|&v| (v as i64).to_ne_bytes()).collect(),
        DType::U8 => each.map(|&v| v as i64 as u8).collect(),
        DType::Bool => each.map(|&v| u8::from(v > 0.0)).collect(),
    }
}

/// What a device may keep or not is not asked for.
fn normal(value: f32) -> f32 {
    if value.is_subnormal() { 0.0_f32.copysign(value) } else { value }
}

/// Integers of all sizes, as the bits of a type.
pub(crate) fn integer_bytes(numbers: &mut Numbers, dtype: DType, n: usize) -> Vec<u8> {
    const SPECIAL: [i64; 12] = [
        0,
        1,
        -1,
        127,
        255,
        256,
        i32::MAX as i64,
        i32::MIN as i64,
        1 << 32,
        i64::MAX,
        i64::MIN,
        -(1 << 40),
    ];
    (0..n)
        .flat_map(|i| {
            let value = match SPECIAL.get(i) {
                Some(&special) => special,
                None => (numbers.next() as i64) >> (numbers.below(63)),
            };
            match dtype {
                DType::I32 => (value as i32).to_ne_bytes().to_vec(),
                DType::I64 => value.to_ne_bytes().to_vec(),
                DType::U8 => vec![value as u8],
                _ => vec![u8::from(value & 1 == 1)],
            }
        })
        .collect()
}

/// The elements of a float tensor.
pub(crate) fn as_f64(t: &Tensor) -> Vec<f64> {
    match t.dtype() {
        DType::F32 => t.to_host::<f32>().unwrap().into_iter().map(f64::from).collect(),
        DType::F16 => t.to_host::<f16>().unwrap().into_iter().map(f64::from).collect(),
        DType::BF16 => t.to_host::<bf16>().unwrap().into_iter().map(f64::from).collect(),
        dtype => panic!("{dtype} is no float"),
    }
}
