//! Instances of classes: what they were given, and what else follows from that.

use crate::objects::Kind;
use crate::{Construct, Global, Node, NodeId, Object, Tree};

/// Modules whose classes that can be called with one value are no enumerations.
const OTHERWISE: &[&str] = &[
    "builtins",
    "collections",
    "datetime",
    "decimal",
    "fractions",
    "functools",
    "numpy",
    "pathlib",
    "pathlib._local",
    "torch",
    "torch._C",
    "zoneinfo",
];

/// An instance of a class that was made without calling its `__init__`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Instance<'t> {
    /// Its class.
    pub class: &'t Global,
    /// What `__new__` was given.
    pub args: &'t [NodeId],
    /// What it was filled with: its `__dict__`.
    pub attributes: &'t [(NodeId, NodeId)],
    /// The values of its `__slots__`.
    pub slots: &'t [(NodeId, NodeId)],
    /// Its items, where it is a list or the like, and the node that holds them unless that is the
    /// instance itself.
    pub appended: (&'t [NodeId], Option<NodeId>),
    /// Its items, where it is a dict or the like, and the node that holds them unless that is the
    /// instance itself.
    pub items: (&'t [(NodeId, NodeId)], Option<NodeId>),
    /// A state that is neither a dict nor a pair of them.
    pub state: Option<NodeId>,
}

impl<'t> Instance<'t> {
    /// The value of an attribute, if it is among the first 256.
    pub fn attribute(&self, tree: &Tree, name: &str) -> Option<NodeId> {
        tree.value_of(self.attributes, name).or_else(|| tree.value_of(self.slots, name))
    }

    /// The names and values of all attributes, those in slots last.
    ///
    /// ```
    /// use torch_pickle::{Construct, Dict, Global, Kind, Node, Object, Tree};
    /// let mut tree = Tree::new();
    /// let class = tree.add(Node::Global(Box::new(Global::new("argparse", "Namespace"))));
    /// let args = tree.add(Node::Tuple(vec![]));
    /// let (name, value) = (tree.add(Node::Str("lr".into())), tree.add(Node::Float(0.1)));
    /// let state = tree.add(Node::Dict(Dict { items: vec![(name, value)], ..Dict::default() }));
    /// let mut object = Object::new(Construct::New, class, args);
    /// object.state = Some(state);
    /// let made = tree.add(Node::Object(Box::new(object)));
    /// let Kind::Instance(instance) = tree.kind_of(made) else { panic!() };
    /// assert_eq!(instance.class.to_string(), "argparse.Namespace");
    /// assert_eq!(instance.attribute(&tree, "lr"), Some(value));
    /// assert_eq!(instance.all_attributes().collect::<Vec<_>>(), [(name, value)]);
    /// ```
    pub fn all_attributes(&self) -> impl Iterator<Item = (NodeId, NodeId)> + use<'t> {
        self.attributes.iter().chain(self.slots).copied()
    }
}

/// A member of an enumeration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EnumMember<'t> {
    /// Made by its value, as nearly all are: `Color(1)`.
    Value(&'t Global, NodeId),
    /// Got by its name, as some flags are: `Color.RED`.
    Name(&'t Global, &'t str),
}

/// A named tuple. The names of its fields are in its class, not in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NamedTuple<'t> {
    /// Its class.
    pub class: &'t Global,
    /// Its values.
    pub values: &'t [NodeId],
}

impl Tree {
    /// `getattr(class, 'name')`.
    pub(super) fn member<'t>(&'t self, args: &'t [NodeId]) -> Option<Kind<'t>> {
        let [class, name] = *args else { return None };
        Some(Kind::Enum(EnumMember::Name(self.global(class)?, self.short_text(name)?)))
    }

