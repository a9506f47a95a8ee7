//! What the objects in a checkpoint are, by the recipe they are made with. None is ever built.
//!
//! A pickle says of each object only what to call, or of what class to make one, and with what. So
//! a kind is told by the name of the callable and the form of what it is given; where these do not
//! fit, the object is [`Kind::Unknown`].
//!
//! | module | |
//! |---|---|
//! | `library` | values of Python's own library: decimals, paths, collections, … |
//! | `time` | dates and times |
//! | `torch` | tensors that are not dense, modules, optimisers |
//! | `numpy` | arrays, scalars, element types |
//! | `instance` | instances of classes: attributes, members of enumerations, named tuples |

mod instance;
mod library;
mod numpy;
mod time;
mod torch;

pub use instance::{EnumMember, Instance, NamedTuple};
pub use library::{DefaultDict, Deque, Fraction, Partial, PurePath};
pub use numpy::{NdArray, NumpyDtype, NumpyScalar};
pub use time::{Date, DateTime, Time, TimeDelta, TimeZone};
pub use torch::{Generator, Sparse};

use crate::{Construct, Dict, Global, Node, NodeId, Tree};

/// How many of its first attributes are looked through for one that tells what an object is.
/// Thousands of objects may share one state; torch's own stand among the first twenty.
const MOST_ATTRIBUTES: usize = 256;
/// Dimensions of an array; numpy allows 64.
const MOST_DIMENSIONS: usize = 64;
/// Numbers in a `torch.Size`.
const MOST_SIZES: usize = 4096;
/// Parts of a path.
const MOST_PARTS: usize = 1024;
/// Bytes of the names of devices, layouts and types.
const MOST_NAME: usize = 64;

