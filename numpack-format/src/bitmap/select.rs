//! Counts over a bitmap's words that make rank and select a few steps each.
//!
//! For each block of 512 rows: the ones before it, and before each of its words, packed; that is a
//! quarter of the words' size. For every 512th one: its block; at most a sixteenth.

/// Words in a block.
const BLOCK: usize = 8;
/// The block of every so many-th one is kept. No block has more ones, so none is named twice.
const HINT: u64 = 512;
/// Bits of a count within a block, which is at most 448.
const LANE: usize = 9;
/// The lowest bit of each of the seven lanes, and the highest.
const LOW: u64 = 0x0040_2010_0804_0201;
const HIGH: u64 = LOW << (LANE - 1);

#[derive(Clone, Copy, PartialEq, Debug)]
struct Block {
    /// Ones before the block.
    before: u64,
    /// Ones of the block before its words 1 to 7, in lanes from the low end; the top bit is 0.
    within: u64,
}

impl Block {
    /// Ones of the block before its `word`, which is below 8.
    fn before_word(self, word: usize) -> u64 {
        // Word 0 has no lane; it gets the top bit.
        self.within >> ((word + BLOCK - 1) % BLOCK * LANE) & 0x1ff
    }

    /// The word with the block's one number `left`, which is below 512.
    fn word_of(self, left: u64) -> usize {
        let left = left * LOW;
        // In each lane, whether `within` is no more than `left`: compared without the highest bits,
        // so that nothing is borrowed from the next lane, then with them.
        let low = (left | HIGH) - (self.within & !HIGH);
        let no_more = ((low | (left ^ self.within)) ^ (self.within & !left)) & HIGH;
        ((no_more >> (LANE - 1)).wrapping_mul(LOW) >> (6 * LANE) & 7) as usize
    }
}

/// The counts. They hold for the words they were made from, which each function is given again.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Counts {
    /// Each block, and two that begin after the last row.
    blocks: Vec<Block>,
    /// The block of one 0, 512, 1024… and the last block. Empty if a number does not fit.
    hints: Vec<u32>,
    ones: u64,
}

impl Counts {
    pub(super) fn new(words: &[u64]) -> Counts {
        let count = words.len().div_ceil(BLOCK);
        let mut blocks = Vec::with_capacity(count + 2);
        let mut hints = Vec::with_capacity(count + 1);
        let mut ones = 0;
        let (whole, rest) = words.as_chunks::<BLOCK>();
        let mut last = [0; BLOCK];
        last[..rest.len()].copy_from_slice(rest);
        let last = [last];
        for (i, words) in whole.iter().chain(&last[..count - whole.len()]).enumerate() {
            let mut within = 0;
            let mut sum = u64::from(words[0].count_ones());
            for (lane, word) in words[1..].iter().enumerate() {
                within |= sum << (lane * LANE);
                sum += u64::from(word.count_ones());
            }
            blocks.push(Block { before: ones, within });
            ones += sum;
            if ones > hints.len() as u64 * HINT {
                hints.push(i as u32);
            }
        }
        blocks.extend([Block { before: ones, within: 0 }; 2]);
        hints.push(count.saturating_sub(1) as u32);
        if u32::try_from(count).is_err() {
            hints.clear();
        }
        Counts { blocks, hints, ones }
    }

    /// All ones.
    pub(super) fn ones(&self) -> u64 {
        self.ones
    }

    /// The ones before bit `at`, which is in the words.
    #[cfg(test)]
    pub(super) fn rank(&self, words: &[u64], at: u64) -> u64 {
        let word = (at / 64) as usize;
        let block = self.blocks[word / BLOCK];
        let below = words[word] & ((1 << (at % 64)) - 1);
        block.before + block.before_word(word % BLOCK) + u64::from(below.count_ones())
    }

    /// The bit that is the `k`-th one; there must be more than `k`.
    #[inline]
    pub(super) fn select(&self, words: &[u64], k: u64) -> u64 {
        let hint = (k / HINT) as usize;
        let (first, last) = match self.hints.get(hint..hint + 2) {
            Some(&[first, last]) => (first as usize, last as usize),
            _ => (0, self.blocks.len() - 3),
        };
        let step = |i: usize| usize::from(self.blocks[first + i].before <= k);
        let at = first
            + if last - first <= 2 {
                // Without a branch: where few rows are dropped this is nearly always so, and which
                // block it is cannot be foreseen.
                step(1) + step(2)
            } else {
                self.blocks[first + 1..=last].partition_point(|b| b.before <= k)
            };
        let block = self.blocks[at];
        let left = k - block.before;
        let word = block.word_of(left);
        let left = left - block.before_word(word);
        let at = at * BLOCK + word;
        at as u64 * 64 + select_in_word(words[at], left)
    }
}

