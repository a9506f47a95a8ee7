//! `deleted_<name>.npkb`: which rows are live.

use crate::error::{Result, format};
use std::path::Path;

const BLOCK: usize = 8;

/// The live rows of an array, with counts that make the k-th live row a short search.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Bitmap {
    /// Bit 1: live. Rows past the last word are dead.
    words: Vec<u64>,
    /// Live rows before each block of words.
    before: Vec<u64>,
    live: u64,
}

impl Bitmap {
    /// Reads a bitmap file for an array of `rows` stored rows, with or without the header.
    ///
    /// Rows past the bitmap's own total are dead, bits past `rows` are ignored, and the words
    /// decide, not the count in the header.
    pub(crate) fn parse(bytes: &[u8], rows: u64, file: &Path) -> Result<Bitmap> {
        let word = |i: usize| {
            bytes
                .get(i * 8..i * 8 + 8)
                .and_then(|b| b.try_into().ok())
                .map_or(0, u64::from_le_bytes)
        };
        let total = word(0);
        let with_header = total.div_ceil(64).checked_mul(8).and_then(|n| n.checked_add(16))
            == Some(bytes.len() as u64);
        let without = rows.div_ceil(64).checked_mul(8) == Some(bytes.len() as u64);
        // Where the size fits both, only a header has a count that is no more than its total.
        let (skip, total) = match (with_header, without) {
            (true, false) => (2, total),
            (true, true) if word(1) <= total => (2, total),
            (_, true) => (0, rows),
            (false, false) => {
                let problem = format!(
                    "{} bytes fit neither the {total} rows of its header nor the {rows} rows of the array",
                    bytes.len()
                );
                return Err(format(file, None, problem));
            }
        };
        let used = total.min(rows);
        let words = (0..used.div_ceil(64) as usize).map(|i| word(skip + i)).collect();
        Ok(Bitmap::new(words, used))
    }

    /// A bitmap of at most `rows` rows.
    pub(crate) fn new(mut words: Vec<u64>, rows: u64) -> Bitmap {
        words.truncate(usize::try_from(rows.div_ceil(64)).unwrap_or(usize::MAX));
        if words.len() as u64 * 64 > rows
            && let Some(last) = words.last_mut()
        {
            *last &= (1 << (rows % 64)) - 1;
        }
        let mut before = Vec::with_capacity(words.len().div_ceil(BLOCK));
        let mut live = 0;
        for block in words.chunks(BLOCK) {
            before.push(live);
            live += block.iter().map(|w| u64::from(w.count_ones())).sum::<u64>();
        }
        Bitmap { words, before, live }
    }

    /// How many rows are live.
    pub(crate) fn live(&self) -> u64 {
        self.live
    }

    /// The stored row that is the `k`-th live one.
    pub(crate) fn select(&self, k: u64) -> Option<u64> {
        if k >= self.live {
            return None;
        }
        let block = self.before.partition_point(|&n| n <= k) - 1;
        let mut left = k - self.before[block];
        for (i, &word) in self.words.iter().enumerate().skip(block * BLOCK) {
            let ones = u64::from(word.count_ones());
            if left < ones {
                let mut word = word;
                for _ in 0..left {
                    word &= word - 1;
                }
                return Some(i as u64 * 64 + u64::from(word.trailing_zeros()));
            }
            left -= ones;
        }
        None
    }

    /// The first live row at or after `row`.
    pub(crate) fn next_live(&self, row: u64) -> Option<u64> {
        self.next(row, |w| w)
    }

    /// How many rows from `row` on are live without a gap, counting at most up to `max`.
    pub(crate) fn run(&self, row: u64, max: u64) -> u64 {
        let end = (self.words.len() as u64 * 64).min(row.saturating_add(max));
        let mut at = row;
        while at < end {
            let ones = (!(self.words[(at / 64) as usize] >> (at % 64))).trailing_zeros();
            at += u64::from(ones).min(64 - at % 64);
            if !at.is_multiple_of(64) || ones == 0 {
                break;
            }
        }
        at.min(end).saturating_sub(row)
    }

    fn next(&self, row: u64, view: impl Fn(u64) -> u64) -> Option<u64> {
        let mut i = usize::try_from(row / 64).ok()?;
        let mut word = view(*self.words.get(i)?) & (u64::MAX << (row % 64));
        while word == 0 {
            i += 1;
            word = view(*self.words.get(i)?);
        }
        Some(i as u64 * 64 + u64::from(word.trailing_zeros()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_forms_and_wrong_sizes() {
        let f = Path::new("b");
        let with: Vec<u8> =
            [70u64, 99, u64::MAX - 1, u64::MAX].iter().flat_map(|w| w.to_le_bytes()).collect();
        let b = Bitmap::parse(&with, 70, f).unwrap();
        assert_eq!(
            (b.live(), b.select(0), b.select(68), b.select(69)),
            (69, Some(1), Some(69), None)
        );
        assert_eq!(Bitmap::parse(&with[16..], 70, f).unwrap(), b);
        // Fewer rows than the array: the rest is dead. More: the surplus is ignored.
        assert_eq!(Bitmap::parse(&with, 1 << 50, f).unwrap().live(), 69);
        assert_eq!(Bitmap::parse(&with, 3, f).unwrap().live(), 2);
        for bad in [&with[..31], &with[..8], &[][..]] {
            assert!(Bitmap::parse(bad, 70, f).is_err());
        }
        assert_eq!(Bitmap::parse(&[], 0, f).unwrap().live(), 0);
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_list(words in proptest::collection::vec(prop_oneof![Just(0), Just(u64::MAX), any::<u64>()], 0..40), cut in 0u64..70) {
            let rows = (words.len() as u64 * 64).saturating_sub(cut);
            let b = Bitmap::new(words.clone(), rows);
            let live: Vec<u64> = (0..rows).filter(|&r| words[(r / 64) as usize] >> (r % 64) & 1 == 1).collect();
            prop_assert_eq!(b.live(), live.len() as u64);
            for (k, &r) in live.iter().enumerate() {
                prop_assert_eq!(b.select(k as u64), Some(r));
                let run = live[k..].iter().enumerate().take_while(|&(i, &x)| x == r + i as u64).count() as u64;
                prop_assert_eq!(b.run(r, u64::MAX), run);
                prop_assert_eq!(b.run(r, 3), run.min(3));
                prop_assert_eq!(b.next_live(r + 1), live.get(k + 1).copied());
            }
            prop_assert_eq!(b.select(b.live()), None);
        }
    }
}
