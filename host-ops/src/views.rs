//! Views: the same memory in another layout.

use crate::layout::{Layout, broadcast, broadcast_strides, dim_of, dim_or_scalar, numel};
use crate::{Array, Error, Result};

/// Views of an array. No elements are copied, but where [`reshape`](Array::reshape) says so.
/// Dimensions count from the end where they are negative.
impl Array {
    /// With two dimensions exchanged.
    ///
    /// # Errors
    /// [`Error::Dimension`].
    pub fn transpose(&self, dim0: isize, dim1: isize) -> Result<Array> {
        let mut layout = self.layout.clone();
        let a = dim_or_scalar("transpose", dim0, self.ndim())?;
        let b = dim_or_scalar("transpose", dim1, self.ndim())?;
        if self.ndim() > 0 {
            layout.shape.swap(a, b);
            layout.strides.swap(a, b);
        }
        Ok(self.showing(layout))
    }

    /// A matrix transposed; arrays of fewer dimensions as they are.
    ///
    /// # Errors
    /// [`Error::Shape`] for more than two dimensions.
    pub fn t(&self) -> Result<Array> {
        match self.ndim() {
            0 | 1 => Ok(self.clone()),
            2 => self.transpose(0, 1),
            _ => {
                let problem = format!("shape {:?} is no matrix", self.shape());
                Err(Error::shape("t", problem, "say which dimensions with transpose"))
            }
        }
    }

    /// With dimensions in another order, each named once.
    ///
    /// # Errors
    /// [`Error::Dimension`], and [`Error::Shape`] where one is missing or named twice.
    pub fn permute(&self, dims: &[isize]) -> Result<Array> {
        let order: Vec<usize> =
            dims.iter().map(|&d| dim_of("permute", d, self.ndim())).collect::<Result<_>>()?;
        let mut seen = order.clone();
        seen.sort_unstable();
        if !seen.into_iter().eq(0..self.ndim()) {
            let problem = format!("dimensions {dims:?} of shape {:?}", self.shape());
            return Err(Error::shape("permute", problem, "name each dimension once"));
        }
        Ok(self.permuted(&order))
    }

    /// [`permute`](Array::permute) by an order that is one.
    pub(crate) fn permuted(&self, order: &[usize]) -> Array {
        let Layout { shape, strides, offset } = &self.layout;
        self.showing(Layout {
            shape: order.iter().map(|&d| shape[d]).collect(),
            strides: order.iter().map(|&d| strides[d]).collect(),
            offset: *offset,
        })
    }

    /// In a larger shape by torch's broadcasting: sizes of 1 and missing leading dimensions repeat
    /// the same elements, with a stride of 0. -1 keeps a size.
    ///
    /// # Errors
    /// [`Error::Shape`] where a size is neither the same nor expanded from 1.
    pub fn expand(&self, shape: &[isize]) -> Result<Array> {
        let wrong = || {
            let problem = format!("shape {:?} to {shape:?}", self.shape());
            let advice = "give as many sizes or more, equal to the array's where that is not 1";
            Error::shape("expand", problem, advice)
        };
        let missing = shape.len().checked_sub(self.ndim()).ok_or_else(wrong)?;
        let mut sizes = Vec::with_capacity(shape.len());
        for (i, &size) in shape.iter().enumerate() {
            let own = i.checked_sub(missing).map(|i| self.shape()[i]);
            sizes.push(match (size, own) {
                (-1, Some(own)) => own,
                _ => usize::try_from(size).map_err(|_| wrong())?,
            });
        }
        self.broadcast_to(&sizes).map_err(|_| wrong())
    }

    /// In a shape that this one's broadcasts to.
    ///
    /// # Errors
    /// [`Error::Shape`] where it does not.
    pub fn broadcast_to(&self, shape: &[usize]) -> Result<Array> {
        if broadcast("broadcast_to", &[self.shape(), shape])? != shape {
            let problem = format!("shape {:?} to {shape:?}", self.shape());
            return Err(Error::shape(
                "broadcast_to",
                problem,
                "give as many sizes or more, equal to the array's where that is not 1",
            ));
        }
        let strides = broadcast_strides(&self.layout, shape);
        Ok(self.showing(Layout { shape: shape.to_vec(), strides, offset: self.layout.offset }))
    }

