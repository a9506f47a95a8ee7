//! `libnumpack.redo`: a committed change that may not have been applied yet. Its file may serve
//! for the next one; see [`crate::spare`]. A change of few rows may have its record elsewhere; see
//! [`crate::row_log`].

use crate::cursor::{Cursor, put_str};
use crate::disk::{self, Access, Dir, FileId, Found};
use crate::error::{Error, Result, UPGRADE, format};
use crate::limits::Limits;
use crate::metadata::Metadata;
use crate::names;
use crate::patches::{Patches, Runs, Source};
use crate::spare::{self, Spare};
use sha2::{Digest, Sha256};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The record's name in the store.
pub(crate) const FILE: &str = "libnumpack.redo";
/// Its name until it is complete, and afterwards if it is kept for the next one.
pub(crate) const TEMPORARY: &str = "libnumpack.redo.tmp";
/// Where the metadata stands until it is complete.
pub(crate) const METADATA_TEMPORARY: &str = "libnumpack.meta.tmp";
/// Where a bitmap stands until it is complete.
pub(crate) const BITMAP_TEMPORARY: &str = "libnumpack.bitmap.tmp";
/// Where the copy of a data file stands until its new rows are in it.
pub(crate) const ROWS_TEMPORARY: &str = "libnumpack.rows.tmp";
/// The folder of new data files.
pub(crate) const STAGE: &str = "libnumpack.stage";

const MAGIC: [u8; 8] = *b"NPKREDO\0";
const VERSION: u32 = 2;
const HEADER: u64 = 16;
/// The two lengths, and the checksum.
const TRAILER: u64 = 48;
/// The size of a checksum.
pub(crate) const CHECKSUM: usize = 32;
/// A record that is being prepared is kept in memory up to here: the file of a larger one does not
/// serve again.
const IN_MEMORY: usize = spare::MAX as usize;
/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

/// A change of the store: what is to be done, in the order of the fields.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Redo {
    /// SHA-256 of the metadata this replaces.
    pub(crate) old: [u8; 32],
    /// New bytes of rows, by data file; they wait in the record's own file.
    pub(crate) rows: HashMap<String, Runs>,
    /// Bitmaps to write: file name, bytes.
    pub(crate) bitmaps: Vec<(String, Vec<u8>)>,
    /// Bitmaps to remove, by file name.
    pub(crate) stale_bitmaps: Vec<String>,
    /// Data files to move.
    pub(crate) renames: Vec<Rename>,
    /// The whole new metadata file; empty if it stays as it is.
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

/// A record that is being prepared, not visible yet. New bytes of rows come first, so that they
/// need not be kept in memory until the rest is known: many wait in the record's file, few where
/// they are.
#[derive(Debug)]
pub(crate) struct RecordWriter {
    path: PathBuf,
    so_far: SoFar,
}

#[derive(Debug)]
enum SoFar {
    InMemory(Vec<u8>),
    InFile(Begun),
}

/// A record of which a part is in its file.
#[derive(Debug)]
struct Begun {
    file: Arc<File>,
    hash: Sha256,
    at: u64,
    /// No byte of the file lies further.
    reach: u64,
    /// What the file was made like.
    like: Option<Access>,
    /// What the file is, and its length, if it had been there already; then it is locked.
    reused: Option<(Found, u64)>,
}

impl RecordWriter {
    pub(crate) fn new(dir: &Dir) -> RecordWriter {
        let mut header = vec![0; HEADER as usize];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        RecordWriter { path: dir.join(TEMPORARY), so_far: SoFar::InMemory(header) }
    }

    /// Adds bytes, and says where they are.
    pub(crate) fn put(&mut self, bytes: &[u8], dir: &Dir) -> Result<u64> {
        match &mut self.so_far {
            SoFar::InMemory(held) if held.len() + bytes.len() <= IN_MEMORY => {
                let at = held.len() as u64;
                held.extend_from_slice(bytes);
                Ok(at)
            }
            SoFar::InMemory(held) => {
                let mut begun = Begun::of(held, dir, None, &self.path)?;
                let at = begun.put(bytes, &self.path);
                self.so_far = SoFar::InFile(begun);
                at
            }
            SoFar::InFile(begun) => begun.put(bytes, &self.path),
        }
    }

    /// Whether a part of it is in its file.
    pub(crate) fn is_begun(&self) -> bool {
        matches!(self.so_far, SoFar::InFile(_))
    }

