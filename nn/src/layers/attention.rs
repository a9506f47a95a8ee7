//! Attention with several heads.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};
use crate::init;
use crate::layers::Linear;
use crate::module::{Module, Part};
use crate::tensor::Tensor;

/// What may be attended to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attend<'a> {
    /// Truth values (batch, keys): keys that are not attended to, such as padding.
    pub key_padding_mask: Option<&'a Tensor>,
    /// (queries, keys), or (batch · heads, queries, keys): truth values, true where a key is not attended
    /// to, or numbers that are added to the scores.
    pub attn_mask: Option<&'a Tensor>,
}

/// Attention with several heads (`torch.nn.MultiheadAttention`):
/// softmax(q kᵀ / √(columns of a head)) v, of linear functions of query, key and value.
///
/// Query, key and value have shape (batch, length, columns) if `batch_first`, else
/// (length, batch, columns).
#[derive(Debug)]
pub struct MultiheadAttention {
    /// (3 columns, columns): what makes q, k and v, one after another.
    pub in_proj_weight: Tensor,
    /// (3 columns).
    pub in_proj_bias: Option<Tensor>,
    /// What is done with the heads' results.
    pub out_proj: Linear,
    heads: usize,
    dropout: f64,
    batch_first: bool,
    training: AtomicBool,
}

impl MultiheadAttention {
    /// With as many columns as `embed_dim`, which the heads share.
    ///
    /// # Errors
    /// [`Error::Parameter`] where they cannot be shared, and for a probability beyond 0 to 1; a lack of
    /// memory.
    pub fn new(
        embed_dim: usize,
        heads: usize,
        dropout: f64,
        bias: bool,
        batch_first: bool,
    ) -> Result<MultiheadAttention> {
        const OP: &str = "multihead_attention";
        if heads == 0 || !embed_dim.is_multiple_of(heads) || embed_dim == 0 {
            let problem = format!("{embed_dim} columns for {heads} heads");
            return Err(Error::parameter(OP, problem, "give each head as many"));
        }
        if !(0.0..=1.0).contains(&dropout) {
            let problem = format!("dropout {dropout}");
            return Err(Error::parameter(OP, problem, "give a probability from 0 to 1"));
        }
        let wide = embed_dim.saturating_mul(3);
        let mut out_proj = Linear::new(embed_dim, embed_dim, bias)?;
        if bias {
            out_proj.bias = Some(init::constant(&[embed_dim], 0.0)?);
        }
        Ok(MultiheadAttention {
            in_proj_weight: init::xavier(wide, embed_dim)?,
            in_proj_bias: bias.then(|| init::constant(&[wide], 0.0)).transpose()?,
            out_proj,
            heads,
            dropout,
            batch_first,
            training: AtomicBool::new(true),
        })
    }

    /// What the queries find, and if `weights` are wanted, how much each attends to each key, (batch,
    /// queries, keys), their mean over the heads.
    ///
    /// # Errors
    /// [`Error::Parameter`] for shapes that do not fit; what operations say.
    pub fn attend(
        &self,
        [query, key, value]: [&Tensor; 3],
        attend: Attend<'_>,
        weights: bool,
    ) -> Result<(Tensor, Option<Tensor>)> {
        const OP: &str = "multihead_attention";
        let columns = self.out_proj.weight.shape()[0];
        for t in [query, key, value] {
            if t.ndim() != 3 || t.shape()[2] != columns {
                let problem = format!("an input of shape {:?}", t.shape());
                return Err(Error::parameter(OP, problem, "give (batch, length, columns)"));
            }
        }
        let turned = |t: &Tensor| if self.batch_first { Ok(t.clone()) } else { t.transpose(0, 1) };
        let projected = self.project([query, key, value])?;
        let width = columns / self.heads;
        let split = |t: &Tensor| -> Result<Tensor> {
            let t = turned(t)?;
            let (batch, length) = (t.shape()[0] as isize, t.shape()[1] as isize);
            let heads = t.reshape(&[batch, length, self.heads as isize, width as isize])?;
            heads.permute(&[0, 2, 1, 3])
        };
        let [q, k, v] = [split(&projected[0])?, split(&projected[1])?, split(&projected[2])?];
        let scores = q.mul(1.0 / (width as f64).sqrt())?.matmul(&k.transpose(-1, -2)?)?;
        let shares = self.masked(&scores, attend)?.softmax(-1)?;
        let used = if self.dropout > 0.0 && self.training.load(Ordering::Relaxed) {
            shares.dropout(self.dropout)?
        } else {
            shares.clone()
        };
        let found = used.matmul(&v)?.permute(&[0, 2, 1, 3])?;
        let joined = found.reshape(&[
            found.shape()[0] as isize,
            found.shape()[1] as isize,
            columns as isize,
        ])?;
        let out = turned(&self.out_proj.forward(&joined)?)?;
        let weights = weights.then(|| shares.mean_dims(&[1], false)).transpose()?;
        Ok((out, weights))
    }

