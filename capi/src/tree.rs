//! The object in a checkpoint, node by node.

use std::ffi::c_char;
use std::ptr;

use numpack_interop::Error;
use torch_pickle::{Construct, Node, NodeId, Tree};

use crate::checkpoint::numpack_checkpoint;
use crate::handle;
use crate::shell::{self, guard, parameter};
use crate::structs::{self, Versioned};

/// `None`.
pub const NUMPACK_NODE_NONE: i32 = 0;
/// `True` or `False`: `integer` is 1 or 0.
pub const NUMPACK_NODE_BOOL: i32 = 1;
/// An integer that fits 64 bits.
pub const NUMPACK_NODE_INT: i32 = 2;
/// Any other: `text` has it in two's complement, little-endian.
pub const NUMPACK_NODE_BIG_INT: i32 = 3;
/// A float.
pub const NUMPACK_NODE_FLOAT: i32 = 4;
/// A string.
pub const NUMPACK_NODE_STR: i32 = 5;
/// A string with lone surrogates: UTF-8 that encodes those too.
pub const NUMPACK_NODE_SURROGATE_STR: i32 = 6;
/// `bytes`.
pub const NUMPACK_NODE_BYTES: i32 = 7;
/// `bytearray`.
pub const NUMPACK_NODE_BYTEARRAY: i32 = 8;
/// A tuple, whose items are its children.
pub const NUMPACK_NODE_TUPLE: i32 = 9;
/// A list, whose items are its children.
pub const NUMPACK_NODE_LIST: i32 = 10;
/// A set, whose members are its children.
pub const NUMPACK_NODE_SET: i32 = 11;
/// A frozenset, whose members are its children.
pub const NUMPACK_NODE_FROZENSET: i32 = 12;
/// A dict, whose children are its values, each with a key.
pub const NUMPACK_NODE_DICT: i32 = 13;
/// The same as an `OrderedDict`.
pub const NUMPACK_NODE_ORDERED_DICT: i32 = 14;
/// A class or function by name: `text` is `module.name`.
pub const NUMPACK_NODE_GLOBAL: i32 = 15;
/// A storage that stands in the object by itself: `integer` is its number.
pub const NUMPACK_NODE_STORAGE: i32 = 16;
/// A tensor: `integer` is its number, and `index` its first place in the list.
pub const NUMPACK_NODE_TENSOR: i32 = 17;
/// Anything else, kept as the recipe that Python would build it by and never built. `integer` is a
/// `NUMPACK_OBJECT_*`. The first child is the callable, usually a global, the second its
/// arguments; then come the keyword arguments and the state, where there are any, what was
/// appended, and what was set, each with a key.
pub const NUMPACK_NODE_OBJECT: i32 = 18;

/// An object that a call makes.
pub const NUMPACK_OBJECT_CALL: i32 = 0;
/// One that `__new__` of a class makes.
pub const NUMPACK_OBJECT_NEW: i32 = 1;
/// The same with keyword arguments.
pub const NUMPACK_OBJECT_NEW_EX: i32 = 2;
/// One that stands outside of the pickle, by an identifier.
pub const NUMPACK_OBJECT_PERSISTENT_ID: i32 = 3;

/// In place of the number of a node that is not there.
pub const NUMPACK_NO_NODE: u32 = 0xffff_ffff;

/// One value. The caller sets `struct_size`, a call the rest; `text` is borrowed from the
/// checkpoint. As an input of `numpack_object_add` it is all the caller's.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_node {
    /// `sizeof(numpack_node)`.
    pub struct_size: u32,
    /// A `NUMPACK_NODE_*`, which says what of the rest counts.
    pub kind: i32,
    /// A number.
    pub integer: i64,
    /// A float.
    pub real: f64,
    /// `length` bytes, which do not end in NUL; of a global its module.
    pub text: *const c_char,
    /// How many.
    pub length: usize,
    /// Of a global its name in the module: `name_length` bytes, which do not end in NUL.
    pub name: *const c_char,
    /// How many.
    pub name_length: usize,
    /// Of a tensor its place in the list; `SIZE_MAX` if it has none.
    pub index: usize,
    /// How many children it has, for `numpack_checkpoint_get_child`.
    pub children: usize,
}

