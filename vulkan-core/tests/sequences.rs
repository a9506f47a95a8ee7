//! Sequences: work that is recorded once, and replayed.

mod common;

use std::thread;

use common::{Numbers, device, options, silent};
use vulkan_core::{DType, Device, Error, Result, Sequence, Stream, Tensor};

fn random(numbers: &mut Numbers, n: usize) -> Vec<f32> {
    (0..n).map(|_| numbers.unit() as f32).collect()
}

/// Something of all that there is: products, kernels by rows, reductions, copies, fills, temporary tensors.
fn network(x: &Tensor, w: &Tensor, state: &Tensor) -> Result<[Tensor; 2]> {
    let hidden = x.matmul(w)?.add(0.5)?.gelu()?;
    let probabilities = hidden.softmax(1)?;
    let joined = Tensor::cat(&[&probabilities, &hidden], 1)?.t()?.copy()?;
    let zeros = Tensor::zeros(x.stream(), DType::F32, joined.shape())?;
    state.copy_from(&state.mul(0.5)?.add(&probabilities.sum(&[], false)?)?)?;
    Ok([joined.add(&zeros)?, hidden.square()?.mean(&[0], false)?])
}

struct Inputs {
    x: Tensor,
    w: Tensor,
    state: Tensor,
}

impl Inputs {
    fn new(stream: &Stream) -> Inputs {
        let w = random(&mut Numbers::new(9), 17 * 30);
        Inputs {
            x: Tensor::zeros(stream, DType::F32, &[12, 17]).unwrap(),
            w: Tensor::from_host(stream, &w, &[17, 30]).unwrap(),
            state: Tensor::zeros(stream, DType::F32, &[5]).unwrap(),
        }
    }

    fn run(&self) -> Result<[Tensor; 2]> {
        network(&self.x, &self.w, &self.state)
    }
}

fn bits(tensors: &[&Tensor]) -> Vec<Vec<u8>> {
    tensors.iter().map(|t| t.to_bytes().unwrap()).collect()
}

#[test]
fn replays_do_what_was_recorded_with_other_inputs() {
    let Some(device) = device(&options()) else { return };
    let stream = device.stream().unwrap();
    let (once, again) = (Inputs::new(&stream), Inputs::new(&stream));
    let before = device.usage();
    let (sequence, [a, b]) = stream.record_sequence(|| again.run()).unwrap();
    let usage = device.usage();
    assert_eq!((usage.dispatches, usage.barriers), (before.dispatches, before.barriers));
    let mut numbers = Numbers::new(3);
    for turn in 0..20 {
        let x = random(&mut numbers, 12 * 17);
        once.x.copy_from_host(&x).unwrap();
        let start = device.usage();
        let [c, d] = once.run().unwrap();
        let wanted = bits(&[&c, &d, &once.state]);
        let eager = device.usage();
        again.x.copy_from_host(&x).unwrap();
        let ready = device.usage();
        sequence.replay().unwrap();
        let usage = device.usage();
        assert_eq!(usage.submits - ready.submits, 1);
        assert_eq!(usage.dispatches - ready.dispatches, eager.dispatches - start.dispatches);
        assert_eq!(bits(&[&a, &b, &again.state]), wanted, "turn {turn}");
    }
    // What it made is written over by the next replay, and changed by others in between.
    a.fill(7.0).unwrap();
    assert!(a.to_host::<f32>().unwrap().iter().all(|&x| x == 7.0));
    again.state.copy_from(&once.state).unwrap();
    sequence.replay().unwrap();
    let [c, d] = once.run().unwrap();
    assert_eq!(bits(&[&a, &b, &again.state]), bits(&[&c, &d, &once.state]));
    silent(&device);
}

/// Without waiting for the one before, with nothing in between.
#[test]
fn many_replays_leave_nothing_and_are_in_order() {
    let Some(device) = device(&options()) else { return };
    let stream = device.stream().unwrap();
    let t = Tensor::zeros(&stream, DType::I64, &[300]).unwrap();
    let (sequence, ()) = stream
        .record_sequence(|| {
            let next = t.mul(3)?.add(1)?;
            t.copy_from(&next.add(0)?)
        })
        .unwrap();
    sequence.replay().unwrap();
    stream.synchronize().unwrap();
    let start = device.usage();
    let rounds = 3000;
    for _ in 0..rounds {
        sequence.replay().unwrap();
    }
    let usage = device.usage();
    assert_eq!(usage.submits - start.submits, rounds);
    assert_eq!(usage.dispatches - start.dispatches, 3 * rounds);
    assert_eq!(usage.copies - start.copies, rounds);
    let held = |u: vulkan_core::Usage| (u.live_bytes, u.live_buffers, u.reserved_bytes);
    assert_eq!(held(usage), held(start));
    let wanted = (0..=rounds).fold(0_i64, |x, _| x.wrapping_mul(3).wrapping_add(1));
    assert_eq!(t.to_host::<i64>().unwrap(), [wanted; 300]);
    silent(&device);
}

