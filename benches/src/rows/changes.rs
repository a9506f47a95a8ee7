//! Rows that are appended, replaced and dropped, beside the same bytes written to a plain file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use numpack_format::{DType, NumPack, PackOptions, Rows, Store, View, WriterOptions, pack};

use super::memory::{in_child, report};
use super::store::{ROW, ROWS, WIDTH, bytes, make, many};
use crate::table::{Bound, Row, Table};
use crate::timing::{Pairs, time};
use crate::{DISK, Place, Settings};

/// Rows that change at a time.
const SOME: u64 = 100;
/// What a change is repeated to be timed without syncs…
const OFTEN: u32 = 500;
/// …and with them.
const DURABLY: u32 = 20;

/// All of it.
///
/// # Errors
/// When a file cannot be made, read or written.
pub fn changes(place: &Place, s: &Settings, table: &mut Table) -> Result<()> {
    append(place, s, table)?;
    if place.name == DISK {
        append_to_one_of_many(place, s, table)?;
    }
    replace(place, s, table)?;
    for rows in [ROWS, s.size / ROW as u64] {
        drop_rows(place, s, rows, table)?;
    }
    Ok(())
}

/// How long one of `n` takes.
fn each(n: u32, mut f: impl FnMut(u32) -> Result<()>) -> Result<Duration> {
    Ok(time(|| (0..n).try_for_each(&mut f))? / n)
}

fn append(place: &Place, s: &Settings, table: &mut Table) -> Result<()> {
    let data = bytes(SOME);
    let shape = [SOME, WIDTH];
    let rows = [("a", View::new(DType::F32, &shape, &data))];
    let (path, plain) = (place.join("append.npk"), place.join("append.raw"));
    let npk = make(&path, SOME)?;
    let file = File::create(&plain)?;
    let mut end = 0;
    let mut write = |sync: bool| -> Result<()> {
        file.write_all_at(&data, end)?;
        end += data.len() as u64;
        if sync { Ok(file.sync_all()?) } else { Ok(()) }
    };
    let batch = || {
        let mut writer = npk.begin()?;
        let took = each(OFTEN, |_| Ok(writer.append(&rows)?));
        writer.commit()?;
        took
    };
    let pairs = Pairs::measure(s.pairs * 3, batch, || each(OFTEN, |_| write(false)))?;
    let what = format!("append {SOME} rows in a batch, {}", place.name);
    table.push(Row::pairs(what, "write", &pairs, Bound::Ratio(2.0)));
    if place.name == DISK {
        let ours = || each(DURABLY, |_| Ok(npk.append(&rows)?));
        let pairs = Pairs::measure(s.pairs * 3, ours, || each(DURABLY, |_| write(true)))?;
        let what = format!("append {SOME} rows durably");
        table.push(Row::pairs(what, "write and fsync", &pairs, Bound::Ratio(4.0)));
    }
    ensure!(Store::verify(&path)?.is_empty(), "the store is damaged");
    place.discard(&plain)?;
    place.discard(&path)
}

fn append_to_one_of_many(place: &Place, s: &Settings, table: &mut Table) -> Result<()> {
    let data = bytes(SOME);
    let shape = [SOME, WIDTH];
    let rows = [("layers.77.weight", View::new(DType::F32, &shape, &data))];
    let path = many(place, 10_000)?;
    let npk = NumPack::open(&path)?;
    let plain = place.join("append.raw");
    let file = File::create(&plain)?;
    let mut end = 0;
    let mut write = || -> Result<()> {
        file.write_all_at(&data, end)?;
        end += data.len() as u64;
        Ok(file.sync_all()?)
    };
    let ours = || each(DURABLY, |_| Ok(npk.append(&rows)?));
    let pairs = Pairs::measure(s.pairs * 3, ours, || each(DURABLY, |_| write()))?;
    let what = format!("append {SOME} rows durably, store of 10000 arrays");
    table.push(Row::pairs(what, "write and fsync", &pairs, Bound::Ratio(8.0)));
    place.discard(&plain)
}

