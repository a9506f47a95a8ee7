//! Steps of training that are recorded once: what changes from one to the next lies in device memory, and
//! the bits are those of steps that are recorded each time.

mod common;

use common::{Numbers, device, options, silent};
use vulkan_core::{
    Adam, DType, Device, DeviceOptions, DevicePlace, Error, Place, Result, Schedule, Sgd, Stream,
    Tensor, clip_grad_norm,
};

fn random(numbers: &mut Numbers, n: usize) -> Vec<f32> {
    (0..n).map(|_| numbers.unit() as f32).collect()
}

/// The tensors of a training, some of them not at the start of their memory.
struct Training {
    params: Tensor,
    target: Tensor,
    state: [Tensor; 3],
}

impl Training {
    fn new(stream: &Stream, n: usize) -> Training {
        let arena = Tensor::zeros(stream, DType::F32, &[4 * n + 3]).unwrap();
        let params = arena.narrow(0, 1, n).unwrap();
        params.copy_from_host(&random(&mut Numbers::new(4), n)).unwrap();
        Training {
            params,
            target: Tensor::zeros(stream, DType::F32, &[n]).unwrap(),
            state: [1, 2, 3].map(|i| arena.narrow(0, i * n + 2, n).unwrap()),
        }
    }

    /// With a length that is clipped, which is a matter of the device too.
    fn grads(&self) -> Result<Tensor> {
        let grads = self.params.sub(&self.target)?.mul(&self.params.square()?.add(0.5)?)?;
        clip_grad_norm(&grads, 3.0)?;
        Ok(grads)
    }

    fn bits(&self) -> Vec<Vec<u8>> {
        [&self.params].into_iter().chain(&self.state).map(|t| t.to_bytes().unwrap()).collect()
    }
}

#[derive(Clone, Copy, Debug)]
enum Optimiser {
    Sgd(Sgd),
    Adam(Adam, bool),
}

impl Optimiser {
    fn with_lr(self, lr: f32) -> Optimiser {
        let lr = f64::from(lr);
        match self {
            Optimiser::Sgd(sgd) => Optimiser::Sgd(Sgd { lr, ..sgd }),
            Optimiser::Adam(adam, most) => Optimiser::Adam(Adam { lr, ..adam }, most),
        }
    }

    fn schedule(&self, stream: &Stream, steps: u32) -> Schedule {
        match self {
            Optimiser::Sgd(sgd) => sgd.schedule(stream, steps).unwrap(),
            Optimiser::Adam(adam, _) => adam.schedule(stream, steps).unwrap(),
        }
    }

    fn step(&self, t: &Training, step: u64) -> Result<()> {
        let ([a, b, c], grads) = (&t.state, t.grads()?);
        match self {
            Optimiser::Sgd(sgd) => sgd.step(&t.params, &grads, Some(a), step),
            Optimiser::Adam(adam, most) => {
                adam.step(&t.params, &grads, a, b, most.then_some(c), step)
            }
        }
    }

    fn step_by(&self, t: &Training, schedule: &Schedule) -> Result<()> {
        let ([a, b, c], grads) = (&t.state, t.grads()?);
        match self {
            Optimiser::Sgd(sgd) => sgd.step_by(&t.params, &grads, Some(a), schedule),
            Optimiser::Adam(adam, most) => {
                adam.step_by(&t.params, &grads, a, b, most.then_some(c), schedule)
            }
        }
    }
}

fn optimisers() -> [Optimiser; 8] {
    let sgd = Sgd { lr: 0.1, ..Sgd::default() };
    let heavy = Sgd { momentum: 0.9, dampening: 0.25, weight_decay: 0.125, ..sgd };
    let adam = Adam { lr: 0.01, ..Adam::default() };
    [
        Optimiser::Sgd(sgd),
        Optimiser::Sgd(heavy),
        Optimiser::Sgd(Sgd { momentum: 0.8, nesterov: true, ..sgd }),
        Optimiser::Adam(adam, false),
        Optimiser::Adam(adam, true),
        Optimiser::Adam(Adam { weight_decay: 0.1, ..adam }, false),
        Optimiser::Adam(Adam { lr: 0.3, ..Adam::adamw() }, false),
        // The list of what these come to is short: it ends on the way.
        Optimiser::Adam(Adam { betas: (0.0, 0.5), ..Adam::adamw() }, true),
    ]
}

