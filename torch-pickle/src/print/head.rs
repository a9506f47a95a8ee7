//! The line of what has parts: what it is, and which of its parts follow.

use std::collections::HashSet;

use super::text::{push, push_bytes, push_global, push_plain};
use super::{Printer, numpy, value};
use crate::walk::runs::Run;
use crate::{
    Global, Instance, Kind, Node, NodeId, StorageId, StorageType, Tensor, TensorClass, Tree,
};

/// Characters of the name of a class.
const LONGEST_NAME: usize = 200;
/// How many axes of a shape are written.
const MOST_AXES: usize = 64;

/// What stands on the line of a node. Its runs are put behind the others.
pub(super) struct Head {
    pub(super) text: String,
    /// The storage it shows.
    pub(super) storage: Option<StorageId>,
    /// Whether its first run shows only plain values.
    pub(super) plain: bool,
}

/// What a node is called where there is no room for more.
pub(super) fn name(node: &Node) -> &'static str {
    match node {
        Node::Tuple(_) => "tuple",
        Node::List(_) => "list",
        Node::Set(_) => "set",
        Node::FrozenSet(_) => "frozenset",
        Node::Dict(dict) if dict.ordered => "OrderedDict",
        Node::Dict(_) => "dict",
        Node::Storage(_) => "storage",
        Node::Tensor(_) => "tensor",
        _ => "object",
    }
}

impl<'t> Printer<'t> {
    /// What a node is that is more than a short value.
    pub(super) fn head(&mut self, id: NodeId) -> Head {
        let tree = self.tree;
        let node = tree.node(id);
        let mut head = Head { text: name(node).to_owned(), storage: None, plain: false };
        match node {
            Node::Tuple(items) | Node::List(items) | Node::Set(items) | Node::FrozenSet(items) => {
                push(&mut head.text, format_args!(" of {}", items.len()));
                self.runs.push(Run::Items(id));
            }
            Node::Dict(_) => self.shape.push(id, &mut self.runs),
            Node::Storage(storage) => {
                let info = tree.storage(*storage);
                head.text = match info.dtype {
                    StorageType::Typed(dtype) => format!("{} storage", dtype.name()),
                    StorageType::Untyped => "untyped storage".to_owned(),
                };
                push(&mut head.text, format_args!(" of {}", info.numel));
                head.storage = Some(*storage);
            }
            Node::Tensor(tensor) => {
                let tensor = tree.tensor(*tensor);
                head.text = self.tensor(tensor);
                head.storage = Some(tensor.storage);
                self.shape.push(id, &mut self.runs);
            }
            Node::Object(_) => self.object(id, &mut head),
            _ => {}
        }
        head
    }

    fn tensor(&self, tensor: &Tensor) -> String {
        let mut out = String::new();
        out.push_str(tensor.dtype.name());
        out.push(' ');
        push_shape(tensor.shape.iter().copied(), tensor.shape.len(), &mut out);
        let marks = [
            (tensor.class == TensorClass::Parameter, ", parameter"),
            (tensor.requires_grad, ", requires grad"),
            (tensor.conj, ", conjugated"),
            (tensor.neg, ", negated"),
        ];
        marks.iter().filter(|(is, _)| *is).for_each(|(_, mark)| out.push_str(mark));
        if let Some(quantizer) = tensor.quantizer {
            out.push_str(", quantised");
            if let Some(text) = value::short(self.tree, quantizer, self.options.text) {
                push(&mut out, format_args!(" {text}"));
            }
        }
        out
    }

