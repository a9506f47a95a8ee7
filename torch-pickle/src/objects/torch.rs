//! What torch itself writes as objects: tensors that are not dense, modules, optimisers.

use crate::objects::{Instance, Kind, MOST_SIZES};
use crate::{Dict, Global, Node, NodeId, Object, Tree};

/// The parts of a sparse tensor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sparse {
    /// `sparse_coo`, `sparse_csr`, `sparse_csc`, `sparse_bsr`, `sparse_bsc`.
    pub layout: &'static str,
    /// The dense tensors it is made of, with their names.
    pub components: Vec<(&'static str, NodeId)>,
    /// The node of its size.
    pub size: NodeId,
    /// Whether indices are unique and sorted, where that is said.
    pub coalesced: Option<bool>,
}

/// A `torch.Generator`: the device it is of, its seed, and its state, a tensor of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Generator {
    /// The node of its device.
    pub device: NodeId,
    /// The node of its seed.
    pub seed: NodeId,
    /// The node of its state.
    pub state: NodeId,
}

impl Tree {
    pub(super) fn called_of_torch<'t>(
        &'t self,
        object: &'t Object,
        global: &Global,
        args: &'t [NodeId],
    ) -> Option<Kind<'t>> {
        match (&*global.module, &*global.name) {
            ("torch._utils", "_rebuild_sparse_tensor" | "_rebuild_sparse_csr_tensor") => {
                self.sparse(args).map(Kind::Sparse)
            }
            ("torch._utils", "_rebuild_nested_tensor") => Some(Kind::Nested),
            ("torch._utils", "_rebuild_meta_tensor_no_storage") => Some(Kind::Meta),
            ("torch._utils", "_rebuild_wrapper_subclass") => {
                Some(Kind::Subclass(args.first().and_then(|&a| self.global(a))))
            }
            ("torch._tensor", "_rebuild_from_type_v2") => {
                Some(Kind::Subclass(args.get(1).and_then(|&a| self.global(a))))
            }
            (
                "torch._utils",
                "_rebuild_device_tensor_from_numpy"
                | "_rebuild_device_tensor_from_cpu_tensor"
                | "_rebuild_xla_tensor",
            ) => Some(Kind::Device),
            ("torch", "Size") => {
                let dims = self.sequence(*args.first()?)?;
                if dims.len() > MOST_SIZES {
                    return None;
                }
                let dims = dims.iter().map(|&d| match self.node(d) {
                    Node::Int(n) => Some(*n),
                    _ => None,
                });
                Some(Kind::Size(dims.collect::<Option<_>>()?))
            }
            ("torch", "device") => {
                let kind = self.short_text(*args.first()?)?;
                let index = args.get(1).map(|&i| self.node(i));
                Some(Kind::TorchDevice(match index {
                    Some(Node::Int(n)) => format!("{kind}:{n}"),
                    _ => kind.to_owned(),
                }))
            }
            ("torch.serialization", "_get_layout") => {
                let [name] = args else { return None };
                self.short_text(*name)?.strip_prefix("torch.").map(Kind::Layout)
            }
            ("torch._C" | "torch", "Generator") => {
                let ([device], [seed, _, state]) = (args, self.sequence(object.state?)?) else {
                    return None;
                };
                Some(Kind::Generator(Generator { device: *device, seed: *seed, state: *state }))
            }
            _ => None,
        }
    }

    fn sparse(&self, args: &[NodeId]) -> Option<Sparse> {
        let layout = match self.node(*args.first()?) {
            Node::Global(g) => &*g.name,
            // `torch.serialization._get_layout('torch.sparse_coo')`.
            Node::Object(object) => {
                let name = *self.sequence(object.args)?.first()?;
                let Node::Str(name) = self.node(name) else { return None };
                name.strip_prefix("torch.").unwrap_or(name)
            }
            Node::Str(name) => name.strip_prefix("torch.").unwrap_or(name),
            _ => return None,
        };
        let data = self.sequence(*args.get(1)?)?;
        let (layout, names): (_, &[&str]) = match layout {
            "sparse_coo" => ("sparse_coo", &["indices", "values"]),
            "sparse_csr" => ("sparse_csr", &["crow_indices", "col_indices", "values"]),
            "sparse_bsr" => ("sparse_bsr", &["crow_indices", "col_indices", "values"]),
            "sparse_csc" => ("sparse_csc", &["ccol_indices", "row_indices", "values"]),
            "sparse_bsc" => ("sparse_bsc", &["ccol_indices", "row_indices", "values"]),
            _ => return None,
        };
        let size = *data.get(names.len())?;
        let coalesced = match data.get(names.len() + 1).map(|&c| self.node(c)) {
            Some(Node::Bool(b)) => Some(*b),
            _ => None,
        };
        let components = names.iter().copied().zip(data.iter().copied()).collect();
        Some(Sparse { layout, components, size, coalesced })
    }

    /// Which of the objects of torch's training loop an instance is, by what they all have.
    pub(super) fn trains<'t>(&'t self, instance: Instance<'t>) -> Kind<'t> {
        let has = |name| instance.attribute(self, name).is_some();
        if has("param_groups") && has("state") && has("defaults") {
            Kind::Optimizer(instance)
        } else if has("last_epoch") && (has("base_lrs") || has("optimizer")) {
            Kind::Scheduler(instance)
        } else {
            Kind::Instance(instance)
        }
    }

    /// Parameters, buffers and submodules, where an object is a module.
    pub(crate) fn module_parts(&self, object: &Object) -> Option<ModuleParts<'_>> {
        let state = self.dict(object.state?)?;
        let part = |name| self.dict(self.attribute(state, name)?);
        let hidden = self.attribute(state, "_non_persistent_buffers_set");
        let hidden = match hidden.map(|id| self.node(id)) {
            Some(Node::Set(names) | Node::FrozenSet(names) | Node::List(names)) => &names[..],
            _ => &[],
        };
        Some(ModuleParts {
            parameters: part("_parameters")?,
            buffers: part("_buffers")?,
            modules: part("_modules")?,
            hidden,
        })
    }
}

/// What `state_dict()` lists of a module.
pub(crate) struct ModuleParts<'t> {
    pub(crate) parameters: &'t Dict,
    pub(crate) buffers: &'t Dict,
    pub(crate) modules: &'t Dict,
    /// Names of buffers that are not saved.
    pub(crate) hidden: &'t [NodeId],
}
