//! A layer of a transformer's encoder.

use crate::error::Result;
use crate::exec::Unary;
use crate::layers::{Attend, Dropout, LayerNorm, Linear, MultiheadAttention};
use crate::module::{Module, Part};
use crate::tensor::Tensor;

/// What is done between the two linear layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransformerActivation {
    /// [`Tensor::relu`].
    #[default]
    Relu,
    /// [`Tensor::gelu`].
    Gelu,
}

/// How an encoder layer is made; the defaults are torch's.
#[derive(Clone, Copy, Debug)]
pub struct TransformerOptions {
    /// Columns between the two linear layers.
    pub dim_feedforward: usize,
    /// The probability of an element to become 0, in training.
    pub dropout: f64,
    /// What is done between the two linear layers.
    pub activation: TransformerActivation,
    /// Added to variances.
    pub layer_norm_eps: f64,
    /// Whether inputs are (batch, length, columns).
    pub batch_first: bool,
    /// Whether norms come before attention and linear layers; else behind the sums.
    pub norm_first: bool,
    /// Whether linear layers and attention have biases.
    pub bias: bool,
}

impl Default for TransformerOptions {
    fn default() -> TransformerOptions {
        TransformerOptions {
            dim_feedforward: 2048,
            dropout: 0.1,
            activation: TransformerActivation::Relu,
            layer_norm_eps: 1e-5,
            batch_first: false,
            norm_first: false,
            bias: true,
        }
    }
}

/// Attention, two linear layers, and a sum and norm behind or before each
/// (`torch.nn.TransformerEncoderLayer`; Vaswani and others, 2017).
#[derive(Debug)]
pub struct TransformerEncoderLayer {
    /// Attention of the sequence to itself.
    pub self_attn: MultiheadAttention,
    /// To `dim_feedforward` columns.
    pub linear1: Linear,
    /// Back.
    pub linear2: Linear,
    /// Of attention.
    pub norm1: LayerNorm,
    /// Of the linear layers.
    pub norm2: LayerNorm,
    dropout: Dropout,
    dropout1: Dropout,
    dropout2: Dropout,
    activation: TransformerActivation,
    norm_first: bool,
}

impl TransformerEncoderLayer {
    /// Of `d_model` columns and so many heads.
    ///
    /// # Errors
    /// As for [`MultiheadAttention::new`].
    pub fn new(
        d_model: usize,
        heads: usize,
        options: &TransformerOptions,
    ) -> Result<TransformerEncoderLayer> {
        let TransformerOptions { dim_feedforward, dropout, bias, batch_first, .. } = *options;
        let norm = || -> Result<LayerNorm> {
            let mut norm = LayerNorm::new(&[d_model])?.eps(options.layer_norm_eps);
            norm.bias = norm.bias.filter(|_| bias);
            Ok(norm)
        };
        Ok(TransformerEncoderLayer {
            self_attn: MultiheadAttention::new(d_model, heads, dropout, bias, batch_first)?,
            linear1: Linear::new(d_model, dim_feedforward, bias)?,
            linear2: Linear::new(dim_feedforward, d_model, bias)?,
            norm1: norm()?,
            norm2: norm()?,
            dropout: Dropout::new(dropout)?,
            dropout1: Dropout::new(dropout)?,
            dropout2: Dropout::new(dropout)?,
            activation: options.activation,
            norm_first: options.norm_first,
        })
    }

    /// What it computes, attending to what is not hidden.
    ///
    /// # Errors
    /// As for [`MultiheadAttention::attend`].
    pub fn encode(&self, x: &Tensor, attend: Attend<'_>) -> Result<Tensor> {
        let attention = |x: &Tensor| -> Result<Tensor> {
            self.dropout1.forward(&self.self_attn.attend([x, x, x], attend, false)?.0)
        };
        let feed = |x: &Tensor| -> Result<Tensor> {
            let op = match self.activation {
                TransformerActivation::Relu => Unary::Relu,
                TransformerActivation::Gelu => Unary::Gelu,
            };
            let wide = self.dropout.forward(&self.linear1.with(x, Some(op))?)?;
            self.dropout2.forward(&self.linear2.forward(&wide)?)
        };
        if self.norm_first {
            let x = x.add(&attention(&self.norm1.forward(x)?)?)?;
            return x.add(&feed(&self.norm2.forward(&x)?)?);
        }
        let x = self.norm1.forward(&x.add(&attention(x)?)?)?;
        self.norm2.forward(&x.add(&feed(&x)?)?)
    }
}

impl Module for TransformerEncoderLayer {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.encode(x, Attend::default())
    }

    fn forward_masked(&self, x: &Tensor, attend: Attend<'_>) -> Result<Tensor> {
        self.encode(x, attend)
    }

    fn parts(&self) -> Vec<(String, Part<'_>)> {
        let all: [(&str, &dyn Module); 8] = [
            ("self_attn", &self.self_attn),
            ("linear1", &self.linear1),
            ("dropout", &self.dropout),
            ("linear2", &self.linear2),
            ("norm1", &self.norm1),
            ("norm2", &self.norm2),
            ("dropout1", &self.dropout1),
            ("dropout2", &self.dropout2),
        ];
        all.into_iter().map(|(name, m)| (name.to_owned(), Part::Module(m))).collect()
    }
}
