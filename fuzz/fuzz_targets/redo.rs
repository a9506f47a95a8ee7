//! The record of a committed change: a number, so many new bytes of rows, and the change but for the
//! hash it starts with. Header, hash, sizes and checksum are made to fit.
//!
//! Reading never panics; and what a reader sees before the change is carried out, it sees after.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use numpack_format::Writer;
use numpack_fuzz::{Fixed, complete, read_all};

static FIXED: LazyLock<Fixed> = LazyLock::new(Fixed::default);

fuzz_target!(|input: &[u8]| {
    let record = |metadata: &[u8]| complete(input, metadata);
    let store = FIXED.store(32, "data_a.npkd", ("libnumpack.redo", &record));
    let before = read_all(&store);
    let written = Writer::open(&store).map(drop);
    if let (Ok(before), Ok(())) = (before, written) {
        assert_eq!(read_all(&store).expect("it could be read"), before);
    }
});
