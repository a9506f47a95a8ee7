//! What the caller may choose.

/// How a file is opened.
///
/// ```
/// use torch_pickle::{CrcPolicy, Limits, Options};
/// let options = Options::new()
///     .crc(CrcPolicy::Warn)
///     .limits(Limits { max_names: 10_000, ..Limits::default() });
/// assert_eq!(options.crc, CrcPolicy::Warn);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// Bounds on what a file may make the reader do.
    pub limits: Limits,
    /// What to do about checksums.
    pub crc: CrcPolicy,
}

impl Options {
    /// The defaults: checksums must match, and the limits of [`Limits::default`].
    pub fn new() -> Options {
        Options::default()
    }

    /// Sets the limits.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Options {
        self.limits = limits;
        self
    }

    /// Sets the treatment of checksums.
    #[must_use]
    pub fn crc(mut self, crc: CrcPolicy) -> Options {
        self.crc = crc;
        self
    }
}

/// Bounds on what a file may make the reader do. Reaching one is an [`Error::Limit`], never a
/// crash.
///
/// Where they are left at their defaults, the first two are lower for a `data.pkl` that is
/// compressed, which torch never does: 64 MiB and 64 bytes for each byte of the file, and 1,048,576
/// nodes and one for each byte of the file. Otherwise a file of kilobytes could take gigabytes.
///
/// [`Error::Limit`]: crate::Error::Limit
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Bytes of `data.pkl`, or of the JSON in its place, inflated where it is compressed.
    pub max_pickle_bytes: u64,
    /// Nodes of the object.
    pub max_nodes: u64,
    /// Names that a listing gives. A file of a few hundred bytes can hold more paths than there
    /// are atoms.
    pub max_names: usize,
    /// Bytes of a tensor that shows more elements than its storage has (`expand`), or of a
    /// compressed storage that has to be held in memory. A tensor no larger than its storage is
    /// never limited.
    pub max_expansion: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_pickle_bytes: 1 << 30,
            max_nodes: 1 << 25,
            max_names: 1_000_000,
            max_expansion: 1 << 30,
        }
    }
}

/// What to do about a record's checksum.
///
/// An archive in which each checksum is zero has none (`torch.save` with
/// `torch.serialization.set_crc32_options(False)` writes such files); it is read under any policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CrcPolicy {
    /// Do not compute checksums.
    Off,
    /// Compute them; a wrong one is noted in [`Checkpoint::warnings`](crate::Checkpoint::warnings).
    Warn,
    /// Compute them; a wrong one is an error.
    #[default]
    Refuse,
}
