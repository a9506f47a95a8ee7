//! No argument makes a call panic, and what an array holds does not depend on how it lies in memory.

use numpack_host_ops::optim::{Adam, Sgd};
use numpack_host_ops::random::{self, Place};
use numpack_host_ops::{
    self as ops, Activation, Approximate, Array, CrossEntropy, DType, Reduction, Scalar,
};
use proptest::prelude::*;

fn dtypes() -> impl Strategy<Value = DType> {
    prop::sample::select(DType::ALL.to_vec())
}

/// Arrays of any type and bytes in small shapes and any order, views of larger memory.
fn arrays() -> impl Strategy<Value = Array> {
    let dims = prop::collection::vec((0_usize..4, 0_isize..4, any::<bool>()), 0..4);
    (dtypes(), dims, any::<u64>()).prop_map(|(dtype, dims, seed)| {
        let shape: Vec<usize> = dims.iter().map(|d| d.0).collect();
        let strides: Vec<isize> = dims.iter().map(|d| if d.2 { -d.1 } else { d.1 }).collect();
        let back: isize =
            dims.iter().map(|d| if d.2 { d.1 * d.0.saturating_sub(1) as isize } else { 0 }).sum();
        let mut state = seed | 1;
        let bytes: Vec<u8> = (0..64 * dtype.size())
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                // Small integers often, so that they serve as indices.
                if seed.is_multiple_of(3) { (state % 3) as u8 } else { state as u8 }
            })
            .collect();
        Array::from_bytes(dtype, &bytes, &shape, &strides, back as usize)
            .expect("64 elements reach")
    })
}

fn ints() -> impl Strategy<Value = i64> {
    prop_oneof![-5_i64..6, Just(i64::MIN), Just(i64::MAX), any::<i64>()]
}

