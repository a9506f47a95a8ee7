//! Elements on the host or on a device, and their way between them.

use numpack_host_ops::{Array, DType, Scalar};

use crate::device::Device;
use crate::error::{Error, Result};

/// Elements of one type and shape, where they are.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Host(Array),
    #[cfg(feature = "vulkan")]
    Device(vulkan_core::Tensor),
}

impl Value {
    pub(crate) fn dtype(&self) -> DType {
        match self {
            Value::Host(a) => a.dtype(),
            #[cfg(feature = "vulkan")]
            Value::Device(t) => host_type(t.dtype()),
        }
    }

    pub(crate) fn shape(&self) -> &[usize] {
        match self {
            Value::Host(a) => a.shape(),
            #[cfg(feature = "vulkan")]
            Value::Device(t) => t.shape(),
        }
    }

    pub(crate) fn ndim(&self) -> usize {
        self.shape().len()
    }

    pub(crate) fn numel(&self) -> usize {
        self.shape().iter().product()
    }

    pub(crate) fn is_contiguous(&self) -> bool {
        match self {
            Value::Host(a) => a.is_contiguous(),
            #[cfg(feature = "vulkan")]
            Value::Device(t) => t.is_contiguous(),
        }
    }

    /// A dimension, counted from the start.
    pub(crate) fn dim(&self, op: &'static str, dim: isize) -> Result<usize> {
        let ndim = self.ndim() as isize;
        let at = if dim < 0 { dim + ndim } else { dim };
        if (0..ndim).contains(&at) {
            return Ok(at as usize);
        }
        Err(numpack_host_ops::Error::Dimension { op, dim, ndim: ndim as usize }.into())
    }

    /// Several, or all for none, in order.
    pub(crate) fn dims(&self, op: &'static str, dims: &[isize]) -> Result<Vec<usize>> {
        if dims.is_empty() {
            return Ok((0..self.ndim()).collect());
        }
        let mut all = dims.iter().map(|&d| self.dim(op, d)).collect::<Result<Vec<usize>>>()?;
        all.sort_unstable();
        Ok(all)
    }

    pub(crate) fn device(&self) -> Device {
        match self {
            Value::Host(_) => Device::Cpu,
            #[cfg(feature = "vulkan")]
            Value::Device(t) => Device::Vulkan(t.stream().clone()),
        }
    }

    pub(crate) fn is_on(&self, device: &Device) -> bool {
        match (self, device) {
            (Value::Host(_), Device::Cpu) => true,
            #[cfg(feature = "vulkan")]
            (Value::Device(t), Device::Vulkan(stream)) => t.device() == stream.device(),
            #[cfg(feature = "vulkan")]
            _ => false,
        }
    }

    pub(crate) fn elsewhere(&self, op: &'static str, other: &Value) -> Error {
        Error::Devices { op, a: self.device().to_string(), b: other.device().to_string() }
    }

    /// The same elements there; the same memory if they are there already.
    pub(crate) fn to_device(&self, device: &Device) -> Result<Value> {
        Ok(match (self, device) {
            (Value::Host(_), Device::Cpu) => self.clone(),
            #[cfg(feature = "vulkan")]
            (Value::Device(_), Device::Cpu) => Value::Host(self.to_array()?),
            #[cfg(feature = "vulkan")]
            (Value::Host(a), Device::Vulkan(stream)) => Value::Device(upload(stream, a)?),
            #[cfg(feature = "vulkan")]
            (Value::Device(t), Device::Vulkan(stream)) if t.device() == stream.device() => {
                self.clone()
            }
            #[cfg(feature = "vulkan")]
            (Value::Device(_), Device::Vulkan(stream)) => {
                Value::Device(upload(stream, &self.to_array()?)?)
            }
        })
    }

    /// The elements on the host; those of a device are waited for and copied.
    pub(crate) fn to_array(&self) -> Result<Array> {
        match self {
            Value::Host(a) => Ok(a.clone()),
            #[cfg(feature = "vulkan")]
            Value::Device(t) => {
                let flat = Array::from_bytes(self.dtype(), &t.to_bytes()?, &[t.numel()], &[1], 0)?;
                let shape: Vec<isize> = t.shape().iter().map(|&s| s as isize).collect();
                Ok(flat.reshape(&shape)?)
            }
        }
    }