// SAFETY: numbers and raw pointers only, and `struct_size` first.
unsafe impl Versioned for numpack_node {
    const NAME: &str = "numpack_node";
    const ZERO: Self = numpack_node {
        struct_size: 0,
        kind: 0,
        integer: 0,
        real: 0.0,
        text: ptr::null(),
        length: 0,
        name: ptr::null(),
        name_length: 0,
        index: usize::MAX,
        children: 0,
    };
}

fn node(tree: &Tree, number: u32) -> Result<&Node, Error> {
    let found = tree.nodes().get(number as usize);
    found.ok_or_else(|| {
        parameter(format!("node {number} is out of range, there are {}", tree.nodes().len()))
    })
}

/// The children of a node by their places: the key, where there is one, and the value.
fn child(node: &Node, i: usize) -> Option<(Option<NodeId>, NodeId)> {
    let item = |ids: &[NodeId]| ids.get(i).map(|&id| (None, id));
    match node {
        Node::Tuple(ids) | Node::List(ids) | Node::Set(ids) | Node::FrozenSet(ids) => item(ids),
        Node::Dict(dict) => dict.items.get(i).map(|&(key, value)| (Some(key), value)),
        Node::Object(object) => {
            let mut parts = vec![object.callable, object.args];
            parts.extend(object.kwargs);
            parts.extend(object.state);
            if let Some(&part) = parts.get(i) {
                return Some((None, part));
            }
            let i = i - parts.len();
            match object.appended.get(i) {
                Some(&part) => Some((None, part)),
                None => {
                    let items = object.items.get(i - object.appended.len());
                    items.map(|&(key, value)| (Some(key), value))
                }
            }
        }
        _ => None,
    }
}

fn children(node: &Node) -> usize {
    match node {
        Node::Tuple(ids) | Node::List(ids) | Node::Set(ids) | Node::FrozenSet(ids) => ids.len(),
        Node::Dict(dict) => dict.items.len(),
        Node::Object(o) => {
            let parts = 2 + usize::from(o.kwargs.is_some()) + usize::from(o.state.is_some());
            parts + o.appended.len() + o.items.len()
        }
        _ => 0,
    }
}

/// What is said of a node.
fn describe(checkpoint: &numpack_checkpoint, node: &Node) -> numpack_node {
    let mut out = numpack_node { children: children(node), ..numpack_node::ZERO };
    let mut text = |kind: i32, bytes: &[u8]| {
        (out.kind, out.text, out.length) = (kind, bytes.as_ptr().cast(), bytes.len());
    };
    match node {
        Node::BigInt(bytes) => text(NUMPACK_NODE_BIG_INT, bytes),
        Node::Str(s) => text(NUMPACK_NODE_STR, s.as_bytes()),
        Node::SurrogateStr(bytes) => text(NUMPACK_NODE_SURROGATE_STR, bytes),
        Node::Bytes(bytes) => text(NUMPACK_NODE_BYTES, bytes),
        Node::ByteArray(bytes) => text(NUMPACK_NODE_BYTEARRAY, bytes),
        Node::Global(global) => {
            text(NUMPACK_NODE_GLOBAL, global.module.as_bytes());
            (out.name, out.name_length) = (global.name.as_ptr().cast(), global.name.len());
        }
        Node::Bool(b) => (out.kind, out.integer) = (NUMPACK_NODE_BOOL, i64::from(*b)),
        Node::Int(n) => (out.kind, out.integer) = (NUMPACK_NODE_INT, *n),
        Node::Float(f) => (out.kind, out.real) = (NUMPACK_NODE_FLOAT, *f),
        Node::Tuple(_) => out.kind = NUMPACK_NODE_TUPLE,
        Node::List(_) => out.kind = NUMPACK_NODE_LIST,
        Node::Set(_) => out.kind = NUMPACK_NODE_SET,
        Node::FrozenSet(_) => out.kind = NUMPACK_NODE_FROZENSET,
        Node::Dict(dict) if dict.ordered => out.kind = NUMPACK_NODE_ORDERED_DICT,
        Node::Dict(_) => out.kind = NUMPACK_NODE_DICT,
        Node::Storage(id) => {
            (out.kind, out.integer) = (NUMPACK_NODE_STORAGE, i64::from(id.0));
        }
        Node::Tensor(id) => {
            (out.kind, out.integer) = (NUMPACK_NODE_TENSOR, i64::from(id.0));
            out.index = checkpoint.by_tensor.get(&id.0).copied().unwrap_or(usize::MAX);
        }
        Node::Object(object) => {
            out.kind = NUMPACK_NODE_OBJECT;
            out.integer = i64::from(match object.construct {
                Construct::New => NUMPACK_OBJECT_NEW,
                Construct::NewEx => NUMPACK_OBJECT_NEW_EX,
                Construct::PersistentId => NUMPACK_OBJECT_PERSISTENT_ID,
                _ => NUMPACK_OBJECT_CALL,
            });
        }
        // None; and a kind that this version has not could not have been read by it.
        _ => out.kind = NUMPACK_NODE_NONE,
    }
    out
}

