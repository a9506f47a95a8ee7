//! Arrays as rows along some dimensions: what reductions, softmax and norms work on.

use std::borrow::Cow;

use crate::layout::{Layout, dim_or_scalar, numel, room};
use crate::{Array, Element, Error, Result};

/// The dimensions of an array, parted into those along rows and the others.
pub(crate) struct Plan {
    /// Those along rows, rising.
    pub(crate) dims: Vec<usize>,
    kept: Vec<usize>,
    /// Elements of a row.
    pub(crate) length: usize,
    /// How many rows there are.
    pub(crate) count: usize,
}

impl Plan {
    /// Rows along these dimensions, or along all for none.
    pub(crate) fn new(op: &'static str, shape: &[usize], dims: &[isize]) -> Result<Plan> {
        let ndim = shape.len();
        let mut along: Vec<usize> =
            dims.iter().map(|&d| dim_or_scalar(op, d, ndim)).collect::<Result<_>>()?;
        along.sort_unstable();
        if along.windows(2).any(|pair| pair[0] == pair[1]) {
            let problem = format!("dimensions {dims:?} of shape {shape:?}");
            return Err(Error::shape(op, problem, "name each dimension once"));
        }
        if dims.is_empty() || ndim == 0 {
            along = (0..ndim).collect();
        }
        let kept: Vec<usize> = (0..ndim).filter(|d| !along.contains(d)).collect();
        let sizes = |dims: &[usize]| dims.iter().map(|&d| shape[d]).collect::<Vec<_>>();
        let (length, count) = (numel(op, &sizes(&along))?, numel(op, &sizes(&kept))?);
        Ok(Plan { dims: along, kept, length, count })
    }

    /// The elements, row after row.
    pub(crate) fn rows<'a, T: Element>(
        &self,
        op: &'static str,
        x: &'a Array,
    ) -> Result<Cow<'a, [T]>> {
        let turned = x.permuted(&self.order());
        Ok(match turned.as_slice::<T>() {
            // The memory is that of `x`; the view of it goes away.
            Some(slice) => {
                let start = x.layout.offset;
                let all = x.elements::<T>(op)?;
                Cow::Borrowed(if slice.is_empty() { &[] } else { &all[start..][..slice.len()] })
            }
            None => Cow::Owned(turned.to_vec::<T>()?),
        })
    }

    fn order(&self) -> Vec<usize> {
        self.kept.iter().chain(&self.dims).copied().collect()
    }

    /// Whether the rows are columns in C order: the dimensions are the first ones. In which order
    /// sums are added depends on this alone, not on how the array lies in memory.
    pub(crate) fn is_columns(&self) -> bool {
        !self.dims.is_empty()
            && !self.kept.is_empty()
            && self.dims.iter().copied().eq(0..self.dims.len())
    }

    /// The shape of one element for each row.
    pub(crate) fn reduced(&self, shape: &[usize], keepdim: bool) -> Vec<usize> {
        if keepdim {
            let size = |(d, &n): (usize, &usize)| if self.dims.contains(&d) { 1 } else { n };
            shape.iter().enumerate().map(size).collect()
        } else {
            self.kept.iter().map(|&d| shape[d]).collect()
        }
    }

    /// Refuses rows without elements.
    pub(crate) fn not_empty(&self, op: &'static str, shape: &[usize]) -> Result<()> {
        if self.length > 0 || self.count == 0 {
            return Ok(());
        }
        Err(Error::Empty { op, shape: shape.to_vec(), dims: self.dims.clone() })
    }

    /// One element for each row.
    pub(crate) fn reduce<T: Element, O: Element>(
        &self,
        op: &'static str,
        x: &Array,
        keepdim: bool,
        f: impl Fn(&[T]) -> O,
    ) -> Result<Array> {
        let rows = self.rows::<T>(op, x)?;
        let mut out = room(self.count)?;
        if self.length == 0 {
            out.extend((0..self.count).map(|_| f(&[])));
        } else {
            out.extend(rows.chunks_exact(self.length).map(f));
        }
        Array::from_vec(out, &self.reduced(x.shape(), keepdim))
    }

    /// As many elements for each row as it has, from one row each of `N` arrays of one shape.
    pub(crate) fn map<T: Element, const N: usize>(
        &self,
        op: &'static str,
        inputs: [&Array; N],
        mut f: impl FnMut([&[T]; N], &mut [T]),
    ) -> Result<Array> {
        let shape = inputs.first().map_or(&[][..], |x| x.shape());
        let mut rows = Vec::with_capacity(N);
        for x in inputs {
            rows.push(self.rows::<T>(op, x)?);
        }
        let mut out = room(self.count * self.length)?;
        out.resize(self.count * self.length, T::default());
        for (i, to) in out.chunks_exact_mut(self.length.max(1)).enumerate() {
            let at = i * self.length;
            f(std::array::from_fn(|k| &rows[k][at..at + self.length]), to);
        }
        self.put_back(out, shape)
    }

    /// Rows as an array of this shape again.
    pub(crate) fn put_back<T: Element>(&self, rows: Vec<T>, shape: &[usize]) -> Result<Array> {
        let order = self.order();
        let turned: Vec<usize> = order.iter().map(|&d| shape[d]).collect();
        let array = Array { storage: T::store(rows), layout: Layout::contiguous(&turned) };
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(i, &d)| back[d] = i);
        array.permuted(&back).contiguous()
    }
}

/// Refuses arrays that are to be of one shape and are not.
pub(crate) fn same_shape(op: &'static str, what: &str, a: &Array, shape: &[usize]) -> Result<()> {
    if a.shape() == shape {
        return Ok(());
    }
    let problem = format!("{what} has shape {:?}, and should have {shape:?}", a.shape());
    Err(Error::shape(op, problem, "give the arrays that the operation itself took and gave"))
}
