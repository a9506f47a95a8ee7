//! Values that fit on a line: numbers, strings, small lists of them, dates, paths, …

use super::text::{
    push, push_byte_array, push_bytes, push_global, push_plain, push_str, push_surrogates,
};
use super::{numpy, text};
use crate::names::{push_big, push_float};
use crate::{
    EnumMember, Fraction, Kind, NamedTuple, Node, NodeId, Time, TimeDelta, TimeZone, Tree,
};

/// What is still to be written.
enum Todo<'t> {
    Node(NodeId),
    /// Items, from one of them on.
    Items(&'t [NodeId], usize),
    Text(&'static str),
}

/// The text of a value, or `None` where it takes more than a line. Strings of more than `most`
/// characters are cut.
///
/// Each turn appends something or ends a list, so that the length of the text bounds the work.
pub(super) fn short(tree: &Tree, id: NodeId, most: usize) -> Option<String> {
    let mut out = String::new();
    let mut todo = vec![Todo::Node(id)];
    while let Some(next) = todo.pop() {
        match next {
            Todo::Text(text) => out.push_str(text),
            Todo::Items(items, i) => {
                let Some(&item) = items.get(i) else { continue };
                if i > 0 {
                    out.push_str(", ");
                }
                todo.extend([Todo::Items(items, i + 1), Todo::Node(item)]);
            }
            Todo::Node(id) if !push_leaf(tree, id, most, &mut out) => {
                // Which lists are one and the same is seen only where each has a line.
                let is_top = out.is_empty();
                push_parts(tree, id, most, is_top, &mut out, &mut todo)?;
            }
            Todo::Node(_) => {}
        }
        // A string is cut by itself.
        if out.len() > most && !todo.is_empty() {
            return None;
        }
    }
    Some(out)
}

/// Appends what has no parts; false for all else.
pub(super) fn push_leaf(tree: &Tree, id: NodeId, most: usize, out: &mut String) -> bool {
    match tree.node(id) {
        Node::None => out.push_str("None"),
        Node::Bool(true) => out.push_str("True"),
        Node::Bool(false) => out.push_str("False"),
        Node::Int(n) => push(out, format_args!("{n}")),
        Node::BigInt(bytes) => push_big(bytes, out),
        Node::Float(f) => push_float(*f, out),
        Node::Str(text) => push_str(text, most, out),
        Node::SurrogateStr(bytes) => push_surrogates(bytes, most, out),
        Node::Bytes(bytes) => push_bytes(bytes, most, out),
        Node::ByteArray(bytes) => push_byte_array(bytes, most, out),
        Node::Global(global) => push_global(global, most, out),
        _ => return false,
    }
    true
}

fn push_parts<'t>(
    tree: &'t Tree,
    id: NodeId,
    most: usize,
    is_top: bool,
    out: &mut String,
    todo: &mut Vec<Todo<'t>>,
) -> Option<()> {
    let mut list = |out: &mut String, open: &str, items: &'t [NodeId], close: &'static str| {
        out.push_str(open);
        todo.extend([Todo::Text(close), Todo::Items(items, 0)]);
    };
    match tree.node(id) {
        Node::Tuple(items) => list(out, "(", items, if items.len() == 1 { ",)" } else { ")" }),
        Node::List(items) if is_top || items.is_empty() => list(out, "[", items, "]"),
        Node::Set(items) if items.is_empty() => out.push_str("set()"),
        Node::Set(items) if is_top => list(out, "{", items, "}"),
        Node::FrozenSet(items) if items.is_empty() => out.push_str("frozenset()"),
        Node::FrozenSet(items) => list(out, "frozenset({", items, "})"),
        Node::Dict(dict) if dict.items.is_empty() && dict.attributes.is_none() => {
            out.push_str(if dict.ordered { "OrderedDict()" } else { "{}" });
        }
        Node::Object(_) => return push_object(tree, id, most, out, todo),
        _ => return None,
    }
    Some(())
}

