//! Damaged and hostile `.safetensors`, `.npy` and `.npz` files: an error that says what is wrong,
//! and no more memory than the file justifies.

#[path = "../../torch-pickle/tests/common/heap.rs"]
mod heap;

use std::io::Write;
use std::path::Path;
use std::sync::Mutex;

use heap::Counting;
use numpack_interop::{Rows, Tensors, verify};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

#[global_allocator]
static HEAP: Counting = Counting;
/// One measurement at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// What opening any file of a few bytes may take besides them.
const ROOM: usize = 4 << 20;

/// Opens, checks and reads a file; says what was wrong with it, if anything.
fn refusal(path: &Path) -> Option<String> {
    let len = path.metadata().unwrap().len() as usize;
    let before = heap::start();
    let refusal = try_all(path);
    let peak = heap::peak_since(before);
    assert!(peak <= ROOM + 16 * len, "{peak} bytes for a file of {len}: {refusal:?}");
    refusal
}

fn try_all(path: &Path) -> Option<String> {
    let verified = verify(path);
    let file = match Tensors::open(path) {
        Ok(file) => file,
        Err(e) => {
            let faults = verified.map(|found| found.faults);
            assert!(faults.is_err() || faults.is_ok_and(|f| !f.is_empty()), "{e}");
            return Some(e.to_string());
        }
    };
    for tensor in file.list().unwrap() {
        if let Err(e) = file.read(&tensor, &mut |_| {}) {
            return Some(e.to_string());
        }
        let _ = file.count_rows(&tensor, &Rows::All);
    }
    assert_eq!(verified.unwrap().faults, [""; 0]);
    None
}

fn expect(path: &Path, bytes: &[u8], words: &str) {
    std::fs::write(path, bytes).unwrap();
    let said = refusal(path);
    match words {
        "" => assert_eq!(said, None),
        _ => assert!(said.as_ref().is_some_and(|s| s.contains(words)), "{words:?}: {said:?}"),
    }
}

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 1);
    bytes
}

