//! Linear layers: a product with bias and activation in one kernel, and their gradients in two.

use super::matmul::{Finish, Target, is_written_directly, product_into};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// What is done with each element of a product before it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u32)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// [`relu`](Tensor::relu).
    Relu,
    /// [`gelu`](Tensor::gelu).
    Gelu,
    /// [`gelu_tanh`](Tensor::gelu_tanh).
    GeluTanh,
    /// [`silu`](Tensor::silu).
    Silu,
    /// [`tanh`](Tensor::tanh).
    Tanh,
    /// [`sigmoid`](Tensor::sigmoid).
    Sigmoid,
}

impl Activation {
    /// The activation of each element.
    ///
    /// # Errors
    /// As for [`relu`](Tensor::relu).
    pub fn forward(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Activation::None => Ok(x.clone()),
            Activation::Relu => x.relu(),
            Activation::Gelu => x.gelu(),
            Activation::GeluTanh => x.gelu_tanh(),
            Activation::Silu => x.silu(),
            Activation::Tanh => x.tanh(),
            Activation::Sigmoid => x.sigmoid(),
        }
    }

    /// Whether [`backward`](Activation::backward) wants what the activation gave; otherwise it wants
    /// what it took.
    pub const fn saves_output(self) -> bool {
        matches!(self, Activation::None | Activation::Relu | Activation::Tanh | Activation::Sigmoid)
    }

    /// The gradient of what the activation took, of its type and shape. `saved` is its result where
    /// [`saves_output`](Activation::saves_output) says so, else what it took.
    ///
    /// # Errors
    /// As for [`relu_backward`](Tensor::relu_backward).
    pub fn backward(self, grad: &Tensor, saved: &Tensor) -> Result<Tensor> {
        match self {
            Activation::None => Ok(grad.clone()),
            Activation::Relu => grad.relu_backward(saved),
            Activation::Gelu => grad.gelu_backward(saved),
            Activation::GeluTanh => grad.gelu_tanh_backward(saved),
            Activation::Silu => grad.silu_backward(saved),
            Activation::Tanh => grad.tanh_backward(saved),
            Activation::Sigmoid => grad.sigmoid_backward(saved),
        }
    }
}

/// So many rows of a gradient, or fewer, are summed by the kernel that multiplies them.
const ONCE: usize = 1024;

impl Tensor {
    /// `activation(self weightᵀ + bias)`: what a linear layer computes, in one kernel
    /// (`torch.nn.functional.linear`). The weight has shape (out, in), the bias (out).
    ///
    /// # Errors
    /// As for [`matmul`](Tensor::matmul).
    pub fn linear(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        activation: Activation,
    ) -> Result<Tensor> {
        must_be_weight("linear", weight)?;
        if let Some(bias) = bias
            && bias.shape() != [weight.shape()[0]]
        {
            let (have, want) = (bias.shape(), weight.shape()[0]);
            return Err(Error::parameter(format!(
                "linear: a bias of shape {have:?} is not one number for each of {want} columns"
            )));
        }
        let (out, dtype) = self.product(&weight.t()?, Finish::Forward(bias, activation))?;
        out.to_dtype(dtype)
    }

