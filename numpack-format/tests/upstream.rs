//! What the public `numpack` 0.7.0 was found to get wrong, one case for each, done right.
//!
//! Its conversion of checkpoints, which is wrong too, is the business of `interop` and its tests.

mod common;

use common::{Raw, bitmap, pattern, place, read, save, tree};
use numpack_format::{
    DType, Error, NumPack, PackOptions, Rows, Store, UnpackOptions, View, Writer, pack, unpack,
};
use std::path::Path;
use std::process::Command;

const CHILD: &str = "NUMPACK_UPSTREAM_CHILD";
const PLACE: &str = "NUMPACK_UPSTREAM_PLACE";

/// Runs one of the functions below in a process of its own, which ends without a word.
fn die(what: &str, path: &Path) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, what)
        .env(PLACE, path)
        .output()
        .unwrap()
        .status;
    assert_eq!(status.code(), None, "{what}: it did not die");
}

#[test]
fn child() {
    let (Ok(what), Some(path)) = (std::env::var(CHILD), std::env::var_os(PLACE)) else { return };
    let path = Path::new(&path);
    let npk = NumPack::open_or_create(path, &Default::default()).unwrap();
    match &what[..] {
        "save" => npk.save(&[("a", rows(&[1, 2, 3]))]).unwrap(),
        "append" => npk.append(&[("a", rows(&[4]))]).unwrap(),
        "resave" => npk.save(&[("a", View::new(DType::F32, &[1], &[0, 0, 128, 63]))]).unwrap(),
        "resave, half" => {
            let mut w = npk.begin().unwrap();
            w.save("a", &View::new(DType::F32, &[1], &[0, 0, 128, 63])).unwrap();
            std::process::abort();
        }
        "full disk" => {
            // A limit on the size of files stands in for it: half a piece fits.
            let big = vec![7; 1 << 20];
            let e = npk.append(&[("a", View::new(DType::U8, &[1 << 20], &big))]).unwrap_err();
            assert!(matches!(e, Error::Io { .. }), "{e}");
            npk.append(&[("a", rows(&[8]))]).unwrap();
        }
        other => panic!("{other}"),
    }
    std::process::abort();
}

fn rows(data: &[u8]) -> View<'_> {
    // As many rows as bytes, for the few lengths that are used here.
    const LENGTHS: [[u64; 1]; 12] = {
        let mut all = [[0]; 12];
        let mut i = 0;
        while i < 12 {
            all[i] = [i as u64];
            i += 1;
        }
        all
    };
    View::new(DType::U8, &LENGTHS[data.len()], data)
}

fn with(path: &Path, data: &[u8]) -> NumPack {
    let npk = NumPack::create(path).unwrap();
    npk.save(&[("a", View::new(DType::U8, &[data.len() as u64], data))]).unwrap();
    npk
}

fn now(path: &Path) -> Vec<u8> {
    read(&Store::open(path).unwrap(), "a")
}

fn put(path: &Path, files: &[(&str, &[u8])]) {
    std::fs::create_dir_all(path).unwrap();
    files.iter().for_each(|(name, bytes)| std::fs::write(path.join(name), bytes).unwrap());
}

/// Opening and verifying say no, and writers too; nothing changes.
fn refused(path: &Path) {
    let but_lock = || {
        let mut files = tree(path);
        files.remove(&path.join("libnumpack.lock"));
        files
    };
    let before = but_lock();
    assert!(Store::open(path).is_err());
    assert!(Store::verify(path).unwrap().iter().any(|f| !f.is_notice()));
    assert!(Writer::open(path).is_err());
    assert_eq!(but_lock(), before);
}