#[test]
fn safetensors_headers() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let t = |name: &str, dtype: &str, shape: &str, from: u64, to: u64| {
        format!(
            "{name:?}:{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[{from},{to}]}}"
        )
    };
    let u8s = |name: &str, from: u64, to: u64| t(name, "U8", &format!("[{}]", to - from), from, to);
    let deep = format!("{{\"x\":{{\"dtype\":\"U8\",\"more\":{}", "[".repeat(100_000));
    let many = format!("[{}0]", "1,".repeat(100_000));
    for (items, data, words) in [
        (vec![], 0, ""),
        (vec![u8s("a", 0, 4), u8s("b", 4, 6)], 6, ""),
        // Another order than that of the data, and tensors without elements.
        (vec![u8s("b", 4, 6), u8s("e", 4, 4), u8s("a", 0, 4)], 6, ""),
        (vec![t("x", "U8", "[0,4611686018427387904,4]", 0, 0)], 0, ""),
        (vec![u8s("a", 0, 4)], 3, "truncated: 3 bytes of data, its header says 4"),
        (vec![u8s("a", 0, 4)], 5, "1 bytes follow"),
        (vec![u8s("a", 1, 4)], 4, "leave a hole"),
        (vec![u8s("a", 0, 2), u8s("b", 3, 4)], 4, "leave a hole"),
        (vec![u8s("a", 0, 3), u8s("b", 2, 4)], 4, "overlap"),
        (vec![u8s("a", 0, 3), u8s("b", 0, 3)], 3, "overlap"),
        (vec![u8s("a", 0, 2), u8s("a", 2, 4)], 4, "\"a\" stands there twice"),
        (vec![u8s("a", 0, 0), u8s("a", 0, 0)], 0, "\"a\" stands there twice"),
        (vec![t("a", "F32", "[2]", 0, 7)], 7, "takes 8 bytes"),
        (vec![t("a", "F32", "[2]", 8, 0)], 8, "takes 8 bytes"),
        (vec![t("a", "F32", "[4611686018427387904]", 0, 0)], 0, "exceeds 64 bits"),
        (vec![t("a", "U8", "[1152921504606846976]", 0, 1 << 60)], 9, "truncated"),
        (vec![t("a", "U8", "[18446744073709551615]", 0, u64::MAX)], 9, "exceeds 64 bits"),
        (vec![t("a", "U8", "[18446744073709551616]", 0, 1)], 9, "the header is damaged"),
        (vec![t("a", "U8", "[-1]", 0, 1)], 1, "the header is damaged"),
        (vec![t("a", "U8", "[1.5]", 0, 1)], 1, "the header is damaged"),
        (vec![t("a", "U8", &many, 0, 0)], 0, "more than 64 dimensions"),
        (vec![t("a", "U7", "[1]", 0, 1)], 1, "tensor \"a\": unknown variant `U7`"),
        (vec![t("a", "F6_E2M3", "[4]", 0, 3)], 3, "element type F6_E2M3 is not read"),
        (vec![t("a", "F4", "[3,2]", 0, 3)], 3, ""),
        (vec![t("a", "F4", "[2,3]", 0, 3)], 3, "does not pair up"),
        (vec![t("a", "F4", "[3]", 0, 2)], 2, "takes 2 bytes"),
        (vec!["\"__metadata__\":{\"a\":1}".to_owned()], 0, "the header is damaged"),
        (vec!["\"__metadata__\":{\"a\":\"b\",\"a\":\"c\"}".to_owned()], 0, "twice"),
        (vec!["\"__metadata__\":{},\"__metadata__\":{}".to_owned()], 0, "twice"),
        (vec!["\"a\":[]".to_owned()], 0, "the header is damaged"),
    ] {
        expect(&path, &safetensors(&format!("{{{}}}", items.join(",")), data), words);
    }
    for (bytes, words) in [
        (vec![], "not a safetensors file"),
        (vec![9; 7], "not a safetensors file"),
        (u64::MAX.to_le_bytes().to_vec(), "its header would have 18446744073709551615 bytes"),
        ((1u64 << 30).to_le_bytes().to_vec(), "at most 100000000 are read"),
        (90_000_000u64.to_le_bytes().to_vec(), "the header alone takes 90000008"),
        (safetensors(" {}", 0), "does not begin with {"),
        (safetensors("{} x", 0), "the header is damaged"),
        (safetensors("{\"\u{e9}", 0), "the header is damaged"),
        (safetensors("{}      ", 0), ""),
        (safetensors(&deep, 0), "the header is damaged"),
    ] {
        expect(&path, &bytes, words);
    }
}

#[test]
fn headers_of_many_tensors_take_memory_by_their_size() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.safetensors");
    let items: Vec<String> = (0..100_000)
        .map(|i| format!("\"{i}\":{{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}"))
        .collect();
    expect(&path, &safetensors(&format!("{{{}}}", items.join(",")), 0), "");
}

fn npy(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x02\x00".to_vec();
    bytes.extend((header.len() as u32).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 1);
    bytes
}

fn header(descr: &str, shape: &str) -> String {
    format!("{{'descr': {descr}, 'fortran_order': True, 'shape': {shape}, }}")
}

#[test]
fn npy_headers() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    let whole = npy(&header("'<f4'", "(3, 2)"), 24);
    for (bytes, words) in [
        (whole.clone(), ""),
        (npy(&header("'>c16'", "()"), 16), ""),
        (npy(&header("'<f4'", "(0, 4611686018427387904, 8)"), 0), ""),
        (whole[..whole.len() - 1].to_vec(), "cut off: 23 bytes of elements, its header says 24"),
        ([&whole[..], &[0]].concat(), "1 bytes follow"),
        (whole[..40].to_vec(), "ends within the header"),
        (whole[..7].to_vec(), "ends within the header"),
        (npy(&header("'<f4'", "(4611686018427387904,)"), 9), "exceeds 64 bits"),
        (npy(&header("'|u1'", "(4611686018427387904,)"), 9), "cut off"),
        (npy(&header("'|O'", "(1,)"), 9), "numpack scan"),
        (npy(&header("[('a', '<f4')]", "(1,)"), 9), "structured"),
        (npy(&header("'<U4'", "(1,)"), 9), "(text)"),
        (npy(&header("'<f16'", "(1,)"), 16), "with astype"),
        (npy(&header("'<f4'", &"(".repeat(60_000)), 9), "the header is damaged"),
        (npy(&" ".repeat(70_000), 9), "at most 65536"),
        (b"\x93NUMPY\x02\x00\xff\xff\xff\xff{".to_vec(), "4294967295 bytes"),
        (b"\x93NUMPY\x09\x00\x00".to_vec(), "version 9.0"),
        (b"hello, world".to_vec(), "not a .npy file"),
    ] {
        expect(&path, &bytes, words);
    }
}

