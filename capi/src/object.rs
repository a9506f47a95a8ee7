//! Whole objects to a `.pt` file: values, containers and tensors, put together node by node.

use std::ffi::c_char;
use std::sync::{Mutex, PoisonError};

use numpack_interop::{Error, Object};
use torch_pickle::{Dict, Global, Node, NodeId};

use crate::handle::{self, Handle};
use crate::save::{numpack_save_options, settings};
use crate::shell::{self, guard, parameter};
use crate::structs;
use crate::tensor::numpack_tensor;
use crate::tree::*;

/// An object to be saved. Each part that is added gets a number, by which what comes later has it as a
/// part; one that several have is one object there, as in Python. One thread at a time may use it.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub struct numpack_object {
    object: Mutex<Object>,
}

impl Handle for numpack_object {
    const NAME: &str = "object";
}

/// Adds a node to the caller's object.
///
/// # Safety
/// `object` is NULL or a handle, `number` NULL or writable.
unsafe fn add(
    object: *mut numpack_object,
    number: *mut u32,
    work: impl FnOnce(&mut Object) -> Result<NodeId, Error>,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let object = unsafe { handle::borrow(object.cast_const()) }?;
        let mut object = object.object.lock().unwrap_or_else(PoisonError::into_inner);
        let id = work(&mut object)?;
        // SAFETY: the caller's promise.
        unsafe { shell::put(number, id.place()) };
        Ok(())
    })
}

/// The caller's bytes.
///
/// # Safety
/// `first` is NULL or points to `length` bytes that stay unchanged for `'a`.
unsafe fn bytes<'a>(first: *const c_char, length: usize, what: &str) -> Result<&'a [u8], Error> {
    // SAFETY: the caller's promise.
    unsafe { shell::slice(first.cast(), length, what) }
}

/// What the caller describes.
///
/// # Safety
/// `value` is NULL or a struct, whose texts are there.
unsafe fn plain(value: *const numpack_node) -> Result<Node, Error> {
    // SAFETY: the caller's promise.
    let v = unsafe { structs::read(value) }?;
    // SAFETY: the caller's promise.
    let text = || unsafe { bytes(v.text, v.length, "text") };
    let no_utf8 = || parameter("text is not UTF-8; give it as bytes".to_owned());
    let utf8 = |bytes| std::str::from_utf8(bytes).map_err(|_| no_utf8());
    Ok(match v.kind {
        NUMPACK_NODE_NONE => Node::None,
        NUMPACK_NODE_BOOL => Node::Bool(v.integer != 0),
        NUMPACK_NODE_INT => Node::Int(v.integer),
        NUMPACK_NODE_BIG_INT => Node::integer(text()?),
        NUMPACK_NODE_FLOAT => Node::Float(v.real),
        NUMPACK_NODE_STR => Node::Str(utf8(text()?)?.into()),
        NUMPACK_NODE_SURROGATE_STR => Node::string(text()?).ok_or_else(no_utf8)?,
        NUMPACK_NODE_BYTES => Node::Bytes(text()?.into()),
        NUMPACK_NODE_BYTEARRAY => Node::ByteArray(text()?.into()),
        NUMPACK_NODE_GLOBAL => {
            // SAFETY: the caller's promise.
            let name = unsafe { bytes(v.name, v.name_length, "name") }?;
            Node::Global(Box::new(Global::new(utf8(text()?)?, utf8(name)?)))
        }
        NUMPACK_NODE_TUPLE..=NUMPACK_NODE_FROZENSET => {
            return Err(parameter("a container; add it by numpack_object_add_items".to_owned()));
        }
        NUMPACK_NODE_DICT | NUMPACK_NODE_ORDERED_DICT => {
            return Err(parameter("a dict; add it by numpack_object_add_dict".to_owned()));
        }
        NUMPACK_NODE_TENSOR => {
            return Err(parameter("a tensor; add it by numpack_object_add_tensor".to_owned()));
        }
        other => return Err(parameter(format!("kind is {other}, which is no plain value"))),
    })
}

/// The caller's numbers of nodes.
///
/// # Safety
/// `numbers` is NULL or points to `count` of them.
unsafe fn nodes(numbers: *const u32, count: usize, what: &str) -> Result<Vec<NodeId>, Error> {
    // SAFETY: the caller's promise.
    let numbers = unsafe { shell::slice(numbers, count, what) }?;
    Ok(numbers.iter().copied().map(NodeId::new).collect())
}

/// Makes an object without parts. The caller owns it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_object_create(object: *mut *mut numpack_object) -> i32 {
    guard(|| {
        handle::wanted(object)?;
        let new = numpack_object { object: Mutex::new(Object::new()) };
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { handle::give(object, new) };
        Ok(())
    })
}

