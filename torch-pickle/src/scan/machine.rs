//! Which globals a pickle mentions: its instructions followed with a stack of which only texts,
//! names and the first item of a tuple are known.
//!
//! A fault does not end it where the next instruction can be found all the same: whatever Python
//! would do with the rest, it is seen here.

use std::collections::HashMap;
use std::io;

use super::opcodes::{self, Arg, Op, Part, Stop};
use super::source::Cursor;
use super::text;

/// What stands on the stack, in eight bytes: a kind in two bits, and a position or a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Value(u64);

impl Value {
    const OTHER: Value = Value(0);
    /// A memo entry that was never made.
    const NEVER: Value = Value(u64::MAX);

    /// The text of the instruction at `at`.
    fn text(at: u64) -> Value {
        Value(at << 2 | 1)
    }

    /// A tuple whose first item is the text of the instruction at `at`.
    fn tuple(at: u64) -> Value {
        Value(at << 2 | 2)
    }

    fn as_text(self) -> Option<u64> {
        (self.0 & 3 == 1).then_some(self.0 >> 2)
    }

    fn as_tuple(self) -> Option<u64> {
        (self.0 & 3 == 2).then_some(self.0 >> 2)
    }
}

/// A name as bytes, and where it was mentioned.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) by_name: HashMap<(String, String), Mentioned>,
    /// Other names, beyond the limit.
    pub(super) left_out: u64,
}

#[derive(Debug, Default)]
pub(super) struct Mentioned {
    pub(super) count: u64,
    pub(super) places: Vec<(u64, u8)>,
    /// Whether it is a code of copyreg's registry, and no name.
    pub(super) is_code: bool,
}

/// Constants that may be pickles themselves.
#[derive(Clone, Debug)]
pub(super) enum Inner {
    /// These bytes of the pickle.
    Bytes(Part),
    /// The same, as text of which each character is a byte.
    Latin1(Part),
    /// A text whose instruction has escapes: `STRING` and `UNICODE`.
    Escaped(u64),
}

/// What a pickle turned out to hold.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) names: Names,
    /// Where a name could not be told.
    pub(super) unresolved: Vec<u64>,
    pub(super) unresolved_count: u64,
    pub(super) inner: Vec<Inner>,
    pub(super) inner_left_out: u64,
    pub(super) protocol: Option<u8>,
    pub(super) persistent_ids: u64,
    /// The first persistent id that is no storage.
    pub(super) odd_id: Option<u64>,
    /// The first instruction that weights_only does not have.
    pub(super) unsupported: Option<(u64, u8)>,
    /// The first fault, and whether anything could be read behind it.
    pub(super) fault: Option<(u64, String)>,
    /// Bytes read.
    pub(super) len: u64,
    /// Whether it ended with STOP.
    pub(super) stopped: bool,
    /// Whether a name could be one: Python's letters, and dots.
    pub(super) has_identifier: bool,
    pub(super) instructions: u64,
    /// Whether anything is called: a name alone is imported, and no more.
    pub(super) has_call: bool,
}

/// How much is kept.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub(super) places: usize,
    pub(super) names: usize,
    /// Instructions that are followed; for a trial.
    pub(super) instructions: u64,
}

/// Entries of the stack and of the memo that are known; deeper ones are not.
const MAX_ENTRIES: usize = 1 << 22;
/// Constants that are kept to be looked into.
const MAX_INNER: usize = 100_000;
/// Bytes of a text with escapes that is looked into.
pub(super) const MAX_ESCAPED: u64 = 16 << 20;
/// Bytes of a constant that are looked at to tell whether it may be a pickle.
const HEAD: usize = 64;
/// Bytes of a name that are kept.
const MAX_NAME: usize = 1000;

/// The instructions that torch's weights_only unpickler has, read from `load` in
/// `torch/_weights_only_unpickler.py` of torch 2.15.
const WEIGHTS_ONLY: [bool; 256] = {
    let mut table = [false; 256];
    let codes = b"caeXKMJGhjqr(t)NR]}us.QbU\x80\x81\x85\x86\x87\x88\x89\x8A\x8F";
    let mut i = 0;
    while i < codes.len() {
        table[codes[i] as usize] = true;
        i += 1;
    }
    table
};

struct Machine<'c, 'f> {
    cursor: &'c mut Cursor<'f>,
    stack: Vec<Value>,
    /// Entries beyond those that are kept.
    above: u64,
    marks: Vec<u32>,
    /// Marks beyond those that are kept.
    marks_above: u64,
    memo: Vec<Value>,
    memo_high: HashMap<u64, Value>,
    memo_count: u64,
    bounds: Bounds,
    seen: Seen,
    /// The text of a persistent id that was found to mean a storage.
    storage: Option<u64>,
}

