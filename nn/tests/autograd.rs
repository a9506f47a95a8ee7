//! The rules of gradients, which are PyTorch's.

use numpack_nn::{DType, Device, Error, NoGrad, Result, Tensor, is_grad_enabled, no_grad};

fn leaf(numbers: &[f32]) -> Result<Tensor> {
    Tensor::from_slice(numbers, &[numbers.len()])?.requires_grad_(true)
}

fn refused<T: std::fmt::Debug>(result: Result<T>, why: &str) {
    let e = result.unwrap_err();
    assert!(matches!(e, Error::Grad { .. }), "{e:?}");
    assert!(e.to_string().contains(why), "{e}");
}

/// The example of the documentation of tensors from NumPy: x², summed, is 2x.
#[test]
fn squares() -> Result<()> {
    let x = leaf(&[1.0, 2.0, 3.0])?;
    x.pow(2)?.sum()?.backward()?;
    assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [2.0, 4.0, 6.0]);
    Ok(())
}

#[test]
fn gradients_add_up_until_they_are_cleared() -> Result<()> {
    let x = leaf(&[1.0, 2.0])?;
    for times in 1..4 {
        x.mul(3.0)?.sum()?.backward()?;
        assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [3.0 * times as f32; 2]);
    }
    x.zero_grad();
    assert!(x.grad().is_none());
    // What comes back on several ways is added too.
    let y = x.mul(2.0)?;
    y.mul(&y)?.add(&y)?.add(&x)?.sum()?.backward()?;
    // 4x² + 2x + x: 8x + 3.
    assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [11.0, 19.0]);
    Ok(())
}

#[test]
fn what_is_computed_under_no_grad_wants_none() -> Result<()> {
    let x = leaf(&[1.0])?;
    assert!(is_grad_enabled() && x.mul(2.0)?.requires_grad());
    {
        let _outer = NoGrad::new();
        no_grad(|| assert!(!is_grad_enabled()));
        assert!(!is_grad_enabled());
        assert!(!x.mul(2.0)?.requires_grad());
        // Each thread for itself.
        std::thread::scope(|s| s.spawn(|| assert!(is_grad_enabled())).join().unwrap());
    }
    assert!(is_grad_enabled());
    let detached = x.mul(2.0)?.detach();
    assert!(!detached.requires_grad() && detached.is_leaf());
    // Neither do indices and truth values.
    assert!(!x.gt(0.0)?.requires_grad() && !x.argmax(None, false)?.requires_grad());
    Ok(())
}

#[test]
fn leaves_and_roots() -> Result<()> {
    let whole = Tensor::from_slice(&[1_i64, 2], &[2])?;
    refused(whole.clone().requires_grad_(true), "int64 has no gradient");
    whole.requires_grad_(false)?;
    let x = leaf(&[1.0, 2.0])?;
    let y = x.mul(2.0)?;
    assert!(!y.is_leaf() && y.requires_grad());
    refused(y.clone().requires_grad_(false), "not a leaf");
    refused(y.backward(), "no single number");
    refused(x.detach().sum()?.backward(), "nothing that this tensor was computed of");
    let wrong = Tensor::ones(&[3], DType::F32, &Device::Cpu)?;
    refused(y.backward_with(Some(&wrong), false), "a gradient of float32 [3]");
    assert!(x.grad().is_none());
    y.backward_with(Some(&Tensor::from_slice(&[1.0_f32, 10.0], &[2])?), false)?;
    assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [2.0, 20.0]);
    // A leaf by itself.
    let one = leaf(&[5.0])?;
    one.backward()?;
    assert_eq!(one.grad().unwrap().to_vec::<f32>()?, [1.0]);
    refused(one.set_grad(Some(&wrong)), "a gradient of float32 [3]");
    Ok(())
}

