//! Stores written by the public package give the names, types, shapes and bytes it had.
#![allow(missing_docs, reason = "a test")]

mod common;

use numpack_format::Store;
use sha2::{Digest, Sha256};

#[test]
fn stores_of_the_public_package() {
    let Some((npk, truth)) = common::fixtures() else { return };
    let (mut stores, mut arrays) = (0, 0);
    for (name, store) in truth["stores"].as_object().unwrap() {
        let path = npk.join(store["path"].as_str().unwrap());
        let before = common::tree(&path);
        let s = Store::open(&path).unwrap();
        let expected = store["arrays"].as_object().unwrap();
        assert_eq!(s.arrays().unwrap().len(), expected.len(), "{name}");
        assert!(s.warnings().is_empty());
        for (array, e) in expected {
            let info = s.info(array).unwrap().unwrap_or_else(|| panic!("{name}: no {array}"));
            assert_eq!(info.dtype.name(), e["dtype"], "{name} {array}");
            assert_eq!(serde_json::json!(info.shape), e["shape"], "{name} {array}");
            let bytes = common::read(&s, array);
            let sum: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(sum, e["sha256"], "{name} {array}");
            pieces(&s, array, &bytes);
            arrays += 1;
        }
        assert_eq!(Store::verify(&path).unwrap(), [], "{name}");
        assert_eq!(common::tree(&path), before, "{name} was written to");
        stores += 1;
    }
    println!("{stores} stores, {arrays} arrays");
    assert!(stores > 0);
}

/// Any range of rows and of bytes is that part of the whole.
fn pieces(s: &Store, name: &str, whole: &[u8]) {
    let a = s.array(name).unwrap();
    let rows = a.info().shape[0];
    let size = whole.len().checked_div(rows as usize).unwrap_or(0);
    for (from, to) in [
        (0, rows),
        (rows / 3, rows / 2),
        (rows / 2, rows),
        (rows, rows),
        (rows.saturating_sub(1), rows),
    ] {
        let mut out = vec![0xee; (to - from) as usize * size];
        a.read_rows_into(from..to, &mut out).unwrap();
        assert_eq!(out, whole[from as usize * size..to as usize * size]);
    }
    for at in (0..whole.len()).step_by(whole.len() / 7 + 1) {
        let mut out = vec![0; (whole.len() - at).min(97)];
        a.read_bytes_at(at as u64, &mut out).unwrap();
        assert_eq!(out, whole[at..at + out.len()]);
    }
}