fn numbers() -> impl Strategy<Value = f64> {
    prop_oneof![-2.0..2.0, Just(0.0), Just(f64::NAN), Just(f64::INFINITY), any::<f64>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn nothing_panics(
        (a, b, c) in (arrays(), arrays(), arrays()),
        (i, j, k) in (ints(), ints(), ints()),
        (x, y) in (numbers(), numbers()),
        dims in prop::collection::vec(-3_isize..4, 0..3),
        sizes in prop::collection::vec(prop_oneof![0_usize..5, Just(usize::MAX), Just(1 << 62)], 0..4),
        (flag, dtype) in (any::<bool>(), dtypes()),
    ) {
        let (di, dj) = (i as isize, j as isize);
        let shape: Vec<isize> = sizes.iter().map(|&n| n as isize).collect();
        let place = Place { seed: i as u64, offset: j as u64 };
        // Results do not matter; each is a value or an error.
        let _ = (ops::add(&a, &b), ops::sub(&a, i), ops::mul(x, &b), ops::div(&a, &b));
        let _ = (ops::floor_divide(&a, &b), ops::remainder(&a, &b), ops::floor_divide(&a, i));
        let _ = (ops::pow(&a, &b), ops::pow(&a, i), ops::pow(x, &b), ops::pow(&a, flag));
        let _ = (ops::maximum(&a, &b), ops::minimum(&a, &b), ops::eq(&a, &b), ops::lt(&a, i), ops::ge(x, &b));
        let _ = (ops::logical_and(&a, &b), ops::logical_not(&a), ops::isnan(&a));
        let _ = (ops::where_(&a, &b, &c), ops::clamp(&a, Some((&b).into()), Some(x.into())), ops::clamp(&a, None, None));
        let _ = (ops::neg(&a), ops::abs(&a), ops::sign(&a), ops::square(&a), ops::exp(&a), ops::erf(&a));
        let _ = (ops::relu(&a), ops::gelu(&a, Approximate::None), ops::silu(&a), ops::leaky_relu(&a, x));
        let _ = (a.cast(dtype), a.contiguous(), a.to_bytes(), a.item(), a.get(&[i, j]), a.view::<f32>().map(|_| ()));
        let _ = (a.transpose(di, dj), a.t(), a.permute(&dims), a.expand(&shape), a.reshape(&shape), a.view_as(&shape));
        let _ = (a.flatten(di, dj), a.squeeze(di), a.squeeze_all(), a.unsqueeze(di), a.broadcast_to(&sizes));
        let _ = (a.slice(di, i, j, k), a.slice(0, i, j, k), a.narrow(0, i as usize, j as usize), a.select(0, i), a.size(di));
        let _ = (Array::full(&sizes, x, dtype), Array::arange(x, x + y % 99.0, 0.5, Some(dtype)));
        let _ = Array::from_bytes(dtype, &[1; 24], &sizes, &shape, i as usize);
        let _ = Array::from_strided(vec![1_u8; 9], &sizes, &dims, j as usize);
        // So many that they can be had, or so many that they cannot.
        let span = (j as f64 - i as f64) / k as f64;
        if !(1e5..1e15).contains(&span.abs()) {
            let _ = Array::arange(i, j, k, None);
        }
        let mut target = a.clone();
        let _ = (target.copy_from(&b), target.write(|x| x.select(0, i), &b), target.write(|_| Ok(b.clone()), &c));
        let _ = (target.as_mut_slice::<f32>().map(|s| s.len()), target.write(|x| x.t(), &b));
        let _ = (ops::sum(&a, &dims, flag), ops::mean(&a, &dims, flag), ops::prod(&a, &dims, flag));
        let _ = (ops::var(&a, &dims, x, flag), ops::amax(&a, &dims, flag), ops::argmin(&a, dims.first().copied(), flag));
        let _ = (ops::max_with_indices(&a, di, flag), ops::sum_to_shape(&a, &sizes), ops::sum_to_shape(&a, b.shape()));
        let _ = (ops::sum_backward(&a, b.shape(), &dims, flag), ops::sum_backward(&a, &sizes, &dims, flag));
        let _ = (ops::var_backward(&a, &b, &dims, x, flag), ops::amax_backward(&a, &b, &c, &dims, flag));
        let _ = (ops::prod_backward(&a, &b, &dims, flag), ops::std_backward(&a, &b, &c, &dims, x, flag));
        let _ = (ops::softmax(&a, di), ops::log_softmax(&a, -1), ops::softmax_backward(&a, &b, -1));
        let _ = (ops::matmul(&a, &b), ops::matmul_backward(&a, &b, &c), ops::addmm(&a, &b, &c, x, y));
        let act = Activation::Silu;
        let _ = (ops::linear(&a, &b, Some(&c), act), ops::linear(&a, &b, None, act), ops::linear_backward(&a, &b, &c));
        let _ = (ops::layer_norm(&a, &sizes, Some(&b), Some(&c), x), ops::layer_norm(&a, b.shape(), None, None, x));
        let _ = (ops::layer_norm_backward(&a, &b, c.shape(), None, x), ops::rms_norm(&a, b.shape(), None, None));
        let _ = (ops::gather(&a, di, &b), ops::gather(&a, -1, &b), ops::scatter_add(&a, -1, &b, &c));
        let _ = (ops::index_select(&a, -1, &b), ops::index_add(&a, -1, &b, &c, x), ops::gather_backward(&a, &sizes, 0, &b));
        let _ = (ops::embedding(&a, &b), ops::embedding_backward(&a, &b, 3, Some(i as usize)));
        let _ = (ops::slice_backward(&a, &sizes, di, i, j, k), ops::slice_backward(&a, b.shape(), 0, i, j, k));
        let _ = (ops::select_backward(&a, b.shape(), 0, i), ops::permute_backward(&a, &dims));
        let _ = (ops::cat(&[&a, &b, &c], di), ops::cat(&[&a, &b], -1), ops::cat(&[], 0), ops::stack(&[&a, &a], di));
        let _ = (ops::cat_backward(&a, &sizes, di), ops::cat_backward(&a, &sizes, 0), ops::stack_backward(&a, di));
        let options = CrossEntropy { label_smoothing: x, ignore_index: i, ..CrossEntropy::default() };
        let plain = CrossEntropy { weight: flag.then(|| c.clone()), ..CrossEntropy::default() };
        for options in [&options, &plain] {
            let _ = (ops::cross_entropy(&a, &b, options), ops::nll_loss(&a, &b, options));
            let _ = (ops::cross_entropy_backward(&c, &a, &b, options), ops::nll_loss_backward(&c, &a, &b, options));
        }
        let _ = (ops::mse_loss(&a, &b, Reduction::Mean), ops::mse_loss_backward(&a, &b, &c, Reduction::None));
        let _ = (random::uniform(&sizes, x, y, dtype, place), random::normal(b.shape(), x, y, dtype, place));
        let _ = (random::integers(&[3], i, j, place), random::bernoulli(&[2], x, place), random::dropout(&a, x, place));
        let _ = (random::dropout_backward(&a, &b, x), place.after(k as u64));
        let (mut p, mut m, mut v) = ([1.0_f32; 3], [0.0; 3], [0.0; 3]);
        let adam = Adam { lr: x, eps: y, ..Adam::default() };
        let _ = adam.step(&mut p, &[1.0; 3], &mut m, &mut v, None, k as u64);
        let _ = adam.step(&mut p, &[1.0; 2], &mut m, &mut v, None, 1);
        let sgd = Sgd { lr: x, momentum: y, nesterov: flag, ..Sgd::default() };
        let _ = (sgd.step(&mut p, &[1.0; 3], &mut m, 1), sgd.step(&mut p, &[1.0; 3], &mut [], k as u64));
    }

    /// Each element by index is the same before and after it is copied into C order; and results of
    /// views are those of their copies.
    #[test]
    fn order_of_memory_does_not_matter(a in arrays(), b in arrays()) {
        let flat = a.contiguous().expect("there is memory");
        prop_assert!(flat.is_contiguous() && flat.shape() == a.shape());
        let mut index = vec![0_i64; a.ndim()];
        for n in 0..a.numel() {
            let mut rest = n;
            for (d, &size) in a.shape().iter().enumerate().rev() {
                index[d] = (rest % size) as i64;
                rest /= size;
            }
            // As text, in which NaN equals NaN.
            let own = format!("{:?}", a.get(&index));
            prop_assert_eq!(&own, &format!("{:?}", flat.get(&index)));
        }
        let (x, y) = (flat, b.contiguous().expect("there is memory"));
        // Floats as numbers: which NaN it is, is not promised.
        let text = |r: ops::Result<Array>| {
            let own = |r: Array| match r.dtype().is_float() {
                true => r.cast(DType::F64)?.to_vec::<f64>().map(|v| format!("{v:?}")),
                false => r.to_bytes().map(|b| format!("{b:?}")),
            };
            r.and_then(own)
        };
        prop_assert_eq!(text(ops::add(&a, &b)), text(ops::add(&x, &y)));
        prop_assert_eq!(text(ops::matmul(&a, &b)), text(ops::matmul(&x, &y)));
        prop_assert_eq!(text(ops::sum(&a, &[0], false)), text(ops::sum(&x, &[0], false)));
        prop_assert_eq!(text(ops::sum(&a, &[-1], true)), text(ops::sum(&x, &[-1], true)));
        prop_assert_eq!(text(ops::argmax(&a, None, false)), text(ops::argmax(&x, None, false)));
        prop_assert_eq!(text(ops::softmax(&a, 0)), text(ops::softmax(&x, 0)));
        prop_assert_eq!(text(a.cast(DType::I16)), text(x.cast(DType::I16)));
    }

    /// Broadcasting, against each pair of elements by its index.
    #[test]
    fn broadcasting_pairs_elements(
        whole in prop::collection::vec(1_usize..4, 0..4), ones in 0_u32..256, drop in 0_usize..4,
    ) {
        let part = |bits: u32, drop: usize| -> Vec<usize> {
            let size = |(i, &n): (usize, &usize)| if bits >> i & 1 == 1 { 1 } else { n };
            whole.iter().enumerate().skip(drop).map(size).collect()
        };
        let count = |shape: &[usize]| shape.iter().product::<usize>() as i64;
        let (s, t) = (part(ones, 0), part(ones >> 4, drop));
        let filled = |shape: &[usize], factor: i64| {
            Array::from_vec((0..count(shape)).map(|n| n * factor).collect::<Vec<_>>(), shape)
        };
        let (a, b) = (filled(&s, 1)?, filled(&t, 1000)?);
        let sum = ops::add(&a, &b)?;
        let mut index = vec![0_usize; sum.ndim()];
        for n in 0..sum.numel() {
            let mut rest = n;
            for (d, &size) in sum.shape().iter().enumerate().rev() {
                index[d] = rest % size;
                rest /= size;
            }
            let of = |x: &Array| -> ops::Result<Scalar> {
                let missing = sum.ndim() - x.ndim();
                let own = index[missing..].iter().zip(x.shape());
                x.get(&own.map(|(&i, &n)| if n == 1 { 0 } else { i as i64 }).collect::<Vec<_>>())
            };
            let (Scalar::Int(x), Scalar::Int(y)) = (of(&a)?, of(&b)?) else { panic!("integers") };
            let all: Vec<i64> = index.iter().map(|&i| i as i64).collect();
            prop_assert_eq!(sum.get(&all)?, Scalar::Int(x + y));
        }
    }
}

#[test]
fn writing_is_not_seen_through_other_arrays() -> ops::Result<()> {
    let mut x = Array::arange(0, 6, 1, None)?;
    let view = x.slice(0, 1, 3, 1)?;
    x.as_mut_slice::<i64>()?[1] = 100;
    x.write(|x| x.slice(0, 2, 6, 2), &Array::scalar(-1_i32))?;
    assert_eq!(x.to_vec::<i64>()?, [0, 100, -1, 3, -1, 5]);
    assert_eq!(view.to_vec::<i64>()?, [1, 2]);
    // Alone, it is written in place.
    let before = x.as_slice::<i64>().map(<[i64]>::as_ptr);
    x.as_mut_slice::<i64>()?[0] = 7;
    assert_eq!(x.as_slice::<i64>().map(<[i64]>::as_ptr), before);
    Ok(())
}

#[test]
fn arrays_go_to_other_threads() -> ops::Result<()> {
    let x = Array::arange(0, 10, 1, None)?;
    let sums = std::thread::scope(|scope| {
        let part = |i: i64| ops::sum(&x.slice(0, i, i + 5, 1)?, &[], false)?.item();
        let threads: Vec<_> = (0..4).map(|i| scope.spawn(move || part(i))).collect();
        threads.into_iter().map(|t| t.join().expect("no panic")).collect::<ops::Result<Vec<_>>>()
    })?;
    assert_eq!(sums, [10, 15, 20, 25].map(Scalar::Int));
    Ok(())
}

#[test]
fn arrays_come_from_ndarray_and_go_there() -> ops::Result<()> {
    let matrix = ndarray::Array2::from_shape_fn((2, 3), |(i, j)| (10 * i + j) as f32);
    let x = Array::from(matrix.clone());
    assert_eq!(x.view::<f32>()?, matrix.clone().into_dyn());
    assert_eq!(x.t()?.view::<f32>()?, matrix.t().to_owned().into_dyn());
    assert_eq!(Array::from(matrix.reversed_axes()).to_vec::<f32>()?, x.t()?.to_vec::<f32>()?);
    Ok(())
}
