//! Losses.

use numpack_host_ops::Reduction;

use super::Tensor;
use crate::error::{Error, Result};
use crate::exec::{Losses, Unary, Value};

/// Options of [`Tensor::cross_entropy`]; the defaults are torch's.
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    /// A weight for each class, in the logits' type.
    pub weight: Option<Tensor>,
    /// A target index that counts for nothing.
    pub ignore_index: i64,
    /// What part of a target is spread over all classes: 0 to 1.
    pub label_smoothing: f64,
    /// What becomes of the losses of a batch.
    pub reduction: Reduction,
}

impl Default for CrossEntropy {
    fn default() -> CrossEntropy {
        CrossEntropy {
            weight: None,
            ignore_index: -100,
            label_smoothing: 0.0,
            reduction: Reduction::Mean,
        }
    }
}

impl CrossEntropy {
    pub(crate) fn losses(&self, of_logs: bool) -> Losses {
        Losses {
            weight: self.weight.as_ref().map(Tensor::get),
            ignore_index: self.ignore_index,
            label_smoothing: if of_logs { 0.0 } else { self.label_smoothing },
            reduction: self.reduction,
            of_logs,
        }
    }
}

impl Tensor {
    /// The cross entropy between the probabilities that softmax makes of these logits, of shape
    /// (classes), (batch, classes) or (batch, classes, …), and a target: class indices of that shape
    /// without classes, or probabilities of the same shape (`torch.nn.functional.cross_entropy`).
    ///
    /// # Errors
    /// [`Error::Devices`]; what executors say of shapes, types, classes and options.
    pub fn cross_entropy(&self, target: &Tensor, options: &CrossEntropy) -> Result<Tensor> {
        self.loss(target, options.losses(false))
    }

    /// The same behind [`log_softmax`](Tensor::log_softmax), of class indices
    /// (`torch.nn.functional.nll_loss`); label smoothing is not used.
    ///
    /// # Errors
    /// As for [`cross_entropy`](Tensor::cross_entropy).
    pub fn nll_loss(&self, target: &Tensor, options: &CrossEntropy) -> Result<Tensor> {
        self.loss(target, options.losses(true))
    }

    fn loss(&self, target: &Tensor, options: Losses) -> Result<Tensor> {
        if target.requires_grad() {
            let problem = "a target that wants a gradient";
            return Err(Error::grad(options.name(), problem, "detach it"));
        }
        let (x, y) = (self.get(), target.get());
        let wanted = crate::autograd::is_grad_enabled() && self.requires_grad();
        let fused = if wanted { x.losses_with_grad(&y, &options)? } else { None };
        let (value, slope) = match fused {
            Some((losses, slope)) => (losses.sum(&[], false)?.cast(x.dtype())?, Some(slope)),
            None => (x.loss(&y, &options)?, None),
        };
        Ok(Tensor::computed(options.name(), value, &[self], |_| {
            let (x, y) = (self.save(), target.save());
            Box::new(move |grad, _| {
                let name = options.name();
                Ok(vec![Some(match &slope {
                    Some(slope) if grad.is_one() => slope.clone(),
                    Some(slope) => slope.mul(grad.get()?)?,
                    None => grad.get()?.loss_backward(x.get(name)?, y.get(name)?, &options)?,
                })])
            })
        }))
    }

    /// (x - target)² (`torch.nn.functional.mse_loss`), of two tensors of one shape.
    ///
    /// # Errors
    /// [`Error::Parameter`] for two shapes; [`Error::Devices`]; what executors say of types.
    pub fn mse_loss(&self, target: &Tensor, reduction: Reduction) -> Result<Tensor> {
        must_match("mse_loss", self, target)?;
        self.sub(target)?.square()?.reduced(reduction)
    }

    /// |x - target| (`torch.nn.functional.l1_loss`), of two tensors of one shape.
    ///
    /// # Errors
    /// As for [`mse_loss`](Tensor::mse_loss).
    pub fn l1_loss(&self, target: &Tensor, reduction: Reduction) -> Result<Tensor> {
        must_match("l1_loss", self, target)?;
        self.sub(target)?.abs()?.reduced(reduction)
    }

    /// The binary cross entropy between the sigmoid of these logits and a target from 0 to 1, of one
    /// shape: max(x, 0) - x · target + log(1 + e^-|x|)
    /// (`torch.nn.functional.binary_cross_entropy_with_logits`).
    ///
    /// # Errors
    /// As for [`mse_loss`](Tensor::mse_loss), and for a target that wants a gradient.
    pub fn binary_cross_entropy_with_logits(
        &self,
        target: &Tensor,
        reduction: Reduction,
    ) -> Result<Tensor> {
        const OP: &str = "binary_cross_entropy_with_logits";
        must_match(OP, self, target)?;
        if target.requires_grad() {
            return Err(Error::grad(OP, "a target that wants a gradient", "detach it"));
        }
        let (x, y) = (self.get(), target.get());
        let log = x.unary(Unary::Abs)?.unary(Unary::Neg)?.unary(Unary::Exp)?.log1p()?;
        let value = x.unary(Unary::Relu)?.sub(&x.mul(&y)?)?.add(&log)?;
        let each = Tensor::computed(OP, value, &[self], |_| {
            let (x, y) = (self.save(), target.save());
            Box::new(move |grad, _| {
                let slope: Value = x.get(OP)?.unary(Unary::Sigmoid)?.sub(y.get(OP)?)?;
                Ok(vec![Some(grad.get()?.mul(&slope)?)])
            })
        });
        each.reduced(reduction)
    }

    fn reduced(&self, reduction: Reduction) -> Result<Tensor> {
        match reduction {
            Reduction::None => Ok(self.clone()),
            Reduction::Mean => self.mean(),
            Reduction::Sum => self.sum(),
        }
    }
}

fn must_match(op: &'static str, x: &Tensor, target: &Tensor) -> Result<()> {
    if x.shape() == target.shape() {
        return Ok(());
    }
    let problem = format!("input {:?} and target {:?}", x.shape(), target.shape());
    Err(Error::parameter(op, problem, "give both in one shape"))
}
