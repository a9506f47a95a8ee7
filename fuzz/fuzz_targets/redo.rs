//! The record of a committed change: a number, so many new bytes of rows, and the change but for the
//! hash it starts with. Header, hash, sizes and checksum are made to fit. It is tried as an ordinary
//! record, and as one of a file that keeps its name.
//!
//! Reading never panics; and what a reader sees before the change is carried out, it sees after.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use numpack_format::Writer;
use numpack_fuzz::{Fixed, complete, of_rows, read_all};

static FIXED: LazyLock<Fixed> = LazyLock::new(Fixed::default);

fuzz_target!(|input: &[u8]| {
    let record = |metadata: &[u8]| complete(input, metadata);
    let rows = |metadata: &[u8]| of_rows(&complete(input, metadata));
    for file in
        [("libnumpack.redo", &record as &dyn Fn(&[u8]) -> Vec<u8>), ("libnumpack.rows", &rows)]
    {
        let store = FIXED.store(32, "data_a.npkd", file);
        let before = read_all(&store);
        let written = Writer::open(&store).map(drop);
        if let (Ok(before), Ok(())) = (before, written) {
            assert_eq!(read_all(&store).expect("it could be read"), before);
        }
    }
});
