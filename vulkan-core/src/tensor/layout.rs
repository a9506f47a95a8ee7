//! Sizes and strides, and the rules of views.

use crate::error::{Error, Result};

/// Where a tensor's elements are in its memory, in elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
    pub(crate) offset: usize,
}

/// How many elements a shape has.
pub(crate) fn numel(shape: &[usize]) -> Result<usize> {
    let product = if shape.contains(&0) {
        Some(0)
    } else {
        shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size))
    };
    product.filter(|&n| n <= isize::MAX as usize / 8).ok_or_else(|| {
        Error::parameter(format!("shape {shape:?} has more elements than memory can hold"))
    })
}

impl Layout {
    /// One after another in C order.
    pub(crate) fn contiguous(shape: &[usize]) -> Layout {
        let mut strides = vec![1; shape.len()];
        for d in (1..shape.len()).rev() {
            strides[d - 1] = strides[d] * shape[d].max(1);
        }
        Layout { shape: shape.to_vec(), strides, offset: 0 }
    }

    pub(crate) fn numel(&self) -> usize {
        if self.shape.contains(&0) { 0 } else { self.shape.iter().product() }
    }

    /// Whether the elements lie one after another in C order.
    pub(crate) fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            if size != 1 && stride != expected {
                return self.numel() == 0;
            }
            expected *= size;
        }
        true
    }

    /// The first element and the one behind the last that are shown.
    pub(crate) fn extent(&self) -> (usize, usize) {
        if self.numel() == 0 {
            return (self.offset, self.offset);
        }
        let last: usize = self.shape.iter().zip(&self.strides).map(|(&n, &s)| (n - 1) * s).sum();
        (self.offset, self.offset + last + 1)
    }

    /// A dimension that may be counted from the end.
    pub(crate) fn dim(&self, dim: isize) -> Result<usize> {
        wrap(dim, self.shape.len())
    }

    pub(crate) fn permute(&self, dims: &[isize]) -> Result<Layout> {
        let n = self.shape.len();
        let mut order = Vec::with_capacity(n);
        for &dim in dims {
            let dim = self.dim(dim)?;
            if order.contains(&dim) {
                return Err(Error::parameter(format!("dimension {dim} comes twice in {dims:?}")));
            }
            order.push(dim);
        }
        if order.len() != n {
            let shape = &self.shape;
            let problem = format!("{dims:?} do not order the {n} dimensions of shape {shape:?}");
            return Err(Error::Parameter(problem + "; name each once"));
        }
        Ok(Layout {
            shape: order.iter().map(|&d| self.shape[d]).collect(),
            strides: order.iter().map(|&d| self.strides[d]).collect(),
            offset: self.offset,
        })
    }

    /// Every `step`th index from `start` to before `end`.
    pub(crate) fn slice(
        &self,
        dim: isize,
        start: usize,
        end: usize,
        step: usize,
    ) -> Result<Layout> {
        let d = self.dim(dim)?;
        let size = self.shape[d];
        if step == 0 || start > end || end > size {
            return Err(Error::parameter(format!(
                "{start}..{end} by {step} is no part of dimension {dim}, which has {size}; give \
                 start <= end <= {size} and a step of at least 1"
            )));
        }
        let mut layout = self.clone();
        layout.shape[d] = (end - start).div_ceil(step);
        layout.offset += start * self.strides[d];
        layout.strides[d] = self.strides[d].saturating_mul(step);
        if layout.shape[d] <= 1 {
            layout.strides[d] = self.strides[d];
        }
        Ok(layout)
    }

    pub(crate) fn select(&self, dim: isize, index: isize) -> Result<Layout> {
        let d = self.dim(dim)?;
        let size = self.shape[d];
        let at = wrap(index, size).map_err(|_| {
            Error::parameter(format!("index {index} is beyond dimension {dim}, which has {size}"))
        })?;
        let mut layout = self.clone();
        layout.offset += at * self.strides[d];
        layout.shape.remove(d);
        layout.strides.remove(d);
        Ok(layout)
    }

    /// As if sizes of 1, and dimensions that are not there in front, were repeated.
    pub(crate) fn expand(&self, shape: &[usize]) -> Result<Layout> {
        let more = shape.len().checked_sub(self.shape.len());
        let refuse = || {
            Error::parameter(format!(
                "shape {:?} does not expand to {shape:?}; each size must be the same, or 1",
                self.shape
            ))
        };
        let more = more.ok_or_else(refuse)?;
        numel(shape)?;
        let mut strides = vec![0; more];
        for ((&from, &to), &stride) in self.shape.iter().zip(&shape[more..]).zip(&self.strides) {
            if from != to && from != 1 {
                return Err(refuse());
            }
            strides.push(if from == to { stride } else { 0 });
        }
        Ok(Layout { shape: shape.to_vec(), strides, offset: self.offset })
    }

    /// The same elements in another shape, if strides can say so.
    pub(crate) fn view(&self, shape: &[usize]) -> Result<Option<Layout>> {
        if numel(shape)? != self.numel() {
            let (have, n) = (&self.shape, self.numel());
            return Err(Error::parameter(format!(
                "shape {have:?} has {n} elements, and {shape:?} has another number"
            )));
        }
        if self.numel() == 0 {
            return Ok(Some(Layout { offset: self.offset, ..Layout::contiguous(shape) }));
        }
        // Runs of dimensions that lie one in the other, innermost first: (elements, stride).
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for (&size, &stride) in self.shape.iter().zip(&self.strides).rev() {
            match runs.last_mut() {
                _ if size == 1 => {}
                Some((n, inner)) if stride == *n * *inner => *n *= size,
                _ => runs.push((size, stride)),
            }
        }
        let mut strides = vec![1; shape.len()];
        let mut runs = runs.into_iter();
        let (mut left, mut stride) = runs.next().unwrap_or((1, 1));
        for (d, &size) in shape.iter().enumerate().rev() {
            if size == 1 {
                continue;
            }
            if left == 1 {
                (left, stride) = runs.next().unwrap_or((1, 1));
            }
            if !left.is_multiple_of(size) {
                return Ok(None);
            }
            strides[d] = stride;
            left /= size;
            stride *= size;
        }
        Ok(Some(Layout { shape: shape.to_vec(), strides, offset: self.offset }))
    }
}

