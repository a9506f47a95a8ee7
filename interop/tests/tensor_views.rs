//! Views of tensors against a slow model: a list of the numbers of elements, moved about by
//! counting through all indices.

use numpack_interop::{
    Borrowed, Error, Memory, Scalar, Storage, Tensor, dlpack, dtype::DType, from_memory,
};
use proptest::prelude::*;

/// Few under an interpreter that is a thousand times slower.
const CASES: u32 = if cfg!(miri) { 12 } else { 20_000 };

/// The elements in C order, each by its number in the storage.
#[derive(Clone, Debug, PartialEq)]
struct Model {
    shape: Vec<usize>,
    elements: Vec<i32>,
}

impl Model {
    fn new(shape: &[usize]) -> Model {
        let n = shape.iter().product::<usize>() as i32;
        Model { shape: shape.to_vec(), elements: (0..n).collect() }
    }

    /// All indices in C order.
    fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
        let mut all = vec![Vec::new()];
        for &n in shape {
            let longer = |index: &Vec<usize>| {
                (0..n).map(|i| [&index[..], &[i]].concat()).collect::<Vec<_>>()
            };
            all = all.iter().flat_map(longer).collect();
        }
        all
    }

    fn at(&self, index: &[usize]) -> i32 {
        let place = index.iter().zip(&self.shape).fold(0, |place, (&i, &n)| place * n + i);
        self.elements[place]
    }

    /// A tensor of this shape, each of whose indices stands for one of this model.
    fn map(&self, shape: Vec<usize>, index: impl Fn(&[usize]) -> Vec<usize>) -> Model {
        let elements = Model::indices(&shape).iter().map(|i| self.at(&index(i))).collect();
        Model { shape, elements }
    }
}

#[derive(Clone, Debug)]
enum View {
    Select(usize, isize),
    Slice(usize, Option<isize>, Option<isize>, usize),
    Permute(Vec<usize>),
    Transpose(usize, usize),
    Squeeze(Option<usize>),
    Unsqueeze(usize),
    Expand(Vec<usize>),
    Reshape(usize, usize),
    Flatten(usize, usize),
    Contiguous,
}

fn views() -> impl Strategy<Value = View> {
    let end = || prop::option::of(-7_isize..7);
    prop_oneof![
        (0_usize..4, -3_isize..3).prop_map(|(d, i)| View::Select(d, i)),
        (0_usize..4, end(), end(), 1_usize..4).prop_map(|(d, a, b, s)| View::Slice(d, a, b, s)),
        Just((0..6).collect::<Vec<usize>>()).prop_shuffle().prop_map(View::Permute),
        (0_usize..6, 0_usize..6).prop_map(|(a, b)| View::Transpose(a, b)),
        prop::option::of(0_usize..6).prop_map(View::Squeeze),
        (0_usize..6).prop_map(View::Unsqueeze),
        prop::collection::vec(0_usize..4, 0..3).prop_map(View::Expand),
        (0_usize..8, 0_usize..8).prop_map(|(a, b)| View::Reshape(a, b)),
        (0_usize..6, 0_usize..6).prop_map(|(a, b)| View::Flatten(a, b)),
        Just(View::Contiguous),
    ]
}