/// Sequences come and go; what is held stays what it was.
#[test]
fn many_sequences_leave_nothing() {
    let Some(device) = device(&options()) else { return };
    let stream = device.stream().unwrap();
    let t = Tensor::zeros(&stream, DType::I32, &[5000]).unwrap();
    let mut reserved = Vec::new();
    for turn in 0..400 {
        let recorded = stream.record_sequence(|| {
            let next = t.mul(3)?.add(turn)?;
            t.copy_from(&next.add(0)?)?;
            Ok(next)
        });
        let (sequence, _next) = recorded.unwrap();
        for _ in 0..turn % 3 {
            sequence.replay().unwrap();
        }
        reserved.push(device.usage().reserved_bytes);
    }
    assert!(reserved[399] <= reserved[40], "memory grows: {reserved:?}");
    let wanted = (0..400).flat_map(|turn| vec![turn; turn as usize % 3]);
    let wanted = wanted.fold(0_i32, |x, turn| x.wrapping_mul(3).wrapping_add(turn));
    assert_eq!(t.to_host::<i32>().unwrap(), [wanted; 5000]);
    silent(&device);
}

/// What is recorded before and after is done before and after, on this stream and on another.
#[test]
fn replays_among_other_work() {
    let Some(device) = device(&options()) else { return };
    let (one, two) = (device.new_stream().unwrap(), device.new_stream().unwrap());
    let t = Tensor::zeros(&one, DType::I32, &[500]).unwrap();
    let there = t.on(&two).unwrap();
    let (sequence, doubled) = one
        .record_sequence(|| {
            t.copy_from(&t.add(1)?)?;
            t.mul(2)
        })
        .unwrap();
    let (mut model, mut sum) = (0_i32, 0_i32);
    let mut total = Tensor::zeros(&two, DType::I32, &[500]).unwrap();
    let mut numbers = Numbers::new(5);
    for _ in 0..300 {
        match numbers.below(6) {
            0 => {
                t.copy_from(&t.mul(3).unwrap()).unwrap();
                model = model.wrapping_mul(3);
            }
            1 => {
                there.copy_from(&there.add(5).unwrap()).unwrap();
                model = model.wrapping_add(5);
            }
            2 => {
                // Temporary tensors of as many bytes as the sequence's own.
                let _ = t.add(7).unwrap().mul(&doubled).unwrap();
                t.fill(4.0).unwrap();
                model = 4;
            }
            3 => {
                sequence.replay().unwrap();
                model = model.wrapping_add(1);
            }
            _ => {
                sequence.replay().unwrap();
                model = model.wrapping_add(1);
                total = total.add(&doubled.on(&two).unwrap()).unwrap();
                sum = sum.wrapping_add(model.wrapping_mul(2));
            }
        }
        if numbers.below(20) == 0 {
            assert_eq!(there.to_host::<i32>().unwrap(), [model; 500]);
        }
    }
    assert_eq!(total.to_host::<i32>().unwrap(), [sum; 500]);
    assert_eq!(t.to_host::<i32>().unwrap(), [model; 500]);
    silent(&device);
}

