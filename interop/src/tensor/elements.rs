//! The elements of a tensor as values of Rust.

use std::ops::{Deref, DerefMut, Range};

use bytemuck::{CheckedBitPattern, NoUninit, checked};
use half::{bf16, f16};
use num_complex::Complex;

use super::cast::cast;
use super::memory::{Reading, Writing};
use super::{Tensor, layout};
use crate::dtype::DType;
use crate::{Error, Result};

/// A type of Rust that elements of a tensor can be. `u8` is also how those of `bool` and of the
/// 8-bit floats can be had, as bytes.
pub trait Element: NoUninit + CheckedBitPattern + sealed::Sealed {
    /// The element type of tensors made of it.
    const DTYPE: DType;
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($t:ty = $dtype:ident;)*) => {$(
        impl sealed::Sealed for $t {}
        impl Element for $t {
            const DTYPE: DType = DType::$dtype;
        }
    )*};
}

elements! {
    bool = BOOL;
    u8 = UINT8;
    u16 = UINT16;
    u32 = UINT32;
    u64 = UINT64;
    i8 = INT8;
    i16 = INT16;
    i32 = INT32;
    i64 = INT64;
    f16 = FLOAT16;
    bf16 = BFLOAT16;
    f32 = FLOAT32;
    f64 = FLOAT64;
    Complex<f16> = COMPLEX32;
    Complex<f32> = COMPLEX64;
    Complex<f64> = COMPLEX128;
}

/// One element, of whichever type.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Scalar {
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// An integer of an unsigned 64-bit type.
    UInt(u64),
    /// A float.
    Float(f64),
    /// A complex number.
    Complex(Complex<f64>),
}

macro_rules! scalars {
    ($($t:ty => $variant:ident;)*) => {$(
        impl From<$t> for Scalar {
            fn from(value: $t) -> Scalar {
                Scalar::$variant(value.into())
            }
        }
    )*};
}

scalars! {
    bool => Bool;
    u8 => Int;
    u16 => Int;
    u32 => Int;
    u64 => UInt;
    i8 => Int;
    i16 => Int;
    i32 => Int;
    i64 => Int;
    f32 => Float;
    f64 => Float;
    Complex<f64> => Complex;
}

impl Scalar {
    /// A complex number of these parts.
    pub fn complex(real: f64, imaginary: f64) -> Scalar {
        Scalar::Complex(Complex::new(real, imaginary))
    }

    /// Its bytes as an element of this type.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a number that an integer type cannot hold, and for a complex one
    /// where only real ones are; a fraction is cut off.
    pub(super) fn encode(self, dtype: DType) -> Result<([u8; 16], usize)> {
        let real = dtype.is_integer() || dtype.is_floating_point();
        let fits = match (dtype.is_integer(), self) {
            (_, Scalar::Complex(z)) if real && z.im != 0.0 => false,
            (false, _) | (true, Scalar::Bool(_)) => true,
            (true, Scalar::Int(i)) => within(dtype, i.into()),
            (true, Scalar::UInt(u)) => within(dtype, u.into()),
            // NaN becomes 0, which is not NaN's value.
            (true, Scalar::Float(x)) => x.is_finite() && within(dtype, x as i128),
            (true, Scalar::Complex(z)) => z.re.is_finite() && within(dtype, z.re as i128),
        };
        if !fits {
            return Err(Error::Parameter(format!("{self:?} is out of the range of {dtype}")));
        }
        let mut out = [0_u64; 2];
        let to = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut out)[..dtype.size()];
        match self {
            Scalar::Bool(b) => cast(&[b.into()], DType::BOOL, to, dtype),
            Scalar::Int(i) => cast(bytemuck::bytes_of(&i), DType::INT64, to, dtype),
            Scalar::UInt(u) => cast(bytemuck::bytes_of(&u), DType::UINT64, to, dtype),
            Scalar::Float(x) => cast(bytemuck::bytes_of(&x), DType::FLOAT64, to, dtype),
            Scalar::Complex(z) => cast(bytemuck::bytes_of(&z), DType::COMPLEX128, to, dtype),
        }
        Ok((bytemuck::cast(out), dtype.size()))
    }

    /// The element whose aligned bytes these are.
    fn decode(bytes: &[u8], dtype: DType) -> Scalar {
        fn wide<T: bytemuck::Pod>(bytes: &[u8], from: DType, to: DType) -> T {
            let mut out = T::zeroed();
            cast(bytes, from, bytemuck::bytes_of_mut(&mut out), to);
            out
        }
        match dtype {
            DType::BOOL => Scalar::Bool(bytes[0] != 0),
            DType::UINT64 => Scalar::UInt(wide(bytes, dtype, DType::UINT64)),
            d if d.is_integer() => Scalar::Int(wide(bytes, d, DType::INT64)),
            d if d.is_complex() => Scalar::Complex(wide(bytes, d, DType::COMPLEX128)),
            d => Scalar::Float(wide(bytes, d, DType::FLOAT64)),
        }
    }
}

/// Whether an integer type has this number.
fn within(dtype: DType, value: i128) -> bool {
    let bits = u32::from(dtype.bits);
    match dtype.is_signed() {
        true => (-(1_i128 << (bits - 1))..1 << (bits - 1)).contains(&value),
        false => (0..1 << bits).contains(&value),
    }
}

/// Elements of a tensor, which nobody can write to as long as this lives. Derefs to a slice.
pub struct Elements<'a, T>(Reading<'a, [T]>);

