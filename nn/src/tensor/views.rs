//! Views, joining, casting.

use numpack_host_ops::DType;

use super::Tensor;
use crate::error::{Error, Result};
use crate::exec::{Value, sizes};

impl Tensor {
    /// With two dimensions exchanged; a view.
    ///
    /// # Errors
    /// What executors say of dimensions.
    pub fn transpose(&self, a: isize, b: isize) -> Result<Tensor> {
        let value = self.get().transpose(a, b)?;
        Ok(self.view_of("transpose", value, |_| {
            Box::new(move |grad, _| Ok(vec![Some(grad.get()?.transpose(a, b)?)]))
        }))
    }

    /// A matrix with rows and columns exchanged; a view.
    ///
    /// # Errors
    /// [`Error::Parameter`] for more than two dimensions.
    pub fn t(&self) -> Result<Tensor> {
        match self.ndim() {
            0 | 1 => Ok(self.clone()),
            2 => self.transpose(0, 1),
            n => {
                let problem = format!("{n} dimensions");
                Err(Error::parameter("t", problem, "name two of them with transpose"))
            }
        }
    }

    /// With its dimensions in another order; a view.
    ///
    /// # Errors
    /// What executors say of dimensions.
    pub fn permute(&self, dims: &[isize]) -> Result<Tensor> {
        let value = self.get();
        let permuted = value.permute(dims)?;
        let mut back = vec![0; dims.len()];
        for (to, &from) in dims.iter().enumerate() {
            back[value.dim("permute", from)?] = to as isize;
        }
        Ok(self.view_of("permute", permuted, |_| {
            Box::new(move |grad, _| Ok(vec![Some(grad.get()?.permute(&back)?)]))
        }))
    }

    /// The elements in another shape, in C order; -1 stands for what is left. A view where strides allow
    /// that, else a copy.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a shape of another number of elements.
    pub fn reshape(&self, shape: &[isize]) -> Result<Tensor> {
        let value = self.get();
        let shape = sizes("reshape", value.numel(), shape)?;
        let new = value.reshape(&shape)?;
        let old = value.shape().to_vec();
        Ok(self.view_of("reshape", new, |_| {
            Box::new(move |grad, _| Ok(vec![Some(grad.get()?.reshape(&old)?)]))
        }))
    }

    /// With the dimensions from `start` to `end`, both included, as one.
    ///
    /// # Errors
    /// What executors say of dimensions.
    pub fn flatten(&self, start: isize, end: isize) -> Result<Tensor> {
        let value = self.get();
        let shape = value.shape();
        if shape.is_empty() {
            return self.reshape(&[1]);
        }
        let (start, end) = (value.dim("flatten", start)?, value.dim("flatten", end)?);
        if start > end {
            let problem = format!("dimension {start} comes after {end}");
            return Err(Error::parameter("flatten", problem, "give the first one first"));
        }
        let one: usize = shape[start..=end].iter().product();
        let all = [&shape[..start], &[one], &shape[end + 1..]].concat();
        self.reshape(&all.iter().map(|&s| s as isize).collect::<Vec<_>>())
    }

    /// Dimensions of size 1 repeated, without copying; a view. -1 keeps a size.
    ///
    /// # Errors
    /// What executors say of shapes.
    pub fn expand(&self, shape: &[isize]) -> Result<Tensor> {
        let value = self.get();
        let old = value.shape().to_vec();
        let new = shape.len().checked_sub(old.len()).map(|more| {
            let size = |(i, &s): (usize, &isize)| match s {
                -1 => i.checked_sub(more).map(|i| old[i]),
                s => usize::try_from(s).ok(),
            };
            shape.iter().enumerate().map(size).collect::<Option<Vec<usize>>>()
        });
        let Some(Some(new)) = new else {
            let problem = format!("shape {old:?} to {shape:?}");
            return Err(Error::parameter(
                "expand",
                problem,
                "give as many sizes, or more in front",
            ));
        };
        let value = value.expand(&new)?;
        Ok(self.view_of("expand", value, |_| {
            Box::new(move |grad, _| Ok(vec![Some(grad.get()?.sum_to_shape(&old)?)]))
        }))
    }