/// Inputs and results that nobody has any more stay the sequence's; what it leaves serves others.
#[test]
fn memory_is_the_sequences_until_it_is_gone() {
    let Some(device) = device(&options()) else { return };
    let stream = device.stream().unwrap();
    let n = 1 << 16;
    let x = Tensor::full(&stream, 3.0, DType::F32, &[n]).unwrap();
    stream.synchronize().unwrap();
    let start = device.usage();
    let (sequence, y) = stream
        .record_sequence(|| {
            let scale = Tensor::full(&stream, 2.0, DType::F32, &[n])?;
            let mut t = x.mul(&scale)?;
            drop(scale);
            for _ in 0..50 {
                t = t.add(1.0)?;
            }
            Ok(t)
        })
        .unwrap();
    drop(x);
    let usage = device.usage();
    assert_eq!(usage.live_bytes, 4 * n as u64, "the result alone is anyone's");
    // Its temporary tensors serve each other.
    assert!(usage.reserved_bytes - start.reserved_bytes < 3 * 4 * n as u64, "{usage:?}");
    let noise: Vec<Tensor> =
        (0..20).map(|i| Tensor::full(&stream, f64::from(i), DType::F32, &[n]).unwrap()).collect();
    device.trim();
    for _ in 0..3 {
        sequence.replay().unwrap();
        assert!(y.to_host::<f32>().unwrap().iter().all(|&v| v == 56.0));
    }
    for (i, t) in noise.iter().enumerate() {
        assert!(t.to_host::<f32>().unwrap().iter().all(|&v| v == i as f32), "{i}");
    }
    drop((noise, y));
    sequence.replay().unwrap();
    stream.synchronize().unwrap();
    device.trim();
    assert!(device.usage().reserved_bytes >= 3 * 4 * n as u64, "all of it is still there");
    drop(sequence);
    device.trim();
    let usage = device.usage();
    assert_eq!((usage.live_bytes, usage.live_buffers), (0, 0));
    assert!(usage.reserved_bytes <= 1024, "all but the note of indices is gone: {usage:?}");
    silent(&device);
}

/// What one sequence makes and another uses stays for both, while the former goes on being recorded.
#[test]
fn sequences_of_two_streams_share_memory() {
    let Some(device) = device(&options()) else { return };
    let (one, two) = (device.new_stream().unwrap(), device.new_stream().unwrap());
    let x = Tensor::from_host(&one, &[1_i32, 2, 3], &[3]).unwrap();
    let first = one.begin_sequence().unwrap();
    let second = two.begin_sequence().unwrap();
    let between = x.add(1).unwrap();
    let result = between.on(&two).unwrap().mul(10).unwrap();
    drop(between);
    // This would get its memory.
    let other = x.mul(100).unwrap();
    let (first, second) = (first.end().unwrap(), second.end().unwrap());
    for turn in 0..3 {
        x.copy_from_host(&[turn, 5, 6]).unwrap();
        first.replay().unwrap();
        second.replay().unwrap();
        assert_eq!(result.to_host::<i32>().unwrap(), [10 * (turn + 1), 60, 70]);
        assert_eq!(other.to_host::<i32>().unwrap(), [100 * turn, 500, 600]);
    }
    drop(first);
    second.replay().unwrap();
    assert_eq!(result.to_host::<i32>().unwrap(), [30, 60, 70]);
    silent(&device);
}

#[test]
fn a_sequence_may_go_while_it_runs() {
    let Some(device) = device(&options()) else { return };
    let stream = device.new_stream().unwrap();
    for turn in 0..10 {
        let t = Tensor::full(&stream, f64::from(turn), DType::F32, &[1 << 14]).unwrap();
        let (sequence, result) = stream
            .record_sequence(|| {
                let mut next = t.copy()?;
                for _ in 0..20 {
                    next = next.add(1.0)?;
                }
                Ok(next)
            })
            .unwrap();
        for _ in 0..3 {
            sequence.replay().unwrap();
        }
        drop(t);
        drop(sequence);
        // These get its memory.
        let others: Vec<Tensor> = (0..4)
            .map(|i| Tensor::full(&stream, f64::from(-i), DType::F32, &[1 << 14]).unwrap())
            .collect();
        let wanted = turn as f32 + 20.0;
        assert!(result.to_host::<f32>().unwrap().iter().all(|&v| v == wanted), "{turn}");
        for (i, t) in others.iter().enumerate() {
            assert_eq!(t.to_host::<f32>().unwrap()[99], -(i as f32));
        }
    }
    // The stream's own end comes after.
    let t = Tensor::zeros(&stream, DType::F32, &[1 << 14]).unwrap();
    let (sequence, _) = stream.record_sequence(|| t.add(1.0)?.exp()).unwrap();
    sequence.replay().unwrap();
    drop((t, stream, sequence));
    let usage = device.usage();
    assert_eq!((usage.live_bytes, usage.live_buffers), (0, 0));
    silent(&device);
}

fn refused<T>(result: Result<T>) -> String {
    match result {
        Err(e @ Error::Recording { .. }) => e.to_string(),
        Err(e) => panic!("{e}"),
        Ok(_) => panic!("it was not refused"),
    }
}

