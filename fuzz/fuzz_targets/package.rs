//! Any bytes as a `.npkg` package; the checksum at their end is put right in a second pass.
//!
//! Opening, checking, reading and unpacking never panic; what is checked and found sound can be
//! unpacked, to a sound store with the arrays that the package itself gives; and what is refused
//! leaves nothing behind.

#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use numpack_format::{Fault, Limits, Package, Store, UnpackOptions, unpack};
use numpack_fuzz::{Scratch, with_checksum};

const MAX_TOTAL: u64 = 1 << 20;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::new);
static LIMITS: LazyLock<Limits> = LazyLock::new(|| {
    let mut limits = Limits::default();
    limits.max_metadata_bytes = MAX_TOTAL;
    limits.max_bitmap_bytes = MAX_TOTAL;
    limits.max_side_bytes = MAX_TOTAL;
    limits
});

fuzz_target!(|input: &[u8]| {
    let path = SCRATCH.write("input.npkg", input);
    check(&path);
    if let Some(righted) = with_checksum(input, &path) {
        SCRATCH.write("input.npkg", &righted);
        check(&path);
    }
});

fn check(path: &Path) {
    let place = SCRATCH.path("out.npk");
    let options = UnpackOptions { limits: LIMITS.clone(), ..UnpackOptions::default() };
    let package = Package::open_with(path, &LIMITS);
    if let Ok(package) = &package {
        let total: u64 = package.info().files.iter().map(|f| f.size).sum();
        if total > MAX_TOTAL {
            return;
        }
    }
    let unpacked = unpack(path, &place, &options);
    let sound = package.as_ref().is_ok_and(|p| p.verify().is_ok());
    assert_eq!(unpacked.is_ok(), sound, "{unpacked:?}");
    if !sound {
        let left = fs::read_dir(SCRATCH.path("")).expect("the folder is there").flatten();
        let mut left: Vec<_> = left.map(|e| e.file_name()).collect();
        left.sort();
        assert_eq!(left, ["input.npkg", "lock"]);
        return;
    }
    let Ok(package) = package else { return };
    let store = Store::open(&place).expect("what was unpacked opens");
    assert_eq!(store.arrays().unwrap(), package.arrays());
    for info in store.arrays().unwrap() {
        let mut both = [vec![0; info.nbytes() as usize], vec![1; info.nbytes() as usize]];
        let array = store.array(&info.name).expect("its files are there");
        array.read_into(&mut both[0]).expect("what is sound can be read");
        package.read_into(&info.name, &mut both[1]).expect("what is sound can be read");
        assert!(both[0] == both[1], "array {:?} differs", info.name);
    }
    // Two arrays may name one file, in a package as in a store.
    let faults = Store::verify(&place).expect("it is a store");
    let shared = |f: &Fault| f.kind == numpack_format::FaultKind::Shared;
    let side = |f: &Fault| f.kind == numpack_format::FaultKind::Side;
    assert!(faults.iter().all(|f| f.is_notice() || shared(f) || side(f)), "{faults:?}");
    fs::remove_dir_all(&place).expect("a folder can be removed");
}