    /// The whole record but for its checksum, if it is in memory and has up to so many bytes with
    /// that.
    pub(crate) fn in_memory(
        &self,
        redo: &Redo,
        most: u64,
        limits: &Limits,
    ) -> Result<Option<Vec<u8>>> {
        let SoFar::InMemory(held) = &self.so_far else { return Ok(None) };
        let mut all = held.clone();
        redo.put_after(held.len() as u64, &mut all);
        let len = (all.len() + CHECKSUM) as u64;
        if len > most {
            return Ok(None);
        }
        check_size(&self.path, len, limits)?;
        Ok(Some(all))
    }

    /// Adds the change itself, and makes the file durable: a record that may be published, and
    /// whose file may serve again once it has been carried out. That of an earlier one serves, if it
    /// can be had.
    pub(crate) fn finish(
        self,
        dir: &Dir,
        spare: Option<Spare>,
        redo: &Redo,
        limits: &Limits,
    ) -> Result<Spare> {
        let path = &self.path;
        let mut rest = Vec::new();
        redo.put_after(self.len(), &mut rest);
        check_size(path, self.len() + (rest.len() + CHECKSUM) as u64, limits)?;
        let begun = match self.so_far {
            // With what has been put before, in one go.
            SoFar::InMemory(mut all) => {
                all.append(&mut rest);
                let checksum = sha256(&all);
                all.extend_from_slice(&checksum);
                Begun::of(&all, dir, spare, path)?
            }
            SoFar::InFile(mut begun) => {
                let checksum = begun.hash.clone().chain_update(&rest).finalize();
                rest.extend_from_slice(&checksum);
                begun.put(&rest, path)?;
                begun
            }
        };
        begun.finish(path)
    }

    fn len(&self) -> u64 {
        match &self.so_far {
            SoFar::InMemory(held) => held.len() as u64,
            SoFar::InFile(begun) => begun.at,
        }
    }

    /// What waits in it, for reading before it is complete.
    pub(crate) fn patches(&self, rows: &HashMap<String, Runs>) -> Patches {
        let source = match &self.so_far {
            SoFar::InMemory(held) => Source::Memory(held[..].into()),
            SoFar::InFile(begun) => Source::File(begun.file.clone()),
        };
        Patches { source, path: self.path.clone(), of: rows.clone() }
    }
}

impl Begun {
    fn of(bytes: &[u8], dir: &Dir, spare: Option<Spare>, path: &Path) -> Result<Begun> {
        let like = dir.like;
        let mut begun = match spare.filter(|spare| spare.lock(dir)) {
            Some(spare) => Begun {
                file: spare.file,
                hash: Sha256::new(),
                at: 0,
                reach: spare.len,
                like,
                reused: Some((spare.found, spare.len)),
            },
            // Only a record that never became visible, or is no more, can be in the way.
            None => {
                let file = Arc::new(dir.create_anew(TEMPORARY, like)?);
                Begun { file, hash: Sha256::new(), at: 0, reach: 0, like, reused: None }
            }
        };
        begun.put(bytes, path).inspect_err(|_| drop(dir.remove_file(TEMPORARY)))?;
        Ok(begun)
    }

    fn put(&mut self, bytes: &[u8], path: &Path) -> Result<u64> {
        let (at, end) = (self.at, self.at + bytes.len() as u64);
        self.reach = self.reach.max(end);
        disk::write_at(&self.file, bytes, at, path)?;
        self.hash.update(bytes);
        self.at = end;
        Ok(at)
    }

    fn finish(self, path: &Path) -> Result<Spare> {
        let end = self.at;
        // Rows that could not be written whole may have left more than the record needs.
        if self.reach > end {
            disk::cut(&self.file, end, path)?;
        }
        let found = match self.reused {
            Some((found, len)) => {
                if len == end {
                    // Nothing but its bytes has changed, which needs no commit of a journal.
                    disk::sync_data(&self.file, path)?;
                } else {
                    disk::sync_file(&self.file, path)?;
                }
                // Once it has its name, readers are to find it free.
                self.file.unlock().map_err(Error::io("unlock", path))?;
                found
            }
            None => {
                disk::sync_file(&self.file, path)?;
                Found::of(&self.file).map_err(Error::io("inspect", path))?
            }
        };
        Ok(Spare { file: self.file, len: end, found, like: self.like })
    }
}

impl Redo {
    /// Adds the change, and the two lengths, to a record of so many bytes.
    fn put_after(&self, len: u64, out: &mut Vec<u8>) {
        let body = self.body();
        out.extend_from_slice(&body);
        out.extend_from_slice(&(len - HEADER).to_le_bytes());
        out.extend_from_slice(&(body.len() as u64).to_le_bytes());
    }

