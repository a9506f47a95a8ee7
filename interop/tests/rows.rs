//! Rows of a tensor are those of the whole, wherever it is read from.

mod common;

use std::ops::ControlFlow;
use std::path::Path;

use common::Object;
use numpack_format::{Compression, PackOptions, pack};
use numpack_interop::{FromTorch, NoProgress, Rows, TensorInfo, Tensors, from_torch_file};
use torch_pickle::{DType, Tensor};

/// A checkpoint of plain tensors and views, and a store and packages of it.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut o = Object::default();
    let deep = o.tensor(DType::Int16, &[7, 3, 2], 1);
    // Rows of more than a batch, so that going back is one by one.
    let wide = o.tensor(DType::UInt8, &[3, 1 << 20, 1], 2);
    let many = o.tensor(DType::Float32, &[300_000, 2], 3);
    let brain = o.tensor(DType::BFloat16, &[5, 4], 4);
    let pairs = o.tensor(DType::Complex32, &[5, 2], 5);
    let thin = o.tensor(DType::Int64, &[4, 0], 6);
    let shared = o.storage(DType::Int32, 600, 7);
    let mut turned = Tensor::contiguous(shared, DType::Int32, &[20, 30]);
    turned.stride = [1, 20].into();
    let turned = o.view(turned);
    let mut part = Tensor::contiguous(shared, DType::Int32, &[6, 5]);
    (part.stride, part.offset) = ([50, 3].into(), 11);
    let part = o.view(part);
    let mut same = Tensor::contiguous(shared, DType::Int32, &[9, 2]);
    same.stride = [0, 1].into();
    let same = o.view(same);
    let root = o.dict(&[
        ("deep", deep),
        ("wide", wide),
        ("many", many),
        ("brain", brain),
        ("pairs", pairs),
        ("thin", thin),
        ("turned", turned),
        ("part", part),
        ("same", same),
    ]);
    let path = |name: &str| folder.join(name);
    o.write(root, &path("a.pt"));
    from_torch_file(path("a.pt"), path("a.npk"), &FromTorch::new(), &mut NoProgress).unwrap();
    pack(path("a.npk"), path("a.npkg"), &PackOptions::default()).unwrap();
    let zlib = PackOptions { compression: Compression::Zlib, ..PackOptions::default() };
    pack(path("a.npk"), path("z.npkg"), &zlib).unwrap();
    ["a.pt", "a.npk", "a.npkg", "z.npkg"].map(path).to_vec()
}

fn whole(file: &Tensors, tensor: &TensorInfo) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.read(tensor, &mut |piece| bytes.extend_from_slice(piece)).unwrap();
    bytes
}

fn some(file: &Tensors, tensor: &TensorInfo, rows: &Rows<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    file.read_rows(tensor, rows, &mut |piece| {
        bytes.extend_from_slice(piece);
        ControlFlow::Continue(())
    })
    .unwrap();
    bytes
}

#[test]
fn rows_are_those_of_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    let files = files(folder.path());
    let truth = Tensors::open(&files[0]).unwrap();
    for path in &files {
        let file = Tensors::open(path).unwrap();
        let list = file.list().unwrap();
        assert_eq!(list.len(), 9);
        for tensor in &list {
            let of_truth = truth.find(&tensor.name).unwrap();
            let bytes = whole(&truth, &of_truth);
            assert!(whole(&file, tensor) == bytes, "{path:?} {}", tensor.name);
            let (n, row) = (tensor.shape[0] as i64, bytes.len() / tensor.shape[0] as usize);
            let slice = |start, stop, step| Rows::Slice { start, stop, step };
            for rows in [
                slice(None, None, 1),
                slice(Some(1), Some(-1), 2),
                slice(None, None, -1),
                slice(Some(-2), None, -3),
                slice(Some(n), None, 1),
                Rows::List(&[1, 2, 0, -1, -1]),
                Rows::Index(-1),
            ] {
                let mut expected = Vec::new();
                for span in rows.spans(tensor.shape[0]).unwrap() {
                    for k in 0..span.count as i64 {
                        let at = (span.first as i64 + k * span.step) as usize * row;
                        expected.extend_from_slice(&bytes[at..at + row]);
                    }
                }
                let found = some(&file, tensor, &rows);
                assert!(found == expected, "{path:?} {} {rows:?}", tensor.name);
                assert_eq!(
                    file.count_rows(tensor, &rows).unwrap(),
                    rows.count(tensor.shape[0]).unwrap()
                );
            }
            assert!(file.count_rows(tensor, &Rows::Index(n)).is_err());
        }
    }
}

#[test]
fn a_reader_of_rows_may_break_off() {
    let folder = tempfile::tempdir().unwrap();
    for path in &files(folder.path()) {
        let file = Tensors::open(path).unwrap();
        let tensor = file.find("many").unwrap();
        let mut pieces = 0;
        let read = file.read_rows(&tensor, &Rows::All, &mut |_| {
            pieces += 1;
            ControlFlow::Break(())
        });
        assert!(matches!(read, Err(numpack_interop::Error::Cancelled)), "{path:?}");
        assert_eq!(pieces, 1);
    }
}
