//! Random numbers that do not depend on who draws them.
//!
//! Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", 2011)
//! makes four words of 32 bits from a key and a counter. Each number of a stream has a place in it,
//! so a GPU draws the same ones, in any order. The mapping, which is a promise:
//!
//! - The key is the seed: word 0 its lower, word 1 its upper 32 bits.
//! - Element `e` of an array, in C order, is number `n = offset + e` of the stream, modulo 2⁶⁴.
//! - Its word `w(n)` is word `n mod 4` of the block whose counter is `n / 4`: counter word 0 its lower,
//!   word 1 its upper 32 bits, words 2 and 3 are 0.
//! - **Uniform** on \[0, 1): `u(n) = (w(n) >> 8) · 2⁻²⁴`, in float32 and float64 alike; for float16
//!   `(w(n) >> 21) · 2⁻¹¹`, for bfloat16 `(w(n) >> 24) · 2⁻⁸`, so that rounding never gives 1.
//! - **Normal**, by Box and Muller on the pair `a = 2 ⌊n / 2⌋`, `b = a + 1`:
//!   `r = √(−2 ln(((w(a) >> 8) + 1) · 2⁻²⁴))`, `t = 2π · (w(b) >> 8) · 2⁻²⁴`; `r · cos t` for an even `n`
//!   and `r · sin t` for an odd one. In float64, and rounded to other types.
//! - **Bernoulli**: true where `u(n) < p`, in float64. **Dropout** keeps where `u(n) ≥ p`.
//! - **Integers** from `low` up to before `high`: `low + ⌊w(n) · (high − low) / 2³²⌋`.
//!
//! Torch's own streams are not reproduced. Who draws `k` numbers advances the offset by `k`.

use crate::element::by_type;
use crate::layout::{numel, room};
use crate::{Array, DType, Error, Result, div, where_};

