//! Packages that are damaged or made to do harm: an error, or the right data; no panic, nothing
//! left behind, nothing written elsewhere.
#![allow(missing_docs, reason = "a test")]

mod common;

use common::{Raw, bitmap, names, package, package_with, pattern, place, read, save, tree};
use flate2::write::ZlibEncoder;
use numpack_format::{
    Compression, DType, Error, Limits, PackOptions, Package, Store, UnpackOptions, Writer, pack,
    unpack,
};
use std::io::Write;
use std::path::Path;

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut out = ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// A zstd frame of `n` zeros, in blocks of one repeated byte.
fn zstd_zeros(mut n: u64, window_descriptor: u8) -> Vec<u8> {
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0, window_descriptor];
    loop {
        let block = n.min(128 << 10);
        n -= block;
        let header = (block as u32) << 3 | 1 << 1 | u32::from(n == 0);
        out.extend(&header.to_le_bytes()[..3]);
        out.push(0);
        if n == 0 {
            return out;
        }
    }
}

/// A window of 2 MiB, as the public package asks for.
const WINDOW: u8 = 11 << 3;

/// What a package comes to: its arrays, or why not. The place stays as it was if it is refused.
fn outcome(dir: &Path, bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Error> {
    outcome_with(dir, bytes, &Limits::default())
}

fn outcome_with(
    dir: &Path,
    bytes: &[u8],
    limits: &Limits,
) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let (file, out) = (dir.join("p.npkg"), dir.join("out.npk"));
    std::fs::write(&file, bytes).unwrap();
    let before = names(dir);
    let verified = Package::open_with(&file, limits).and_then(|p| {
        for info in p.arrays() {
            if info.nbytes() < 1 << 20 {
                let _ = p.read_into(&info.name, &mut vec![0; info.nbytes() as usize]);
            }
        }
        p.verify()
    });
    let options = UnpackOptions { limits: limits.clone(), ..UnpackOptions::default() };
    let unpacked = unpack(&file, &out, &options);
    assert_eq!(verified.is_ok(), unpacked.is_ok(), "{verified:?} {unpacked:?}");
    match unpacked {
        Err(e) => {
            assert_eq!(names(dir), before);
            Err(e)
        }
        Ok(_) => {
            let store = Store::open(&out).unwrap();
            assert_eq!(Store::verify(&out).unwrap().iter().filter(|f| !f.is_notice()).count(), 0);
            let arrays = store.arrays().unwrap().iter();
            let arrays = arrays.map(|a| (a.name.clone(), read(&store, &a.name))).collect();
            std::fs::remove_dir_all(&out).unwrap();
            Ok(arrays)
        }
    }
}

fn refused(bytes: &[u8], why: &str) {
    let dir = tempfile::tempdir().unwrap();
    let e = outcome(dir.path(), bytes).unwrap_err();
    assert!(e.to_string().contains(why), "expected {why:?}: {e}");
    assert!(e.to_string().contains("p.npkg"), "{e}");
}

/// A small package with an array, a bitmap and a compressed file.
fn small(compression: Compression) -> Vec<u8> {
    let (dir, path) = place();
    let mut w = Writer::create(&path).unwrap();
    save(&mut w, "a", DType::U16, &[5, 2], &pattern(20, 1));
    save(&mut w, "z", DType::U8, &[64], &[7; 64]);
    w.commit().unwrap();
    std::fs::write(path.join("deleted_a.npkb"), bitmap(5, |r| r != 2)).unwrap();
    let file = dir.path().join("p");
    pack(&path, &file, &PackOptions { compression, ..PackOptions::default() }).unwrap();
    std::fs::read(file).unwrap()
}