/// Follows one pickle from the cursor's place on.
pub(super) fn run(cursor: &mut Cursor<'_>, bounds: Bounds) -> io::Result<Seen> {
    let from = cursor.at();
    let mut machine = Machine {
        cursor,
        stack: Vec::new(),
        above: 0,
        marks: Vec::new(),
        marks_above: 0,
        memo: Vec::new(),
        memo_high: HashMap::new(),
        memo_count: 0,
        bounds,
        seen: Seen::default(),
        storage: None,
    };
    loop {
        if machine.seen.instructions >= bounds.instructions {
            break;
        }
        match opcodes::next(machine.cursor) {
            Ok(op) => {
                machine.seen.instructions += 1;
                if op.code == b'.' {
                    machine.seen.stopped = true;
                    machine.pop();
                    break;
                }
                machine.step(op)?;
            }
            Err(Stop::Io(e)) => return Err(e),
            Err(stop) => {
                let at = machine.cursor.at();
                let (at, what) = match stop {
                    Stop::Truncated(what) => (at, format!("the pickle {what}")),
                    Stop::Invalid(code) => {
                        (at - 1, format!("0x{code:02x} is no opcode, and python stops here"))
                    }
                    _ => (at, "a length below zero, and python stops here".to_owned()),
                };
                machine.fault(at, || what);
                break;
            }
        }
    }
    let mut seen = machine.seen;
    // Positions count from the start of the pickle.
    seen.len = cursor.at() - from;
    let shift = |at: &mut u64| *at = at.saturating_sub(from);
    seen.unresolved.iter_mut().for_each(shift);
    for m in seen.names.by_name.values_mut() {
        m.places.iter_mut().for_each(|(at, _)| shift(at));
    }
    seen.fault.iter_mut().for_each(|(at, _)| shift(at));
    seen.odd_id.iter_mut().for_each(shift);
    seen.unsupported.iter_mut().for_each(|(at, _)| shift(at));
    Ok(seen)
}

impl Machine<'_, '_> {
    fn fault(&mut self, at: u64, what: impl FnOnce() -> String) {
        if self.seen.fault.is_none() {
            self.seen.fault = Some((at, what()));
        }
    }

    fn push(&mut self, value: Value) {
        if self.stack.len() < MAX_ENTRIES {
            self.stack.push(value);
        } else {
            self.above += 1;
        }
    }

    fn pop(&mut self) -> Value {
        if self.above > 0 {
            self.above -= 1;
            return Value::OTHER;
        }
        let fence = self.marks.last().map_or(0, |&m| m as usize);
        if self.stack.len() <= fence {
            let at = self.cursor.at();
            self.fault(at, || "the stack is empty, and python stops here".to_owned());
            return Value::OTHER;
        }
        self.stack.pop().unwrap_or(Value::OTHER)
    }

    fn top(&self) -> Value {
        if self.above > 0 {
            Value::OTHER
        } else {
            self.stack.last().copied().unwrap_or(Value::OTHER)
        }
    }

    /// Drops what stands above the last mark, and gives the lowest of it.
    fn pop_mark(&mut self) -> Value {
        if self.marks_above > 0 {
            self.marks_above -= 1;
            self.above = 0;
            return Value::OTHER;
        }
        let Some(mark) = self.marks.pop() else {
            let at = self.cursor.at();
            self.fault(at, || "there is no mark, and python stops here".to_owned());
            return Value::OTHER;
        };
        self.above = 0;
        let first = self.stack.get(mark as usize).copied().unwrap_or(Value::OTHER);
        self.stack.truncate(mark as usize);
        first
    }

    /// Replaces `n` entries by one that is not known.
    fn replace(&mut self, n: usize) {
        for _ in 0..n {
            self.pop();
        }
        self.push(Value::OTHER);
    }

    fn put(&mut self, index: u64) {
        let value = self.top();
        if index < MAX_ENTRIES as u64 && index <= self.cursor.bytes().len() {
            let index = index as usize;
            if index >= self.memo.len() {
                self.memo.resize(index + 1, Value::NEVER);
            }
            self.memo_count += u64::from(self.memo[index] == Value::NEVER);
            self.memo[index] = value;
        } else if self.memo_high.len() < MAX_ENTRIES / 16 {
            let new = self.memo_high.insert(index, value).is_none();
            self.memo_count += u64::from(new);
        } else {
            self.memo_count += 1;
        }
    }