#[test]
fn what_cannot_be_recorded_is_an_error_and_no_harm() {
    let Some(device) = device(&options()) else { return };
    let stream = device.stream().unwrap();
    let t = Tensor::from_host(&stream, &[1.0_f32, 2.0, 3.0], &[3]).unwrap();
    let (other, ()) = stream.record_sequence(|| Ok(())).unwrap();
    let (download, mark) = (t.download().unwrap(), stream.mark());
    let recording = stream.begin_sequence().unwrap();
    let u = t.add(1.0).unwrap();
    assert!(refused(u.to_host::<f32>()).contains("copying values to the host"));
    assert!(refused(t.download()).contains("do it before or after"));
    assert!(refused(download.wait::<f32>()).contains("waiting"));
    assert!(refused(t.copy_from_host(&[0.0_f32; 3])).contains("copying values from the host"));
    refused(t.narrow(0, 0, 2).unwrap().copy_from_host(&[0.0_f32; 2]));
    refused(Tensor::from_host(&stream, &[1_u8], &[1]));
    refused(stream.synchronize());
    refused(stream.submit());
    refused(mark.wait());
    refused(mark.is_reached());
    assert!(refused(stream.begin_sequence()).contains("another sequence"));
    assert!(refused(other.replay()).contains("replaying"));
    thread::scope(|scope| {
        scope.spawn(|| {
            assert!(refused(t.add(1.0)).contains("another thread"));
            refused(Tensor::zeros(&stream, DType::F32, &[3]));
            refused(t.to_host::<f32>());
            // Another stream is another matter.
            let aside = t.on(&device.new_stream().unwrap()).unwrap();
            assert_eq!(aside.add(1.0).unwrap().to_host::<f32>().unwrap(), [2.0, 3.0, 4.0]);
        });
    });
    // Other errors are what they are.
    assert!(matches!(
        t.add(&Tensor::empty(&stream, DType::F32, &[4]).unwrap()),
        Err(Error::Parameter(_))
    ));
    let v = u.mul(2.0).unwrap();
    let sequence = recording.end().unwrap();
    sequence.replay().unwrap();
    assert_eq!(v.to_host::<f32>().unwrap(), [4.0, 6.0, 8.0]);
    silent(&device);
}

#[test]
fn what_fails_leaves_the_stream_as_it_was() {
    let Some(device) = device(&options()) else { return };
    let stream = device.stream().unwrap();
    let t = Tensor::full(&stream, 1.0, DType::F32, &[1000]).unwrap();
    let held = |device: &Device| (device.usage().live_bytes, device.usage().live_buffers);
    let start = held(&device);
    for turn in 0..20 {
        let failed = stream.record_sequence(|| {
            t.fill(9.0)?;
            let u = t.add(1.0)?.mul(2.0)?;
            u.to_host::<f32>()
        });
        refused(failed);
        let recording = stream.begin_sequence().unwrap();
        t.fill(9.0).unwrap();
        drop(recording);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            stream.record_sequence(|| -> Result<()> {
                t.fill(9.0)?;
                std::panic::resume_unwind(Box::new("a fault of the caller's"))
            })
        }));
        assert!(panicked.is_err());
        assert_eq!(held(&device), start);
        t.copy_from(&t.add(1.0).unwrap()).unwrap();
        let wanted = 2.0 + turn as f32;
        assert!(t.to_host::<f32>().unwrap().iter().all(|&v| v == wanted));
    }
    // Out of memory in the middle, too.
    let Some(small) = common::device(&options().memory_limit(1 << 20)) else { return };
    let stream = small.stream().unwrap();
    let t = Tensor::full(&stream, 1.0, DType::U8, &[300 << 10]).unwrap();
    let failed = stream.record_sequence(|| {
        let all: Vec<Tensor> = (0..4).map(|_| t.copy()).collect::<Result<_>>()?;
        Ok(all)
    });
    assert!(matches!(failed, Err(Error::OutOfMemory { .. })));
    let (sequence, u) = stream.record_sequence(|| t.add(1)?.mul(2)).unwrap();
    sequence.replay().unwrap();
    assert!(u.to_host::<u8>().unwrap().iter().all(|&v| v == 4));
    silent(&device);
    silent(&small);
}

#[test]
fn indices_that_lead_nowhere_are_told_after_each_replay() {
    let Some(device) = device(&options()) else { return };
    let stream = device.stream().unwrap();
    let t = Tensor::arange(&stream, 0.0, 10.0, 1.0, DType::F32).unwrap();
    let index = Tensor::from_host(&stream, &[1_i32, 2], &[2]).unwrap();
    let (sequence, taken) = stream.record_sequence(|| t.index_select(0, &index)).unwrap();
    for turn in 0..3 {
        index.copy_from_host(&[turn, 9]).unwrap();
        sequence.replay().unwrap();
        assert_eq!(taken.to_host::<f32>().unwrap(), [turn as f32, 9.0]);
        index.copy_from_host(&[10, 3]).unwrap();
        sequence.replay().unwrap();
        // Another replay does not make it right.
        index.copy_from_host(&[5, 6]).unwrap();
        sequence.replay().unwrap();
        assert_eq!(taken.to_host::<f32>(), Err(Error::Index { index: 10, size: 10 }));
        assert_eq!(taken.to_host::<f32>().unwrap(), [5.0, 6.0]);
    }
    silent(&device);
}

