//! Transfers and kernels on a Vulkan device, beside the host's copy, the device's own copy kernel, and a
//! loop of nothing but multiplications and additions.

use std::time::Duration;

use anyhow::{Result, ensure};
use vulkan_core::{DType, Device, DeviceOptions, Stream, Tensor, Transfers, multiply_add};

use crate::Settings;
use crate::peers::{self, Python};
use crate::table::{Bound, Row, Table};
use crate::timing::{Pairs, median, repeat, time};

/// Elements of the tensors that kernels run over: 16 MiB of `float32`, more than any cache.
const N: usize = 4 << 20;

/// All rows about a device.
///
/// # Errors
/// When there is none, or it fails.
pub fn device(s: &Settings, table: &mut Table) -> Result<()> {
    let device = Device::open(&DeviceOptions::new())?;
    let (info, stream) = (device.info(), device.stream()?);
    eprintln!("on {info}, {} {}", info.driver, info.driver_info);
    for (transfers, name, bound) in
        [(Transfers::Auto, "mapped", 1.0 / 0.9), (Transfers::Staged, "staged", 1.0 / 0.45)]
    {
        let device = Device::open(&DeviceOptions::new().transfers(transfers))?;
        transfer(&device.stream()?, name, bound, s, table)?;
    }
    kernels(&stream, s, table)?;
    products(&stream, s, table)?;
    beside_peers(&stream, s, table)?;
    host(&stream, s, table)?;
    sequences(&stream, s, table)
}

fn transfer(
    stream: &Stream,
    name: &str,
    bound: f64,
    s: &Settings,
    table: &mut Table,
) -> Result<()> {
    let bytes = vec![7_u8; 64 << 20];
    let mut out = vec![0_u8; bytes.len()];
    let mut copied = vec![0_u8; bytes.len()];
    let mut memcpy = || {
        time(|| {
            std::hint::black_box(&mut copied).copy_from_slice(std::hint::black_box(&bytes));
            Ok(())
        })
    };
    let up = || {
        time(|| {
            let t = Tensor::from_host(stream, &bytes, &[bytes.len()])?;
            stream.synchronize()?;
            Ok(t)
        })
    };
    let pairs = Pairs::measure(s.pairs, up, &mut memcpy)?;
    let what = format!("64 MiB to the device, {name}");
    table.push(Row::pairs(what, "memcpy", &pairs, Bound::Ratio(bound)));
    let t = Tensor::from_host(stream, &bytes, &[bytes.len()])?;
    let down = || time(|| Ok(t.read_into(&mut out)?));
    let pairs = Pairs::measure(s.pairs, down, &mut memcpy)?;
    let what = format!("64 MiB from the device, {name}");
    table.push(Row::pairs(what, "memcpy", &pairs, Bound::Ratio(bound)));
    Ok(())
}

/// How long it takes until the device is done.
fn done<T>(stream: &Stream, f: impl FnOnce() -> vulkan_core::Result<T>) -> Result<Duration> {
    stream.synchronize()?;
    time(|| {
        let result = f()?;
        stream.synchronize()?;
        Ok(result)
    })
}

/// Kernels beside the copy kernel, which moves as many bytes as each of them does.
fn kernels(stream: &Stream, s: &Settings, table: &mut Table) -> Result<()> {
    let x = Tensor::arange(stream, 0.0, N as f64, 1.0, DType::F32)?.mul(1e-6)?;
    let y = x.add(1.0)?;
    let rows = x.view(&[N / 1024, 1024])?;
    // Within one tensor a copy is made by a kernel.
    let twice = Tensor::full(stream, 1.0, DType::F32, &[2 * N])?;
    type Kernel<'a> = (&'static str, usize, f64, Box<dyn Fn() -> vulkan_core::Result<Tensor> + 'a>);
    // Bytes moved for each element, and the part of the copy kernel's rate that is to be reached.
    let all: Vec<Kernel<'_>> = vec![
        ("add", 12, 0.8, Box::new(|| x.add(&y))),
        ("exp", 8, 0.5, Box::new(|| x.exp())),
        ("gelu", 8, 0.4, Box::new(|| x.gelu())),
        ("softmax of rows of 1,024", 8, 0.6, Box::new(|| rows.softmax(1))),
        ("sum of all", 4, 0.45, Box::new(|| x.sum(&[], false))),
        ("sum of rows of 1,024", 4, 0.45, Box::new(|| rows.sum(&[1], false))),
        ("amax of rows of 1,024", 4, 0.45, Box::new(|| rows.amax(&[1], false))),
    ];
    for (name, bytes, part, kernel) in all {
        let m = N * bytes / 8;
        let (from, to) = (twice.narrow(0, 0, m.min(N))?, twice.narrow(0, N, m.min(N))?);
        let copies = m.div_ceil(N);
        let copy = || {
            // More than one copy for what moves more bytes.
            let took = done(stream, || (0..copies).try_for_each(|_| to.copy_from(&from)))?;
            Ok(took.mul_f64(m as f64 / (copies * m.min(N)) as f64))
        };
        let pairs = Pairs::measure(s.pairs, || done(stream, &kernel), copy)?;
        let what = format!("{name}, 16 MiB of float32");
        table.push(Row::pairs(what, "copy kernel", &pairs, Bound::Ratio(1.0 / part)));
    }
    Ok(())
}

