//! A first pass over the opcodes: which memo entries are ever fetched.
//!
//! Python's pickler gives a memo entry to nearly everything, and fetches few. To know which lets
//! the machine reuse at once what it has consumed, so that a list of tensors costs the tensors and
//! not the recipes they are made by.

use std::collections::HashSet;

use super::op::{Op, Reader};
use crate::error::Fault;

/// The length of instructions of which nothing else matters here; 0 for all others.
const PLAIN: [u8; 256] = {
    let mut table = [0; 256];
    let one = b"(t)RN}us]eab\x85\x86\x87\x81\x88\x89\x93";
    let mut i = 0;
    while i < one.len() {
        table[one[i] as usize] = 1;
        i += 1;
    }
    table[b'K' as usize] = 2;
    table[b'M' as usize] = 3;
    table[b'J' as usize] = 5;
    table[b'G' as usize] = 9;
    table
};

/// What the opcodes of a pickle refer to.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Memo entries that are fetched: a bit each for those below the pickle's length.
    fetched: Vec<u64>,
    /// And the others; only a hostile pickle has any.
    fetched_high: HashSet<u64>,
    /// One below which an index is kept in `fetched`.
    dense: u64,
    pub(super) has_put: bool,
    pub(super) has_memoize: bool,
    /// How many persistent ids there are; about as many as tensors.
    pub(super) calls: usize,
    /// The short texts, one after another, where they are asked for.
    texts: Option<Vec<u8>>,
}

/// Whether a text stands among the [texts](Scan::take_texts).
#[inline]
pub(super) fn is_short(text: &[u8]) -> bool {
    text.len() <= 256
}

impl Scan {
    #[inline]
    pub(super) fn is_fetched(&self, index: u64) -> bool {
        if self.is_dense(index) {
            let word = self.fetched.get((index / 64) as usize).copied().unwrap_or(0);
            word >> (index % 64) & 1 == 1
        } else {
            self.fetched_high.contains(&index)
        }
    }

    #[inline]
    fn text(&mut self, text: &[u8]) {
        if let Some(texts) = &mut self.texts
            && is_short(text)
        {
            if text.len() > crate::text::MOST - texts.len() {
                // What the machine does not find here it keeps by itself.
                self.texts = None;
                return;
            }
            texts.extend_from_slice(text);
        }
    }

    /// All short texts of the pickle, one after another in the order of the instructions that make
    /// them; nothing where one of them is not UTF-8.
    pub(super) fn take_texts(&mut self) -> String {
        let mut texts = self.texts.take().unwrap_or_default();
        texts.shrink_to_fit();
        String::from_utf8(texts).unwrap_or_default()
    }

    fn fetch(&mut self, index: u64) {
        if self.is_dense(index) {
            let word = (index / 64) as usize;
            if word >= self.fetched.len() {
                self.fetched.resize(word + 1, 0);
            }
            self.fetched[word] |= 1 << (index % 64);
        } else {
            self.fetched_high.insert(index);
        }
    }

    /// Goes over instructions of which only the length or the memo entry matters, up to the next
    /// other one, and returns their length. All the common ones are among them, which makes a first
    /// pass over a pickle cheap.
    fn skip_common(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while let [code, after @ ..] = rest {
            let next = match *code {
                b'q' => {
                    self.has_put = true;
                    after.get(1..)
                }
                b'r' => {
                    self.has_put = true;
                    after.get(4..)
                }
                b'h' => after.split_first().map(|(&index, after)| {
                    self.fetch(index.into());
                    after
                }),
                b'j' => after.split_first_chunk().map(|(&index, after)| {
                    self.fetch(u32::from_le_bytes(index).into());
                    after
                }),
                b'X' => after
                    .split_first_chunk()
                    .and_then(|(&n, after)| after.split_at_checked(u32::from_le_bytes(n) as usize))
                    .map(|(text, after)| {
                        self.text(text);
                        after
                    }),
                0x8C => after
                    .split_first()
                    .and_then(|(&n, after)| after.split_at_checked(usize::from(n)))
                    .map(|(text, after)| {
                        self.text(text);
                        after
                    }),
                0x94 => {
                    self.has_memoize = true;
                    Some(after)
                }
                b'Q' => {
                    self.calls += 1;
                    Some(after)
                }
                code => match PLAIN[usize::from(code)] {
                    0 => None,
                    len => rest.get(usize::from(len)..),
                },
            };
            // What does not fit is left for the reader to report.
            let Some(next) = next else { break };
            rest = next;
        }
        bytes.len() - rest.len()
    }

    /// Whether a table may have a place for this index: it is no greater than the input.
    #[inline]
    pub(super) fn is_dense(&self, index: u64) -> bool {
        index < self.dense
    }
}

/// Goes over the opcodes up to STOP, which must be the last byte.
pub(super) fn scan(bytes: &[u8]) -> Result<Scan, Fault> {
    let mut scan = Scan { texts: Some(Vec::new()), ..Scan::default() };
    let end = scan.run(bytes)?;
    if end < bytes.len() {
        let problem = format!("{} bytes follow the end of the pickle", bytes.len() - end);
        return Err(Fault::format(end as u64, problem));
    }
    Ok(scan)
}

/// Goes over the opcodes up to the first STOP, and says where the pickle ends.
pub(super) fn scan_first(bytes: &[u8]) -> Result<usize, Fault> {
    Scan::default().run(bytes)
}

impl Scan {
    fn run(&mut self, bytes: &[u8]) -> Result<usize, Fault> {
        self.dense = bytes.len() as u64;
        let mut reader = Reader::new(bytes);
        loop {
            let skipped = self.skip_common(reader.rest());
            reader.skip(skipped);
            match reader.next()? {
                Op::Get(index) => self.fetch(index),
                Op::Put(_) => self.has_put = true,
                Op::Memoize => self.has_memoize = true,
                Op::Unicode(text) => self.text(text),
                Op::Stop => return Ok(reader.at() as usize),
                _ => {}
            }
        }
    }
}
