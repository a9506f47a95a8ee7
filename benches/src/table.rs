//! The rows and how they are printed.

use std::fmt;
use std::time::Duration;

use crate::timing::{Pairs, Ratio, median};

/// The goal of a row.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Bound {
    /// Only a figure.
    None,
    /// The most that the median ratio may be.
    Ratio(f64),
    /// The longest that we may take.
    Time(Duration),
    /// The most bytes that we may use.
    Bytes(u64),
    /// The most often that something may be done.
    Count(u64),
}

/// One measurement.
#[derive(Clone, Debug)]
pub struct Row {
    what: String,
    ours: String,
    reference: String,
    ratio: Option<Ratio>,
    bound: Bound,
    held: Option<bool>,
}

impl Row {
    /// Two things that were measured in pairs.
    pub fn pairs(what: impl Into<String>, reference: &str, pairs: &Pairs, bound: Bound) -> Row {
        let (ours, theirs) = (median(&pairs.ours), median(&pairs.reference));
        let ratio = pairs.ratio();
        let held = match bound {
            Bound::Ratio(most) => Some(ratio.median <= most),
            Bound::Time(most) => Some(ours <= most),
            Bound::Bytes(_) | Bound::Count(_) | Bound::None => None,
        };
        Row {
            what: what.into(),
            ours: time(ours),
            reference: format!("{reference}, {}", time(theirs)),
            ratio: Some(ratio),
            bound,
            held,
        }
    }

    /// A time whose reference could not be measured, with the reason.
    pub fn alone(what: impl Into<String>, ours: Duration, reason: String, bound: Bound) -> Row {
        let held = match bound {
            Bound::Time(most) => Some(ours <= most),
            _ => None,
        };
        Row { what: what.into(), ours: time(ours), reference: reason, ratio: None, bound, held }
    }

    /// Bytes that were used.
    pub fn bytes(what: impl Into<String>, used: u64, most: u64) -> Row {
        Row {
            what: what.into(),
            ours: mebibytes(used),
            reference: String::new(),
            ratio: None,
            bound: Bound::Bytes(most),
            held: Some(used <= most),
        }
    }

    /// How often something was done.
    pub fn count(what: impl Into<String>, times: u64, most: u64) -> Row {
        Row {
            what: what.into(),
            ours: times.to_string(),
            reference: String::new(),
            ratio: None,
            bound: Bound::Count(most),
            held: Some(times <= most),
        }
    }

    fn cells(&self) -> [String; COLUMNS] {
        let ratio = self.ratio.map(|r| figure(r.median));
        let spread = self.ratio.map(|r| format!("{}-{}", figure(r.min), figure(r.max)));
        let bound = match self.bound {
            Bound::None => String::new(),
            Bound::Ratio(most) => format!("{most:.2}"),
            Bound::Time(most) => time(most),
            Bound::Bytes(most) => mebibytes(most),
            Bound::Count(most) => most.to_string(),
        };
        let verdict = self.held.map_or("", |held| if held { "ok" } else { "over" });
        [
            // A bar would end the cell.
            self.what.replace('|', "/"),
            self.ours.clone(),
            self.reference.replace(['|', '\n'], "/"),
            ratio.unwrap_or_default(),
            spread.unwrap_or_default(),
            bound,
            verdict.to_owned(),
        ]
    }
}

const COLUMNS: usize = 7;
const HEAD: [&str; COLUMNS] = ["what", "ours", "reference", "ratio", "spread", "bound", ""];

/// Rows, displayed as one table with aligned columns.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Adds a row, and says on stderr that it is there: the table itself comes at the end.
    pub fn push(&mut self, row: Row) {
        eprintln!("{}", row.cells().join("  "));
        self.rows.push(row);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<_> = self.rows.iter().map(Row::cells).collect();
        let head = HEAD.map(str::to_owned);
        let widths: [usize; COLUMNS] = std::array::from_fn(|i| {
            rows.iter().chain([&head]).map(|r| r[i].chars().count()).max().unwrap_or(0)
        });
        line(f, &head, &widths)?;
        line(f, &widths.map(|w| "-".repeat(w)), &widths)?;
        rows.iter().try_for_each(|row| line(f, row, &widths))
    }
}

fn line(f: &mut fmt::Formatter<'_>, cells: &[String], widths: &[usize]) -> fmt::Result {
    for (cell, width) in cells.iter().zip(widths) {
        write!(f, "| {cell:width$} ")?;
    }
    writeln!(f, "|")
}

fn figure(ratio: f64) -> String {
    if ratio < 0.1 { format!("{ratio:.4}") } else { format!("{ratio:.2}") }
}

fn time(t: Duration) -> String {
    let seconds = t.as_secs_f64();
    match seconds {
        1.0.. => format!("{seconds:.2} s"),
        1e-4.. => format!("{:.2} ms", seconds * 1e3),
        _ => format!("{:.2} µs", seconds * 1e6),
    }
}

fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
