//! Strided views against an oracle that takes one element at a time.

mod common;

use common::{Pickle, T, checkpoint, open};
use proptest::prelude::*;
use torch_pickle::{Tensor, TensorId};

const CLASSES: [(&str, usize); 5] = [
    ("ByteStorage", 1),
    ("ShortStorage", 2),
    ("FloatStorage", 4),
    ("DoubleStorage", 8),
    ("ComplexDoubleStorage", 16),
];

fn oracle(tensor: &Tensor, storage: &[u8]) -> Vec<u8> {
    let size = tensor.dtype.size();
    let mut out = Vec::new();
    let mut index = vec![0u64; tensor.shape.len()];
    for _ in 0..tensor.numel().unwrap() {
        let steps = index.iter().zip(&tensor.stride);
        let at = (tensor.offset + steps.map(|(i, s)| i * s).sum::<u64>()) as usize * size;
        out.extend_from_slice(&storage[at..at + size]);
        for d in (0..index.len()).rev() {
            index[d] += 1;
            if index[d] < tensor.shape[d] {
                break;
            }
            index[d] = 0;
        }
    }
    out
}

fn check(class: (&str, usize), shape: &[i64], stride: &[i64], offset: i64, chunk: usize) {
    let steps = shape.iter().zip(stride);
    let last = offset + steps.map(|(n, s)| (n - 1).max(0) * s).sum::<i64>();
    let numel = last + 1;
    let mut state = 12345u32;
    let storage: Vec<u8> = (0..numel as usize * class.1)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    let t = T { class: class.0, key: "0", numel, offset, shape, stride };
    let bytes = checkpoint(&Pickle::new().tensor(&t).end(), &[("0", &storage)]);
    let opened = open(&bytes).unwrap();
    let tensor = opened.tree().tensor(TensorId(0));
    let expected = oracle(tensor, &storage);
    let mut out = vec![0; expected.len()];
    opened.read_into(TensorId(0), &mut out).unwrap();
    assert!(out == expected, "{class:?} {shape:?} {stride:?} {offset}");
    let mut streamed = Vec::new();
    let take = &mut |piece: &[u8]| {
        assert!(!piece.is_empty() && piece.len() <= chunk.max(4096));
        streamed.extend_from_slice(piece);
        Ok(())
    };
    opened.stream(TensorId(0), chunk, take).unwrap();
    assert!(streamed == expected, "streamed {class:?} {shape:?} {stride:?} {offset}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_view_is_gathered_as_the_oracle_does(
        class in 0..CLASSES.len(),
        dims in prop::collection::vec((0i64..7, 0i64..40), 0..5),
        offset in 0i64..50,
    ) {
        let (shape, stride): (Vec<i64>, Vec<i64>) = dims.into_iter().unzip();
        check(CLASSES[class], &shape, &stride, offset, 4096);
    }

    #[test]
    fn a_permuted_tensor_is_gathered_in_pieces(
        class in 0..CLASSES.len(),
        shape in prop::collection::vec(1i64..24, 2..5),
        order in any::<prop::sample::Index>(),
    ) {
        let mut stride = vec![1; shape.len()];
        // Rotating the dimensions of a dense tensor gives a view without gaps.
        let by = order.index(shape.len());
        let mut step = 1;
        for i in (0..shape.len()).rev() {
            let d = (i + by) % shape.len();
            stride[d] = step;
            step *= shape[d];
        }
        check(CLASSES[class], &shape, &stride, 3, 8192);
    }
}

#[test]
fn large_views_cross_the_scratch_memory() {
    // A transposed matrix of 9 MiB, columns far apart, an expanded band, and a window.
    check(("FloatStorage", 4), &[1500, 1500], &[1, 1500], 0, 1 << 20);
    check(("FloatStorage", 4), &[1500, 1500], &[1, 1500], 0, 1 << 12);
    check(("DoubleStorage", 8), &[3, 20], &[1, 30_000], 7, 4096);
    check(("ByteStorage", 1), &[300, 2000, 3], &[0, 3, 1], 1, 1 << 16);
    check(("ShortStorage", 2), &[3000, 500], &[1, 1], 0, 5000);
    check(("ByteStorage", 1), &[5_000_000], &[2], 1, 1 << 16);
}