/// The number of the node that is the whole object. Nodes form a graph, not a tree: two keys may
/// lead to one, and a list may contain itself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_checkpoint_get_root(
    checkpoint: *const numpack_checkpoint,
    root: *mut u32,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let checkpoint = unsafe { handle::borrow(checkpoint) }?;
        let found = checkpoint.tensors.tree().root().map_or(NUMPACK_NO_NODE, |root| root.place());
        // SAFETY: the caller's promise.
        unsafe { shell::put(root, found) };
        Ok(())
    })
}

/// Says what a node is. What `node` points to lives as long as the checkpoint.
///
/// Errors: `NUMPACK_PARAMETER` for a number that no node has, or a wrong `node->struct_size`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_checkpoint_get_node(
    checkpoint: *const numpack_checkpoint,
    number: u32,
    node: *mut numpack_node,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let checkpoint = unsafe { handle::borrow(checkpoint) }?;
        let found = self::node(checkpoint.tensors.tree(), number)?;
        // SAFETY: the caller's promise.
        let size = unsafe { structs::size(node.cast_const()) }?;
        let value = numpack_node { struct_size: size as u32, ..describe(checkpoint, found) };
        // SAFETY: the caller vouches for `size` bytes, which have been found to be enough.
        unsafe { structs::write(node, size, value) };
        Ok(())
    })
}

/// A child of a node, from 0: `key` takes the number of its key, or `NUMPACK_NO_NODE` where it has
/// none, `value` its own.
///
/// Errors: `NUMPACK_PARAMETER` for a number that no node has, or a child that is not there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_checkpoint_get_child(
    checkpoint: *const numpack_checkpoint,
    number: u32,
    child: usize,
    key: *mut u32,
    value: *mut u32,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let checkpoint = unsafe { handle::borrow(checkpoint) }?;
        let tree = checkpoint.tensors.tree();
        let parent = node(tree, number)?;
        let (found, id) = self::child(parent, child).ok_or_else(|| {
            let count = children(parent);
            parameter(format!("child {child} of node {number} is out of range, it has {count}"))
        })?;
        // SAFETY: the caller's promise.
        unsafe { shell::put(key, found.map_or(NUMPACK_NO_NODE, |id| id.place())) };
        // SAFETY: the caller's promise.
        unsafe { shell::put(value, id.place()) };
        Ok(())
    })
}

/// The attributes of a node: `attributes` takes the number of a dict, or `NUMPACK_NO_NODE` where there
/// are none. An ordered dict may have some, such as the `_metadata` of a state dict, and a tensor those
/// that Python code has set on it; neither is a child.
///
/// Errors: `NUMPACK_PARAMETER` for a number that no node has.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_checkpoint_get_attributes(
    checkpoint: *const numpack_checkpoint,
    number: u32,
    attributes: *mut u32,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let checkpoint = unsafe { handle::borrow(checkpoint) }?;
        let tree = checkpoint.tensors.tree();
        let found = match node(tree, number)? {
            Node::Dict(dict) => dict.attributes,
            Node::Tensor(id) => tree.tensor(*id).state,
            _ => None,
        };
        // SAFETY: the caller's promise.
        unsafe { shell::put(attributes, found.map_or(NUMPACK_NO_NODE, |id| id.place())) };
        Ok(())
    })
}