#[test]
fn a_way_back_is_gone_but_once() -> Result<()> {
    let x = leaf(&[3.0])?;
    let y = x.square()?.sum()?;
    y.backward_with(None, true)?;
    y.backward()?;
    assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [12.0]);
    refused(y.backward(), "freed by an earlier backward");
    // The failed one left no trace.
    assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [12.0]);
    // Nor does one that fails half-way: the other branch is whole.
    let shared = x.square()?;
    shared.sum()?.backward()?;
    let z = shared.sum()?.add(&x.mul(5.0)?.sum()?)?;
    refused(z.backward(), "freed");
    assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [18.0]);
    Ok(())
}

#[test]
fn changes_in_place_are_noticed() -> Result<()> {
    let x = leaf(&[1.0, 2.0])?;
    let other = Tensor::from_slice(&[5.0_f32, 6.0], &[2])?;
    refused(x.copy_(&other), "a leaf that wants a gradient");
    refused(x.mul(2.0)?.fill_(0.0), "a computed tensor");
    // A tensor that the gradient needs.
    let w = Tensor::from_slice(&[3.0_f32, 4.0], &[2])?;
    let y = x.mul(&w)?.sum()?;
    w.fill_(0.0)?;
    refused(y.backward(), "changed in place since");
    assert!(x.grad().is_none());
    // One that it does not need.
    let y = x.add(&w)?.sum()?;
    w.fill_(9.0)?;
    y.backward()?;
    assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [1.0, 1.0]);
    // A result, changed through a detached tensor of the same memory.
    let y = x.exp()?;
    y.detach().fill_(0.0)?;
    refused(y.sum()?.backward(), "exp");
    // As an optimiser does it.
    no_grad(|| x.copy_(&other))?;
    assert_eq!(x.to_vec::<f32>()?, [5.0, 6.0]);
    refused(x.mul(1.0)?.set_data(&other), "computed");
    x.set_data(&Tensor::from_slice(&[7.0_f32; 3], &[3])?)?;
    assert_eq!((x.shape(), x.grad().is_none(), x.requires_grad()), (vec![3], true, true));
    Ok(())
}

#[test]
fn types_and_shapes_of_gradients_are_those_of_the_leaves() -> Result<()> {
    let a = Tensor::ones(&[2, 3], DType::F16, &Device::Cpu)?.requires_grad_(true)?;
    let b = Tensor::ones(&[3], DType::F64, &Device::Cpu)?.requires_grad_(true)?;
    let whole = Tensor::from_slice(&[1_i64, 2, 3], &[3])?;
    let y = a.mul(&b)?.mul(&whole)?.sum()?;
    assert_eq!(y.dtype(), DType::F64);
    y.backward()?;
    let (a, b) = (a.grad().unwrap(), b.grad().unwrap());
    assert_eq!((a.dtype(), a.shape()), (DType::F16, vec![2, 3]));
    assert_eq!(b.to_vec::<f64>()?, [2.0, 4.0, 6.0]);
    Ok(())
}

#[test]
fn threads_add_to_one_leaf() -> Result<()> {
    let x = leaf(&[0.0; 64])?;
    std::thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                for _ in 0..500 {
                    x.mul(1.0).unwrap().sum().unwrap().backward().unwrap();
                }
            });
        }
    });
    assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [2000.0; 64]);
    Ok(())
}

/// On the smallest stack that a thread gets.
#[test]
fn a_million_nodes_go_without_recursion() {
    let run = || -> Result<()> {
        let x = leaf(&[1.0])?;
        let mut y = x.clone();
        for _ in 0..1_000_000 {
            y = y.add(0.0)?;
        }
        drop(y);
        let mut y = x.clone();
        for _ in 0..1_000_000 {
            y = y.add(0.0)?;
        }
        y.sum()?.backward()?;
        assert_eq!(x.grad().unwrap().to_vec::<f32>()?, [1.0]);
        Ok(())
    };
    std::thread::scope(|s| {
        let small = std::thread::Builder::new().stack_size(64 << 10);
        small.spawn_scoped(s, run).unwrap().join().unwrap().unwrap();
    });
}
