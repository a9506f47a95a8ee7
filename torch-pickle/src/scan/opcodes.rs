//! The opcodes of a pickle, as far as a scan has to understand them.
//!
//! Other than the reader of checkpoints this takes whatever Python's unpicklers may take, so that
//! no pickle runs in Python that ends here: the text of a number is not looked at, codes of
//! copyreg's registry and out-of-band buffers are no faults, and neither is a frame that is too
//! long.

use std::io;

use super::source::Cursor;

/// An instruction and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Op {
    pub(super) at: u64,
    pub(super) code: u8,
    pub(super) arg: Arg,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Arg {
    None,
    /// A number: a memo index, a code, a protocol.
    Number(u64),
    /// A part of the pickle.
    Part(Part),
    /// Two lines: module and name.
    Lines(Part, Part),
}

/// A part of a pickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) at: u64,
    pub(super) len: u64,
}

/// Why there is no next instruction.
#[derive(Debug)]
pub(super) enum Stop {
    /// The pickle ends within an instruction, or between two.
    Truncated(&'static str),
    /// No opcode.
    Invalid(u8),
    /// A length below zero.
    Negative,
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(e: io::Error) -> Stop {
        Stop::Io(e)
    }
}

/// The kinds of argument.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bad,
    None,
    /// That many bytes of which only the length matters.
    Skip(u8),
    /// An unsigned number of that many bytes.
    Number(u8),
    /// A length of that many bytes, and as many bytes; a length of four may be signed.
    Counted(u8),
    Signed,
    Line,
    /// A line with a memo index.
    Index,
    Lines,
}

const KINDS: [(Kind, &str); 256] = {
    let mut table = [(Kind::Bad, ""); 256];
    let known: [(u8, Kind, &str); 68] = [
        (b'(', Kind::None, "MARK"),
        (b'.', Kind::None, "STOP"),
        (b'0', Kind::None, "POP"),
        (b'1', Kind::None, "POP_MARK"),
        (b'2', Kind::None, "DUP"),
        (b'F', Kind::Line, "FLOAT"),
        (b'I', Kind::Line, "INT"),
        (b'J', Kind::Skip(4), "BININT"),
        (b'K', Kind::Skip(1), "BININT1"),
        (b'L', Kind::Line, "LONG"),
        (b'M', Kind::Skip(2), "BININT2"),
        (b'N', Kind::None, "NONE"),
        (b'P', Kind::Line, "PERSID"),
        (b'Q', Kind::None, "BINPERSID"),
        (b'R', Kind::None, "REDUCE"),
        (b'S', Kind::Line, "STRING"),
        (b'T', Kind::Signed, "BINSTRING"),
        (b'U', Kind::Counted(1), "SHORT_BINSTRING"),
        (b'V', Kind::Line, "UNICODE"),
        (b'X', Kind::Counted(4), "BINUNICODE"),
        (b'a', Kind::None, "APPEND"),
        (b'b', Kind::None, "BUILD"),
        (b'c', Kind::Lines, "GLOBAL"),
        (b'd', Kind::None, "DICT"),
        (b'}', Kind::None, "EMPTY_DICT"),
        (b'e', Kind::None, "APPENDS"),
        (b'g', Kind::Index, "GET"),
        (b'h', Kind::Number(1), "BINGET"),
        (b'i', Kind::Lines, "INST"),
        (b'j', Kind::Number(4), "LONG_BINGET"),
        (b'l', Kind::None, "LIST"),
        (b']', Kind::None, "EMPTY_LIST"),
        (b'o', Kind::None, "OBJ"),
        (b'p', Kind::Index, "PUT"),
        (b'q', Kind::Number(1), "BINPUT"),
        (b'r', Kind::Number(4), "LONG_BINPUT"),
        (b's', Kind::None, "SETITEM"),
        (b't', Kind::None, "TUPLE"),
        (b')', Kind::None, "EMPTY_TUPLE"),
        (b'u', Kind::None, "SETITEMS"),
        (b'G', Kind::Skip(8), "BINFLOAT"),
        (0x80, Kind::Number(1), "PROTO"),
        (0x81, Kind::None, "NEWOBJ"),
        (0x82, Kind::Number(1), "EXT1"),
        (0x83, Kind::Number(2), "EXT2"),
        (0x84, Kind::Number(4), "EXT4"),
        (0x85, Kind::None, "TUPLE1"),
        (0x86, Kind::None, "TUPLE2"),
        (0x87, Kind::None, "TUPLE3"),
        (0x88, Kind::None, "NEWTRUE"),
        (0x89, Kind::None, "NEWFALSE"),
        (0x8A, Kind::Counted(1), "LONG1"),
        (0x8B, Kind::Signed, "LONG4"),
        (b'B', Kind::Counted(4), "BINBYTES"),
        (b'C', Kind::Counted(1), "SHORT_BINBYTES"),
        (0x8C, Kind::Counted(1), "SHORT_BINUNICODE"),
        (0x8D, Kind::Counted(8), "BINUNICODE8"),
        (0x8E, Kind::Counted(8), "BINBYTES8"),
        (0x8F, Kind::None, "EMPTY_SET"),
        (0x90, Kind::None, "ADDITEMS"),
        (0x91, Kind::None, "FROZENSET"),
        (0x92, Kind::None, "NEWOBJ_EX"),
        (0x93, Kind::None, "STACK_GLOBAL"),
        (0x94, Kind::None, "MEMOIZE"),
        (0x95, Kind::Skip(8), "FRAME"),
        (0x96, Kind::Counted(8), "BYTEARRAY8"),
        (0x97, Kind::None, "NEXT_BUFFER"),
        (0x98, Kind::None, "READONLY_BUFFER"),
    ];
    let mut i = 0;
    while i < known.len() {
        table[known[i].0 as usize] = (known[i].1, known[i].2);
        i += 1;
    }
    table
};

