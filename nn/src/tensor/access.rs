//! Elements for reading, changing in place, moving between devices.

use std::sync::PoisonError;

use numpack_host_ops::{Array, Element, Scalar};

use super::Tensor;
use crate::autograd::is_grad_enabled;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::exec::Value;

impl Tensor {
    /// The elements in C order; those of a device are waited for.
    ///
    /// # Errors
    /// [`Error::Host`] for another type; what the device says.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        Ok(self.to_array()?.to_vec::<T>()?)
    }

    /// The elements as an array; those of a device are waited for and copied.
    ///
    /// # Errors
    /// What the device says.
    pub fn to_array(&self) -> Result<Array> {
        self.get().to_array()
    }

    /// The device's tensor, if it is on one: the same memory.
    #[cfg(feature = "vulkan")]
    pub fn vulkan(&self) -> Option<vulkan_core::Tensor> {
        match self.get() {
            Value::Device(t) => Some(t),
            Value::Host(_) => None,
        }
    }

    /// The only element.
    ///
    /// # Errors
    /// [`Error::Host`] if there is not exactly one; what the device says.
    pub fn item(&self) -> Result<f64> {
        Ok(match self.to_array()?.item()? {
            Scalar::Bool(b) => f64::from(u8::from(b)),
            Scalar::Int(i) => i as f64,
            Scalar::Float(f) => f,
        })
    }

    /// The same elements there; the tensor itself if they are there already. Gradients come back.
    ///
    /// # Errors
    /// [`Error::DType`] for a type that devices do not have; what executors say.
    pub fn to_device(&self, device: &Device) -> Result<Tensor> {
        let value = self.get();
        if value.is_on(device) {
            return Ok(self.clone());
        }
        let from = value.device();
        Ok(Tensor::computed("to_device", value.to_device(device)?, &[self], |_| {
            Box::new(move |grad, _| Ok(vec![Some(grad.get()?.to_device(&from)?)]))
        }))
    }

    /// The same elements on the host.
    ///
    /// # Errors
    /// What the device says.
    pub fn cpu(&self) -> Result<Tensor> {
        self.to_device(&Device::Cpu)
    }

    /// Writes other elements into this tensor: of any type and device, of a shape that broadcasts.
    ///
    /// # Errors
    /// [`Error::Grad`] where this tensor wants a gradient or was computed, and the change is noted (do it
    /// within [`no_grad`](crate::no_grad)); what executors say of shapes.
    pub fn copy_(&self, source: &Tensor) -> Result<()> {
        // Before the lock is taken: both may be one tensor.
        let source = source.get();
        self.change("copy_", |value| value.copy_from(&source))
    }

    /// Writes one number everywhere.
    ///
    /// # Errors
    /// As for [`copy_`](Tensor::copy_).
    pub fn fill_(&self, number: impl Into<Scalar>) -> Result<()> {
        let number = number.into();
        self.change("fill_", |value| {
            let one = Value::full(&value.device(), number, value.dtype(), &[])?;
            value.copy_from(&one)
        })
    }

    /// Takes these elements, bytes of its type in C order, if they are not the ones it has in every bit:
    /// what became of memory that it was made of. Says whether they were others. It is a change in place, by
    /// somebody who knows no gradients: also a leaf that wants one takes it, and a way back that needs
    /// what was there says so.
    ///
    /// # Errors
    /// [`Error::Parameter`] for another number of bytes, and on a device; [`Error::Host`] for a lack of memory.
    ///
    /// ```
    /// use numpack_nn::Tensor;
    /// let x = Tensor::from_slice(&[1_u8, 2], &[2])?;
    /// assert!(!x.refresh(&[1, 2])? && x.refresh(&[1, 3])?);
    /// assert_eq!(x.to_vec::<u8>()?, [1, 3]);
    /// # Ok::<(), numpack_nn::Error>(())
    /// ```
    pub fn refresh(&self, bytes: &[u8]) -> Result<bool> {
        const OP: &str = "refresh";
        let Value::Host(array) = self.get() else {
            let problem = format!("the tensor is on {}", self.device());
            return Err(Error::parameter(OP, problem, "copy_ into it"));
        };
        let nbytes = array.numel() * array.dtype().size();
        if bytes.len() != nbytes {
            let problem = format!("{} bytes for elements of {nbytes}", bytes.len());
            return Err(Error::parameter(OP, problem, "give as many"));
        }
        let is_same = match array.as_bytes() {
            Some(own) => own == bytes,
            None => array.to_bytes()? == bytes,
        };
        if is_same {
            return Ok(false);
        }
        let flat = Array::from_bytes(array.dtype(), bytes, &[array.numel()], &[1], 0)?;
        let shape: Vec<isize> = array.shape().iter().map(|&n| n as isize).collect();
        let new = flat.reshape(&shape)?;
        let mut value = self.0.value.write().unwrap_or_else(PoisonError::into_inner);
        self.0.version.bump();
        *value = Value::Host(new);
        Ok(true)
    }

    /// Changes the elements in place.
    pub(crate) fn change(
        &self,
        op: &'static str,
        f: impl FnOnce(&mut Value) -> Result<()>,
    ) -> Result<()> {
        if is_grad_enabled() && self.requires_grad() {
            let what =
                if self.is_leaf() { "a leaf that wants a gradient" } else { "a computed tensor" };
            let problem = format!("{what} is changed in place");
            return Err(Error::grad(op, problem, "do it within no_grad, or change a clone"));
        }
        let mut value = self.0.value.write().unwrap_or_else(PoisonError::into_inner);
        self.0.version.bump();
        f(&mut value)
    }

    /// Takes the elements of another tensor, of any shape, type and device, in the place of its own
    /// (`tensor.data = other`). The gradient goes, if it does not fit any more.
    ///
    /// # Errors
    /// [`Error::Grad`] for a computed tensor.
    pub fn set_data(&self, source: &Tensor) -> Result<()> {
        if !self.is_leaf() {
            let problem = "a computed tensor cannot take other elements";
            return Err(Error::grad("set_data", problem, "set those of a leaf"));
        }
        let new = source.get();
        let mut value = self.0.value.write().unwrap_or_else(PoisonError::into_inner);
        let fits = self.grad_value().is_none_or(|g| {
            g.shape() == new.shape() && g.dtype() == new.dtype() && g.is_on(&new.device())
        });
        if !fits {
            self.put_grad(None);
        }
        self.0.version.bump();
        *value = new;
        Ok(())
    }
}
