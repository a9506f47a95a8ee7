//! Arrays: elements of one type in some order in shared memory.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use ndarray::{ArrayView, CowArray, IxDyn, ShapeBuilder};

use crate::cast::{cast_halves, cast_scalar, cast_slice};
use crate::element::{Element, Storage, Stored, by_type};
use crate::layout::{self, Layout, at, numel, room, rows};
use crate::{DType, Error, Result, Scalar};

/// Elements of one type, in a shape of any number of dimensions.
///
/// An array is a layout (sizes, strides, offset) over memory that many arrays may show. Cloning it
/// and taking [views](Array::transpose) copy no elements. Whoever writes gets memory of its own first
/// if others show it too (copy on write), so a change is never seen through another array.
///
/// Strides count elements and may be 0 or negative.
///
/// ```
/// use numpack_host_ops::{Array, add};
/// let x = Array::from_slice(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3])?;
/// let column = x.select(1, 0)?;
/// assert_eq!(add(&column, 0.5)?.to_vec::<f32>()?, [1.5, 4.5]);
/// # Ok::<(), numpack_host_ops::Error>(())
/// ```
#[derive(Clone)]
pub struct Array {
    pub(crate) storage: Storage,
    pub(crate) layout: Layout,
}

impl Array {
    /// Takes elements in C order.
    ///
    /// # Errors
    /// [`Error::Shape`] if the shape has another number of elements.
    pub fn from_vec<T: Element>(elements: Vec<T>, shape: &[usize]) -> Result<Array> {
        let wanted = numel("from_vec", shape)?;
        if wanted != elements.len() {
            return Err(Error::shape(
                "from_vec",
                format!("{} elements for shape {shape:?}, which has {wanted}", elements.len()),
                "give a shape of as many elements",
            ));
        }
        Ok(Array { storage: T::store(elements), layout: Layout::contiguous(shape) })
    }

    /// Copies elements in C order.
    ///
    /// # Errors
    /// As [`from_vec`](Array::from_vec).
    pub fn from_slice<T: Element>(elements: &[T], shape: &[usize]) -> Result<Array> {
        let mut vec = room(elements.len())?;
        vec.extend_from_slice(elements);
        Array::from_vec(vec, shape)
    }

    /// Takes elements in any order: `strides` elements apart, the first one `offset` elements from
    /// the start.
    ///
    /// # Errors
    /// [`Error::Shape`] where that leads out of the elements.
    pub fn from_strided<T: Element>(
        elements: Vec<T>,
        shape: &[usize],
        strides: &[isize],
        offset: usize,
    ) -> Result<Array> {
        let layout = Layout { shape: shape.to_vec(), strides: strides.to_vec(), offset };
        layout.check("from_strided", elements.len())?;
        Ok(Array { storage: T::store(elements), layout })
    }

    /// Copies elements given as bytes in the machine's order, at any alignment, with strides and an
    /// offset in elements. Any byte but 0 is a true bool.
    ///
    /// # Errors
    /// [`Error::Shape`] where that leads out of the bytes, or they end within an element.
    pub fn from_bytes(
        dtype: DType,
        bytes: &[u8],
        shape: &[usize],
        strides: &[isize],
        offset: usize,
    ) -> Result<Array> {
        let elements = bytes.len() / dtype.size();
        if !bytes.len().is_multiple_of(dtype.size()) {
            let problem = format!("{} bytes end within an element of {dtype}", bytes.len());
            return Err(Error::shape("from_bytes", problem, "give whole elements"));
        }
        // Refused before anything is copied.
        let layout = Layout { shape: shape.to_vec(), strides: strides.to_vec(), offset };
        layout.check("from_bytes", elements)?;
        if dtype == DType::Bool {
            let mut vec = room(elements)?;
            vec.extend(bytes.iter().map(|&b| b != 0));
            return Ok(Array { storage: Storage::Bool(Arc::new(vec)), layout });
        }
        macro_rules! plain {
            ($($name:ident: $T:ty,)*) => {
                match dtype {
                    DType::Bool => Storage::Bool(Arc::default()),
                    $(DType::$name => {
                        let mut vec: Vec<$T> = room(elements)?;
                        let each = bytes.chunks_exact(size_of::<$T>());
                        vec.extend(each.map(bytemuck::pod_read_unaligned::<$T>));
                        Storage::$name(Arc::new(vec))
                    })*
                }
            };
        }
        let storage = plain! {
            U8: u8, I8: i8, I16: i16, I32: i32, I64: i64, F16: half::f16, BF16: half::bf16,
            F32: f32, F64: f64,
        };
        Ok(Array { storage, layout })
    }

    /// One element without dimensions.
    pub fn scalar<T: Element>(value: T) -> Array {
        Array { storage: T::store(vec![value]), layout: Layout::contiguous(&[]) }
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.storage.dtype()
    }

