//! Rows that are replaced while somebody reads.
//!
//! A writer that replaces rows in place first publishes its record, which holds the new rows, then
//! counts up the number in the lock file, and only then touches the rows; and it withdraws the record
//! when they are all in their place. So, if the number is the
//! same after reading as before, no replacement began meanwhile; and one that had begun before is
//! either complete, or its record was found after its number, and lies over what was read.

use super::Part;
use crate::disk::FileId;
use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::limits::Limits;
use crate::loaded::Loaded;
use crate::patches::{Patches, Runs};
use crate::row_log;
use crate::spare::Held;
use crate::store::{MAX_TRIES, pause};
use std::sync::{Arc, Mutex, PoisonError};

/// What an array needs to see that its rows are being replaced.
#[derive(Debug)]
pub(crate) struct Watch {
    folder: Arc<Folder>,
    limits: Limits,
    /// The count when the array was opened.
    opened: u64,
    seen: Mutex<Seen>,
}

#[derive(Clone, Debug)]
struct Seen {
    count: u64,
    /// New rows that wait, as of that count, and the name that the array's file has there.
    patches: Option<(Arc<Patches>, String)>,
}

impl Watch {
    /// `count` was read before the record with the patches was looked for.
    pub(crate) fn new(
        folder: Arc<Folder>,
        data_file: &str,
        limits: &Limits,
        count: u64,
        patches: Option<Arc<Patches>>,
    ) -> Watch {
        let patches = patches.filter(|p| p.of.contains_key(data_file));
        let patches = patches.map(|p| (p, data_file.to_owned()));
        let seen = Mutex::new(Seen { count, patches });
        Watch { folder, limits: limits.clone(), opened: count, seen }
    }

    fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether no new rows wait for the array, as far as is known.
    pub(crate) fn is_quiet(&self) -> bool {
        self.seen().patches.is_none()
    }

    pub(crate) fn is_unchanged(&self) -> Result<bool> {
        Ok(self.folder.replacements()? == self.opened)
    }

    pub(crate) fn settled(
        &self,
        parts: &[Part],
        mut read: impl FnMut(Option<(&Patches, &Runs)>) -> Result<()>,
    ) -> Result<()> {
        for attempt in 0..MAX_TRIES {
            let seen = self.seen();
            let patches = seen.patches.as_ref().and_then(|(p, name)| Some((&**p, p.of.get(name)?)));
            read(patches)?;
            let count = self.folder.replacements()?;
            if count == seen.count {
                return Ok(());
            }
            let patches = self.waiting(parts)?;
            let mut known = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            // Another thread may know better.
            if count.wrapping_sub(known.count) < u64::MAX / 2 {
                *known = Seen { count, patches };
            }
            drop(known);
            if attempt > 2 {
                pause(attempt);
            }
        }
        Err(Error::Changed { file: self.folder.dir.path().to_owned() })
    }

    /// The new rows that wait now for the very file that the array has open, and under which name:
    /// it may have got another.
    fn waiting(&self, parts: &[Part]) -> Result<Option<(Arc<Patches>, String)>> {
        let dir = &self.folder.dir;
        let [part] = parts else { return Ok(None) };
        let ours = FileId::of(&part.file).map_err(Error::io("inspect", &part.path))?;
        for attempt in 0..MAX_TRIES {
            // Before the other kind of record is looked for, which may be made of it.
            let rows_wait = row_log::read(dir, &self.limits)?.is_some();
            let Some(before) = Held::of(dir)? else {
                pause(attempt);
                continue;
            };
            if before.generation.redo.is_none() && !rows_wait {
                return Ok(None);
            }
            match Loaded::read(dir, &self.limits) {
                Ok(loaded) => {
                    let Some((redo, source, record)) = loaded.redo else { return Ok(None) };
                    for name in redo.rows.keys() {
                        let there = dir.id(name).map_err(Error::io("inspect", dir.join(name)))?;
                        if there.is_some_and(|id| id.same_file(&ours)) {
                            let (name, path) = (name.clone(), dir.join(record));
                            let patches = Patches { source, path, of: redo.rows };
                            return Ok(Some((Arc::new(patches), name)));
                        }
                    }
                    return Ok(None);
                }
                // Another store has taken the place of this one, whose files go.
                Err(Error::NotAStore { .. }) => return Ok(None),
                Err(Error::Changed { .. }) => {}
                // It may be wrong only because it changed while it was read.
                Err(e) => {
                    if before.is_of(dir)? {
                        return Err(e);
                    }
                }
            }
            pause(attempt);
        }
        Err(Error::Changed { file: dir.join(crate::redo::FILE) })
    }
}
