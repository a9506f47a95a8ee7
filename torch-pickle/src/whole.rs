//! Whole storages: as a stream, and checked by a caller who reads the bytes anyway.

use crate::error::Result;
use crate::place::Data;
use crate::record;
use crate::resolve::swap_bytes;
use crate::{Checkpoint, StorageId};

impl Checkpoint {
    /// Hands all bytes of a storage, little-endian, to `sink` in pieces of at most `chunk` bytes
    /// (between 4 KiB and 8 MiB); no more than one piece is held in memory.
    ///
    /// A checksum may be found wrong only after the last piece: what `sink` was given counts once
    /// this returns `Ok`.
    ///
    /// # Errors
    /// As [`read_storage_into`](Self::read_storage_into), and the first error of `sink`.
    pub fn stream_storage(
        &self,
        id: StorageId,
        chunk: usize,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let data = self.data(id)?;
        let swap = self.storage_swap(id)?;
        // A multiple of every element's size.
        let step = chunk.clamp(4 << 10, 8 << 20) & !15;
        let warning = data.pass(self.policy(id), step, &mut |piece| {
            swap_bytes(piece, swap);
            sink(piece)
        })?;
        self.warn(warning);
        self.note_checked(id);
        Ok(())
    }

    /// Whether the checksum of a storage is still to be compared: there is one, the policy wants
    /// it, and no earlier read has done so.
    ///
    /// # Errors
    /// As [`storage_record`](Self::storage_record).
    pub fn wants_checksum(&self, id: StorageId) -> Result<bool> {
        Ok(!self.crc_is_settled(id, &self.data(id)?))
    }

    /// Compares a checksum that the caller computed over all bytes of the record, as they stand in
    /// the file, while copying them by other means.
    ///
    /// # Errors
    /// [`Error::Format`](crate::Error::Format) where it is wrong and the policy is to refuse.
    pub fn compare_checksum(&self, id: StorageId, found: u32) -> Result<()> {
        let crc = crc32fast::Hasher::new_with_initial(found);
        if let Data::Record { source, name, record } = self.data(id)? {
            self.warn(record::verdict(source, name, &record, self.options().crc, crc)?);
        }
        self.note_checked(id);
        Ok(())
    }

    /// Reads a storage only to compare its checksum, unless that was done.
    ///
    /// # Errors
    /// As [`compare_checksum`](Self::compare_checksum).
    pub fn check_storage(&self, id: StorageId) -> Result<()> {
        self.settle_crc(id, &self.data(id)?, 1 << 20)
    }
}