    fn body(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.metadata.len() + 512);
        out.extend_from_slice(&self.old);
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by_key(|(file, _)| *file);
        put_list(&mut out, &rows, |out, (file, runs)| {
            put_str(out, file);
            out.extend_from_slice(&(runs.iter().len() as u64).to_le_bytes());
            for (offset, run) in runs.iter() {
                for n in [offset, run.len, run.at] {
                    out.extend_from_slice(&n.to_le_bytes());
                }
            }
        });
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
        out
    }

    /// Reads and checks the record of a folder, if there is one. New bytes of rows stay in the
    /// file, which is kept open, and is not overwritten as long as it is.
    pub(crate) fn read(dir: &Dir, limits: &Limits) -> Result<Option<(Arc<File>, FileId, Redo)>> {
        let Some((file, id)) = spare::open_record(dir)? else { return Ok(None) };
        let file = Arc::new(file);
        let record = Source::File(file.clone());
        let redo = Redo::read_checked(&record, id.len(), &[], &dir.join(FILE), limits);
        Ok(Some((file, id, redo.map_err(with_hint)?)))
    }

    /// Reads and checks a record of so many bytes. Its checksum is of what stands `before` it, too.
    pub(crate) fn read_checked(
        record: &Source,
        len: u64,
        before: &[u8],
        path: &Path,
        limits: &Limits,
    ) -> Result<Redo> {
        let read = |at: u64, out: &mut [u8]| {
            record.read_exact_at(out, at).map_err(Error::io("read", path))
        };
        if len < HEADER + TRAILER {
            return Err(format(path, len, "the file ends before its checksum"));
        }
        check_size(path, len, limits)?;
        let mut header = [0; HEADER as usize];
        read(0, &mut header)?;
        let mut c = Cursor::new(&header, path);
        if c.take(8, "magic")? != MAGIC {
            return Err(c.error(0, "expected the magic of a redo record"));
        }
        let version = c.u32("version")?;
        if version > VERSION {
            let problem = format!("the redo record has version {version}, only {VERSION} is known");
            return Err(Error::Unsupported {
                file: path.to_owned(),
                array: None,
                offset: Some(8),
                problem,
                hint: UPGRADE,
            });
        }
        if version != VERSION || c.u32("reserved")? != 0 {
            return Err(c.error(8, "expected version 2 and four zero bytes"));
        }
        let mut trailer = [0; TRAILER as usize];
        read(len - TRAILER, &mut trailer)?;
        let mut c = Cursor::new(&trailer, path);
        let (rows, body) = (c.u64("length of the rows")?, c.u64("length of the change")?);
        let rest = len - HEADER - TRAILER;
        if rows.checked_add(body) != Some(rest) {
            let problem = format!("its parts have {rows} and {body} bytes, the file holds {rest}");
            return Err(format(path, len - TRAILER, problem));
        }
        let mut hash = Sha256::new_with_prefix(before);
        let mut buffer = vec![0; (len - 32).min(CHUNK as u64) as usize];
        let mut at = 0;
        while at < len - 32 {
            let n = (len - 32 - at).min(buffer.len() as u64) as usize;
            read(at, &mut buffer[..n])?;
            hash.update(&buffer[..n]);
            at += n as u64;
        }
        if hash.finalize()[..] != trailer[16..] {
            return Err(format(path, len - 32, "the checksum does not match the record"));
        }
        drop(buffer);
        let mut bytes = vec![0; body as usize];
        read(HEADER + rows, &mut bytes)?;
        Redo::parse(&bytes, path, rows)
    }

    /// Reads the change itself; `rows` bytes of rows lie before it.
    fn parse(bytes: &[u8], path: &Path, rows: u64) -> Result<Redo> {
        let mut c = Cursor::new(bytes, path);
        let mut redo = Redo { old: c.digest("old metadata hash")?, ..Redo::default() };
        for _ in 0..c.count(12, "the number of files with new rows")? {
            let name = local(&mut c, is_plain)?;
            let at = c.at();
            let n = c.u64("the number of runs")?;
            if n > c.left() as u64 / 24 {
                return Err(c.error(at, format!("{n} runs are more than the record can hold")));
            }
            let mut runs = Runs::default();
            for _ in 0..n {
                let at = c.at();
                let (offset, len, from) =
                    (c.u64("offset of rows")?, c.u64("length of rows")?, c.u64("place of rows")?);
                let there =
                    from >= HEADER && from.checked_add(len).is_some_and(|end| end - HEADER <= rows);
                if !there || offset.checked_add(len).is_none() {
                    return Err(c.error(at, "a run of new rows is out of range"));
                }
                runs.put(offset, len, from);
            }
            if let Some(name) = redo.rows.insert(name.clone(), runs).map(|_| name) {
                return Err(c.error(at, twice(&name)));
            }
        }
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
        c.end()?;
        redo.check_once().map_err(|problem| format(path, None, problem))?;
        Ok(redo)
    }

    /// No writer does two things to one file, and which of them a reader would see first is not
    /// that of who carries them out.
    fn check_once(&self) -> Result<(), String> {
        let renames = self.renames.iter().flat_map(|r| [&r.staged, &r.target]);
        let bitmaps = self.bitmaps.iter().map(|(name, _)| name).chain(&self.stale_bitmaps);
        let mut all = self.rows.keys().chain(bitmaps).chain(renames).chain(&self.removals);
        let mut seen = HashSet::new();
        all.find(|name| !seen.insert(&name[..])).map_or(Ok(()), |name| Err(twice(name)))
    }

    /// Refuses a record that has more than new rows, where there is no place for more.
    pub(crate) fn check_only_rows(&self, path: &Path) -> Result<()> {
        let bitmaps = self.bitmaps.len() + self.stale_bitmaps.len();
        let files = self.renames.len() + self.removals.len() + self.folders.len();
        if bitmaps + files + self.metadata.len() == 0 {
            return Ok(());
        }
        Err(with_hint(format(path, None, "it changes more than rows, for which it is no place")))
    }

    /// Every data file that is moved must become one of an array, and new rows must lie in one:
    /// `metadata` is what holds after the change.
    pub(crate) fn check_targets(&self, metadata: &Metadata, file: &Path) -> Result<()> {
        if self.renames.is_empty() && self.rows.is_empty() {
            return Ok(());
        }
        let known: HashMap<&str, u64> =
            metadata.iter().map(|r| (r.data_file, r.size_bytes)).collect();
        let renames = self.renames.iter().map(|r| &r.target);
        let mut files: HashSet<&String> = renames.collect();
        files.extend(self.rows.keys());
        for name in files {
            let Some(&size) = known.get(&name[..]) else {
                let problem = format!("it changes {name:?}, which no array uses");
                return Err(with_hint(format(file, None, problem)));
            };
            let end = self.rows.get(name).map_or(0, Runs::end);
            if end > size {
                let problem =
                    format!("it has new rows of {name:?} up to byte {end}, the array has {size}");
                return Err(with_hint(format(file, None, problem)));
            }
        }
        Ok(())
    }
}