fn products(stream: &Stream, s: &Settings, table: &mut Table) -> Result<()> {
    for (m, k, n, part) in [(512, 512, 512, 0.3), (1024, 1024, 1024, 0.3), (500, 501, 499, 0.2)] {
        let a = Tensor::full(stream, 0.5, DType::F32, &[m, k])?;
        let b = Tensor::full(stream, 0.25, DType::F32, &[k, n])?;
        let work = 2 * (m * k * n) as u64;
        let product = || done(stream, || a.matmul(&b));
        // The loop that does as many multiplications and additions.
        let invocations = 1 << 14;
        let rounds = (work / (24 * invocations)).max(1) as u32;
        let reference = || {
            let mut did = 0;
            let took = done(stream, || {
                did = multiply_add(stream, invocations as usize, rounds)?;
                Ok(())
            })?;
            Ok(took.mul_f64(work as f64 / did as f64))
        };
        let pairs = Pairs::measure(s.pairs, product, reference)?;
        let what = format!("product of matrices, {m} x {k} x {n}");
        table.push(Row::pairs(what, "multiply-add loop", &pairs, Bound::Ratio(1.0 / part)));
    }
    Ok(())
}

/// A product whose matrices come from the host and whose result goes back, beside other libraries'.
fn beside_peers(stream: &Stream, s: &Settings, table: &mut Table) -> Result<()> {
    const N: usize = 512;
    let (a, b) = (vec![0.5_f32; N * N], vec![0.25_f32; N * N]);
    let ours = || {
        let matrix = |all: &[f32]| Tensor::from_host(stream, all, &[N, N]);
        let mut product = Vec::new();
        let took = time(|| {
            product = matrix(&a)?.matmul(&matrix(&b)?)?.to_host::<f32>()?;
            Ok(())
        })?;
        ensure!(product.iter().all(|&x| x == 64.0), "the product is wrong");
        Ok(took)
    };
    let name = stream.device().info().name.clone();
    for (peer, script, bound) in
        [("ncnn", peers::NCNN_PRODUCT, 1.0), ("grilly", peers::GRILLY_PRODUCT, 0.05)]
    {
        let what = format!("product of matrices, {N} x {N} x {N}, from the host and back");
        let bound = Bound::Ratio(bound);
        match Python::start_named(peers::VULKAN_PYTHON, script, &[&name]) {
            Ok(Some((mut python, version))) => {
                let pairs = Pairs::measure(s.pairs, ours, || python.ask(""))?;
                table.push(Row::pairs(what, &version, &pairs, bound));
            }
            Ok(None) => {
                let reason = format!("{peer} is not there; cargo xtask vulkan peers fetches it");
                table.push(Row::alone(what, median(&repeat(s.pairs, ours)?), reason, bound));
            }
            Err(e) => {
                let reason = format!("{peer}: {e:#}");
                table.push(Row::alone(what, median(&repeat(s.pairs, ours)?), reason, bound));
            }
        }
    }
    Ok(())
}

/// What recording costs the host, and what a chain of small operations takes in all.
fn host(stream: &Stream, s: &Settings, table: &mut Table) -> Result<()> {
    const OPS: u32 = 100;
    let small = Tensor::full(stream, 1.0, DType::F32, &[64])?;
    let record = || {
        stream.synchronize()?;
        let took = time(|| {
            let mut t = small.clone();
            for _ in 0..OPS {
                t = t.add(1.0)?;
            }
            Ok(t)
        })?;
        stream.synchronize()?;
        Ok(took / OPS)
    };
    let chain = || {
        Ok(done(stream, || {
            let mut t = small.clone();
            for _ in 0..OPS {
                t = t.add(1.0)?;
            }
            Ok(t)
        })? / OPS)
    };
    let pairs = Pairs::measure(s.pairs, record, chain)?;
    let bound = Bound::Time(Duration::from_micros(3));
    table.push(Row::pairs("recording one small operation", "until it is done", &pairs, bound));
    Ok(())
}

/// What recording, barriers and submissions add to the bare commands: a chain of operations beside the same
/// commands handed over at once.
fn sequences(stream: &Stream, s: &Settings, table: &mut Table) -> Result<()> {
    const OPS: usize = 1000;
    let small = Tensor::full(stream, 1.0, DType::F32, &[64])?;
    let chain = || {
        let mut t = small.clone();
        for _ in 0..OPS {
            t = t.add(1.0)?;
        }
        Ok(t)
    };
    let (sequence, _end) = stream.record_sequence(chain)?;
    let eager = || done(stream, chain);
    let pairs = Pairs::measure(s.pairs, eager, || done(stream, || sequence.replay()))?;
    let what = format!("a chain of {OPS} small operations");
    table.push(Row::pairs(what.clone(), "their replay", &pairs, Bound::Ratio(1.15)));
    let before = stream.device().usage().submits;
    eager()?;
    let submits = stream.device().usage().submits - before;
    table.push(Row::count(what + ", submissions", submits, 10));
    Ok(())
}
