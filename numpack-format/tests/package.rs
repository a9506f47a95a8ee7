//! Packages: what the public package made, round trips, and what is refused at a place.
#![allow(missing_docs, reason = "a test")]

mod common;

use common::{bitmap, fixtures, names, pattern, place, read, save, tree};
use numpack_format::{
    ArrayInfo, Compression, DType, Error, PackOptions, Package, SideInfo, Store, UnpackOptions,
    View, Writer, pack, side, unpack,
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::path::Path;

fn zlib() -> PackOptions {
    PackOptions { compression: Compression::Zlib, ..PackOptions::default() }
}

fn over() -> UnpackOptions {
    UnpackOptions { overwrite: true, ..UnpackOptions::default() }
}

fn read_packed(package: &Package, info: &ArrayInfo) -> Vec<u8> {
    let mut out = vec![0xee; info.nbytes() as usize];
    package.read_into(&info.name, &mut out).unwrap();
    out
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

#[test]
fn packages_of_the_public_package() {
    let Some((npk, truth)) = fixtures() else { return };
    let mut arrays = 0;
    for (name, truth) in truth["packages"].as_object().unwrap() {
        let path = npk.join(name);
        let package = Package::open(&path).unwrap();
        package.verify().unwrap();
        assert_eq!(package.info().warnings, [""; 0]);
        let (_dir, place) = place();
        let info = unpack(&path, &place, &UnpackOptions::default()).unwrap();
        assert_eq!(info.files as usize, package.info().files.len());
        assert_eq!(Store::verify(&place).unwrap(), [], "{name}");
        let store = Store::open(&place).unwrap();
        assert_eq!(store.arrays().unwrap(), package.arrays());
        let expected = truth["arrays"].as_object().unwrap();
        assert_eq!(store.arrays().unwrap().len(), expected.len(), "{name}");
        for info in store.arrays().unwrap() {
            let e = &expected[&info.name];
            assert_eq!(info.dtype.name(), e["dtype"], "{name} {}", info.name);
            assert_eq!(serde_json::json!(info.shape), e["shape"], "{name} {}", info.name);
            let bytes = read(&store, &info.name);
            assert_eq!(hex(&bytes), e["sha256"], "{name} {}", info.name);
            assert_eq!(read_packed(&package, info), bytes);
            pieces(&package, info, &bytes);
            arrays += 1;
        }
    }
    assert!(arrays > 0);
}

/// Any range of rows is that part of the whole.
fn pieces(package: &Package, info: &ArrayInfo, whole: &[u8]) {
    let rows = info.shape[0];
    let size = whole.len().checked_div(rows as usize).unwrap_or(0);
    for (from, to) in [(rows / 3, rows / 2), (rows / 2, rows), (rows, rows)] {
        let mut out = vec![0xee; (to - from) as usize * size];
        package.read_rows_into(&info.name, from..to, &mut out).unwrap();
        assert_eq!(out, whole[from as usize * size..to as usize * size]);
    }
    // In order, across rows, with parts left out; and back again.
    let mut array = package.array(&info.name).unwrap();
    let (n, step) = (whole.len(), whole.len() / 9 + 1);
    let forward = (0..n).step_by(step + step / 3);
    for at in forward.chain([n / 2, 0, n]) {
        let mut out = vec![0xee; step.min(n - at)];
        array.read_bytes_at(at as u64, &mut out).unwrap();
        assert_eq!(out, whole[at..at + out.len()], "at {at} of {n}");
    }
    assert!(array.read_bytes_at(n as u64, &mut [0]).is_err());
    assert!(array.read_bytes_at(u64::MAX, &mut [0]).is_err());
}

/// What the public package wrote without compression is written byte for byte, and what it wrote
/// with compression has the same files.
#[test]
fn stores_are_packed_as_the_public_package_does() {
    let Some((npk, truth)) = fixtures() else { return };
    let mut same = 0;
    for (name, truth) in truth["stores"].as_object().unwrap() {
        let (dir, back) = place();
        let source = npk.join(truth["path"].as_str().unwrap());
        let before = tree(&source);
        let raw = dir.path().join("raw.npkg");
        pack(&source, &raw, &PackOptions::default()).unwrap();
        let public = npk.join(format!("{name}_raw.npkg"));
        if public.exists() {
            assert!(std::fs::read(&raw).unwrap() == std::fs::read(public).unwrap(), "{name}");
            same += 1;
        }
        let smaller = dir.path().join("zlib.npkg");
        let info = pack(&source, &smaller, &zlib()).unwrap();
        assert!(info.package_size <= std::fs::metadata(&raw).unwrap().len());
        let opened = Package::open(&smaller).unwrap();
        let public = npk.join(format!("{name}_comp.npkg"));
        if public.exists() {
            let files = |p: &Package| -> Vec<_> {
                let files = p.info().files.iter();
                files.map(|f| (f.name.clone(), f.size, f.compression)).collect()
            };
            assert_eq!(files(&opened), files(&Package::open(public).unwrap()), "{name}");
        }
        assert_eq!(tree(&source), before, "{name} was written to");
        let store = Store::open(&source).unwrap();
        for package in [&raw, &smaller] {
            unpack(package, &back, &over()).unwrap();
            let copy = Store::open(&back).unwrap();
            assert_eq!(copy.arrays().unwrap(), store.arrays().unwrap());
            for info in store.arrays().unwrap() {
                assert_eq!(read(&copy, &info.name), read(&store, &info.name), "{name}");
            }
            assert_eq!(Store::verify(&back).unwrap(), []);
        }
    }
    assert!(same > 4);
}

/// Made by the public package 0.7.0 with `zstandard` 0.25: one `uint8` array of shape `[40, 4]`.
const ZSTD: &str = include_str!("data/zstd.hex");

pub fn zstd_package() -> Vec<u8> {
    let hex = ZSTD.trim().as_bytes();
    let digit = |b: u8| (b as char).to_digit(16).unwrap() as u8;
    hex.chunks(2).map(|c| digit(c[0]) << 4 | digit(c[1])).collect()
}

#[test]
fn zstd_of_the_public_package() {
    let (dir, path) = place();
    let file = dir.path().join("z.npkg");
    std::fs::write(&file, zstd_package()).unwrap();
    let package = Package::open(&file).unwrap();
    package.verify().unwrap();
    assert!(package.info().files.iter().any(|f| f.compression == Compression::Zstd));
    unpack(&file, &path, &UnpackOptions::default()).unwrap();
    let expected: Vec<u8> = (0..160).map(|i| i % 4).collect();
    assert_eq!(read(&Store::open(&path).unwrap(), "a"), expected);
    assert_eq!(read_packed(&package, &package.arrays()[0]), expected);
    let mut rows = [9; 8];
    package.read_rows_into("a", 38..40, &mut rows).unwrap();
    assert_eq!(rows, [0, 1, 2, 3, 0, 1, 2, 3]);
}

/// A store with all that a store can have.
fn rich(path: &Path) {
    let mut w = Writer::create(path).unwrap();
    save(&mut w, "a", DType::U8, &[3 << 20], &pattern(3 << 20, 1));
    save(&mut w, "dropped", DType::U16, &[130, 3], &pattern(780, 2));
    save(&mut w, "x/y", DType::F32, &[2, 2], &pattern(16, 3));
    save(&mut w, "empty", DType::F64, &[0, 3], &[]);
    save(&mut w, "zeros", DType::I64, &[20000], &[0; 160_000]);
    w.save("scalar", &View::new(DType::I8, &[], &[5])).unwrap();
    w.commit().unwrap();
    std::fs::write(path.join("deleted_dropped.npkb"), bitmap(130, |r| r % 3 != 1)).unwrap();
    // A torn tail, which is not packed.
    let tail = std::fs::File::options().append(true).open(path.join("data_zeros.npkd")).unwrap();
    tail.set_len(160_100).unwrap();
}

#[test]
fn round_trip() {
    let (dir, path) = place();
    rich(&path);
    let store = Store::open(&path).unwrap();
    for options in [PackOptions::default(), zlib()] {
        let file = dir.path().join("p.npkg");
        let back = dir.path().join("back.npk");
        let info = pack(&path, &file, &options).unwrap();
        assert_eq!(info.package_size, std::fs::metadata(&file).unwrap().len());
        assert_eq!(info.files, 9);
        let package = Package::open(&file).unwrap();
        package.verify().unwrap();
        assert_eq!(package.arrays(), store.arrays().unwrap());
        assert_eq!(package.side(), store.side());
        assert!(package.arrays().iter().any(|a| a.is_scalar()));
        for info in store.arrays().unwrap() {
            let bytes = read(&store, &info.name);
            assert_eq!(read_packed(&package, info), bytes, "{}", info.name);
            pieces(&package, info, &bytes);
        }
        unpack(&file, &back, &UnpackOptions::default()).unwrap();
        let copy = Store::open(&back).unwrap();
        assert_eq!(copy.arrays().unwrap(), store.arrays().unwrap());
        assert_eq!(Store::verify(&back).unwrap(), []);
        for info in store.arrays().unwrap() {
            assert_eq!(read(&copy, &info.name), read(&store, &info.name));
        }
        // What was unpacked makes the same package again.
        let again = dir.path().join("again.npkg");
        pack(&back, &again, &options).unwrap();
        assert!(std::fs::read(&again).unwrap() == std::fs::read(&file).unwrap());
        std::fs::remove_dir_all(&back).unwrap();
        std::fs::remove_file(&file).unwrap();
        std::fs::remove_file(&again).unwrap();
    }
}

#[test]
fn the_documented_example() {
    let (dir, path) = place();
    Writer::create(&path).unwrap().commit().unwrap();
    let file = dir.path().join("p.npkg");
    pack(&path, &file, &PackOptions::default()).unwrap();
    let mut expected = b"NPKG\x02\0\0\0\0\x01\0\0\0\x0d\0\0\0metadata.npkm".to_vec();
    expected.extend([20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend(b"NPKB\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x4a\x1e\xa2\xdc");
    assert_eq!(std::fs::read(file).unwrap(), expected);
}

/// An array without bytes may have any number of rows.
#[test]
fn a_huge_bitmap_is_not_made() {
    let (dir, path) = place();
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join("metadata.npkm"), common::Raw::one(1, &[1 << 60, 0], "data_a.npkd"))
        .unwrap();
    std::fs::write(path.join("data_a.npkd"), "").unwrap();
    let file = dir.path().join("p.npkg");
    pack(&path, &file, &PackOptions::default()).unwrap();
    assert_eq!(Package::open(&file).unwrap().arrays()[0].shape, [1 << 60, 0]);
    std::fs::write(path.join("deleted_a.npkb"), bitmap(5, |r| r != 2)).unwrap();
    assert_eq!(Store::open(&path).unwrap().arrays().unwrap()[0].shape, [4, 0]);
    let refused = pack(&path, dir.path().join("q.npkg"), &PackOptions::default());
    assert!(matches!(refused, Err(Error::Limit { .. })), "{refused:?}");
    assert_eq!(names(dir.path()), ["p.npkg", "s.npk"]);
}

#[test]
fn odd_data_files_get_ordinary_names() {
    let (dir, path) = place();
    std::fs::create_dir_all(path.join("sub")).unwrap();
    let array = |name: &str, file: &str| (name.to_owned(), 1, vec![2], file.to_owned());
    let arrays = vec![
        array("a", "sub/x"),
        array("b", "data_a.npkd"),
        array("c", "deleted_c.npkb"),
        array("d", "data_a.npkd"),
        array("e", "weights.bin"),
    ];
    std::fs::write(path.join("metadata.npkm"), common::Raw { arrays }.metadata()).unwrap();
    for (file, byte) in
        [("sub/x", 1), ("data_a.npkd", 2), ("deleted_c.npkb", 3), ("weights.bin", 4)]
    {
        std::fs::write(path.join(file), [byte; 2]).unwrap();
    }
    // A data file in the place of a bitmap cannot be read as one.
    assert!(pack(&path, dir.path().join("p.npkg"), &PackOptions::default()).is_err());
    let metadata = std::fs::read(path.join("metadata.npkm")).unwrap();
    let at = metadata.windows(14).position(|w| w == b"deleted_c.npkb").unwrap();
    let mut metadata = metadata;
    metadata[at..at + 14].copy_from_slice(b"deleted_q.npkb");
    std::fs::write(path.join("metadata.npkm"), metadata).unwrap();
    std::fs::rename(path.join("deleted_c.npkb"), path.join("deleted_q.npkb")).unwrap();

    let file = dir.path().join("p.npkg");
    pack(&path, &file, &PackOptions::default()).unwrap();
    let package = Package::open(&file).unwrap();
    package.verify().unwrap();
    let files: Vec<_> = package.info().files.iter().map(|f| &f.name[..]).collect();
    assert_eq!(
        files,
        [
            "data_a.npkd",
            "data_a~1.npkd",
            "data_c.npkd",
            "data_d.npkd",
            "data_e.npkd",
            "metadata.npkm"
        ]
    );
    for (info, byte) in package.arrays().iter().zip([1, 2, 3, 2, 4]) {
        assert_eq!(read_packed(&package, info), [byte; 2], "{}", info.name);
    }
}

#[test]
fn places_of_a_package() {
    let (dir, path) = place();
    let mut w = Writer::create(&path).unwrap();
    save(&mut w, "a", DType::U8, &[1], &[1]);
    w.commit().unwrap();
    let at = |name: &str| dir.path().join(name);
    let replace = PackOptions { overwrite: true, ..PackOptions::default() };
    // A file is kept, unless it may go; it keeps its permissions.
    std::fs::write(at("file"), "old").unwrap();
    let mode = |path: &Path| {
        std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(path).unwrap().permissions())
    };
    let private = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o600);
    std::fs::set_permissions(at("file"), private).unwrap();
    assert!(matches!(pack(&path, at("file"), &PackOptions::default()), Err(Error::Exists { .. })));
    assert_eq!(std::fs::read(at("file")).unwrap(), b"old");
    pack(&path, at("file"), &replace).unwrap();
    Package::open(at("file")).unwrap().verify().unwrap();
    assert_eq!(mode(&at("file")) & 0o777, 0o600);
    // A folder is never replaced.
    std::fs::create_dir(at("folder")).unwrap();
    assert!(matches!(
        pack(&path, at("folder"), &PackOptions::default()),
        Err(Error::Exists { .. })
    ));
    assert!(matches!(pack(&path, at("folder"), &replace), Err(Error::Parameter { .. })));
    // What a link leads to is replaced, and not the link.
    std::fs::write(at("behind"), "old").unwrap();
    std::os::unix::fs::symlink(at("behind"), at("link")).unwrap();
    assert!(matches!(pack(&path, at("link"), &PackOptions::default()), Err(Error::Exists { .. })));
    pack(&path, at("link"), &replace).unwrap();
    assert!(std::fs::symlink_metadata(at("link")).unwrap().is_symlink());
    Package::open(at("behind")).unwrap();
    // Nothing is written in the store, nor without a folder to be in.
    let before = tree(&path);
    assert!(matches!(
        pack(&path, path.join("data_a.npkd"), &replace),
        Err(Error::Parameter { .. })
    ));
    assert!(pack(&path, at("none/x.npkg"), &PackOptions::default()).is_err());
    assert!(matches!(
        pack(at("none"), at("x"), &PackOptions::default()),
        Err(Error::NotAStore { .. })
    ));
    let zstd = PackOptions { compression: Compression::Zstd, ..PackOptions::default() };
    assert!(matches!(pack(&path, at("x"), &zstd), Err(Error::Parameter { .. })));
    assert_eq!(tree(&path), before);
    assert_eq!(names(dir.path()), ["behind", "file", "folder", "link", "s.npk"]);
    // What a process that died left goes, unless somebody has it locked.
    let left = at(".new.npkg.libnumpack-1-0123456789abcdef");
    let used = at(".new.npkg.libnumpack-1-0123456789abcdee");
    std::fs::write(&left, "").unwrap();
    let held = std::fs::File::create(&used).unwrap();
    held.lock().unwrap();
    pack(&path, at("new.npkg"), &PackOptions::default()).unwrap();
    assert!(!left.exists() && used.exists());
}

#[test]
fn places_of_a_store() {
    let (dir, path) = place();
    rich(&path);
    let at = |name: &str| dir.path().join(name);
    pack(&path, at("p"), &PackOptions::default()).unwrap();
    let plain = UnpackOptions::default();
    let before = tree(&path);
    assert!(matches!(unpack(at("p"), &path, &plain), Err(Error::Exists { .. })));
    assert_eq!(tree(&path), before);
    std::fs::create_dir(at("empty")).unwrap();
    unpack(at("p"), at("empty"), &plain).unwrap();
    std::fs::write(at("file"), "x").unwrap();
    assert!(matches!(unpack(at("p"), at("file"), &plain), Err(Error::Exists { .. })));
    assert!(matches!(unpack(at("p"), at("file"), &over()), Err(Error::NotAStore { .. })));
    std::fs::create_dir(at("folder")).unwrap();
    std::fs::write(at("folder/x"), "x").unwrap();
    assert!(matches!(unpack(at("p"), at("folder"), &plain), Err(Error::Exists { .. })));
    assert!(matches!(unpack(at("p"), at("folder"), &over()), Err(Error::NotAStore { .. })));
    // A store is replaced, a damaged one too, and what leads to it stays.
    std::fs::write(at("empty/metadata.npkm"), "damaged").unwrap();
    std::os::unix::fs::symlink(at("empty"), at("link")).unwrap();
    let info = unpack(at("p"), at("link"), &over()).unwrap();
    assert_eq!(info.warnings, [""; 0]);
    assert!(std::fs::symlink_metadata(at("link")).unwrap().is_symlink());
    assert_eq!(Store::verify(at("empty")).unwrap(), []);
    // Another writer has it.
    let held = Writer::open(&path).unwrap();
    let impatient = UnpackOptions { wait: false, ..over() };
    assert!(matches!(unpack(at("p"), &path, &impatient), Err(Error::Locked { .. })));
    drop(held);
    assert_eq!(names(dir.path()), ["empty", "file", "folder", "link", "p", "s.npk"]);
    assert!(Package::open(at("folder")).is_err());
    assert!(Package::open(at("none")).is_err());
}

#[test]
fn files_that_no_array_uses_are_left_out() {
    let (dir, path) = place();
    let file = dir.path().join("p.npkg");
    let metadata = common::Raw::one(1, &[2], "data_a.npkd");
    let entries: &[(&str, &[u8])] =
        &[("data_a.npkd", &[1, 2, 3, 4]), ("data_lost.npkd", &[9]), ("metadata.npkm", &metadata)];
    std::fs::write(&file, common::package(entries)).unwrap();
    let info = unpack(&file, &path, &UnpackOptions::default()).unwrap();
    assert!(info.warnings[0].contains("data_lost.npkd"), "{:?}", info.warnings);
    assert_eq!(names(&path), ["data_a.npkd", "libnumpack.lock", "metadata.npkm"]);
    assert_eq!(read(&Store::open(&path).unwrap(), "a"), [1, 2]);
}

#[test]
fn damaged_side_information_is_left_out() {
    let (dir, path) = place();
    let mut w = Writer::create(&path).unwrap();
    w.save("s", &View::new(DType::U8, &[], &[1])).unwrap();
    w.commit().unwrap();
    let side = path.join(format!("data_{}.npkd", side::ARRAY_NAME));
    let len = std::fs::metadata(&side).unwrap().len() as usize;
    std::fs::write(&side, vec![b'x'; len]).unwrap();
    let file = dir.path().join("p.npkg");
    pack(&path, &file, &PackOptions::default()).unwrap();
    let package = Package::open(&file).unwrap();
    assert_eq!(package.side(), None::<&SideInfo>);
    assert!(package.info().warnings[0].contains("side information"));
}

#[test]
fn a_store_that_changes_is_packed_whole() {
    let (dir, path) = place();
    let write = |n: u8| {
        let mut w = Writer::replace(&path).unwrap();
        save(&mut w, "a", DType::U8, &[50_000], &[n; 50_000]);
        save(&mut w, "b", DType::U8, &[50_000], &[n; 50_000]);
        w.commit().unwrap();
    };
    write(0);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in (0..=255u8).cycle() {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                write(n);
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        });
        let mut packed = 0;
        for _ in 0..200 {
            let file = dir.path().join("p.npkg");
            match pack(&path, &file, &PackOptions { overwrite: true, ..PackOptions::default() }) {
                Err(Error::Changed { .. }) => continue,
                done => done.unwrap(),
            };
            let package = Package::open(&file).unwrap();
            package.verify().unwrap();
            let [a, b] = [0, 1].map(|i| read_packed(&package, &package.arrays()[i]));
            assert!(a == b && a.iter().all(|&x| x == a[0]));
            packed += 1;
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(packed > 0);
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn any_arrays_come_back(
        arrays in proptest::collection::btree_map(
            "[a-zA-Z0-9 ./\\\\%~é]{0,12}",
            (0u64..70, 0u64..4, any::<u8>(), any::<u64>()),
            0..8,
        ),
        compress in any::<bool>(),
    ) {
        let (dir, path) = place();
        let mut w = Writer::create(&path).unwrap();
        for (name, &(rows, width, seed, _)) in &arrays {
            let data = pattern((rows * width) as usize, seed);
            save(&mut w, name, DType::U8, &[rows, width], &data);
        }
        w.commit().unwrap();
        for (name, &(rows, _, seed, mask)) in &arrays {
            if seed % 2 == 0 && !name.contains('/') {
                let bytes = bitmap(rows, |r| mask >> (r % 64) & 1 == 1);
                std::fs::write(path.join(format!("deleted_{name}.npkb")), bytes).unwrap();
            }
        }
        let file = dir.path().join("p.npkg");
        pack(&path, &file, &if compress { zlib() } else { PackOptions::default() }).unwrap();
        let package = Package::open(&file).unwrap();
        package.verify().unwrap();
        let back = dir.path().join("b.npk");
        unpack(&file, &back, &UnpackOptions::default()).unwrap();
        let (store, copy) = (Store::open(&path).unwrap(), Store::open(&back).unwrap());
        prop_assert_eq!(store.arrays().unwrap(), copy.arrays().unwrap());
        prop_assert_eq!(store.arrays().unwrap(), package.arrays());
        for info in store.arrays().unwrap() {
            let bytes = read(&store, &info.name);
            prop_assert_eq!(&read(&copy, &info.name), &bytes);
            prop_assert_eq!(read_packed(&package, info), bytes);
        }
        prop_assert_eq!(Store::verify(&back).unwrap(), []);
    }
}
