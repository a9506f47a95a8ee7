//! Values as Python writes them, cut where they are long and safe on any terminal.

use std::fmt::Write;

use crate::Global;

/// Appends a string in quotes, at most so many characters of it.
pub(super) fn push_str(text: &str, most: usize, out: &mut String) {
    push_quoted(text.chars().map(u32::from), most, out);
}

/// Appends a string with lone surrogates, which are encoded as UTF-8 would.
pub(super) fn push_surrogates(bytes: &[u8], most: usize, out: &mut String) {
    push_quoted(CodePoints(bytes), most, out);
}

/// Appends `b'…'`.
pub(super) fn push_bytes(bytes: &[u8], most: usize, out: &mut String) {
    push_escaped(bytes, most, false, out);
}

/// Appends `bytearray(b'…')`, in which Python escapes a single quote between double ones too.
pub(super) fn push_byte_array(bytes: &[u8], most: usize, out: &mut String) {
    out.push_str("bytearray(");
    push_escaped(bytes, most, true, out);
    out.push(')');
}

fn push_escaped(bytes: &[u8], most: usize, single: bool, out: &mut String) {
    let shown = &bytes[..bytes.len().min(most)];
    let quote = if shown.contains(&b'\'') && !shown.contains(&b'"') { '"' } else { '\'' };
    out.extend(['b', quote]);
    for &b in shown {
        match b {
            b'\'' if single => out.push_str("\\'"),
            b' '..=b'~' if char::from(b) != quote && b != b'\\' => out.push(char::from(b)),
            _ => push_escape(b.into(), quote, 'x', out),
        }
    }
    out.push(quote);
    if shown.len() < bytes.len() {
        push(out, format_args!("… {} bytes", bytes.len()));
    }
}

/// Appends a name as it is, but for what a terminal could take for more than a character.
pub(super) fn push_plain(text: &str, most: usize, out: &mut String) {
    for (i, c) in text.chars().enumerate() {
        if i == most {
            out.push('…');
            break;
        }
        match is_printable(c) {
            true => out.push(c),
            false => push_escape(c.into(), '\0', 'u', out),
        }
    }
}

/// Appends the name of a class or function, by Python 3's names for Python 2's.
pub(super) fn push_global(global: &Global, most: usize, out: &mut String) {
    let name = match (&*global.module, &*global.name) {
        ("builtins", "long") => "int",
        ("builtins", "unicode") => "str",
        ("builtins", "xrange") => "range",
        (_, name) => name,
    };
    push_plain(&global.module, most, out);
    out.push('.');
    push_plain(name, most, out);
}

pub(super) fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
}

fn push_quoted(text: impl Iterator<Item = u32> + Clone, most: usize, out: &mut String) {
    let has = |c: char| text.clone().take(most).any(|t| t == u32::from(c));
    let quote = if has('\'') && !has('"') { '"' } else { '\'' };
    out.push(quote);
    let mut rest = text;
    for code in rest.by_ref().take(most) {
        match char::from_u32(code) {
            Some(c) if c != quote && c != '\\' && is_printable(c) => out.push(c),
            _ => push_escape(code, quote, 'x', out),
        }
    }
    out.push(quote);
    if rest.next().is_some() {
        out.push('…');
    }
}

fn push_escape(code: u32, quote: char, shortest: char, out: &mut String) {
    match char::from_u32(code) {
        Some(c) if c == quote || (c == '\\' && quote != '\0') => out.extend(['\\', c]),
        Some('\n') => out.push_str("\\n"),
        Some('\r') => out.push_str("\\r"),
        Some('\t') => out.push_str("\\t"),
        _ if code < 0x100 && shortest == 'x' => push(out, format_args!("\\x{code:02x}")),
        _ if code < 0x10000 => push(out, format_args!("\\u{code:04x}")),
        _ => push(out, format_args!("\\U{code:08x}")),
    }
}

/// Whether Python would print it as it is. Neither what controls a terminal nor what turns the
/// direction of writing is.
pub(super) fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    // Within a text, unlike alone, a mark that joins the character before it is left as it is.
    let mut pair = [b'a'; 5];
    let len = 1 + c.encode_utf8(&mut pair[1..]).len();
    let text = std::str::from_utf8(&pair[..len]).unwrap_or_default();
    text.escape_debug().nth(1) == Some(c)
}

/// The code points of UTF-8 that encodes surrogates too.
#[derive(Clone)]
struct CodePoints<'t>(&'t [u8]);

impl Iterator for CodePoints<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (&first, _) = self.0.split_first()?;
        let (len, mut code) = match first {
            0xF0.. => (4, u32::from(first & 0x07)),
            0xE0.. => (3, u32::from(first & 0x0F)),
            0xC0.. => (2, u32::from(first & 0x1F)),
            _ => (1, u32::from(first)),
        };
        let (this, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        for &b in &this[1..] {
            code = code << 6 | u32::from(b & 0x3F);
        }
        Some(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quoted(text: &str) -> String {
        let mut out = String::new();
        push_str(text, 20, &mut out);
        out
    }

    #[test]
    fn strings_are_written_as_in_python() {
        assert_eq!(quoted("a"), "'a'");
        assert_eq!(quoted("it's"), "\"it's\"");
        assert_eq!(quoted("it's \"x\""), "'it\\'s \"x\"'");
        assert_eq!(quoted("\0\x1b[31m\x7f\u{85}\\\n"), "'\\x00\\x1b[31m\\x7f\\x85\\\\\\n'");
        assert_eq!(quoted("é名😀e\u{301}"), "'é名😀e\u{301}'");
        assert_eq!(quoted("\u{202e}\u{2028}\u{a0}\u{e0001}"), "'\\u202e\\u2028\\xa0\\U000e0001'");
        assert_eq!(quoted(&"x".repeat(21)), format!("'{}'…", "x".repeat(20)));
        let mut out = String::new();
        push_surrogates(b"a\xED\xA0\x80\xC3\xA9", 20, &mut out);
        assert_eq!(out, "'a\\ud800é'");
        out.clear();
        push_bytes(b"a'\x7f\x80\n", 20, &mut out);
        assert_eq!(out, "b\"a'\\x7f\\x80\\n\"");
        out.clear();
        push_byte_array(b"a'", 20, &mut out);
        assert_eq!(out, "bytearray(b\"a\\'\")");
        out.clear();
        push_plain("a\\b\u{1b}", 20, &mut out);
        assert_eq!(out, "a\\b\\u001b");
    }
}