fn push_object<'t>(
    tree: &'t Tree,
    id: NodeId,
    most: usize,
    out: &mut String,
    todo: &mut Vec<Todo<'t>>,
) -> Option<()> {
    match tree.kind_of(id) {
        Kind::DateTime(moment) => {
            push(out, format_args!("datetime {moment}"));
            push_zone(tree, &moment.time, out);
        }
        Kind::Date(date) => push(out, format_args!("date {date}")),
        Kind::Time(time) => {
            push(out, format_args!("time {time}"));
            push_zone(tree, &time, out);
        }
        Kind::TimeDelta(delta) => push(out, format_args!("timedelta {delta}")),
        Kind::TimeZone(zone) => {
            out.push_str("timezone ");
            push_time_zone(&zone, most, out);
        }
        Kind::ZoneInfo(key) => {
            out.push_str("zoneinfo ");
            push_plain(key, most, out);
        }
        Kind::Decimal(text) => {
            out.push_str("Decimal(");
            push_str(text, most, out);
            out.push(')');
        }
        Kind::Fraction(Fraction::Text(text)) => {
            let (numerator, denominator) = text.split_once('/').unwrap_or((text, "1"));
            out.push_str("Fraction(");
            push_plain(numerator, most, out);
            out.push_str(", ");
            push_plain(denominator, most, out);
            out.push(')');
        }
        Kind::Fraction(Fraction::Parts(numerator, denominator)) => {
            out.push_str("Fraction(");
            push_leaf(tree, numerator, most, out);
            out.push_str(", ");
            push_leaf(tree, denominator, most, out);
            out.push(')');
        }
        Kind::Path(path) => {
            push(out, format_args!("{}(", path.class));
            push_str(&path.as_posix(), most, out);
            out.push(')');
        }
        Kind::Uuid(id) => {
            out.push_str("UUID('");
            for (i, b) in id.iter().enumerate() {
                let dash = if [4, 6, 8, 10].contains(&i) { "-" } else { "" };
                push(out, format_args!("{dash}{b:02x}"));
            }
            out.push_str("')");
        }
        Kind::Complex(re, im) => push_complex(re, im, out),
        Kind::Range([start, stop, step]) => {
            out.push_str("range(");
            push_leaf(tree, start, most, out);
            out.push_str(", ");
            push_leaf(tree, stop, most, out);
            if *tree.node(step) != Node::Int(1) {
                out.push_str(", ");
                push_leaf(tree, step, most, out);
            }
            out.push(')');
        }
        Kind::Slice([start, stop, step]) => {
            out.push_str("slice(");
            let (comma, end) = (Todo::Text(", "), Todo::Text(")"));
            let (stop, step) = (Todo::Node(stop), Todo::Node(step));
            todo.extend([end, step, Todo::Text(", "), stop, comma, Todo::Node(start)]);
        }
        Kind::Size(sizes) if sizes.len() <= most => {
            push(out, format_args!("torch.Size({sizes:?})"));
        }
        Kind::TorchDevice(device) => {
            let (kind, index) = match device.split_once(':') {
                Some((kind, index)) => (kind, Some(index)),
                None => (&*device, None),
            };
            out.push_str("device(type=");
            push_str(kind, most, out);
            if let Some(index) = index {
                out.push_str(", index=");
                push_plain(index, most, out);
            }
            out.push(')');
        }
        Kind::Layout(name) => {
            out.push_str("torch.");
            push_plain(name, most, out);
        }
        Kind::NumpyScalar(scalar) => return numpy::push_scalar(&scalar, most, out),
        Kind::NumpyDtype(dtype) => numpy::push_dtype(&dtype.name, out),
        Kind::Enum(EnumMember::Name(class, name)) => {
            push_global(class, most, out);
            out.push('.');
            push_plain(name, most, out);
        }
        Kind::Enum(EnumMember::Value(class, value)) => {
            push_global(class, most, out);
            out.push('(');
            todo.extend([Todo::Text(")"), Todo::Node(value)]);
        }
        Kind::NamedTuple(NamedTuple { class, values }) => {
            push_global(class, most, out);
            out.push('(');
            todo.extend([Todo::Text(")"), Todo::Items(values, 0)]);
        }
        _ => return None,
    }
    Some(())
}

/// Appends the time zone of a time, and whether its hour is the second one of its name.
fn push_zone(tree: &Tree, time: &Time, out: &mut String) {
    if let Some(tz) = time.tz {
        match tree.kind_of(tz) {
            Kind::TimeZone(zone) => out.push_str(&zone.offset.as_offset()),
            Kind::ZoneInfo(key) => {
                out.push(' ');
                push_plain(key, key.len(), out);
            }
            Kind::Unknown(Some(class)) => {
                out.push_str(" <");
                push_global(class, 80, out);
                out.push('>');
            }
            _ => out.push_str(" <another time zone>"),
        }
    }
    if time.fold {
        out.push_str(" fold=1");
    }
}

/// As Python's `str()`.
fn push_time_zone(zone: &TimeZone<'_>, most: usize, out: &mut String) {
    const ZERO: TimeDelta = TimeDelta { days: 0, seconds: 0, microseconds: 0 };
    match zone.name {
        Some(name) => text::push_plain(name, most, out),
        None if zone.offset == ZERO => out.push_str("UTC"),
        None => push(out, format_args!("UTC{}", zone.offset.as_offset())),
    }
}

/// A complex number: its parts without the `.0` that floats have alone.
fn push_complex(re: f64, im: f64, out: &mut String) {
    let part = |f: f64| {
        let mut text = String::new();
        push_float(f, &mut text);
        text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
    };
    out.push_str(&join_complex(re == 0.0 && re.is_sign_positive(), &part(re), &part(im)));
}

/// `(1+2j)`, or `2j` where the real part is a positive zero.
pub(super) fn join_complex(only_imaginary: bool, re: &str, im: &str) -> String {
    if only_imaginary {
        return format!("{im}j");
    }
    let plus = if im.starts_with('-') { "" } else { "+" };
    format!("({re}{plus}{im}j)")
}
