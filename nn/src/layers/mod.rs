//! Layers: modules with torch's names, arguments and parameters.
//!
//! | module | holds |
//! |---|---|
//! | `linear` | [`Linear`] |
//! | `activation` | [`ReLU`], [`GELU`], [`SiLU`], [`Tanh`], [`Sigmoid`], [`Softmax`], [`LogSoftmax`] |
//! | `norm` | [`LayerNorm`], [`RMSNorm`] |
//! | `simple` | [`Dropout`], [`Embedding`], [`Flatten`] |
//! | `sequential` | [`Sequential`] |
//! | `attention` | [`MultiheadAttention`] |
//! | `transformer` | [`TransformerEncoderLayer`] |

mod activation;
mod attention;
mod linear;
mod norm;
mod sequential;
mod simple;
mod transformer;

pub use activation::{GELU, LogSoftmax, ReLU, SiLU, Sigmoid, Softmax, Tanh};
pub use attention::{Attend, MultiheadAttention};
pub use linear::Linear;
pub use norm::{LayerNorm, RMSNorm};
pub use sequential::Sequential;
pub use simple::{Dropout, Embedding, Flatten};
pub use transformer::{TransformerActivation, TransformerEncoderLayer, TransformerOptions};