/// The view of both; nothing where the numbers do not fit this shape.
fn apply(tensor: &Tensor, model: &Model, view: &View) -> Option<(Tensor, Model)> {
    let n = model.shape.len();
    let d = |d: usize| d % n;
    Some(match view {
        &View::Select(dim, i) if n > 0 => {
            let dim = d(dim);
            let len = model.shape[dim] as isize;
            let place = if i < 0 { i + len } else { i };
            if !(0..len).contains(&place) {
                assert!(matches!(tensor.select(dim as isize, i), Err(Error::Parameter(_))));
                return None;
            }
            let mut shape = model.shape.clone();
            shape.remove(dim);
            let index = |i: &[usize]| [&i[..dim], &[place as usize], &i[dim..]].concat();
            (tensor.select(dim as isize - n as isize, i).unwrap(), model.map(shape, index))
        }
        &View::Slice(dim, start, stop, step) if n > 0 => {
            let dim = d(dim);
            let len = model.shape[dim] as isize;
            let cut = |i: isize| if i < 0 { (i + len).max(0) } else { i.min(len) };
            let kept: Vec<usize> = (0..len)
                .filter(|&i| i >= start.map_or(0, cut) && i < stop.map_or(len, cut))
                .step_by(step)
                .map(|i| i as usize)
                .collect();
            let mut shape = model.shape.clone();
            shape[dim] = kept.len();
            let index = |i: &[usize]| {
                let mut i = i.to_vec();
                i[dim] = kept[i[dim]];
                i
            };
            let sliced = tensor.slice(dim as isize, start, stop, step as isize).unwrap();
            (sliced, model.map(shape, index))
        }
        View::Permute(order) => {
            let dims: Vec<usize> = order.iter().copied().filter(|&d| d < n).collect();
            if dims.len() != n {
                return None;
            }
            let shape = dims.iter().map(|&d| model.shape[d]).collect();
            let index = |i: &[usize]| {
                let mut old = vec![0; n];
                dims.iter().zip(i).for_each(|(&d, &i)| old[d] = i);
                old
            };
            let signed: Vec<isize> = dims.iter().map(|&d| d as isize).collect();
            (tensor.permute(&signed).unwrap(), model.map(shape, index))
        }
        &View::Transpose(a, b) if n > 0 => {
            let (a, b) = (d(a), d(b));
            let mut shape = model.shape.clone();
            shape.swap(a, b);
            let index = |i: &[usize]| {
                let mut i = i.to_vec();
                i.swap(a, b);
                i
            };
            (tensor.transpose(a as isize, b as isize).unwrap(), model.map(shape, index))
        }
        &View::Squeeze(dim) if n > 0 => {
            let dim = dim.map(d);
            let goes = |i: usize| model.shape[i] == 1 && dim.is_none_or(|d| d == i);
            let shape = (0..n).filter(|&i| !goes(i)).map(|i| model.shape[i]).collect();
            let same = Model { shape, elements: model.elements.clone() };
            (tensor.squeeze(dim.map(|d| d as isize)).unwrap(), same)
        }
        &View::Unsqueeze(dim) => {
            let dim = dim % (n + 1);
            let mut shape = model.shape.clone();
            shape.insert(dim, 1);
            let same = Model { shape, elements: model.elements.clone() };
            (tensor.unsqueeze(dim as isize).unwrap(), same)
        }
        View::Expand(front) => {
            let own = model.shape.iter().enumerate();
            let own: Vec<usize> = own.map(|(i, &n)| if n == 1 { i % 3 + 1 } else { n }).collect();
            let shape = [&front[..], &own[..]].concat();
            let index = |i: &[usize]| {
                let i = &i[front.len()..];
                i.iter().zip(&model.shape).map(|(&i, &n)| if n == 1 { 0 } else { i }).collect()
            };
            let sizes: Vec<isize> = shape.iter().map(|&n| n as isize).collect();
            (tensor.expand(&sizes).unwrap(), model.map(shape, index))
        }
        &View::Reshape(a, b) => {
            // Two divisors of the number of elements, and what is left.
            let all = model.elements.len();
            let divisor = |n: usize, k: usize| {
                let all: Vec<usize> = (1..=n.max(1)).filter(|d| n.is_multiple_of(*d)).collect();
                all[k % all.len()]
            };
            let first = divisor(all, a);
            let second = divisor(all / first, b);
            let shape = vec![first, second, all / first / second];
            let sizes = [first as isize, second as isize, shape[2] as isize];
            let reshaped = tensor.reshape(&sizes).unwrap();
            if let Ok(view) = tensor.view(&sizes) {
                assert!(view.storage().is_same(tensor.storage()));
                assert_eq!(view.to_vec::<i32>().unwrap(), model.elements);
            } else {
                assert!(!tensor.is_contiguous(), "every shape is a view of a contiguous tensor");
                assert!(!reshaped.storage().is_same(tensor.storage()));
            }
            (reshaped, Model { shape, elements: model.elements.clone() })
        }
        &View::Flatten(a, b) if n > 0 => {
            let (a, b) = (d(a).min(d(b)), d(a).max(d(b)));
            let one = model.shape[a..=b].iter().product();
            let shape = [&model.shape[..a], &[one], &model.shape[b + 1..]].concat();
            let flat = tensor.flatten(a as isize, b as isize).unwrap();
            (flat, Model { shape, elements: model.elements.clone() })
        }
        View::Contiguous => (tensor.contiguous().unwrap(), model.clone()),
        _ => return None,
    })
}