    fn get(&mut self, at: u64, index: u64) {
        let low = usize::try_from(index).ok().and_then(|i| self.memo.get(i)).copied();
        let value = low.filter(|&v| v != Value::NEVER).or(self.memo_high.get(&index).copied());
        if value.is_none() && index < MAX_ENTRIES as u64 {
            self.fault(at, || format!("memo entry {index} was never made, and python stops here"));
        }
        self.push(value.unwrap_or(Value::OTHER));
    }

    fn step(&mut self, op: Op) -> io::Result<()> {
        if !WEIGHTS_ONLY[usize::from(op.code)] && self.seen.unsupported.is_none() {
            self.seen.unsupported = Some((op.at, op.code));
        }
        self.seen.has_call |= matches!(op.code, b'R' | b'i' | b'o' | b'b' | 0x81 | 0x92);
        match (op.code, op.arg) {
            (0x80, Arg::Number(protocol)) => {
                self.seen.protocol.get_or_insert(protocol as u8);
                if protocol > 5 {
                    self.fault(op.at, || {
                        format!("protocol {protocol} does not exist, and python stops here")
                    });
                }
            }
            (b'(', _) if self.marks.len() < MAX_ENTRIES => {
                self.marks.push(self.stack.len() as u32);
            }
            (b'(', _) => self.marks_above += 1,
            (b'0', _) => {
                // A mark is an entry of its own that POP may take.
                let fence = self.marks.last().map(|&m| m as usize);
                if self.above == 0 && fence == Some(self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop();
                }
            }
            (b'1', _) => {
                self.pop_mark();
            }
            (b'2', _) => self.push(self.top()),
            (b'S' | b'T' | b'U' | b'V' | b'X' | 0x8C | 0x8D, Arg::Part(part)) => {
                self.push(Value::text(op.at));
                self.text_constant(op, part)?;
            }
            (b'B' | b'C' | 0x8E | 0x96, Arg::Part(part)) => {
                self.push(Value::OTHER);
                self.bytes_constant(part)?;
            }
            (b'c', Arg::Lines(module, name)) => {
                self.lines(op, module, name)?;
                self.push(Value::OTHER);
            }
            (b'i', Arg::Lines(module, name)) => {
                self.pop_mark();
                self.lines(op, module, name)?;
                self.push(Value::OTHER);
            }
            (0x93, _) => {
                let (name, module) = (self.pop(), self.pop());
                self.stack_global(op.at, module, name)?;
                self.push(Value::OTHER);
            }
            (0x82..=0x84, Arg::Number(code)) => {
                self.mention("copyreg extension".to_owned(), code.to_string(), op, true);
                self.push(Value::OTHER);
            }
            (b'P', _) => {
                self.seen.persistent_ids += 1;
                self.push(Value::OTHER);
            }
            (b'Q', _) => {
                let id = self.pop();
                self.persistent(op.at, id)?;
                self.push(Value::OTHER);
            }
            (b'R' | 0x81 | b'b' | b'a', _) => {
                self.pop();
                let target = self.pop();
                // What is built or appended to stays what it was.
                self.push(if matches!(op.code, b'b' | b'a') { target } else { Value::OTHER });
            }
            (0x92, _) => self.replace(3),
            (b's', _) => {
                self.pop();
                self.pop();
            }
            (b'o', _) | (b'd' | b'l' | 0x91, _) => {
                self.pop_mark();
                self.push(Value::OTHER);
            }
            (b'e' | b'u' | 0x90, _) => {
                self.pop_mark();
            }
            (b't', _) => {
                let first = self.pop_mark();
                self.push(first.as_text().map_or(Value::OTHER, Value::tuple));
            }
            (0x85..=0x87, _) => {
                let mut first = Value::OTHER;
                for _ in 0..op.code - 0x84 {
                    first = self.pop();
                }
                self.push(first.as_text().map_or(Value::OTHER, Value::tuple));
            }
            (b'g' | b'h' | b'j', Arg::Number(index)) => self.get(op.at, index),
            (b'p' | b'q' | b'r', Arg::Number(index)) => self.put(index),
            (0x94, _) => self.put(self.memo_count),
            // FRAME and READONLY_BUFFER leave the stack as it is.
            (0x95 | 0x98, _) => {}
            // All others are a value of no interest.
            _ => self.push(Value::OTHER),
        }
        Ok(())
    }

    fn lines(&mut self, op: Op, module: Part, name: Part) -> io::Result<()> {
        let module = self.part_text(module)?;
        let name = self.part_text(name)?;
        self.mention(module, name, op, false);
        Ok(())
    }

    fn part_text(&mut self, part: Part) -> io::Result<String> {
        let mut room = [0; MAX_NAME];
        let bytes = self.cursor.look(part.at, part.len, &mut room)?;
        Ok(String::from_utf8_lossy(bytes.trim_ascii()).into_owned())
    }