    fn object(&mut self, id: NodeId, head: &mut Head) {
        let tree = self.tree;
        let Node::Object(object) = tree.node(id) else { return };
        let out = &mut head.text;
        out.clear();
        match tree.kind_of(id) {
            Kind::Sparse(sparse) => {
                push(out, format_args!("{} tensor", sparse.layout));
                match (tree.kind_of(sparse.size), tree.node(sparse.size)) {
                    (Kind::Size(sizes), _) => {
                        out.push(' ');
                        push_shape(sizes.iter().copied(), sizes.len(), out);
                    }
                    (_, Node::Tuple(_)) => {
                        let size = value::short(tree, sparse.size, self.options.text);
                        push(out, format_args!(" {}", size.unwrap_or_default()));
                    }
                    _ => {}
                }
                out.push_str(if sparse.coalesced == Some(true) { ", coalesced" } else { "" });
                self.shape.push(id, &mut self.runs);
            }
            Kind::Nested => self.of_torch("nested tensor", id, out),
            Kind::Meta => {
                out.push_str("meta tensor");
                match value::short(tree, object.args, 2 * self.options.text) {
                    Some(text) => push(out, format_args!(" {text}")),
                    None => self.shape.push(id, &mut self.runs),
                }
            }
            Kind::Device => self.of_torch("tensor of another device", id, out),
            Kind::Subclass(class) => {
                out.push_str("tensor of class ");
                push_class(class, out);
                self.shape.push(id, &mut self.runs);
            }
            Kind::NdArray(array) => {
                out.push_str("numpy.ndarray ");
                match &array.dtype {
                    Some(dtype) => numpy::push_type(&dtype.name, out),
                    None => out.push_str("of records"),
                }
                out.push(' ');
                push_shape(array.shape.iter().copied(), array.shape.len(), out);
                out.push_str(if array.fortran { ", fortran order" } else { "" });
                if array.data.is_none() {
                    self.shape.push(id, &mut self.runs);
                }
            }
            Kind::NumpyScalar(scalar) => {
                out.push_str("numpy scalar ");
                match &scalar.dtype {
                    Some(dtype) => numpy::push_type(&dtype.name, out),
                    None => out.push_str("of records"),
                }
                if let Some(data) = scalar.data {
                    out.push(' ');
                    push_bytes(data, self.options.text, out);
                }
            }
            Kind::Size(sizes) => push(out, format_args!("torch.Size of {}", sizes.len())),
            Kind::Generator(generator) => {
                let short = |id| value::short(tree, id, self.options.text);
                let device = match tree.kind_of(generator.device) {
                    Kind::TorchDevice(device) => device,
                    _ => "a device".to_owned(),
                };
                out.push_str("torch.Generator of ");
                push_plain(&device, LONGEST_NAME, out);
                if let Some(seed) = short(generator.seed) {
                    push(out, format_args!(", seed {seed}"));
                }
                self.runs.push(Run::One("state", generator.state));
            }
            Kind::Module(class) => {
                push_class(class, out);
                out.push_str(" module");
                if let Some(state) = object.state {
                    head.plain = true;
                    self.runs.push(Run::Values(state));
                }
                self.shape.push(id, &mut self.runs);
            }
            Kind::Optimizer(instance) => self.instance(id, &instance, " optimizer", out),
            Kind::Scheduler(instance) => self.instance(id, &instance, " scheduler", out),
            Kind::Instance(instance) => self.instance(id, &instance, "", out),
            Kind::NamedTuple(named) => {
                push_class(Some(named.class), out);
                push(out, format_args!(" of {}", named.values.len()));
                // Made by protocols 0 and 1 the values are a part of the arguments.
                match tree.node(object.args) {
                    Node::Tuple(args) if std::ptr::eq(&args[..], named.values) => {
                        self.runs.push(Run::Items(object.args));
                    }
                    Node::Tuple(args) => self.runs.extend(args.last().map(|&a| Run::Items(a))),
                    _ => {}
                }
            }
            Kind::Enum(_) => {
                push_class(tree_class(tree, object.callable), out);
                self.shape.push(id, &mut self.runs);
            }
            Kind::DefaultDict(made) => {
                out.push_str("collections.defaultdict");
                if let Some(factory) = made.factory {
                    let short = value::short(tree, factory, self.options.text);
                    push(out, format_args!(" of {}", short.as_deref().unwrap_or("an object")));
                }
                self.runs.push(Run::Set(id));
                self.push_state(object.state);
            }
            Kind::Deque(deque) => {
                push(out, format_args!("collections.deque of {}", deque.items.len()));
                if let Some(maxlen) = deque.maxlen {
                    push(out, format_args!(", maxlen={maxlen}"));
                }
                match (&object.appended[..], tree.node(object.args)) {
                    ([], Node::Tuple(args)) => {
                        self.runs.extend(args.first().map(|&items| Run::Items(items)));
                    }
                    _ => self.runs.push(Run::Appended(id)),
                }
                self.push_state(object.state);
            }
            Kind::Counter(counts) => {
                out.push_str("collections.Counter");
                self.runs.push(Run::Values(counts));
                self.push_state(object.state);
            }
            Kind::Partial(partial) => {
                let function = value::short(tree, partial.function, self.options.text);
                let function = function.as_deref().unwrap_or("an object");
                push(out, format_args!("functools.partial of {function}"));
                self.runs.push(Run::Items(partial.args.1));
                self.runs.extend(partial.keywords.map(Run::Values));
            }
            Kind::PersistentId => {
                out.push_str("something outside the file");
                match value::short(tree, object.args, self.options.text) {
                    Some(text) => push(out, format_args!(", known as {text}")),
                    None => self.runs.push(Run::Items(object.args)),
                }
            }
            // All else has a short text, or is not known.
            _ => self.opaque(id, out),
        }
    }

