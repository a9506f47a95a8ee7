//! Random sequences of calls against a plain model: values are right, counts are exact, and the layers
//! have nothing to say.

mod common;

use std::cell::RefCell;
use std::rc::Rc;

use common::{device, options, silent};
use proptest::prelude::*;
use vulkan_core::{DType, Device, Sequence, Stream, Tensor, Transfers};

/// What can be done next. Numbers choose among what there is, whatever that is.
#[derive(Clone, Debug)]
enum Call {
    New { dtype: u8, rows: u8, columns: u8 },
    Arange { dtype: u8, n: u8 },
    Transpose(u8),
    Narrow { of: u8, dim: bool, start: u8, length: u8 },
    Step { of: u8, step: u8 },
    Row(u8),
    Copy(u8),
    Cast { of: u8, dtype: u8 },
    Add { a: u8, number: i8 },
    Mul { a: u8, b: u8 },
    Less { a: u8, b: u8 },
    Fill { of: u8, value: i8 },
    CopyInto { to: u8, from: u8 },
    FromHost { of: u8, value: i8 },
    OnOther(u8),
    Record { to: u8, from: u8, number: i8 },
    Replay(u8),
    Forget,
    Drop(u8),
    Read(u8),
    Submit,
    Trim,
}

fn call() -> impl Strategy<Value = Call> {
    let id = any::<u8>;
    prop_oneof![
        4 => (id(), 0u8..9, 0u8..40).prop_map(|(dtype, rows, columns)| Call::New { dtype, rows, columns }),
        1 => (id(), id()).prop_map(|(dtype, n)| Call::Arange { dtype, n }),
        3 => id().prop_map(Call::Transpose),
        4 => (id(), any::<bool>(), id(), id())
            .prop_map(|(of, dim, start, length)| Call::Narrow { of, dim, start, length }),
        2 => (id(), 1u8..4).prop_map(|(of, step)| Call::Step { of, step }),
        1 => id().prop_map(Call::Row),
        2 => id().prop_map(Call::Copy),
        3 => (id(), id()).prop_map(|(of, dtype)| Call::Cast { of, dtype }),
        4 => (id(), any::<i8>()).prop_map(|(a, number)| Call::Add { a, number }),
        4 => (id(), id()).prop_map(|(a, b)| Call::Mul { a, b }),
        2 => (id(), id()).prop_map(|(a, b)| Call::Less { a, b }),
        3 => (id(), any::<i8>()).prop_map(|(of, value)| Call::Fill { of, value }),
        4 => (id(), id()).prop_map(|(to, from)| Call::CopyInto { to, from }),
        2 => (id(), any::<i8>()).prop_map(|(of, value)| Call::FromHost { of, value }),
        2 => id().prop_map(Call::OnOther),
        3 => (id(), id(), any::<i8>())
            .prop_map(|(to, from, number)| Call::Record { to, from, number }),
        4 => id().prop_map(Call::Replay),
        1 => Just(Call::Forget),
        4 => id().prop_map(Call::Drop),
        3 => id().prop_map(Call::Read),
        1 => Just(Call::Submit),
        1 => Just(Call::Trim),
    ]
}

const TYPES: [DType; 4] = [DType::I64, DType::I32, DType::U8, DType::Bool];

/// A tensor as plain integers in shared memory.
#[derive(Clone)]
struct Model {
    memory: Rc<RefCell<Vec<i64>>>,
    dtype: DType,
    shape: Vec<usize>,
    places: Vec<usize>,
}

fn wrap(dtype: DType, value: i64) -> i64 {
    match dtype {
        DType::I32 => i64::from(value as i32),
        DType::U8 => i64::from(value as u8),
        DType::Bool => i64::from(value != 0),
        _ => value,
    }
}

impl Model {
    fn new(dtype: DType, shape: &[usize], values: Vec<i64>) -> Model {
        let places = (0..values.len()).collect();
        Model { memory: Rc::new(RefCell::new(values)), dtype, shape: shape.to_vec(), places }
    }

    fn values(&self) -> Vec<i64> {
        let memory = self.memory.borrow();
        self.places.iter().map(|&p| memory[p]).collect()
    }

    fn put(&self, values: &[i64]) {
        let mut memory = self.memory.borrow_mut();
        for (&p, &v) in self.places.iter().zip(values) {
            memory[p] = wrap(self.dtype, v);
        }
    }

    /// The same memory, seen where `keep` says, by its old indices.
    fn view(&self, shape: Vec<usize>, index: impl Fn(&[usize]) -> Vec<usize>) -> Model {
        let mut places = Vec::new();
        for i in 0..shape.iter().product() {
            let mut at = vec![0; shape.len()];
            let mut left = i;
            for d in (0..shape.len()).rev() {
                at[d] = left % shape[d];
                left /= shape[d];
            }
            let old = index(&at);
            let flat = old.iter().zip(&self.shape).fold(0, |flat, (&i, &size)| flat * size + i);
            places.push(self.places[flat]);
        }
        Model { shape, places, ..self.clone() }
    }
}