fn twice(name: &str) -> String {
    format!("it does two things to {name:?}")
}

fn check_size(path: &Path, value: u64, limits: &Limits) -> Result<()> {
    let (what, limit) = ("the size of the redo record", limits.max_redo_bytes);
    if value <= limit {
        return Ok(());
    }
    Err(Error::Limit { file: path.to_owned(), array: None, what, value, limit })
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
    use std::os::unix::fs::FileExt;

    fn write(redo: &Redo, rows: &[u8]) -> Vec<u8> {
        let t = tempfile::tempdir().unwrap();
        let dir = Dir::open(t.path()).unwrap();
        let mut w = RecordWriter::new(&dir);
        w.put(rows, &dir).unwrap();
        w.finish(&dir, None, redo, &Limits::default()).unwrap();
        std::fs::read(t.path().join(TEMPORARY)).unwrap()
    }

    fn read(file: &File, bytes: &[u8]) -> Result<Redo> {
        file.set_len(bytes.len() as u64).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        let record = Source::File(Arc::new(file.try_clone().unwrap()));
        Redo::read_checked(&record, bytes.len() as u64, &[], Path::new("r"), &Limits::default())
    }

    #[test]
    fn every_flip_and_cut_is_noticed() {
        let mut runs = Runs::default();
        runs.put(4, 3, 16);
        let redo = Redo {
            old: [7; 32],
            rows: HashMap::from([("data_r.npkd".into(), runs)]),
            bitmaps: vec![("deleted_a.npkb".into(), vec![1, 2, 3])],
            stale_bitmaps: vec!["deleted_b.npkb".into()],
            renames: vec![Rename { staged: "0.new".into(), target: "data_a.npkd".into(), len: 4 }],
            metadata: vec![9; 40],
            removals: vec!["data_x_segments/seg_000000.npkd".into()],
            folders: vec!["data_x_segments".into()],
        };
        let bytes = write(&redo, &[1, 2, 3]);
        let file = tempfile::tempfile().unwrap();
        assert_eq!(read(&file, &bytes).unwrap(), redo);
        for i in 0..bytes.len() {
            assert!(read(&file, &bytes[..i]).is_err(), "cut at {i}");
            for bit in 0..8 {
                let mut bad = bytes.clone();
                bad[i] ^= 1 << bit;
                assert!(read(&file, &bad).is_err(), "flip of bit {bit} at {i}");
            }
        }
    }

    #[test]
    fn what_a_failed_write_left_is_cut_off() {
        let t = tempfile::tempdir().unwrap();
        let dir = Dir::open(t.path()).unwrap();
        let mut w = RecordWriter::new(&dir);
        let large = [7; 2 * IN_MEMORY];
        w.put(&large, &dir).unwrap();
        let guard = crate::fault::arm(1, crate::fault::Action::Short(rustix::io::Errno::IO), false);
        assert!(w.put(&large, &dir).is_err());
        drop(guard);
        let file = t.path().join(TEMPORARY);
        assert!(std::fs::metadata(&file).unwrap().len() > 5 * IN_MEMORY as u64 / 2);
        w.finish(&dir, None, &Redo::default(), &Limits::default()).unwrap();
        assert!(std::fs::metadata(file).unwrap().len() < 5 * IN_MEMORY as u64 / 2);
        let bytes = std::fs::read(t.path().join(TEMPORARY)).unwrap();
        assert_eq!(read(&tempfile::tempfile().unwrap(), &bytes).unwrap(), Redo::default());
    }

    #[test]
    fn paths_and_ranges_are_checked() {
        let file = tempfile::tempfile().unwrap();
        let refused = |redo: Redo| read(&file, &write(&redo, &[0; 4])).is_err();
        let to =
            |target: &str| vec![Rename { staged: "1.new".into(), target: target.into(), len: 0 }];
        let rows = |name: &str, offset, len, at| {
            let mut runs = Runs::default();
            runs.put(offset, len, at);
            Redo { rows: HashMap::from([(name.to_owned(), runs)]), ..Redo::default() }
        };
        for bad in ["../x", "/x", "metadata.npkm", "link/x", "x_segments/x", "data_a_segments/x/y"]
        {
            assert!(refused(Redo { removals: vec![bad.into()], ..Redo::default() }), "{bad}");
            assert!(refused(Redo { renames: to(bad), ..Redo::default() }), "{bad}");
            assert!(refused(rows(bad, 0, 1, 16)), "{bad}");
        }
        for bad in ["deleted_a/b.npkb", "data_a.npkd", "deleted_a", "x.npkb"] {
            assert!(refused(Redo { stale_bitmaps: vec![bad.into()], ..Redo::default() }), "{bad}");
            assert!(refused(Redo { bitmaps: vec![(bad.into(), vec![])], ..Redo::default() }));
        }
        for bad in ["a", "data_a_segments/b", "link/data_a_segments"] {
            assert!(refused(Redo { folders: vec![bad.into()], ..Redo::default() }), "{bad}");
        }
        assert!(!refused(rows("data_a.npkd", 9, 4, 16)));
        for (offset, len, at) in
            [(0, 1, 15), (0, 5, 16), (0, 1, 20), (u64::MAX - 3, 3, u64::MAX - 8)]
        {
            assert!(refused(rows("data_a.npkd", offset, len, at)), "{len} bytes at {at}");
        }
        // One file, and two things done to it.
        let bitmap = || "deleted_a.npkb".to_owned();
        let moved = |staged: &str, target: &str| Rename {
            staged: staged.into(),
            target: target.into(),
            len: 0,
        };
        for bad in [
            Redo {
                bitmaps: vec![(bitmap(), vec![])],
                stale_bitmaps: vec![bitmap()],
                ..Redo::default()
            },
            Redo { stale_bitmaps: vec![bitmap(), bitmap()], ..Redo::default() },
            Redo { renames: vec![moved("1", "a"), moved("1", "b")], ..Redo::default() },
            Redo { renames: vec![moved("1", "a"), moved("2", "a")], ..Redo::default() },
            Redo { renames: to("a"), removals: vec!["a".into()], ..Redo::default() },
            Redo { renames: to("a"), ..rows("a", 0, 1, 16) },
            Redo { removals: vec!["a".into()], ..rows("a", 0, 1, 16) },
        ] {
            let e = read(&file, &write(&bad, &[0; 4])).unwrap_err();
            assert!(e.to_string().contains("it does two things to"), "{e}");
        }
        let unknown = Redo { renames: to("data_a.npkd"), ..Redo::default() };
        assert!(!refused(unknown.clone()));
        assert!(unknown.check_targets(&Metadata::default(), Path::new("r")).is_err());
    }
}
