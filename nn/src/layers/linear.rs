//! A linear layer.

use crate::error::Result;
use crate::exec::{Activation, Unary};
use crate::init;
use crate::module::{Module, Part, Role};
use crate::tensor::Tensor;

/// `x weightᵀ + bias` (`torch.nn.Linear`): of shape (…, in) to (…, out).
#[derive(Clone, Debug)]
pub struct Linear {
    /// (out, in).
    pub weight: Tensor,
    /// (out).
    pub bias: Option<Tensor>,
}

impl Linear {
    /// With first values as torch draws them.
    ///
    /// # Errors
    /// A lack of memory.
    pub fn new(inputs: usize, outputs: usize, bias: bool) -> Result<Linear> {
        let weight = init::linear(&[outputs, inputs], inputs)?;
        let bias = bias.then(|| init::linear(&[outputs], inputs)).transpose()?;
        Ok(Linear { weight, bias })
    }

    /// It and an activation in one.
    pub(crate) fn with(&self, x: &Tensor, activation: Option<Unary>) -> Result<Tensor> {
        x.layer(&self.weight, self.bias.as_ref(), Activation(activation))
    }
}

impl Module for Linear {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.with(x, None)
    }

    fn parts(&self) -> Vec<(String, Part<'_>)> {
        let bias = self.bias.as_ref().map(|b| ("bias".to_owned(), Part::Parameter(b)));
        [("weight".to_owned(), Part::Parameter(&self.weight))].into_iter().chain(bias).collect()
    }

    fn role(&self) -> Role<'_> {
        Role::Linear(self)
    }
}