#[test]
fn every_byte_flipped_and_every_length() {
    let zstd = zstd_zeros(300, WINDOW);
    let metadata = Raw::one(1, &[300], "data_a.npkd");
    let with_zstd = package_with(
        2,
        &[("data_a.npkd", &[0; 300], Some(&zstd)), ("metadata.npkm", &metadata, None)],
    );
    for good in [small(Compression::Stored), small(Compression::Zlib), with_zstd] {
        let dir = tempfile::tempdir().unwrap();
        let right = outcome(dir.path(), &good).unwrap();
        for i in 0..good.len() {
            for bits in [0x01, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[i] ^= bits;
                if let Ok(arrays) = outcome(dir.path(), &bad) {
                    // Names and sizes of files are not in the checksum, nor is what is ignored in
                    // a compressed stream.
                    assert_eq!(arrays, right, "byte {i} ^ {bits:#x}");
                }
            }
            assert!(outcome(dir.path(), &good[..i]).is_err(), "cut to {i}");
        }
        let longer = [&good[..], &[0]].concat();
        assert!(outcome(dir.path(), &longer).is_err());
    }
}

#[test]
fn a_damaged_package_leaves_the_store_that_it_was_to_replace() {
    let (dir, path) = place();
    let mut w = Writer::create(&path).unwrap();
    save(&mut w, "old", DType::U8, &[3], &[1, 2, 3]);
    w.commit().unwrap();
    let before = tree(dir.path());
    let good = small(Compression::Stored);
    for i in [0, 30, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[i] ^= 4;
        let file = dir.path().join("p.npkg");
        std::fs::write(&file, bad).unwrap();
        let options = UnpackOptions { overwrite: true, ..UnpackOptions::default() };
        unpack(&file, &path, &options).unwrap_err();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(tree(dir.path()), before);
    }
}

#[test]
fn headers() {
    let good = small(Compression::Stored);
    let with = |at: usize, bytes: &[u8]| {
        let mut bad = good.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        bad
    };
    refused(b"", "expected 4 bytes of the magic");
    refused(&with(0, b"NPKB"), "expected the magic \"NPKG\"");
    refused(&with(4, &[0]), "version 0");
    refused(&with(4, &[3]), "version 3");
    refused(&with(8, &[2]), "compression is 2");
    refused(&with(9, &u32::MAX.to_le_bytes()), "the number of files is 4294967295");
    refused(&with(13, &u32::MAX.to_le_bytes()), "longer than a name can be");
    let sizes = 13 + 4 + "data_a.npkd".len();
    refused(&with(sizes, &u64::MAX.to_le_bytes()), "\"data_a.npkd\" takes 18446744073709551615");
    refused(&with(sizes + 8, &[5]), "says that nothing in it is");
    let last = good.len() - 4;
    refused(&with(last, &[0xde, 0xad, 0xbe, 0xef]), "the checksum is efbeadde");
    // One file fewer than are there.
    refused(&with(9, &[3]), "more bytes follow");
}

#[test]
fn names_of_files() {
    let metadata = Raw::one(1, &[1], "data_a.npkd");
    let with =
        |name: &str| package(&[("data_a.npkd", &[1]), (name, &[2]), ("metadata.npkm", &metadata)]);
    for (name, why) in [
        ("", "is empty"),
        ("/tmp/data_x.npkd", "is absolute"),
        ("../data_x.npkd", "\"..\""),
        ("data_x/../../data_y.npkd", "\"..\""),
        ("data_s_segments/seg_000000.npkd", "is in a folder"),
        ("data_\0.npkd", "NUL"),
        ("libnumpack.redo", "is reserved"),
        ("Metadata.npkm", "is reserved"),
        ("evil.sh", "is none of"),
        ("data_a.npkd", "two files have the name"),
        ("metadata.npkm", "two files have the name"),
    ] {
        refused(&with(name), why);
    }
    // Ordinary characters here, whatever they mean elsewhere.
    let dir = tempfile::tempdir().unwrap();
    outcome(dir.path(), &with("data_..\\..\\x.npkd")).unwrap();
    let long = format!("data_{}.npkd", "x".repeat(246));
    refused(&with(&long), "longer than a name can be");
    let not_utf8 = with("data_?.npkd").iter().map(|&b| if b == b'?' { 0xff } else { b }).collect();
    let not_utf8: Vec<u8> = not_utf8;
    refused(&not_utf8, "not UTF-8");
}

