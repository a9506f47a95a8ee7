//! A hundred thousand tensors: the memory that opening and listing them takes. The time is
//! measured by the benchmarks.

mod common;

use common::heap::{self, Counting};
use common::{Ending, Pickle, Rec, SMALL, T, checkpoint, open, zip_with};
use torch_pickle::{Checkpoint, TensorId};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The pickle of a state dict, as Python's pickler writes it: nearly everything gets a memo entry.
fn state_dict(count: usize) -> Vec<u8> {
    let mut memo = 0u32;
    let mut put = |p: Pickle| {
        memo += 1;
        match u8::try_from(memo - 1) {
            Ok(i) => p.op(&[b'q', i]),
            Err(_) => p.op(b"r").op(&(memo - 1).to_le_bytes()),
        }
    };
    let mut p = put(Pickle::new().global("collections", "OrderedDict"));
    p = put(p.op(b")R"));
    for i in 0..count {
        if i % 1000 == 0 {
            p = p.op(if i > 0 { b"u(" } else { b"(" });
        }
        p = put(p.str(&format!("model.layers.{i}.weight")));
        if i == 0 {
            p = put(p.global("torch._utils", "_rebuild_tensor_v2"));
            p = put(p.op(b"((").str("storage"));
            p = put(p.global("torch", "FloatStorage"));
            p = put(p.str("0"));
            p = put(p.str("cpu"));
        } else {
            p = put(p.op(b"h\x03((h\x04h\x05").str(&i.to_string())).op(b"h\x07");
        }
        p = put(p.op(b"K\x06t")).op(b"QK\0K\x02K\x03\x86");
        p = put(p).op(b"K\x03K\x01\x86");
        p = put(p).op(b"\x89h\0)R");
        p = put(p).op(b"t");
        p = put(p).op(b"R");
        p = put(p);
    }
    p.op(b"u.").0
}

/// A checkpoint of so many tensors in a file, opened and listed: the peak of memory while doing
/// so, and the bytes that had to be read.
fn measure(count: usize) -> (usize, usize) {
    let pickle = state_dict(count);
    let mut records = vec![Rec::new("archive/data.pkl", &pickle)];
    let name = |i: usize| format!("archive/data/{i}");
    records.extend((0..count).map(|i| Rec { descriptor: true, ..Rec::new(&name(i), &[0; 24]) }));
    records.push(Rec::new("archive/version", b"3\n"));
    // More records than 65,535 need the wide end record.
    let bytes = zip_with(&records, &Ending { zip64: true, ..Ending::default() });
    let directory: usize = records.iter().map(|r| 46 + r.name.len()).sum();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    drop((records, bytes));

    let before = heap::start();
    let checkpoint = Checkpoint::open(file.path()).unwrap();
    let names = checkpoint.tree().named_tensors(1_000_000).unwrap();
    let peak = heap::peak_since(before);
    assert_eq!(names.len(), count);
    assert_eq!(names[count - 1].0, format!("model.layers.{}.weight", count - 1));
    let input = pickle.len() + directory;
    println!("{count} tensors: {peak} bytes at most, {input} read");
    (peak, input)
}

// One test, since peaks of several at a time could not be told apart.
#[test]
fn memory_is_bounded_by_what_is_read() {
    let (peak, input) = measure(100_000);
    assert!(peak <= 4 * input, "{peak} bytes for {input}");

    // Streams hold two pieces at most, in order or not.
    let (n, chunk) = (4 << 10, 256 << 10);
    let storage = vec![7; (n * n) as usize];
    for stride in [[n, 1], [1, n]] {
        let t = T { numel: n * n, shape: &[n, n], stride: &stride, ..SMALL };
        let bytes = checkpoint(&Pickle::new().tensor(&t).end(), &[("0", &storage)]);
        let opened = open(&bytes).unwrap();
        let before = heap::start();
        let mut seen = 0;
        let sink = &mut |piece: &[u8]| {
            seen += piece.len();
            Ok(())
        };
        opened.stream(TensorId(0), chunk, sink).unwrap();
        assert_eq!(seen, storage.len());
        let peak = heap::peak_since(before);
        assert!(peak <= 2 * chunk + 4096, "{peak} bytes");
    }
}
