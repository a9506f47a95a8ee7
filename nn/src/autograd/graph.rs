//! The nodes of what was computed, and what they keep.

use std::cell::{Cell, OnceCell};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use numpack_host_ops::DType;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::exec::Value;
use crate::tensor::Tensor;

/// How often the memory of a tensor was changed in place. All that show it share the count.
#[derive(Clone, Debug, Default)]
pub(crate) struct Version(Arc<AtomicU64>);

impl Version {
    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    pub(crate) fn bump(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// Elements that a way back needs, which must not have changed since.
#[derive(Clone)]
pub(crate) struct Saved {
    value: Value,
    version: Version,
    at: u64,
}

impl Saved {
    pub(crate) fn new(value: Value, version: Version) -> Saved {
        let at = version.now();
        Saved { value, version, at }
    }

    pub(crate) fn get(&self, op: &'static str) -> Result<&Value> {
        let now = self.version.now();
        if now == self.at {
            return Ok(&self.value);
        }
        let problem = format!(
            "a tensor of shape {:?} that the gradient needs was changed in place since ({} times)",
            self.value.shape(),
            now - self.at
        );
        Err(Error::grad(op, problem, "change a clone of it, or change it after backward"))
    }

    /// Its shape and type, whatever became of its elements.
    pub(crate) fn peek(&self) -> &Value {
        &self.value
    }
}

/// The gradient of a result, on its way back.
pub(crate) struct Gradient {
    value: OnceCell<Value>,
    /// It is 1, of no dimensions: where a way back begins. Made only if it is looked at.
    one: Option<(Device, DType)>,
    /// Whether it has been through the derivative of the rectifier that ends its node.
    pub(super) rectified: bool,
}

impl Gradient {
    pub(crate) fn new(value: Value) -> Gradient {
        Gradient { value: OnceCell::from(value), one: None, rectified: false }
    }

    pub(crate) fn one(device: Device, dtype: DType) -> Gradient {
        Gradient { value: OnceCell::new(), one: Some((device, dtype)), rectified: false }
    }

    /// Whether whoever made it has done what the node's rectifier would.
    pub(crate) fn is_rectified(&self) -> bool {
        self.rectified
    }

    /// Whether multiplying with it changes nothing.
    pub(crate) fn is_one(&self) -> bool {
        self.one.is_some()
    }

    pub(crate) fn get(&self) -> Result<&Value> {
        if let Some(value) = self.value.get() {
            return Ok(value);
        }
        let made = match &self.one {
            Some((device, dtype)) => Value::full(device, 1.0.into(), *dtype, &[])?,
            None => return Err(Error::grad("backward", "a gradient is missing", "report this")),
        };
        Ok(self.value.get_or_init(|| made))
    }
}

/// Which inputs want a gradient.
pub(crate) struct Wants<'a> {
    targets: &'a [Option<Target>],
    /// Whether the first input's has been through the derivative of the rectifier that ends its node.
    pub(super) rectified: Cell<bool>,
}

impl<'a> Wants<'a> {
    pub(super) fn new(targets: &'a [Option<Target>]) -> Wants<'a> {
        Wants { targets, rectified: Cell::new(false) }
    }

    pub(crate) fn input(&self, i: usize) -> bool {
        self.targets.get(i).is_some_and(Option::is_some)
    }

    /// Says that the first input's gradient has been through the derivative of the rectifier that ends
    /// its node. Where others are added to it, it goes through that again, which changes nothing.
    pub(crate) fn rectified(&self) {
        self.rectified.set(true);
    }

    /// Where a leaf wants its gradient to be written, if it is the first one since it had none.
    pub(crate) fn slot(&self, i: usize) -> Option<Value> {
        match self.targets.get(i) {
            Some(Some(Target::Leaf(leaf))) => leaf.take_slot(),
            _ => None,
        }
    }

    /// The gradient of an input, computed if it is wanted.
    pub(crate) fn then(
        &self,
        i: usize,
        f: impl FnOnce() -> Result<Value>,
    ) -> Result<Option<Value>> {
        self.input(i).then(f).transpose()
    }
}

/// Makes the inputs' gradients, as many as there are inputs, of the result's.
pub(crate) type Backward =
    Box<dyn Fn(&Gradient, &Wants<'_>) -> Result<Vec<Option<Value>>> + Send + Sync>;

/// Where a gradient goes.
#[derive(Clone)]
pub(crate) enum Target {
    /// A tensor that was not computed; it keeps it.
    Leaf(Tensor),
    Node(Arc<Node>),
}

/// Something that was computed.
pub(crate) struct Node {
    pub(crate) op: &'static str,
    pub(crate) number: u64,
    /// One for each input; none for one that wants no gradient.
    pub(crate) inputs: Vec<Option<Target>>,
    /// Gone when a way back has led through it.
    pub(crate) backward: Mutex<Option<Backward>>,
    /// Whether it ends with a rectifier, whose derivative its result tells.
    pub(crate) rectifies: bool,
}

impl Node {
    pub(crate) fn new(
        op: &'static str,
        inputs: Vec<Option<Target>>,
        backward: Backward,
        rectifies: bool,
    ) -> Arc<Node> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Arc::new(Node { op, number, inputs, backward: Mutex::new(Some(backward)), rectifies })
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}Backward>", self.op)
    }
}

impl Drop for Node {
    /// One after another: a chain of a million nodes must not need as many stack frames.
    fn drop(&mut self) {
        let mut left = std::mem::take(&mut self.inputs);
        while let Some(target) = left.pop() {
            if let Some(Target::Node(node)) = target
                && let Some(mut node) = Arc::into_inner(node)
            {
                // What it keeps are elements, which lead to no other node.
                *node.backward.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
                left.append(&mut node.inputs);
            }
        }
    }
}
