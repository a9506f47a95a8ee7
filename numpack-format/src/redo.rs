//! `libnumpack.redo`: a committed change that may not have been applied yet.

use crate::cursor::{Cursor, put_str};
use crate::error::{Error, Result, UPGRADE, format};
use crate::metadata::Record;
use crate::names;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::path::Path;

/// The record's name in the store.
pub(crate) const FILE: &str = "libnumpack.redo";
/// Its name until it is complete.
pub(crate) const TEMPORARY: &str = "libnumpack.redo.tmp";
/// Where the metadata stands until it is complete.
pub(crate) const METADATA_TEMPORARY: &str = "libnumpack.meta.tmp";
/// Where a bitmap stands until it is complete.
pub(crate) const BITMAP_TEMPORARY: &str = "libnumpack.bitmap.tmp";
/// The folder of new data files.
pub(crate) const STAGE: &str = "libnumpack.stage";

const MAGIC: [u8; 8] = *b"NPKREDO\0";
const VERSION: u32 = 1;
const HEADER: usize = 24;

/// A change of the store: what is to be done, in the order of the fields.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Redo {
    /// SHA-256 of the metadata this replaces.
    pub(crate) old: [u8; 32],
    /// Bitmaps to write: file name, bytes.
    pub(crate) bitmaps: Vec<(String, Vec<u8>)>,
    /// Bitmaps to remove, by file name.
    pub(crate) stale_bitmaps: Vec<String>,
    /// Data files to move.
    pub(crate) renames: Vec<Rename>,
    /// The whole new metadata file.
    pub(crate) metadata: Vec<u8>,
    /// Files to remove afterwards.
    pub(crate) removals: Vec<String>,
    /// Folders to remove afterwards, if they are empty then.
    pub(crate) folders: Vec<String>,
}

/// A new data file, moved from the stage folder to its place in the store.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Rename {
    pub(crate) staged: String,
    pub(crate) target: String,
    /// The file's length, by which it is known again.
    pub(crate) len: u64,
}

/// The SHA-256 of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

impl Redo {
    /// The bytes of the record.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER + self.metadata.len() * 2 + 256);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 12]);
        out.extend_from_slice(&self.old);
        put_list(&mut out, &self.bitmaps, |out, (file, bytes)| {
            put_str(out, file);
            out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            out.extend_from_slice(bytes);
        });
        put_list(&mut out, &self.stale_bitmaps, |out, file| put_str(out, file));
        put_list(&mut out, &self.renames, |out, r| {
            put_str(out, &r.staged);
            put_str(out, &r.target);
            out.extend_from_slice(&r.len.to_le_bytes());
        });
        out.extend_from_slice(&(self.metadata.len() as u64).to_le_bytes());
        out.extend_from_slice(&self.metadata);
        put_list(&mut out, &self.removals, |out, file| put_str(out, file));
        put_list(&mut out, &self.folders, |out, file| put_str(out, file));
        let body = (out.len() - HEADER) as u64;
        out[16..24].copy_from_slice(&body.to_le_bytes());
        let sum = sha256(&out);
        out.extend_from_slice(&sum);
        out
    }

    /// Reads and checks a record.
    pub(crate) fn parse(bytes: &[u8], file: &Path) -> Result<Redo> {
        Redo::parse_checked(bytes, file).map_err(with_hint)
    }

    /// Every data file that is moved must become one of an array: `records` is what the new
    /// metadata holds.
    pub(crate) fn check_targets(&self, records: &[Record], file: &Path) -> Result<()> {
        if self.renames.is_empty() {
            return Ok(());
        }
        let known: HashSet<&str> = records.iter().map(|r| &r.data_file[..]).collect();
        match self.renames.iter().find(|r| !known.contains(&r.target[..])) {
            Some(r) => {
                let problem = format!("it moves a file to {:?}, which no array uses", r.target);
                Err(with_hint(format(file, None, problem)))
            }
            None => Ok(()),
        }
    }

    fn parse_checked(bytes: &[u8], file: &Path) -> Result<Redo> {
        let mut c = Cursor::new(bytes, file);
        if c.take(8, "magic")? != MAGIC {
            return Err(c.error(0, "expected the magic of a redo record"));
        }
        let version = c.u32("version")?;
        if version > VERSION {
            let problem = format!("the redo record has version {version}, only {VERSION} is known");
            return Err(Error::Unsupported {
                file: file.to_owned(),
                array: None,
                offset: Some(8),
                problem,
                hint: UPGRADE,
            });
        }
        if version != VERSION || c.u32("reserved")? != 0 {
            return Err(c.error(8, "expected version 1 and four zero bytes"));
        }
        let body = c.u64("length")?;
        let expected = (c.left() as u64).checked_sub(32);
        if expected != Some(body) {
            return Err(c.error(
                16,
                format!("the length is {body}, the file holds {} bytes after it", c.left()),
            ));
        }
        let (signed, sum) = bytes.split_at(bytes.len() - 32);
        if sha256(signed) != sum {
            return Err(c.error(signed.len() as u64, "the checksum does not match the record"));
        }
        let mut redo = Redo { old: c.digest("old metadata hash")?, ..Redo::default() };
        for _ in 0..c.count(12, "the number of bitmaps")? {
            let name = local(&mut c, names::is_bitmap_file)?;
            let len = c.u64("bitmap length")?;
            redo.bitmaps.push((name, c.take(len, "bitmap")?.to_vec()));
        }
        redo.stale_bitmaps = list(&mut c, "the number of old bitmaps", names::is_bitmap_file)?;
        for _ in 0..c.count(16, "the number of new files")? {
            let staged = local(&mut c, is_plain)?;
            let target = local(&mut c, is_plain)?;
            redo.renames.push(Rename { staged, target, len: c.u64("length of a new file")? });
        }
        let len = c.u64("metadata length")?;
        redo.metadata = c.take(len, "metadata")?.to_vec();
        redo.removals = list(&mut c, "the number of old files", is_removable)?;
        redo.folders = list(&mut c, "the number of old folders", names::is_segment_folder)?;
        let left = c.left();
        if left != 32 {
            return Err(c.error(c.at(), format!("expected the checksum, {left} bytes are left")));
        }
        Ok(redo)
    }
}

