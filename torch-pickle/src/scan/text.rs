//! The text of a constant, read again from where its instruction stands.

use std::io;

use super::opcodes::{self, Arg};
use super::source::{Bytes, Cursor};
use crate::pickle::text::{quoted, raw_unicode_escape};

/// The text of the instruction at `at`; `None` where it is longer than `most`, or no text.
pub(super) fn of_instruction(
    bytes: &Bytes<'_>,
    at: u64,
    most: usize,
) -> io::Result<Option<String>> {
    // The longest form of a character is an escape of ten bytes.
    let Some(raw) = raw(bytes, at, most * 10)? else { return Ok(None) };
    Ok((raw.len() <= most).then(|| String::from_utf8_lossy(&raw).into_owned()))
}

/// The bytes of the text, once its escapes are undone; `None` where there are more than `most`
/// before that.
pub(super) fn raw(bytes: &Bytes<'_>, at: u64, most: usize) -> io::Result<Option<Vec<u8>>> {
    // A short instruction takes a short read.
    let mut cursor = Cursor::new(bytes.slice(at, 256));
    let mut op = opcodes::next(&mut cursor);
    if op.is_err() || cursor.at() == 256 {
        cursor = Cursor::new(bytes.after(at));
        op = opcodes::next(&mut cursor);
    }
    let Ok(op) = op else { return Ok(None) };
    let Arg::Part(part) = op.arg else { return Ok(None) };
    if part.len > most as u64 {
        return Ok(None);
    }
    let text = cursor.bytes().read(part.at, part.len as usize)?;
    Ok(match op.code {
        b'S' => quoted(&text),
        b'V' => raw_unicode_escape(&text),
        _ => Some(text),
    })
}