#[test]
fn fifty_steps_are_those_of_eager_mode() {
    for options in [options(), options().max_groups(3).max_storage_range(4096)] {
        let Some(device) = device(&options) else { return };
        let stream = device.stream().unwrap();
        for optimiser in optimisers() {
            let n = 1501;
            let (eager, recorded) = (Training::new(&stream, n), Training::new(&stream, n));
            let schedule = optimiser.schedule(&stream, 0);
            let (sequence, ()) =
                stream.record_sequence(|| optimiser.step_by(&recorded, &schedule)).unwrap();
            let mut numbers = Numbers::new(8);
            let mut lr = schedule.lr().to_host::<f32>().unwrap()[0];
            for step in 1..=50 {
                if step % 10 == 0 {
                    // The schedule's is that of all steps to come.
                    lr *= 0.7;
                    schedule.lr().copy_from_host(&[lr]).unwrap();
                }
                let target = random(&mut numbers, n);
                eager.target.copy_from_host(&target).unwrap();
                recorded.target.copy_from_host(&target).unwrap();
                optimiser.with_lr(lr).step(&eager, step).unwrap();
                let before = device.usage().submits;
                sequence.replay().unwrap();
                assert_eq!(device.usage().submits - before, 1);
                if step % 7 == 1 {
                    assert!(recorded.bits() == eager.bits(), "{optimiser:?}, step {step}");
                }
            }
            assert!(recorded.bits() == eager.bits(), "{optimiser:?}");
            assert_eq!(schedule.steps().to_host::<i32>().unwrap(), [50]);
            // Goes on where another one was, without a sequence too.
            let again = optimiser.schedule(&stream, 50);
            again.lr().copy_from_host(&[lr]).unwrap();
            for step in 51..=53 {
                optimiser.with_lr(lr).step(&eager, step).unwrap();
                optimiser.step_by(&recorded, &again).unwrap();
            }
            assert!(recorded.bits() == eager.bits(), "{optimiser:?}, another schedule");
            again.steps().copy_from_host(&[0]).unwrap();
            optimiser.with_lr(lr).step(&eager, 1).unwrap();
            optimiser.step_by(&recorded, &again).unwrap();
            assert!(recorded.bits() == eager.bits(), "{optimiser:?}, from the start");
        }
        silent(&device);
    }
}

/// A step by a schedule is one kernel more than its gradients, as any other.
#[test]
fn a_schedule_is_no_kernel() {
    let Some(device) = device(&options()) else { return };
    let stream = device.stream().unwrap();
    let t = Training::new(&stream, 100);
    let grads = t.grads().unwrap();
    let adam = Adam::default();
    let schedule = adam.schedule(&stream, 0).unwrap();
    let (start, [a, b, _]) = (device.usage(), &t.state);
    adam.step_by(&t.params, &grads, a, b, None, &schedule).unwrap();
    let usage = device.usage();
    assert_eq!((usage.dispatches, usage.copies), (start.dispatches + 1, start.copies + 1));
    silent(&device);
}

#[test]
fn what_schedules_refuse() {
    let Some(device) = device(&options()) else { return };
    let stream = device.stream().unwrap();
    let t = Training::new(&stream, 1);
    let (adam, [a, b, _]) = (Adam::default(), &t.state);
    let schedule = adam.schedule(&stream, 0).unwrap();
    let lr = schedule.lr();
    let other = Adam { betas: (0.5, 0.5), ..adam };
    let of_sgd = Sgd::default().schedule(&stream, 0).unwrap();
    let endless = Adam { betas: (0.9, 1.0 - 1e-9), ..adam };
    for (refused, why) in [
        (other.step_by(&t.params, &t.target, a, b, None, &schedule), "make the schedule by"),
        (adam.step_by(&t.params, &t.target, a, b, None, &of_sgd), "make the schedule by"),
        (adam.step_by(&lr, &t.target, a, b, None, &schedule), "own memory"),
        (endless.schedule(&stream, 0).map(drop), "use step"),
        (Adam { lr: -1.0, ..adam }.schedule(&stream, 0).map(drop), "0 or more"),
        (Sgd { lr: f64::NAN, ..Sgd::default() }.schedule(&stream, 0).map(drop), "0 or more"),
    ] {
        let problem = refused.unwrap_err();
        assert!(matches!(problem, Error::Parameter(_)));
        assert!(problem.to_string().contains(why), "{problem}");
    }
    assert_eq!(schedule.steps().to_host::<i32>().unwrap(), [0]);
    silent(&device);
}

