//! Copies of elements: into new memory, another order or type, one tensor into another.

use std::sync::Arc;

use super::cast::cast;
use super::copy::copy;
use super::layout::{Layout, c_strides};
use super::stored::element_type;
use super::{Device, Scalar, Storage, Tensor};
use crate::dtype::DType;
use crate::{Borrowed, Error, Result};

impl Tensor {
    /// Itself if its elements lie one after another in C order, else a copy in which they do.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`]; [`Error::InUse`]; [`Error::Sharing`] for a copy on a device.
    pub fn contiguous(&self) -> Result<Tensor> {
        if self.is_contiguous() { Ok(self.alias()) } else { self.clone() }
    }

    /// A copy in memory of its own, in C order, writable.
    ///
    /// # Errors
    /// As [`contiguous`](Tensor::contiguous).
    #[allow(clippy::should_implement_trait, reason = "torch's name; it can fail, and it copies")]
    pub fn clone(&self) -> Result<Tensor> {
        let mut new = Tensor::zeros(self.shape(), self.dtype)?;
        new.requires_grad = self.requires_grad;
        let src = self.storage.read()?;
        copy_all(&src, &self.layout, &mut new.storage.write()?, &new.layout, self.itemsize());
        Ok(new)
    }

    /// A copy of elements in somebody's memory, in C order.
    ///
    /// # Errors
    /// [`Error::Type`] for a type no tensor has, [`Error::Parameter`] for elements outside the
    /// memory, [`Error::OutOfMemory`].
    pub fn copy_of(from: &Borrowed<'_>) -> Result<Tensor> {
        let dtype = element_type("to be copied", from.dtype)?;
        let shape: Option<Vec<usize>> = from.shape.iter().map(|&n| n.try_into().ok()).collect();
        let fail = || {
            let (shape, n) = (from.shape, from.data.len());
            Error::Parameter(format!("shape {shape:?} reaches out of its {n} bytes"))
        };
        let shape = shape.ok_or_else(fail)?;
        let whole = Layout::contiguous(&shape)?;
        let size = dtype.size();
        let mut places = whole.places(size);
        places.offset = isize::try_from(from.offset).map_err(|_| fail())?;
        if let Some(strides) = from.strides {
            places.strides = strides.iter().map(|&s| s as isize).collect();
        }
        if places.strides.len() != shape.len() {
            let (sizes, strides) = (shape.len(), places.strides.len());
            return Err(Error::Parameter(format!("{sizes} sizes and {strides} strides")));
        }
        // In bytes, the elements' first ones lie within what has room for one.
        let bytes = Layout { shape, strides: places.strides.clone(), offset: from.offset };
        let last = bytes.extent().map_err(|_| fail())?;
        if last.is_some_and(|(_, last)| last.saturating_add(size) > from.data.len()) {
            return Err(fail());
        }
        let new = Tensor::zeros(&bytes.shape, dtype)?;
        let to = new.layout.places(size);
        copy(&bytes.shape, size, (from.data, &places), (&mut new.storage.write()?, &to));
        Ok(new)
    }

    /// The elements as another type: itself if it is that type already, else a copy.
    ///
    /// Integers wrap; a float loses its fraction on the way to an integer, and one that does not fit
    /// becomes the nearest integer there is, NaN 0 (NumPy leaves these two to the processor);
    /// whatever is not zero is true; a complex number loses its imaginary part; floats round to the
    /// nearest, of two to the even one. bfloat16, 8-bit floats and complex numbers of halves are made
    /// by way of a single, and what is too large for an 8-bit float becomes infinity, NaN in a type
    /// without one, but the largest number in `float8_e4m3fn`: as in torch.
    ///
    /// ```
    /// # use numpack_interop::{Tensor, dtype::DType};
    /// let t = Tensor::from_slice(&[1.9_f32, -1.9, 300.0], &[3])?;
    /// assert_eq!(t.to_dtype(DType::INT8)?.to_vec::<i8>()?, [1, -1, 127]);
    /// # Ok::<(), numpack_interop::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`contiguous`](Tensor::contiguous), and [`Error::Type`] for a type no tensor has.
    pub fn to_dtype(&self, dtype: DType) -> Result<Tensor> {
        if dtype == self.dtype {
            return Ok(self.alias());
        }
        let mut new = Tensor::zeros(self.shape(), dtype)?;
        new.requires_grad = self.requires_grad && dtype.is_differentiable();
        let src = self.contiguous()?;
        cast(&src.storage.read()?[src.run()], self.dtype, &mut new.storage.write()?, dtype);
        Ok(new)
    }

    /// Copies all elements in C order into memory the caller has, of [`nbytes`](Tensor::nbytes)
    /// bytes.
    ///
    /// # Errors
    /// [`Error::Parameter`] for memory of another size; [`Error::InUse`]; [`Error::Sharing`] on a
    /// device.
    pub fn read_into(&self, out: &mut [u8]) -> Result<()> {
        self.check_size(out.len())?;
        let to = Layout::contiguous(self.shape())?;
        copy_all(&self.storage.read()?, &self.layout, out, &to, self.itemsize());
        Ok(())
    }

