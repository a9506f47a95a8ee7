//! What upstream's metadata cannot say: side information.
//!
//! One ordinary `uint8` array, [`ARRAY_NAME`], holds it as JSON. The numbers stay in plain arrays
//! that any NumPack reader understands; this says what they mean: a logical element type, a 0-d
//! shape, and the object they were part of.
//!
//! The object is a flat table of nodes which refer to each other by index, never nested, so a
//! deep, shared or self-referring object costs no recursion to read, write or drop. This crate
//! stores and checks the table; it gives no meaning to the names of element types or classes.

use serde::{Deserialize, Serialize};

/// The name of the array that holds the side information.
pub const ARRAY_NAME: &str = "__libnumpack__";

/// The version written, and the only one read.
pub const VERSION: u32 = 1;

/// The index of a node in [`SideInfo::nodes`].
pub type NodeRef = u32;

/// Side information of a store.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SideInfo {
    /// What is to be known of single arrays. The nodes refer to these by index.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub arrays: Vec<ArrayNote>,
    /// The nodes of the object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<Node>,
    /// The node that is the whole object; absent where the store is just a set of arrays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<NodeRef>,
}

/// What is to be known of one array.
///
/// It is judged by itself against the store: an entry whose array is gone, or has another stored
/// element type or other trailing dimensions, no longer fits and is dropped with a warning.
/// Appended rows change only the first dimension, which is not compared (but for a 0-d array,
/// whose stored shape stays `[1]`).
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArrayNote {
    /// The array's name in the metadata.
    pub name: String,
    /// The stored element type's code ([`crate::DType::code`]).
    pub stored: u8,
    /// The stored shape without its first dimension.
    pub trailing: Vec<u64>,
    /// The logical element type, in torch's words (`bfloat16`), where it is not the stored one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<String>,
    /// Whether the array is logically 0-d, stored with shape `[1]`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub scalar: bool,
    /// Whether the array is a part of something (the storage behind several views, the bytes of
    /// an object) that has no name of its own in the object.
    #[serde(default, skip_serializing_if = "is_false")]
    pub hidden: bool,
    /// Whether the array was taken out of the store. The note keeps its place, for the object
    /// refers to notes by index, and fits nothing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dropped: bool,
    /// When the array was last changed, in microseconds since 1970, as of when the note was
    /// written. The commit fills it in; if the array says otherwise, another program changed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<i64>,
}

/// One value of the object.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Node {
    /// `None`.
    #[serde(rename = "none")]
    None,
    /// A boolean.
    #[serde(rename = "bool")]
    Bool(bool),
    /// An integer that fits 64 bits.
    #[serde(rename = "int")]
    Int(i64),
    /// Any other integer: two's complement, little-endian, in hexadecimal.
    #[serde(rename = "big")]
    BigInt(Hex),
    /// A float; NaN and the infinities by their bits.
    #[serde(rename = "float")]
    Float(Float),
    /// A string.
    #[serde(rename = "str")]
    Str(String),
    /// A string with lone surrogates, as bytes (UTF-8 that encodes surrogates too).
    #[serde(rename = "wstr")]
    SurrogateStr(Hex),
    /// Bytes.
    #[serde(rename = "bytes")]
    Bytes(Hex),
    /// Bytes that are an array of the store, by index into [`SideInfo::arrays`].
    #[serde(rename = "blob")]
    BytesIn(u32),
    /// A mutable byte array.
    #[serde(rename = "bytearray")]
    ByteArray(Hex),
    /// A tuple.
    #[serde(rename = "tuple")]
    Tuple(Vec<NodeRef>),
    /// A list.
    #[serde(rename = "list")]
    List(Vec<NodeRef>),
    /// A dictionary, in order.
    #[serde(rename = "dict")]
    Dict(Vec<(NodeRef, NodeRef)>),
    /// An ordered dictionary, in order, and a node of its attributes.
    #[serde(rename = "odict")]
    OrderedDict(Vec<(NodeRef, NodeRef)>, Option<NodeRef>),
    /// A set.
    #[serde(rename = "set")]
    Set(Vec<NodeRef>),
    /// A frozen set.
    #[serde(rename = "frozenset")]
    FrozenSet(Vec<NodeRef>),
    /// A class or function: module and name.
    #[serde(rename = "global")]
    Global(String, String),
    /// A tensor.
    #[serde(rename = "tensor")]
    Tensor(Box<Tensor>),
    /// A storage that stands in the object by itself: a hidden array, and its element type
    /// (`None`: untyped bytes).
    #[serde(rename = "storage")]
    Storage(u32, Option<String>),
    /// Any other object, as the recipe that rebuilds it.
    #[serde(rename = "object")]
    Object(Box<Object>),
}

