//! Taking and adding by indices.

use numpack_host_ops as host;

use super::Value;
use crate::error::Result;

impl Value {
    pub(crate) fn index_select(&self, dim: isize, index: &Value) -> Result<Value> {
        Ok(on_both!("index_select", (self, index),
            (x, i) => host::index_select(x, dim, i),
            (x, i) => x.index_select(dim, i),
        ))
    }

    pub(crate) fn index_select_backward(
        &self,
        shape: &[usize],
        dim: isize,
        index: &Value,
    ) -> Result<Value> {
        Ok(on_both!("index_select", (self, index),
            (g, i) => host::index_select_backward(g, shape, dim, i),
            (g, i) => g.index_select_backward(shape, dim, i),
        ))
    }

    pub(crate) fn gather(&self, dim: isize, index: &Value) -> Result<Value> {
        Ok(on_both!("gather", (self, index),
            (x, i) => host::gather(x, dim, i),
            (x, i) => x.gather(dim, i),
        ))
    }

    pub(crate) fn gather_backward(
        &self,
        shape: &[usize],
        dim: isize,
        index: &Value,
    ) -> Result<Value> {
        Ok(on_both!("gather", (self, index),
            (g, i) => host::gather_backward(g, shape, dim, i),
            (g, i) => g.gather_backward(shape, dim, i),
        ))
    }

    /// Rows of this weight.
    pub(crate) fn embedding(&self, index: &Value) -> Result<Value> {
        Ok(on_both!("embedding", (self, index),
            (w, i) => host::embedding(w, i),
            (w, i) => w.embedding(i),
        ))
    }

    pub(crate) fn embedding_backward(
        &self,
        index: &Value,
        rows: usize,
        padding_idx: Option<usize>,
    ) -> Result<Value> {
        Ok(on_both!("embedding", (self, index),
            (g, i) => host::embedding_backward(g, i, rows, padding_idx),
            (g, i) => g.embedding_backward(i, rows, padding_idx),
        ))
    }
}
