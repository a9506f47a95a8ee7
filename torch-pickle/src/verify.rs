//! Checking all of a file at once.

use crate::checkpoint::Checkpoint;
use crate::error::{Error, Part};
use crate::place::Data;
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
        let path = self.path();
        for input in self.inputs() {
            let Some(archive) = &input.archive else { continue };
            for index in 0..archive.len() as u32 {
                let name = archive.entry(index).name;
                let checked = archive.record(&input.source, index).and_then(|record| {
                    let policy = CrcPolicy::Refuse;
                    record::pass(&input.source, name, &record, policy, STEP, &mut |_| Ok(()))
                });
                faults.extend(checked.err());
            }
        }
        let tree = self.tree();
        for (i, storage) in tree.storages().iter().enumerate() {
            let id = StorageId(i as u32);
            let Ok(data) = self.data(id) else { continue };
            if storage.nbytes() != Some(data.len()) {
                let problem = format!("it has {} bytes and {} elements", data.len(), storage.numel);
                let at = data.record().map(|record| record.offset);
                faults.push(Error::format(self.record_path(id), self.record_part(id), at, problem));
            }
            if matches!(data, Data::Pieces(_)) {
                faults.extend(data.pass(CrcPolicy::Refuse, STEP, &mut |_| Ok(())).err());
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