/// A tensor: an array, or a view of one.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tensor {
    /// The array, by index into [`SideInfo::arrays`].
    pub array: u32,
    /// Where the tensor is a view of the array's elements in C order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<View>,
    /// Whether autograd tracks it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub requires_grad: bool,
    /// Whether it is a parameter.
    #[serde(default, skip_serializing_if = "is_false")]
    pub parameter: bool,
    /// A node: backward hooks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<NodeRef>,
    /// A node: attributes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<NodeRef>,
    /// A node: the parameters of a quantised tensor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantizer: Option<NodeRef>,
}

/// A window on an array's elements in C order.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// The element type, in torch's words.
    pub dtype: String,
    /// Length of each dimension.
    pub shape: Vec<u64>,
    /// Step of each dimension, in elements of `dtype`.
    pub stride: Vec<u64>,
    /// The first element, in elements of `dtype`.
    pub offset: u64,
}

/// An object as the recipe that rebuilds it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Object {
    /// How it is made: `call`, `new`, `newex` or `persistent`.
    pub construct: String,
    /// A node: the callable.
    pub callable: NodeRef,
    /// A node: the positional arguments.
    pub args: NodeRef,
    /// A node: keyword arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kwargs: Option<NodeRef>,
    /// A node: state given after it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<NodeRef>,
    /// Elements appended after it was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub appended: Vec<NodeRef>,
    /// Items set after it was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<(NodeRef, NodeRef)>,
}

/// Bytes, in JSON as hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hex(pub Vec<u8>);

/// A float, compared by its bits; in JSON a number, or sixteen hexadecimal digits where JSON has
/// none for it.
#[derive(Clone, Copy, Debug)]
pub struct Float(pub f64);

impl PartialEq for Float {
    fn eq(&self, other: &Float) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

fn is_false(b: &bool) -> bool {
    !b
}

impl Node {
    /// Calls `f` with each reference to another node.
    pub fn for_each_node_mut(&mut self, mut f: impl FnMut(&mut NodeRef)) {
        match self {
            Node::Tuple(parts) | Node::List(parts) | Node::Set(parts) | Node::FrozenSet(parts) => {
                parts.iter_mut().for_each(f);
            }
            Node::Dict(items) => items.iter_mut().for_each(|(k, v)| {
                f(k);
                f(v);
            }),
            Node::OrderedDict(items, attributes) => {
                for (k, v) in items {
                    f(k);
                    f(v);
                }
                attributes.iter_mut().for_each(f);
            }
            Node::Tensor(t) => {
                [&mut t.hooks, &mut t.state, &mut t.quantizer].into_iter().flatten().for_each(f);
            }
            Node::Object(o) => {
                f(&mut o.callable);
                f(&mut o.args);
                [&mut o.kwargs, &mut o.state].into_iter().flatten().for_each(&mut f);
                o.appended.iter_mut().for_each(&mut f);
                for (k, v) in &mut o.items {
                    f(k);
                    f(v);
                }
            }
            _ => {}
        }
    }

    /// Calls `f` with the reference to an array, if there is one.
    pub fn for_each_array_mut(&mut self, mut f: impl FnMut(&mut u32)) {
        match self {
            Node::Tensor(t) => f(&mut t.array),
            Node::BytesIn(array) | Node::Storage(array, _) => f(array),
            _ => {}
        }
    }
}