type Case = (&'static str, fn(&Path));

const CASES: &[Case] = &[
    ("save of a Fortran-order or transposed array", |path| {
        let npk = NumPack::create(path).unwrap();
        let data = [1, 2, 3, 4, 5, 6];
        npk.save(&[("a", View::strided(DType::U8, &[2, 3], &[1, 2], &data, 0))]).unwrap();
        assert_eq!(now(path), [1, 3, 5, 2, 4, 6]);
    }),
    ("save of a negatively strided array", |path| {
        let npk = NumPack::create(path).unwrap();
        npk.save(&[("a", View::strided(DType::U8, &[3], &[-1], &[1, 2, 3], 2))]).unwrap();
        assert_eq!(now(path), [3, 2, 1]);
        let outside = View::strided(DType::U8, &[4], &[-1], &[1, 2, 3], 2);
        assert!(npk.save(&[("a", outside)]).is_err());
    }),
    ("replace at scattered rows", |path| {
        let npk = with(path, &[0; 9]);
        npk.replace_rows("a", &Rows::List(&[7, -9, 3]), &rows(&[1, 2, 3])).unwrap();
        assert_eq!(now(path), [2, 0, 0, 3, 0, 0, 0, 1, 0]);
    }),
    ("replace with fewer rows than indexes", |path| {
        let npk = with(path, &[0; 9]);
        assert!(npk.replace_rows("a", &Rows::List(&[1, 2, 3]), &rows(&[1])).is_err());
        assert_eq!(now(path), [0; 9]);
    }),
    ("drop rows, then append (same 64-row word)", |path| {
        let npk = with(path, &[1, 2, 3]);
        assert_eq!(npk.drop_rows("a", &Rows::List(&[0, 2])).unwrap(), 2);
        npk.append(&[("a", rows(&[4, 5]))]).unwrap();
        assert_eq!(now(path), [2, 4, 5]);
    }),
    ("drop all, append one", |path| {
        let npk = with(path, &[1, 2, 3]);
        npk.drop_rows("a", &Rows::All).unwrap();
        assert_eq!(now(path), [0; 0]);
        npk.append(&[("a", rows(&[9]))]).unwrap();
        assert_eq!(now(path), [9]);
    }),
    ("drop(slice), drop(bool mask), replace(slice)", |path| {
        let npk = with(path, &[0, 1, 2, 3, 4, 5, 6, 7, 8]);
        npk.drop_rows("a", &Rows::from(1..3)).unwrap();
        assert_eq!(now(path), [0, 3, 4, 5, 6, 7, 8]);
        let mask = [true, false, false, true, false, false, true];
        npk.drop_rows("a", &Rows::Mask(&mask)).unwrap();
        assert_eq!(now(path), [3, 4, 6, 7]);
        npk.replace_rows("a", &Rows::from(-3..-1), &rows(&[40, 60])).unwrap();
        assert_eq!(now(path), [3, 40, 60, 7]);
    }),
    ("lazy array with dropped rows, sliced", |path| {
        let npk = with(path, &[0, 1, 2, 3, 4, 5, 6, 7]);
        npk.drop_rows("a", &Rows::List(&[0, 3, 4])).unwrap();
        let lazy = npk.array("a").unwrap();
        let mut out = [0; 3];
        lazy.read_rows_into(1..4, &mut out).unwrap();
        assert_eq!(out, [2, 5, 6]);
        lazy.gather_into(&Rows::Slice { start: None, stop: None, step: 2 }, &mut out).unwrap();
        assert_eq!(out, [1, 5, 7]);
        // SAFETY: nobody else uses this store.
        let mapped = unsafe { lazy.map_rows() }.unwrap();
        assert_eq!((mapped.rows(), mapped.row(1)), (5, Some(&[2][..])));
    }),
    ("0-d array", |path| {
        let npk = NumPack::create(path).unwrap();
        npk.save(&[("a", View::new(DType::U8, &[], &[5]))]).unwrap();
        assert_eq!(now(path), [5]);
        assert!(npk.array("a").unwrap().info().is_scalar());
        assert!(npk.append(&[("a", rows(&[1]))]).is_err());
    }),
    ("save, then the process dies before close", |path| {
        die("save", path);
        assert_eq!(now(path), [1, 2, 3]);
    }),
    ("append, die, reopen, append", |path| {
        with(path, &[1, 2, 3]);
        die("append", path);
        NumPack::open(path).unwrap().append(&[("a", rows(&[5, 6]))]).unwrap();
        assert_eq!(now(path), [1, 2, 3, 4, 5, 6]);
    }),
    ("re-save with another dtype, die", |path| {
        with(path, &[1, 2, 3]);
        die("resave, half", path);
        assert_eq!(now(path), [1, 2, 3]);
        die("resave", path);
        let array = NumPack::open(path).unwrap().array("a").unwrap();
        assert_eq!((array.info().dtype, now(path)), (DType::F32, vec![0, 0, 128, 63]));
        assert_eq!(Store::verify(path).unwrap(), []);
    }),
    ("bad magic, or one byte of metadata missing", |path| {
        let good = Raw::one(1, &[1], "data_a.npkd");
        let bad = [&b"XPKB"[..], &good[4..]].concat();
        for metadata in [&bad[..], &good[..good.len() - 1]] {
            put(path, &[("metadata.npkm", metadata), ("data_a.npkd", b"x")]);
            refused(path);
        }
    }),
    ("a reader closing after a writer", |path| {
        let npk = with(path, &[1]);
        let reader = Store::open(path).unwrap();
        npk.save(&[("b", rows(&[2]))]).unwrap();
        drop(reader);
        assert!(Store::open(path).unwrap().contains("b"));
    }),
    ("two writers", |path| {
        let one = with(path, &[]);
        let two = NumPack::open(path).unwrap();
        for i in 0..10 {
            [&one, &two][i % 2].append(&[("a", rows(&[i as u8]))]).unwrap();
        }
        assert_eq!(now(path), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    }),
    ("a failing metadata write at close", |path| {
        let npk = with(path, &[1]);
        // What stands in the way cannot be removed.
        std::fs::create_dir_all(path.join("libnumpack.meta.tmp/x")).unwrap();
        let e = npk.append(&[("a", rows(&[2]))]).unwrap_err().to_string();
        assert!(e.contains("libnumpack.meta.tmp"), "{e}");
        assert_eq!(now(path), [1]);
        std::fs::remove_dir_all(path.join("libnumpack.meta.tmp")).unwrap();
        npk.append(&[("a", rows(&[3]))]).unwrap();
        assert_eq!(now(path), [1, 3]);
    }),
    ("an append that meets a full disk", |path| {
        with(path, &[1, 2, 3]);
        let limited = r#"trap "" XFSZ; ulimit -f 16; exec "$0" child --exact --test-threads=1"#;
        let output = Command::new("sh")
            .args(["-c", limited])
            .arg(std::env::current_exe().unwrap())
            .env(CHILD, "full disk")
            .env(PLACE, path)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), None, "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(now(path), [1, 2, 3, 8]);
        assert_eq!(std::fs::metadata(path.join("data_a.npkd")).unwrap().len(), 4);
    }),
    ("a bitmap left over from a lost store", |path| {
        NumPack::create(path).unwrap();
        put(path, &[("deleted_a.npkb", &bitmap(3, |_| false))]);
        NumPack::open(path).unwrap().save(&[("a", rows(&[1, 2, 3]))]).unwrap();
        assert_eq!(now(path), [1, 2, 3]);
        assert!(!path.join("deleted_a.npkb").exists());
    }),
    ("data file shorter than metadata says", |path| {
        with(path, &[1, 2, 3]);
        put(path, &[("data_a.npkd", &[1, 2])]);
        let store = Store::open(path).unwrap();
        let e = store.array("a").unwrap_err().to_string();
        assert!(e.contains("expected 3 bytes, the file ends after 2"), "{e}");
        let npk = NumPack::open(path).unwrap();
        assert!(npk.append(&[("a", rows(&[4]))]).is_err());
        assert_eq!(std::fs::read(path.join("data_a.npkd")).unwrap(), [1, 2]);
    }),
    ("ndim 2^32-16, shape [2^62,4]", |path| {
        let mut many = Raw::one(1, &[1], "data_a.npkd");
        let at = 20 + 4 + 1;
        many[at..at + 4].copy_from_slice(&(u32::MAX - 15).to_le_bytes());
        let huge = Raw::one(10, &[1 << 62, 4], "data_a.npkd");
        for metadata in [many, huge] {
            put(path, &[("metadata.npkm", &metadata), ("data_a.npkd", b"x")]);
            refused(path);
        }
    }),
    ("data_file absolute or with ..", |path| {
        let victim = path.with_file_name("victim");
        std::fs::write(&victim, "precious").unwrap();
        for file in [victim.to_str().unwrap(), "../victim"] {
            put(path, &[("metadata.npkm", &Raw::one(1, &[8], file))]);
            refused(path);
        }
        assert_eq!(std::fs::read(victim).unwrap(), b"precious");
    }),
    ("unknown dtype code", |path| {
        put(path, &[("metadata.npkm", &Raw::one(14, &[1], "data_a.npkd")), ("data_a.npkd", b"x")]);
        refused(path);
    }),
    ("version 99, compression flag", |path| {
        let good = Raw::one(1, &[1], "data_a.npkd");
        let mut version = good.clone();
        version[4] = 99;
        let mut compressed = good.clone();
        compressed[good.len() - 22] = 1;
        for metadata in [version, compressed] {
            put(path, &[("metadata.npkm", &metadata), ("data_a.npkd", b"x")]);
            refused(path);
        }
    }),
    ("opening a path that does not exist for reading", |path| {
        assert!(matches!(Store::open(path), Err(Error::NotAStore { .. })));
        assert!(matches!(NumPack::open(path), Err(Error::NotAStore { .. })));
        assert!(!path.exists());
    }),
    ("unpack with overwrite on a damaged package", |path| {
        let (other, package) = (path.with_file_name("other"), path.with_file_name("p.npkg"));
        let mut w = Writer::create(&other).unwrap();
        save(&mut w, "a", DType::U8, &[100], &pattern(100, 1));
        w.commit().unwrap();
        pack(&other, &package, &PackOptions::default()).unwrap();
        let mut bytes = std::fs::read(&package).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&package, bytes).unwrap();
        with(path, &[1, 2]);
        let before = tree(path);
        let options = UnpackOptions { overwrite: true, ..UnpackOptions::default() };
        assert!(unpack(&package, path, &options).is_err());
        assert_eq!(tree(path), before);
    }),
];

#[test]
fn each_is_done_right() {
    for (what, case) in CASES {
        let (_dir, path) = place();
        println!("{what}");
        case(&path);
        if path.exists() && Store::open(&path).is_ok_and(|s| s.array("a").is_ok()) {
            assert_eq!(Store::verify(&path).unwrap(), [], "{what}");
        }
    }
    assert_eq!(CASES.len(), 25);
}