    /// Without a dimension, if its size is 1; a view.
    ///
    /// # Errors
    /// What executors say of dimensions.
    pub fn squeeze(&self, dim: isize) -> Result<Tensor> {
        let value = self.get();
        let squeezed = value.squeeze(dim)?;
        let old = value.shape().to_vec();
        Ok(self.view_of("squeeze", squeezed, |_| {
            Box::new(move |grad, _| Ok(vec![Some(grad.get()?.reshape(&old)?)]))
        }))
    }

    /// With a dimension of size 1 more, at this place; a view.
    ///
    /// # Errors
    /// What executors say of dimensions.
    pub fn unsqueeze(&self, dim: isize) -> Result<Tensor> {
        let value = self.get();
        let unsqueezed = value.unsqueeze(dim)?;
        let old = value.shape().to_vec();
        Ok(self.view_of("unsqueeze", unsqueezed, |_| {
            Box::new(move |grad, _| Ok(vec![Some(grad.get()?.reshape(&old)?)]))
        }))
    }

    /// Every `step`th from `start` up to before `end` of a dimension, both counted from the end where they
    /// are negative, and cut to it, as Python's slices; a view.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a step that is not above 0.
    pub fn slice(&self, dim: isize, start: i64, end: i64, step: i64) -> Result<Tensor> {
        const OP: &str = "slice";
        let value = self.get();
        let dim = value.dim(OP, dim)?;
        let size = value.shape()[dim] as i64;
        let Some(step) = usize::try_from(step).ok().filter(|&s| s > 0) else {
            return Err(Error::parameter(OP, format!("step {step}"), "give 1 or more"));
        };
        let at = |i: i64| (if i < 0 { i.saturating_add(size) } else { i }).clamp(0, size) as usize;
        let (start, end) = (at(start), at(end).max(at(start)));
        let part = value.slice(dim, start, end, step)?;
        let old = value.shape().to_vec();
        Ok(self.view_of(OP, part, |_| {
            Box::new(move |grad, _| {
                Ok(vec![Some(grad.get()?.slice_backward(&old, dim, (start, end, step))?)])
            })
        }))
    }

    /// `length` indices of a dimension from `start` on; a view.
    ///
    /// # Errors
    /// [`Error::Parameter`] where they are not all in it.
    pub fn narrow(&self, dim: isize, start: usize, length: usize) -> Result<Tensor> {
        const OP: &str = "narrow";
        let value = self.get();
        let at = value.dim(OP, dim)?;
        let size = value.shape()[at];
        match start.checked_add(length) {
            Some(end) if end <= size => self.slice(dim, start as i64, end as i64, 1),
            _ => {
                let problem = format!("{length} from {start} on of a dimension of size {size}");
                Err(Error::parameter(OP, problem, "stay within it"))
            }
        }
    }

    /// One index of a dimension, which goes; a view.
    ///
    /// # Errors
    /// What executors say of dimensions and indices.
    pub fn select(&self, dim: isize, index: i64) -> Result<Tensor> {
        let value = self.get();
        let part = value.select(dim, index)?;
        let dim = value.dim("select", dim)?;
        let old = value.shape().to_vec();
        let at = if index < 0 { index + old[dim] as i64 } else { index } as usize;
        Ok(self.view_of("select", part, |_| {
            Box::new(move |grad, _| {
                let row = grad.get()?.unsqueeze(dim as isize)?;
                Ok(vec![Some(row.slice_backward(&old, dim, (at, at + 1, 1))?)])
            })
        }))
    }

    /// One after another in C order: the tensor itself if they are.
    ///
    /// # Errors
    /// What executors say of memory.
    pub fn contiguous(&self) -> Result<Tensor> {
        if self.is_contiguous() {
            return Ok(self.clone());
        }
        Ok(Tensor::computed("contiguous", self.get().contiguous()?, &[self], |_| {
            Box::new(|grad, _| Ok(vec![Some(grad.get()?.clone())]))
        }))
    }