    /// The gradient for the input of [`linear`](Tensor::linear), from that of its result before the
    /// activation: self · weight, of shape (…, in) where this is (…, out).
    ///
    /// It is that of what an activation `below` the layer took, if `saved`, of the result's shape, is
    /// what that gave, or took where [`saves_output`](Activation::saves_output) says so: times the
    /// derivative, in the same kernel but for [`Gelu`](Activation::Gelu),
    /// [`GeluTanh`](Activation::GeluTanh) and [`Silu`](Activation::Silu), which have another. It then has
    /// the type of `saved`, otherwise the common one. With [`None`](Activation::None), `saved` is not
    /// looked at.
    ///
    /// The product is within what [`matmul`](Tensor::matmul) promises, and the derivative within what
    /// [`relu_backward`](Tensor::relu_backward) and the others do.
    ///
    /// # Errors
    /// As for [`matmul`](Tensor::matmul); and [`Error::Parameter`] for an activation without `saved`, and
    /// one of another shape.
    pub fn linear_input_backward(
        &self,
        weight: &Tensor,
        below: Activation,
        saved: Option<&Tensor>,
    ) -> Result<Tensor> {
        const OP: &str = "linear_input_backward";
        must_be_weight(OP, weight)?;
        let plain = Finish::Forward(None, Activation::None);
        if below == Activation::None {
            let (out, dtype) = self.product(weight, plain)?;
            return out.to_dtype(dtype);
        }
        let shape = match self.shape().split_last() {
            Some((_, batch)) => [batch, &[weight.shape()[1]]].concat(),
            None => Vec::new(),
        };
        let Some(saved) = saved.filter(|saved| saved.shape() == shape) else {
            let problem = match saved {
                Some(saved) => format!("what was kept has shape {:?}", saved.shape()),
                None => "nothing was kept".to_owned(),
            };
            return Err(Error::parameter(format!(
                "{OP}: {problem}; give what {below:?} gave or took, of shape {shape:?}"
            )));
        };
        match below {
            Activation::Relu | Activation::Tanh | Activation::Sigmoid => {
                let (out, dtype) = self.product(weight, Finish::Backward(below, saved))?;
                out.to_dtype(dtype)
            }
            _ => below.backward(&self.product(weight, plain)?.0, saved),
        }
    }

    /// The gradients for the weight and, if there is one, the bias of [`linear`](Tensor::linear), from that
    /// of its result before the activation: selfᵀ · x over all rows, of shape (out, in), where this is
    /// (…, out) and `x`, what the layer took, (…, in); and the sums of this over all rows, of shape (out).
    ///
    /// Both come of one kernel where there are at most 1024 rows. The first is of the common type, within
    /// what [`matmul`](Tensor::matmul) promises; the second of this one's, within what
    /// [`sum`](Tensor::sum) does.
    ///
    /// # Errors
    /// As for [`matmul`](Tensor::matmul); [`Error::Parameter`] for outer dimensions that differ.
    pub fn linear_weight_backward(
        &self,
        x: &Tensor,
        bias: bool,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let (grads, taken) = self.rows_beside("linear_weight_backward", x)?;
        let (outputs, inputs) = (grads.shape()[1], taken.shape()[1]);
        let new = |shape: &[usize]| Tensor::empty(self.stream(), DType::F32, shape);
        let weight_grad = new(&[outputs, inputs])?;
        let bias_grad = bias.then(|| new(&[outputs])).transpose()?;
        weigh(&grads, &taken, &weight_grad, bias_grad.as_ref(), false)?;
        let common = if x.dtype() == self.dtype() { x.dtype() } else { DType::F32 };
        let bias_grad = bias_grad.map(|sums| sums.to_dtype(self.dtype())).transpose()?;
        Ok((weight_grad.to_dtype(common)?, bias_grad))
    }

    /// The same into tensors that are there, such as views of one that holds all gradients of a network:
    /// written over, or added to what they hold, in 32 bits. They may be of any float type and lie in any
    /// order; contiguous ones of `float32` are written by the kernel itself, others by one or two more.
    ///
    /// # Errors
    /// As for [`linear_weight_backward`](Tensor::linear_weight_backward); [`Error::Parameter`] for tensors
    /// of other shapes, and for those that share memory with each other or with what is read.
    pub fn linear_weight_backward_into(
        &self,
        x: &Tensor,
        weight_grad: &Tensor,
        bias_grad: Option<&Tensor>,
        accumulate: bool,
    ) -> Result<()> {
        const OP: &str = "linear_weight_backward_into";
        let (grads, taken) = self.rows_beside(OP, x)?;
        let (outputs, inputs) = (grads.shape()[1], taken.shape()[1]);
        let results =
            [Some((weight_grad, vec![outputs, inputs])), bias_grad.map(|t| (t, vec![outputs]))];
        let mut others = vec![self, x];
        for (t, shape) in results.iter().flatten() {
            t.must_be_on(self.stream())?;
            if t.shape() != *shape || !t.dtype().is_float() {
                return Err(Error::parameter(format!(
                    "{OP}: a gradient of shape {shape:?} does not go into a tensor of {} and shape {:?}; \
                     give floats of that shape",
                    t.dtype(),
                    t.shape()
                )));
            }
            if others.iter().any(|other| t.overlaps(other)) {
                let problem = format!("{OP}: a result shares memory with another or what is read");
                return Err(Error::Parameter(problem + "; give each memory of its own"));
            }
            others.push(t);
        }
        if [Some(weight_grad), bias_grad].into_iter().flatten().all(is_written_directly) {
            return weigh(&grads, &taken, weight_grad, bias_grad, accumulate);
        }
        let new = |like: &Tensor| Tensor::empty(self.stream(), DType::F32, like.shape());
        let (weights, sums) = (new(weight_grad)?, bias_grad.map(new).transpose()?);
        weigh(&grads, &taken, &weights, sums.as_ref(), false)?;
        weight_grad.take_or_add(&weights, accumulate)?;
        match (bias_grad, sums) {
            (Some(bias_grad), Some(sums)) => bias_grad.take_or_add(&sums, accumulate),
            _ => Ok(()),
        }
    }