fn replace(place: &Place, s: &Settings, table: &mut Table) -> Result<()> {
    let data = bytes(SOME);
    let shape = [SOME, WIDTH];
    let view = View::new(DType::F32, &shape, &data);
    let path = place.join("replace.npk");
    let npk = make(&path, ROWS)?;
    place.settle()?;
    // The very file: where it lies on the disk makes more of a difference than who writes to it.
    let file = File::options().write(true).open(path.join("data_a.npkd"))?;
    let first = |i: u32| u64::from(i) * 1999 * SOME % (ROWS - SOME);
    let write = |i: u32| Ok(file.write_all_at(&data, first(i) * ROW as u64)?);
    let rows = |i: u32| Rows::from(first(i) as i64..(first(i) + SOME) as i64);

    let in_place = || {
        let options = WriterOptions { in_place: true, ..WriterOptions::default() };
        let mut writer = npk.begin_with(&options)?;
        let took = each(OFTEN, |i| Ok(writer.replace_rows("a", &rows(i), &view)?));
        writer.commit()?;
        took
    };
    let theirs = || {
        let took = each(OFTEN, write);
        // As after a commit, no page waits to be written.
        file.sync_data()?;
        took
    };
    let pairs = Pairs::measure(s.pairs * 3, in_place, theirs)?;
    let what = format!("replace {SOME} rows, deferred, {}", place.name);
    table.push(Row::pairs(what, "pwrite", &pairs, Bound::Ratio(1.5)));
    if place.name == DISK {
        let ours = || each(DURABLY, |i| Ok(npk.replace_rows("a", &rows(i), &view)?));
        let theirs = || {
            each(DURABLY, |i| {
                write(i)?;
                Ok(file.sync_data()?)
            })
        };
        let pairs = Pairs::measure(s.pairs * 3, ours, theirs)?;
        let what = format!("replace {SOME} rows durably");
        table.push(Row::pairs(what, "pwrite and fdatasync", &pairs, Bound::Ratio(5.0)));
    }
    place.discard(&path)
}

fn drop_rows(place: &Place, s: &Settings, rows: u64, table: &mut Table) -> Result<()> {
    let path = place.join("drop.npk");
    let npk = NumPack::create(&path)?;
    let data = bytes(rows);
    let shape = [rows, WIDTH];
    // Every tenth row, so that the live ones lie in as many runs as can be.
    let tenth: Vec<i64> = (0..rows as i64).step_by(10).collect();
    let mut buffer = vec![1; data.len() - tenth.len() * ROW];
    let ours = || {
        npk.save(&[("a", View::new(DType::F32, &shape, &data))])?;
        place.settle()?;
        time(|| {
            npk.drop_rows("a", &Rows::List(&tenth))?;
            Ok(npk.array("a")?.read_into(&mut buffer)?)
        })
    };
    let mut whole = vec![1; data.len()];
    let plain = place.join("drop.raw");
    std::fs::write(&plain, &data)?;
    let file = File::open(&plain)?;
    let theirs = || time(|| Ok(file.read_exact_at(&mut whole, 0)?));
    let pairs = Pairs::measure(s.pairs, ours, theirs)?;
    let what = format!("drop 10 % and load, {} MiB, {}", data.len() >> 20, place.name);
    table.push(Row::pairs(what, "pread", &pairs, Bound::Ratio(2.0)));
    place.discard(&plain)?;
    place.discard(&path)
}

/// Starts this program again, to change a store and to say what that took.
pub const CHILD: &str = "--change-and-report";

/// The most that a change may take above what the process has at its start.
const MEMORY: u64 = 32 << 20;

/// Memory of what rewrites or reads an array of the large size.
///
/// # Errors
/// When a change fails.
pub fn memory(place: &Place, s: &Settings, table: &mut Table) -> Result<()> {
    let path = place.join("memory.npk");
    drop(make(&path, s.size / ROW as u64)?);
    for what in ["replace", "append", "drop", "stream", "pack", "copy", "compact"] {
        let used = in_child(CHILD, &path, what.as_ref())?;
        let what = format!("peak memory above start, {} MiB, {what}", s.size >> 20);
        table.push(Row::bytes(what, used, MEMORY));
    }
    place.discard(&place.join("memory.npkg"))?;
    place.discard(&path)
}

/// What the child does.
///
/// # Errors
/// When the change fails.
pub fn child(store: &Path, what: &str) -> Result<()> {
    let npk = NumPack::open(store)?;
    let data = bytes(SOME);
    let view = View::new(DType::F32, &[SOME, WIDTH], &data);
    report(|| {
        match what {
            "replace" => npk.replace_rows("a", &Rows::from(5..105), &view)?,
            "append" => npk.append(&[("a", view)])?,
            "drop" => drop(npk.drop_rows("a", &Rows::Slice { start: None, stop: None, step: 10 })?),
            "stream" => {
                let array = npk.array("a")?;
                let mut batches = array.batches(10_000)?;
                while batches.next()?.is_some() {}
            }
            "pack" => {
                let options = PackOptions { overwrite: true, ..PackOptions::default() };
                pack(store, store.with_extension("npkg"), &options)?;
            }
            "copy" => npk.clone_array("a", "b")?,
            "compact" => drop(npk.compact()?),
            other => bail!("no such change: {other}"),
        }
        Ok(())
    })
}