    /// Writes all elements in C order from memory of [`nbytes`](Tensor::nbytes) bytes.
    ///
    /// # Errors
    /// As [`copy_from`](Tensor::copy_from), and [`Error::Parameter`] for memory of another size.
    pub fn write_from(&self, data: &[u8]) -> Result<()> {
        self.check_size(data.len())?;
        self.check_distinct()?;
        let from = Layout::contiguous(self.shape())?;
        copy_all(data, &from, &mut self.storage.write()?, &self.layout, self.itemsize());
        Ok(())
    }

    /// Looks at all elements in C order: where they are, if they lie so.
    #[cfg(feature = "nn")]
    pub(crate) fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> Result<R> {
        let flat = self.contiguous()?;
        Ok(f(&flat.storage.read()?[flat.run()]))
    }

    /// Has all elements written in C order: where they are, if they lie so.
    #[cfg(all(feature = "nn", feature = "vulkan"))]
    pub(crate) fn write_by(&self, f: impl FnOnce(&mut [u8]) -> Result<()>) -> Result<()> {
        if self.is_contiguous() {
            return f(&mut self.storage.write()?[self.run()]);
        }
        let mut bytes = vec![0; self.nbytes()];
        f(&mut bytes)?;
        self.write_from(&bytes)
    }

    fn check_size(&self, size: usize) -> Result<()> {
        match self.nbytes() {
            n if n == size => Ok(()),
            n => Err(Error::Parameter(format!("the buffer has {size} bytes, the elements {n}"))),
        }
    }

    /// Copies the elements of another tensor here, one for each index, converted to this type.
    /// `other` may be of fewer dimensions or sizes of 1, as [`expand`](Tensor::expand) has it. Where
    /// both show the same memory, what was there before is copied.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a shape that does not fit, or where several elements here are the
    /// same memory; [`Error::Sharing`] for read-only memory, or on a device; [`Error::InUse`].
    pub fn copy_from(&self, other: &Tensor) -> Result<()> {
        self.check_distinct()?;
        let sizes: Vec<isize> = self.shape().iter().map(|&n| n as isize).collect();
        let mut src = other.to_dtype(self.dtype)?;
        if src.storage.overlaps(&self.storage) {
            // What is read must not be what has just been written.
            src = src.clone()?;
        }
        let src = src.expand(&sizes)?;
        let from = src.storage.read()?;
        copy_all(&from, &src.layout, &mut self.storage.write()?, &self.layout, self.itemsize());
        Ok(())
    }

    /// Writes this value to every element. A fraction that the type lacks is cut off.
    ///
    /// # Errors
    /// As [`copy_from`](Tensor::copy_from), and [`Error::Parameter`] for a number that the type
    /// cannot hold.
    pub fn fill(&self, value: impl Into<Scalar>) -> Result<()> {
        self.check_distinct()?;
        let (bytes, size) = value.into().encode(self.dtype)?;
        let strides = vec![0; self.ndim()];
        let one = Layout { shape: self.shape().to_vec(), strides, offset: 0 };
        copy_all(&bytes[..size], &one, &mut self.storage.write()?, &self.layout, size);
        Ok(())
    }

    /// Refuses a tensor that shows some of its memory more than once, where it is to be written to:
    /// what [`expand`](Tensor::expand) makes. Strides from elsewhere may overlap in other ways; the
    /// last element written stays then.
    fn check_distinct(&self) -> Result<()> {
        let repeats = self.shape().iter().zip(self.strides()).any(|(&n, &s)| n > 1 && s == 0);
        if repeats && self.numel() > 0 {
            return Err(Error::Parameter(format!(
                "shape {:?} with strides {:?} shows elements more than once and cannot be written \
                 to; clone it first",
                self.shape(),
                self.strides()
            )));
        }
        Ok(())
    }

    /// A copy on a device, in C order.
    ///
    /// # Errors
    /// As [`contiguous`](Tensor::contiguous), and what the device says.
    pub fn to_device(&self, device: &Arc<dyn Device>) -> Result<Tensor> {
        let src = self.contiguous()?;
        let memory = Arc::clone(device).upload(&src.storage.read()?[src.run()])?;
        let mut new = Tensor::new(
            Storage::on_device(memory),
            self.dtype,
            self.shape(),
            &c_strides(self.shape()),
            0,
        )?;
        new.requires_grad = self.requires_grad;
        Ok(new)
    }

    /// Itself if it is in the memory of this process, else a copy there, with the same strides.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], and what the device says.
    pub fn cpu(&self) -> Result<Tensor> {
        let Some(memory) = self.storage.device() else { return Ok(self.alias()) };
        // Only what is shown is fetched.
        let (low, high) = self.layout.extent()?.map_or((0, 0), |(low, high)| (low, high + 1));
        let size = self.itemsize();
        let storage = Storage::zeros((high - low) * size)?;
        memory.download(low * size, &mut storage.write()?)?;
        let offset = if high == 0 { 0 } else { self.layout.offset - low };
        let mut new = Tensor::new(storage, self.dtype, self.shape(), self.strides(), offset)?;
        new.requires_grad = self.requires_grad;
        Ok(new)
    }
}

/// Copies all elements of one layout to another of the same shape.
fn copy_all(src: &[u8], from: &Layout, dst: &mut [u8], to: &Layout, size: usize) {
    copy(&from.shape, size, (src, &from.places(size)), (dst, &to.places(size)));
}
