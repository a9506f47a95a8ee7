//! A number of rows, and any bytes as the bitmap of dropped rows of such an array.
//!
//! Reading never panics; and where the bitmap is taken, dropping a row, appending two and compacting
//! give what they give a plain list of the rows that were live.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use numpack_format::{DType, NumPack, Rows, View};
use numpack_fuzz::{Fixed, read_all};

static FIXED: LazyLock<Fixed> = LazyLock::new(Fixed::default);

fuzz_target!(|input: &[u8]| {
    let Some((&rows, bitmap)) = input.split_first() else { return };
    let store = FIXED.store(rows.into(), "data_a.npkd", ("deleted_a.npkb", &|_| bitmap.to_vec()));
    let Ok(arrays) = read_all(&store) else { return };
    let mut live = arrays["a"].1.clone();
    assert!(live.is_sorted() && live.len() <= rows.into());

    let npk = NumPack::open(&store).expect("what can be read can be opened");
    if !live.is_empty() {
        assert_eq!(npk.drop_rows("a", &Rows::Index(0)).expect("there is a row"), 1);
        live.remove(0);
    }
    npk.append(&[("a", View::new(DType::U8, &[2], &[101, 102]))]).expect("rows that fit");
    live.extend([101, 102]);
    assert_eq!(read_all(&store).expect("a sound store")["a"].1, live);
    npk.compact().expect("a sound store");
    assert_eq!(read_all(&store).expect("a sound store")["a"].1, live);
});