/// An index that may be counted from the end.
fn wrap(index: isize, len: usize) -> Result<usize> {
    let wrapped = if index < 0 { index + len as isize } else { index };
    usize::try_from(wrapped).ok().filter(|&i| i < len).ok_or_else(|| {
        Error::parameter(format!("dimension {index} is not one of {len}; count from 0, or from -1"))
    })
}

/// The shape that two shapes broadcast to, as NumPy and PyTorch have it.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let n = a.len().max(b.len());
    let size =
        |shape: &[usize], d: usize| (d + shape.len()).checked_sub(n).map_or(1, |at| shape[at]);
    (0..n)
        .map(|d| match (size(a, d), size(b, d)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => Err(Error::parameter(format!(
                "shapes {a:?} and {b:?} do not broadcast; sizes counted from the end must be the \
                 same, or 1"
            ))),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The places of all elements in order, the slow way.
    fn places(layout: &Layout) -> Vec<usize> {
        let mut places = vec![layout.offset];
        for (&size, &stride) in layout.shape.iter().zip(&layout.strides) {
            places = places.iter().flat_map(|&p| (0..size).map(move |i| p + i * stride)).collect();
        }
        places
    }

    fn some_layout() -> impl Strategy<Value = Layout> {
        let dims = prop::collection::vec((0usize..5, 0usize..3), 0..5);
        (dims, any::<u64>()).prop_map(|(dims, mut seed)| {
            let shape: Vec<usize> = dims.iter().map(|d| d.0).collect();
            let mut layout = Layout::contiguous(&shape);
            for (d, &(_, what)) in dims.iter().enumerate() {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1);
                match what {
                    0 => layout.strides[d] = 0,
                    1 if d > 0 => {
                        let other = (seed >> 33) as usize % d;
                        layout.shape.swap(d, other);
                        layout.strides.swap(d, other);
                    }
                    _ => {}
                }
            }
            layout
        })
    }

    proptest! {
        #[test]
        fn views_show_the_same_elements(layout in some_layout(), parts in 1usize..4) {
            let all = places(&layout);
            let (start, end) = layout.extent();
            prop_assert!(all.iter().all(|&p| (start..end).contains(&p)));
            let in_order = all.iter().enumerate().all(|(i, &p)| p == layout.offset + i);
            prop_assert_eq!(layout.is_contiguous(), in_order);
            // Flat, and split into parts.
            let n = layout.numel();
            let mut shapes = vec![vec![n]];
            if n.is_multiple_of(parts) {
                shapes.push(vec![n / parts, 1, parts]);
            }
            for shape in shapes {
                if let Some(view) = layout.view(&shape).unwrap() {
                    prop_assert_eq!(places(&view), all.clone());
                } else {
                    prop_assert!(!in_order, "what is in order has every view");
                }
            }
        }
    }

    #[test]
    fn shapes_broadcast_as_numpy_has_it() {
        assert_eq!(broadcast(&[3, 1], &[4]).unwrap(), [3, 4]);
        assert_eq!(broadcast(&[], &[2, 0]).unwrap(), [2, 0]);
        assert_eq!(broadcast(&[1], &[0]).unwrap(), [0]);
        assert!(broadcast(&[3], &[4]).is_err());
    }
}
