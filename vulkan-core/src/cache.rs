//! Compiled kernels, kept from one run to the next.
//!
//! A driver is not made to read what is not its own or not whole, so the file carries a checksum, and
//! its name and its data the driver's identity. The file is only ever replaced as a whole; where it
//! cannot be read or written, kernels are compiled again.
//!
//! ```text
//! "NPPC"  version: u32 = 1  length: u64  crc-32: u32   then the driver's data, of that length
//! ```
//!
//! Numbers are little-endian. The data begin with the header that Vulkan defines
//! (`VkPipelineCacheHeaderVersionOne`).

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::devices::DeviceInfo;
use crate::options::PipelineCache;

const MAGIC: &[u8; 4] = b"NPPC";
const HEAD: usize = 20;
/// No driver keeps so much for some hundred kernels.
const LIMIT: u64 = 256 << 20;

/// The file of one device and driver.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    identity: Identity,
    /// The checksum of what the file holds, as far as known.
    held: AtomicU32,
}

/// What the header of a driver's data says.
#[derive(Clone, Copy, Debug)]
struct Identity {
    vendor: u32,
    device: u32,
    uuid: [u8; 16],
}

impl File {
    pub(crate) fn of(info: &DeviceInfo, place: &PipelineCache) -> Option<File> {
        let folder = match place {
            PipelineCache::Off => return None,
            PipelineCache::Folder(folder) => folder.clone(),
            PipelineCache::User => user_folder()?,
        };
        let DeviceInfo { vendor_id, device_id, driver_version, cache_uuid, .. } = *info;
        let uuid: String = cache_uuid.iter().map(|b| format!("{b:02x}")).collect();
        let name = format!("{vendor_id:x}-{device_id:x}-{driver_version:x}-{uuid}.bin");
        let identity = Identity { vendor: vendor_id, device: device_id, uuid: cache_uuid };
        Some(File { path: folder.join(name), identity, held: AtomicU32::new(0) })
    }

    /// What was kept, if it is whole and this driver's.
    pub(crate) fn read(&self) -> Option<Vec<u8>> {
        let file = fs::File::open(&self.path).ok()?;
        let mut all = Vec::new();
        file.take(LIMIT + 1).read_to_end(&mut all).ok()?;
        let data = unpack(&all, &self.identity)?;
        self.held.store(crc32fast::hash(data), Ordering::Relaxed);
        Some(data.to_vec())
    }

    /// Keeps this instead, if it is something new.
    pub(crate) fn write(&self, data: &[u8]) {
        let crc = crc32fast::hash(data);
        if crc == self.held.swap(crc, Ordering::Relaxed) || data.len() as u64 > LIMIT {
            return;
        }
        // It is a cache: who cannot keep it does without.
        let _ = self.path.parent().map(|folder| replace(folder, &self.path, &pack(data, crc)));
    }
}

fn replace(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}

fn pack(data: &[u8], crc: u32) -> Vec<u8> {
    let mut all = Vec::with_capacity(HEAD + data.len());
    all.extend_from_slice(MAGIC);
    all.extend_from_slice(&1u32.to_le_bytes());
    all.extend_from_slice(&(data.len() as u64).to_le_bytes());
    all.extend_from_slice(&crc.to_le_bytes());
    all.extend_from_slice(data);
    all
}

fn unpack<'a>(all: &'a [u8], identity: &Identity) -> Option<&'a [u8]> {
    let (head, data) = all.split_at_checked(HEAD)?;
    let u32_at = |bytes: &[u8], at: usize| {
        bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes)
    };
    let length = u64::from_le_bytes(head[8..16].try_into().ok()?);
    let whole = head.starts_with(MAGIC)
        && u32_at(head, 4) == Some(1)
        && length == data.len() as u64
        && u32_at(head, 16) == Some(crc32fast::hash(data));
    // The driver's own header: its length, version 1, vendor, device, and the cache's UUID.
    let own = u32_at(data, 0).is_some_and(|length| length >= 32)
        && u32_at(data, 4) == Some(1)
        && u32_at(data, 8) == Some(identity.vendor)
        && u32_at(data, 12) == Some(identity.device)
        && data.get(16..32) == Some(&identity.uuid[..]);
    (whole && own).then_some(data)
}

fn user_folder() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else {
        variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))
    };
    Some(base?.join("libnumpack").join("pipelines"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity { vendor: 0x10005, device: 0, uuid: [7; 16] };

    fn data() -> Vec<u8> {
        let mut data = Vec::new();
        for word in [32u32, 1, 0x10005, 0] {
            data.extend_from_slice(&word.to_le_bytes());
        }
        data.extend_from_slice(&[7; 16]);
        data.extend_from_slice(b"what the driver keeps");
        data
    }

    #[test]
    fn only_what_is_whole_and_its_own_reaches_a_driver() {
        let data = data();
        let all = pack(&data, crc32fast::hash(&data));
        assert_eq!(unpack(&all, &IDENTITY), Some(&data[..]));
        for at in 0..all.len() {
            let mut bad = all.clone();
            bad[at] ^= 1;
            assert_eq!(unpack(&bad, &IDENTITY), None, "byte {at}");
            assert_eq!(unpack(&all[..at], &IDENTITY), None, "{at} bytes");
        }
        for other in [
            Identity { vendor: 1, ..IDENTITY },
            Identity { device: 1, ..IDENTITY },
            Identity { uuid: [8; 16], ..IDENTITY },
        ] {
            assert_eq!(unpack(&all, &other), None, "{other:?}");
        }
    }
}