    fn stack_global(&mut self, at: u64, module: Value, name: Value) -> io::Result<()> {
        let texts = module.as_text().zip(name.as_text());
        let bytes = self.cursor.bytes().clone();
        let resolved = match texts {
            Some((module, name)) => text::of_instruction(&bytes, module, MAX_NAME)?
                .zip(text::of_instruction(&bytes, name, MAX_NAME)?),
            None => None,
        };
        match resolved {
            Some((module, name)) => {
                let op = Op { at, code: 0x93, arg: Arg::None };
                self.mention(module, name, op, false);
            }
            None => {
                self.seen.unresolved_count += 1;
                if self.seen.unresolved.len() < self.bounds.places {
                    self.seen.unresolved.push(at);
                }
            }
        }
        Ok(())
    }

    fn mention(&mut self, module: String, name: String, op: Op, is_code: bool) {
        self.seen.has_identifier |= is_code || is_path(&module) && is_path(&name);
        let names = &mut self.seen.names;
        let full = names.by_name.len() >= self.bounds.names;
        let key = (module, name);
        // The dangerous ones must not be pushed out by a flood of others.
        if full
            && !names.by_name.contains_key(&key)
            && super::names::classify(&key.0, &key.1).0 != crate::Class::Dangerous
        {
            names.left_out += 1;
            return;
        }
        if names.by_name.len() >= self.bounds.names * 2 && !names.by_name.contains_key(&key) {
            names.left_out += 1;
            return;
        }
        let mentioned = names.by_name.entry(key).or_default();
        mentioned.count += 1;
        mentioned.is_code = is_code;
        if mentioned.places.len() < self.bounds.places {
            mentioned.places.push((op.at, op.code));
        }
    }

    fn persistent(&mut self, at: u64, id: Value) -> io::Result<()> {
        self.seen.persistent_ids += 1;
        let Some(tag) = id.as_tuple() else {
            // A number is an id too, and what is not known may be one.
            if id.as_text().is_some() {
                self.seen.odd_id.get_or_insert(at);
            }
            return Ok(());
        };
        if self.storage != Some(tag) {
            let bytes = self.cursor.bytes().clone();
            if text::of_instruction(&bytes, tag, 16)?.as_deref() == Some("storage") {
                self.storage = Some(tag);
            } else {
                self.seen.odd_id.get_or_insert(at);
            }
        }
        Ok(())
    }

    fn inner(&mut self, inner: Inner) {
        if self.seen.inner.len() < MAX_INNER {
            self.seen.inner.push(inner);
        } else {
            self.seen.inner_left_out += 1;
        }
    }

    fn bytes_constant(&mut self, part: Part) -> io::Result<()> {
        if part.len >= 4 {
            let mut room = [0; HEAD];
            let head = self.cursor.look(part.at, part.len, &mut room)?;
            if may_hold_a_pickle(head, part.len <= HEAD as u64) {
                self.inner(Inner::Bytes(part));
            }
        }
        Ok(())
    }

    /// A text may be bytes too: as Python 2 strings, or as `_codecs.encode` makes them of it.
    fn text_constant(&mut self, op: Op, part: Part) -> io::Result<()> {
        if part.len < 4 {
            return Ok(());
        }
        let mut room = [0; HEAD];
        let head = self.cursor.look(part.at, part.len, &mut room)?;
        match op.code {
            b'S' | b'V' => {
                let inside = head.strip_prefix(b"'").or(head.strip_prefix(b"\"")).unwrap_or(head);
                let whole = part.len <= HEAD as u64;
                if part.len > MAX_ESCAPED {
                    self.seen.inner_left_out += 1;
                } else if head.contains(&b'\\') || may_hold_a_pickle(inside, whole) {
                    self.inner(Inner::Escaped(op.at));
                }
            }
            _ if head.starts_with(b"\xC2\x80") => self.inner(Inner::Latin1(part)),
            _ if may_hold_a_pickle(head, part.len <= HEAD as u64) => self.inner(Inner::Bytes(part)),
            _ => {}
        }
        Ok(())
    }
}

/// Whether bytes that begin so are worth a closer look: a pickle that states its protocol,
/// something packed, or instructions.
fn may_hold_a_pickle(head: &[u8], whole: bool) -> bool {
    match head {
        [0x80, protocol, ..] => *protocol <= 5,
        [b'P', b'K', 3 | 5, ..] | [0x1F, 0x8B, ..] | [0x93, b'N', ..] => true,
        [0x78, 0x01 | 0x5E | 0x9C | 0xDA, ..] => true,
        _ => opcodes::may_name(head, whole),
    }
}

/// Whether a name can be imported: letters, digits, underscores and dots.
pub(super) fn is_path(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '.')
}
