//! Products of matrices, layers.

use super::Tensor;
use super::pointwise::fit;
use crate::error::Result;
use crate::exec::{Activation, Value};

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
        Ok(Tensor::computed("linear", value, &inputs, |out| {
            let (x, w) = (self.save(), weight.save());
            let like = bias.map(Tensor::dtype);
            Box::new(move |grad, wants| {
                let grad = grad.get()?;
                let grad = match activation {
                    Activation(Some(op)) => &grad.unary_backward(op, out.get("linear")?)?,
                    Activation(None) => grad,
                };
                let rows = |v: &Value| -> Result<Value> {
                    let last = v.shape().last().copied().unwrap_or(1);
                    let count = v.shape().iter().rev().skip(1).product();
                    v.reshape(&[count, last])
                };
                let mut all = vec![
                    wants.then(0, || grad.matmul(w.get("linear")?)?.cast(x.peek().dtype()))?,
                    wants.then(1, || {
                        let product =
                            rows(grad)?.transpose(0, 1)?.matmul(&rows(x.get("linear")?)?)?;
                        product.cast(w.peek().dtype())
                    })?,
                ];
                if let Some(dtype) = like {
                    all.push(wants.then(2, || rows(grad)?.sum(&[0], false)?.cast(dtype))?);
                }
                Ok(all)
            })
        }))
    }
}
