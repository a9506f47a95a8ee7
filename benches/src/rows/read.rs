//! Reading tensors of a checkpoint into the caller's memory.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use numpack_interop::Tensors;
use torch_pickle::{Checkpoint, StorageId, TensorId};

use super::memory::{in_child, report};
use crate::table::{Bound, Row, Table};
use crate::timing::{Pairs, time};
use crate::{Place, Settings, data};

/// Starts this program again, to list a file and to say what that took.
pub const CHILD: &str = "--list-and-report";

/// A record of a checkpoint.
struct Range {
    offset: u64,
    len: usize,
}

/// Where the tensors of a file lie, each of which is a whole storage.
fn ranges(checkpoint: &Checkpoint) -> Result<Vec<Range>> {
    let storages = checkpoint.tree().storages().len();
    (0..u32::try_from(storages)?)
        .map(|i| {
            let record = checkpoint.storage_record(StorageId(i))?.context("in pieces")?;
            Ok(Range { offset: record.offset, len: usize::try_from(record.len)? })
        })
        .collect()
}

/// All tensors of the large checkpoint into memory that is warm already, checksums compared,
/// beside plain reads of the same ranges.
///
/// # Errors
/// When the file cannot be made or read.
pub fn warm(place: &Place, s: &Settings, table: &mut Table) -> Result<()> {
    let path = data::large(place, s)?;
    let ranges = ranges(&Checkpoint::open(&path)?)?;
    let most = ranges.iter().map(|r| r.len).sum();
    // Touched, and used by both in turn.
    let buffer = std::cell::RefCell::new(vec![1u8; most]);
    let file = File::open(&path)?;
    let ours = || {
        // Opened each time: a checksum is compared once.
        let checkpoint = Checkpoint::open(&path)?;
        let mut buffer = buffer.borrow_mut();
        time(|| {
            let mut rest = &mut buffer[..];
            for (i, range) in ranges.iter().enumerate() {
                let (out, left) = std::mem::take(&mut rest).split_at_mut(range.len);
                checkpoint.read_into(TensorId(u32::try_from(i)?), out)?;
                rest = left;
            }
            Ok(())
        })
    };
    let theirs = || {
        let mut buffer = buffer.borrow_mut();
        time(|| {
            let mut rest = &mut buffer[..];
            for range in &ranges {
                let (out, left) = std::mem::take(&mut rest).split_at_mut(range.len);
                file.read_exact_at(out, range.offset)?;
                rest = left;
            }
            Ok(())
        })
    };
    let pairs = Pairs::measure(s.pairs, ours, theirs)?;
    let what = format!("read {} MiB into warm memory with crc, {}", s.size >> 20, place.name);
    table.push(Row::pairs(what, "pread", &pairs, Bound::Ratio(1.3)));
    Ok(())
}

/// One small tensor out of a file of 10 GiB, opened anew, beside a read of its range.
///
/// # Errors
/// When the file cannot be made or read.
pub fn one(place: &Place, s: &Settings, table: &mut Table) -> Result<()> {
    let path = place.join("sparse.pt");
    let len = data::write_sparse(&path, 10 << 30)?;
    let ranges = ranges(&Checkpoint::open(&path)?)?;
    let last = ranges.last().context("no tensor")?;
    ensure!(last.len == len, "the last tensor has {} bytes", last.len);
    let mut buffer = vec![1u8; len];
    let mut same = vec![2u8; len];
    let ours = || {
        time(|| {
            let file = Tensors::open(&path)?;
            Ok(file.read_into(&file.find(data::SMALL)?, &mut buffer)?)
        })
    };
    let theirs = || time(|| Ok(File::open(&path)?.read_exact_at(&mut same, last.offset)?));
    let pairs = Pairs::measure(s.pairs * 5, ours, theirs)?;
    ensure!(buffer == same, "what was read differs");
    let what = format!("one tensor of {len} bytes out of a sparse file of 10 GiB");
    table.push(Row::pairs(what, "open and pread", &pairs, Bound::Time(Duration::from_millis(1))));
    place.discard(&path)
}

/// The memory that listing the checkpoint of tiny tensors takes.
///
/// # Errors
/// When the file cannot be made or read.
pub fn list_memory(place: &Place, s: &Settings, table: &mut Table) -> Result<()> {
    let path = data::tiny(place, s)?;
    let used = in_child(CHILD, &path, OsStr::new(""))?;
    let checkpoint = Checkpoint::open(&path)?;
    let archive = checkpoint.archive().context("no archive")?;
    let pickle = archive.entries().find(|e| e.name.ends_with("/data.pkl")).context("no pickle")?;
    let end = std::fs::metadata(&path)?.len();
    let most = 4 * (pickle.len + (end - archive.directory_offset()));
    let what = format!("peak memory above start, listing {} tensors", s.tensors);
    table.push(Row::bytes(what, used, most));
    Ok(())
}

/// What the child does: lists a file, and prints by how many bytes its memory grew at most.
///
/// # Errors
/// When the file cannot be read.
pub fn child(path: &Path) -> Result<()> {
    report(|| {
        let file = Tensors::open(path)?;
        let list = file.list()?;
        ensure!(!list.is_empty(), "no tensors");
        Ok(())
    })
}
