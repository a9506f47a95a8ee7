//! Where the elements of a tensor are: sizes, strides and the first one's place, and the views that
//! change only these. Rules and names are torch's.

use crate::{Error, Result};

/// Sizes and strides in elements, and the place of the first element.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Layout {
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<isize>,
    pub(crate) offset: usize,
}

fn refuse<T>(problem: String) -> Result<T> {
    Err(Error::Parameter(problem))
}

/// How many elements a shape has.
///
/// # Errors
/// [`Error::Parameter`] for more than a process can count; dimensions of 0 do not hide it.
pub(crate) fn numel(shape: &[usize]) -> Result<usize> {
    let mut product = 1_usize;
    for &n in shape {
        product = match product.checked_mul(n.max(1)) {
            Some(p) if isize::try_from(p).is_ok() => p,
            _ => return refuse(format!("shape {shape:?} has more elements than memory can hold")),
        };
    }
    Ok(if shape.contains(&0) { 0 } else { product })
}

/// The strides of C order, of a shape that [`numel`] has accepted.
pub(crate) fn c_strides(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![0; shape.len()];
    let mut step = 1;
    for (stride, &n) in strides.iter_mut().zip(shape).rev() {
        *stride = step;
        step *= n.max(1) as isize;
    }
    strides
}

impl Layout {
    /// C order without gaps, from the first element of a storage on.
    pub(crate) fn contiguous(shape: &[usize]) -> Result<Layout> {
        numel(shape)?;
        Ok(Layout { shape: shape.to_vec(), strides: c_strides(shape), offset: 0 })
    }

    pub(crate) fn ndim(&self) -> usize {
        self.shape.len()
    }