    /// One number everywhere.
    pub(crate) fn full(
        device: &Device,
        value: Scalar,
        dtype: DType,
        shape: &[usize],
    ) -> Result<Value> {
        match device {
            Device::Cpu => Ok(Value::Host(Array::full(shape, value, dtype)?)),
            #[cfg(feature = "vulkan")]
            Device::Vulkan(stream) => {
                let number = match value {
                    Scalar::Bool(b) => f64::from(u8::from(b)),
                    // Of the whole numbers that a double cannot hold, one array is sent.
                    Scalar::Int(i) if i.unsigned_abs() > 1 << 53 => {
                        let one = upload(stream, &Array::full(&[], i, dtype)?)?;
                        return Ok(Value::Device(one.expand(shape)?.copy()?));
                    }
                    Scalar::Int(i) => i as f64,
                    Scalar::Float(f) => f,
                };
                let dtype = device_type("full", dtype)?;
                Ok(Value::Device(vulkan_core::Tensor::full(stream, number, dtype, shape)?))
            }
        }
    }

    /// As many zeros, of the same type, there.
    pub(crate) fn zeros_like(&self) -> Result<Value> {
        Value::full(&self.device(), Scalar::Int(0), self.dtype(), self.shape())
    }

    /// Writes other elements of any type into these, whose shape theirs broadcasts to. On the host
    /// memory that others show stays as it is, and this gets its own.
    pub(crate) fn copy_from(&mut self, source: &Value) -> Result<()> {
        match (self, source) {
            (Value::Host(a), Value::Host(b)) => Ok(a.copy_from(b)?),
            #[cfg(feature = "vulkan")]
            (Value::Device(t), Value::Device(u)) => Ok(t.copy_from(u)?),
            #[cfg(feature = "vulkan")]
            (to, from) => {
                let moved = from.to_device(&to.device())?;
                to.copy_from(&moved)
            }
        }
    }
}

/// What a device's type is here.
#[cfg(feature = "vulkan")]
pub(crate) fn host_type(dtype: vulkan_core::DType) -> DType {
    match dtype {
        vulkan_core::DType::F32 => DType::F32,
        vulkan_core::DType::F16 => DType::F16,
        vulkan_core::DType::BF16 => DType::BF16,
        vulkan_core::DType::I32 => DType::I32,
        vulkan_core::DType::I64 => DType::I64,
        vulkan_core::DType::U8 => DType::U8,
        vulkan_core::DType::Bool => DType::Bool,
    }
}

/// What it is on a device, if devices have it.
#[cfg(feature = "vulkan")]
pub(crate) fn device_type(op: &'static str, dtype: DType) -> Result<vulkan_core::DType> {
    Ok(match dtype {
        DType::F32 => vulkan_core::DType::F32,
        DType::F16 => vulkan_core::DType::F16,
        DType::BF16 => vulkan_core::DType::BF16,
        DType::I32 => vulkan_core::DType::I32,
        DType::I64 => vulkan_core::DType::I64,
        DType::U8 => vulkan_core::DType::U8,
        DType::Bool => vulkan_core::DType::Bool,
        DType::I8 | DType::I16 | DType::F64 => {
            return Err(Error::DType { op, dtype: dtype.name() });
        }
    })
}

#[cfg(feature = "vulkan")]
fn upload(stream: &vulkan_core::Stream, array: &Array) -> Result<vulkan_core::Tensor> {
    const OP: &str = "to_device";
    let dtype = device_type(OP, array.dtype())?;
    let flat = array.contiguous()?;
    macro_rules! bytes {
        ($($name:ident: $t:ty),*) => {
            match flat.dtype() {
                $(DType::$name => bytemuck::cast_slice(flat.as_slice::<$t>().unwrap_or_default()),)*
                other => return Err(Error::DType { op: OP, dtype: other.name() }),
            }
        };
    }
    use numpack_host_ops::{bf16, f16};
    let bytes: &[u8] =
        bytes!(F32: f32, F16: f16, BF16: bf16, I32: i32, I64: i64, U8: u8, Bool: bool);
    Ok(vulkan_core::Tensor::from_bytes(stream, bytes, dtype, array.shape())?)
}