    /// q, k and v: in one product where all are made of the same.
    fn project(&self, [query, key, value]: [&Tensor; 3]) -> Result<[Tensor; 3]> {
        let columns = self.out_proj.weight.shape()[0];
        if query.is_same(key) && key.is_same(value) {
            let all = query.linear(&self.in_proj_weight, self.in_proj_bias.as_ref())?;
            let part = |i| all.narrow(-1, i * columns, columns);
            return Ok([part(0)?, part(1)?, part(2)?]);
        }
        let part = |i: usize, t: &Tensor| {
            let weight = self.in_proj_weight.narrow(0, i * columns, columns)?;
            let bias = self.in_proj_bias.as_ref().map(|b| b.narrow(0, i * columns, columns));
            t.linear(&weight, bias.transpose()?.as_ref())
        };
        Ok([part(0, query)?, part(1, key)?, part(2, value)?])
    }

    /// Scores (batch, heads, queries, keys) without what is not attended to.
    fn masked(&self, scores: &Tensor, attend: Attend<'_>) -> Result<Tensor> {
        let mut scores = scores.clone();
        let mut hide = |mask: &Tensor| -> Result<()> {
            if mask.dtype() == numpack_host_ops::DType::Bool {
                let never = Tensor::full(&[], f64::NEG_INFINITY, scores.dtype(), &scores.device())?;
                scores = never.where_(mask, &scores)?;
            } else {
                scores = scores.add(mask)?;
            }
            Ok(())
        };
        if let Some(mask) = attend.attn_mask {
            match mask.ndim() {
                2 => hide(mask)?,
                _ => {
                    let [_, queries, keys] = mask.shape()[..] else {
                        let problem = format!("a mask of shape {:?}", mask.shape());
                        let advice = "give (queries, keys) or (batch · heads, queries, keys)";
                        return Err(Error::parameter("multihead_attention", problem, advice));
                    };
                    let heads = self.heads as isize;
                    hide(&mask.reshape(&[-1, heads, queries as isize, keys as isize])?)?;
                }
            }
        }
        if let Some(mask) = attend.key_padding_mask {
            hide(&mask.unsqueeze(1)?.unsqueeze(1)?)?;
        }
        Ok(scores)
    }
}

impl Module for MultiheadAttention {
    /// Attention of a sequence to itself.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(self.attend([x, x, x], Attend::default(), false)?.0)
    }

    fn forward_masked(&self, x: &Tensor, attend: Attend<'_>) -> Result<Tensor> {
        Ok(self.attend([x, x, x], attend, false)?.0)
    }

    fn parts(&self) -> Vec<(String, Part<'_>)> {
        let bias = self.in_proj_bias.as_ref();
        [("in_proj_weight".to_owned(), Part::Parameter(&self.in_proj_weight))]
            .into_iter()
            .chain(bias.map(|b| ("in_proj_bias".to_owned(), Part::Parameter(b))))
            .chain([("out_proj".to_owned(), Part::Module(&self.out_proj))])
            .collect()
    }

    fn set_training(&self, training: bool) {
        self.training.store(training, Ordering::Relaxed);
    }
}