/// One block of Philox4x32-10.
///
/// ```
/// use numpack_host_ops::random::philox;
/// let known = [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8];
/// assert_eq!(philox([0, 0], [0, 0, 0, 0]), known);
/// ```
pub fn philox(mut key: [u32; 2], mut counter: [u32; 4]) -> [u32; 4] {
    const MULTIPLIERS: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    for _ in 0..10 {
        let [a, b, c, d] = counter;
        let (left, right) = (MULTIPLIERS[0] * u64::from(a), MULTIPLIERS[1] * u64::from(c));
        counter = [
            (right >> 32) as u32 ^ b ^ key[0],
            right as u32,
            (left >> 32) as u32 ^ d ^ key[1],
            left as u32,
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// A place in a stream of numbers: the seed names the stream, the offset the next number.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Place {
    /// Which stream.
    pub seed: u64,
    /// How many of its numbers come before.
    pub offset: u64,
}

impl Place {
    /// The start of a stream.
    pub const fn new(seed: u64) -> Place {
        Place { seed, offset: 0 }
    }

    /// Behind `count` numbers more.
    pub const fn after(self, count: u64) -> Place {
        Place { offset: self.offset.wrapping_add(count), ..self }
    }

    /// The words of `count` numbers from here on, and each time the pair that they belong to.
    fn words(self, count: usize) -> impl Iterator<Item = (u64, [u32; 4])> {
        let key = [self.seed as u32, (self.seed >> 32) as u32];
        let mut known: Option<(u64, [u32; 4])> = None;
        (0..count as u64).map(move |e| {
            let n = self.offset.wrapping_add(e);
            let at = n / 4;
            let block = match known {
                Some((place, block)) if place == at => block,
                _ => philox(key, [at as u32, (at >> 32) as u32, 0, 0]),
            };
            known = Some((at, block));
            (n, block)
        })
    }
}

fn fraction(word: u32) -> f64 {
    f64::from(word >> 8) / f64::from(1 << 24)
}

/// Uniform numbers on \[low, high): `low + (high − low) · u`. See the [mapping](self).
///
/// # Errors
/// [`Error::DType`] for all but floats, [`Error::Shape`] for a shape beyond counting,
/// [`Error::OutOfMemory`].
///
/// ```
/// use numpack_host_ops::{DType, random::{Place, uniform}};
/// let x = uniform(&[2, 3], 0.0, 1.0, DType::F32, Place::new(7))?;
/// assert!(x.to_vec::<f32>()?.iter().all(|u| (0.0..1.0).contains(u)));
/// # Ok::<(), numpack_host_ops::Error>(())
/// ```
pub fn uniform(shape: &[usize], low: f64, high: f64, dtype: DType, place: Place) -> Result<Array> {
    let bits = match dtype {
        DType::F16 => 11,
        DType::BF16 => 8,
        _ => 24,
    };
    let scale = (high - low) / f64::from(1 << bits);
    fill("uniform", shape, dtype, place, |n, block| {
        low + f64::from(block[(n % 4) as usize] >> (32 - bits)) * scale
    })
}

/// Normal numbers of this mean and deviation. See the [mapping](self).
///
/// # Errors
/// As [`uniform`].
pub fn normal(shape: &[usize], mean: f64, std: f64, dtype: DType, place: Place) -> Result<Array> {
    fill("normal", shape, dtype, place, |n, block| {
        let first = (n % 4 / 2 * 2) as usize;
        let (a, b) = (block[first], block[first + 1]);
        let radius = (-2.0 * (fraction(a) + 1.0 / f64::from(1 << 24)).ln()).sqrt();
        let (sin, cos) = (std::f64::consts::TAU * fraction(b)).sin_cos();
        mean + std * radius * if n % 2 == 0 { cos } else { sin }
    })
}

fn fill(
    op: &'static str,
    shape: &[usize],
    dtype: DType,
    place: Place,
    f: impl Fn(u64, [u32; 4]) -> f64,
) -> Result<Array> {
    if !dtype.is_float() {
        return Err(crate::element::no_floats(op, dtype));
    }
    let count = numel(op, shape)?;
    by_type!(dtype, T => {
        let mut out = room::<T>(count)?;
        let numbers = place.words(count).map(|(n, block)| f(n, block));
        out.extend(numbers.map(<T as crate::cast::Target>::of_float));
        Array::from_vec(out, shape)
    })
}

/// Integers from `low` up to before `high`, as int64. See the [mapping](self).
///
/// # Errors
/// [`Error::Parameter`] for no or more than 2³² integers; else as [`uniform`].
pub fn integers(shape: &[usize], low: i64, high: i64, place: Place) -> Result<Array> {
    const OP: &str = "integers";
    let range = high.checked_sub(low).filter(|r| (1..=1 << 32).contains(r));
    let Some(range) = range else {
        let problem = format!("from {low} up to before {high}");
        return Err(Error::parameter(OP, problem, "give a range of 1 to 2^32 integers"));
    };
    let count = numel(OP, shape)?;
    let mut out = room::<i64>(count)?;
    out.extend(place.words(count).map(|(n, block)| {
        let word = u128::from(block[(n % 4) as usize]);
        low + ((word * range as u128) >> 32) as i64
    }));
    Array::from_vec(out, shape)
}

/// Truth values, true with this probability. See the [mapping](self).
///
/// # Errors
/// [`Error::Parameter`] for a probability beyond 0 to 1; else as [`uniform`].
pub fn bernoulli(shape: &[usize], p: f64, place: Place) -> Result<Array> {
    mask("bernoulli", shape, p, place, |u| u < p)
}

/// What [`dropout`] keeps: false with this probability. See the [mapping](self).
///
/// # Errors
/// As [`bernoulli`].
pub fn dropout_mask(shape: &[usize], p: f64, place: Place) -> Result<Array> {
    mask("dropout_mask", shape, p, place, |u| u >= p)
}

fn mask(
    op: &'static str,
    shape: &[usize],
    p: f64,
    place: Place,
    f: impl Fn(f64) -> bool,
) -> Result<Array> {
    if !(0.0..=1.0).contains(&p) {
        return Err(Error::parameter(op, format!("probability {p}"), "give one from 0 to 1"));
    }
    let count = numel(op, shape)?;
    let mut out = room::<bool>(count)?;
    out.extend(place.words(count).map(|(n, block)| f(fraction(block[(n % 4) as usize]))));
    Array::from_vec(out, shape)
}

/// x / (1 − p) where it is kept, 0 elsewhere, and what was kept: `torch.nn.functional.dropout`.
///
/// # Errors
/// [`Error::DType`] for all but floats; else as [`bernoulli`].
pub fn dropout(x: &Array, p: f64, place: Place) -> Result<(Array, Array)> {
    let mask = dropout_mask(x.shape(), p, place)?;
    Ok((dropout_backward(x, &mask, p)?, mask))
}

/// The gradient of [`dropout`]: grad / (1 − p) where it was kept, 0 elsewhere.
///
/// # Errors
/// [`Error::Shape`] where the shapes differ, [`Error::DType`] for all but floats.
pub fn dropout_backward(grad: &Array, mask: &Array, p: f64) -> Result<Array> {
    const OP: &str = "dropout_backward";
    if !grad.dtype().is_float() {
        return Err(crate::element::no_floats(OP, grad.dtype()));
    }
    crate::rows::same_shape(OP, "the mask", mask, grad.shape())?;
    where_(mask, &div(grad, 1.0 - p)?, 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors that the authors publish with the generator.
    #[test]
    fn known_blocks() {
        let ones = u32::MAX;
        let wanted = [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd];
        assert_eq!(philox([ones; 2], [ones; 4]), wanted);
        let counter = [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344];
        let wanted = [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1];
        assert_eq!(philox([0xa409_3822, 0x299f_31d0], counter), wanted);
    }

    #[test]
    fn a_stream_is_the_same_in_parts() -> Result<()> {
        let place = Place { seed: 0x1234_5678_9abc_def0, offset: (1 << 34) + 1 };
        for draw in [
            |n: usize, place| uniform(&[n], 0.0, 1.0, DType::F32, place),
            |n: usize, place| normal(&[n], 0.0, 1.0, DType::F32, place),
        ] {
            let whole = draw(11, place)?.to_vec::<f32>()?;
            let mut parts = draw(3, place)?.to_vec::<f32>()?;
            parts.extend(draw(8, place.after(3))?.to_vec::<f32>()?);
            assert_eq!(whole, parts);
        }
        Ok(())
    }
}