/// What a node is, beyond the plain kinds of [`Node`].
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Kind<'t> {
    /// No [`Node::Object`] at all: the node itself says what it is.
    Plain,
    /// A sparse tensor.
    Sparse(Sparse),
    /// A nested tensor, of rows of different lengths.
    Nested,
    /// A tensor without data (`device='meta'`).
    Meta,
    /// A tensor of a subclass, named by its type where that is known.
    Subclass(Option<&'t Global>),
    /// A tensor of a device that saves its data in a numpy array or a CPU tensor.
    Device,
    /// A numpy array.
    NdArray(NdArray<'t>),
    /// A numpy scalar.
    NumpyScalar(NumpyScalar<'t>),
    /// A numpy dtype.
    NumpyDtype(NumpyDtype),
    /// A `torch.Size`.
    Size(Vec<i64>),
    /// A `torch.device`, such as `cuda:0`.
    TorchDevice(String),
    /// A `torch.layout`, such as `sparse_coo`. A `torch.dtype` is a [`Node::Global`].
    Layout(&'t str),
    /// A `torch.Generator`.
    Generator(Generator),
    /// A `torch.nn.Module`, with its class.
    Module(Option<&'t Global>),
    /// An optimiser: an instance with `param_groups`, `state` and `defaults`.
    Optimizer(Instance<'t>),
    /// A scheduler of learning rates: an instance with `last_epoch` and `base_lrs` or `optimizer`.
    Scheduler(Instance<'t>),
    /// A `datetime.datetime`.
    DateTime(DateTime),
    /// A `datetime.date`.
    Date(Date),
    /// A `datetime.time`.
    Time(Time),
    /// A `datetime.timedelta`.
    TimeDelta(TimeDelta),
    /// A `datetime.timezone`.
    TimeZone(TimeZone<'t>),
    /// A `zoneinfo.ZoneInfo`, by its key.
    ZoneInfo(&'t str),
    /// A `decimal.Decimal`, as its `str()`.
    Decimal(&'t str),
    /// A `fractions.Fraction`.
    Fraction(Fraction<'t>),
    /// A path of `pathlib`.
    Path(PurePath<'t>),
    /// A `uuid.UUID`, in the order it is written.
    Uuid([u8; 16]),
    /// A complex number: real and imaginary part.
    Complex(f64, f64),
    /// A `range`: the nodes of start, stop and step.
    Range([NodeId; 3]),
    /// A `slice`: the nodes of start, stop and step.
    Slice([NodeId; 3]),
    /// A `collections.defaultdict`.
    DefaultDict(DefaultDict<'t>),
    /// A `collections.deque`.
    Deque(Deque<'t>),
    /// A `collections.Counter`: the node of the dict of its counts.
    Counter(NodeId),
    /// A `functools.partial`.
    Partial(Partial<'t>),
    /// A member of an enumeration; an object of any class that is made by calling it with one
    /// plain value looks the same.
    Enum(EnumMember<'t>),
    /// A named tuple, or an object of another class that is made of its values alone.
    NamedTuple(NamedTuple<'t>),
    /// An instance of a class: its attributes and what else it was given.
    Instance(Instance<'t>),
    /// An identifier for `persistent_load` that is no storage.
    PersistentId,
    /// An object of a class or function that means nothing here.
    Unknown(Option<&'t Global>),
}

impl Tree {
    /// What a node is. It takes no longer for a large object than for a small one.
    ///
    /// ```
    /// use torch_pickle::{Construct, Global, Kind, Node, Object, Tree};
    /// let mut tree = Tree::new();
    /// let text = tree.add(Node::Str("0.10".into()));
    /// assert_eq!(tree.kind_of(text), Kind::Plain);
    /// let callable = tree.add(Node::Global(Box::new(Global::new("decimal", "Decimal"))));
    /// let args = tree.add(Node::Tuple(vec![text]));
    /// let made = tree.add(Node::Object(Box::new(Object::new(Construct::Call, callable, args))));
    /// assert_eq!(tree.kind_of(made), Kind::Decimal("0.10"));
    /// ```
    pub fn kind_of(&self, id: NodeId) -> Kind<'_> {
        let Node::Object(object) = self.node(id) else { return Kind::Plain };
        if object.construct == Construct::PersistentId {
            return Kind::PersistentId;
        }
        let class = self.global(object.callable);
        if object.construct == Construct::Call {
            let args = self.sequence(object.args).unwrap_or_default();
            let kind = match class {
                Some(global) => self
                    .called_of_torch(object, global, args)
                    .or_else(|| self.called_of_numpy(object, global, args))
                    .or_else(|| self.called_of_library(object, global, args)),
                None => self.zone_info(object, args),
            };
            if let Some(kind) = kind {
                return kind;
            }
        }
        if self.module_parts(object).is_some() {
            return Kind::Module(class);
        }
        self.instance(object).unwrap_or(Kind::Unknown(class))
    }

    fn global(&self, id: NodeId) -> Option<&Global> {
        match self.node(id) {
            Node::Global(global) => Some(global),
            _ => None,
        }
    }

    fn sequence(&self, id: NodeId) -> Option<&[NodeId]> {
        match self.node(id) {
            Node::Tuple(items) | Node::List(items) => Some(items),
            _ => None,
        }
    }

    fn bytes(&self, id: NodeId) -> Option<&[u8]> {
        match self.node(id) {
            Node::Bytes(bytes) | Node::ByteArray(bytes) => Some(bytes),
            _ => None,
        }
    }

    fn text(&self, id: NodeId) -> Option<&str> {
        match self.node(id) {
            Node::Str(text) => Some(text),
            _ => None,
        }
    }

    fn short_text(&self, id: NodeId) -> Option<&str> {
        self.text(id).filter(|text| text.len() <= MOST_NAME)
    }

    fn integer(&self, id: NodeId) -> Option<i64> {
        match self.node(id) {
            Node::Int(n) => Some(*n),
            _ => None,
        }
    }

    fn dict(&self, id: NodeId) -> Option<&Dict> {
        match self.node(id) {
            Node::Dict(dict) => Some(dict),
            _ => None,
        }
    }

    /// The value of a string key, if it is among the first.
    pub(crate) fn attribute(&self, dict: &Dict, name: &str) -> Option<NodeId> {
        self.value_of(&dict.items, name)
    }

    fn value_of(&self, items: &[(NodeId, NodeId)], name: &str) -> Option<NodeId> {
        let mut first = items.iter().take(MOST_ATTRIBUTES);
        first.find(|(key, _)| self.text(*key) == Some(name)).map(|&(_, value)| value)
    }
}
