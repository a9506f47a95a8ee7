//! Random numbers and dropout.

use numpack_host_ops as host;
use numpack_host_ops::random;
use vulkan_core::{DType, Place, Tensor};

use crate::common::Numbers;
use crate::judge::{Bound, Judge};
use crate::layouts::{self, on_host};
use crate::values::{self, Range};
use crate::{Bench, is_frugal, ways};

const FLOATS: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

/// Places from which a draw begins in the middle of a block, and whose counter carries.
const PLACES: [Place; 5] = [
    Place { seed: 7, offset: 0 },
    Place { seed: 0x1234_5678_9abc_def0, offset: 3 },
    Place { seed: u64::MAX, offset: (1 << 32) - 2 },
    Place { seed: 1, offset: (1 << 34) - 5 },
    Place { seed: 2, offset: u64::MAX - 6 },
];

fn there(place: Place) -> random::Place {
    random::Place { seed: place.seed, offset: place.offset }
}

#[test]
fn random_numbers() {
    for (way, options) in ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let mut judge = Judge::default();
        let shapes: &[&[usize]] = &[&[1023], &[5, 7], &[], &[0, 3], &[3001]];
        for place in if is_frugal() { &PLACES[1..3] } else { &PLACES[..] } {
            for &shape in shapes {
                for dtype in FLOATS {
                    bench.guard();
                    let case = |name| format!("{name} of {dtype}, {shape:?}, {place:?}{way}");
                    let got = Tensor::rand(&bench.stream, dtype, shape, *place).unwrap();
                    let wanted = random::uniform(shape, 0.0, 1.0, on_host(dtype), there(*place));
                    judge.bits(&got, &wanted.unwrap(), &case("rand"));
                    let got = Tensor::randn(&bench.stream, dtype, shape, *place).unwrap();
                    let wanted =
                        random::normal(shape, 0.0, 1.0, host::DType::F64, there(*place)).unwrap();
                    judge.floats(&got, &wanted, Bound::Ulps(12.0), &case("randn"));
                }
                for p in [0.0, 0.3, 0.5, 1.0] {
                    bench.guard();
                    let case = |name| format!("{name} of {p}, {shape:?}, {place:?}{way}");
                    let got = Tensor::bernoulli(&bench.stream, p, shape, *place).unwrap();
                    let wanted = random::bernoulli(shape, p, there(*place)).unwrap();
                    judge.bits(&got, &wanted, &case("bernoulli"));
                    let got = Tensor::dropout_mask(&bench.stream, p, shape, *place).unwrap();
                    let wanted = random::dropout_mask(shape, p, there(*place)).unwrap();
                    judge.bits(&got, &wanted, &case("dropout_mask"));
                }
            }
        }
        assert!(Tensor::rand(&bench.stream, DType::I32, &[2], PLACES[0]).is_err());
        assert!(Tensor::bernoulli(&bench.stream, 1.5, &[2], PLACES[0]).is_err());
        bench.finish(&format!("random numbers{way}"), &judge);
    }
}

#[test]
fn dropout() {
    for (way, options) in ways() {
        let Some(mut bench) = Bench::open(&options) else { return };
        let (mut judge, mut numbers) = (Judge::default(), Numbers::new(41));
        for dtype in FLOATS {
            for view in layouts::first(if is_frugal() { 1 } else { 12 }) {
                for p in [0.25, 1.0] {
                    bench.guard();
                    let values = values::floats(&mut numbers, view.numel(), Range::All);
                    let both = view.of(&bench.stream, dtype, &values::bytes(dtype, &values));
                    let case = format!("dropout of {p} of {dtype}, {}{way}", view.name);
                    let got = both.device.dropout(p, PLACES[1]).unwrap();
                    let wide = both.host.cast(host::DType::F64).unwrap();
                    let (wanted, _) = random::dropout(&wide, p, there(PLACES[1])).unwrap();
                    judge.floats(&got, &wanted, Bound::Ulps(2.0), &case);
                }
            }
        }
        bench.finish(&format!("dropout{way}"), &judge);
    }
}
