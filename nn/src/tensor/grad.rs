//! Leaves, gradients, the way back.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::Tensor;
use crate::autograd::{Gradient, run};
use crate::error::{Error, Result};
use crate::exec::Value;

impl Tensor {
    /// Says whether a gradient is to be computed for this leaf, and gives it back.
    ///
    /// # Errors
    /// [`Error::Grad`] for another type than floats, and where a computed tensor is to want none
    /// ([`detach`](Tensor::detach) it).
    pub fn requires_grad_(self, wants: bool) -> Result<Tensor> {
        const OP: &str = "requires_grad_";
        if self.is_leaf() {
            if wants && !self.dtype().is_float() {
                let problem = format!("a tensor of {} has no gradient", self.dtype());
                return Err(Error::grad(OP, problem, "cast it to a float type first"));
            }
            self.0.wants_grad.store(wants, Ordering::Relaxed);
        } else if !wants {
            let problem = "a tensor that was computed is not a leaf";
            return Err(Error::grad(OP, problem, "detach it instead"));
        }
        Ok(self)
    }

    /// The gradient that [`backward`](Tensor::backward) left, of this leaf's shape, type and device.
    pub fn grad(&self) -> Option<Tensor> {
        self.grad_value().map(Tensor::of)
    }

    pub(crate) fn grad_value(&self) -> Option<Value> {
        self.0.grad.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts another gradient there, or none.
    ///
    /// # Errors
    /// [`Error::Grad`] for another shape, type or device than the tensor's.
    pub fn set_grad(&self, grad: Option<&Tensor>) -> Result<()> {
        if let Some(grad) = grad {
            self.must_fit("set_grad", &grad.value())?;
        }
        self.put_grad(grad.map(Tensor::get));
        Ok(())
    }

    /// Without a gradient again (`zero_grad` of optimisers and modules).
    pub fn zero_grad(&self) {
        self.put_grad(None);
    }

    pub(crate) fn put_grad(&self, grad: Option<Value>) {
        if grad.is_none()
            && let Some((_, used)) =
                &mut *self.0.slot.lock().unwrap_or_else(PoisonError::into_inner)
        {
            *used = false;
        }
        *self.0.grad.lock().unwrap_or_else(PoisonError::into_inner) = grad;
    }

    /// Has its gradients written there, or wherever they come.
    pub(crate) fn set_slot(&self, slot: Option<Value>) {
        let slot = slot.map(|slot| (slot, false));
        *self.0.slot.lock().unwrap_or_else(PoisonError::into_inner) = slot;
    }

    /// Where to write its gradient, for the first that asks since it had none.
    pub(crate) fn take_slot(&self) -> Option<Value> {
        let mut slot = self.0.slot.lock().unwrap_or_else(PoisonError::into_inner);
        let (value, used) = slot.as_mut()?;
        (!std::mem::replace(used, true)).then(|| value.clone())
    }

    /// What its gradient will be with this one added.
    pub(crate) fn grad_with(&self, grad: Value) -> Result<Value> {
        match self.grad_value() {
            Some(earlier) => earlier.add(&grad),
            None => Ok(grad),
        }
    }

    fn must_fit(&self, op: &'static str, grad: &Value) -> Result<()> {
        let value = self.value();
        if grad.shape() != value.shape()
            || grad.dtype() != value.dtype()
            || !grad.is_on(&value.device())
        {
            let problem = format!(
                "a gradient of {} {:?} on {} for a tensor of {} {:?} on {}",
                grad.dtype(),
                grad.shape(),
                grad.device(),
                value.dtype(),
                value.shape(),
                value.device()
            );
            return Err(Error::grad(
                op,
                problem,
                "give one of the tensor's type, shape and device",
            ));
        }
        Ok(())
    }

    /// The same elements, in the same memory, computed of nothing.
    pub fn detach(&self) -> Tensor {
        Tensor::with(self.get(), self.0.version.clone(), None)
    }

    /// Adds the gradient of this number to the [`grad`](Tensor::grad) of each leaf that it was
    /// computed of. What was kept for that is given up.
    ///
    /// # Errors
    /// [`Error::Grad`] if there is more than one element, if nothing it was computed of wants a
    /// gradient, if a `backward` has been this way before, or if a tensor that is needed was changed in
    /// place; what executors say. After an error all leaves are as they were.
    pub fn backward(&self) -> Result<()> {
        self.backward_with(None, false)
    }

    /// The same, of any shape: with the gradient of this tensor, 1 of one element if none is given. With
    /// `retain_graph` another `backward` can follow.
    ///
    /// # Errors
    /// As for [`backward`](Tensor::backward), and for a gradient of another shape, type or device.
    pub fn backward_with(&self, grad: Option<&Tensor>, retain_graph: bool) -> Result<()> {
        const OP: &str = "backward";
        let Some(target) = self.target() else {
            let problem = "nothing that this tensor was computed of wants a gradient";
            return Err(Error::grad(OP, problem, "set requires_grad_ on that before"));
        };
        let gradient = match grad {
            Some(grad) => {
                self.must_fit(OP, &grad.value())?;
                Gradient::new(grad.get())
            }
            None => {
                let value = self.value();
                if value.numel() != 1 {
                    let problem =
                        format!("a tensor of shape {:?} is no single number", value.shape());
                    return Err(Error::grad(OP, problem, "reduce it, or give its gradient"));
                }
                match value.ndim() {
                    0 => Gradient::one(value.device(), value.dtype()),
                    _ => {
                        let one =
                            Value::full(&value.device(), 1.0.into(), value.dtype(), value.shape());
                        Gradient::new(one?)
                    }
                }
            }
        };
        run(target, gradient, retain_graph)
    }
}
