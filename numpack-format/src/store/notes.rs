//! The side information of a store, and whether the notes in it fit the arrays.

use super::{Store, open_parts};
use crate::array::{Array, ArrayInfo};
use crate::disk::Dir;
use crate::dtype::DType;
use crate::error::{Error, Result, format};
use crate::limits::Limits;
use crate::metadata::RecordRef;
use crate::side::{self, SideInfo};
use crate::side_codec;
use std::collections::HashMap;

impl Store {
    /// Reads the side information, if there is any, and judges the notes in it.
    pub(super) fn read_side(&mut self) -> Result<()> {
        let record = self.position(side::ARRAY_NAME).map(|i| self.metadata.get(i));
        let (Some(folder), Some(record)) = (&self.folder, record) else { return Ok(()) };
        match read_side(&folder.dir, &self.overlay.staged, &record, &self.limits) {
            Ok(side) => {
                self.judge_notes(&side);
                self.side = Some(side);
            }
            // It may be sound, and must not pass for damaged.
            Err(e @ (Error::Io { .. } | Error::Changed { .. })) => return Err(e),
            Err(e) => {
                self.warnings.push(format!("the side information is left out: {e}"));
                self.side_error = Some(e);
            }
        }
        Ok(())
    }

    /// Finds each array's note, and which notes no longer fit.
    fn judge_notes(&mut self, side: &SideInfo) {
        for (n, note) in side.arrays.iter().enumerate() {
            if note.dropped {
                self.fits.push(false);
                continue;
            }
            let at = self.find(&note.name);
            let problem = match at.map(|i| self.metadata.get(i)) {
                None => Some("the array is gone".to_owned()),
                Some(r) => side_codec::misfit(note, r.dtype, &r.shape()),
            };
            self.fits.push(problem.is_none());
            match (problem, at) {
                (None, Some(i)) => {
                    self.notes.insert(i, n);
                }
                (problem, _) => self.warnings.push(format!(
                    "the note on array {:?} no longer fits and is left out: {}",
                    note.name,
                    problem.unwrap_or_default()
                )),
            }
        }
    }
}

/// Reads the side information.
pub(crate) fn read_side(
    dir: &Dir,
    staged: &HashMap<String, String>,
    record: &RecordRef<'_>,
    limits: &Limits,
) -> Result<SideInfo> {
    let file = dir.join(record.data_file);
    let shape = record.shape();
    if record.dtype != DType::U8 || shape.len() != 1 {
        let problem = format!(
            "expected side information as a 1-D uint8 array, found {shape:?} of {}",
            record.dtype
        );
        return Err(format(&file, None, problem));
    }
    if record.size_bytes > limits.max_side_bytes {
        return Err(Error::Limit {
            file,
            array: None,
            what: "the size of the side information",
            value: record.size_bytes,
            limit: limits.max_side_bytes,
        });
    }
    let parts = open_parts(dir, staged, record.data_file, record.dtype, &shape, limits)?;
    let info = ArrayInfo {
        name: record.name.to_owned(),
        dtype: record.dtype,
        shape,
        stored_rows: record.size_bytes,
        modified_micros: 0,
        note: None,
    };
    let mut bytes = vec![0; record.size_bytes as usize];
    Array::new(info, parts, None, None).read_into(&mut bytes)?;
    side_codec::decode(&bytes, &file)
}
