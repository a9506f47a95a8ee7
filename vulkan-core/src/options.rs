//! How a device is chosen and opened.

use std::path::PathBuf;

use crate::devices::DeviceKind;
use crate::error::{Error, Result};

/// The variable that chooses a device where a program does not: an index or a UUID.
pub const DEVICE_VARIABLE: &str = "NUMPACK_VULKAN_DEVICE";

/// Which device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Select {
    /// The one that the variable [`DEVICE_VARIABLE`] names, or else the first that can be used.
    #[default]
    Default,
    /// By its place in the list of [`devices`](crate::devices).
    Index(usize),
    /// By its UUID, which stays the same from start to start.
    Uuid([u8; 16]),
}

impl std::str::FromStr for Select {
    type Err = Error;

    /// An index (`0`), or a UUID of 32 hexadecimal digits, with or without hyphens.
    ///
    /// ```
    /// use vulkan_core::Select;
    /// assert_eq!("1".parse(), Ok(Select::Index(1)));
    /// let uuid = "00112233-4455-6677-8899-aabbccddeeff".parse::<Select>()?;
    /// assert!(matches!(uuid, Select::Uuid([0x00, 0x11, .., 0xff])));
    /// # Ok::<(), vulkan_core::Error>(())
    /// ```
    fn from_str(text: &str) -> Result<Select> {
        let text = text.trim();
        let digits: Vec<u8> =
            text.chars().filter(|&c| c != '-').map_while(|c| Some(c.to_digit(16)? as u8)).collect();
        let hyphens = text.len() - text.replace('-', "").len();
        if digits.len() == 32 && text.len() == 32 + hyphens {
            let mut uuid = [0; 16];
            for (byte, pair) in uuid.iter_mut().zip(digits.chunks_exact(2)) {
                *byte = pair[0] << 4 | pair[1];
            }
            return Ok(Select::Uuid(uuid));
        }
        text.parse().map(Select::Index).map_err(|_| {
            Error::parameter(format!(
                "{text:?} names no device; give an index or a UUID as the list of devices has them"
            ))
        })
    }
}

/// What the validation layers check. They cost much time and are for tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Validation {
    /// Nothing.
    #[default]
    Off,
    /// That Vulkan is used as it is specified.
    Core,
    /// That, and that every access is ordered by a barrier.
    Synchronization,
}

/// How bytes get to tensors and back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transfers {
    /// Straight into a tensor's memory where the host sees it, or many bytes straight from the host's
    /// memory where the device reads that ([`Feature::HostImport`]); else through staging memory.
    #[default]
    Auto,
    /// Always through staging memory.
    Staged,
}

/// What a device may have and kernels can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Feature {
    /// The driver says how much memory is left.
    MemoryBudget,
    /// The device copies from the host's memory where that is: large uploads then need no staging memory.
    HostImport,
    /// Invocations that run together hear each other's values: full subgroups (`computeFullSubgroups`), and
    /// broadcasts in them (`VK_SUBGROUP_FEATURE_BALLOT_BIT`). Products of matrices on software devices then
    /// read less.
    SubgroupBroadcast,
}

impl Feature {
    /// All of them.
    pub const ALL: [Feature; 3] =
        [Feature::MemoryBudget, Feature::HostImport, Feature::SubgroupBroadcast];
}

/// How a device is opened.
///
/// ```
/// use vulkan_core::{DeviceOptions, Select, Validation};
/// let options = DeviceOptions::new().select(Select::Index(0)).validation(Validation::Core);
/// # let _ = options;
/// ```
#[derive(Clone, Debug, Default)]
pub struct DeviceOptions {
    pub(crate) select: Select,
    pub(crate) validation: Validation,
    pub(crate) transfers: Transfers,
    pub(crate) without: Vec<Feature>,
    pub(crate) pipeline_cache: PipelineCache,
    pub(crate) kernels_for: Option<DeviceKind>,
    pub(crate) max_groups: Option<u32>,
    pub(crate) max_storage_range: Option<u64>,
    pub(crate) max_work: Option<u64>,
    pub(crate) faults: Faults,
}

/// Where compiled kernels are kept.
#[derive(Clone, Debug, Default)]
pub(crate) enum PipelineCache {
    /// Under the user's cache folder.
    #[default]
    User,
    Off,
    Folder(PathBuf),
}

/// What is to fail, for tests of what happens then.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) lose_at_submit: Option<u64>,
    pub(crate) memory: Option<u64>,
    pub(crate) forget_barriers: bool,
}

impl DeviceOptions {
    /// The device of [`Select::Default`], nothing watched, everything used.
    pub fn new() -> DeviceOptions {
        DeviceOptions::default()
    }

    /// Which device.
    pub fn select(mut self, select: Select) -> Self {
        self.select = select;
        self
    }

    /// What the validation layers check.
    pub fn validation(mut self, validation: Validation) -> Self {
        self.validation = validation;
        self
    }

    /// How bytes get to tensors and back.
    pub fn transfers(mut self, transfers: Transfers) -> Self {
        self.transfers = transfers;
        self
    }

    /// Does as if the device had not this, to test what is done instead.
    pub fn without(mut self, feature: Feature) -> Self {
        self.without.push(feature);
        self
    }

    /// Keeps compiled kernels in this folder instead of the user's cache folder, or nowhere.
    pub fn pipeline_cache(mut self, folder: Option<PathBuf>) -> Self {
        self.pipeline_cache = folder.map_or(PipelineCache::Off, PipelineCache::Folder);
        self
    }

    /// Does as if the device were of this kind, to test the kernels that such a one gets.
    pub fn kernels_for(mut self, kind: DeviceKind) -> Self {
        self.kernels_for = Some(kind);
        self
    }

    /// Does as if a dispatch could not have more groups than this along one axis, to test how
    /// larger ones are folded.
    pub fn max_groups(mut self, groups: u32) -> Self {
        self.max_groups = Some(groups.max(1));
        self
    }

    /// Does as if a kernel could not see more bytes of a tensor than this at once, to test how
    /// larger ones are cut.
    pub fn max_storage_range(mut self, bytes: u64) -> Self {
        self.max_storage_range = Some(bytes.max(4096));
        self
    }

    /// Does as if drivers ended what takes longer than so many steps of a kernel's innermost loop, to test
    /// how work is handed over in pieces.
    pub fn max_work(mut self, steps: u64) -> Self {
        self.max_work = Some(steps.max(1));
        self
    }

    /// Does as if the device were lost at the `n`th submission, counted from 0, to test what comes
    /// after.
    pub fn lose_at_submit(mut self, n: u64) -> Self {
        self.faults.lose_at_submit = Some(n);
        self
    }

    /// Does as if the device had only so many bytes for tensors, to test what happens without.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.faults.memory = Some(bytes);
        self
    }

    /// Leaves all barriers out, to test that the validation layers notice. Results are then
    /// whatever they are.
    #[doc(hidden)]
    pub fn forget_barriers(mut self) -> Self {
        self.faults.forget_barriers = true;
        self
    }
}