#[test]
fn what_the_metadata_says_must_be_there() {
    let data: (&str, &[u8]) = ("data_a.npkd", &[1, 2]);
    refused(&package(&[data]), "there is no \"metadata.npkm\"");
    refused(&package(&[]), "there is no \"metadata.npkm\"");
    refused(&package(&[data, ("metadata.npkm", b"NPKB")]), "metadata.npkm: at byte 4");
    let metadata = Raw::one(1, &[3], "data_a.npkd");
    refused(&package(&[data, ("metadata.npkm", &metadata)]), "has 2 bytes, expected 3");
    let metadata = Raw::one(1, &[1], "data_b.npkd");
    refused(&package(&[data, ("metadata.npkm", &metadata)]), "there is no \"data_b.npkd\"");
    let metadata = Raw::one(1, &[2], "data_a.npkseg");
    refused(&package(&[data, ("metadata.npkm", &metadata)]), "pack the store again");
    let arrays = vec![("a".into(), 1, vec![1], "data_a.npkd".into()); 2];
    let metadata = Raw { arrays }.metadata();
    refused(&package(&[data, ("metadata.npkm", &metadata)]), "two records have this name");
    let metadata = Raw::one(1, &[2], "data_a.npkd");
    let files = [data, ("deleted_a.npkb", &[1; 3]), ("metadata.npkm", &metadata[..])];
    refused(&package(&files), "deleted_a.npkb");
    let files = [data, ("deleted_b.npkb", &[0; 16]), ("metadata.npkm", &metadata[..])];
    refused(&package(&files), "no array has the bitmap");
}

#[test]
fn version_1() {
    let metadata = Raw::one(1, &[300], "data_a.npkd");
    let packed = zlib(&[7; 300]);
    let v1 = package_with(
        1,
        &[("data_a.npkd", &[7; 300], Some(&packed)), ("metadata.npkm", &metadata, None)],
    );
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(outcome(dir.path(), &v1).unwrap(), [("a".to_owned(), vec![7; 300])]);
    let mut other = v1.clone();
    other[4] = 2;
    refused(&other, "the checksum");
}

/// A package with one array of zeros whose compressed bytes are these.
fn zeros(declared: u64, packed: &[u8]) -> Vec<u8> {
    let metadata = Raw::one(1, &[declared], "data_a.npkd");
    let none: [u8; 0] = [];
    let mut out = package_with(
        2,
        &[("data_a.npkd", &none, Some(packed)), ("metadata.npkm", &metadata, None)],
    );
    let at = 13 + 4 + "data_a.npkd".len();
    out[at..at + 8].copy_from_slice(&declared.to_le_bytes());
    let mut crc = crc32fast::Hasher::new();
    let zeros = vec![0; 1 << 20];
    let mut left = declared.min(8 << 20);
    while left > 0 {
        let n = left.min(1 << 20);
        crc.update(&zeros[..n as usize]);
        left -= n;
    }
    let mut sum = crc32fast::Hasher::new();
    sum.update(&crc.finalize().to_le_bytes());
    sum.update(&crc32fast::hash(&metadata).to_le_bytes());
    let last = out.len() - 4;
    out[last..].copy_from_slice(&sum.finalize().to_le_bytes());
    out
}

#[test]
fn declared_sizes_are_promises() {
    let dir = tempfile::tempdir().unwrap();
    let n = 1 << 20;
    let zlib = zlib(&vec![0; n]);
    let zstd = zstd_zeros(n as u64, WINDOW);
    for packed in [&zlib, &zstd] {
        let right = outcome(dir.path(), &zeros(n as u64, packed)).unwrap();
        assert_eq!(right, [("a".to_owned(), vec![0; n])]);
        // The stream has more, by one byte and by far, or fewer.
        refused(&zeros(n as u64 - 1, packed), "but has more");
        refused(&zeros(5, packed), "but has more");
        refused(&zeros(n as u64 + 1, packed), &format!("it ends after {n}"));
        // Bytes follow the stream, or it is cut off.
        refused(&zeros(n as u64, &[&packed[..], &[0]].concat()), "its stream ends after");
        refused(&zeros(n as u64, &packed[..packed.len() - 1]), "data_a.npkd");
    }
    refused(&zeros(9, b"no stream at all"), "neither a zlib nor a zstd stream");
    refused(&zeros(9, b"\x78"), "neither a zlib nor a zstd stream");
    refused(&zeros(9, &zstd_zeros(9, 31 << 3)), "window of");
    // A preset dictionary.
    refused(&zeros(9, b"\x78\xbb\0\0\0\0\x03\0"), "data_a.npkd");
    // No compression reaches this.
    refused(&zeros(n as u64 * 2, &zlib), "hold at most");
    refused(&zeros(u64::MAX / 2, &zstd), "hold at most");
}