fn agree(tensor: &Tensor, model: &Model) {
    assert_eq!(tensor.shape(), model.shape, "{tensor:?}");
    assert_eq!(tensor.numel(), model.elements.len());
    assert_eq!(tensor.to_vec::<i32>().unwrap(), model.elements, "{tensor:?}");
    if tensor.is_contiguous() {
        assert_eq!(tensor.elements::<i32>().unwrap()[..], model.elements);
    } else {
        assert!(tensor.elements::<i32>().is_err());
    }
    for (index, want) in Model::indices(&model.shape).iter().zip(&model.elements) {
        let index: Vec<isize> = index.iter().map(|&i| i as isize).collect();
        assert_eq!(tensor.get(&index).unwrap(), (*want).into());
    }
    let wide = tensor.to_dtype(DType::FLOAT64).unwrap();
    let want: Vec<f64> = model.elements.iter().map(|&e| e.into()).collect();
    assert_eq!(wide.to_vec::<f64>().unwrap(), want);
    assert_eq!(wide.shape(), tensor.shape());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn views_show_what_the_model_shows(
        shape in prop::collection::vec(0_usize..5, 0..4),
        steps in prop::collection::vec(views(), 0..6),
    ) {
        let mut model = Model::new(&shape);
        let mut tensor = Tensor::from_slice(&model.elements, &shape).unwrap();
        agree(&tensor, &model);
        for step in &steps {
            if let Some((t, m)) = apply(&tensor, &model, step)
                && m.elements.len() < 2_000
            {
                (tensor, model) = (t, m);
                agree(&tensor, &model);
            }
        }
    }

    /// Writing through a view changes what it shows and nothing else.
    #[test]
    fn writes_reach_what_a_view_shows(
        shape in prop::collection::vec(1_usize..5, 1..4),
        steps in prop::collection::vec(views(), 0..5),
    ) {
        let mut model = Model::new(&shape);
        let base = Tensor::from_slice(&model.elements, &shape).unwrap();
        let mut tensor = base.alias();
        for step in &steps {
            if let Some((t, m)) = apply(&tensor, &model, step)
                && t.storage().is_same(base.storage())
                && m.elements.len() < 2_000
            {
                (tensor, model) = (t, m);
            }
        }
        let repeats = tensor.shape().iter().zip(tensor.strides()).any(|(&n, &s)| n > 1 && s == 0);
        let expect = |value: &dyn Fn(usize) -> i32| -> Vec<i32> {
            let mut all = Model::new(&shape).elements;
            for (i, &e) in model.elements.iter().enumerate() {
                all[e as usize] = value(i);
            }
            all
        };
        if repeats && tensor.numel() > 0 {
            prop_assert!(matches!(tensor.fill(-1), Err(Error::Parameter(_))));
        } else {
            tensor.fill(-1).unwrap();
            prop_assert_eq!(base.to_vec::<i32>().unwrap(), expect(&|_| -1));
            let n = tensor.numel();
            let new: Vec<f32> = (0..n).map(|i| 1000.0 + i as f32).collect();
            tensor.copy_from(&Tensor::from_slice(&new, tensor.shape()).unwrap()).unwrap();
            prop_assert_eq!(base.to_vec::<i32>().unwrap(), expect(&|i| 1000 + i as i32));
            let mut reversed: Vec<isize> = (0..tensor.ndim() as isize).collect();
            reversed.reverse();
            // Onto itself the other way round, where its shape allows that.
            let mirror = tensor.permute(&reversed).unwrap();
            if mirror.shape() == tensor.shape() && n > 0 {
                let want = mirror.to_vec::<i32>().unwrap();
                tensor.copy_from(&mirror).unwrap();
                prop_assert_eq!(tensor.to_vec::<i32>().unwrap(), want);
            }
        }
    }
}

