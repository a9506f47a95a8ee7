//! Saying what a file is when it is no checkpoint in a zip archive.

use std::path::Path;

use crate::archive::{Archive, u16_at, u32_at};
use crate::error::{Error, Part, Result};
use crate::source::Source;

/// How much of a file is looked at.
const HEAD: u64 = 64 * 1024;

/// The first bytes of a file.
pub(super) fn head(source: &Source) -> Result<Vec<u8>> {
    source.bytes(0, source.len.min(HEAD) as usize)
}

/// The error for a file that is none of the containers.
pub(super) fn unknown(source: &Source, head: &[u8]) -> Error {
    let (path, len) = (&source.path, source.len);
    if head.starts_with(b"PK\x03\x04") {
        return Error::Format {
            file: path.clone(),
            part: Part::File,
            offset: None,
            problem: format!(
                "truncated: {len} bytes, needs at least {}: the end record of the zip archive is missing",
                needed(head, len)
            ),
            advice: "copy or download it again",
        };
    }
    match container(head, len) {
        Some((what, advice)) => Error::unsupported(path, Part::File, None, what, advice),
        None => Error::format(
            path,
            Part::File,
            None,
            if len == 0 {
                "not a pytorch file: it is empty".to_owned()
            } else {
                format!("not a pytorch file: {len} bytes, neither a zip archive nor a pickle")
            },
        ),
    }
}

/// The error for a folder.
pub(crate) fn folder(path: &Path) -> Error {
    let (what, advice) = if path.join("metadata.npkm").exists() {
        ("a numpack store", "read it as a numpack store")
    } else {
        ("a folder, not a file", "name a file in it")
    };
    Error::unsupported(path, Part::File, None, what, advice)
}

fn container(head: &[u8], len: u64) -> Option<(&'static str, &'static str)> {
    let known: [(&[u8], &str); 6] = [
        (b"NPKG", "a numpack package"),
        (b"NPKB", "the metadata of a numpack store"),
        (b"GGUF", "a gguf file"),
        (b"\x89HDF\r\n\x1a\n", "an hdf5 file"),
        (b"\x93NUMPY", "a numpy array file"),
        (b"7z\xBC\xAF\x27\x1C", "a 7z archive"),
    ];
    if let Some((_, what)) = known.iter().find(|(magic, _)| head.starts_with(magic)) {
        return Some((what, "this reader takes pytorch checkpoints only"));
    }
    if head.len() > 8 && head[8] == b'{' {
        let header = u64::from(u32_at(head, 0)) | u64::from(u32_at(head, 4)) << 32;
        if header.checked_add(8).is_some_and(|n| n <= len) {
            return Some(("a safetensors file", "read it as safetensors"));
        }
    }
    let is_pickle = match head.first() {
        Some(0x80) => head.get(1).is_some_and(|v| (2..=5).contains(v)),
        _ => crate::pickle::looks_like_one(head),
    };
    is_pickle.then_some(("a plain pickle", "save the object with torch.save"))
}

/// The length that the local headers in sight ask for.
fn needed(head: &[u8], len: u64) -> u64 {
    let mut at = 0u64;
    while let Some(h) = usize::try_from(at).ok().and_then(|a| head.get(a..a.checked_add(30)?)) {
        if h[..4] != *b"PK\x03\x04" {
            break;
        }
        let header = 30 + u64::from(u16_at(h, 26)) + u64::from(u16_at(h, 28));
        at += header + u64::from(u32_at(h, 18));
    }
    at.max(len).saturating_add(22)
}

/// The error for a zip archive without `data.pkl`.
pub(super) fn not_a_checkpoint(archive: &Archive, path: &Path) -> Error {
    let has = |suffix: &str| archive.entries().any(|e| e.name.ends_with(suffix));
    let (what, advice) = if has("/archive_format") {
        ("a torch.export archive, where an archive of torch.save was expected", "")
    } else if has(".npy") {
        ("an npz archive of numpy arrays", "read it as npz")
    } else {
        ("a zip archive without a data.pkl: not a pytorch file", "")
    };
    Error::unsupported(path, Part::File, None, what, advice)
}
