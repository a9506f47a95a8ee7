//! A hash index that holds only positions: the keys stay where they are.
//!
//! A checkpoint may have a hundred thousand records; a map of owned names would cost more than the
//! archive's directory itself.

use std::hash::{BuildHasher, RandomState};

/// A hash of bytes under a random key, so that no file can be made whose names all collide.
///
/// The standard library's is several times slower on names this short, and an index is asked for
/// each record and each key.
#[derive(Clone, Debug)]
pub(crate) struct Hasher {
    key: [u64; 2],
}

impl Default for Hasher {
    fn default() -> Hasher {
        let random = RandomState::new();
        Hasher { key: [random.hash_one(0), random.hash_one(1)] }
    }
}

impl Hasher {
    #[inline]
    pub(crate) fn hash(&self, bytes: &[u8]) -> u64 {
        let fold = |a: u64, b: u64| {
            let wide = u128::from(a) * u128::from(b);
            wide as u64 ^ (wide >> 64) as u64
        };
        let (words, rest) = bytes.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        // The odd constants keep a word of zeros from ending the chain.
        let mut state = self.key[0] ^ bytes.len() as u64;
        for word in words {
            state = fold(state ^ u64::from_le_bytes(*word), self.key[1] | 1) ^ self.key[0];
        }
        state = fold(state ^ u64::from_le_bytes(last), self.key[1] | 1);
        fold(state ^ self.key[1], 0x9E37_79B9_7F4A_7C15)
    }
}

/// Positions in some sequence, found by the hash of what stands there.
#[derive(Debug, Default)]
pub(crate) struct IdTable {
    /// A power of two of slots: the upper half of the hash, and a position plus one; zero is free.
    slots: Vec<u64>,
    len: usize,
}

impl IdTable {
    /// The position with this hash for which `eq` holds.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut eq: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let mask = self.slots.len() - 1;
        let mut i = (hash >> 32) as usize & mask;
        loop {
            match self.slots[i] {
                0 => return None,
                slot if (slot ^ hash) >> 32 == 0 && eq(slot as u32 - 1) => {
                    return Some(slot as u32 - 1);
                }
                _ => i = (i + 1) & mask,
            }
        }
    }

    /// Makes room for as many entries more.
    pub(crate) fn reserve(&mut self, more: usize) {
        let wanted = (self.len.saturating_add(more)).saturating_mul(8) / 7 + 1;
        if wanted > self.slots.len() {
            self.grow(wanted.next_power_of_two());
        }
    }

    fn grow(&mut self, slots: usize) {
        let mut grown = vec![0; slots];
        for &slot in self.slots.iter().filter(|&&s| s != 0) {
            place(&mut grown, slot);
        }
        self.slots = grown;
    }

    /// Adds a position that is not there yet.
    pub(crate) fn insert(&mut self, hash: u64, id: u32) {
        if (self.len + 1) * 8 > self.slots.len() * 7 {
            self.grow((self.slots.len() * 2).max(16));
        }
        place(&mut self.slots, hash >> 32 << 32 | u64::from(id + 1));
        self.len += 1;
    }
}

fn place(slots: &mut [u64], slot: u64) {
    let mask = slots.len() - 1;
    let mut i = (slot >> 32) as usize & mask;
    while slots[i] != 0 {
        i = (i + 1) & mask;
    }
    slots[i] = slot;
}

/// Hashes of which no two are the same.
pub(crate) struct Distinct {
    /// A power of two of slots, more than there will be hashes; zero is free.
    slots: Vec<u64>,
}

impl Distinct {
    /// Room for `n` hashes. More must not be put in.
    pub(crate) fn with_capacity(n: usize) -> Distinct {
        Distinct { slots: vec![0; (n.saturating_mul(4) / 3 + 1).next_power_of_two()] }
    }

    /// Puts in a hash; `false` where it may be there already.
    #[inline]
    pub(crate) fn insert(&mut self, hash: u64) -> bool {
        let hash = hash.max(1);
        let mask = self.slots.len() - 1;
        let mut i = (hash >> 32) as usize & mask;
        loop {
            match self.slots[i] {
                0 => {
                    self.slots[i] = hash;
                    return true;
                }
                slot if slot == hash => return false,
                _ => i = (i + 1) & mask,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_put_in_even_when_all_hashes_collide() {
        for hash in [|_| 7u64, |k: u32| u64::from(k).wrapping_mul(0x9E37_79B9_7F4A_7C15)] {
            let mut table = IdTable::default();
            for k in 0..200 {
                assert_eq!(table.find(hash(k), |id| id == k), None);
                table.insert(hash(k), k);
            }
            assert!((0..200).all(|k| table.find(hash(k), |id| id == k) == Some(k)));
        }
    }

    #[test]
    fn hashes_of_similar_names_spread() {
        let hasher = Hasher::default();
        let names = (0..100_000).map(|i| format!("archive/data/{i}"));
        let mut low: Vec<u64> = names.map(|n| hasher.hash(n.as_bytes()) >> 32).collect();
        low.sort_unstable();
        low.dedup();
        // Of 100,000 random numbers of 32 bits one or two pairs are equal.
        assert!(low.len() > 99_900, "{}", low.len());
        assert_ne!(hasher.hash(b"a"), hasher.hash(b"a\0"));
        assert_ne!(hasher.hash(b""), hasher.hash(b"\0"));
    }
}
