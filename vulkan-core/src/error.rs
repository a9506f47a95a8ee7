//! What can go wrong that a caller cannot foresee, or can avoid.

/// The result of every call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed. Tensors are what they were before, but for [`Error::DeviceLost`], after which
/// nothing on that device can be read any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no Vulkan on this machine.
    #[error(
        "no Vulkan loader can be opened ({reason}); install the loader (on Debian: libvulkan1) and \
         the driver of your GPU, or a software one (mesa-vulkan-drivers)"
    )]
    Loader {
        /// What the system said.
        reason: String,
    },
    /// No device is there that can be used as asked.
    #[error("{wanted}: no such Vulkan device can be used; {found}")]
    NoDevice {
        /// What was asked for, and by whom.
        wanted: String,
        /// What there is instead.
        found: String,
    },
    /// The device lacks what this needs.
    #[error("{device}: {what}")]
    Unsupported {
        /// The device.
        device: String,
        /// What it lacks, and what to do instead.
        what: String,
    },
    /// There is not so much memory left, for all that was given back.
    #[error(
        "{device}: out of memory: {asked} bytes were asked for, and {free} of the heap's {heap} are \
         free; drop tensors or use smaller batches"
    )]
    OutOfMemory {
        /// The device.
        device: String,
        /// How many bytes were needed at once.
        asked: u64,
        /// How many the driver says it still has, or those of the heap that nobody here uses.
        free: u64,
        /// How many there are in all.
        heap: u64,
    },
    /// The device stopped: its driver was reset or it was taken away. It stays so.
    #[error(
        "{device}: the device was lost while {doing}; tensors on it are gone: drop them and open \
         the device again"
    )]
    DeviceLost {
        /// The device.
        device: String,
        /// What was under way when it was noticed.
        doing: &'static str,
    },
    /// The driver refused.
    #[error("{device}: could not {doing}: {code}")]
    Driver {
        /// The device, or `Vulkan` before there is one.
        device: String,
        /// What was tried.
        doing: &'static str,
        /// Vulkan's name of the error.
        code: String,
    },
    /// Indices led nowhere, in work recorded since the last read of its stream. Elements that they would
    /// have brought are 0, sums that they would have added to are without them.
    #[error(
        "index {index} is not one of {size}; check the indices of what was recorded since the last \
         read, and compute it again"
    )]
    Index {
        /// One of them.
        index: i64,
        /// How many there were to choose from.
        size: u64,
    },
    /// A sequence is being recorded on the stream, and this cannot be a part of it.
    #[error(
        "{what} cannot be part of a sequence, which is being recorded on the stream; do it before or \
         after, or on another stream"
    )]
    Recording {
        /// What was asked for.
        what: &'static str,
    },
    /// An argument that cannot be.
    #[error("{0}")]
    Parameter(String),
}

impl Error {
    pub(crate) fn parameter(message: impl Into<String>) -> Error {
        Error::Parameter(message.into())
    }
}
