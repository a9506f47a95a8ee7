//! A tar archive, as torch 0.1 wrote them: each member is looked at.

use std::io;

use super::gather::Scanner;
use super::item::{Claim, Item, Packed};
use super::report::Level;

const BLOCK: u64 = 512;
/// Members that are looked at.
const MAX_MEMBERS: usize = 100_000;

/// Whether a file begins with the header of a member.
pub(super) fn is_tar(head: &[u8]) -> bool {
    head.len() >= BLOCK as usize
        && (head.get(257..262) == Some(b"ustar") || checksum(head) == number(&head[148..156]))
}

/// The sum that stands in a header, which old archives have instead of a signature.
fn checksum(header: &[u8]) -> Option<u64> {
    let sum = header[..BLOCK as usize].iter().enumerate().map(|(i, &b)| {
        // The sum itself counts as spaces.
        if (148..156).contains(&i) { 32 } else { u64::from(b) }
    });
    Some(sum.sum())
}

/// A number in octal digits, or in binary where the first bit is set.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        return field[1..].iter().try_fold(0u64, |n, &b| n.checked_mul(256)?.checked_add(b.into()));
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches(['\0', ' ']);
    u64::from_str_radix(text, 8).ok()
}

pub(super) fn look<'f>(scanner: &mut Scanner<'f>, item: &Item<'f>) -> io::Result<()> {
    scanner.refuse(|| "it is a tar archive".to_owned());
    let mut at = 0;
    for _ in 0..MAX_MEMBERS {
        let header = item.bytes.read(at, BLOCK as usize)?;
        if header.len() < BLOCK as usize || header.iter().all(|&b| b == 0) {
            return Ok(());
        }
        let Some(size) = number(&header[124..136]) else {
            let what = "a header without a size; what follows was not looked into";
            scanner.find(Level::NotLookedInto, &item.name, Some(at), what);
            return Ok(());
        };
        let end = header[..100].iter().position(|&b| b == 0).unwrap_or(100);
        let name = String::from_utf8_lossy(&header[..end]);
        let data = item.bytes.slice(at + BLOCK, size);
        // Links and folders have no content.
        if matches!(header[156], 0 | b'0' | b'7') && data.len() > 0 {
            let base = name.rsplit('/').next().unwrap_or(&name);
            let claim = match base {
                // The members of torch's own: pickles, with numbers between them.
                "pickle" | "storages" | "tensors" | "sys_info" => Claim::Pickle,
                _ if super::zip::is_pickle_name(&name) => Claim::Pickle,
                _ => Claim::Record,
            };
            scanner.push(item.part(data, &name, claim, Packed::No));
        }
        let Some(next) =
            size.div_ceil(BLOCK).checked_mul(BLOCK).and_then(|n| n.checked_add(at + BLOCK))
        else {
            return Ok(());
        };
        at = next;
    }
    let what = format!("more than {MAX_MEMBERS} members");
    scanner.find(Level::NotLookedInto, &item.name, Some(at), what);
    Ok(())
}