    /// The sizes.
    pub fn shape(&self) -> &[usize] {
        &self.layout.shape
    }

    /// The strides, in elements.
    pub fn strides(&self) -> &[isize] {
        &self.layout.strides
    }

    /// How many dimensions there are.
    pub fn ndim(&self) -> usize {
        self.layout.shape.len()
    }

    /// How many elements there are.
    pub fn numel(&self) -> usize {
        self.layout.numel()
    }

    /// The size of a dimension, counted from the end where it is negative.
    ///
    /// # Errors
    /// [`Error::Dimension`].
    pub fn size(&self, dim: isize) -> Result<usize> {
        Ok(self.layout.shape[layout::dim_of("size", dim, self.ndim())?])
    }

    /// Whether the elements lie one after another in C order.
    pub fn is_contiguous(&self) -> bool {
        self.layout.is_contiguous()
    }

    /// Whether both show the same memory.
    pub fn shares_memory(&self, other: &Array) -> bool {
        self.storage.is(&other.storage)
    }

    /// The elements, if they are of this type and lie one after another.
    pub fn as_slice<T: Element>(&self) -> Option<&[T]> {
        let all = T::within(&self.storage)?;
        let n = self.numel();
        self.is_contiguous().then(|| if n == 0 { &[] } else { &all[self.layout.offset..][..n] })
    }

    /// The elements for writing, one after another. They are copied first if they do not lie so, or
    /// if another array shows them.
    ///
    /// # Errors
    /// [`Error::DType`] for another type, [`Error::OutOfMemory`].
    pub fn as_mut_slice<T: Element>(&mut self) -> Result<&mut [T]> {
        let typed =
            T::within_mut(&mut self.storage).ok_or(()).map(|arc| Arc::get_mut(arc).is_some());
        let Ok(alone) = typed else { return Err(self.other_type::<T>("as_mut_slice")) };
        if !alone || !self.is_contiguous() {
            *self = Array::from_vec(self.to_vec::<T>()?, &self.layout.shape)?;
        }
        let (n, offset, dtype) = (self.numel(), self.layout.offset, self.dtype());
        let all = T::within_mut(&mut self.storage).and_then(Arc::get_mut);
        let all = all.ok_or(Error::OutOfMemory { elements: n, dtype })?;
        Ok(if n == 0 { &mut [] } else { &mut all[offset..][..n] })
    }