/// The bit of `word` that is the `k`-th one; there must be more than `k`.
#[inline]
fn select_in_word(word: u64, k: u64) -> u64 {
    const BYTES: u64 = 0x0101_0101_0101_0101;
    let twos = word - (word >> 1 & 0x5555_5555_5555_5555);
    let fours = (twos & 0x3333_3333_3333_3333) + (twos >> 2 & 0x3333_3333_3333_3333);
    let eights = (fours + (fours >> 4)) & 0x0f0f_0f0f_0f0f_0f0f;
    // In each byte, the ones in it and all lower ones: at most 64, so the top bits are free.
    let up_to = eights.wrapping_mul(BYTES);
    let passed = (((k | 0x80) * BYTES) - up_to) >> 7 & BYTES;
    let shift = passed.wrapping_mul(BYTES) >> 56 << 3;
    let left = k - (up_to << 8 >> shift & 0xff);
    shift + u64::from(IN_BYTE[(left << 8 | word >> shift & 0xff) as usize & 0x7ff])
}

/// At `k << 8 | byte`: the bit of `byte` that is its `k`-th one.
static IN_BYTE: [u8; 2048] = {
    let mut table = [0; 2048];
    let mut byte = 0;
    while byte < 256 {
        let (mut bit, mut k) = (0, 0);
        while bit < 8 {
            if byte >> bit & 1 == 1 {
                table[k << 8 | byte] = bit;
                k += 1;
            }
            bit += 1;
        }
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Words of every kind: none, all, few, most, half.
    fn words() -> impl Strategy<Value = Vec<u64>> {
        let word = prop_oneof![
            4 => Just(0),
            4 => Just(u64::MAX),
            1 => (0..64u32).prop_map(|b| 1 << b),
            1 => (0..64u32).prop_map(|b| !(1 << b)),
            1 => any::<u64>(),
        ];
        proptest::collection::vec((word, 1usize..12), 0..24)
            .prop_map(|runs| runs.into_iter().flat_map(|(w, n)| vec![w; n]).collect())
    }

    proptest! {
        #[test]
        fn rank_and_select_agree_with_a_plain_list(words in words()) {
            let mut counts = Counts::new(&words);
            let ones: Vec<u64> = (0..words.len() as u64 * 64)
                .filter(|&r| words[(r / 64) as usize] >> (r % 64) & 1 == 1)
                .collect();
            prop_assert_eq!(counts.ones(), ones.len() as u64);
            for hints in [true, false] {
                if !hints {
                    counts.hints.clear();
                }
                for (k, &r) in ones.iter().enumerate() {
                    prop_assert_eq!(counts.select(&words, k as u64), r);
                    prop_assert_eq!(counts.rank(&words, r), k as u64);
                }
            }
            for r in 0..words.len() as u64 * 64 {
                prop_assert_eq!(counts.rank(&words, r), ones.partition_point(|&o| o < r) as u64);
            }
        }
    }

    #[test]
    fn far_apart() {
        // The hint names blocks that are far from each other.
        let mut words = vec![0; 100_000];
        for i in [0, 99_999] {
            words[i] = u64::MAX;
        }
        for word in &mut words[50_000..50_010] {
            *word = u64::MAX;
        }
        let counts = Counts::new(&words);
        assert_eq!(counts.select(&words, 63), 63);
        assert_eq!(counts.select(&words, 64), 50_000 * 64);
        assert_eq!(counts.select(&words, 703), 50_010 * 64 - 1);
        assert_eq!(counts.select(&words, 704), 99_999 * 64);
        assert_eq!(counts.select(&words, 767), 6_399_999);
    }

    #[test]
    fn the_counts_take_less_than_a_third_of_the_words() {
        for word in [u64::MAX, 0x7fff_fdff_ffff_ff7f, 1] {
            let words = vec![word; 16_384];
            let counts = Counts::new(&words);
            let bytes = counts.blocks.len() * size_of::<Block>() + counts.hints.len() * 4;
            assert!(bytes * 3 < words.len() * 8, "{bytes}");
        }
    }
}