/// Adds a plain value: `value->kind` is a `NUMPACK_NODE_*` up to `NUMPACK_NODE_BYTEARRAY`, with the fields
/// that count for it, or `NUMPACK_NODE_GLOBAL`, such as `torch.float32`. Texts are copied. `number` takes
/// its number, counted from 0 on, here and below.
///
/// Errors: `NUMPACK_PARAMETER` for another kind, text that is not UTF-8, and a wrong
/// `value->struct_size`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_object_add(
    object: *mut numpack_object,
    value: *const numpack_node,
    number: *mut u32,
) -> i32 {
    let work = |o: &mut Object| {
        // SAFETY: the caller's promise.
        o.add(unsafe { plain(value) }?)
    };
    // SAFETY: the caller's promise.
    unsafe { add(object, number, work) }
}

/// Adds a container of `count` parts that were added before: `kind` is `NUMPACK_NODE_TUPLE`,
/// `NUMPACK_NODE_LIST`, `NUMPACK_NODE_SET` or `NUMPACK_NODE_FROZENSET`.
///
/// Errors: `NUMPACK_PARAMETER` for another kind, and for a part that is not there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_object_add_items(
    object: *mut numpack_object,
    kind: i32,
    items: *const u32,
    count: usize,
    number: *mut u32,
) -> i32 {
    let work = |o: &mut Object| {
        // SAFETY: the caller's promise.
        let items = unsafe { nodes(items, count, "items") }?;
        o.add(match kind {
            NUMPACK_NODE_TUPLE => Node::Tuple(items),
            NUMPACK_NODE_LIST => Node::List(items),
            NUMPACK_NODE_SET => Node::Set(items),
            NUMPACK_NODE_FROZENSET => Node::FrozenSet(items),
            other => {
                let problem = format!("kind is {other}; give NUMPACK_NODE_TUPLE to _FROZENSET");
                return Err(parameter(problem));
            }
        })
    };
    // SAFETY: the caller's promise.
    unsafe { add(object, number, work) }
}

/// Adds a dict of `count` keys and as many values, in this order: an `OrderedDict` if `ordered` is not 0.
/// That may have attributes, such as the `_metadata` of a state dict: `attributes` is the number of a
/// dict of them, else `NUMPACK_NO_NODE`. Of a key that comes twice the later value stays.
///
/// Errors: `NUMPACK_PARAMETER` for a part that is not there, and attributes of a dict that is not
/// ordered.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_object_add_dict(
    object: *mut numpack_object,
    keys: *const u32,
    values: *const u32,
    count: usize,
    ordered: i32,
    attributes: u32,
    number: *mut u32,
) -> i32 {
    let work = |o: &mut Object| {
        // SAFETY: the caller's promise.
        let keys = unsafe { nodes(keys, count, "keys") }?;
        // SAFETY: the caller's promise.
        let values = unsafe { nodes(values, count, "values") }?;
        let items = keys.into_iter().zip(values).collect();
        let attributes = (attributes != NUMPACK_NO_NODE).then(|| NodeId::new(attributes));
        o.add(Node::Dict(Dict { ordered: ordered != 0, items, attributes }))
    };
    // SAFETY: the caller's promise.
    unsafe { add(object, number, work) }
}

/// Adds a tensor, as a `torch.nn.Parameter` if `parameter` is not 0. The object shares it: its memory is
/// read when the object is saved, and the handle may be freed before. Tensors that show one storage do so
/// in the file, and which requires grad is kept.
///
/// Errors: `NUMPACK_TYPE` for a type that torch has not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_object_add_tensor(
    object: *mut numpack_object,
    tensor: *const numpack_tensor,
    parameter: i32,
    number: *mut u32,
) -> i32 {
    let work = |o: &mut Object| {
        // SAFETY: the caller's promise.
        let tensor = &unsafe { handle::borrow(tensor) }?.tensor;
        o.tensor(tensor, parameter != 0)
    };
    // SAFETY: the caller's promise.
    unsafe { add(object, number, work) }
}

/// Writes what a number stands for as a `.pt` file, which torch loads with `weights_only=True` if it has
/// no other globals than torch allows there. The file appears whole or not at all, and the elements go
/// into it from where they lie. `options` may be NULL.
///
/// Errors: `NUMPACK_PARAMETER` for a number that is not there, and for a list, dict, set or bytearray as
/// a key; `NUMPACK_IN_USE` for a tensor that is being written to, `NUMPACK_SHARING` for one on a device;
/// `NUMPACK_EXISTS`; `NUMPACK_IO`: what was at the path is then as it was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_object_save(
    object: *const numpack_object,
    root: u32,
    path: *const c_char,
    options: *const numpack_save_options,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let object = unsafe { handle::borrow(object) }?;
        // SAFETY: the caller's promise.
        let path = unsafe { shell::path(path, "path") }?;
        // SAFETY: the caller's promise.
        let o = unsafe { structs::read_or_zero(options) }?;
        crate::options::reserved(o.reserved)?;
        let object = object.object.lock().unwrap_or_else(PoisonError::into_inner);
        object.save(NodeId::new(root), path, &settings(&o))
    })
}

/// Gives an object back; the tensors in it too. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_object_free(object: *mut numpack_object) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(object) };
}
