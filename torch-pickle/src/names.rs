//! The text of a dictionary key in a path.

use std::fmt::Write;

use crate::pickle::negate;
use crate::{Node, NodeId, Tree};

/// Longest text of a key that is no plain string; what is beyond is cut.
const LONGEST: usize = 1024;
/// Longest integer written in decimal.
const MAX_DECIMAL_BYTES: usize = 512;

/// Appends a key as it stands in a path: a string as it is, anything else as Python's `str()`.
pub(crate) fn push_key(tree: &Tree, id: NodeId, out: &mut String) {
    match tree.node(id) {
        Node::Str(text) => out.push_str(text),
        Node::SurrogateStr(bytes) => out.push_str(&String::from_utf8_lossy(bytes)),
        _ => push_repr(tree, id, out),
    }
}

/// What is still to be written.
enum Todo {
    Node(NodeId),
    Text(&'static str),
}

/// Appends Python's `repr()`, with a list of what is left to do instead of recursion.
fn push_repr(tree: &Tree, id: NodeId, out: &mut String) {
    let end = out.len() + LONGEST;
    let mut todo = vec![Todo::Node(id)];
    while let Some(next) = todo.pop() {
        if out.len() > end {
            out.push('…');
            return;
        }
        let id = match next {
            Todo::Text(text) => {
                out.push_str(text);
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
            Node::Str(text) => push_quoted(text.chars(), out),
            Node::SurrogateStr(bytes) => push_quoted(String::from_utf8_lossy(bytes).chars(), out),
            Node::Bytes(bytes) => {
                out.push('b');
                let escaped = bytes.iter().take(LONGEST).map(|&b| char::from(b));
                push_quoted(escaped, out);
            }
            Node::Tuple(items) => {
                todo.push(Todo::Text(if items.len() == 1 { ",)" } else { ")" }));
                push_items(items, &mut todo);
                out.push('(');
            }
            Node::FrozenSet(items) if items.is_empty() => out.push_str("frozenset()"),
            Node::FrozenSet(items) => {
                todo.push(Todo::Text("})"));
                push_items(items, &mut todo);
                out.push_str("frozenset({");
            }
            Node::Global(global) => push_display(out, global),
            _ => {
                let _ = write!(out, "<object {}>", id.0);
            }
        }
    }
}

fn push_items(items: &[NodeId], todo: &mut Vec<Todo>) {
    // More than this cannot be shown anyway.
    for (i, &item) in items.iter().take(LONGEST).enumerate().rev() {
        todo.push(Todo::Node(item));
        if i > 0 {
            todo.push(Todo::Text(", "));
        }
    }
}

fn push_display(out: &mut String, value: &dyn std::fmt::Display) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{value}");
}

fn push_quoted(text: impl Iterator<Item = char> + Clone, out: &mut String) {
    let text = text.take(LONGEST);
    let has = |c: char| text.clone().any(|t| t == c);
    let quote = if has('\'') && !has('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.clone() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => out.extend(['\\', c]),
            c if c.is_control() || ('\u{80}'..='\u{ff}').contains(&c) => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push(quote);
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
    let text = format!("{f:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let _ = write!(out, "{f:?}");
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
}

/// An integer beyond 64 bits: decimal, or hexadecimal where that would take long.
fn push_big(bytes: &[u8], out: &mut String) {
    let mut magnitude = bytes.to_vec();
    if bytes.last().is_some_and(|&b| b & 0x80 != 0) {
        out.push('-');
        negate(&mut magnitude);
    }
    if magnitude.len() > MAX_DECIMAL_BYTES {
        out.push_str("0x");
        let top = magnitude.iter().rev().skip_while(|b| **b == 0).take(LONGEST / 2);
        top.for_each(|b| push_display(out, &format_args!("{b:02x}")));
        return;
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