/// Elements of 1 to 16 bytes anywhere in some memory.
#[derive(Clone, Debug)]
struct Strided {
    dtype: DType,
    shape: Vec<usize>,
    /// In elements.
    strides: Vec<isize>,
    /// Bytes before the lowest element.
    before: usize,
}

fn strided() -> impl Strategy<Value = Strided> {
    let dtypes =
        vec![DType::INT8, DType::BFLOAT16, DType::INT32, DType::COMPLEX64, DType::COMPLEX128];
    let dims = prop::collection::vec((0_usize..5, -7_isize..8), 0..5);
    (prop::sample::select(dtypes), dims, 0_usize..3).prop_map(|(dtype, dims, before)| {
        let (shape, strides) = dims.into_iter().unzip();
        Strided { dtype, shape, strides, before: before * 16 }
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Memory with any strides is read as one element after the other is, shared and copied.
    #[test]
    fn any_strides_are_walked(s in strided()) {
        let size = s.dtype.size();
        let reach = |sign: isize| -> usize {
            let far = s.shape.iter().zip(&s.strides).map(|(&n, &t)| (n.max(1) - 1) as isize * t);
            far.filter(|far| far.signum() == sign).map(isize::unsigned_abs).sum()
        };
        let offset = s.before + reach(-1) * size;
        let nbytes = offset + (reach(1) + 1) * size;
        let bytes: Vec<u8> = (0..nbytes).map(|i| (i % 251) as u8).collect();
        let mut aligned = vec![0_u64; nbytes.div_ceil(8)];
        bytemuck::cast_slice_mut::<u64, u8>(&mut aligned)[..nbytes].copy_from_slice(&bytes);

        let mut expected = Vec::new();
        for index in Model::indices(&s.shape) {
            let far: isize = index.iter().zip(&s.strides).map(|(&i, &t)| i as isize * t).sum();
            let at = offset.strict_add_signed(far * size as isize);
            expected.extend_from_slice(&bytes[at..at + size]);
        }
        let strides: Vec<i64> = s.strides.iter().map(|&t| t as i64 * size as i64).collect();
        let memory = Memory {
            data: aligned.as_mut_ptr().cast(),
            nbytes,
            read_only: false,
            dtype: s.dtype,
            shape: &s.shape,
            strides: Some(&strides),
            offset,
        };
        // SAFETY: the tensor goes before the memory, and only it is used meanwhile.
        let shared = unsafe { from_memory(&memory, || ()) }.unwrap();
        let read = |t: &Tensor| {
            let mut out = vec![0; t.nbytes()];
            t.read_into(&mut out).unwrap();
            out
        };
        prop_assert_eq!(&read(&shared), &expected);
        let contiguous = shared.contiguous().unwrap();
        prop_assert!(contiguous.is_contiguous() || shared.numel() == 0);
        prop_assert_eq!(&read(&contiguous), &expected);
        let given = dlpack::to_dlpack(&shared, dlpack::Copied::No).unwrap();
        // SAFETY: just given, and taken once.
        let taken = unsafe { dlpack::from_dlpack(given) }.unwrap();
        prop_assert_eq!(&read(&taken), &expected);
        drop((shared, taken));

        let shape: Vec<u64> = s.shape.iter().map(|&n| n as u64).collect();
        let dtype = numpack_interop::dtype::to_torch(s.dtype).unwrap();
        let from = Borrowed { dtype, shape: &shape, strides: Some(&strides), data: &bytes, offset };
        prop_assert_eq!(&read(&Tensor::copy_of(&from).unwrap()), &expected);
        // One byte less is too few, unless there are no elements.
        let short = Borrowed { data: &bytes[..nbytes - 1], ..from };
        prop_assert_eq!(Tensor::copy_of(&short).is_ok(), expected.is_empty());
    }
}

#[test]
fn what_is_not_there_is_named() {
    let t = Tensor::zeros(&[2, 3], DType::FLOAT32).unwrap();
    let message = |r: numpack_interop::Result<Tensor>| r.unwrap_err().to_string();
    assert_eq!(message(t.select(2, 0)), "dimension 2 is out of range for a tensor of 2 dimensions");
    assert_eq!(message(t.select(1, 3)), "index 3 is out of range for dimension 1 of size 3");
    assert_eq!(
        message(t.slice(0, None, None, 0)),
        "the step of a slice is 0, and must be 1 or more"
    );
    assert_eq!(message(t.narrow(1, 2, 2)), "2 indices from 2 on exceed dimension 1 of size 3");
    assert_eq!(message(t.permute(&[0, 0])), "dimension 0 comes twice in [0, 0]");
    assert_eq!(message(t.permute(&[0])), "[0] does not name each of the 2 dimensions");
    assert_eq!(
        message(t.expand(&[4, 2, 4])),
        "shape [2, 3] cannot be expanded to [4, 2, 4]: dimension 2 differs and is not 1"
    );
    assert_eq!(message(t.view(&[4, -1])), "shape [2, 3] of 6 elements cannot become [4, -1]");
    assert_eq!(
        message(t.transpose(0, 1).unwrap().view(&[6])),
        "shape [3, 2] with strides [1, 3] cannot be seen as [6] without a copy; use reshape"
    );
    assert_eq!(
        message(Tensor::zeros(&[usize::MAX, 2], DType::BOOL)),
        "shape [18446744073709551615, 2] has more elements than memory can hold"
    );
    // An interpreter that runs out of memory does not say so to the program.
    if !cfg!(miri) {
        let far = Tensor::zeros(&[1 << 60], DType::BOOL);
        assert!(matches!(far, Err(Error::OutOfMemory { .. })), "{far:?}");
    }
    assert!(t.view(&[isize::MIN]).is_err() && t.select(isize::MIN, 0).is_err());
    assert!(
        t.select(0, isize::MIN).is_err() && t.slice(0, Some(isize::MIN), None, isize::MAX).is_ok()
    );
    assert!(t.narrow(0, usize::MAX, 1).is_err());
    assert!(t.expand(&[isize::MAX, isize::MAX, 2, 3]).is_err());
}

#[test]
fn places_of_no_elements_do_not_count() {
    let strides = [isize::MAX / 2, 1];
    let t = Tensor::new(Storage::zeros(0).unwrap(), DType::FLOAT32, &[4, 0], &strides, 0).unwrap();
    let far = t.select(0, 3).unwrap();
    assert_eq!(far.clone().unwrap().shape(), [0]);
    assert!(far.to_dtype(DType::INT8).unwrap().to_vec::<i8>().unwrap().is_empty());
    far.fill(1.0).unwrap();
    t.copy_from(&far).unwrap();
}

#[test]
fn real_numbers_have_no_imaginary_part() {
    for dtype in [DType::FLOAT32, DType::INT8] {
        let t = Tensor::zeros(&[2], dtype).unwrap();
        t.fill(Scalar::complex(2.0, 0.0)).unwrap();
        for value in [Scalar::complex(1.0, 1.0), Scalar::complex(1.0, f64::NAN)] {
            assert!(matches!(t.fill(value), Err(Error::Parameter(_))), "{dtype}");
        }
        assert_eq!(t.get(&[1]).unwrap(), t.get(&[0]).unwrap());
    }
    let t = Tensor::full(&[1], Scalar::complex(0.0, 1.0), DType::BOOL).unwrap();
    assert_eq!(t.item().unwrap(), Scalar::Bool(true));
}