    /// In a shape of as many elements, one size of which may be -1. A view where strides can say it,
    /// else a copy, as in torch.
    ///
    /// # Errors
    /// [`Error::Shape`] for another number of elements, [`Error::OutOfMemory`].
    pub fn reshape(&self, shape: &[isize]) -> Result<Array> {
        let shape = self.resolve("reshape", shape)?;
        match view_strides(&self.layout, &shape) {
            Some(strides) => {
                Ok(self.showing(Layout { shape, strides, offset: self.layout.offset }))
            }
            None => {
                let copy = self.contiguous()?;
                let layout = Layout { offset: copy.layout.offset, ..Layout::contiguous(&shape) };
                Ok(copy.showing(layout))
            }
        }
    }

    /// [`reshape`](Array::reshape) that never copies: `torch.Tensor.view`.
    ///
    /// # Errors
    /// [`Error::Shape`], also where a copy would be needed.
    pub fn view_as(&self, shape: &[isize]) -> Result<Array> {
        let shape = self.resolve("view_as", shape)?;
        let strides = view_strides(&self.layout, &shape).ok_or_else(|| {
            let Layout { shape: own, strides, .. } = &self.layout;
            let problem = format!("shape {own:?}, strides {strides:?} as {shape:?}");
            Error::shape("view_as", problem, "use reshape, which copies where it must")
        })?;
        Ok(self.showing(Layout { shape, strides, offset: self.layout.offset }))
    }

    /// The sizes with -1 replaced by what is left.
    fn resolve(&self, op: &'static str, shape: &[isize]) -> Result<Vec<usize>> {
        let n = self.numel();
        let wrong = || {
            let problem = format!("shape {:?} of {n} elements as {shape:?}", self.shape());
            Error::shape(op, problem, "give sizes of the same product, at most one of them -1")
        };
        let free = shape.iter().filter(|&&s| s == -1).count();
        let known: Vec<usize> = (shape.iter().filter(|&&s| s != -1))
            .map(|&s| usize::try_from(s).map_err(|_| wrong()))
            .collect::<Result<_>>()?;
        let product = numel(op, &known)?;
        let rest = match free {
            0 if product == n => 0,
            1 if product > 0 && n.is_multiple_of(product) => n / product,
            _ => return Err(wrong()),
        };
        let fill = |&s: &isize| if s == -1 { rest } else { s as usize };
        let shape: Vec<usize> = shape.iter().map(fill).collect();
        numel(op, &shape)?;
        Ok(shape)
    }

    /// Dimensions `start` to `end`, both included, as one.
    ///
    /// # Errors
    /// [`Error::Dimension`], [`Error::Shape`] where they are in the wrong order,
    /// [`Error::OutOfMemory`].
    pub fn flatten(&self, start: isize, end: isize) -> Result<Array> {
        let first = dim_or_scalar("flatten", start, self.ndim())?;
        let last = dim_or_scalar("flatten", end, self.ndim())?;
        if self.ndim() == 0 {
            return self.reshape(&[1]);
        }
        if first > last {
            let problem = format!("dimensions {start} to {end} of {}", self.ndim());
            return Err(Error::shape("flatten", problem, "give the lower one first"));
        }
        let shape = self.shape();
        let mut out = shape[..first].to_vec();
        out.push(shape[first..=last].iter().product());
        out.extend_from_slice(&shape[last + 1..]);
        let out: Vec<isize> = out.into_iter().map(|n| n as isize).collect();
        self.reshape(&out)
    }

    /// Without this dimension if its size is 1; as it is otherwise.
    ///
    /// # Errors
    /// [`Error::Dimension`].
    pub fn squeeze(&self, dim: isize) -> Result<Array> {
        let d = dim_or_scalar("squeeze", dim, self.ndim())?;
        let mut layout = self.layout.clone();
        if self.shape().get(d) == Some(&1) {
            layout.shape.remove(d);
            layout.strides.remove(d);
        }
        Ok(self.showing(layout))
    }

    /// Without any dimension of size 1.
    pub fn squeeze_all(&self) -> Array {
        let kept: Vec<usize> = (0..self.ndim()).filter(|&d| self.shape()[d] != 1).collect();
        self.permuted(&kept)
    }