    pub(super) fn instance<'t>(&'t self, object: &'t Object) -> Option<Kind<'t>> {
        let callable = self.global(object.callable)?;
        let given = self.sequence(object.args)?;
        let bare = object.state.is_none() && object.items.is_empty() && object.appended.is_empty();
        let mut instance = Instance {
            class: callable,
            args: given,
            attributes: &[],
            slots: &[],
            appended: (&object.appended, None),
            items: (&object.items, None),
            state: None,
        };
        let is_new = object.construct != Construct::Call;
        let mut is_tuple = false;
        if !is_new {
            match (&*callable.module, &*callable.name) {
                // How protocols 0 and 1 make one: the class, its base, and what the base is given.
                ("copyreg", "_reconstructor") => {
                    let [class, base, _] = given else { return None };
                    instance.class = self.global(*class)?;
                    is_tuple = self.global(*base)?.is("builtins", "tuple");
                    self.give_base(&mut instance, self.global(*base)?, &given[2..]);
                }
                ("copyreg", "__newobj__") => {
                    let (class, rest) = given.split_first()?;
                    (instance.class, instance.args) = (self.global(*class)?, rest);
                }
                _ if bare => return self.by_value(callable, given),
                // A class of Python 2, or one that makes its instances empty.
                _ if given.is_empty() => {}
                _ => return None,
            }
        }
        match object.state.map(|state| (state, self.node(state))) {
            None | Some((_, Node::None)) => {}
            Some((_, Node::Dict(dict))) => instance.attributes = &dict.items,
            Some((state, Node::Tuple(parts))) => match self.dicts(parts) {
                Some([attributes, slots]) => {
                    (instance.attributes, instance.slots) = (attributes, slots);
                }
                None => instance.state = Some(state),
            },
            Some((state, _)) => instance.state = Some(state),
        }
        if instance.class.is("uuid", "UUID") {
            return self.uuid(&instance).map(Kind::Uuid);
        }
        let values = instance.args;
        if bare && object.kwargs.is_none() && !values.is_empty() && (is_tuple || is_new) {
            return Some(Kind::NamedTuple(NamedTuple { class: instance.class, values }));
        }
        Some(self.trains(instance))
    }

    /// What a class derived from a builtin one is filled with.
    fn give_base<'t>(&'t self, instance: &mut Instance<'t>, base: &Global, value: &'t [NodeId]) {
        instance.args = &[];
        let Some(&id) = value.first() else { return };
        match self.node(id) {
            Node::None => {}
            Node::Tuple(items) if base.is("builtins", "tuple") => instance.args = items,
            Node::List(items) | Node::Set(items) | Node::FrozenSet(items) => {
                instance.appended = (items, Some(id));
            }
            Node::Dict(dict) => instance.items = (&dict.items, Some(id)),
            _ => instance.args = value,
        }
    }

    /// The two dicts of a class with `__slots__`, each of which may be `None`.
    fn dicts<'t>(&'t self, parts: &[NodeId]) -> Option<[&'t [(NodeId, NodeId)]; 2]> {
        let [first, second] = *parts else { return None };
        let items = |id| match self.node(id) {
            Node::None => Some(&[][..]),
            Node::Dict(dict) => Some(&dict.items[..]),
            _ => None,
        };
        Some([items(first)?, items(second)?])
    }

    /// A class called with one plain value, which is how members of enumerations are written.
    fn by_value<'t>(&'t self, class: &'t Global, args: &[NodeId]) -> Option<Kind<'t>> {
        let [value] = *args else { return None };
        let name = class.name.rsplit('.').next()?;
        let looks_like_a_class = name.trim_start_matches('_').starts_with(char::is_uppercase);
        let plain = matches!(
            self.node(value),
            Node::None
                | Node::Bool(_)
                | Node::Int(_)
                | Node::BigInt(_)
                | Node::Float(_)
                | Node::Str(_)
                | Node::Bytes(_)
                | Node::Tuple(_)
        );
        let fits = plain && looks_like_a_class && !OTHERWISE.contains(&&*class.module);
        fits.then_some(Kind::Enum(EnumMember::Value(class, value)))
    }

    fn uuid(&self, instance: &Instance<'_>) -> Option<[u8; 16]> {
        match self.node(instance.attribute(self, "int")?) {
            Node::Int(n) => Some(u128::try_from(*n).ok()?.to_be_bytes()),
            Node::BigInt(bytes) => {
                let mut number = [0; 17];
                number.get_mut(..bytes.len())?.copy_from_slice(bytes);
                // Two's complement: the topmost byte of a positive number of 128 bits is a zero.
                let negative = bytes.last().is_some_and(|&b| b & 0x80 != 0);
                let [rest @ .., 0] = number else { return None };
                (!negative).then(|| u128::from_le_bytes(rest).to_be_bytes())
            }
            _ => None,
        }
    }
}