/// The name of an opcode; empty for a byte that is none.
pub(super) fn name(code: u8) -> &'static str {
    KINDS[usize::from(code)].1
}

/// Whether a byte is an opcode.
pub(super) fn is_opcode(code: u8) -> bool {
    KINDS[usize::from(code)].0 != Kind::Bad
}

/// Whether bytes that begin so may go on as a pickle that names something. `whole` says that there
/// are no others. Most texts have a byte that is no opcode soon.
pub(super) fn may_name(head: &[u8], whole: bool) -> bool {
    let (mut at, mut named) = (0, false);
    let number = |at: usize, n: u8| {
        let bytes = head.get(at..at + usize::from(n))?;
        Some(bytes.iter().rev().fold(0usize, |v, &b| v.saturating_mul(256) + usize::from(b)))
    };
    let line = |at: usize| head.get(at..)?.iter().position(|&b| b == b'\n').map(|n| at + n + 1);
    loop {
        let Some(&code) = head.get(at) else { return named || !whole };
        at += 1;
        let next = match KINDS[usize::from(code)].0 {
            Kind::Bad => return named,
            Kind::None if code == b'.' => return named,
            Kind::None => Some(at),
            Kind::Skip(n) | Kind::Number(n) => Some(at + usize::from(n)),
            Kind::Counted(n) => number(at, n).map(|len| len.saturating_add(at + usize::from(n))),
            Kind::Signed => number(at, 4).map(|len| len.saturating_add(at + 4)),
            Kind::Line | Kind::Index => line(at),
            Kind::Lines => line(at).and_then(line),
        };
        named |= matches!(code, b'c' | b'i' | 0x93 | 0x82..=0x84);
        match next {
            Some(next) => at = next,
            // Even a name without an end is read.
            None => return named || !whole,
        }
    }
}

/// Reads the next instruction.
#[inline]
pub(super) fn next(cursor: &mut Cursor<'_>) -> Result<Op, Stop> {
    let at = cursor.at();
    let Some(code) = cursor.byte()? else { return Err(Stop::Truncated("ends without STOP")) };
    let arg = match KINDS[usize::from(code)].0 {
        Kind::Bad => return Err(Stop::Invalid(code)),
        Kind::None => Arg::None,
        Kind::Skip(n) => {
            skip(cursor, n.into())?;
            Arg::None
        }
        Kind::Number(n) => Arg::Number(number(cursor, n)?),
        Kind::Counted(n) => {
            let len = number(cursor, n)?;
            counted(cursor, len)?
        }
        Kind::Signed => {
            let len = number(cursor, 4)?;
            if len > i32::MAX as u64 {
                return Err(Stop::Negative);
            }
            counted(cursor, len)?
        }
        Kind::Line => Arg::Part(line(cursor)?),
        Kind::Index => {
            let part = line(cursor)?;
            let mut room = [0; 40];
            Arg::Number(index(cursor.look(part.at, part.len, &mut room)?))
        }
        Kind::Lines => Arg::Lines(line(cursor)?, line(cursor)?),
    };
    Ok(Op { at, code, arg })
}

/// A memo index as Python reads decimal text; one that nothing has where it is no number.
fn index(text: &[u8]) -> u64 {
    let digits: String =
        text.trim_ascii().iter().filter(|&&b| b != b'_' && b != b'+').map(|&b| b as char).collect();
    digits.parse().unwrap_or(u64::MAX)
}

fn skip(cursor: &mut Cursor<'_>, n: u64) -> Result<(), Stop> {
    if cursor.left() < n {
        return Err(Stop::Truncated("ends within an argument"));
    }
    cursor.go_to(cursor.at() + n);
    Ok(())
}

fn number(cursor: &mut Cursor<'_>, n: u8) -> Result<u64, Stop> {
    let value = match n {
        1 => cursor.byte()?.map(u64::from),
        2 => cursor.array()?.map(|b| u16::from_le_bytes(b).into()),
        4 => cursor.array()?.map(|b| u32::from_le_bytes(b).into()),
        _ => cursor.array()?.map(u64::from_le_bytes),
    };
    value.ok_or(Stop::Truncated("ends within an argument"))
}

fn counted(cursor: &mut Cursor<'_>, len: u64) -> Result<Arg, Stop> {
    let at = cursor.at();
    skip(cursor, len)?;
    Ok(Arg::Part(Part { at, len }))
}

fn line(cursor: &mut Cursor<'_>) -> Result<Part, Stop> {
    let at = cursor.at();
    match cursor.line()? {
        Some(len) => Ok(Part { at, len }),
        // Python takes what is left for the line.
        None if cursor.at() > at => Ok(Part { at, len: cursor.at() - at }),
        None => Err(Stop::Truncated("ends within an argument")),
    }
}