#[test]
fn bombs() {
    // 64 KiB that would become 2 GiB.
    let bomb = zeros(2 << 30, &zstd_zeros(2 << 30, WINDOW));
    assert!(bomb.len() < 80 << 10);
    let started = std::time::Instant::now();
    refused(&bomb, "the size of its files when unpacked is 214748");
    assert!(started.elapsed() < std::time::Duration::from_secs(10), "it was unpacked");
    // Small ones are let through, and bounded by the caller.
    let dir = tempfile::tempdir().unwrap();
    outcome(dir.path(), &zeros(8 << 20, &zstd_zeros(8 << 20, WINDOW))).unwrap();
    // Metadata and bitmaps are held in memory: they have limits of their own.
    let mut limits = Limits::default();
    limits.max_metadata_bytes = 1 << 20;
    let packed = zstd_zeros(900 << 20, WINDOW);
    let none: [u8; 0] = [];
    let mut bomb = package_with(2, &[("metadata.npkm", &none, Some(&packed))]);
    bomb[30..38].copy_from_slice(&(900u64 << 20).to_le_bytes());
    assert!(matches!(outcome_with(dir.path(), &bomb, &limits), Err(Error::Limit { .. })));
    // More in all than 64 bits count.
    let huge = |name| (name, &none[..], Some(&packed[..]));
    let mut bomb = package_with(2, &[huge("data_a.npkd"), huge("data_b.npkd")]);
    let second = 13 + 15 + 16 + packed.len() + 15;
    for at in [13 + 15, second] {
        bomb[at..at + 8].copy_from_slice(&(1u64 << 63).to_le_bytes());
    }
    refused(&bomb, "hold at most");
}

#[test]
fn a_sparse_file_costs_no_memory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.npkg");
    let mut bytes = package(&[]);
    bytes[9..13].copy_from_slice(&u32::MAX.to_le_bytes());
    std::fs::write(&file, bytes).unwrap();
    std::fs::File::options().write(true).open(&file).unwrap().set_len(1 << 40).unwrap();
    assert!(Package::open(&file).unwrap_err().to_string().contains("is empty"));
}

#[test]
fn reading_one_array_is_checked_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("p.npkg");
    std::fs::write(&file, small(Compression::Zlib)).unwrap();
    let package = Package::open(&file).unwrap();
    let mut out = [0; 64];
    package.read_into("z", &mut out).unwrap();
    assert_eq!(out, [7; 64]);
    assert!(matches!(package.read_into("z", &mut out[1..]), Err(Error::Parameter { .. })));
    assert!(matches!(package.read_into("y", &mut out), Err(Error::NoArray { .. })));
    assert!(matches!(package.read_rows_into("z", 3..65, &mut out), Err(Error::Parameter { .. })));
    package.read_rows_into("z", 3..3, &mut []).unwrap();
    // zlib has a checksum of its own.
    let entry = package.info().files.iter().find(|f| f.name == "data_z.npkd").unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let at = bytes.windows(11).position(|w| w == b"data_z.npkd").unwrap() + 11 + 16;
    let last = at + entry.packed_size as usize - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let e = Package::open(&file).unwrap().read_into("z", &mut out).unwrap_err();
    assert!(e.to_string().contains("\"data_z.npkd\" is damaged"), "{e}");
}