/// All that is drawn in a step, and the gradient of dropout, drawn a second time.
fn drawn(x: &Tensor, place: &DrawnFrom<'_>) -> Result<Vec<Tensor>> {
    let (stream, shape, n) = (x.stream(), x.shape(), x.numel() as u64);
    let half = x.to_dtype(DType::BF16)?;
    let first = place.dropout(x, 0)?;
    let second = place.dropout(&half, n)?;
    let mut all = vec![place.dropout(&first, n)?, place.dropout(&second.add(1.0)?, 0)?];
    all.push(match place {
        DrawnFrom::Host(place) => Tensor::rand(stream, DType::F32, shape, place.after(2 * n))?,
        DrawnFrom::Device(place) => Tensor::rand(stream, DType::F32, shape, &place.after(2 * n))?,
    });
    all.push(match place {
        DrawnFrom::Host(place) => Tensor::bernoulli(stream, 0.3, shape, place.after(3 * n))?,
        DrawnFrom::Device(place) => Tensor::bernoulli(stream, 0.3, shape, &place.after(3 * n))?,
    });
    all.push(match place {
        DrawnFrom::Host(place) => Tensor::randn(stream, DType::F16, shape, place.after(4 * n))?,
        DrawnFrom::Device(place) => Tensor::randn(stream, DType::F16, shape, &place.after(4 * n))?,
    });
    all.extend([first, second]);
    Ok(all)
}

enum DrawnFrom<'a> {
    Host(Place),
    Device(&'a DevicePlace),
}

impl DrawnFrom<'_> {
    fn dropout(&self, x: &Tensor, after: u64) -> Result<Tensor> {
        match self {
            DrawnFrom::Host(place) => x.dropout(0.4, place.after(after)),
            DrawnFrom::Device(place) => x.dropout(0.4, &place.after(after)),
        }
    }
}

fn draws(options: &DeviceOptions) -> Option<Device> {
    let device = device(options)?;
    let stream = device.stream().unwrap();
    for n in [999_usize, 3001] {
        let x = Tensor::from_host(&stream, &random(&mut Numbers::new(6), n), &[n]).unwrap();
        // In the middle of a block, and where the lower word and the whole counter carry.
        for offset in [3, (1 << 32) - 5 * n as u64 - 2, u64::MAX - 7 * n as u64] {
            let mut place = Place { seed: 0x1234_5678_9abc_def0, offset };
            let there = DevicePlace::new(&stream, place).unwrap();
            let (sequence, results) = stream
                .record_sequence(|| {
                    there.advance()?;
                    drawn(&x, &DrawnFrom::Device(&there))
                })
                .unwrap();
            let check = |place: Place, step: u32| {
                let wanted = drawn(&x, &DrawnFrom::Host(place)).unwrap();
                for (i, (got, wanted)) in results.iter().zip(&wanted).enumerate() {
                    let same = got.to_bytes().unwrap() == wanted.to_bytes().unwrap();
                    assert!(same, "{n}, {place:?}, step {step}, draw {i}");
                }
            };
            for step in 0..4 {
                sequence.replay().unwrap();
                check(place, step);
                place = place.after(5 * n as u64);
                assert_eq!(there.next().unwrap(), place);
            }
            // Without reading in between; and from a place that was set.
            sequence.replay().unwrap();
            sequence.replay().unwrap();
            place = place.after(5 * n as u64);
            check(place, 5);
            let other = Place::new(99).after(17);
            there.set(other).unwrap();
            sequence.replay().unwrap();
            check(other, 6);
        }
    }
    Some(device)
}

#[test]
fn numbers_go_on_from_step_to_step() {
    for options in [options(), options().max_groups(3).max_storage_range(4096)] {
        let Some(device) = draws(&options) else { return };
        silent(&device);
    }
}
