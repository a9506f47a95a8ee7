//! The text of a dictionary key in a path.

use std::fmt::Write;

use crate::pickle::negate;
use crate::{Node, NodeId, Tree};

/// Longest text of a key that is no plain string; what is beyond is cut.
const LONGEST: usize = 1024;
/// Longest integer written in decimal; of a longer one the first bytes are.
pub(crate) const MAX_DECIMAL_BYTES: usize = 32;
const FIRST_BYTES: usize = 16;
/// How far down a negative integer is looked through for the carry of its first bytes, which only
/// a power of two has.
const CARRY_BYTES: usize = 4096;

/// Appends a key as it stands in a path: a string as it is, anything else as Python's `str()`.
pub(crate) fn push_key(tree: &Tree, id: NodeId, out: &mut String) {
    match tree.node(id) {
        Node::Str(text) => out.push_str(text),
        Node::SurrogateStr(bytes) => out.push_str(&String::from_utf8_lossy(bytes)),
        _ => push_repr(tree, id, out),
    }
}

/// What is still to be written.
enum Todo<'t> {
    Node(NodeId),
    /// Items, from one of them on.
    Items(&'t [NodeId], usize),
    Text(&'static str),
}

/// Appends Python's `repr()`, with a list of what is left to do instead of recursion. Each turn
/// appends something, so that the length of the text bounds the work.
fn push_repr(tree: &Tree, id: NodeId, out: &mut String) {
    let start = out.len();
    let mut todo = vec![Todo::Node(id)];
    while let Some(next) = todo.pop() {
        if out.len() > start + LONGEST {
            let end = (start..=start + LONGEST).rev().find(|&i| out.is_char_boundary(i));
            out.truncate(end.unwrap_or(start));
            out.push('…');
            return;
        }
        let id = match next {
            Todo::Text(text) => {
                out.push_str(text);
                continue;
            }
            Todo::Items(items, i) => {
                let Some(&item) = items.get(i) else { continue };
                if i > 0 {
                    out.push_str(", ");
                }
                todo.extend([Todo::Items(items, i + 1), Todo::Node(item)]);
                continue;
            }
            Todo::Node(id) => id,
        };
        match tree.node(id) {
            Node::None => out.push_str("None"),
            Node::Bool(true) => out.push_str("True"),
            Node::Bool(false) => out.push_str("False"),
            Node::Int(n) => push_display(out, n),
            Node::BigInt(bytes) => push_big(bytes, out),
            Node::Float(f) => push_float(*f, out),
            Node::Str(text) => push_quoted(text.chars().map(u32::from), is_printable, out),
            Node::SurrogateStr(bytes) => {
                // A character has four bytes at the most.
                let points = code_points(&bytes[..bytes.len().min(4 * LONGEST)]);
                push_quoted(points.into_iter(), is_printable, out);
            }
            Node::Bytes(bytes) => {
                out.push('b');
                let bytes = bytes.iter().take(LONGEST).map(|&b| u32::from(b));
                push_quoted(bytes, |c| c.is_ascii() && !c.is_control(), out);
            }
            Node::Tuple(items) => {
                todo.push(Todo::Text(if items.len() == 1 { ",)" } else { ")" }));
                todo.push(Todo::Items(items, 0));
                out.push('(');
            }
            Node::FrozenSet(items) if items.is_empty() => out.push_str("frozenset()"),
            Node::FrozenSet(items) => {
                todo.push(Todo::Text("})"));
                todo.push(Todo::Items(items, 0));
                out.push_str("frozenset({");
            }
            Node::Global(global) => {
                out.extend(global.module.chars().take(LONGEST));
                out.push('.');
                out.extend(global.name.chars().take(LONGEST));
            }
            _ => {
                let _ = write!(out, "<object {}>", id.place());
            }
        }
    }
}

fn push_display(out: &mut String, value: &dyn std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{value}");
}

fn push_quoted(
    text: impl Iterator<Item = u32> + Clone,
    is_shown: impl Fn(char) -> bool,
    out: &mut String,
) {
    let text = text.take(LONGEST);
    let has = |c: char| text.clone().any(|t| t == u32::from(c));
    let quote = if has('\'') && !has('"') { '"' } else { '\'' };
    out.push(quote);
    for n in text.clone() {
        match char::from_u32(n) {
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some(c) if c == quote => out.extend(['\\', c]),
            Some(c) if is_shown(c) => out.push(c),
            _ => {
                let _ = match n {
                    0..0x100 => write!(out, "\\x{n:02x}"),
                    0x100..0x1_0000 => write!(out, "\\u{n:04x}"),
                    _ => write!(out, "\\U{n:08x}"),
                };
            }
        }
    }
    out.push(quote);
}

/// The code points of UTF-8 in which lone surrogates stand too, as three bytes each.
fn code_points(bytes: &[u8]) -> Vec<u32> {
    let mut points = Vec::new();
    for &byte in bytes {
        match (byte, points.last_mut()) {
            (0x80..0xC0, Some(last)) => *last = *last << 6 | u32::from(byte & 0x3F),
            (0xF0.., _) => points.push(u32::from(byte & 0x07)),
            (0xE0.., _) => points.push(u32::from(byte & 0x0F)),
            (0xC0.., _) => points.push(u32::from(byte & 0x1F)),
            _ => points.push(byte.into()),
        }
    }
    points
}

/// Whether Python's `repr()` shows a character as it is.
fn is_printable(c: char) -> bool {
    // Rust's own table, which takes a character that joins the one before it for printable only
    // where there is one.
    let mut bytes = [b'a', 0, 0, 0, 0];
    let len = 1 + c.encode_utf8(&mut bytes[1..]).len();
    let text = std::str::from_utf8(&bytes[..len]).unwrap_or_default();
    c == ' ' || c == '\'' || c == '"' || text.escape_debug().eq(text.chars())
}

/// A float as Python writes it: the shortest digits that give it back, with an exponent below 1e-4
/// and from 1e16 on.
pub(crate) fn push_float(f: f64, out: &mut String) {
    if f.is_nan() {
        out.push_str("nan");
        return;
    }
    if f.is_infinite() {
        out.push_str(if f > 0.0 { "inf" } else { "-inf" });
        return;
    }
    let shortest = format!("{f:e}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // Where two shortest ones are equally near, Python takes the even one.
    let decimals = digits.trim_start_matches('-').len().saturating_sub(2);
    let is_same = |text: &String| text.parse() == Ok(f);
    if (-4..16).contains(&exponent) {
        let decimals = i32::try_from(decimals).unwrap_or(0) - exponent;
        let even = usize::try_from(decimals).ok().filter(|&n| n > 0).map(|n| format!("{f:.n$}"));
        out.push_str(&even.filter(is_same).unwrap_or_else(|| format!("{f:?}")));
    } else {
        push_scientific(&Some(format!("{f:.decimals$e}")).filter(is_same).unwrap_or(shortest), out);
    }
}

/// A float with an exponent, as Python has it: `1e+16`, `1e-05`.
pub(crate) fn push_scientific(text: &str, out: &mut String) {
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    let _ = write!(out, "{digits}e{sign}{:02}", exponent.unsigned_abs());
}

/// An integer beyond 64 bits: decimal, or the first digits in hexadecimal where that would take
/// long.
pub(crate) fn push_big(bytes: &[u8], out: &mut String) {
    let negative = bytes.last().is_some_and(|&b| b & 0x80 != 0);
    let sign = if negative { "-" } else { "" };
    if bytes.len() > MAX_DECIMAL_BYTES {
        let (rest, first) = bytes.split_at(bytes.len() - FIRST_BYTES);
        let mut first: [u8; FIRST_BYTES] = first.try_into().unwrap_or_default();
        if negative {
            let carries = rest.iter().rev().take(CARRY_BYTES).all(|&b| b == 0);
            first = (!u128::from_le_bytes(first)).wrapping_add(carries.into()).to_le_bytes();
        }
        push_display(out, &format_args!("int({sign}0x{:x}…)", u128::from_le_bytes(first)));
        return;
    }
    out.push_str(sign);
    let mut magnitude = bytes.to_vec();
    if negative {
        negate(&mut magnitude);
    }
    let mut digits = Vec::new();
    while magnitude.iter().any(|&b| b != 0) {
        let mut rest = 0u32;
        for b in magnitude.iter_mut().rev() {
            let value = rest << 8 | u32::from(*b);
            *b = (value / 10) as u8;
            rest = value % 10;
        }
        digits.push(b'0' + rest as u8);
    }
    out.extend(digits.iter().rev().map(|&d| char::from(d)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(node: Node) -> String {
        let mut tree = Tree::new();
        let id = tree.add(node);
        let mut out = String::new();
        push_key(&tree, id, &mut out);
        out
    }

    #[test]
    fn keys_read_as_in_python() {
        for (f, expected) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1_288_838_149_247_975.0 + 0.25, "1288838149247975.2"),
            (-1_799_560_295_110_669.0 - 0.25, "-1799560295110669.2"),
            (0.3, "0.3"),
            (123.0, "123.0"),
            (5e-324, "5e-324"),
            (1.7976931348623157e308, "1.7976931348623157e+308"),
            (2f64.powi(-1074 + 52), "2.2250738585072014e-308"),
            (9007199254740993.0, "9007199254740992.0"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(text(Node::Float(f)), expected);
        }
        assert_eq!(text(Node::Bytes((*b"a'\x00\xff").into())), r#"b"a'\x00\xff""#);
        assert_eq!(text(Node::BigInt([0, 0, 0, 0, 0, 0, 0, 0, 1].into())), "18446744073709551616");
        assert_eq!(
            text(Node::BigInt([0, 0, 0, 0, 0, 0, 0, 0, 0xFF].into())),
            "-18446744073709551616"
        );
        let long = |first: u8| Node::BigInt([&[0; 40][..], &[0, first]].concat().into());
        assert_eq!(text(long(1)), "int(0x1000000000000000000000000000000…)");
        assert_eq!(text(long(0xFF)), "int(-0x1000000000000000000000000000000…)");
        let mut tree = Tree::new();
        let one = tree.add(Node::Int(1));
        let a = tree.add(Node::Str("a".into()));
        let single = tree.add(Node::Tuple(vec![a]));
        let pair = tree.add(Node::Tuple(vec![one, single]));
        let mut out = String::new();
        push_key(&tree, pair, &mut out);
        assert_eq!(out, "(1, ('a',))");
    }
}