fn archive(members: &[(&str, CompressionMethod, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, method, bytes) in members {
        let options = SimpleFileOptions::default().compression_method(*method);
        zip.start_file(*name, options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn npz_archives() {
    use CompressionMethod::{Deflated, Stored};
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npz");
    let good = npy(&header("'<f4'", "(3, 2)"), 24);
    let one = |method, bytes: Vec<u8>| archive(&[("a.npy", method, bytes)]);
    for method in [Stored, Deflated] {
        expect(&path, &one(method, good.clone()), "");
        expect(&path, &one(method, good[..good.len() - 1].to_vec()), "tensor \"a\": it is cut off");
        expect(&path, &one(method, [&good[..], &[0]].concat()), "1 bytes follow");
        expect(&path, &one(method, good[..30].to_vec()), "ends within the header");
        expect(&path, &one(method, Vec::new()), "ends within the header");
        expect(&path, &one(method, npy(&header("'|u1'", "(1073741824,)"), 9)), "cut off");
        expect(&path, &one(method, npy(&header("'|O'", "(1,)"), 9)), "numpack scan");
        expect(&path, &one(method, b"hello, world".to_vec()), "a.npy: ");
        let other = archive(&[("notes", method, vec![1]), ("a.npy", method, good.clone())]);
        expect(&path, &other, "");
        let warnings = Tensors::open(&path).unwrap().warnings();
        assert!(warnings.len() == 1 && warnings[0].contains("1 of its records, such as \"notes\""));
    }
    let twice = ["a.npy", "b.npy"].map(|name| (name, Stored, good.clone()));
    let mut twice = archive(&twice);
    let at: Vec<usize> =
        (0..twice.len() - 5).filter(|&i| twice[i..].starts_with(b"b.npy")).collect();
    at.into_iter().for_each(|i| twice[i] = b'a');
    expect(&path, &twice, "another record of this name");
    expect(&path, b"PK\x05\x06", "x.npz: ");
    let whole = one(Stored, good.clone());
    expect(&path, &whole[..whole.len() - 1], "x.npz: ");
    // Wherever a bit of a record is flipped, header or elements, it does not go unseen.
    for method in [Stored, Deflated] {
        let sound = one(method, npy(&header("'<f4'", "(100,)"), 400));
        let from = 30 + "a.npy".len();
        let to = (from..).find(|&i| sound[i..].starts_with(b"PK\x01\x02")).unwrap();
        // The last byte of a deflated stream has bits that nobody reads.
        for at in from..to - usize::from(method == Deflated) {
            let mut bytes = sound.clone();
            bytes[at] ^= 4;
            std::fs::write(&path, &bytes).unwrap();
            assert!(refusal(&path).is_some(), "a flipped bit at byte {at} goes unseen");
        }
    }
}

#[test]
fn a_little_that_inflates_to_a_lot_passes_through_buffers() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npz");
    let len = 64 << 20;
    let text = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({len},), }}");
    let mut bytes = npy(&text, 0);
    bytes.resize(bytes.len() + len, 0);
    let bytes = archive(&[("a.npy", CompressionMethod::Deflated, bytes)]);
    assert!(bytes.len() < 1 << 20);
    expect(&path, &bytes, "");
}
