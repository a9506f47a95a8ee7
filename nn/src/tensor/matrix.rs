//! Products of matrices, layers.

use super::Tensor;
use super::pointwise::fit;
use crate::error::Result;
use crate::exec::{Activation, Unary};

/// What is done with the elements that a linear layer gives, by [`Tensor::linear_activation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayerActivation {
    /// [`Tensor::relu`].
    Relu,
    /// [`Tensor::gelu`].
    Gelu,
    /// [`Tensor::gelu_tanh`].
    GeluTanh,
    /// [`Tensor::silu`].
    Silu,
    /// [`Tensor::tanh`].
    Tanh,
    /// [`Tensor::sigmoid`].
    Sigmoid,
}

impl Tensor {
    /// The product of two matrices, of a matrix and a vector, of two vectors, or of many matrices whose
    /// outer dimensions broadcast, as `torch.matmul` has it.
    ///
    /// # Errors
    /// [`Error::Devices`](crate::Error::Devices); what executors say of shapes and types.
    pub fn matmul(&self, other: &Tensor) -> Result<Tensor> {
        // A vector is a row on the left, a column on the right; its dimension goes again at the end.
        if self.ndim() == 1 && other.ndim() > 0 {
            let rows = self.unsqueeze(0)?.matmul(other)?;
            return rows.squeeze(if other.ndim() == 1 { -1 } else { -2 });
        }
        if other.ndim() == 1 && self.ndim() > 0 {
            return self.matmul(&other.unsqueeze(1)?)?.squeeze(-1);
        }
        let value = self.get().matmul(&other.get())?;
        Ok(Tensor::computed("matmul", value, &[self, other], |_| {
            let (a, b) = (self.save(), other.save());
            Box::new(move |grad, wants| {
                let grad = grad.get()?;
                Ok(vec![
                    wants.then(0, || {
                        let all = grad.matmul(&b.get("matmul")?.transpose(-1, -2)?)?;
                        fit(all, a.peek().shape(), a.peek().dtype())
                    })?,
                    wants.then(1, || {
                        let all = a.get("matmul")?.transpose(-1, -2)?.matmul(grad)?;
                        fit(all, b.peek().shape(), b.peek().dtype())
                    })?,
                ])
            })
        }))
    }

    /// `self weightᵀ + bias`: `torch.nn.functional.linear`. The weight has shape (out, in), the bias
    /// (out).
    ///
    /// # Errors
    /// As for [`matmul`](Tensor::matmul).
    pub fn linear(&self, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        self.layer(weight, bias, Activation::default())
    }

    /// [`linear`](Tensor::linear) and what is done with each element of its result, in one where the device
    /// does that: as [`Sequential`](crate::Sequential) has a linear layer and the activation behind it.
    ///
    /// # Errors
    /// As for [`matmul`](Tensor::matmul).
    ///
    /// ```
    /// use numpack_nn::{LayerActivation, Tensor};
    /// let x = Tensor::from_slice(&[1.0_f32, -2.0], &[1, 2])?;
    /// let weight = Tensor::from_slice(&[1.0_f32, 0.0, 0.0, 1.0], &[2, 2])?;
    /// let y = x.linear_activation(&weight, None, LayerActivation::Relu)?;
    /// assert_eq!(y.to_vec::<f32>()?, [1.0, 0.0]);
    /// # Ok::<(), numpack_nn::Error>(())
    /// ```
    pub fn linear_activation(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        activation: LayerActivation,
    ) -> Result<Tensor> {
        let op = match activation {
            LayerActivation::Relu => Unary::Relu,
            LayerActivation::Gelu => Unary::Gelu,
            LayerActivation::GeluTanh => Unary::GeluTanh,
            LayerActivation::Silu => Unary::Silu,
            LayerActivation::Tanh => Unary::Tanh,
            LayerActivation::Sigmoid => Unary::Sigmoid,
        };
        self.layer(weight, bias, Activation(Some(op)))
    }

    /// A linear layer and what is done with each element of its result, in one.
    pub(crate) fn layer(
        &self,
        weight: &Tensor,
        bias: Option<&Tensor>,
        activation: Activation,
    ) -> Result<Tensor> {
        // What the activation took is needed on the way back, where its result will not do.
        if let Activation(Some(unary)) = activation
            && !unary.saves_output()
            && crate::autograd::is_grad_enabled()
            && [Some(self), Some(weight), bias].into_iter().flatten().any(Tensor::requires_grad)
        {
            return self.layer(weight, bias, Activation::default())?.unary(unary);
        }
        let b = bias.map(Tensor::get);
        let value = self.get().linear(&weight.get(), b.as_ref(), activation)?;
        let inputs: Vec<&Tensor> = [Some(self), Some(weight), bias].into_iter().flatten().collect();
        let rectifies = activation == Activation(Some(Unary::Relu));
        Ok(Tensor::computed_layer("linear", value, &inputs, rectifies, |out| {
            let (x, w) = (self.save(), weight.save());
            let like = bias.map(Tensor::dtype);
            let is_rectified = self.is_rectified();
            Box::new(move |gradient, wants| {
                let grad = gradient.get()?;
                let grad = match activation {
                    Activation(Some(op)) if !(rectifies && gradient.is_rectified()) => {
                        &grad.unary_backward(op, out.get("linear")?)?
                    }
                    _ => grad,
                };
                let (x, w) = (|| x.get("linear"), || w.get("linear"));
                let for_x = wants.then(0, || {
                    let (x, w) = (x()?, w()?);
                    let (grad, rectified) =
                        grad.linear_input_backward(w, is_rectified.then_some(x))?;
                    if rectified {
                        wants.rectified();
                    }
                    grad.cast(x.dtype())
                })?;
                let (mut for_w, mut for_b) = (None, None);
                if wants.input(1) {
                    let slots = (wants.slot(1), wants.slot(2));
                    let (x, dtype) = (x()?, w()?.dtype());
                    let grads = grad.linear_weight_backward(x, wants.input(2), slots)?;
                    for_w = Some(grads.0.cast(dtype)?);
                    for_b = grads.1;
                } else if wants.input(2) {
                    for_b = Some(grad.rows()?.sum(&[0], false)?);
                }
                let mut all = vec![for_x, for_w];
                if let Some(dtype) = like {
                    all.push(for_b.map(|b| b.cast(dtype)).transpose()?);
                }
                Ok(all)
            })
        }))
    }
}
