//! Norms.

use crate::error::Result;
use crate::init;
use crate::module::{Module, Part};
use crate::tensor::Tensor;

/// [`Tensor::layer_norm`] (`torch.nn.LayerNorm`).
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// The sizes of the last dimensions, over which it normalises.
    pub normalized_shape: Vec<usize>,
    /// Added to the variance.
    pub eps: f64,
    /// In the normalised shape.
    pub weight: Option<Tensor>,
    /// In the normalised shape.
    pub bias: Option<Tensor>,
}

impl LayerNorm {
    /// With a weight of ones, a bias of zeros and eps 1e-5.
    ///
    /// # Errors
    /// A lack of memory.
    pub fn new(normalized_shape: &[usize]) -> Result<LayerNorm> {
        Ok(LayerNorm {
            normalized_shape: normalized_shape.to_vec(),
            eps: 1e-5,
            weight: Some(init::constant(normalized_shape, 1.0)?),
            bias: Some(init::constant(normalized_shape, 0.0)?),
        })
    }

    /// With another eps.
    #[must_use]
    pub fn eps(mut self, eps: f64) -> LayerNorm {
        self.eps = eps;
        self
    }
}

impl Module for LayerNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.layer_norm(&self.normalized_shape, self.weight.as_ref(), self.bias.as_ref(), self.eps)
    }

    fn parts(&self) -> Vec<(String, Part<'_>)> {
        let all = [("weight", &self.weight), ("bias", &self.bias)];
        all.into_iter()
            .filter_map(|(name, t)| Some((name.to_owned(), Part::Parameter(t.as_ref()?))))
            .collect()
    }
}

/// [`Tensor::rms_norm`] (`torch.nn.RMSNorm`).
#[derive(Clone, Debug)]
pub struct RMSNorm {
    /// The sizes of the last dimensions, over which it normalises.
    pub normalized_shape: Vec<usize>,
    /// Added to the mean of squares; without, the type's.
    pub eps: Option<f64>,
    /// In the normalised shape.
    pub weight: Option<Tensor>,
}

impl RMSNorm {
    /// With a weight of ones.
    ///
    /// # Errors
    /// A lack of memory.
    pub fn new(normalized_shape: &[usize], eps: Option<f64>) -> Result<RMSNorm> {
        let weight = Some(init::constant(normalized_shape, 1.0)?);
        Ok(RMSNorm { normalized_shape: normalized_shape.to_vec(), eps, weight })
    }
}

impl Module for RMSNorm {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.rms_norm(&self.normalized_shape, self.weight.as_ref(), self.eps)
    }

    fn parts(&self) -> Vec<(String, Part<'_>)> {
        self.weight.iter().map(|w| ("weight".to_owned(), Part::Parameter(w))).collect()
    }
}