    /// Copies the elements in C order.
    ///
    /// # Errors
    /// [`Error::DType`] for another type, [`Error::OutOfMemory`].
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        let all = self.elements::<T>("to_vec")?;
        let mut out = room(self.numel())?;
        let Layout { shape, strides, offset } = &self.layout;
        rows(shape, [strides], [*offset], &mut |[start], [step], n| match step {
            1 => out.extend_from_slice(&all[start..start + n]),
            _ => out.extend((0..n).map(|k| all[at(start, step, k)])),
        });
        Ok(out)
    }

    /// The elements as bytes in the machine's order, if they lie one after another.
    ///
    /// ```
    /// use numpack_host_ops::Array;
    /// let x = Array::from_slice(&[1_u8, 2, 3, 4], &[2, 2])?;
    /// assert_eq!(x.as_bytes(), Some(&[1, 2, 3, 4][..]));
    /// assert_eq!(x.transpose(0, 1)?.as_bytes(), None);
    /// # Ok::<(), numpack_host_ops::Error>(())
    /// ```
    pub fn as_bytes(&self) -> Option<&[u8]> {
        by_type!(self.dtype(), T => self.as_slice::<T>().map(bytemuck::cast_slice))
    }

    /// Copies the elements in C order as bytes in the machine's order.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let flat = self.contiguous()?;
        by_type!(self.dtype(), T => {
            let bytes: &[u8] = bytemuck::cast_slice(flat.as_slice::<T>().unwrap_or(&[]));
            let mut out = room(bytes.len())?;
            out.extend_from_slice(bytes);
            Ok(out)
        })
    }

    /// The element at an index of one number for each dimension, negative ones from the end.
    ///
    /// # Errors
    /// [`Error::Index`], and [`Error::Shape`] for another count of numbers.
    pub fn get(&self, index: &[i64]) -> Result<Scalar> {
        if index.len() != self.ndim() {
            let problem = format!("{} numbers for shape {:?}", index.len(), self.shape());
            return Err(Error::shape("get", problem, "give one for each dimension"));
        }
        let mut place = self.layout.offset as isize;
        for ((&i, &size), &stride) in index.iter().zip(self.shape()).zip(self.strides()) {
            place += index_of("get", i, size)? as isize * stride;
        }
        Ok(self.scalar_at(place as usize))
    }

    /// The only element: `torch.Tensor.item`.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is not exactly one.
    pub fn item(&self) -> Result<Scalar> {
        if self.numel() != 1 {
            let problem = format!("shape {:?} has {} elements", self.shape(), self.numel());
            return Err(Error::shape("item", problem, "select one element first"));
        }
        Ok(self.scalar_at(self.layout.offset))
    }

    fn scalar_at(&self, place: usize) -> Scalar {
        match &self.storage {
            Storage::Bool(v) => Scalar::Bool(v[place]),
            Storage::U8(v) => Scalar::Int(v[place].into()),
            Storage::I8(v) => Scalar::Int(v[place].into()),
            Storage::I16(v) => Scalar::Int(v[place].into()),
            Storage::I32(v) => Scalar::Int(v[place].into()),
            Storage::I64(v) => Scalar::Int(v[place]),
            Storage::F16(v) => Scalar::Float(v[place].into()),
            Storage::BF16(v) => Scalar::Float(v[place].into()),
            Storage::F32(v) => Scalar::Float(v[place].into()),
            Storage::F64(v) => Scalar::Float(v[place]),
        }
    }

    /// The array with its elements one after another: itself, or a copy.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn contiguous(&self) -> Result<Array> {
        if self.is_contiguous() {
            return Ok(self.clone());
        }
        by_type!(self.dtype(), T => Array::from_vec(self.to_vec::<T>()?, self.shape()))
    }

    /// The array in another element type: itself if it is that already, else a copy.
    ///
    /// Floats lose their fraction on the way to integers; integers wrap; what is not zero, NaN too,
    /// is true. Where a float does not fit an integer, which torch leaves to the processor, it is the
    /// nearest integer there is, and 0 for NaN. Floats round to the nearest, to the even one of two:
    /// once to float16, and by way of float32 to bfloat16; integers go by way of float32 to both.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    ///
    /// ```
    /// use numpack_host_ops::{Array, DType};
    /// let x = Array::from_slice(&[1.9_f32, -1.9, 300.0, f32::NAN], &[4])?;
    /// assert_eq!(x.cast(DType::U8)?.to_vec::<u8>()?, [1, 0, 255, 0]);
    /// # Ok::<(), numpack_host_ops::Error>(())
    /// ```
    pub fn cast(&self, dtype: DType) -> Result<Array> {
        if dtype == self.dtype() {
            return Ok(self.clone());
        }
        let flat = self.contiguous()?;
        if let Some(cast) = cast_halves(&flat, dtype)? {
            return Ok(cast);
        }
        by_type!(self.dtype(), S => {
            let from = flat.as_slice::<S>().unwrap_or(&[]);
            by_type!(dtype, T => Array::from_vec(cast_slice::<S, T>(from)?, self.shape()))
        })
    }

    /// Writes the elements of another array, of any type and of a shape that broadcasts to this
    /// one's, into this one: `torch.Tensor.copy_`. They are converted as [`cast`](Array::cast) does.
    ///
    /// # Errors
    /// [`Error::Shape`] where the shapes do not fit, or elements of this array overlap.
    pub fn copy_from(&mut self, source: &Array) -> Result<()> {
        self.write(|all| Ok(all.clone()), source)
    }

    /// Writes into a part of this array: `view` makes the part from the array by any views.
    ///
    /// # Errors
    /// Those of `view`; [`Error::Shape`] where the shapes do not fit, or elements of the part
    /// overlap; [`Error::Parameter`] where the part is no view of the array.
    ///
    /// ```
    /// use numpack_host_ops::{Array, DType};
    /// let mut x = Array::zeros(&[2, 4], DType::F32)?;
    /// x.write(|x| x.slice(1, 0, 4, 2), &Array::scalar(7_i64))?; // x[:, ::2] = 7
    /// assert_eq!(x.to_vec::<f32>()?, [7.0, 0.0, 7.0, 0.0, 7.0, 0.0, 7.0, 0.0]);
    /// # Ok::<(), numpack_host_ops::Error>(())
    /// ```
    pub fn write(
        &mut self,
        view: impl FnOnce(&Array) -> Result<Array>,
        source: &Array,
    ) -> Result<()> {
        let part = view(self)?;
        if !part.shares_memory(self) {
            let problem = "the part to be written is no view of the array";
            return Err(Error::parameter(
                "write",
                problem,
                "make it from the array by views alone",
            ));
        }
        let layout = part.layout;
        drop(part.storage);
        if layout.may_overlap() {
            return Err(Error::shape(
                "write",
                format!(
                    "elements of shape {:?}, strides {:?} overlap",
                    layout.shape, layout.strides
                ),
                "write into a contiguous copy",
            ));
        }
        let wanted = layout::broadcast("write", &[&layout.shape, source.shape()])?;
        if wanted != layout.shape {
            return Err(Error::shape(
                "write",
                format!("shape {:?} into shape {:?}", source.shape(), layout.shape),
                "give a source that broadcasts to the part",
            ));
        }
        let source = source.cast(self.dtype())?;
        let strides = layout::broadcast_strides(&source.layout, &layout.shape);
        by_type!(self.dtype(), T => {
            let from = Arc::clone(source.elements::<T>("write")?);
            let Some(into) = T::within_mut(&mut self.storage) else { return Ok(()) };
            let into = Arc::make_mut(into);
            let (start, first) = (layout.offset, source.layout.offset);
            rows(&layout.shape, [&layout.strides, &strides], [start, first], &mut |[i, j], [s, t], n| {
                match (s, t) {
                    (1, 1) => into[i..i + n].copy_from_slice(&from[j..j + n]),
                    (1, 0) => into[i..i + n].fill(from[j]),
                    _ => (0..n).for_each(|k| into[at(i, s, k)] = from[at(j, t, k)]),
                }
            });
        });
        Ok(())
    }

    /// The array as ndarray has it: a view, or a copy where strides are negative.
    ///
    /// # Errors
    /// [`Error::DType`] for another type, [`Error::OutOfMemory`].
    pub fn view<T: Element>(&self) -> Result<CowArray<'_, T, IxDyn>> {
        let all = self.elements::<T>("view")?;
        let Layout { shape, strides, offset } = &self.layout;
        let forward: Option<Vec<usize>> =
            strides.iter().map(|&s| usize::try_from(s).ok()).collect();
        let view = forward.and_then(|strides| {
            let shape = IxDyn(shape).strides(IxDyn(&strides));
            ArrayView::from_shape(shape, all.get(*offset..)?).ok()
        });
        match view {
            Some(view) => Ok(view.into()),
            None => {
                let copy = ndarray::Array::from_shape_vec(IxDyn(shape), self.to_vec()?);
                copy.map(Into::into).map_err(|e| {
                    Error::shape("view", format!("shape {shape:?}: {e}"), "use to_vec instead")
                })
            }
        }
    }

    /// The storage as this type.
    pub(crate) fn elements<T: Element>(&self, op: &'static str) -> Result<&Arc<Vec<T>>> {
        T::within(&self.storage).ok_or_else(|| self.other_type::<T>(op))
    }

    fn other_type<T: Element>(&self, op: &'static str) -> Error {
        Error::dtype(
            op,
            format!("elements are {}, not {}", self.dtype(), T::DTYPE),
            "cast the array to the type that is wanted",
        )
    }

    /// The elements in C order, copied only where they lie otherwise.
    pub(crate) fn flat<T: Element>(&self, op: &'static str) -> Result<Cow<'_, [T]>> {
        if T::DTYPE != self.dtype() {
            return Err(self.other_type::<T>(op));
        }
        Ok(match self.as_slice::<T>() {
            Some(slice) => Cow::Borrowed(slice),
            None => Cow::Owned(self.to_vec()?),
        })
    }

    /// The same memory in a layout that lies within it.
    pub(crate) fn showing(&self, layout: Layout) -> Array {
        Array { storage: self.storage.clone(), layout }
    }

    /// A number as an array without dimensions.
    pub(crate) fn of_scalar(value: Scalar, dtype: DType) -> Array {
        by_type!(dtype, T => Array::scalar(cast_scalar::<T>(value)))
    }
}

