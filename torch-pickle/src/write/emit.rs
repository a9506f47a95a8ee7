//! Opcodes and their arguments, as bytes: numbers, text, names, the memo.

use std::collections::HashMap;

use super::refused;
use crate::{Global, Result};

pub(super) mod op {
    pub(in crate::write) const MARK: u8 = b'(';
    pub(in crate::write) const STOP: u8 = b'.';
    pub(in crate::write) const POP: u8 = b'0';
    pub(in crate::write) const POP_MARK: u8 = b'1';
    pub(in crate::write) const BINFLOAT: u8 = b'G';
    pub(in crate::write) const BININT: u8 = b'J';
    pub(in crate::write) const BININT1: u8 = b'K';
    pub(in crate::write) const BININT2: u8 = b'M';
    pub(in crate::write) const NONE: u8 = b'N';
    pub(in crate::write) const BINPERSID: u8 = b'Q';
    pub(in crate::write) const REDUCE: u8 = b'R';
    pub(in crate::write) const BINUNICODE: u8 = b'X';
    pub(in crate::write) const APPEND: u8 = b'a';
    pub(in crate::write) const BUILD: u8 = b'b';
    pub(in crate::write) const GLOBAL: u8 = b'c';
    pub(in crate::write) const APPENDS: u8 = b'e';
    pub(in crate::write) const BINGET: u8 = b'h';
    pub(in crate::write) const LONG_BINGET: u8 = b'j';
    pub(in crate::write) const BINPUT: u8 = b'q';
    pub(in crate::write) const LONG_BINPUT: u8 = b'r';
    pub(in crate::write) const SETITEM: u8 = b's';
    pub(in crate::write) const TUPLE: u8 = b't';
    pub(in crate::write) const SETITEMS: u8 = b'u';
    pub(in crate::write) const EMPTY_DICT: u8 = b'}';
    pub(in crate::write) const EMPTY_LIST: u8 = b']';
    pub(in crate::write) const EMPTY_TUPLE: u8 = b')';
    pub(in crate::write) const PROTO: u8 = 0x80;
    pub(in crate::write) const NEWOBJ: u8 = 0x81;
    pub(in crate::write) const TUPLE1: u8 = 0x85;
    pub(in crate::write) const NEWTRUE: u8 = 0x88;
    pub(in crate::write) const NEWFALSE: u8 = 0x89;
    pub(in crate::write) const LONG1: u8 = 0x8a;
    pub(in crate::write) const LONG4: u8 = 0x8b;
}

/// A pickle in the making.
pub(super) struct Emitter {
    pub(super) bytes: Vec<u8>,
    /// Memo places of globals and of the strings every storage repeats.
    interned: HashMap<Vec<u8>, u32>,
    next_memo: u32,
}

impl Emitter {
    /// The beginning of every pickle.
    pub(super) fn new() -> Emitter {
        Emitter { bytes: vec![op::PROTO, 2], interned: HashMap::new(), next_memo: 0 }
    }

    pub(super) fn op(&mut self, code: u8) {
        self.bytes.push(code);
    }

    pub(super) fn ops(&mut self, codes: &[u8]) {
        self.bytes.extend_from_slice(codes);
    }

    pub(super) fn extents(&mut self, extents: &[u64]) -> Result<()> {
        if extents.is_empty() {
            self.bytes.push(op::EMPTY_TUPLE);
            return Ok(());
        }
        if extents.len() > 3 {
            self.bytes.push(op::MARK);
        }
        for &n in extents {
            self.unsigned(n)?;
        }
        self.close_tuple(extents.len());
        Ok(())
    }

    pub(super) fn close_tuple(&mut self, n: usize) {
        self.bytes.push(match n {
            1..=3 => op::TUPLE1 + (n as u8 - 1),
            _ => op::TUPLE,
        });
    }

    pub(super) fn int(&mut self, i: i64) {
        if let Ok(b) = u8::try_from(i) {
            self.bytes.extend([op::BININT1, b]);
        } else if let Ok(h) = u16::try_from(i) {
            self.bytes.push(op::BININT2);
            self.bytes.extend(h.to_le_bytes());
        } else if let Ok(w) = i32::try_from(i) {
            self.bytes.push(op::BININT);
            self.bytes.extend(w.to_le_bytes());
        } else {
            let bytes = i.to_le_bytes();
            let n = shortest_len(&bytes);
            self.bytes.extend([op::LONG1, n as u8]);
            self.bytes.extend(&bytes[..n]);
        }
    }