    /// With a dimension of size 1 before this one; -1 appends one.
    ///
    /// # Errors
    /// [`Error::Dimension`].
    pub fn unsqueeze(&self, dim: isize) -> Result<Array> {
        let d = dim_of("unsqueeze", dim, self.ndim() + 1)?;
        let mut layout = self.layout.clone();
        layout.shape.insert(d, 1);
        layout.strides.insert(d, 1);
        Ok(self.showing(layout))
    }

    /// Elements `start` up to before `stop` of a dimension, every `step`-th of them. Both ends count
    /// from the end where they are negative, and are clipped to the dimension, as Python does it.
    ///
    /// # Errors
    /// [`Error::Dimension`], and [`Error::Parameter`] for a step below 1.
    pub fn slice(&self, dim: isize, start: i64, stop: i64, step: i64) -> Result<Array> {
        let d = dim_of("slice", dim, self.ndim())?;
        if step < 1 {
            let problem = format!("step {step}");
            return Err(Error::parameter("slice", problem, "give a step of 1 or more"));
        }
        let size = self.shape()[d];
        let clip = |i: i64| {
            let i = if i < 0 { i.saturating_add(size as i64) } else { i };
            usize::try_from(i).unwrap_or(0).min(size)
        };
        let (start, stop) = (clip(start), clip(stop));
        let step = usize::try_from(step).unwrap_or(usize::MAX);
        let mut layout = self.layout.clone();
        layout.shape[d] = stop.saturating_sub(start).div_ceil(step);
        // Without elements the place does not matter, and must stay within the storage.
        if layout.numel() > 0 {
            layout.offset = (layout.offset as isize + start as isize * layout.strides[d]) as usize;
        }
        layout.strides[d] = if layout.shape[d] > 1 { layout.strides[d] * step as isize } else { 1 };
        Ok(self.showing(layout))
    }

    /// `length` elements of a dimension from `start` on, which must all be there.
    ///
    /// # Errors
    /// [`Error::Dimension`], and [`Error::Shape`] where they are not.
    pub fn narrow(&self, dim: isize, start: usize, length: usize) -> Result<Array> {
        let d = dim_of("narrow", dim, self.ndim())?;
        let size = self.shape()[d];
        if start.checked_add(length).is_none_or(|stop| stop > size) {
            let problem = format!("{length} elements from {start} on, of {size}");
            return Err(Error::shape("narrow", problem, "stay within the dimension"));
        }
        self.slice(dim, start as i64, (start + length) as i64, 1)
    }

    /// One index of a dimension, which goes away.
    ///
    /// # Errors
    /// [`Error::Dimension`], [`Error::Index`].
    pub fn select(&self, dim: isize, index: i64) -> Result<Array> {
        let d = dim_of("select", dim, self.ndim())?;
        let i = crate::array::index_of("select", index, self.shape()[d])?;
        let mut layout = self.slice(dim, i as i64, i as i64 + 1, 1)?.layout;
        layout.shape.remove(d);
        layout.strides.remove(d);
        Ok(self.showing(layout))
    }
}

/// The strides that show the same elements, in the same order, in another shape; `None` where none
/// do.
fn view_strides(layout: &Layout, shape: &[usize]) -> Option<Vec<isize>> {
    if layout.is_contiguous() {
        return Some(crate::layout::contiguous_strides(shape));
    }
    // Runs of dimensions that lie as one, from the last: elements, and the stride of the last.
    let mut runs: Vec<(usize, isize)> = Vec::new();
    let mut next = None;
    for (&size, &stride) in layout.shape.iter().zip(&layout.strides).rev() {
        if size == 1 {
            continue;
        }
        match runs.last_mut() {
            Some(run) if next == Some(stride) => run.0 *= size,
            _ => runs.push((size, stride)),
        }
        next = stride.checked_mul(size as isize);
    }
    let mut strides = vec![1; shape.len()];
    let mut runs = runs.into_iter();
    let (mut left, mut step) = (1, 1);
    for (to, &size) in strides.iter_mut().zip(shape).rev() {
        if size == 1 {
            *to = step;
            continue;
        }
        if left == 1 {
            (left, step) = runs.next()?;
        }
        if !left.is_multiple_of(size) {
            return None;
        }
        *to = step;
        step = step.checked_mul(size as isize)?;
        left /= size;
    }
    (left == 1 && runs.next().is_none()).then_some(strides)
}