/// Where an index, negative from the end, leads.
pub(crate) fn index_of(op: &'static str, index: i64, size: usize) -> Result<usize> {
    let from_start = if index < 0 { index.checked_add(size as i64) } else { Some(index) };
    from_start.and_then(|i| usize::try_from(i).ok()).filter(|&i| i < size).ok_or(Error::Index {
        op,
        index,
        size,
        negative: true,
    })
}

impl<T: Element, D: ndarray::Dimension> From<ndarray::Array<T, D>> for Array {
    fn from(array: ndarray::Array<T, D>) -> Array {
        let shape = array.shape().to_vec();
        let elements = if array.is_standard_layout() {
            let (elements, offset) = array.into_raw_vec_and_offset();
            let layout = Layout { offset: offset.unwrap_or(0), ..Layout::contiguous(&shape) };
            return Array { storage: T::store(elements), layout };
        } else {
            array.iter().copied().collect()
        };
        Array { storage: T::store(elements), layout: Layout::contiguous(&shape) }
    }
}

impl fmt::Debug for Array {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let few = self.numel() <= 64;
        let mut shown = f.debug_struct("Array");
        shown.field("dtype", &self.dtype()).field("shape", &self.shape());
        shown.field("strides", &self.strides());
        if few {
            by_type!(self.dtype(), T => shown.field("elements", &self.to_vec::<T>()));
        }
        debug_assert!(self.storage.len() >= self.layout.offset);
        shown.finish_non_exhaustive()
    }
}
