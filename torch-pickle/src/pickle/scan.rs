//! A first pass over the opcodes: which memo entries are ever fetched.
//!
//! Python's pickler gives a memo entry to nearly everything, and fetches few. To know which lets
//! the machine reuse at once what it has consumed, so that a list of tensors costs the tensors and
//! not the recipes they are made by.

use std::collections::HashSet;

use super::op::{Op, Reader};
use crate::error::Fault;

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

    /// Whether a table may have a place for this index: it is no greater than the input.
    #[inline]
    pub(super) fn is_dense(&self, index: u64) -> bool {
        index < self.dense
    }
}

/// Goes over the opcodes up to STOP, which must be the last byte.
pub(super) fn scan(bytes: &[u8]) -> Result<Scan, Fault> {
    let mut scan = Scan { dense: bytes.len() as u64, ..Scan::default() };
    let mut reader = Reader::new(bytes);
    loop {
        scan.has_put |= reader.skip_plain();
        match reader.next()?.1 {
            Op::Get(index) => {
                if scan.is_dense(index) {
                    let word = (index / 64) as usize;
                    if word >= scan.fetched.len() {
                        scan.fetched.resize(word + 1, 0);
                    }
                    scan.fetched[word] |= 1 << (index % 64);
                } else {
                    scan.fetched_high.insert(index);
                }
            }
            Op::Put(_) => scan.has_put = true,
            Op::Memoize => scan.has_memoize = true,
            Op::Stop => break,
            _ => {}
        }
    }
    if reader.left() > 0 {
        return Err(Fault::format(
            reader.at(),
            format!("{} bytes follow the end of the pickle", reader.left()),
        ));
    }
    Ok(scan)
}
