//! Dropout, embeddings, flattening.

use std::sync::atomic::{AtomicBool, Ordering};

use numpack_host_ops::DType;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::init;
use crate::module::{Module, Part};
use crate::tensor::Tensor;

/// [`Tensor::dropout`] in training, else nothing (`torch.nn.Dropout`).
#[derive(Debug)]
pub struct Dropout {
    p: f64,
    training: AtomicBool,
}

impl Dropout {
    /// With the probability of an element to become 0.
    ///
    /// # Errors
    /// [`Error::Parameter`] for another than 0 to 1.
    pub fn new(p: f64) -> Result<Dropout> {
        if (0.0..=1.0).contains(&p) {
            return Ok(Dropout { p, training: AtomicBool::new(true) });
        }
        Err(Error::parameter("dropout", format!("probability {p}"), "give one from 0 to 1"))
    }
}

impl Module for Dropout {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if self.p == 0.0 || !self.training.load(Ordering::Relaxed) {
            return Ok(x.clone());
        }
        x.dropout(self.p)
    }

    fn set_training(&self, training: bool) {
        self.training.store(training, Ordering::Relaxed);
    }
}

/// Rows of a matrix by their numbers (`torch.nn.Embedding`): of shape (…) to (…, columns).
#[derive(Clone, Debug)]
pub struct Embedding {
    /// (rows, columns).
    pub weight: Tensor,
    /// The row that has no gradient.
    pub padding_idx: Option<usize>,
}

impl Embedding {
    /// With normal numbers, and zeros in the row for padding.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a row that is not there; a lack of memory.
    pub fn new(rows: usize, columns: usize, padding_idx: Option<usize>) -> Result<Embedding> {
        let all = Tensor::randn(&[rows, columns], DType::F32, &Device::Cpu)?;
        if let Some(row) = padding_idx {
            if row >= rows {
                let problem = format!("padding_idx {row} of {rows} rows");
                return Err(Error::parameter("embedding", problem, "name one of them"));
            }
            let mut kept = vec![1.0_f32; rows];
            kept[row] = 0.0;
            let kept = Tensor::from_vec(kept, &[rows, 1])?;
            return Ok(Embedding { weight: init::parameter(&all.mul(&kept)?)?, padding_idx });
        }
        Ok(Embedding { weight: init::parameter(&all)?, padding_idx })
    }
}

impl Module for Embedding {
    /// The rows that `x`, of whole numbers, names.
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.weight.embedding(x, self.padding_idx)
    }

    fn parts(&self) -> Vec<(String, Part<'_>)> {
        vec![("weight".to_owned(), Part::Parameter(&self.weight))]
    }
}

/// [`Tensor::flatten`] (`torch.nn.Flatten`): of all dimensions but the first, by default.
#[derive(Clone, Copy, Debug)]
pub struct Flatten {
    /// The first dimension that is joined with others.
    pub start_dim: isize,
    /// The last one.
    pub end_dim: isize,
}

impl Default for Flatten {
    fn default() -> Flatten {
        Flatten { start_dim: 1, end_dim: -1 }
    }
}

impl Module for Flatten {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        x.flatten(self.start_dim, self.end_dim)
    }
}
