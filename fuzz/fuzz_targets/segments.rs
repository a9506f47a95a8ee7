//! Any bytes as the segment list of an array.
//!
//! Reading never panics; and what can be read is the same after the segments were put together.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use numpack_format::NumPack;
use numpack_fuzz::{Fixed, read_all};

static FIXED: LazyLock<Fixed> = LazyLock::new(Fixed::default);

fuzz_target!(|input: &[u8]| {
    let store = FIXED.store(40, "data_a.npkseg", ("data_a.npkseg", &|_| input.to_vec()));
    let Ok(before) = read_all(&store) else { return };
    let npk = NumPack::open(&store).expect("what can be read can be opened");
    npk.compact().expect("what can be read can be put together");
    assert_eq!(read_all(&store).expect("it could be read"), before);
});
