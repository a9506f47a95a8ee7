//! Stores that are damaged, or meant to do damage: an error or the right data, and no byte written.
#![allow(missing_docs, reason = "a test")]

mod common;
#[path = "../../torch-pickle/tests/common/heap.rs"]
mod heap;

use common::{Raw, bitmap, pattern, place, read, save, tree};
use numpack_format::{DType, Error, FaultKind, Limits, Store, Writer};
use std::path::Path;

/// A folder with these files.
fn put(path: &Path, files: &[(&str, &[u8])]) {
    std::fs::create_dir_all(path).unwrap();
    for (name, bytes) in files {
        if let Some(folder) = path.join(name).parent() {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::write(path.join(name), bytes).unwrap();
    }
}

#[global_allocator]
static HEAP: heap::Counting = heap::Counting;

/// The most that reading a damaged store of these tests may allocate: buffers, and little more.
const MEMORY: usize = 2 << 20;

/// Opens, reads everything, verifies. Nothing may panic or be written, or take much memory.
fn try_all(path: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let before = tree(path);
    let start = heap::start();
    let out = Store::open(path).and_then(|s| {
        s.arrays()?
            .iter()
            .map(|info| {
                let a = s.array(&info.name)?;
                let mut out = vec![0; a.nbytes() as usize];
                a.read_into(&mut out)?;
                Ok(out)
            })
            .collect()
    });
    let verify = Store::verify(path);
    let peak = heap::peak_since(start);
    assert!(peak < MEMORY, "{peak} bytes");
    assert_eq!(tree(path), before, "reading wrote");
    if out.is_err() {
        assert!(
            verify.map_or(true, |f| f.iter().any(|f| !f.is_notice())),
            "verify finds nothing, but: {out:?}"
        );
    }
    out
}

fn error(path: &Path) -> String {
    try_all(path).unwrap_err().to_string()
}

#[test]
fn every_flip_and_cut_of_metadata() {
    let (_t, path) = place();
    let data = pattern(24, 0);
    let good = Raw {
        arrays: vec![
            ("a".into(), 10, vec![3, 2], "data_a.npkd".into()),
            ("b".into(), 1, vec![5], "data_b.npkd".into()),
        ],
    }
    .metadata();
    put(&path, &[("metadata.npkm", &good), ("data_a.npkd", &data), ("data_b.npkd", &data[..5])]);
    assert_eq!(try_all(&path).unwrap(), [data.clone(), data[..5].to_vec()]);
    for i in 0..good.len() {
        std::fs::write(path.join("metadata.npkm"), &good[..i]).unwrap();
        assert!(try_all(&path).is_err(), "cut at {i}");
        assert!(Writer::open(&path).is_err(), "cut at {i}");
        for bit in [1, 0x10, 0x80] {
            let mut bad = good.clone();
            bad[i] ^= bit;
            std::fs::write(path.join("metadata.npkm"), &bad).unwrap();
            if let Ok(arrays) = try_all(&path) {
                // A name, a time or a type of the same size may have become another; the bytes are right.
                assert_eq!(arrays, [data.clone(), data[..5].to_vec()], "flip at {i}");
            }
        }
    }
    let mut long = good.clone();
    long.push(0);
    std::fs::write(path.join("metadata.npkm"), &long).unwrap();
    assert!(error(&path).contains("more bytes follow"));
}

#[test]
fn every_flip_and_cut_of_a_bitmap() {
    let (_t, path) = place();
    let data = pattern(70, 0);
    let good = bitmap(70, |r| r % 3 != 0);
    put(&path, &[("metadata.npkm", &Raw::one(1, &[70], "data_a.npkd")), ("data_a.npkd", &data)]);
    for i in 0..=good.len() {
        std::fs::write(path.join("deleted_a.npkb"), &good[..i]).unwrap();
        // Without the header's sixteen bytes or without a word it may pass for the other form.
        let _ = try_all(&path);
        if i < good.len() {
            let mut bad = good.clone();
            bad[i] ^= 1;
            std::fs::write(path.join("deleted_a.npkb"), &bad).unwrap();
            let _ = try_all(&path);
        }
    }
    for live in
        [&|_| true, &|_| false, &|r| r == 69, &|r: u64| r % 7 < 5] as [&dyn Fn(u64) -> bool; 4]
    {
        let expected: Vec<u8> = (0..70).filter(|&r| live(r)).map(|r| data[r as usize]).collect();
        let both = bitmap(70, live);
        for form in [&both[..], &both[16..]] {
            std::fs::write(path.join("deleted_a.npkb"), form).unwrap();
            assert_eq!(try_all(&path).unwrap(), std::slice::from_ref(&expected));
        }
    }
    std::fs::write(path.join("deleted_a.npkb"), &good[..20]).unwrap();
    assert!(
        error(&path).contains("deleted_a.npkb: array \"a\": 20 bytes fit neither"),
        "{}",
        error(&path)
    );
}

#[test]
fn every_flip_and_cut_of_a_segment_list() {
    let (_t, path) = place();
    let data = pattern(48, 0);
    let list = br#"{"version":1,"segments":[{"file":"data_a_segments/seg_000000.npkd","rows":2,"bytes":12},{"file":"data_a_segments/seg_000001.npkd","rows":6,"bytes":36}]}"#;
    put(
        &path,
        &[
            ("metadata.npkm", &Raw::one(2, &[8, 3], "data_a.npkseg")),
            ("data_a.npkseg", list),
            ("data_a_segments/seg_000000.npkd", &data[..12]),
            ("data_a_segments/seg_000001.npkd", &data[12..]),
        ],
    );
    assert_eq!(try_all(&path).unwrap(), std::slice::from_ref(&data));
    assert!(Store::open(&path).unwrap().array("a").unwrap().plain_file().is_none());
    for i in 0..list.len() {
        std::fs::write(path.join("data_a.npkseg"), &list[..i]).unwrap();
        assert!(try_all(&path).is_err(), "cut at {i}");
        let mut bad = list.to_vec();
        bad[i] ^= 1;
        std::fs::write(path.join("data_a.npkseg"), &bad).unwrap();
        if let Ok(arrays) = try_all(&path) {
            assert_eq!(arrays, std::slice::from_ref(&data), "flip at {i}");
        }
    }
    for bad in ["../x", "/etc/passwd", "metadata.npkm"] {
        std::fs::write(
            path.join("data_a.npkseg"),
            format!(r#"{{"version":1,"segments":[{{"file":"{bad}","rows":8,"bytes":48}}]}}"#),
        )
        .unwrap();
        assert!(try_all(&path).is_err(), "{bad}");
    }
    // Saved again it is one file, and the segments go.
    std::fs::write(path.join("data_a.npkseg"), list).unwrap();
    let mut w = Writer::open(&path).unwrap();
    save(&mut w, "a", DType::U8, &[1], &[9]);
    w.commit().unwrap();
    assert_eq!(common::names(&path), ["data_a.npkd", "libnumpack.lock", "metadata.npkm"]);
    assert_eq!(try_all(&path).unwrap(), [[9]]);
}

#[test]
fn dropped_rows_across_segments() {
    let (_t, path) = place();
    let rows = 40_000u64;
    let data = pattern(rows as usize * 6, 1);
    let cut = 15_000 * 6;
    let list = format!(
        r#"{{"version":1,"segments":[{{"file":"x","rows":15000,"bytes":{cut}}},{{"file":"y","rows":0,"bytes":0}},{{"file":"z","rows":25000,"bytes":{}}}]}}"#,
        data.len() - cut
    );
    put(
        &path,
        &[
            ("metadata.npkm", &Raw::one(2, &[rows, 3], "data_a.npkseg")),
            ("data_a.npkseg", list.as_bytes()),
            ("x", &data[..cut]),
            ("y", b""),
            ("z", &data[cut..]),
        ],
    );
    for live in [
        &|r| r % 2 == 0,
        &|r| !(14_990..15_010).contains(&r),
        &|r| r % 4000 == 1,
        &|r| r > 100,
        &|r: u64| r % 20_000 > 3,
    ] as [&dyn Fn(u64) -> bool; 5]
    {
        std::fs::write(path.join("deleted_a.npkb"), bitmap(rows, live)).unwrap();
        let expected: Vec<u8> = (0..rows)
            .filter(|&r| live(r))
            .flat_map(|r| data[r as usize * 6..][..6].to_vec())
            .collect();
        let s = Store::open(&path).unwrap();
        assert_eq!(read(&s, "a"), expected);
        let a = s.array("a").unwrap();
        let n = a.info().shape[0];
        assert_eq!((n * 6, a.info().stored_rows), (a.nbytes(), rows));
        for (from, to) in [(0, n), (n / 3, n / 2), (n - 1, n), (n, n)] {
            let mut out = vec![0; (to - from) as usize * 6];
            a.read_rows_into(from..to, &mut out).unwrap();
            assert_eq!(out, expected[from as usize * 6..to as usize * 6]);
        }
        for at in (0..expected.len()).step_by(expected.len() / 50 + 1) {
            let mut out = vec![0; (expected.len() - at).min(1001)];
            a.read_bytes_at(at as u64, &mut out).unwrap();
            assert_eq!(out, expected[at..at + out.len()]);
        }
        assert!(a.read_rows_into(0..n + 1, &mut []).is_err());
        #[allow(clippy::reversed_empty_ranges, reason = "that is what is tried")]
        let backwards = a.read_rows_into(1..0, &mut []);
        assert!(backwards.is_err());
        assert!(a.read_bytes_at(u64::MAX, &mut [0]).is_err());
    }
}

/// Where rows are replaced by what a file holds, there is no telling a record that is damaged from
/// one that was not written whole: neither counts.
#[test]
fn every_flip_and_cut_of_a_record_of_rows() {
    use sha2::{Digest, Sha256};
    let (_t, path) = place();
    let text = |s: &str| [&(s.len() as u32).to_le_bytes()[..], s.as_bytes()].concat();
    let metadata = Raw::one(1, &[4], "data_r.npkd");
    let record = |metadata: &[u8], file: &str, removal: &[u8]| {
        let mut body = Sha256::digest(metadata).to_vec();
        body.extend([&1u32.to_le_bytes()[..], &text(file), &1u64.to_le_bytes()].concat());
        body.extend([1u64, 2, 16].map(u64::to_le_bytes).concat());
        body.extend([&[0; 20][..], removal, &[0; 4]].concat());
        let lengths = [2, body.len() as u64].map(u64::to_le_bytes).concat();
        [&b"NPKREDO\0\x02\0\0\0\0\0\0\0"[..], &[8, 9], &body, &lengths].concat()
    };
    let rows = |record: Vec<u8>| {
        let len = (record.len() as u64 + 32).to_le_bytes();
        let mut all = [&b"NPKROWS\0numbered"[..], &len, &record].concat();
        all.extend(Sha256::digest(&all).to_vec());
        all
    };
    let good = rows(record(&metadata, "data_r.npkd", &[0; 4]));
    let file = path.join("libnumpack.rows");
    let files: &[(&str, &[u8])] = &[("metadata.npkm", &metadata), ("data_r.npkd", &[1, 2, 3, 4])];
    let (before, after) = ([vec![1, 2, 3, 4]], [vec![1, 8, 9, 4]]);
    put(&path, files);
    std::fs::write(&file, &good).unwrap();
    assert_eq!(try_all(&path).unwrap(), after);
    assert!(Store::verify(&path).unwrap().iter().any(|f| f.kind == FaultKind::Leftover));
    // Longer by what an earlier one left.
    std::fs::write(&file, [&good[..], &[7; 5000]].concat()).unwrap();
    assert_eq!(try_all(&path).unwrap(), after);
    for i in 0..good.len() {
        for bad in [good[..i].to_vec(), [&good[..i], &[good[i] ^ 1], &good[i + 1..]].concat()] {
            std::fs::write(&file, bad).unwrap();
            assert_eq!(try_all(&path).unwrap(), before, "at {i}");
            assert_eq!(Store::verify(&path).unwrap(), [], "at {i}");
            if i % 16 == 0 {
                drop(Writer::open(&path).unwrap());
                assert!(!file.exists());
                assert_eq!(try_all(&path).unwrap(), before, "at {i}");
            }
        }
    }
    // Half carried out, the next writer finishes it.
    for half in [&[1, 2, 3, 4], &[1, 8, 3, 4], &[1, 8, 9, 4]] {
        std::fs::write(path.join("data_r.npkd"), half).unwrap();
        std::fs::write(&file, &good).unwrap();
        assert_eq!(try_all(&path).unwrap(), after);
        drop(Writer::open(&path).unwrap());
        let names = ["data_r.npkd", "libnumpack.lock", "metadata.npkm"];
        assert_eq!(common::names(&path), names);
        assert_eq!(std::fs::read(path.join("data_r.npkd")).unwrap(), after[0]);
        assert_eq!(Store::verify(&path).unwrap(), []);
    }
    // Whole, and meant to do damage.
    let removal = [&1u32.to_le_bytes()[..], &text("data_r.npkd")].concat();
    for bad in [
        record(&metadata, "data_x.npkd", &[0; 4]),
        record(&metadata, "../r", &[0; 4]),
        record(&metadata, "data_s.npkd", &removal),
    ] {
        put(&path, files);
        std::fs::write(&file, rows(bad)).unwrap();
        let said = error(&path);
        assert!(said.contains("libnumpack.rows"), "{said}");
        assert!(Writer::open(&path).is_err());
        assert_eq!(std::fs::read(path.join("data_r.npkd")).unwrap(), before[0]);
    }
    // Beside an ordinary record, that one counts: it came later.
    put(&path, files);
    std::fs::write(&file, &good).unwrap();
    let mut other = record(&metadata, "data_r.npkd", &[0; 4]);
    other[16..18].copy_from_slice(&[5, 6]);
    other.extend(Sha256::digest(&other).to_vec());
    std::fs::write(path.join("libnumpack.redo"), other).unwrap();
    assert_eq!(try_all(&path).unwrap(), [vec![1, 5, 6, 4]]);
    drop(Writer::open(&path).unwrap());
    assert_eq!(try_all(&path).unwrap(), [vec![1, 5, 6, 4]]);
    assert_eq!(common::names(&path), ["data_r.npkd", "libnumpack.lock", "metadata.npkm"]);
}

#[test]
fn every_flip_and_cut_of_a_redo_record() {
    // A record as the format describes it, put together by hand.
    use sha2::{Digest, Sha256};
    let (_t, path) = place();
    let arrays = |code, rows| Raw {
        arrays: vec![
            ("a".into(), code, vec![rows], "data_a.npkd".into()),
            ("r".into(), 1, vec![4], "data_r.npkd".into()),
        ],
    };
    let (old, new) = (arrays(1, 3).metadata(), arrays(2, 2).metadata());
    let text = |s: &str| [&(s.len() as u32).to_le_bytes()[..], s.as_bytes()].concat();
    // Two new rows of "r", from its second on.
    let rows = [8u8, 9];
    let mut body = Sha256::digest(&old).to_vec();
    body.extend([&1u32.to_le_bytes()[..], &text("data_r.npkd"), &1u64.to_le_bytes()].concat());
    body.extend([1u64, 2, 16].map(u64::to_le_bytes).concat());
    body.extend(0u32.to_le_bytes());
    body.extend([&1u32.to_le_bytes()[..], &text("deleted_a.npkb")].concat());
    body.extend([&1u32.to_le_bytes()[..], &text("1.new"), &text("data_a.npkd")].concat());
    body.extend(4u64.to_le_bytes());
    body.extend([&(new.len() as u64).to_le_bytes()[..], &new].concat());
    body.extend([&1u32.to_le_bytes()[..], &text("data_old.npkd")].concat());
    body.extend(0u32.to_le_bytes());
    let lengths = [rows.len() as u64, body.len() as u64].map(u64::to_le_bytes).concat();
    let mut good = [&b"NPKREDO\0\x02\0\0\0\0\0\0\0"[..], &rows, &body, &lengths].concat();
    good.extend(Sha256::digest(&good).to_vec());
    let files: &[(&str, &[u8])] = &[
        ("metadata.npkm", &old),
        ("data_a.npkd", &[1, 2, 3]),
        ("data_r.npkd", &[1, 2, 3, 4]),
        ("deleted_a.npkb", &bitmap(3, |r| r == 1)),
        ("data_old.npkd", &[0]),
        ("libnumpack.redo", &good),
        ("libnumpack.stage/1.new", &[4, 5, 6, 7]),
    ];
    let after = [vec![4, 5, 6, 7], vec![1, 8, 9, 4]];
    put(&path, files);
    assert_eq!(try_all(&path).unwrap(), after);
    assert!(Store::verify(&path).unwrap().iter().any(|f| f.kind == FaultKind::Leftover));
    for i in 0..good.len() {
        for bad in [good[..i].to_vec(), [&good[..i], &[good[i] ^ 1], &good[i + 1..]].concat()] {
            std::fs::write(path.join("libnumpack.redo"), bad).unwrap();
            assert!(try_all(&path).is_err(), "at {i}");
            assert!(Writer::open(&path).is_err(), "at {i}");
        }
    }
    // Half applied, in any way, it still gives the new state; and the next writer finishes it.
    for done in 0..5 {
        put(&path, files);
        if done > 3 {
            std::fs::write(path.join("data_r.npkd"), [1, 8, 3, 4]).unwrap();
        }
        if done > 0 {
            let _ = std::fs::remove_file(path.join("deleted_a.npkb"));
        }
        if done > 1 {
            std::fs::rename(path.join("libnumpack.stage/1.new"), path.join("data_a.npkd")).unwrap();
        }
        if done > 2 {
            std::fs::write(path.join("metadata.npkm"), &new).unwrap();
        }
        assert_eq!(try_all(&path).unwrap(), after);
        drop(Writer::open(&path).unwrap());
        assert_eq!(
            common::names(&path),
            ["data_a.npkd", "data_r.npkd", "libnumpack.lock", "metadata.npkm"]
        );
        assert_eq!(try_all(&path).unwrap(), after);
        assert_eq!(std::fs::read(path.join("data_r.npkd")).unwrap(), after[1]);
        assert_eq!(Store::verify(&path).unwrap(), []);
    }
    // Somebody else wrote: the record does not count.
    put(&path, files);
    std::fs::write(path.join("metadata.npkm"), arrays(5, 3).metadata()).unwrap();
    let s = Store::open(&path).unwrap();
    assert!(s.warnings()[0].contains("ignored"));
    assert_eq!((read(&s, "a"), read(&s, "r")), (vec![2], vec![1, 2, 3, 4]));
    let w = Writer::open(&path).unwrap();
    assert!(w.warnings()[0].contains("ignored"));
    drop(w);
    assert_eq!(
        common::names(&path),
        [
            "data_a.npkd",
            "data_old.npkd",
            "data_r.npkd",
            "deleted_a.npkb",
            "libnumpack.lock",
            "metadata.npkm"
        ]
    );
}

#[test]
fn counts_and_shapes_that_lie() {
    let (_t, path) = place();
    for (dtype, shape) in [
        (10, vec![1u64 << 62, 4]),
        (10, vec![u64::MAX]),
        (13, vec![0, 1 << 33, 1 << 33]),
        (14, vec![1]),
        (255, vec![1]),
    ] {
        put(
            &path,
            &[("metadata.npkm", &Raw::one(dtype, &shape, "data_a.npkd")), ("data_a.npkd", b"")],
        );
        assert!(try_all(&path).is_err(), "{shape:?}");
    }
    // Larger than the memory, but consistent: only the file is missing its bytes.
    put(
        &path,
        &[("metadata.npkm", &Raw::one(1, &[1 << 62], "data_a.npkd")), ("data_a.npkd", b"x")],
    );
    assert!(
        Store::open(&path)
            .unwrap()
            .array("a")
            .unwrap_err()
            .to_string()
            .contains("the file ends after 1")
    );
    // No bytes, but rows without end, and a bitmap of them.
    put(
        &path,
        &[
            ("metadata.npkm", &Raw::one(1, &[u64::MAX, 0], "data_a.npkd")),
            ("data_a.npkd", b""),
            ("deleted_a.npkb", &bitmap(3, |_| true)),
        ],
    );
    assert_eq!(Store::open(&path).unwrap().info("a").unwrap().unwrap().shape, [3, 0]);
    assert_eq!(try_all(&path).unwrap(), [b""]);
    std::fs::write(path.join("deleted_a.npkb"), [[0xff; 8], [0; 8]].concat()).unwrap();
    assert!(try_all(&path).is_err());
    std::fs::remove_file(path.join("deleted_a.npkb")).unwrap();
    let mut limits = Limits::default();
    limits.max_metadata_bytes = 50;
    assert!(matches!(
        Store::open_with(&path, &limits),
        Err(Error::Limit { value: 99 | 107, limit: 50, .. })
    ));
    let mut limits = Limits::default();
    limits.max_dims = 1;
    assert!(matches!(Store::open_with(&path, &limits), Err(Error::Limit { value: 2, .. })));
}

#[test]
fn metadata_that_is_not_ours_to_read() {
    let (_t, path) = place();
    let good = Raw::one(1, &[1], "data_a.npkd");
    let change = |at: usize, byte: u8, says: &str| {
        let mut bad = good.clone();
        bad[at] = byte;
        put(&path, &[("metadata.npkm", &bad), ("data_a.npkd", &[1])]);
        assert!(error(&path).contains(says), "{}", error(&path));
    };
    change(0, b'X', "expected the magic");
    change(4, 99, "version is 99");
    change(8, 2, "total size is 2");
    let dtype = good.len() - 23;
    change(dtype, 14, "array \"a\": at byte 68: the element type has code 14");
    for at in dtype + 1..good.len() {
        change(at, 1, "compressed");
    }
    let twins = Raw {
        arrays: vec![("a".into(), 1, vec![1], "x".into()), ("a".into(), 1, vec![1], "y".into())],
    }
    .metadata();
    put(&path, &[("metadata.npkm", &twins), ("x", b"1"), ("y", b"1")]);
    assert!(error(&path).contains("two records"));
}

#[test]
fn paths_stay_in_the_store() {
    let (t, path) = place();
    let secret = t.path().join("secret");
    std::fs::write(&secret, "secret").unwrap();
    let absolute = secret.to_str().unwrap();
    for file in [
        absolute,
        "../secret",
        "x/../../secret",
        "",
        ".",
        "..",
        "a//b",
        "metadata.npkm",
        "libnumpack.lock",
        "a\0b",
    ] {
        put(&path, &[("metadata.npkm", &Raw::one(1, &[1], file))]);
        assert!(try_all(&path).is_err(), "{file:?}");
        assert!(Writer::open(&path).is_err(), "{file:?}");
        // A damaged store can be replaced, and that touches nothing outside.
        Writer::replace(&path).unwrap().commit().unwrap();
        assert!(secret.exists());
    }
    put(&path, &[("metadata.npkm", &Raw::one(1, &[6], "link")), ("dir/data", b"inside")]);
    std::os::unix::fs::symlink(&secret, path.join("link")).unwrap();
    assert!(error(&path).contains("symbolic link"), "{}", error(&path));
    std::fs::remove_file(path.join("link")).unwrap();
    std::os::unix::fs::symlink(t.path(), path.join("away")).unwrap();
    std::fs::write(path.join("metadata.npkm"), Raw::one(1, &[6], "away/secret")).unwrap();
    assert!(error(&path).contains("symbolic link"));
    std::fs::write(path.join("metadata.npkm"), Raw::one(1, &[6], "dir/data")).unwrap();
    assert_eq!(try_all(&path).unwrap(), [b"inside"]);
    std::fs::write(path.join("metadata.npkm"), Raw::one(1, &[6], "dir")).unwrap();
    assert!(error(&path).contains("not a regular file"));
    std::fs::write(path.join("metadata.npkm"), Raw::one(1, &[6], "gone")).unwrap();
    assert!(error(&path).contains("missing"));
    let faults = Store::verify(&path).unwrap();
    assert!(faults.iter().any(|f| f.kind == FaultKind::Data
        && f.array.as_deref() == Some("a")
        && f.to_string().contains("gone")));
}

#[test]
fn a_bitmap_left_over_is_not_applied_to_a_new_array() {
    let (_t, path) = place();
    put(
        &path,
        &[
            ("metadata.npkm", &Raw { arrays: vec![] }.metadata()),
            ("deleted_a.npkb", &bitmap(2, |r| r == 0)),
        ],
    );
    assert!(Store::verify(&path).unwrap().iter().any(|f| f.kind == FaultKind::Orphan));
    let mut w = Writer::open(&path).unwrap();
    save(&mut w, "a", DType::U8, &[2], &[1, 2]);
    w.commit().unwrap();
    assert_eq!(try_all(&path).unwrap(), [[1, 2]]);
    assert!(!path.join("deleted_a.npkb").exists());
    // Over an array with dropped rows, too.
    std::fs::write(path.join("deleted_a.npkb"), bitmap(2, |r| r == 0)).unwrap();
    assert_eq!(try_all(&path).unwrap(), [[1]]);
    let mut w = Writer::open(&path).unwrap();
    save(&mut w, "a", DType::U8, &[2], &[3, 4]);
    w.commit().unwrap();
    assert_eq!(try_all(&path).unwrap(), [[3, 4]]);
}

#[test]
fn orphans_are_never_overwritten() {
    let (_t, path) = place();
    put(
        &path,
        &[
            ("metadata.npkm", &Raw { arrays: vec![] }.metadata()),
            ("data_a.npkd", b"precious"),
            ("data_B.npkd", b"too"),
        ],
    );
    assert_eq!(Store::verify(&path).unwrap().len(), 2);
    let mut w = Writer::open(&path).unwrap();
    save(&mut w, "a", DType::U8, &[1], &[1]);
    save(&mut w, "b", DType::U8, &[1], &[2]);
    w.commit().unwrap();
    assert_eq!(try_all(&path).unwrap(), [[1], [2]]);
    assert_eq!(std::fs::read(path.join("data_a.npkd")).unwrap(), b"precious");
    assert_eq!(
        common::names(&path),
        [
            "data_B.npkd",
            "data_a.npkd",
            "data_a~1.npkd",
            "data_b~1.npkd",
            "libnumpack.lock",
            "metadata.npkm"
        ]
    );
}

#[test]
fn a_shared_file_outlives_one_of_its_arrays() {
    let (_t, path) = place();
    let shared = Raw {
        arrays: vec![
            ("a".into(), 1, vec![1], "data_a.npkd".into()),
            ("b".into(), 1, vec![1], "data_a.npkd".into()),
        ],
    }
    .metadata();
    put(&path, &[("metadata.npkm", &shared), ("data_a.npkd", b"x")]);
    assert_eq!(Store::verify(&path).unwrap()[0].kind, FaultKind::Shared);
    let mut w = Writer::open(&path).unwrap();
    save(&mut w, "a", DType::U8, &[1], b"y");
    w.commit().unwrap();
    assert_eq!(try_all(&path).unwrap(), [b"y", b"x"]);
    let mut w = Writer::open(&path).unwrap();
    w.remove_array("a").unwrap();
    w.commit().unwrap();
    assert_eq!(try_all(&path).unwrap(), [b"x"]);
    assert_eq!(Store::verify(&path).unwrap(), []);
}

#[test]
fn files_shorter_and_longer_than_said() {
    let (_t, path) = place();
    put(&path, &[("metadata.npkm", &Raw::one(3, &[2], "data_a.npkd")), ("data_a.npkd", &[1; 7])]);
    assert!(
        error(&path).contains("data_a.npkd: array \"a\": at byte 7: expected 8 bytes"),
        "{}",
        error(&path)
    );
    std::fs::write(path.join("data_a.npkd"), [1; 9]).unwrap();
    assert_eq!(try_all(&path).unwrap(), [[1; 8]]);
    assert!(Store::verify(&path).unwrap().iter().all(numpack_format::Fault::is_notice));
    // Shortened while it is open.
    let a = Store::open(&path).unwrap().array("a").unwrap();
    std::fs::write(path.join("data_a.npkd"), [1; 3]).unwrap();
    assert!(a.read_into(&mut [0; 8]).unwrap_err().to_string().contains("shortened"));
}

#[test]
fn a_foreign_write_in_between_stops_the_commit() {
    let (_t, path) = place();
    Writer::create(&path).unwrap().commit().unwrap();
    let mut w = Writer::open(&path).unwrap();
    save(&mut w, "a", DType::U8, &[1], &[1]);
    let foreign = Raw::one(1, &[1], "data_x.npkd");
    put(&path, &[("metadata.npkm", &foreign), ("data_x.npkd", b"x")]);
    assert!(matches!(w.commit(), Err(Error::Changed { .. })));
    assert_eq!(try_all(&path).unwrap(), [b"x"]);
    assert_eq!(common::names(&path), ["data_x.npkd", "libnumpack.lock", "metadata.npkm"]);
}

#[test]
fn names_that_differ_by_case_have_files_of_their_own() {
    let (_t, path) = place();
    let twins = Raw {
        arrays: vec![
            ("a".into(), 1, vec![1], "data_a.npkd".into()),
            ("A".into(), 1, vec![1], "data_A.npkd".into()),
        ],
    }
    .metadata();
    put(&path, &[("metadata.npkm", &twins), ("data_a.npkd", b"x"), ("data_A.npkd", b"y")]);
    let mut w = Writer::open(&path).unwrap();
    w.remove_array("a").unwrap();
    w.commit().unwrap();
    assert_eq!(Store::verify(&path).unwrap(), []);
    assert_eq!(try_all(&path).unwrap(), [b"y"]);
    // New files get numbers; a number that is given up is given again, and a file keeps its own.
    let mut w = Writer::replace(&path).unwrap();
    let cases = ["xy", "Xy", "xY", "XY"];
    for name in cases {
        save(&mut w, name, DType::U8, &[1], &name.as_bytes()[..1]);
    }
    w.remove_array("Xy").unwrap();
    save(&mut w, "Xy", DType::U8, &[1], b"X");
    w.commit().unwrap();
    let files = ["data_XY~3.npkd", "data_Xy~1.npkd", "data_xY~2.npkd", "data_xy.npkd"];
    assert_eq!(common::names(&path)[..4], files);
    let mut w = Writer::open(&path).unwrap();
    for name in cases.iter().rev() {
        save(&mut w, name, DType::U8, &[1], &name.as_bytes()[..1]);
    }
    w.commit().unwrap();
    assert_eq!(common::names(&path)[..4], files);
    assert_eq!(Store::verify(&path).unwrap(), []);
}
