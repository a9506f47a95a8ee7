//! Checking all of a file at once.

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Part};
use crate::{CrcPolicy, StorageId, TensorId, record};

/// Bytes read at a time.
const STEP: usize = 1 << 20;

impl Checkpoint {
    /// Everything that is wrong with the file: of each record the local header, the room between
    /// its neighbours and the checksum, whatever the [`CrcPolicy`]; of each storage the length; of
    /// each tensor the bounds. Empty for a sound file.
    ///
    /// Reads the whole file, in constant memory. What makes a file unreadable is already refused
    /// when it is opened.
    pub fn verify(&self) -> Vec<Error> {
        let mut faults = Vec::new();
        let (archive, file, path) = (self.archive(), self.file(), self.path());
        for index in 0..archive.len() as u32 {
            let name = archive.entry(index).name;
            let checked = archive.record(file, path, index).and_then(|record| {
                let policy = CrcPolicy::Refuse;
                record::pass(file, path, name, &record, policy, STEP, &mut |_| Ok(()))
            });
            faults.extend(checked.err());
        }
        let tree = self.tree();
        for (i, storage) in tree.storages().iter().enumerate() {
            let id = StorageId(i as u32);
            if let Ok(record) = self.storage_record(id)
                && storage.nbytes() != Some(record.len)
            {
                faults.push(Error::format(
                    path,
                    Part::Record(self.record_name(id).into()),
                    record.offset,
                    format!("it has {} bytes and {} elements", record.len, storage.numel),
                ));
            }
        }
        for (i, tensor) in tree.tensors().iter().enumerate() {
            if let Err(problem) = tensor.check_bounds(tree.storage(tensor.storage)) {
                let part = Part::Tensor(self.tensor_name(TensorId(i as u32)).into());
                faults.push(Error::format(path, part, None, problem));
            }
        }
        faults
    }
}