fn put_list<T>(out: &mut Vec<u8>, list: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    out.extend_from_slice(&(list.len() as u32).to_le_bytes());
    for item in list {
        put(out, item);
    }
}

fn list(c: &mut Cursor<'_>, what: &str, allowed: fn(&str) -> bool) -> Result<Vec<String>> {
    (0..c.count(4, what)?).map(|_| local(c, allowed)).collect()
}

/// A path inside the store, of a kind that this crate writes: no record may reach further.
fn local(c: &mut Cursor<'_>, allowed: fn(&str) -> bool) -> Result<String> {
    let at = c.at();
    let path = c.string("path")?;
    match names::check_relative(path) {
        Ok(()) if allowed(path) => Ok(path.to_owned()),
        Ok(()) => {
            Err(c.error(at, format!("the path {path:?} is none that such a record may change")))
        }
        Err(problem) => Err(c.error(at, format!("the path {path:?} {problem}"))),
    }
}

/// Whether a path has one component.
pub(crate) fn is_plain(path: &str) -> bool {
    !path.contains('/')
}

/// Whether a record may remove a file: one in the store's folder itself, or a segment.
pub(crate) fn is_removable(path: &str) -> bool {
    path.split_once('/')
        .is_none_or(|(folder, file)| names::is_segment_folder(folder) && is_plain(file))
}

pub(crate) fn with_hint(mut e: Error) -> Error {
    if let Error::Format { hint, .. } = &mut e {
        *hint = "it holds a change that was committed; restore the store from a copy, or delete this file and run verify";
    }
    e
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flip_and_cut_is_noticed() {
        let redo = Redo {
            old: [7; 32],
            bitmaps: vec![("deleted_a.npkb".into(), vec![1, 2, 3])],
            stale_bitmaps: vec!["deleted_b.npkb".into()],
            renames: vec![Rename { staged: "0.new".into(), target: "data_a.npkd".into(), len: 4 }],
            metadata: vec![9; 40],
            removals: vec!["data_x_segments/seg_000000.npkd".into()],
            folders: vec!["data_x_segments".into()],
        };
        let bytes = redo.encode();
        let f = Path::new("r");
        assert_eq!(Redo::parse(&bytes, f).unwrap(), redo);
        for i in 0..bytes.len() {
            assert!(Redo::parse(&bytes[..i], f).is_err(), "cut at {i}");
            let mut bad = bytes.clone();
            bad[i] ^= 0x10;
            assert!(Redo::parse(&bad, f).is_err(), "flip at {i}");
        }
    }

    #[test]
    fn paths_are_checked() {
        let refused = |redo: Redo| Redo::parse(&redo.encode(), Path::new("r")).is_err();
        let to =
            |target: &str| vec![Rename { staged: "1.new".into(), target: target.into(), len: 0 }];
        for bad in ["../x", "/x", "metadata.npkm", "link/x", "x_segments/x", "data_a_segments/x/y"]
        {
            assert!(refused(Redo { removals: vec![bad.into()], ..Redo::default() }), "{bad}");
            assert!(refused(Redo { renames: to(bad), ..Redo::default() }), "{bad}");
        }
        for bad in ["deleted_a/b.npkb", "data_a.npkd", "deleted_a", "x.npkb"] {
            assert!(refused(Redo { stale_bitmaps: vec![bad.into()], ..Redo::default() }), "{bad}");
            assert!(refused(Redo { bitmaps: vec![(bad.into(), vec![])], ..Redo::default() }));
        }
        for bad in ["a", "data_a_segments/b", "link/data_a_segments"] {
            assert!(refused(Redo { folders: vec![bad.into()], ..Redo::default() }), "{bad}");
        }
        let unknown = Redo { renames: to("data_a.npkd"), ..Redo::default() };
        assert!(!refused(unknown.clone()));
        assert!(unknown.check_targets(&[], Path::new("r")).is_err());
    }
}
