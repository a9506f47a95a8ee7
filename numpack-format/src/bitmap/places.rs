//! Where each live row is stored, as a table: for so many look-ups that a bitmap is too slow.

use super::Bitmap;

/// Live rows in a group.
const GROUP: usize = 64;
/// Stands for this many dead rows in a group or more: look into the bitmap.
const FAR: u8 = u8::MAX;

/// The stored row of each live one, in nine bits: a look-up takes a tenth of the time of a select.
#[derive(Debug)]
pub(crate) struct Places {
    /// Dead rows before each group of live ones.
    before: Vec<u64>,
    /// For each live row, the dead ones between the group's start and it.
    within: Vec<u8>,
}

impl Places {
    /// The table for a bitmap, if memory can be had.
    pub(crate) fn new(bitmap: &Bitmap) -> Option<Places> {
        let live = usize::try_from(bitmap.live()).ok()?;
        let (mut before, mut within) = (Vec::new(), Vec::new());
        before.try_reserve_exact(live.div_ceil(GROUP)).ok()?;
        within.try_reserve_exact(live).ok()?;
        let mut group = 0;
        for (start, len) in bitmap.runs() {
            let dead = start - within.len() as u64;
            let end = within.len() + len as usize;
            while within.len() < end {
                if within.len().is_multiple_of(GROUP) {
                    group = dead;
                    before.push(dead);
                }
                let next = (within.len() / GROUP + 1) * GROUP;
                let count = u8::try_from(dead - group).unwrap_or(FAR);
                within.resize(end.min(next), count);
            }
        }
        Some(Places { before, within })
    }

    /// As [`Bitmap::select_all`], of the bitmap that the table was made from, but if a number is
    /// too high those before it have been replaced.
    #[inline]
    pub(crate) fn select_all(&self, bitmap: &Bitmap, rows: &mut [u64]) -> Result<(), u64> {
        for row in rows {
            let k = *row as usize;
            *row = match self.within.get(k) {
                Some(&FAR) => far(bitmap, *row),
                Some(&dead) => *row + self.before[k / GROUP] + u64::from(dead),
                None => return Err(*row),
            };
        }
        Ok(())
    }
}

/// Apart, so that it does not take up registers where it is not needed.
#[cold]
#[inline(never)]
fn far(bitmap: &Bitmap, k: u64) -> u64 {
    // The table has as many rows as the bitmap.
    bitmap.select(k).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_select(words in proptest::collection::vec(prop_oneof![Just(0), Just(0), Just(u64::MAX), Just(1 << 40), any::<u64>()], 0..60)) {
            let bitmap = Bitmap::new(words, u64::MAX);
            let places = Places::new(&bitmap).unwrap();
            let mut all: Vec<u64> = (0..bitmap.live()).collect();
            let mut expected = all.clone();
            places.select_all(&bitmap, &mut all).unwrap();
            bitmap.select_all(&mut expected).unwrap();
            prop_assert_eq!(all, expected);
            for bad in [bitmap.live(), u64::MAX] {
                prop_assert_eq!(places.select_all(&bitmap, &mut [bad]), Err(bad));
            }
        }
    }
}
