//! `deleted_<name>.npkb`: which rows are live.
//!
//! A bitmap does not change; a changed one is made from it.

mod places;
mod select;

use crate::error::{Result, format};
pub(crate) use places::Places;
use select::Counts;
use std::path::Path;

/// The live rows of an array, with counts that find the k-th live row in a few steps.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Bitmap {
    /// Bit 1: live. One word for each 64 rows begun; bits past the last row are 0.
    words: Vec<u64>,
    rows: u64,
    counts: Counts,
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

    /// A bitmap of the first `rows` rows that the words speak of; there may be fewer.
    pub(crate) fn new(mut words: Vec<u64>, rows: u64) -> Bitmap {
        words.truncate(usize::try_from(rows.div_ceil(64)).unwrap_or(usize::MAX));
        let rows = rows.min(words.len() as u64 * 64);
        if !rows.is_multiple_of(64)
            && let Some(last) = words.last_mut()
        {
            *last &= (1 << (rows % 64)) - 1;
        }
        let counts = Counts::new(&words);
        Bitmap { words, rows, counts }
    }

    /// How many rows the bitmap speaks of; later ones are dead.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// How many rows are live.
    pub(crate) fn live(&self) -> u64 {
        self.counts.ones()
    }

    /// Whether a stored row is live.
    #[cfg(test)]
    pub(crate) fn is_live(&self, row: u64) -> bool {
        let word = usize::try_from(row / 64).ok().and_then(|i| self.words.get(i));
        word.is_some_and(|w| w >> (row % 64) & 1 == 1)
    }

    /// How many rows before the stored row `row` are live.
    #[cfg(test)]
    pub(crate) fn rank(&self, row: u64) -> u64 {
        if row < self.rows { self.counts.rank(&self.words, row) } else { self.live() }
    }

    /// The stored row that is the `k`-th live one.
    pub(crate) fn select(&self, k: u64) -> Option<u64> {
        (k < self.live()).then(|| self.counts.select(&self.words, k))
    }

    /// Replaces each number of a live row by that of the stored row, in place. If one of them is
    /// not below [`live`](Bitmap::live), gives it and changes nothing.
    pub(crate) fn select_all(&self, rows: &mut [u64]) -> Result<(), u64> {
        let live = self.live();
        if let Some(&bad) = rows.iter().find(|&&k| k >= live) {
            return Err(bad);
        }
        for row in rows {
            *row = self.counts.select(&self.words, *row);
        }
        Ok(())
    }

    /// The first live row at or after `row`.
    pub(crate) fn next_live(&self, row: u64) -> Option<u64> {
        let mut i = usize::try_from(row / 64).ok()?;
        let mut word = self.words.get(i)? & (u64::MAX << (row % 64));
        while word == 0 {
            i += 1;
            word = *self.words.get(i)?;
        }
        Some(i as u64 * 64 + u64::from(word.trailing_zeros()))
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

    /// The runs of live rows in order: where each starts, and how long it is. There is a dead row
    /// between two of them.
    pub(crate) fn runs(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let start = self.next_live(at)?;
            let len = self.run(start, u64::MAX);
            at = start + len;
            Some((start, len))
        })
    }
}

/// Bitmaps for arrays that change.
impl Bitmap {
    /// The size in bytes of the file for so many rows. Look at it before asking for a bitmap of a
    /// number of rows that a file claims: it takes as much memory, and a third more.
    pub(crate) fn file_len(rows: u64) -> u64 {
        16 + rows.div_ceil(64) * 8
    }

