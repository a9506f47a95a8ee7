//! Rows that are mapped, against those that are read.

mod common;

use common::{Raw, bitmap, pattern, place};
use numpack_format::{DType, Store, Writer};
use std::path::Path;

fn put(path: &Path, files: &[(&str, &[u8])]) {
    std::fs::create_dir_all(path).unwrap();
    for (name, bytes) in files {
        std::fs::write(path.join(name), bytes).unwrap();
    }
}

/// A store with the array `a` of bytes, in one file or in segments of so many rows each.
fn write(path: &Path, rows: u64, size: u64, segments: &[u64]) -> Vec<u8> {
    let data = pattern((rows * size) as usize, size as u8);
    if segments.is_empty() {
        let metadata = Raw::one(1, &[rows, size], "data_a.npkd");
        put(path, &[("metadata.npkm", &metadata), ("data_a.npkd", &data)]);
        return data;
    }
    assert_eq!(segments.iter().sum::<u64>(), rows);
    let metadata = Raw::one(1, &[rows, size], "data_a.npkseg");
    let (mut list, mut rest) = (vec![], &data[..]);
    for (i, n) in segments.iter().enumerate() {
        let now;
        (now, rest) = rest.split_at((n * size) as usize);
        put(path, &[("metadata.npkm", &metadata), (&format!("part{i}"), now)]);
        list.push(format!(r#"{{"file":"part{i}","rows":{n},"bytes":{}}}"#, n * size));
    }
    let list = format!(r#"{{"version":1,"segments":[{}]}}"#, list.join(","));
    put(path, &[("data_a.npkseg", list.as_bytes())]);
    data
}

#[test]
fn every_size_of_row() {
    let rows = 1000u64;
    let live: [&dyn Fn(u64) -> bool; 4] =
        [&|_| true, &|r| r % 10 != 3, &|r| r % 400 < 2, &|r| !(10..900).contains(&r)];
    for segments in [&[][..], &[300, 0, 699, 1, 0]] {
        for size in [1, 2, 3, 4, 8, 12, 16, 17, 24, 32, 40, 48, 64, 96, 100, 128, 300] {
            let (_t, path) = place();
            let data = write(&path, rows, size, segments);
            for live in live {
                std::fs::write(path.join("deleted_a.npkb"), bitmap(rows, live)).unwrap();
                let expected: Vec<&[u8]> = (0..rows)
                    .filter(|&r| live(r))
                    .map(|r| &data[(r * size) as usize..][..size as usize])
                    .collect();
                let array = Store::open(&path).unwrap().array("a").unwrap();
                // SAFETY: the store is this test's own.
                let mapped = unsafe { array.map_rows() }.unwrap();
                drop(array);
                assert_eq!(
                    (mapped.rows(), mapped.row_size()),
                    (expected.len() as u64, size as usize)
                );
                for (i, row) in expected.iter().enumerate() {
                    assert_eq!(mapped.row(i as u64), Some(*row));
                }
                assert_eq!(mapped.row(mapped.rows()), None);
                assert_eq!(mapped.row(u64::MAX), None);
                // Often enough for the table of places, and across batches.
                let n = expected.len() as i64;
                for count in [0, 1, 15, 16, 17, 127, 128, 129, 144, 145, 400, 401] {
                    let some: Vec<i64> = (0..count).map(|i| (i * 7919) % (2 * n) - n).collect();
                    let mut out = vec![0; count as usize * size as usize];
                    mapped.gather_into(&some, &mut out).unwrap();
                    let chosen = some.iter().map(|i| expected[i.rem_euclid(n) as usize]);
                    assert_eq!(out, chosen.collect::<Vec<_>>().concat());
                }
            }
        }
    }
}

#[test]
fn what_is_out_of_range_writes_nothing() {
    let (_t, path) = place();
    write(&path, 70, 4, &[]);
    std::fs::write(path.join("deleted_a.npkb"), bitmap(70, |r| r % 7 != 0)).unwrap();
    let array = Store::open(&path).unwrap().array("a").unwrap();
    // SAFETY: the store is this test's own.
    let mapped = unsafe { array.map_rows() }.unwrap();
    for bad in [60, 61, -61, i64::MAX, i64::MIN] {
        let mut out = [9; 12];
        let e = mapped.gather_into(&[0, -60, bad], &mut out).unwrap_err().to_string();
        assert_eq!(
            e,
            format!("array \"a\": row {bad} is out of range, the array has 60: use -60 to 59")
        );
        assert_eq!(out, [9; 12]);
    }
    for len in [0, 7, 9, 12] {
        let e = mapped.gather_into(&[0, 1], &mut vec![9; len]).unwrap_err().to_string();
        let expected =
            format!("array \"a\": the buffer has {len} bytes, 8 are needed for 2 rows of 4");
        assert_eq!(e, expected);
    }
}

#[test]
fn rows_without_bytes_and_arrays_without_rows() {
    let (_t, path) = place();
    let mut w = Writer::create(&path).unwrap();
    for (name, shape) in [("none", &[0, 3][..]), ("thin", &[5, 0]), ("flat", &[2])] {
        common::save(&mut w, name, DType::U8, shape, &[1, 2][..if name == "flat" { 2 } else { 0 }]);
    }
    w.commit().unwrap();
    let store = Store::open(&path).unwrap();
    // SAFETY: the store is this test's own.
    let map = |name| unsafe { store.array(name).unwrap().map_rows() }.unwrap();
    let (none, thin, flat) = (map("none"), map("thin"), map("flat"));
    assert_eq!((none.rows(), none.row_size(), none.row(0)), (0, 3, None));
    none.gather_into(&[], &mut []).unwrap();
    let e = none.gather_into(&[0], &mut [0; 3]).unwrap_err().to_string();
    assert_eq!(e, "array \"none\": row 0 is out of range, the array has no rows");
    assert_eq!((thin.rows(), thin.row_size(), thin.row(4)), (5, 0, Some(&[][..])));
    thin.gather_into(&[4, -5], &mut []).unwrap();
    assert!(thin.gather_into(&[5], &mut []).is_err());
    let mut out = [0; 3];
    flat.gather_into(&[1, 0, -1], &mut out).unwrap();
    assert_eq!(out, [2, 1, 2]);
    // More rows than an index can say.
    put(
        &path,
        &[("metadata.npkm", &Raw::one(1, &[u64::MAX, 0], "data_a.npkd")), ("data_a.npkd", b"")],
    );
    let array = Store::open(&path).unwrap().array("a").unwrap();
    // SAFETY: the store is this test's own.
    let wide = unsafe { array.map_rows() }.unwrap();
    wide.gather_into(&[i64::MAX, i64::MIN, -1], &mut []).unwrap();
    assert_eq!(wide.row(u64::MAX - 1), Some(&[][..]));
}

#[test]
fn threads_share_it() {
    let (_t, path) = place();
    let data = write(&path, 5000, 24, &[]);
    std::fs::write(path.join("deleted_a.npkb"), bitmap(5000, |r| r % 2 == 0)).unwrap();
    let array = Store::open(&path).unwrap().array("a").unwrap();
    // SAFETY: the store is this test's own.
    let mapped = unsafe { array.map_rows() }.unwrap();
    std::thread::scope(|s| {
        for from in 0..4 {
            let (mapped, data) = (&mapped, &data);
            s.spawn(move || {
                let mut out = vec![0; 24 * 100];
                for at in (from..2400).step_by(10) {
                    let rows: Vec<i64> = (at..at + 100).collect();
                    mapped.gather_into(&rows, &mut out).unwrap();
                    for (row, i) in out.chunks(24).zip(rows) {
                        assert_eq!(row, &data[i as usize * 48..][..24]);
                    }
                }
            });
        }
    });
}
