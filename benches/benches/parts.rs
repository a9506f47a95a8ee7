//! The parts of a conversion, each by itself.

use std::hint::black_box;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use numpack_benches::{Place, data};
use numpack_format::{DType, Store, Writer};
use numpack_interop::{CrcPolicy, FromTorch, NoProgress, from_torch_file};
use torch_pickle::{Checkpoint, TensorId};

const MANY: usize = 10_000;

/// In memory where the system has such a folder, so that no disk is measured.
fn place() -> Place {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    Place::new("memory", &folder).unwrap()
}

/// Reading the object of a checkpoint, and naming its tensors.
fn pickle(c: &mut Criterion) {
    let place = place();
    let path = place.join("many.pt");
    data::write(&path, &data::tiny_shapes(MANY)).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let mut group = c.benchmark_group("pickle of 10,000 tensors");
    group.throughput(Throughput::Elements(MANY as u64));
    group.bench_function("open", |b| b.iter(|| Checkpoint::open(black_box(&path)).unwrap()));
    group.bench_function("first_names", |b| b.iter(|| checkpoint.tree().first_names()));
    group.bench_function("named_tensors", |b| {
        b.iter(|| checkpoint.tree().named_tensors(MANY).unwrap());
    });
    group.finish();
}

/// Bringing a transposed matrix into C order, beside a loop that has it in memory already.
fn strided(c: &mut Criterion) {
    const SIDE: usize = 4096;
    let place = place();
    let path = place.join("transposed.pt");
    data::write_transposed(&path, SIDE as u64).unwrap();
    // The checksum has a measurement of its own.
    let options = torch_pickle::Options::new().crc(CrcPolicy::Off);
    let checkpoint = Checkpoint::open_with(&path, &options).unwrap();
    let len = SIDE * SIDE * 4;
    let mut out = vec![0; len];
    let mut group = c.benchmark_group("transposed 4096 x 4096 float32");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Bytes(len as u64));
    group.bench_function("read_into", |b| {
        b.iter(|| checkpoint.read_into(TensorId(0), &mut out).unwrap());
    });
    let stored: Vec<f32> = (0..SIDE * SIDE).map(|i| i as f32).collect();
    let mut gathered = vec![0f32; SIDE * SIDE];
    group.bench_function("loop in memory", |b| {
        b.iter(|| {
            for (row, out) in gathered.chunks_exact_mut(SIDE).enumerate() {
                for (column, out) in out.iter_mut().enumerate() {
                    *out = stored[column * SIDE + row];
                }
            }
            black_box(&mut gathered);
        });
    });
    group.finish();
}

/// A whole conversion, with and without checksums.
fn copy(c: &mut Criterion) {
    const SIZE: u64 = 64 << 20;
    let place = place();
    let input = place.join("large.pt");
    data::write(&input, &data::transformer(SIZE)).unwrap();
    let output = place.join("large.npk");
    let mut group = c.benchmark_group("64 MiB to a store");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Bytes(SIZE));
    for (name, crc) in [("without crc", CrcPolicy::Off), ("with crc", CrcPolicy::Refuse)] {
        let options = FromTorch::new().crc(crc);
        group.bench_function(name, |b| {
            b.iter_custom(|n| {
                let mut took = Duration::ZERO;
                for _ in 0..n {
                    let start = Instant::now();
                    from_torch_file(&input, &output, &options, &mut NoProgress).unwrap();
                    took += start.elapsed();
                    place.discard(&output).unwrap();
                }
                took
            });
        });
    }
    group.finish();
}

/// What a store of many arrays costs before any of their bytes are read.
fn store(c: &mut Criterion) {
    let place = place();
    let plain = place.join("plain.npk");
    let mut writer = Writer::create(&plain).unwrap();
    for (name, _) in data::tiny_shapes(MANY) {
        let mut array = writer.begin_array(&name, DType::U8, &[1]).unwrap();
        array.write_all(&[1]).unwrap();
        array.finish().unwrap();
    }
    writer.commit().unwrap();

    let checkpoint = place.join("many.pt");
    data::write(&checkpoint, &data::tiny_shapes(MANY)).unwrap();
    let described = data::store_of(&checkpoint).unwrap();
    let side = Store::open(&described).unwrap().side().cloned();
    assert!(side.is_some());

    let mut group = c.benchmark_group("store of 10,000 arrays");
    group.sample_size(20);
    group.throughput(Throughput::Elements(MANY as u64));
    group.bench_function("metadata parse", |b| b.iter(|| Store::open(black_box(&plain)).unwrap()));
    group.bench_function("side information decode", |b| {
        b.iter(|| Store::open(black_box(&described)).unwrap());
    });
    group.bench_function("side information encode and decode", |b| {
        b.iter(|| {
            let mut writer = Writer::open(&described).unwrap();
            writer.set_side(side.clone());
            writer.commit().unwrap();
            Store::open(&described).unwrap()
        });
    });
    group.finish();
}

criterion_group!(parts, pickle, strided, copy, store);
criterion_main!(parts);
