//! Saying what a file is when it is no checkpoint in a zip archive.

use std::fs::File;
use std::path::Path;

use super::Archive;
use super::end::{u16_at, u32_at};
use crate::error::{Error, Part};
use crate::io::{buffer, read_exact_at};

/// The number every legacy file starts with, as LONG1 (protocols 2 and up) and as text.
const LEGACY_BINARY: [u8; 12] =
    [0x8A, 0x0A, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19];
const LEGACY_TEXT: &[u8] = b"L119547037146038801333356L\n";
/// How much of a file is looked at.
const HEAD: u64 = 64 * 1024;

/// The error for a file that has no end record.
pub(super) fn not_an_archive(file: &File, path: &Path, len: u64) -> Error {
    let mut head = match buffer(len.min(HEAD) as usize) {
        Ok(head) => head,
        Err(e) => return Error::io(path, "read", Some(0), e),
    };
    if let Err(e) = read_exact_at(file, &mut head, 0) {
        return Error::io(path, "read", Some(0), e);
    }
    if head.starts_with(b"PK\x03\x04") {
        return Error::Format {
            file: path.to_owned(),
            part: Part::File,
            offset: None,
            problem: format!(
                "truncated: {len} bytes, needs at least {}: the end record of the zip archive is missing",
                needed(&head, len)
            ),
            advice: "copy or download it again",
        };
    }
    match container(&head, len) {
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
    let (what, advice) = if path.join(".metadata").exists() {
        (
            "a distributed checkpoint folder",
            "merge it with torch.distributed.checkpoint.format_utils.dcp_to_torch_save",
        )
    } else if path.join("metadata.npkm").exists() {
        ("a numpack store", "read it as a numpack store")
    } else {
        ("a folder, not a file", "name a file in it")
    };
    Error::unsupported(path, Part::File, None, what, advice)
}

const SAVE_AGAIN: &str = "load it with torch and save it again, which writes the zip format";

fn container(head: &[u8], len: u64) -> Option<(&'static str, &'static str)> {
    let after_proto = if head.first() == Some(&0x80) { head.get(2..)? } else { head };
    // Protocols 4 and up put a frame around each pickle.
    let framed =
        if after_proto.first() == Some(&0x95) { after_proto.get(9..)? } else { after_proto };
    if framed.starts_with(&LEGACY_BINARY) || head.starts_with(LEGACY_TEXT) {
        return Some(("a legacy pytorch stream (before torch 1.6)", SAVE_AGAIN));
    }
    if head.get(257..262) == Some(b"ustar") {
        return Some(("a tar archive, as torch 0.1 wrote them", SAVE_AGAIN));
    }
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
    let (what, advice) = if has("models/model.json") || has("model_weights_config.json") {
        ("a torch.export archive", "save the module's state_dict() with torch.save")
    } else if has(".npy") {
        ("an npz archive of numpy arrays", "read it as npz")
    } else {
        ("a zip archive without a data.pkl: not a pytorch file", "")
    };
    Error::unsupported(path, Part::File, None, what, advice)
}
