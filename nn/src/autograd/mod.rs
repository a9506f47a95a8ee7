//! Gradients: what was computed of what, and the way back.
//!
//! | module | holds |
//! |---|---|
//! | `mode` | whether what is computed is noted ([`no_grad`]) |
//! | `graph` | the nodes of what was computed, and what they keep |
//! | `backward` | the way back through them |
//!
//! Each operation whose inputs want gradients leaves a node: where its inputs' gradients go, and a
//! function that makes them of the gradient of its result. Nodes are numbered as they are made, so the
//! highest number that has a gradient has all of it: whoever adds to it came later.

mod backward;
mod graph;
mod mode;

pub(crate) use backward::run;
pub(crate) use graph::{Backward, Gradient, Node, Saved, Target, Version};
pub use mode::{NoGrad, is_grad_enabled, no_grad, set_grad_enabled};