    /// How many elements there are; every layout has been checked.
    pub(crate) fn numel(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the elements lie one after another in C order.
    pub(crate) fn is_contiguous(&self) -> bool {
        let mut step = 1;
        for (&n, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if n == 0 {
                return true;
            }
            if n > 1 && stride != step {
                return self.numel() == 0;
            }
            step *= n as isize;
        }
        true
    }

    /// The lowest and the highest element that is shown, from the storage's first on; `None` where
    /// there are no elements.
    ///
    /// # Errors
    /// [`Error::Parameter`] where that is before the storage, or beyond all memory.
    pub(crate) fn extent(&self) -> Result<Option<(usize, usize)>> {
        if self.shape.contains(&0) {
            return Ok(None);
        }
        let (mut low, mut high) = (self.offset as i128, self.offset as i128);
        for (&n, &stride) in self.shape.iter().zip(&self.strides) {
            // Both factors have 64 bits at most, and there are too few dimensions for a sum of
            // such products to leave 128.
            let far = (n as i128 - 1) * stride as i128;
            if far < 0 { low += far } else { high += far }
        }
        match (usize::try_from(low), isize::try_from(high)) {
            (Ok(low), Ok(high)) => Ok(Some((low, high as usize))),
            _ => refuse(format!(
                "strides {:?} of shape {:?} lead out of the memory",
                self.strides, self.shape
            )),
        }
    }

    /// A dimension, counted from the end if negative.
    pub(crate) fn dim(&self, dim: isize) -> Result<usize> {
        wrap(dim, self.ndim(), self.ndim())
    }

    /// One index of a dimension, which goes.
    pub(crate) fn select(&self, dim: isize, index: isize) -> Result<Layout> {
        let d = self.dim(dim)?;
        let n = self.shape[d];
        let i = if index < 0 { index.checked_add_unsigned(n) } else { Some(index) };
        let Some(i) = i.filter(|&i| i >= 0 && (i as usize) < n) else {
            return refuse(format!("index {index} is out of range for dimension {d} of size {n}"));
        };
        let mut view = self.clone();
        view.shape.remove(d);
        view.strides.remove(d);
        view.offset = view.after(i, self.strides[d]);
        Ok(view)
    }

    /// `start`, `start + step`, … before `stop`, as Python's slices have it; `None` is the end.
    pub(crate) fn slice(
        &self,
        dim: isize,
        start: Option<isize>,
        stop: Option<isize>,
        step: isize,
    ) -> Result<Layout> {
        let d = self.dim(dim)?;
        if step < 1 {
            return refuse(format!("the step of a slice is {step}, and must be 1 or more"));
        }
        let n = self.shape[d] as isize;
        let place = |i: isize| if i < 0 { i.saturating_add(n).max(0) } else { i.min(n) };
        let (start, stop) = (start.map_or(0, place), stop.map_or(n, place));
        let len = if stop > start { (stop - start - 1) / step + 1 } else { 0 };
        let mut view = self.clone();
        view.shape[d] = len as usize;
        if len > 0 {
            view.offset = view.after(start, self.strides[d]);
        }
        // With one element or none the stride does not count, and could be out of range.
        view.strides[d] = self.strides[d].checked_mul(step).unwrap_or(self.strides[d]);
        Ok(view)
    }

    /// `length` indices of a dimension from `start` on.
    pub(crate) fn narrow(&self, dim: isize, start: usize, length: usize) -> Result<Layout> {
        let d = self.dim(dim)?;
        let n = self.shape[d];
        match start.checked_add(length) {
            Some(stop) if stop <= n => {
                self.slice(dim, Some(start as isize), Some(stop as isize), 1)
            }
            _ => {
                refuse(format!("{length} indices from {start} on exceed dimension {d} of size {n}"))
            }
        }
    }

    /// Dimensions in another order.
    pub(crate) fn permute(&self, dims: &[isize]) -> Result<Layout> {
        let mut view = Layout { shape: Vec::new(), strides: Vec::new(), offset: self.offset };
        let mut seen = vec![false; self.ndim()];
        for &dim in dims {
            let d = self.dim(dim)?;
            if std::mem::replace(&mut seen[d], true) {
                return refuse(format!("dimension {d} comes twice in {dims:?}"));
            }
            view.shape.push(self.shape[d]);
            view.strides.push(self.strides[d]);
        }
        if dims.len() != self.ndim() {
            let n = self.ndim();
            return refuse(format!("{dims:?} does not name each of the {n} dimensions"));
        }
        Ok(view)
    }

    /// Two dimensions change places. A 0-d tensor has one to name, as torch has it.
    pub(crate) fn transpose(&self, a: isize, b: isize) -> Result<Layout> {
        let n = self.ndim().max(1);
        let (a, b) = (wrap(a, n, self.ndim())?, wrap(b, n, self.ndim())?);
        let mut view = self.clone();
        if self.ndim() > 0 {
            view.shape.swap(a, b);
            view.strides.swap(a, b);
        }
        Ok(view)
    }

    /// Without the dimensions of size 1: all of them, or this one if it is.
    pub(crate) fn squeeze(&self, dim: Option<isize>) -> Result<Layout> {
        let only = match dim {
            Some(dim) => Some(wrap(dim, self.ndim().max(1), self.ndim())?),
            None => None,
        };
        let goes = |d: usize| self.shape[d] == 1 && only.is_none_or(|o| o == d);
        let kept = (0..self.ndim()).filter(|&d| !goes(d));
        let (shape, strides) = kept.map(|d| (self.shape[d], self.strides[d])).unzip();
        Ok(Layout { shape, strides, offset: self.offset })
    }

    /// With one more dimension of size 1 in front of dimension `dim`.
    pub(crate) fn unsqueeze(&self, dim: isize) -> Result<Layout> {
        let d = wrap(dim, self.ndim() + 1, self.ndim())?;
        let mut view = self.clone();
        // What keeps a contiguous tensor so.
        let stride = match (self.shape.get(d), self.strides.get(d)) {
            (Some(&n), Some(&stride)) => stride.checked_mul(n as isize).unwrap_or(1),
            _ => 1,
        };
        view.shape.insert(d, 1);
        view.strides.insert(d, stride);
        Ok(view)
    }

    /// Dimensions of size 1 become larger, new ones come in front, and no element is copied; -1
    /// keeps a size.
    pub(crate) fn expand(&self, sizes: &[isize]) -> Result<Layout> {
        let Some(new) = sizes.len().checked_sub(self.ndim()) else {
            return refuse(format!(
                "shape {:?} cannot be expanded to the fewer dimensions {sizes:?}",
                self.shape
            ));
        };
        let mut view = Layout { shape: Vec::new(), strides: Vec::new(), offset: self.offset };
        for (i, &size) in sizes.iter().enumerate() {
            let own = i.checked_sub(new).map(|d| (self.shape[d], self.strides[d]));
            let (n, stride) = match (own, size) {
                (Some((n, stride)), -1) => (n, stride),
                (Some((n, stride)), size) if usize::try_from(size) == Ok(n) => (n, stride),
                (Some((1, _)) | None, 0..) => (size as usize, 0),
                _ => {
                    return refuse(format!(
                        "shape {:?} cannot be expanded to {sizes:?}: dimension {i} differs and is \
                         not 1",
                        self.shape
                    ));
                }
            };
            view.shape.push(n);
            view.strides.push(stride);
        }
        numel(&view.shape)?;
        Ok(view)
    }

    /// The sizes that are meant, where one may be -1 and follows from the others.
    pub(crate) fn infer(&self, sizes: &[isize]) -> Result<Vec<usize>> {
        let all = self.numel();
        let fail = || {
            let shape = &self.shape;
            refuse(format!("shape {shape:?} of {all} elements cannot become {sizes:?}"))
        };
        let mut shape = Vec::with_capacity(sizes.len());
        let mut missing = None;
        for (d, &size) in sizes.iter().enumerate() {
            match usize::try_from(size) {
                Ok(n) => shape.push(n),
                Err(_) if size == -1 && missing.is_none() => {
                    missing = Some(d);
                    shape.push(1);
                }
                Err(_) => return fail(),
            }
        }
        let known = numel(&shape)?;
        if let Some(d) = missing {
            if known == 0 || !all.is_multiple_of(known) {
                return fail();
            }
            shape[d] = all / known;
        }
        if numel(&shape)? != all {
            return fail();
        }
        Ok(shape)
    }

    /// The same elements in the same order with other sizes, if strides can say that.
    pub(crate) fn view(&self, shape: &[usize]) -> Option<Layout> {
        let offset = self.offset;
        if self.numel() == 0 {
            // No element has a place. The same sizes keep the strides, as in torch.
            let same = shape == self.shape;
            let strides = if same { self.strides.clone() } else { c_strides(shape) };
            return Some(Layout { shape: shape.to_vec(), strides, offset });
        }
        // From the last dimension on, old ones are joined as long as they are one run of memory,
        // and the new ones must divide each run.
        let mut strides = vec![0; shape.len()];
        let mut next = shape.len();
        let mut run = 1;
        let mut step = self.strides.last().copied().unwrap_or(1);
        for d in (0..self.ndim()).rev() {
            run *= self.shape[d];
            let goes_on = d > 0
                && (self.shape[d - 1] == 1
                    || run as i128 * step as i128 == self.strides[d - 1] as i128);
            if goes_on {
                continue;
            }
            let (mut filled, mut stride) = (1, step);
            while next > 0 && (filled < run || shape[next - 1] == 1) {
                next -= 1;
                strides[next] = stride;
                filled *= shape[next];
                stride = stride.wrapping_mul(shape[next] as isize);
            }
            if filled != run {
                return None;
            }
            if d > 0 {
                run = 1;
                step = self.strides[d - 1];
            }
        }
        // Of a 0-d tensor there was no run.
        strides[..next].fill(1);
        Some(Layout { shape: shape.to_vec(), strides, offset })
    }

    /// The place of the element `index` steps of `stride` after the first: it is shown, so it is
    /// in the storage.
    fn after(&self, index: isize, stride: isize) -> usize {
        self.offset.wrapping_add_signed(index.wrapping_mul(stride))
    }
}

/// A number below `n`, counted from the end if negative.
fn wrap(dim: isize, n: usize, ndim: usize) -> Result<usize> {
    let d = if dim < 0 { dim.checked_add_unsigned(n) } else { Some(dim) };
    match d {
        Some(d) if d >= 0 && (d as usize) < n => Ok(d as usize),
        _ => refuse(format!("dimension {dim} is out of range for a tensor of {ndim} dimensions")),
    }
}
