//! Objects in memory become a `.pt` file: values, containers and tensors, put together node by node.

use std::path::Path;

use torch_pickle::{Dict, Node, NodeId, TensorClass, TensorId, Tree, WriteOptions};

use crate::held::{Held, Kept, torch_type};
use crate::tensor::Reading;
use crate::{Error, Result, Tensor};

/// An object to be saved: plain values, containers of what was added before, and tensors. A node that
/// is put into several places is one object there, as it is in Python.
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("training.pt");
/// use numpack_interop::{Object, Tensor, Tensors};
/// use torch_pickle::{Node, WriteOptions};
/// let mut object = Object::new();
/// let weight = Tensor::from_slice(&[1.0_f32, 2.0], &[2])?;
/// let weight = object.tensor(&weight, false)?;
/// let model = object.dict(&[("weight", weight)])?;
/// let epoch = object.add(Node::Int(3))?;
/// let root = object.dict(&[("model", model), ("epoch", epoch)])?;
/// object.save(root, &path, &WriteOptions::new())?; // torch.load(path, weights_only=True)
/// let file = Tensors::open(&path)?;
/// assert_eq!(file.list()?[0].name, "model.weight");
/// assert_eq!(file.tree().node(file.tree().find("epoch")?), &Node::Int(3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct Object {
    /// Without its tensors and storages, which come when it is saved.
    tree: Tree,
    /// Each with whether it is a parameter.
    tensors: Vec<(Tensor, bool)>,
}

impl Object {
    /// One without any node.
    pub fn new() -> Object {
        Object::default()
    }

    /// Adds a plain value, or a container of nodes that were added before. Of what comes twice in a
    /// dict or set the later one stays, as in Python.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a tensor or storage, which are added by [`tensor`](Object::tensor), for
    /// a part that was not added before, and for attributes that are no dict, or of one that is not ordered.
    pub fn add(&mut self, node: Node) -> Result<NodeId> {
        let count = self.tree.nodes().len();
        let check = |part: &NodeId| match part.place() as usize {
            place if place < count => Ok(()),
            place => Err(Error::Parameter(format!(
                "node {place} is not there yet; add the parts of an object before the object"
            ))),
        };
        match &node {
            Node::Tensor(_) | Node::Storage(_) => {
                let problem = "a tensor is no plain value; add the tensor itself";
                return Err(Error::Parameter(problem.to_owned()));
            }
            Node::Tuple(parts) | Node::List(parts) | Node::Set(parts) | Node::FrozenSet(parts) => {
                parts.iter().try_for_each(check)?;
            }
            Node::Dict(dict) => {
                dict.items.iter().flat_map(|(key, value)| [key, value]).try_for_each(check)?;
                dict.attributes.iter().try_for_each(check)?;
                let is_dict = |id| matches!(self.tree.node(id), Node::Dict(_));
                if dict.attributes.is_some_and(|id| !dict.ordered || !is_dict(id)) {
                    let problem = "attributes are a dict, of an ordered dict; make both so";
                    return Err(Error::Parameter(problem.to_owned()));
                }
            }
            Node::Object(o) => {
                let parts = [&o.callable, &o.args].into_iter();
                parts.chain(&o.kwargs).chain(&o.state).chain(&o.appended).try_for_each(check)?;
                o.items.iter().flat_map(|(key, value)| [key, value]).try_for_each(check)?;
            }
            _ => {}
        }
        if count >= u32::MAX as usize - 1 {
            return Err(Error::Parameter("an object has 4294967294 nodes at most".to_owned()));
        }
        Ok(self.tree.add(node))
    }

    /// Adds a tensor, as a `torch.nn.Parameter` if `is_parameter`. Whether it wants a gradient is kept, and
    /// those that show one storage do so in the file. Its memory is read when the object is saved.
    ///
    /// # Errors
    /// [`Error::Type`] for a type that torch has not.
    pub fn tensor(&mut self, tensor: &Tensor, is_parameter: bool) -> Result<NodeId> {
        torch_type(tensor)?;
        // As many as nodes, whose number is checked.
        let id = TensorId(self.tensors.len() as u32);
        let node = self.add(Node::None)?;
        *self.tree.node_mut(node) = Node::Tensor(id);
        self.tensors.push((tensor.alias(), is_parameter));
        Ok(node)
    }

    /// Adds a text.
    ///
    /// # Errors
    /// As [`add`](Object::add).
    pub fn text(&mut self, text: &str) -> Result<NodeId> {
        self.add(Node::Str(text.into()))
    }

    /// Adds a dict with texts as keys.
    ///
    /// # Errors
    /// As [`add`](Object::add).
    pub fn dict(&mut self, items: &[(&str, NodeId)]) -> Result<NodeId> {
        let mut all = Vec::new();
        for &(key, value) in items {
            all.push((self.text(key)?, value));
        }
        self.add(Node::Dict(Dict { items: all, ..Dict::default() }))
    }

    /// Writes what a node is as a `.pt` file, which torch loads with `weights_only=True`. The file appears
    /// whole or not at all. Memory in C order goes to the file from where it lies.
    ///
    /// # Errors
    /// What [`torch_pickle::write`] refuses; [`Error::InUse`] for a tensor that is being written to,
    /// [`Error::Sharing`] for one on a device; and when the file cannot be written.
    pub fn save(&self, root: NodeId, path: impl AsRef<Path>, options: &WriteOptions) -> Result<()> {
        let kept = self.kept()?;
        let bytes = kept.read()?;
        self.held(&kept, &bytes)?.write(root, path.as_ref(), options)
    }

    /// Its tensors, as they are saved.
    pub(crate) fn kept(&self) -> Result<Kept> {
        Kept::new(self.tensors.iter().map(|(t, _)| t))
    }

    /// The object with its tensors, whose bytes `kept` had read.
    pub(crate) fn held<'b>(&self, kept: &Kept, bytes: &'b [Reading<'_>]) -> Result<Held<'b>> {
        let mut held = Held::of(self.tree.clone());
        let tensors = kept.put(bytes, &mut held)?;
        for (mut new, (_, is_parameter)) in tensors.into_iter().zip(&self.tensors) {
            if *is_parameter {
                new.class = TensorClass::Parameter;
            }
            held.tree.add_tensor(new);
        }
        Ok(held)
    }
}