/// Elements of a tensor, which nobody else can use as long as this lives. Derefs to a slice.
pub struct ElementsMut<'a, T>(Writing<'a, [T]>);

impl<T> Deref for Elements<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> Deref for ElementsMut<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for ElementsMut<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl Tensor {
    /// The elements of a contiguous tensor, without a copy.
    ///
    /// ```
    /// # use numpack_interop::{Tensor, Error};
    /// let t = Tensor::from_slice(&[1.5_f64, 2.5], &[2])?;
    /// let elements = t.elements::<f64>()?;
    /// assert_eq!(elements[1], 2.5);
    /// assert!(matches!(t.fill(0.0), Err(Error::InUse(_))));
    /// drop(elements);
    /// t.fill(0.0)?;
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Type`] where the elements are of another type, [`Error::Parameter`] where they do
    /// not lie one after another, or a byte of a `bool` is neither 0 nor 1; [`Error::InUse`];
    /// [`Error::Sharing`] on a device.
    pub fn elements<T: Element>(&self) -> Result<Elements<'_, T>> {
        let range = self.run_of::<T>()?;
        let bytes = self.storage.read()?;
        Ok(Elements(bytes.try_map(|all| checked::try_cast_slice(&all[range]).map_err(no_values))?))
    }

    /// The elements of a contiguous tensor, to be changed in place.
    ///
    /// # Errors
    /// As [`elements`](Tensor::elements), and [`Error::Sharing`] for read-only memory.
    pub fn elements_mut<T: Element>(&self) -> Result<ElementsMut<'_, T>> {
        let range = self.run_of::<T>()?;
        let bytes = self.storage.write()?;
        Ok(ElementsMut(
            bytes.try_map(|all| checked::try_cast_slice_mut(&mut all[range]).map_err(no_values))?,
        ))
    }

    /// The elements in C order, copied.
    ///
    /// # Errors
    /// As [`elements`](Tensor::elements), but for the order.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        self.has_type::<T>()?;
        Ok(self.contiguous()?.elements::<T>()?.to_vec())
    }

    /// One element; an index for each dimension.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an index that is not there; [`Error::InUse`]; [`Error::Sharing`] on
    /// a device.
    pub fn get(&self, index: &[isize]) -> Result<Scalar> {
        let place = self.place(index)?;
        Ok(Scalar::decode(&self.storage.read()?[place], self.dtype))
    }

    /// The one element of a tensor that has one.
    ///
    /// # Errors
    /// As [`get`](Tensor::get), and [`Error::Parameter`] where there are more or none.
    pub fn item(&self) -> Result<Scalar> {
        match self.numel() {
            1 => self.get(&vec![0; self.ndim()]),
            n => Err(Error::Parameter(format!("item() is for one element, and there are {n}"))),
        }
    }

    /// Writes one element; an index for each dimension. A fraction that the type lacks is cut off.
    ///
    /// # Errors
    /// As [`get`](Tensor::get), [`Error::Parameter`] for a number that the type cannot hold, and
    /// [`Error::Sharing`] for read-only memory.
    pub fn set(&self, index: &[isize], value: impl Into<Scalar>) -> Result<()> {
        let place = self.place(index)?;
        let (bytes, size) = value.into().encode(self.dtype)?;
        self.storage.write()?[place].copy_from_slice(&bytes[..size]);
        Ok(())
    }

    /// Where in the storage the element of an index is.
    fn place(&self, index: &[isize]) -> Result<Range<usize>> {
        if index.len() != self.ndim() {
            let (given, ndim) = (index.len(), self.ndim());
            return Err(Error::Parameter(format!("{given} indices for {ndim} dimensions")));
        }
        let mut layout = self.layout.clone();
        for &i in index {
            layout = layout.select(0, i)?;
        }
        let start = layout.offset * self.itemsize();
        Ok(start..start + self.itemsize())
    }

    fn has_type<T: Element>(&self) -> Result<()> {
        let bytes = T::DTYPE == DType::UINT8 && (self.dtype == DType::BOOL || self.is_float8());
        if T::DTYPE == self.dtype || bytes {
            return Ok(());
        }
        Err(Error::Type {
            problem: format!("the elements are {}, not {}", self.dtype, T::DTYPE),
            advice: "convert the tensor with to_dtype first",
        })
    }

    fn is_float8(&self) -> bool {
        self.dtype.is_floating_point() && self.itemsize() == 1
    }

    /// Where in the storage the bytes of elements are that lie one after another.
    pub(super) fn run(&self) -> Range<usize> {
        if self.numel() == 0 {
            // A view without elements may begin anywhere.
            return 0..0;
        }
        let start = self.layout.offset * self.itemsize();
        start..start + self.nbytes()
    }

    fn run_of<T: Element>(&self) -> Result<Range<usize>> {
        self.has_type::<T>()?;
        if !self.is_contiguous() {
            let (shape, strides) = (self.shape(), self.strides());
            return Err(Error::Parameter(format!(
                "shape {shape:?} with strides {strides:?} is not contiguous; use contiguous() or \
                 to_vec()"
            )));
        }
        debug_assert_eq!(layout::numel(self.shape()).ok(), Some(self.numel()));
        Ok(self.run())
    }
}

fn no_values(_: checked::CheckedCastError) -> Error {
    Error::Parameter(
        "a byte of the bool tensor is neither 0 nor 1; read its bytes as u8".to_owned(),
    )
}
