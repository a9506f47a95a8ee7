//! Opening a file and listing its tensors, beside peers.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use numpack_interop::Tensors;

use crate::peers::{self, Python};
use crate::table::{Bound, Row, Table};
use crate::timing::{Pairs, median, repeat, time};
use crate::{Place, Settings, data};

/// A short measurement is made so many times more often.
const MORE: usize = 5;

/// The checkpoint of a transformer.
///
/// # Errors
/// When a file cannot be made or read.
pub fn large(place: &Place, s: &Settings, table: &mut Table) -> Result<()> {
    let path = data::large(place, s)?;
    let what = format!("open and list {} tensors, {} MiB", data::LARGE_TENSORS, s.size >> 20);
    open(
        place,
        &path,
        data::LARGE_TENSORS,
        &what,
        s.pairs * MORE,
        Duration::from_micros(500),
        table,
    )
}

/// The checkpoint of tiny tensors.
///
/// # Errors
/// When a file cannot be made or read.
pub fn many(place: &Place, s: &Settings, table: &mut Table) -> Result<()> {
    let path = data::tiny(place, s)?;
    let what = format!("open and list {} tensors", s.tensors);
    open(place, &path, s.tensors, &what, s.pairs, Duration::from_millis(60), table)
}

fn open(
    place: &Place,
    path: &Path,
    tensors: usize,
    what: &str,
    n: usize,
    bound: Duration,
    table: &mut Table,
) -> Result<()> {
    let bound = Bound::Time(bound);
    let ours = || time(|| exactly(tensors, Tensors::open(path)?.list()?.len()));

    match peers::pytorch_reader(path).and_then(|found| exactly(tensors, found)) {
        Ok(()) => {
            let theirs = || time(|| peers::pytorch_reader(path));
            let pairs = Pairs::measure(n, ours, theirs)?;
            table.push(Row::pairs(what, "pytorch-reader", &pairs, bound));
        }
        Err(e) => {
            let reason = format!("pytorch-reader: {e:#}");
            table.push(Row::alone(what, median(&repeat(n, ours)?), reason, bound));
        }
    }

    let theirs = || time(|| exactly(tensors, peers::candle(path)?));
    let pairs = Pairs::measure(n, ours, theirs)?;
    table.push(Row::pairs(what, "candle-core", &pairs, bound));

    let equal = place.join("equal.safetensors");
    peers::write_safetensors(path, &equal)?;
    exactly(tensors, peers::safetensors(&equal)?)?;
    let pairs = Pairs::measure(n, ours, || time(|| peers::safetensors(&equal)))?;
    place.discard(&equal)?;
    table.push(Row::pairs(what, "safetensors", &pairs, bound));

    if let Some((mut torch, version)) = Python::start(peers::TORCH_LISTING)? {
        let pairs = Pairs::measure(n, ours, || torch.ask(path.display()))?;
        table.push(Row::pairs(what, &version, &pairs, bound));
    }
    Ok(())
}

fn exactly(expected: usize, found: usize) -> Result<()> {
    ensure!(found == expected, "found {found} tensors, not {expected}");
    Ok(())
}