    pub(super) fn unsigned(&mut self, n: u64) -> Result<()> {
        let i = i64::try_from(n)
            .map_err(|_| refused("a size, stride or offset of 2^63 or more cannot be written"))?;
        self.int(i);
        Ok(())
    }

    pub(super) fn big_int(&mut self, bytes: &[u8]) -> Result<()> {
        if let Ok(n) = u8::try_from(bytes.len()) {
            self.bytes.extend([op::LONG1, n]);
        } else {
            let n = i32::try_from(bytes.len())
                .map_err(|_| refused("an integer of 2 GiB or more cannot be written"))?;
            self.bytes.push(op::LONG4);
            self.bytes.extend(n.to_le_bytes());
        }
        self.bytes.extend(bytes);
        Ok(())
    }

    pub(super) fn unicode(&mut self, utf8: &[u8]) -> Result<()> {
        let n = u32::try_from(utf8.len())
            .map_err(|_| refused("a string of 4 GiB or more cannot be written"))?;
        self.bytes.push(op::BINUNICODE);
        self.bytes.extend(n.to_le_bytes());
        self.bytes.extend(utf8);
        Ok(())
    }

    /// `bytes` as protocol 2 has them: text in latin-1, encoded when loaded.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.global("_codecs", "encode")?;
        let text: String = bytes.iter().map(|&b| char::from(b)).collect();
        self.unicode(text.as_bytes())?;
        self.interned_str("latin1")?;
        self.bytes.extend([op::TUPLE1 + 1, op::REDUCE]);
        Ok(())
    }

    pub(super) fn global(&mut self, module: &str, name: &str) -> Result<()> {
        // Protocol 2 spells these as Python 2 did; both Pythons read that.
        let module = match module {
            "builtins" => "__builtin__",
            "copyreg" => "copy_reg",
            other => other,
        };
        if module.contains('\n') || name.contains('\n') || name.is_empty() {
            return Err(refused(format!(
                "the name of a class or function cannot be written: {:?}",
                Global::new(module, name)
            )));
        }
        let mut text = Vec::with_capacity(module.len() + name.len() + 3);
        text.push(op::GLOBAL);
        text.extend(module.as_bytes());
        text.push(b'\n');
        text.extend(name.as_bytes());
        text.push(b'\n');
        self.intern(text);
        Ok(())
    }

    pub(super) fn interned_str(&mut self, s: &str) -> Result<()> {
        let start = self.bytes.len();
        self.unicode(s.as_bytes())?;
        let text = self.bytes.split_off(start);
        self.intern(text);
        Ok(())
    }

    /// Writes opcodes that push a constant, once; later only their memo place.
    pub(super) fn intern(&mut self, text: Vec<u8>) {
        if let Some(&at) = self.interned.get(&text) {
            self.get(at);
            return;
        }
        self.bytes.extend(&text);
        let at = self.put();
        self.interned.insert(text, at);
    }

    pub(super) fn put(&mut self) -> u32 {
        let at = self.next_memo;
        self.next_memo += 1;
        self.place(op::BINPUT, op::LONG_BINPUT, at);
        at
    }

    pub(super) fn get(&mut self, at: u32) {
        self.place(op::BINGET, op::LONG_BINGET, at);
    }

    pub(super) fn place(&mut self, short: u8, long: u8, at: u32) {
        if let Ok(b) = u8::try_from(at) {
            self.bytes.extend([short, b]);
        } else {
            self.bytes.push(long);
            self.bytes.extend(at.to_le_bytes());
        }
    }
}

/// How many bytes the two's complement needs.
fn shortest_len(le: &[u8; 8]) -> usize {
    let fill = if le[7] & 0x80 == 0 { 0 } else { 0xff };
    let mut n = 8;
    while n > 1 && le[n - 1] == fill && (le[n - 2] ^ fill) & 0x80 == 0 {
        n -= 1;
    }
    n
}