    /// The file, with its header.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.words.len() * 8);
        out.extend(self.rows.to_le_bytes());
        out.extend((self.rows - self.live()).to_le_bytes());
        out.extend(self.words.iter().flat_map(|w| w.to_le_bytes()));
        out
    }

    /// All of `rows` rows live.
    pub(crate) fn full(rows: u64) -> Bitmap {
        Bitmap::new(vec![u64::MAX; rows.div_ceil(64) as usize], rows)
    }

    /// The same for another number of rows. Those that are added are live or dead as asked, also
    /// where a bitmap was cut before.
    ///
    /// An array may have more rows than its bitmap, which are dead. If it grows, they stay so:
    /// resize to the array's rows with dead ones, and then to the new number with live ones.
    pub(crate) fn resized(&self, rows: u64, live: bool) -> Bitmap {
        let mut words = self.words.clone();
        if live
            && !self.rows.is_multiple_of(64)
            && let Some(last) = words.last_mut()
        {
            *last |= u64::MAX << (self.rows % 64);
        }
        words.resize(rows.div_ceil(64) as usize, if live { u64::MAX } else { 0 });
        Bitmap::new(words, rows)
    }

    /// The same without the stored rows that `each` names. They may be dead already, come twice, or
    /// be past the end.
    pub(crate) fn without(
        &self,
        each: impl FnOnce(&mut dyn FnMut(u64)) -> Result<()>,
    ) -> Result<Bitmap> {
        let mut words = self.words.clone();
        each(&mut |row| {
            if let Some(word) = usize::try_from(row / 64).ok().and_then(|i| words.get_mut(i)) {
                *word &= !(1 << (row % 64));
            }
        })?;
        Ok(Bitmap::new(words, self.rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn without(b: &Bitmap, rows: &[u64]) -> Bitmap {
        let each = |drop: &mut dyn FnMut(u64)| {
            rows.iter().for_each(|row| drop(*row));
            Ok(())
        };
        b.without(each).unwrap()
    }

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

    #[test]
    fn rows_added_past_the_bitmap_stay_dead() {
        // 100 stored rows, a bitmap of 70, 10 rows appended.
        let b = without(&Bitmap::full(70), &[3, 69]).resized(100, false).resized(110, true);
        let runs: Vec<_> = b.runs().collect();
        assert_eq!((b.rows(), b.live()), (110, 78));
        assert_eq!(runs, [(0, 3), (4, 65), (100, 10)]);
        // What is cut off does not come back.
        assert_eq!(b.resized(4, true).resized(128, false).live(), 3);
    }

    #[test]
    fn the_file_is_the_documented_one() {
        let file: Vec<u8> =
            [70u64, 2, u64::MAX - 2, 0x3f & !1].iter().flat_map(|w| w.to_le_bytes()).collect();
        let b = without(&Bitmap::full(70), &[1, 64, 1]);
        assert_eq!(b.encode(), file);
        assert_eq!(Bitmap::file_len(70), file.len() as u64);
        assert_eq!(Bitmap::parse(&file, 70, Path::new("b")).unwrap(), b);
        assert_eq!(Bitmap::full(0).encode(), [0; 16]);
    }

    #[test]
    fn rows_that_are_not_there() {
        let b = Bitmap::new(vec![u64::MAX, 1], u64::MAX - 1);
        assert_eq!((b.rows(), b.live()), (128, 65));
        for row in [65, 127, 128, 1 << 40, u64::MAX] {
            assert!(!b.is_live(row));
            assert_eq!((b.rank(row), b.run(row, u64::MAX), b.next_live(row)), (65, 0, None));
            assert_eq!(b.select(row), None);
            assert_eq!(b.select_all(&mut [0, row]), Err(row));
        }
        assert_eq!(without(&b, &[u64::MAX, 128]), b);
        assert_eq!(Bitmap::file_len(u64::MAX), (1 << 61) + 16);
        let none = Bitmap::new(vec![], u64::MAX);
        assert_eq!((none.rows(), none.live(), none.rank(9), none.runs().next()), (0, 0, 0, None));
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
            let mut all: Vec<u64> = (0..b.live()).rev().collect();
            b.select_all(&mut all).unwrap();
            prop_assert!(all.iter().rev().eq(&live));
            for r in 0..rows + 70 {
                prop_assert_eq!(b.is_live(r), live.binary_search(&r).is_ok());
                prop_assert_eq!(b.rank(r), live.partition_point(|&l| l < r) as u64);
            }
            let runs: Vec<_> = b.runs().collect();
            prop_assert!(runs.iter().flat_map(|&(at, n)| at..at + n).eq(live.iter().copied()));
            prop_assert!(runs.windows(2).all(|w| w[0].0 + w[0].1 < w[1].0));
            prop_assert_eq!(Bitmap::parse(&b.encode(), rows, Path::new("b")).unwrap(), b);
        }

        #[test]
        fn changes_agree_with_a_plain_list(start in 0u64..300, steps in proptest::collection::vec((0u64..300, any::<bool>(), proptest::collection::vec(0u64..320, 0..40)), 0..6)) {
            let (mut b, mut list) = (Bitmap::full(start), vec![true; start as usize]);
            for (rows, live, dead) in steps {
                b = without(&b.resized(rows, live), &dead);
                list.resize(rows as usize, live);
                for d in dead {
                    if let Some(row) = list.get_mut(d as usize) {
                        *row = false;
                    }
                }
                prop_assert_eq!(b.rows(), rows);
                prop_assert_eq!(b.live(), list.iter().filter(|&&l| l).count() as u64);
                prop_assert!((0..rows).all(|r| b.is_live(r) == list[r as usize]));
                let again = Bitmap::new(b.words.clone(), rows);
                prop_assert_eq!(again, b.clone());
            }
        }
    }
}
