//! Tensors that compute, and know what they were computed of.
//!
//! | module | holds |
//! |---|---|
//! | `create` | new tensors: of numbers, filled, random |
//! | `access` | elements for reading, changing in place, moving between devices |
//! | `grad` | leaves, gradients, the way back |
//! | `pointwise` | functions of elements |
//! | `views` | views, joining, casting |
//! | `reduce` | sums and the like |
//! | `matrix` | products of matrices, layers |
//! | `rows` | softmax, norms, dropout, embeddings |
//! | `loss` | losses |

mod access;
mod create;
mod grad;
mod loss;
mod matrix;
mod pointwise;
mod reduce;
mod rows;
mod views;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use numpack_host_ops::DType;

pub use create::manual_seed;
#[cfg(feature = "vulkan")]
pub(crate) use create::{draw_from, place};
pub use loss::CrossEntropy;
pub use matrix::LayerActivation;
pub use pointwise::Other;

use crate::autograd::{Backward, Node, Saved, Target, Version, is_grad_enabled};
use crate::device::Device;
use crate::exec::Value;

/// Elements of one type and shape on the host or a device, that operations compute with, and that
/// know what they were computed of. Clones are handles on one tensor.
///
/// Names and rules are PyTorch's. Where the elements are decides what computes with them; tensors on
/// two devices cannot be used together. Operations give new tensors or views; what changes a tensor in
/// place is named with an underscore at its end.
///
/// Views show the same memory. If one of them is changed in place, the others on a device show that too;
/// on the host the changed one gets memory of its own.
///
/// Threads: may be used by many at once.
///
/// ```
/// use numpack_nn::Tensor;
/// let x = Tensor::from_slice(&[1.0_f32, 2.0, 3.0], &[3])?.requires_grad_(true)?;
/// x.pow(2.0)?.sum()?.backward()?;
/// assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [2.0, 4.0, 6.0]);
/// # Ok::<(), numpack_nn::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensor(Arc<Inner>);

struct Inner {
    value: RwLock<Value>,
    version: Version,
    /// Of a leaf.
    wants_grad: AtomicBool,
    grad: Mutex<Option<Value>>,
    /// Where its gradient is to be written, and whether that has been done since it had none.
    slot: Mutex<Option<(Value, bool)>>,
    /// Of what was computed of something that wants a gradient.
    node: Option<Arc<Node>>,
}

impl Tensor {
    fn with(value: Value, version: Version, node: Option<Arc<Node>>) -> Tensor {
        Tensor(Arc::new(Inner {
            value: RwLock::new(value),
            version,
            wants_grad: AtomicBool::new(false),
            grad: Mutex::new(None),
            slot: Mutex::new(None),
            node,
        }))
    }

    /// One that was not computed, or of nothing that wants a gradient.
    pub(crate) fn of(value: Value) -> Tensor {
        Tensor::with(value, Version::default(), None)
    }

    /// What was computed of `inputs`. The way back is made if one of them wants a gradient; it is
    /// given the result, to be saved.
    pub(crate) fn computed(
        op: &'static str,
        value: Value,
        inputs: &[&Tensor],
        backward: impl FnOnce(Saved) -> Backward,
    ) -> Tensor {
        Tensor::noted(op, value, Version::default(), inputs, false, backward)
    }

    /// The same of what may end with a rectifier.
    pub(crate) fn computed_layer(
        op: &'static str,
        value: Value,
        inputs: &[&Tensor],
        rectifies: bool,
        backward: impl FnOnce(Saved) -> Backward,
    ) -> Tensor {
        Tensor::noted(op, value, Version::default(), inputs, rectifies, backward)
    }

    /// A view of this tensor.
    pub(crate) fn view_of(
        &self,
        op: &'static str,
        value: Value,
        backward: impl FnOnce(Saved) -> Backward,
    ) -> Tensor {
        Tensor::noted(op, value, self.0.version.clone(), &[self], false, backward)
    }

    fn noted(
        op: &'static str,
        value: Value,
        version: Version,
        inputs: &[&Tensor],
        rectifies: bool,
        backward: impl FnOnce(Saved) -> Backward,
    ) -> Tensor {
        // Only what varies continuously has a gradient.
        if !is_grad_enabled()
            || !value.dtype().is_float()
            || !inputs.iter().any(|t| t.requires_grad())
        {
            return Tensor::with(value, version, None);
        }
        let targets = inputs.iter().map(|t| t.target()).collect();
        let back = backward(Saved::new(value.clone(), version.clone()));
        Tensor::with(value, version, Some(Node::new(op, targets, back, rectifies)))
    }

    /// Where its gradient goes, if it wants one.
    pub(crate) fn target(&self) -> Option<Target> {
        match &self.0.node {
            Some(node) => Some(Target::Node(node.clone())),
            None => self.requires_grad().then(|| Target::Leaf(self.clone())),
        }
    }

    /// Whether it is the result of something that ends with a rectifier.
    pub(crate) fn is_rectified(&self) -> bool {
        self.0.node.as_ref().is_some_and(|node| node.rectifies)
    }

    /// The elements. Nobody changes them in place meanwhile.
    pub(crate) fn value(&self) -> RwLockReadGuard<'_, Value> {
        self.0.value.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The elements as they are now.
    pub(crate) fn get(&self) -> Value {
        self.value().clone()
    }

    /// The elements as they are now, for a way back.
    pub(crate) fn save(&self) -> Saved {
        Saved::new(self.get(), self.0.version.clone())
    }

    /// Whether both are handles on one tensor.
    pub fn is_same(&self, other: &Tensor) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.value().dtype()
    }

    /// The size of each dimension.
    pub fn shape(&self) -> Vec<usize> {
        self.value().shape().to_vec()
    }

    /// How many dimensions there are.
    pub fn ndim(&self) -> usize {
        self.value().ndim()
    }

    /// How many elements there are.
    pub fn numel(&self) -> usize {
        self.value().numel()
    }

    /// Where it is.
    pub fn device(&self) -> Device {
        self.value().device()
    }

    /// Whether the elements lie one after another in C order.
    pub fn is_contiguous(&self) -> bool {
        self.value().is_contiguous()
    }

    /// Whether a gradient is computed for it: a leaf that wants one, or what was computed of such.
    pub fn requires_grad(&self) -> bool {
        self.0.node.is_some() || self.0.wants_grad.load(Ordering::Relaxed)
    }

    /// Whether it was not computed of anything that wants a gradient.
    pub fn is_leaf(&self) -> bool {
        self.0.node.is_none()
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.value();
        let mut out = f.debug_struct("Tensor");
        out.field("dtype", &value.dtype()).field("shape", &value.shape());
        out.field("device", &format_args!("{}", value.device()));
        match &self.0.node {
            Some(node) => out.field("grad_fn", node),
            None => out.field("requires_grad", &self.requires_grad()),
        };
        out.finish_non_exhaustive()
    }
}
