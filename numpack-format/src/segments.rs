//! `data_<name>.npkseg`: one array in several files.

use crate::error::{Error, Result, UPGRADE, format};
use crate::names;
use serde::Deserialize;
use std::collections::HashSet;
use std::path::Path;

/// How the name of a segment list ends.
pub(crate) const SUFFIX: &str = ".npkseg";

#[derive(Deserialize)]
struct List {
    version: u64,
    segments: Vec<Segment>,
}

/// A file that holds some rows of an array.
#[derive(Deserialize, Clone, PartialEq, Debug)]
pub(crate) struct Segment {
    /// Its path in the store.
    pub(crate) file: String,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// Reads a segment list and checks it against the array's rows and their size in bytes.
pub(crate) fn parse(bytes: &[u8], file: &Path, rows: u64, row_size: u64) -> Result<Vec<Segment>> {
    let list = parse_unchecked(bytes, file)?;
    let mut sum = Some(0u64);
    let mut files = HashSet::with_capacity(list.len());
    for (i, s) in list.iter().enumerate() {
        if s.rows.checked_mul(row_size) != Some(s.bytes) {
            return Err(format(
                file,
                None,
                format!("segment {i} has {} rows of {row_size} bytes in {} bytes", s.rows, s.bytes),
            ));
        }
        if !files.insert(&s.file) {
            return Err(format(
                file,
                None,
                format!("segment {i} has the file {:?} of an earlier one", s.file),
            ));
        }
        sum = sum.and_then(|sum| sum.checked_add(s.rows));
    }
    if sum != Some(rows) {
        let sum = sum.map_or_else(|| "2^64 or more".to_owned(), |sum| sum.to_string());
        return Err(format(
            file,
            None,
            format!("the segments have {sum} rows, the metadata says {rows}"),
        ));
    }
    Ok(list)
}

/// Reads a segment list and checks the paths in it.
pub(crate) fn parse_unchecked(bytes: &[u8], file: &Path) -> Result<Vec<Segment>> {
    let list: List = serde_json::from_slice(bytes)
        .map_err(|e| format(file, None, format!("expected a segment list in JSON: {e}")))?;
    if list.version != 1 {
        let problem = format!("the segment list has version {}, only 1 is known", list.version);
        return Err(Error::Unsupported {
            file: file.to_owned(),
            array: None,
            offset: None,
            problem,
            hint: UPGRADE,
        });
    }
    for (i, s) in list.segments.iter().enumerate() {
        if let Err(problem) = names::check_relative(&s.file) {
            return Err(format(
                file,
                None,
                format!("the name {:?} of segment {i} {problem}", s.file),
            ));
        }
    }
    Ok(list.segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_added_up_checked() {
        let list = br#"{"version":1,"segments":[{"file":"a","rows":18446744073709551615,"bytes":0},{"file":"b","rows":1,"bytes":0}]}"#;
        assert!(parse(list, Path::new("l"), u64::MAX, 0).is_err());
    }
}
