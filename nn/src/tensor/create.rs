//! New tensors: of numbers, filled, random.

use std::sync::{Mutex, PoisonError};

use numpack_host_ops::{Array, DType, Element, Scalar};

use super::Tensor;
use crate::device::Device;
use crate::error::Result;
use crate::exec::{Place, Source, Value};

static GENERATOR: Mutex<Place> = Mutex::new(Place::new(0));

/// Begins the process's random numbers anew: what is drawn after it is the same each time, on every
/// device (`torch.manual_seed`; torch's own numbers are others).
///
/// The numbers are Philox4x32-10's; who draws `n` of them moves on by `n`.
pub fn manual_seed(seed: u64) {
    *GENERATOR.lock().unwrap_or_else(PoisonError::into_inner) = Place::new(seed);
}

#[cfg(feature = "vulkan")]
thread_local! {
    /// While a step is recorded: the device's place, and how many numbers are drawn behind it.
    static RECORDED: std::cell::RefCell<Option<(vulkan_core::DevicePlace, u64)>> =
        const { std::cell::RefCell::new(None) };
}

/// Does `f`, in which this thread draws on a device from a place in its memory.
#[cfg(feature = "vulkan")]
pub(crate) fn draw_from<T>(place: vulkan_core::DevicePlace, f: impl FnOnce() -> T) -> T {
    /// Takes the place away again, also in a panic.
    struct Until;
    impl Drop for Until {
        fn drop(&mut self) {
            RECORDED.take();
        }
    }
    RECORDED.replace(Some((place, 0)));
    let _until = Until;
    f()
}

/// A place in the random numbers from which `count` are drawn there.
pub(crate) fn draw(device: &Device, count: usize) -> Source {
    #[cfg(feature = "vulkan")]
    if !device.is_cpu()
        && let Some(source) = RECORDED.with_borrow_mut(|recorded| {
            let (place, drawn) = recorded.as_mut()?;
            let here = place.after(*drawn);
            *drawn = drawn.wrapping_add(whole_blocks(count));
            Some(Source::Device(here))
        })
    {
        return source;
    }
    Source::Place(place(count))
}

/// A place in the process's random numbers behind which are `count` that nobody else draws.
pub(crate) fn place(count: usize) -> Place {
    let mut place = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    let here = *place;
    *place = here.after(whole_blocks(count));
    here
}

/// Normal numbers are drawn in pairs, and four come of one block.
fn whole_blocks(count: usize) -> u64 {
    (count as u64).saturating_add(3) & !3
}

/// How many elements; executors refuse a shape of more than can be.
fn numel(shape: &[usize]) -> usize {
    shape.iter().fold(1, |n: usize, &size| n.saturating_mul(size))
}

impl Tensor {
    /// Copies numbers in C order, to the host's memory.
    ///
    /// # Errors
    /// [`Error::Host`](crate::Error::Host) if the shape has another number of elements.
    pub fn from_slice<T: Element>(elements: &[T], shape: &[usize]) -> Result<Tensor> {
        Ok(Tensor::from_array(Array::from_slice(elements, shape)?))
    }

    /// Takes numbers in C order.
    ///
    /// # Errors
    /// As for [`from_slice`](Tensor::from_slice).
    pub fn from_vec<T: Element>(elements: Vec<T>, shape: &[usize]) -> Result<Tensor> {
        Ok(Tensor::from_array(Array::from_vec(elements, shape)?))
    }

    /// An array as a tensor; no elements are copied.
    pub fn from_array(array: Array) -> Tensor {
        Tensor::of(Value::Host(array))
    }

    /// A device's tensor: the same memory.
    #[cfg(feature = "vulkan")]
    pub fn from_vulkan(tensor: vulkan_core::Tensor) -> Tensor {
        Tensor::of(Value::Device(tensor))
    }

    /// One number without dimensions, in the type it has by itself: `float32`, `int64` or `bool`.
    pub fn scalar(value: impl Into<Scalar>, device: &Device) -> Result<Tensor> {
        let value = value.into();
        Tensor::full(&[], value, value.dtype(), device)
    }

    /// One number everywhere.
    ///
    /// # Errors
    /// [`Error::DType`](crate::Error::DType) for a type that devices do not have; what executors say
    /// of a lack of memory.
    pub fn full(
        shape: &[usize],
        value: impl Into<Scalar>,
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor> {
        Ok(Tensor::of(Value::full(device, value.into(), dtype, shape)?))
    }

    /// Zeros.
    ///
    /// # Errors
    /// As for [`full`](Tensor::full).
    pub fn zeros(shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        Tensor::full(shape, 0, dtype, device)
    }

    /// Ones.
    ///
    /// # Errors
    /// As for [`full`](Tensor::full).
    pub fn ones(shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        Tensor::full(shape, 1, dtype, device)
    }

    /// The numbers 0 to `end - 1`, as `int64` (`torch.arange`).
    ///
    /// # Errors
    /// What executors say of a lack of memory.
    pub fn arange(end: usize, device: &Device) -> Result<Tensor> {
        Ok(Tensor::of(match device {
            Device::Cpu => Value::Host(Array::arange(0, end as i64, 1, Some(DType::I64))?),
            #[cfg(feature = "vulkan")]
            Device::Vulkan(stream) => {
                let dtype = vulkan_core::DType::I64;
                let all = vulkan_core::Tensor::arange(stream, 0.0, end as f64, 1.0, dtype)?;
                Value::Device(all)
            }
        }))
    }

    /// Uniform numbers from 0 up to before 1, of a float type, after [`manual_seed`].
    ///
    /// # Errors
    /// As for [`full`](Tensor::full), and for a type that is no float.
    pub fn rand(shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        Ok(Tensor::of(Value::rand(device, shape, dtype, &draw(device, numel(shape)))?))
    }

    /// Normal numbers of mean 0 and deviation 1, of a float type, after [`manual_seed`].
    ///
    /// # Errors
    /// As for [`rand`](Tensor::rand).
    pub fn randn(shape: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        Ok(Tensor::of(Value::randn(device, shape, dtype, &draw(device, numel(shape)))?))
    }
}
