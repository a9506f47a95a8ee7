//! Random numbers that do not depend on who draws them.
//!
//! The streams are those of `numpack-host-ops` (its module `random` has the mapping, which is a promise):
//! Philox4x32-10 with the seed as the key, element `e` in C order being number `offset + e`. Uniform
//! numbers and truth values have the same bits on every device and on the host.

use super::flat::{Flat, SCALARS};
use super::place::RandomSource;
use crate::core::record::Part;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::Module;
use crate::stream::Stream;
use crate::tensor::Tensor;

/// As `shaders/random.comp` numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Draw {
    Uniform,
    Normal,
    Bernoulli,
    Kept,
    Dropout,
}

impl Tensor {
    /// Uniform numbers from 0 up to before 1: multiples of 2⁻²⁴, for `float16` of 2⁻¹¹, for `bfloat16`
    /// of 2⁻⁸. The same bits everywhere. They are drawn from a [`Place`](crate::Place), or from where a
    /// [`&DevicePlace`](crate::DevicePlace) is by then.
    ///
    /// # Errors
    /// As for [`empty`](Tensor::empty), and [`Error::Parameter`] for a type that is no float.
    pub fn rand<'a>(
        stream: &Stream,
        dtype: DType,
        shape: &[usize],
        place: impl Into<RandomSource<'a>>,
    ) -> Result<Tensor> {
        must_be_float("rand", dtype)?;
        draw(stream, Draw::Uniform, dtype, shape, place.into(), 0.0)
    }

    /// Normal numbers of mean 0 and deviation 1, by Box and Muller: within 12 units in the last place of
    /// what the host draws.
    ///
    /// # Errors
    /// As for [`rand`](Tensor::rand).
    pub fn randn<'a>(
        stream: &Stream,
        dtype: DType,
        shape: &[usize],
        place: impl Into<RandomSource<'a>>,
    ) -> Result<Tensor> {
        must_be_float("randn", dtype)?;
        draw(stream, Draw::Normal, dtype, shape, place.into(), 0.0)
    }

    /// Truth values, each true with probability `p`. The same bits everywhere.
    ///
    /// # Errors
    /// As for [`empty`](Tensor::empty), and [`Error::Parameter`] for a probability beyond 0 to 1.
    pub fn bernoulli<'a>(
        stream: &Stream,
        p: f64,
        shape: &[usize],
        place: impl Into<RandomSource<'a>>,
    ) -> Result<Tensor> {
        must_be_probability("bernoulli", p)?;
        draw(stream, Draw::Bernoulli, DType::Bool, shape, place.into(), p)
    }

    /// What [`dropout`](Tensor::dropout) keeps: false with probability `p`. The same bits everywhere.
    ///
    /// # Errors
    /// As for [`bernoulli`](Tensor::bernoulli).
    pub fn dropout_mask<'a>(
        stream: &Stream,
        p: f64,
        shape: &[usize],
        place: impl Into<RandomSource<'a>>,
    ) -> Result<Tensor> {
        must_be_probability("dropout_mask", p)?;
        draw(stream, Draw::Kept, DType::Bool, shape, place.into(), p)
    }

    /// x / (1 - p), and 0 with probability `p` (`torch.nn.functional.dropout` in training), within 2 units
    /// in the last place. Its gradient is the same function of the gradient, with the same place.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a probability beyond 0 to 1, and for a tensor that is not of floats;
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn dropout<'a>(&self, p: f64, place: impl Into<RandomSource<'a>>) -> Result<Tensor> {
        must_be_float("dropout", self.dtype())?;
        must_be_probability("dropout", p)?;
        let out = Tensor::empty(self.stream(), self.dtype(), self.shape())?;
        let x = self.contiguous()?;
        run(Draw::Dropout, &[(&out, true), (&x, false)], place.into(), p)?;
        Ok(out)
    }
}

fn draw(
    stream: &Stream,
    draw: Draw,
    dtype: DType,
    shape: &[usize],
    place: RandomSource<'_>,
    p: f64,
) -> Result<Tensor> {
    let out = Tensor::empty(stream, dtype, shape)?;
    run(draw, &[(&out, true)], place, p)?;
    Ok(out)
}

fn run(draw: Draw, tensors: &[(&Tensor, bool)], place: RandomSource<'_>, p: f64) -> Result<()> {
    let stream = tensors[0].0.stream();
    let (seed, offset, beside) = match place {
        RandomSource::Place(place) => (place.seed, place.offset, None),
        RandomSource::Device(place) => {
            place.words.must_be_on(stream)?;
            // Of two words each: seed, place, and behind what was drawn.
            (0, place.after, Some(Part::write(&place.words.storage, 0, 32)))
        }
    };
    // u < p for a multiple u of 2^-24.
    let threshold = (p * f64::from(1 << 24)).ceil() as u32;
    let factor = if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 };
    let constants = &[beside.is_some().into()];
    let flat = Flat { module: Module::Random, op: draw as u32, constants, tensors, beside };
    flat.run(stream, |at| {
        let offset = offset.wrapping_add(at as u64);
        let mut scalars = [0; SCALARS];
        scalars[0] = seed as u32;
        scalars[1] = (seed >> 32) as u32;
        scalars[2] = offset as u32;
        scalars[3] = (offset >> 32) as u32;
        scalars[4] = threshold;
        scalars[5] = (factor as f32).to_bits();
        scalars
    })
}

fn must_be_float(name: &str, dtype: DType) -> Result<()> {
    if dtype.is_float() {
        return Ok(());
    }
    Err(Error::Parameter(format!("{name} is of floats, not {dtype}; give a float type")))
}

fn must_be_probability(name: &str, p: f64) -> Result<()> {
    if (0.0..=1.0).contains(&p) {
        return Ok(());
    }
    Err(Error::Parameter(format!("{name}: {p} is no probability; give a number from 0 to 1")))
}