    /// This and `x` as matrices of as many rows.
    fn rows_beside(&self, op: &str, x: &Tensor) -> Result<(Tensor, Tensor)> {
        x.must_be_on(self.stream())?;
        if let Some(t) = [self, x].into_iter().find(|t| !t.dtype().is_float()) {
            let problem = format!("{op}: {} has no gradient", t.dtype());
            return Err(Error::Parameter(problem + "; give floats"));
        }
        let (Some((&outputs, batch)), Some((&inputs, x_batch))) =
            (self.shape().split_last(), x.shape().split_last())
        else {
            return Err(Error::parameter(format!(
                "{op}: a tensor without dimensions; give (…, out)"
            )));
        };
        if batch != x_batch {
            return Err(Error::parameter(format!(
                "{op}: a gradient of shape {:?} and an input of {:?}; give (…, out) and (…, in)",
                self.shape(),
                x.shape()
            )));
        }
        let rows = batch.iter().product();
        Ok((self.reshape(&[rows, outputs])?, x.reshape(&[rows, inputs])?))
    }

    /// Takes over another tensor's elements, or adds them to what is there.
    pub(super) fn take_or_add(&self, other: &Tensor, adds: bool) -> Result<()> {
        if adds { self.copy_from(&self.add(other)?) } else { self.copy_from(other) }
    }

    /// Whether some byte may be shown by both.
    fn overlaps(&self, other: &Tensor) -> bool {
        let bytes = |t: &Tensor| {
            let (start, end) = t.layout.extent();
            (start * t.dtype().size(), end * t.dtype().size())
        };
        let (ours, theirs) = (bytes(self), bytes(other));
        self.shares_storage(other) && ours.0 < theirs.1 && theirs.0 < ours.1
    }
}

/// gradsᵀ · x, and the sums of the columns of `grads`, into contiguous tensors of `float32`.
fn weigh(
    grads: &Tensor,
    x: &Tensor,
    weight_grad: &Tensor,
    bias_grad: Option<&Tensor>,
    adds: bool,
) -> Result<()> {
    let rows = grads.shape()[0];
    // A kernel that multiplies nothing sums nothing.
    let fused = rows <= ONCE && rows * weight_grad.numel() > 0;
    let sums = bias_grad.filter(|_| fused);
    let target = Target { out: weight_grad, sums, adds, once: fused };
    product_into(&grads.t()?, x, target)?;
    match bias_grad {
        Some(bias_grad) if !fused => {
            bias_grad.take_or_add(&grads.to_dtype(DType::F32)?.sum(&[0], false)?, adds)
        }
        _ => Ok(()),
    }
}

fn must_be_weight(op: &str, weight: &Tensor) -> Result<()> {
    if weight.ndim() == 2 {
        return Ok(());
    }
    let problem = format!("a weight of shape {:?} has not two dimensions", weight.shape());
    Err(Error::Parameter(format!("{op}: {problem}; give (out, in)")))
}