    /// Memory of its own with the same elements (`torch.Tensor.clone`). Gradients come through.
    ///
    /// # Errors
    /// What executors say of memory.
    pub fn copied(&self) -> Result<Tensor> {
        Ok(Tensor::computed("clone", self.get().copy()?, &[self], |_| {
            Box::new(|grad, _| Ok(vec![Some(grad.get()?.clone())]))
        }))
    }

    /// The elements in another type; the tensor itself if it has that.
    ///
    /// # Errors
    /// [`Error::DType`] for a type that devices do not have.
    pub fn to_dtype(&self, dtype: DType) -> Result<Tensor> {
        let old = self.dtype();
        if old == dtype {
            return Ok(self.clone());
        }
        Ok(Tensor::computed("to_dtype", self.get().cast(dtype)?, &[self], |_| {
            Box::new(move |grad, _| Ok(vec![Some(grad.get()?.cast(old)?)]))
        }))
    }

    /// One after another along a dimension.
    ///
    /// # Errors
    /// [`Error::Parameter`] for none; [`Error::Devices`]; what executors say of shapes.
    pub fn cat(tensors: &[&Tensor], dim: isize) -> Result<Tensor> {
        let values: Vec<Value> = tensors.iter().map(|t| t.get()).collect();
        let joined = Value::cat(&values.iter().collect::<Vec<_>>(), dim)?;
        Ok(Tensor::computed("cat", joined, tensors, |out| {
            let dim = out.peek().dim("cat", dim);
            let parts: Vec<_> = values.iter().map(|v| (v.shape().to_vec(), v.dtype())).collect();
            Box::new(move |grad, wants| {
                let (grad, dim) = (grad.get()?, dim.clone()?);
                let mut at = 0;
                let part = |(i, (shape, dtype)): (usize, &(Vec<usize>, DType))| {
                    // An empty vector joins everything.
                    let size = if shape.len() == grad.ndim() { shape[dim] } else { 0 };
                    let start = at;
                    at += size;
                    wants.then(i, || {
                        grad.slice(dim, start, start + size, 1)?.reshape(shape)?.cast(*dtype)
                    })
                };
                parts.iter().enumerate().map(part).collect()
            })
        }))
    }

    /// Along a new dimension.
    ///
    /// # Errors
    /// As for [`cat`](Tensor::cat).
    pub fn stack(tensors: &[&Tensor], dim: isize) -> Result<Tensor> {
        let values: Vec<Value> = tensors.iter().map(|t| t.get()).collect();
        let joined = Value::stack(&values.iter().collect::<Vec<_>>(), dim)?;
        Ok(Tensor::computed("stack", joined, tensors, |_| {
            let types: Vec<DType> = values.iter().map(Value::dtype).collect();
            Box::new(move |grad, wants| {
                let grad = grad.get()?;
                let part = |(i, &dtype): (usize, &DType)| {
                    wants.then(i, || grad.select(dim, i as i64)?.cast(dtype))
                };
                types.iter().enumerate().map(part).collect()
            })
        }))
    }

    /// Those of a dimension that an index of one dimension names, in its order.
    ///
    /// # Errors
    /// What executors say of indices: those of a device come with the next read.
    pub fn index_select(&self, dim: isize, index: &Tensor) -> Result<Tensor> {
        let value = self.get().index_select(dim, &index.get())?;
        Ok(Tensor::computed("index_select", value, &[self], |_| {
            let (shape, index) = (self.shape(), index.save());
            Box::new(move |grad, _| {
                let index = index.get("index_select")?;
                Ok(vec![Some(grad.get()?.index_select_backward(&shape, dim, index)?)])
            })
        }))
    }

    /// For each place of the index the element that it names along a dimension (`torch.gather`).
    ///
    /// # Errors
    /// As for [`index_select`](Tensor::index_select).
    pub fn gather(&self, dim: isize, index: &Tensor) -> Result<Tensor> {
        let value = self.get().gather(dim, &index.get())?;
        Ok(Tensor::computed("gather", value, &[self], |_| {
            let (shape, index) = (self.shape(), index.save());
            Box::new(move |grad, _| {
                let index = index.get("gather")?;
                Ok(vec![Some(grad.get()?.gather_backward(&shape, dim, index)?)])
            })
        }))
    }
}
