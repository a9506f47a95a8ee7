//! Whether a tensor lies within its storage.

use crate::{Storage, Tensor};

impl Tensor {
    /// Checks that each element lies in the storage and that the counts are ones torch could have.
    ///
    /// A tensor without elements lies in any storage, whatever its other sizes are; one with
    /// stride 0 may show far more elements than are stored.
    pub(crate) fn check_bounds(&self, storage: &Storage) -> Result<(), String> {
        const MAX: u64 = i64::MAX as u64;
        match self.numel() {
            Some(0) => return Ok(()),
            Some(n) if n <= MAX && self.nbytes().is_some_and(|b| b <= MAX) => {}
            _ => return Err(format!("a tensor of shape {:?} is beyond 64 bits", self.shape)),
        }
        let end = self.end_byte();
        let have = storage.nbytes();
        if end.is_some() && end <= have {
            return Ok(());
        }
        Err(format!(
            "a {} tensor of shape {:?} and stride {:?} from element {} needs {}, and storage {} has {}",
            self.dtype,
            self.shape,
            self.stride,
            self.offset,
            end.map_or("more bytes than 64 bits count".into(), |e| format!("{e} bytes")),
            storage.key,
            have.map_or("more than 64 bits count".into(), |h| format!("{h} bytes")),
        ))
    }
}
