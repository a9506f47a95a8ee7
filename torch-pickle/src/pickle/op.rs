//! The opcodes of pickle protocols 0 to 5, as values.
//!
//! A length is compared with the bytes that are left before anything is done with it, and nothing
//! is allocated here: arguments are slices of the pickle.

use crate::error::{Fault, FaultKind};

/// One instruction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Op<'a> {
    Proto,
    Frame,
    Stop,
    Mark,
    Pop,
    PopMark,
    Dup,
    None,
    Bool(bool),
    Int(i64),
    /// Two's complement, little-endian.
    Long(&'a [u8]),
    /// Decimal text.
    LongText(&'a [u8]),
    Float(f64),
    /// Bytes of a Python 2 string.
    String(&'a [u8]),
    /// The same as a quoted literal.
    StringText(&'a [u8]),
    /// UTF-8 with surrogates.
    Unicode(&'a [u8]),
    /// `raw-unicode-escape` text.
    UnicodeText(&'a [u8]),
    Bytes(&'a [u8]),
    ByteArray(&'a [u8]),
    Global(&'a [u8], &'a [u8]),
    StackGlobal,
    Inst(&'a [u8], &'a [u8]),
    Obj,
    NewObj,
    NewObjEx,
    Reduce,
    Build,
    EmptyTuple,
    Tuple,
    /// A tuple of that many items off the stack.
    TupleN(usize),
    EmptyList,
    List,
    EmptyDict,
    Dict,
    EmptySet,
    FrozenSet,
    Append,
    Appends,
    SetItem,
    SetItems,
    AddItems,
    Get(u64),
    Put(u64),
    Memoize,
    PersistentId(&'a [u8]),
    BinPersistentId,
}

/// A pickle and a place in it.
#[derive(Clone, Debug)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// Bytes read so far.
    #[inline]
    pub(super) fn at(&self) -> u64 {
        self.at as u64
    }

    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    #[cold]
    fn ends(&self, what: &str, need: u64) -> Fault {
        let at = self.at as u64;
        let problem = format!("truncated: {what} needs {need} bytes, and {} are left", self.left());
        Fault::new(at, FaultKind::Truncated(problem, at.saturating_add(need)))
    }

    #[inline]
    fn take(&mut self, n: usize) -> Result<&'a [u8], Fault> {
        match self.bytes.get(self.at..self.at.saturating_add(n)) {
            Some(taken) => {
                self.at += n;
                Ok(taken)
            }
            None => Err(self.ends("an argument", n as u64)),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    #[inline]
    fn counted(&mut self, n: u64) -> Result<&'a [u8], Fault> {
        match usize::try_from(n) {
            Ok(n) => self.take(n),
            Err(_) => Err(self.ends("an argument", n)),
        }
    }

    fn line(&mut self) -> Result<&'a [u8], Fault> {
        let rest = &self.bytes[self.at..];
        match rest.iter().position(|&b| b == b'\n') {
            Some(n) => {
                self.at += n + 1;
                Ok(&rest[..n])
            }
            None => Err(self.ends("a line", rest.len() as u64 + 1)),
        }
    }

    fn u8(&mut self) -> Result<u64, Fault> {
        Ok(self.array::<1>()?[0].into())
    }

    fn u32(&mut self) -> Result<u64, Fault> {
        Ok(u32::from_le_bytes(self.array()?).into())
    }

    fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// What is left.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Goes over bytes that were looked at in `rest`.
    pub(super) fn skip(&mut self, n: usize) {
        self.at += n.min(self.left());
    }

    /// The next instruction.
    pub(super) fn next(&mut self) -> Result<Op<'a>, Fault> {
        let start = self.at as u64;
        let Some(&code) = self.bytes.get(self.at) else {
            return Err(self.no_stop());
        };
        self.at += 1;
        self.decode(start, code)
    }

    #[cold]
    fn no_stop(&self) -> Fault {
        let at = self.at as u64;
        let problem = "truncated: the pickle ends without a STOP opcode";
        Fault::new(at, FaultKind::Truncated(problem.into(), at + 1))
    }

    #[inline]
    fn decode(&mut self, start: u64, code: u8) -> Result<Op<'a>, Fault> {
        Ok(match code {
            // Ordered by how often torch writes them.
            b'q' => Op::Put(self.u8()?),
            b'r' => Op::Put(self.u32()?),
            b'h' => Op::Get(self.u8()?),
            b'j' => Op::Get(self.u32()?),
            b'K' => Op::Int(self.u8()? as i64),
            b'M' => Op::Int(u16::from_le_bytes(self.array()?).into()),
            b'J' => Op::Int(i32::from_le_bytes(self.array()?).into()),
            b'(' => Op::Mark,
            b't' => Op::Tuple,
            b')' => Op::EmptyTuple,
            0x85..=0x87 => Op::TupleN(usize::from(code - 0x84)),
            b'R' => Op::Reduce,
            b'Q' => Op::BinPersistentId,
            b'X' => {
                let n = self.u32()?;
                Op::Unicode(self.counted(n)?)
            }
            0x88 => Op::Bool(true),
            0x89 => Op::Bool(false),
            b'N' => Op::None,
            b'}' => Op::EmptyDict,
            b'u' => Op::SetItems,
            b's' => Op::SetItem,
            b']' => Op::EmptyList,
            b'e' => Op::Appends,
            b'a' => Op::Append,
            b'G' => Op::Float(f64::from_be_bytes(self.array()?)),
            b'b' => Op::Build,
            0x81 => Op::NewObj,
            b'c' => Op::Global(self.line()?, self.line()?),
            0x8A => {
                let n = self.u8()?;
                Op::Long(self.counted(n)?)
            }
            0x8B => {
                let n = i32::from_le_bytes(self.array()?);
                let Ok(n) = u64::try_from(n) else {
                    return Err(Fault::format(start, format!("an integer of {n} bytes")));
                };
                Op::Long(self.counted(n)?)
            }
            b'U' => {
                let n = self.u8()?;
                Op::String(self.counted(n)?)
            }
            b'T' => {
                let n = i32::from_le_bytes(self.array()?);
                let Ok(n) = u64::try_from(n) else {
                    return Err(Fault::format(start, format!("a string of {n} bytes")));
                };
                Op::String(self.counted(n)?)
            }
            0x8C => {
                let n = self.u8()?;
                Op::Unicode(self.counted(n)?)
            }
            0x8D => {
                let n = self.u64()?;
                Op::Unicode(self.counted(n)?)
            }
            b'C' => {
                let n = self.u8()?;
                Op::Bytes(self.counted(n)?)
            }
            b'B' => {
                let n = self.u32()?;
                Op::Bytes(self.counted(n)?)
            }
            0x8E => {
                let n = self.u64()?;
                Op::Bytes(self.counted(n)?)
            }
            0x96 => {
                let n = self.u64()?;
                Op::ByteArray(self.counted(n)?)
            }
            0x80 => {
                let version = self.u8()?;
                if version > 5 {
                    return Err(Fault::new(
                        start,
                        FaultKind::Unsupported(
                            format!("pickle protocol {version}, and 0 to 5 are read"),
                            "save with pickle_protocol=2, torch's default",
                        ),
                    ));
                }
                Op::Proto
            }
            0x95 => {
                let n = self.u64()?;
                if n > self.left() as u64 {
                    return Err(self.ends("a frame", n));
                }
                Op::Frame
            }
            b'.' => Op::Stop,
            b'0' => Op::Pop,
            b'1' => Op::PopMark,
            b'2' => Op::Dup,
            b'I' => self.int_text(start)?,
            b'L' => {
                let line = self.line()?;
                Op::LongText(line.strip_suffix(b"L").unwrap_or(line))
            }
            b'F' => {
                let line = self.line()?;
                let number = std::str::from_utf8(line).ok().and_then(|t| t.trim().parse().ok());
                Op::Float(number.ok_or_else(|| bad_text(start, "a float", line))?)
            }
            b'S' => Op::StringText(self.line()?),
            b'V' => Op::UnicodeText(self.line()?),
            b'P' => Op::PersistentId(self.line()?),
            b'g' => Op::Get(self.index_text(start)?),
            b'p' => Op::Put(self.index_text(start)?),
            b'i' => Op::Inst(self.line()?, self.line()?),
            b'o' => Op::Obj,
            0x92 => Op::NewObjEx,
            0x93 => Op::StackGlobal,
            0x94 => Op::Memoize,
            b'l' => Op::List,
            b'd' => Op::Dict,
            0x8F => Op::EmptySet,
            0x90 => Op::AddItems,
            0x91 => Op::FrozenSet,
            0x82..=0x84 => {
                return Err(Fault::new(
                    start,
                    FaultKind::Unsupported(
                        "a code of copyreg's extension registry, which only the writing program knows"
                            .into(),
                        "",
                    ),
                ));
            }
            0x97 | 0x98 => {
                return Err(Fault::new(
                    start,
                    FaultKind::Unsupported(
                        "an out-of-band buffer, which is not in the file".into(),
                        "save with pickle_protocol=2, torch's default",
                    ),
                ));
            }
            other => {
                return Err(Fault::format(
                    start,
                    format!("0x{other:02x} (\"{}\") is no opcode", other.escape_ascii()),
                ));
            }
        })
    }

    fn int_text(&mut self, start: u64) -> Result<Op<'a>, Fault> {
        let line = self.line()?;
        match line {
            b"00" => return Ok(Op::Bool(false)),
            b"01" => return Ok(Op::Bool(true)),
            _ => {}
        }
        let text = std::str::from_utf8(line).map_err(|_| bad_text(start, "an integer", line))?;
        Ok(match text.trim().parse() {
            Ok(n) => Op::Int(n),
            Err(_) => Op::LongText(line),
        })
    }

    fn index_text(&mut self, start: u64) -> Result<u64, Fault> {
        let line = self.line()?;
        let number = std::str::from_utf8(line).ok().and_then(|t| t.trim().parse().ok());
        number.ok_or_else(|| bad_text(start, "a memo index", line))
    }
}

pub(super) fn bad_text(start: u64, what: &str, text: &[u8]) -> Fault {
    let shown = &text[..text.len().min(40)];
    Fault::format(start, format!("{what} was expected, not \"{}\"", shown.escape_ascii()))
}
