//! Random rows of a mapped array, beside a plain loop over the same map, and numpy's.

use std::time::Duration;

use anyhow::Result;
use numpack_format::Rows;

use super::store::{ROW, ROWS, WIDTH, make};
use crate::peers::{NUMPY_GATHER, Python};
use crate::table::{Bound, Row, Table};
use crate::timing::{Pairs, time};
use crate::{Place, Settings};

/// Rows picked in one measurement, whatever the number at a time.
const PICKED: usize = 200_000;

/// With all rows live, and after a tenth was dropped.
///
/// # Errors
/// When a file cannot be made or read.
#[allow(unsafe_code, reason = "rows are picked out of maps")]
pub fn gather(place: &Place, s: &Settings, table: &mut Table) -> Result<()> {
    let path = place.join("gather.npk");
    let npk = make(&path, ROWS)?;
    // SAFETY: the file lies in a folder of this run, which writes none of its rows any more.
    let plain = unsafe { npk.array("a")?.map() }?;
    let mut numpy = Python::start(NUMPY_GATHER)?;
    for dropped in [false, true] {
        let mut live: Vec<u64> = (0..ROWS).collect();
        if dropped {
            npk.drop_rows("a", &Rows::Slice { start: Some(3), stop: None, step: 10 })?;
            live.retain(|row| row % 10 != 3);
        }
        let array = npk.array("a")?;
        // SAFETY: as above.
        let mapped = unsafe { array.map_rows() }?;
        for n in [100, 1_000, 10_000] {
            let times = PICKED / n;
            let mut seed = 1;
            // New rows each time, as none are likely to be in a cache.
            let mut picks = || -> Vec<Vec<i64>> {
                (0..times)
                    .map(|_| (0..n).map(|_| random(&mut seed, live.len())).collect())
                    .collect()
            };
            let (mut out, mut other) = (vec![0; n * ROW], vec![0; n * ROW]);
            let after = if dropped { " after 10 % were dropped" } else { "" };
            let mut ours = || -> Result<Duration> {
                let picks = picks();
                let all = || picks.iter().try_for_each(|p| Ok(mapped.gather_into(p, &mut out)?));
                Ok(time(all)? / times as u32)
            };
            let mut seed = 1;
            // As in a store, the size of a row is known when the program runs, not before.
            let size = std::hint::black_box(ROW);
            let mut loops = || -> Result<Duration> {
                let picks: Vec<Vec<usize>> = (0..times)
                    .map(|_| {
                        (0..n)
                            .map(|_| live[random(&mut seed, live.len()) as usize] as usize)
                            .collect()
                    })
                    .collect();
                let all = || {
                    for pick in &picks {
                        for (&row, out) in pick.iter().zip(other.chunks_exact_mut(size)) {
                            out.copy_from_slice(&plain[row * size..][..size]);
                        }
                    }
                    Ok(())
                };
                Ok(time(all)? / times as u32)
            };
            let pairs = Pairs::measure(s.pairs * 3, &mut ours, &mut loops)?;
            let what = format!("pick {n} rows of {ROWS}{after}");
            table.push(Row::pairs(&what, "plain loop", &pairs, Bound::Ratio(1.1)));
            if let Some((numpy, version)) = &mut numpy {
                let file = path.join("data_a.npkd");
                let line = format!("{ROWS} {WIDTH} {n} {times} {}", file.display());
                let pairs =
                    Pairs::measure(s.pairs, &mut ours, || Ok(numpy.ask(&line)? / times as u32))?;
                table.push(Row::pairs(&what, version, &pairs, Bound::Ratio(0.6)));
            }
            if n == 1_000 {
                let mut read = vec![0; n * ROW];
                let pairs = Pairs::measure(
                    s.pairs,
                    || {
                        let mut read_all =
                            |p: &Vec<i64>| Ok(array.gather_into(&Rows::List(p), &mut read)?);
                        let picks = picks();
                        Ok(time(|| picks.iter().try_for_each(&mut read_all))? / times as u32)
                    },
                    &mut loops,
                )?;
                let what = format!("read {n} rows of {ROWS} without a map{after}");
                table.push(Row::pairs(what, "plain loop", &pairs, Bound::None));
            }
        }
    }
    place.discard(&path)
}

/// The next number below `end`.
fn random(seed: &mut u64, end: usize) -> i64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    ((*seed >> 33) as usize % end) as i64
}