struct World {
    device: Device,
    streams: [Stream; 2],
    all: Vec<(Tensor, Model)>,
    sequences: Vec<Recorded>,
    seed: i64,
}

/// A number is added to one tensor, into one of the sequence's own, and that is copied to another.
struct Recorded {
    sequence: Sequence,
    from: Model,
    number: i64,
    sum: Model,
    to: Model,
}

impl Recorded {
    fn replay(&self) {
        self.sequence.replay().unwrap();
        let Recorded { from, number, sum, to, .. } = self;
        let values: Vec<i64> = from.values().into_iter().map(|v| v.wrapping_add(*number)).collect();
        sum.put(&values);
        to.put(&sum.values());
    }
}

fn to_integers(t: &Tensor) -> Vec<i64> {
    match t.dtype() {
        DType::I64 => t.to_host::<i64>().unwrap(),
        DType::I32 => t.to_host::<i32>().unwrap().into_iter().map(i64::from).collect(),
        DType::U8 => t.to_host::<u8>().unwrap().into_iter().map(i64::from).collect(),
        _ => t.to_host::<bool>().unwrap().into_iter().map(i64::from).collect(),
    }
}

impl World {
    fn pick(&self, id: u8) -> Option<(Tensor, Model)> {
        (!self.all.is_empty()).then(|| self.all[id as usize % self.all.len()].clone())
    }

    fn add(&mut self, t: Tensor, m: Model) {
        assert_eq!((t.shape(), t.dtype()), (&m.shape[..], m.dtype));
        self.all.push((t, m));
        if self.all.len() > 12 {
            self.all.remove(0);
        }
    }

    fn bytes(&mut self, dtype: DType, n: usize) -> (Vec<u8>, Vec<i64>) {
        let values: Vec<i64> = (0..n)
            .map(|_| {
                self.seed =
                    self.seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                wrap(dtype, self.seed >> 35)
            })
            .collect();
        let bytes = values.iter().flat_map(|v| v.to_ne_bytes()[..dtype.size()].to_vec()).collect();
        (bytes, values)
    }

