//! A store beside plain files of the same bytes: saving, loading, opening, packing.

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use numpack_format::{DType, NumPack, PackOptions, Store, View, Writer, pack};

use crate::table::{Bound, Row, Table};
use crate::timing::{Pairs, time};
use crate::{DISK, Outputs, Place, Settings};

/// Floats of a row.
pub const WIDTH: u64 = 10;
/// The size of a row in bytes.
pub const ROW: usize = 4 * WIDTH as usize;
/// Rows of the smaller array, which has 38 MiB.
pub const ROWS: u64 = 1_000_000;

/// All of it.
///
/// # Errors
/// When a file cannot be made, read or written.
pub fn store(place: &Place, s: &Settings, table: &mut Table) -> Result<()> {
    for rows in [ROWS, s.size / ROW as u64] {
        save(place, s, rows, table)?;
    }
    if place.name == DISK {
        for (arrays, bound) in [(10, Duration::from_micros(20)), (10_000, Duration::from_millis(2))]
        {
            open(place, s, arrays, bound, table)?;
        }
    }
    Ok(())
}

/// Bytes that do not repeat soon.
pub fn bytes(rows: u64) -> Vec<u8> {
    let numbers = 0..rows as u32 * WIDTH as u32;
    numbers.flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

/// A store with one array of so many rows, named `a`.
///
/// # Errors
/// When it cannot be written.
pub fn make(path: &Path, rows: u64) -> Result<NumPack> {
    let npk = NumPack::create(path)?;
    npk.save(&[("a", View::new(DType::F32, &[rows, WIDTH], &bytes(rows)))])?;
    Ok(npk)
}

fn save(place: &Place, s: &Settings, rows: u64, table: &mut Table) -> Result<()> {
    let data = bytes(rows);
    let shape = [rows, WIDTH];
    let view = View::new(DType::F32, &shape, &data);
    let size = format!("{} MiB, {}", data.len() >> 20, place.name);
    let files = Outputs::new(place, "raw");
    let write = |sync: bool| {
        files.time(|path| {
            let mut file = File::create(path)?;
            file.write_all(&data)?;
            if sync {
                file.sync_all()?;
            }
            Ok(())
        })
    };
    let path = place.join("saved.npk");
    let npk = NumPack::create(&path)?;

    // Without syncs: the array is written, and the change given up outside the time.
    let unsynced = || {
        let mut writer = npk.begin()?;
        let took = time(|| Ok(writer.save("a", &view)?));
        drop(writer);
        place.settle()?;
        took
    };
    let pairs = Pairs::measure(s.pairs, unsynced, || write(false))?;
    table.push(Row::pairs(format!("save {size}"), "write", &pairs, Bound::Ratio(1.3)));

    let durable = || {
        let took = time(|| Ok(npk.save(&[("a", view)])?));
        npk.reset()?;
        place.settle()?;
        took
    };
    let pairs = Pairs::measure(s.pairs, durable, || write(true))?;
    let what = format!("save {size}, durable");
    table.push(Row::pairs(what, "write and fsync", &pairs, Bound::None));
    files.clear()?;

    npk.save(&[("a", view)])?;
    let plain = path.join("data_a.npkd");
    // Both into one buffer: how its pages lie makes a fifth of the time.
    let buffer = RefCell::new(vec![0; data.len()]);
    let load =
        || time(|| Ok(Store::open(&path)?.array("a")?.read_into(&mut buffer.borrow_mut())?));
    let read = || time(|| Ok(File::open(&plain)?.read_exact_at(&mut buffer.borrow_mut(), 0)?));
    load()?;
    ensure!(*buffer.borrow() == data, "what was loaded is something else");
    let pairs = Pairs::measure(s.pairs, load, read)?;
    let what = format!("open and load {size}");
    table.push(Row::pairs(what, "pread", &pairs, Bound::Ratio(1.1)));
    drop((buffer, data));
    packages(place, s, &path, &size, table)?;
    place.discard(&path)
}

fn packages(
    place: &Place,
    s: &Settings,
    store: &Path,
    size: &str,
    table: &mut Table,
) -> Result<()> {
    let outputs = Outputs::new(place, "npkg");
    let copies = Outputs::new(place, "copy");
    let data = store.join("data_a.npkd");
    let ours = || outputs.time(|path| Ok(pack(store, path, &PackOptions::default())?));
    let copy = |synced: bool| {
        copies.time(|path| {
            let status = Command::new("cp").arg(&data).arg(path).status().context("run cp")?;
            ensure!(status.success(), "cp failed");
            if synced {
                File::open(path)?.sync_all()?;
            }
            Ok(())
        })
    };
    let pairs = Pairs::measure(s.pairs, ours, || copy(true))?;
    let what = format!("pack {size}, stored, durable");
    table.push(Row::pairs(what, "cp and fsync", &pairs, Bound::Ratio(1.2)));
    if place.name != DISK {
        let pairs = Pairs::measure(s.pairs, ours, || copy(false))?;
        table.push(Row::pairs(format!("pack {size}, stored"), "cp", &pairs, Bound::Ratio(1.2)));
    }
    outputs.clear()?;
    copies.clear()
}

/// A store of many small arrays.
///
/// # Errors
/// When it cannot be written.
pub fn many(place: &Place, arrays: usize) -> Result<PathBuf> {
    let path = place.join(&format!("many{arrays}.npk"));
    if !path.exists() {
        let mut writer = Writer::create(&path)?;
        for i in 0..arrays {
            let data = [i as u8; ROW];
            let name = format!("layers.{i}.weight");
            writer.save(&name, &View::new(DType::F32, &[1, WIDTH], &data))?;
        }
        writer.commit()?;
    }
    Ok(path)
}

fn open(
    place: &Place,
    s: &Settings,
    arrays: usize,
    bound: Duration,
    table: &mut Table,
) -> Result<()> {
    let path = many(place, arrays)?;
    let metadata = path.join("metadata.npkm");
    let times = (100_000 / arrays).clamp(20, 1000) as u32;
    let each = |f: &dyn Fn() -> Result<()>| -> Result<Duration> {
        Ok(time(|| (0..times).try_for_each(|_| f()))? / times)
    };
    let pairs = Pairs::measure(
        s.pairs,
        || {
            each(&|| {
                let store = Store::open(&path)?;
                ensure!(store.len() == arrays, "an array is missing");
                Ok(())
            })
        },
        || each(&|| std::fs::read(&metadata).map(drop).map_err(Into::into)),
    )?;
    let what = format!("open a store of {arrays} arrays");
    table.push(Row::pairs(what, "read its metadata", &pairs, Bound::Time(bound)));
    Ok(())
}
