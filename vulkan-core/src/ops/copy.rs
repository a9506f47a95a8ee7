//! Copies, casts, and what is put into tensors.

use super::bind::storage_range;
use super::pointwise::{Function, pointwise};
use crate::core::record::{Part, Work};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::Module;
use crate::tensor::Tensor;

impl Tensor {
    /// The tensor itself if its elements lie one after another in C order, else a copy that does.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn contiguous(&self) -> Result<Tensor> {
        if self.is_contiguous() { Ok(self.clone()) } else { self.copy() }
    }

    /// A copy, contiguous, in memory of its own.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn copy(&self) -> Result<Tensor> {
        let out = Tensor::empty(self.stream(), self.dtype(), self.shape())?;
        out.take_from(self)?;
        Ok(out)
    }

    /// The elements as another type, by PyTorch's `to`; the tensor itself if it has that type. Floats
    /// become integers by their integer part, or the end of the type that they are beyond, and NaN
    /// becomes 0; integers become narrower ones by their low bits; what is not 0 is true.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn to_dtype(&self, dtype: DType) -> Result<Tensor> {
        if dtype == self.dtype() {
            return Ok(self.clone());
        }
        let out = Tensor::empty(self.stream(), dtype, self.shape())?;
        out.take_from(self)?;
        Ok(out)
    }

    /// Copies the elements of another tensor over this one's, broadcast and cast if need be. All views
    /// of this memory see it.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a shape that does not expand to this one, a tensor of another device, and
    /// a tensor some of whose elements are the same memory; [`Error::OutOfMemory`],
    /// [`Error::DeviceLost`].
    pub fn copy_from(&self, other: &Tensor) -> Result<()> {
        other.must_be_on(self.stream())?;
        self.must_be_distinct()?;
        let source = other.expand(self.shape())?;
        // What is read while it is written over must be the very same element.
        let (ours, theirs) = (self.layout.extent(), source.layout.extent());
        let overlap = self.shares_storage(&source) && ours.0 < theirs.1 && theirs.0 < ours.1;
        if overlap && (source.layout != self.layout || source.dtype() != self.dtype()) {
            return self.take_from(&source.copy()?);
        }
        self.take_from(&source)
    }

    /// Puts a value into every element; all views of this memory see it.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a tensor some of whose elements are the same memory;
    /// [`Error::DeviceLost`].
    pub fn fill(&self, value: f64) -> Result<()> {
        self.must_be_distinct()?;
        self.put(bits_of(value, self.dtype()))
    }

    /// Puts these bits into every element.
    pub(crate) fn put(&self, bits: u64) -> Result<()> {
        if let Some((part, word)) = self.as_words(bits) {
            return self.stream().record(&Work::Fill(&[part], word));
        }
        let words = [bits as u32, (bits >> 32) as u32];
        let function = Function {
            module: Module::Fill,
            op: 0,
            scalar: [words[0], words[1], 0, 0],
            takes_place: false,
        };
        pointwise(self.stream(), &function, self, &[])
    }

    /// Its bytes, and the word that they are filled with, where they are whole words of one value.
    fn as_words(&self, bits: u64) -> Option<(Part<'_>, u32)> {
        let low = bits as u32;
        let word = match self.dtype().size() {
            1 => (low & 0xff) * 0x0101_0101,
            2 => (low & 0xffff) * 0x0001_0001,
            4 => low,
            _ if low == (bits >> 32) as u32 => low,
            _ => return None,
        };
        let start = (self.storage_offset() * self.dtype().size()) as u64;
        let end = start + self.nbytes() as u64;
        let whole =
            self.is_contiguous() && start < end && start.is_multiple_of(4) && end.is_multiple_of(4);
        whole.then(|| (Part::write(&self.storage, start, end), word))
    }

    /// Takes over another tensor's elements, of this shape.
    fn take_from(&self, source: &Tensor) -> Result<()> {
        let cast = source.dtype() != self.dtype();
        if !cast && self.is_contiguous() && source.is_contiguous() && self.copies_whole(source)? {
            return Ok(());
        }
        let module = if cast { Module::Cast } else { Module::Copy };
        let function = Function { module, op: 0, scalar: [0; 4], takes_place: false };
        pointwise(self.stream(), &function, self, &[source])
    }

    /// Copies bytes without a kernel, where Vulkan can.
    fn copies_whole(&self, source: &Tensor) -> Result<bool> {
        let nbytes = self.nbytes() as u64;
        let at = |t: &Tensor| (t.storage_offset() * t.dtype().size()) as u64;
        let (from, to) = (at(source), at(self));
        if nbytes == 0 || self.shares_storage(source) {
            return Ok(nbytes == 0);
        }
        let parts = [
            Part::read(&source.storage, from, from + nbytes),
            Part::write(&self.storage, to, to + nbytes),
        ];
        self.stream().record(&Work::Copy(&parts))?;
        Ok(true)
    }

    /// Refuses to write where two indices are the same memory.
    fn must_be_distinct(&self) -> Result<()> {
        let mut dims: Vec<(usize, usize)> = self
            .strides()
            .iter()
            .copied()
            .zip(self.shape().iter().copied())
            .filter(|&(_, size)| size > 1)
            .collect();
        dims.sort_unstable();
        // Each dimension steps over all that the smaller ones reach.
        let mut reach = 0;
        for (stride, size) in dims {
            if stride <= reach && self.numel() > 0 {
                return Err(Error::parameter(format!(
                    "elements of a tensor of shape {:?} and strides {:?} are the same memory; write to a \
                     copy",
                    self.shape(),
                    self.strides()
                )));
            }
            reach += stride * (size - 1);
        }
        Ok(())
    }
}

/// A number as a type's bits, as [`Tensor::to_dtype`] converts.
pub(crate) fn bits_of(value: f64, dtype: DType) -> u64 {
    match dtype {
        DType::F32 => (value as f32).to_bits().into(),
        DType::F16 => half::f16::from_f64(value).to_bits().into(),
        DType::BF16 => half::bf16::from_f64(value).to_bits().into(),
        DType::I32 => u64::from(value as i32 as u32),
        DType::I64 => value as i64 as u64,
        DType::U8 => u64::from(value as u8),
        DType::Bool => u64::from(value != 0.0),
    }
}

/// Numbers that go up by a step, in a tensor of one dimension. A piece of it that a kernel sees is
/// counted from its own start.
pub(crate) fn arange(out: &Tensor, start: f64, step: f64) -> Result<()> {
    let most = storage_range(out.stream()) as usize / out.dtype().size();
    let most = (most & !15).min(1 << 24);
    let n = out.numel();
    for at in (0..n).step_by(most) {
        let piece = out.narrow(0, at, most.min(n - at))?;
        let first = start + at as f64 * step;
        let (op, scalar) = if out.dtype().is_float() {
            (1, [(first as f32).to_bits(), (step as f32).to_bits(), 0, 0])
        } else {
            let (first, step) = (first as i64, step as i64);
            (2, [first as u32, (first >> 32) as u32, step as u32, (step >> 32) as u32])
        };
        let function = Function { module: Module::Fill, op, scalar, takes_place: false };
        pointwise(out.stream(), &function, &piece, &[])?;
    }
    Ok(())
}