    fn run(&mut self, call: &Call) {
        match *call {
            Call::New { dtype, rows, columns } => {
                let dtype = TYPES[dtype as usize % TYPES.len()];
                let shape = [rows as usize, columns as usize];
                let (bytes, values) = self.bytes(dtype, shape[0] * shape[1]);
                let t = Tensor::from_bytes(&self.streams[0], &bytes, dtype, &shape).unwrap();
                self.add(t, Model::new(dtype, &shape, values));
            }
            Call::Arange { dtype, n } => {
                let dtype = TYPES[dtype as usize % 3];
                let t = Tensor::arange(&self.streams[1], 0.0, f64::from(n), 1.0, dtype).unwrap();
                self.add(t, Model::new(dtype, &[n as usize], (0..i64::from(n)).collect()));
            }
            Call::Transpose(of) => {
                let Some((t, m)) = self.pick(of) else { return };
                if m.shape.len() == 2 {
                    let shape = vec![m.shape[1], m.shape[0]];
                    self.add(t.t().unwrap(), m.view(shape, |at| vec![at[1], at[0]]));
                }
            }
            Call::Narrow { of, dim, start, length } => {
                let Some((t, m)) = self.pick(of) else { return };
                let d = usize::from(dim) % m.shape.len().max(1);
                let Some(&size) = m.shape.get(d) else { return };
                let start = start as usize % (size + 1);
                let length = length as usize % (size - start + 1);
                let mut shape = m.shape.clone();
                shape[d] = length;
                let view = m.view(shape, |at| {
                    let mut at = at.to_vec();
                    at[d] += start;
                    at
                });
                self.add(t.narrow(d as isize, start, length).unwrap(), view);
            }
            Call::Step { of, step } => {
                let Some((t, m)) = self.pick(of) else { return };
                let Some(&size) = m.shape.last() else { return };
                let (step, last) = (step as usize, m.shape.len() - 1);
                let mut shape = m.shape.clone();
                shape[last] = size.div_ceil(step);
                let view = m.view(shape, |at| {
                    let mut at = at.to_vec();
                    at[last] *= step;
                    at
                });
                self.add(t.slice(-1, 0, size, step).unwrap(), view);
            }
            Call::Row(of) => {
                let Some((t, m)) = self.pick(of) else { return };
                if m.shape.first().is_some_and(|&n| n > 0) {
                    let n = m.shape[0];
                    let view = m.view(m.shape[1..].to_vec(), |at| [&[n - 1], at].concat());
                    self.add(t.select(0, -1).unwrap(), view);
                }
            }
            Call::Copy(of) => {
                let Some((t, m)) = self.pick(of) else { return };
                self.add(t.copy().unwrap(), Model::new(m.dtype, &m.shape, m.values()));
            }
            Call::Cast { of, dtype } => {
                let Some((t, m)) = self.pick(of) else { return };
                let dtype = TYPES[dtype as usize % TYPES.len()];
                if dtype != m.dtype {
                    let values = m.values().into_iter().map(|v| wrap(dtype, v)).collect();
                    self.add(t.to_dtype(dtype).unwrap(), Model::new(dtype, &m.shape, values));
                }
            }
            Call::Add { a, number } => {
                let Some((t, m)) = self.pick(a) else { return };
                let dtype = if m.dtype == DType::Bool { DType::I64 } else { m.dtype };
                let each =
                    m.values().into_iter().map(|v| wrap(dtype, v.wrapping_add(number.into())));
                let result = Model::new(dtype, &m.shape, each.collect());
                self.add(t.add(i64::from(number)).unwrap(), result);
            }
            Call::Mul { a, b } | Call::Less { a, b } => {
                let (Some((t, m)), Some((u, n))) = (self.pick(a), self.pick(b)) else { return };
                if m.shape != n.shape {
                    return;
                }
                let pairs = m.values().into_iter().zip(n.values());
                if matches!(call, Call::Less { .. }) {
                    let values = pairs.map(|(x, y)| i64::from(x < y)).collect();
                    self.add(t.lt(&u).unwrap(), Model::new(DType::Bool, &m.shape, values));
                } else {
                    let product = t.mul(&u).unwrap();
                    let dtype = product.dtype();
                    let values = pairs.map(|(x, y)| wrap(dtype, x.wrapping_mul(y))).collect();
                    self.add(product, Model::new(dtype, &m.shape, values));
                }
            }
            Call::Fill { of, value } => {
                let Some((t, m)) = self.pick(of) else { return };
                let value = i64::from(value);
                // What a float becomes is another matter.
                let value = if m.dtype == DType::U8 { value & 0x7f } else { value };
                t.fill(value as f64).unwrap();
                m.put(&vec![value; m.places.len()]);
            }
            Call::CopyInto { to, from } => {
                let (Some((t, m)), Some((u, n))) = (self.pick(to), self.pick(from)) else { return };
                if m.shape == n.shape {
                    t.copy_from(&u).unwrap();
                    m.put(&n.values());
                }
            }
            Call::FromHost { of, value } => {
                let Some((t, m)) = self.pick(of) else { return };
                if m.dtype == DType::I32 {
                    t.copy_from_host(&vec![i32::from(value); m.places.len()]).unwrap();
                    m.put(&vec![i64::from(value); m.places.len()]);
                }
            }
            Call::OnOther(of) => {
                let Some((t, m)) = self.pick(of) else { return };
                let other = &self.streams[usize::from(t.stream() == &self.streams[0])];
                let t = t.on(other).unwrap();
                self.add(t, m);
            }
            Call::Record { to, from, number } => {
                let (Some((t, m)), Some((u, n))) = (self.pick(to), self.pick(from)) else { return };
                if m.shape != n.shape {
                    return;
                }
                let number = i64::from(number);
                let recorded = t.stream().record_sequence(|| {
                    let sum = u.on(t.stream())?.add(number)?;
                    // What it has in between serves again.
                    drop(sum.mul(2)?);
                    drop(u.on(t.stream())?.add(5)?);
                    t.copy_from(&sum)?;
                    Ok(sum)
                });
                let (sequence, sum) = recorded.unwrap();
                let model = Model::new(sum.dtype(), &n.shape, vec![0; n.places.len()]);
                let recorded = Recorded { sequence, from: n, number, sum: model.clone(), to: m };
                // Until then there is anything in the sum.
                recorded.replay();
                self.add(sum, model);
                self.sequences.push(recorded);
                if self.sequences.len() > 4 {
                    self.sequences.remove(0);
                }
            }
            Call::Replay(of) => {
                if !self.sequences.is_empty() {
                    self.sequences[of as usize % self.sequences.len()].replay();
                }
            }
            Call::Forget => drop(self.sequences.pop()),
            Call::Drop(of) => {
                if !self.all.is_empty() {
                    self.all.remove(of as usize % self.all.len());
                }
            }
            Call::Read(of) => {
                let Some((t, m)) = self.pick(of) else { return };
                assert_eq!(to_integers(&t), m.values());
            }
            Call::Submit => self.streams[0].submit().unwrap(),
            Call::Trim => self.device.trim(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("NUMPACK_TEST_CASES").map_or(64, |n| n.parse().unwrap()),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_sequence_of_calls_does_what_the_model_does(
        calls in prop::collection::vec(call(), 1..80),
        staged in any::<bool>(),
        small in any::<bool>(),
    ) {
        let mut options = options();
        if staged {
            options = options.transfers(Transfers::Staged);
        }
        if small {
            options = options.max_groups(2).max_storage_range(4096);
        }
        let Some(device) = device(&options) else { return Ok(()) };
        let streams = [device.new_stream().unwrap(), device.new_stream().unwrap()];
        let mut world = World { device, streams, all: Vec::new(), sequences: Vec::new(), seed: 1 };
        for call in &calls {
            world.run(call);
        }
        for (t, m) in &world.all {
            prop_assert_eq!(to_integers(t), m.values());
        }
        let World { device, streams, all, sequences, .. } = world;
        drop((all, streams));
        let usage = device.usage();
        prop_assert_eq!((usage.live_bytes, usage.live_buffers), (0, 0));
        drop(sequences);
        silent(&device);
    }
}
