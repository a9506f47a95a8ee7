//! What can go wrong.

/// The result of every call of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why something was not done. Nothing was changed, unless the call says otherwise.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The host's executor refused it.
    #[error(transparent)]
    Host(#[from] numpack_host_ops::Error),
    /// The device's executor refused it, or the device failed.
    #[cfg(feature = "vulkan")]
    #[error(transparent)]
    Device(#[from] vulkan_core::Error),
    /// Tensors on two devices.
    #[error("{op}: one tensor is on {a} and one on {b}; move one of them with to_device")]
    Devices {
        /// The operation.
        op: &'static str,
        /// Where the first is.
        a: String,
        /// Where another is.
        b: String,
    },
    /// A type that devices do not have.
    #[error("{op}: {dtype} is not computed on a device; cast it, or compute on the cpu")]
    DType {
        /// The operation.
        op: &'static str,
        /// Torch's name of the type.
        dtype: &'static str,
    },
    /// A rule of gradients is broken.
    #[error("{op}: {problem}; {advice}")]
    Grad {
        /// The operation.
        op: &'static str,
        /// What is wrong.
        problem: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// An argument that cannot be.
    #[error("{op}: {problem}; {advice}")]
    Parameter {
        /// The operation.
        op: &'static str,
        /// What is wrong.
        problem: String,
        /// What to do instead.
        advice: &'static str,
    },
    /// A function of the caller's, of which a module or loss consists, asked to stop.
    #[error("cancelled by a function that computes a module or loss; nothing was changed")]
    Cancelled,
    /// A state that is not that of the module or optimiser it is loaded into.
    #[error("load_state_dict: {problem}; {advice}")]
    StateDict {
        /// All names that are missing or unknown, and all shapes that differ.
        problem: String,
        /// What to do instead.
        advice: &'static str,
    },
}

impl Error {
    pub(crate) fn grad(
        op: &'static str,
        problem: impl Into<String>,
        advice: &'static str,
    ) -> Error {
        Error::Grad { op, problem: problem.into(), advice }
    }

    pub(crate) fn parameter(
        op: &'static str,
        problem: impl Into<String>,
        advice: &'static str,
    ) -> Error {
        Error::Parameter { op, problem: problem.into(), advice }
    }
}