#[test]
fn threads_replay_and_read() {
    let Some(device) = device(&options()) else { return };
    let stream = device.stream().unwrap();
    let t = Tensor::zeros(&stream, DType::I32, &[4096]).unwrap();
    let (sequence, ()) = stream.record_sequence(|| t.copy_from(&t.add(1)?)).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            let (sequence, t): (&Sequence, &Tensor) = (&sequence, &t);
            scope.spawn(move || {
                for turn in 0..50 {
                    sequence.replay().unwrap();
                    if turn % 5 == 0 {
                        // Copied to the host while others write the same.
                        let all = t.to_host::<i32>().unwrap();
                        assert!(all.iter().all(|&v| v == all[0]));
                    }
                }
            });
        }
    });
    assert_eq!(t.to_host::<i32>().unwrap(), [200; 4096]);
    silent(&device);
}

/// Too much for one submission is several, which are as good.
#[test]
fn long_sequences_are_cut() {
    let Some(device) = device(&options().max_work(1000)) else { return };
    let stream = device.stream().unwrap();
    let t = Tensor::zeros(&stream, DType::I32, &[100]).unwrap();
    let (sequence, result) = stream
        .record_sequence(|| {
            let mut next = t.add(1)?;
            for _ in 0..99 {
                next = next.mul(3)?;
                t.copy_from(&next)?;
            }
            Ok(next)
        })
        .unwrap();
    let wanted = |from: i32| (0..99).fold(from.wrapping_add(1), |x, _| x.wrapping_mul(3));
    let start = device.usage();
    sequence.replay().unwrap();
    sequence.replay().unwrap();
    let submits = device.usage().submits - start.submits;
    assert!((20..=24).contains(&submits), "{submits}");
    assert_eq!(result.to_host::<i32>().unwrap(), [wanted(wanted(0)); 100]);
    silent(&device);
}

#[test]
fn a_lost_device_loses_its_sequences() {
    let Some(device) = device(&options().lose_at_submit(2)) else { return };
    let stream = device.stream().unwrap();
    let t = Tensor::full(&stream, 1.0, DType::F32, &[16]).unwrap();
    let (sequence, u) = stream.record_sequence(|| t.add(1.0)).unwrap();
    sequence.replay().unwrap();
    sequence.replay().unwrap();
    for lost in [
        sequence.replay().err(),
        u.to_host::<f32>().err(),
        sequence.replay().err(),
        stream.record_sequence(|| t.add(1.0)).err(),
    ] {
        assert!(matches!(lost, Some(Error::DeviceLost { .. })), "{lost:?}");
    }
    assert!(device.is_lost());
}

/// Each barrier is there for a reason: without them, the layer that looks for races speaks.
#[test]
fn without_barriers_the_layer_speaks() {
    if std::env::var("NUMPACK_TEST_VALIDATION").as_deref() != Ok("synchronization") {
        println!("skipped: synchronisation is not watched in this run");
        return;
    }
    let Some(device) = device(&options().forget_barriers()) else { return };
    let stream = device.stream().unwrap();
    let t = Tensor::from_host(&stream, &[1.0_f32; 64], &[64]).unwrap();
    stream.synchronize().unwrap();
    // Within a sequence, and from what comes before to it, in one submission: others the layer takes to be
    // in order.
    let (chain, u) = stream.record_sequence(|| t.add(1.0)?.add(1.0)).unwrap();
    chain.replay().unwrap();
    stream.synchronize().unwrap();
    let messages = device.messages();
    assert!(messages.iter().any(|m| m.contains("READ_AFTER_WRITE")), "{messages:?}");
    let (one, _) = stream.record_sequence(|| u.add(1.0)).unwrap();
    one.replay().unwrap();
    stream.synchronize().unwrap();
    assert_eq!(device.messages().len(), messages.len());
    u.fill(3.0).unwrap();
    one.replay().unwrap();
    stream.synchronize().unwrap();
    let messages = &device.messages()[messages.len()..];
    assert!(messages.iter().any(|m| m.contains("READ_AFTER_WRITE")), "{messages:?}");
}