    fn of_torch(&mut self, what: &str, id: NodeId, out: &mut String) {
        out.push_str(what);
        self.shape.push(id, &mut self.runs);
    }

    fn opaque(&mut self, id: NodeId, out: &mut String) {
        let Node::Object(object) = self.tree.node(id) else { return };
        out.push('<');
        push_class(tree_class(self.tree, object.callable), out);
        out.push_str("> opaque");
        let first = self.runs.len();
        self.shape.push(id, &mut self.runs);
        self.push_leaf_state(object.state);
        let parts: usize = self.runs[first..].iter().map(|&run| self.shape.len(run)).sum();
        if parts > 0 {
            push(out, format_args!(", {}", count(parts, "part")));
        }
        match self.tensors_below(id) {
            Some(0) => {}
            Some(tensors) => push(out, format_args!(", {}", count(tensors, "tensor"))),
            None => out.push_str(", many parts below"),
        }
    }

    fn instance(&mut self, id: NodeId, instance: &Instance<'t>, what: &str, out: &mut String) {
        push_class(Some(instance.class), out);
        out.push_str(what);
        let Node::Object(object) = self.tree.node(id) else { return };
        let reconstructed = matches!(self.tree.node(object.callable),
            Node::Global(global) if global.is("copyreg", "_reconstructor"));
        if !reconstructed {
            self.shape.push(id, &mut self.runs);
            self.push_leaf_state(object.state);
            return;
        }
        match instance.args {
            [] => {}
            [value] => self.runs.push(Run::One("value", *value)),
            _ => self.runs.extend(self.last_arg(object.args).map(Run::Items)),
        }
        self.runs.extend(instance.appended.1.map(Run::Items));
        self.runs.extend(instance.items.1.map(Run::Values));
        self.push_state(object.state);
    }

    fn last_arg(&self, args: NodeId) -> Option<NodeId> {
        match self.tree.node(args) {
            Node::Tuple(args) => args.last().copied(),
            _ => None,
        }
    }

    /// The attributes of what is shown otherwise than by its arguments.
    fn push_state(&mut self, state: Option<NodeId>) {
        let Some(state) = state else { return };
        match self.tree.node(state) {
            Node::Dict(dict) if !dict.items.is_empty() => self.runs.push(Run::Values(state)),
            Node::Dict(_) | Node::None => {}
            Node::Tuple(parts) => {
                let dicts = parts.iter().filter(|&&part| {
                    matches!(self.tree.node(part), Node::Dict(dict) if !dict.items.is_empty())
                });
                let before = self.runs.len();
                self.runs.extend(dicts.take(2).map(|&part| Run::Values(part)));
                if self.runs.len() == before {
                    self.runs.push(Run::Items(state));
                }
            }
            _ => self.runs.push(Run::One("state", state)),
        }
    }

    /// A state that no path leads on from.
    fn push_leaf_state(&mut self, state: Option<NodeId>) {
        if let Some(state) = state
            && crate::walk::runs::is_leaf(self.tree.node(state))
            && *self.tree.node(state) != Node::None
        {
            self.runs.push(Run::One("state", state));
        }
    }

    /// How many tensors there are below a node; `None` where too much is there to look at.
    fn tensors_below(&mut self, id: NodeId) -> Option<usize> {
        let mut seen = HashSet::from([id]);
        let mut todo = vec![id];
        let mut found = 0;
        while let Some(id) = todo.pop() {
            found += usize::from(matches!(self.tree.node(id), Node::Tensor(_)));
            if self.countable == 0 {
                return None;
            }
            let before = todo.len();
            self.tree.push_children(id, &mut todo);
            self.countable = self.countable.saturating_sub(todo.len() - before + 1);
            let mut kept = before;
            for i in before..todo.len() {
                if seen.insert(todo[i]) {
                    todo[kept] = todo[i];
                    kept += 1;
                }
            }
            todo.truncate(kept);
        }
        Some(found)
    }
}

fn tree_class(tree: &Tree, callable: NodeId) -> Option<&Global> {
    match tree.node(callable) {
        Node::Global(global) => Some(global),
        _ => None,
    }
}

fn push_class(class: Option<&Global>, out: &mut String) {
    match class {
        Some(class) => push_global(class, LONGEST_NAME, out),
        None => out.push_str("object"),
    }
}

fn push_shape(sizes: impl Iterator<Item = impl std::fmt::Display>, axes: usize, out: &mut String) {
    out.push('[');
    for (i, size) in sizes.take(MOST_AXES).enumerate() {
        push(out, format_args!("{}{size}", if i > 0 { ", " } else { "" }));
    }
    out.push_str(if axes > MOST_AXES { ", …]" } else { "]" });
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
