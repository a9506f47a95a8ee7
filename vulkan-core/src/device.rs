//! An open device.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::core::Shared;
use crate::core::usage::Usage;
use crate::devices::{DeviceInfo, DeviceKind};
use crate::error::Result;
use crate::options::DeviceOptions;
use crate::stream::{Handle, Stream};

/// An open device. Clones are handles on the same one, which closes when they, its streams and its
/// tensors are gone.
///
/// Threads: may be used by any number at once; they take turns while recording, which takes
/// microseconds, and not while waiting.
///
/// ```no_run
/// use vulkan_core::{Device, DeviceOptions, Tensor};
/// let device = Device::open(&DeviceOptions::new())?;
/// let t = Tensor::from_host(&device.stream()?, &[1.0_f32, 2.0, 3.0], &[3])?;
/// assert_eq!(t.to_host::<f32>()?, [1.0, 2.0, 3.0]);
/// # Ok::<(), vulkan_core::Error>(())
/// ```
#[derive(Clone)]
pub struct Device {
    pub(crate) shared: Arc<Shared>,
    main: Arc<Mutex<Weak<Handle>>>,
}

impl Device {
    /// Opens a device.
    ///
    /// # Errors
    /// [`Error::Loader`](crate::Error::Loader) without Vulkan,
    /// [`Error::NoDevice`](crate::Error::NoDevice) where none can be used as asked, and
    /// [`Error::Driver`](crate::Error::Driver) where the driver refuses.
    pub fn open(options: &DeviceOptions) -> Result<Device> {
        Ok(Device { shared: Shared::open(options)?, main: Arc::default() })
    }

    /// What it is.
    pub fn info(&self) -> &DeviceInfo {
        self.shared.gpu.info()
    }

    /// What a person should know who uses it, in one line; `None` if nothing.
    pub fn warning(&self) -> Option<String> {
        (self.info().kind == DeviceKind::Software).then(|| {
            format!(
                "{} is a program on the host's processor, not a GPU; install your GPU's Vulkan \
                 driver, or compute on the host",
                self.info()
            )
        })
    }

    /// The stream that a program with one uses. It is the same for all handles on the device, for as
    /// long as anyone has it.
    ///
    /// # Errors
    /// [`Error::Driver`](crate::Error::Driver) and [`Error::DeviceLost`](crate::Error::DeviceLost).
    pub fn stream(&self) -> Result<Stream> {
        let mut main = self.main.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handle) = main.upgrade() {
            return Ok(Stream(handle));
        }
        let stream = self.new_stream()?;
        *main = Arc::downgrade(&stream.0);
        Ok(stream)
    }

    /// A stream of its own: what is recorded on it may run beside what others record.
    ///
    /// # Errors
    /// As for [`stream`](Device::stream).
    pub fn new_stream(&self) -> Result<Stream> {
        Stream::new(self)
    }

    /// What it holds and did so far.
    pub fn usage(&self) -> Usage {
        self.shared.usage()
    }

    /// Gives memory back to the system that was kept for the next tensors.
    pub fn trim(&self) {
        self.shared.trim();
    }

    /// Whether it was lost. It never comes back; open it anew.
    pub fn is_lost(&self) -> bool {
        self.shared.gpu.is_lost()
    }

    /// What the validation layers have said, if they were asked for.
    pub fn messages(&self) -> Vec<String> {
        self.shared.gpu.adapter.instance.messages().all()
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("info", self.info()).finish_non_exhaustive()
    }
}

impl PartialEq for Device {
    /// Whether both are handles on the same open device.
    fn eq(&self, other: &Device) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}
