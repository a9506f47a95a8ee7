//! The files of a store, cut from one input.
//!
//! ```text
//! 0       u8      1: the redo part is a number, so many new bytes of rows, and a change without
//!                 the hash it starts with; header, that hash, sizes and checksum are made to fit
//! 1       4 u16   lengths of the first four parts; the fifth takes what is left
//! 9       …       metadata.npkm, data_a.npkd, deleted_a.npkb, libnumpack.redo, data_a.npkseg
//! ```

use sha2::{Digest, Sha256};

/// The parts of an input. An empty one stands for a file that is not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreInput {
    /// Whether the redo record is completed, which no mutation could do.
    pub complete_redo: bool,
    /// `metadata.npkm`.
    pub metadata: Vec<u8>,
    /// `data_a.npkd`.
    pub data: Vec<u8>,
    /// `deleted_a.npkb`.
    pub bitmap: Vec<u8>,
    /// `libnumpack.redo`, or the number of new bytes, these, and what follows the hash.
    pub redo: Vec<u8>,
    /// `data_a.npkseg`.
    pub segments: Vec<u8>,
}

impl StoreInput {
    /// Cuts an input; lengths that reach too far are shortened.
    pub fn of(input: &[u8]) -> StoreInput {
        let Some((head, mut rest)) = input.split_at_checked(9) else {
            return StoreInput::default();
        };
        let mut part = |i: usize| {
            let len = usize::from(u16::from_le_bytes([head[1 + 2 * i], head[2 + 2 * i]]));
            let (part, left) = rest.split_at(len.min(rest.len()));
            rest = left;
            part.to_vec()
        };
        let (metadata, data, bitmap, redo) = (part(0), part(1), part(2), part(3));
        let complete_redo = head[0] & 1 == 1;
        StoreInput { complete_redo, metadata, data, bitmap, redo, segments: rest.to_vec() }
    }

    /// The input that is cut into these parts.
    ///
    /// # Panics
    /// On a part of 64 KiB or more.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = vec![u8::from(self.complete_redo)];
        let parts = [&self.metadata, &self.data, &self.bitmap, &self.redo];
        for part in parts {
            out.extend(u16::try_from(part.len()).expect("a small part").to_le_bytes());
        }
        for part in parts.into_iter().chain([&self.segments]) {
            out.extend(part);
        }
        out
    }

    /// The name and content of each file that is there.
    pub fn files(&self) -> Vec<(&'static str, Vec<u8>)> {
        let redo = if self.complete_redo && !self.redo.is_empty() {
            complete(&self.redo, &self.metadata)
        } else {
            self.redo.clone()
        };
        let mut files = vec![
            ("metadata.npkm", self.metadata.clone()),
            ("data_a.npkd", self.data.clone()),
            ("deleted_a.npkb", self.bitmap.clone()),
            ("libnumpack.redo", redo),
            ("data_a.npkseg", self.segments.clone()),
        ];
        files.retain(|(_, bytes)| !bytes.is_empty());
        files
    }
}

/// The same record where rows are replaced by what a file holds.
pub fn of_rows(record: &[u8]) -> Vec<u8> {
    let record = &record[..record.len().saturating_sub(32)];
    let mut content = b"NPKROWS\0numbered".to_vec();
    content.extend((record.len() as u64 + 32).to_le_bytes());
    content.extend(record);
    let checksum = Sha256::digest(&content);
    content.extend(checksum);
    content
}

/// A redo record of a number, so many new bytes of rows, and a change without its hash.
pub fn complete(redo: &[u8], metadata: &[u8]) -> Vec<u8> {
    let (n, rest) = redo.split_first().unwrap_or((&0, &[]));
    let (rows, change) = rest.split_at(usize::from(*n).min(rest.len()));
    let mut record = b"NPKREDO\0\x02\0\0\0\0\0\0\0".to_vec();
    record.extend(rows);
    record.extend(Sha256::digest(metadata));
    record.extend(change);
    record.extend((rows.len() as u64).to_le_bytes());
    record.extend((change.len() as u64 + 32).to_le_bytes());
    let checksum = Sha256::digest(&record);
    record.extend(checksum);
    record
}
