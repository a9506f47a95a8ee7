//! Arrays, scalars and element types of numpy.

use crate::objects::{Kind, MOST_DIMENSIONS};
use crate::{Global, Node, NodeId, Object, Tree};

/// A numpy array.
#[derive(Clone, PartialEq, Debug)]
pub struct NdArray<'t> {
    /// Its element type, where it is a plain one.
    pub dtype: Option<NumpyDtype>,
    /// Length of each dimension.
    pub shape: Vec<u64>,
    /// Whether the elements are in Fortran order.
    pub fortran: bool,
    /// The elements; `None` where they are Python objects.
    pub data: Option<&'t [u8]>,
}

/// A numpy scalar.
#[derive(Clone, PartialEq, Debug)]
pub struct NumpyScalar<'t> {
    /// Its type, where it is a plain one.
    pub dtype: Option<NumpyDtype>,
    /// Its bytes, where they are plain ones.
    pub data: Option<&'t [u8]>,
}

/// A numpy element type without fields.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NumpyDtype {
    /// Byte order and kind: `<f4`, `|b1`, `>i8`.
    pub name: String,
}

impl Tree {
    pub(super) fn called_of_numpy<'t>(
        &'t self,
        object: &'t Object,
        global: &Global,
        args: &'t [NodeId],
    ) -> Option<Kind<'t>> {
        match (&*global.module, &*global.name) {
            ("numpy", "dtype") => self.dtype_of(object).map(Kind::NumpyDtype),
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => {
                let dtype = args.first().and_then(|&d| self.numpy_dtype(d));
                let data = args.get(1).and_then(|&d| self.bytes(d));
                Some(Kind::NumpyScalar(NumpyScalar { dtype, data }))
            }
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => {
                let [_, shape, dtype, fortran, data] = self.sequence(object.state?)? else {
                    return None;
                };
                Some(Kind::NdArray(NdArray {
                    dtype: self.numpy_dtype(*dtype),
                    shape: self.lengths(*shape)?,
                    fortran: matches!(self.node(*fortran), Node::Bool(true) | Node::Int(1)),
                    data: self.bytes(*data),
                }))
            }
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => {
                let [data, dtype, shape, order] = args else { return None };
                Some(Kind::NdArray(NdArray {
                    dtype: self.numpy_dtype(*dtype),
                    shape: self.lengths(*shape)?,
                    fortran: matches!(self.node(*order), Node::Str(s) if &**s == "F"),
                    data: self.bytes(*data),
                }))
            }
            _ => None,
        }
    }

    /// A dtype: an object of its own, or the class or name of one.
    fn numpy_dtype(&self, id: NodeId) -> Option<NumpyDtype> {
        match self.node(id) {
            Node::Object(object) => self.dtype_of(object),
            _ => None,
        }
    }

    fn dtype_of(&self, object: &Object) -> Option<NumpyDtype> {
        if !self.global(object.callable)?.is("numpy", "dtype") {
            return None;
        }
        let name = *self.sequence(object.args)?.first()?;
        let name = self.short_text(name)?;
        let state = object.state.and_then(|s| self.sequence(s)).unwrap_or_default();
        // (version, byte order, subarray, names, fields, …): a plain type has none of the last three.
        if state.iter().skip(2).take(3).any(|&s| *self.node(s) != Node::None) {
            return None;
        }
        let order = match state.get(1).map(|&o| self.node(o)) {
            Some(Node::Str(order)) => order,
            _ => "",
        };
        let bare = name.trim_start_matches(['<', '>', '|', '=']);
        let order = match (order, name) {
            ("<" | ">" | "|", _) => order,
            (_, named) if named.len() > bare.len() => &named[..1],
            _ => "|",
        };
        Some(NumpyDtype { name: format!("{order}{bare}") })
    }

    fn lengths(&self, id: NodeId) -> Option<Vec<u64>> {
        let items = self.sequence(id)?;
        if items.len() > MOST_DIMENSIONS {
            return None;
        }
        let items = items.iter().map(|&d| match self.node(d) {
            Node::Int(n) => u64::try_from(*n).ok(),
            _ => None,
        });
        items.collect()
    }
}
