//! Softmax, norms, dropout, embeddings.

use super::Tensor;
use super::create::draw;
use crate::error::{Error, Result};
use crate::exec::{Norm, Value};

impl Tensor {
    /// e to the power of each element over the sum of those along a dimension.
    ///
    /// # Errors
    /// What executors say of dimensions and types.
    pub fn softmax(&self, dim: isize) -> Result<Tensor> {
        let value = self.get().softmax(dim)?;
        Ok(Tensor::computed("softmax", value, &[self], |out| {
            Box::new(move |grad, _| {
                Ok(vec![Some(grad.get()?.softmax_backward(out.get("softmax")?, dim)?)])
            })
        }))
    }

    /// The logarithm of [`softmax`](Tensor::softmax).
    ///
    /// # Errors
    /// As for it.
    pub fn log_softmax(&self, dim: isize) -> Result<Tensor> {
        let value = self.get().log_softmax(dim)?;
        Ok(Tensor::computed("log_softmax", value, &[self], |out| {
            Box::new(move |grad, _| {
                Ok(vec![Some(grad.get()?.log_softmax_backward(out.get("log_softmax")?, dim)?)])
            })
        }))
    }

    /// (x - mean) / √(variance + eps) over the last dimensions, which have this shape, times the weight,
    /// plus the bias (`torch.nn.functional.layer_norm`).
    ///
    /// # Errors
    /// [`Error::Devices`]; what executors say of shapes and types.
    pub fn layer_norm(
        &self,
        shape: &[usize],
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f64,
    ) -> Result<Tensor> {
        self.norm("layer_norm", Norm::Layer(eps), shape, weight, bias)
    }

    /// x / √(mean of squares + eps) over the last dimensions, times the weight
    /// (`torch.nn.functional.rms_norm`). Without eps it is the type's.
    ///
    /// # Errors
    /// As for [`layer_norm`](Tensor::layer_norm).
    pub fn rms_norm(
        &self,
        shape: &[usize],
        weight: Option<&Tensor>,
        eps: Option<f64>,
    ) -> Result<Tensor> {
        self.norm("rms_norm", Norm::Rms(eps), shape, weight, None)
    }

    fn norm(
        &self,
        op: &'static str,
        norm: Norm,
        shape: &[usize],
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
    ) -> Result<Tensor> {
        let (w, b) = (weight.map(Tensor::get), bias.map(Tensor::get));
        let value = self.get().norm(norm, shape, w.as_ref(), b.as_ref())?;
        let inputs: Vec<&Tensor> = [Some(self), weight, bias].into_iter().flatten().collect();
        Ok(Tensor::computed(op, value, &inputs, |_| {
            let (x, w) = (self.save(), weight.map(Tensor::save));
            let (shape, has_bias) = (shape.to_vec(), bias.is_some());
            Box::new(move |grad, _| {
                let w = w.as_ref().map(|w| w.get(op)).transpose()?;
                let all = grad.get()?.norm_backward(norm, x.get(op)?, &shape, w)?;
                let mut grads = vec![Some(all.input)];
                grads.extend(w.map(|_| Some(all.weight)));
                grads.extend(has_bias.then_some(Some(all.bias)));
                Ok(grads)
            })
        }))
    }

    /// 0 with probability `p`, else x / (1 - p), after [`manual_seed`](crate::manual_seed).
    ///
    /// # Errors
    /// What executors say of another probability than 0 to 1, and of types.
    pub fn dropout(&self, p: f64) -> Result<Tensor> {
        let x = self.get();
        let place = draw(&x.device(), x.numel());
        Ok(Tensor::computed("dropout", x.dropout(p, &place)?, &[self], |_| {
            Box::new(move |grad, _| Ok(vec![Some(grad.get()?.dropout(p, &place)?)]))
        }))
    }

    /// The rows of this matrix that the index names: of shape (index…, columns)
    /// (`torch.nn.functional.embedding(index, self)`). The row `padding_idx` has no gradient.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a row that is not there; what executors say of indices: those of a device
    /// come with the next read.
    pub fn embedding(&self, index: &Tensor, padding_idx: Option<usize>) -> Result<Tensor> {
        let weight: Value = self.get();
        let rows = weight.shape().first().copied().unwrap_or(0);
        if let Some(row) = padding_idx.filter(|&row| row >= rows) {
            let problem = format!("padding_idx {row} of {rows} rows");
            return Err(Error::parameter("embedding", problem, "name one of them"));
        }
        let value = weight.embedding(&index.get())?;
        Ok(Tensor::computed("embedding", value, &[self], |_| {
            let index = index.save();
            Box::new(move |grad, _| {
                let index = index.get("embedding")?;
                Ok(vec![Some(grad.get()?.embedding_backward(index, rows, padding_idx)?)])
            })
        }))
    }
}
