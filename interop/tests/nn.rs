//! States of modules through files, and tensors to and from those that compute.
#![cfg(feature = "nn")]

use numpack_interop::dtype::DType;
use numpack_interop::nn::{from_nn, load_optimizer, load_state, save_state, save_training, to_nn};
use numpack_interop::{Error, Tensor, Tensors};
use numpack_nn::optim::{Adam, AdamOptions, Optimizer};
use numpack_nn::{
    DType as NnType, Device, Linear, Module, ModuleExt, ReLU, Sequential, Tensor as NnTensor,
};

#[test]
fn tensors_keep_type_shape_order_and_wish() {
    let t = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]).unwrap();
    let mut turned = t.t().unwrap();
    turned.set_requires_grad(true).unwrap();
    let there = to_nn(&turned).unwrap();
    assert!(there.requires_grad() && there.is_leaf());
    assert_eq!(there.to_vec::<f32>().unwrap(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    let back = from_nn(&there.t().unwrap()).unwrap();
    assert_eq!((back.shape(), back.requires_grad()), (&[2, 3][..], true));
    assert_eq!(back.to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    for dtype in NnType::ALL {
        let ones = NnTensor::ones(&[2, 0, 1], dtype, &Device::Cpu).unwrap();
        let t = from_nn(&ones).unwrap();
        assert_eq!((t.dtype().name(), t.shape()), (dtype.name(), &[2, 0, 1][..]));
        assert_eq!(to_nn(&t).unwrap().dtype(), dtype);
    }
    let complex = Tensor::zeros(&[1], DType::COMPLEX64).unwrap();
    let e = to_nn(&complex).unwrap_err();
    assert!(matches!(e, Error::Type { .. }), "{e}");
}

#[test]
fn states_go_through_files() {
    let folder = tempfile::tempdir().unwrap();
    let model = || {
        Sequential::new()
            .add(Linear::new(4, 3, true).unwrap())
            .add(ReLU)
            .add(Linear::new(3, 2, false).unwrap())
    };
    let (first, second) = (model(), model());
    let x = NnTensor::rand(&[5, 4], NnType::F32, &Device::Cpu).unwrap();
    let out = |m: &Sequential| m.forward(&x).unwrap().to_vec::<f32>().unwrap();
    for name in ["m.pt", "m.npk"] {
        let path = folder.path().join(name);
        save_state(&path, &first.state_dict(), false).unwrap();
        let e = save_state(&path, &first.state_dict(), false).unwrap_err();
        assert!(e.to_string().contains("already"), "{e}");
        second.zero_grad();
        second.load_state_dict(&model().state_dict(), true).unwrap();
        assert_ne!(out(&first), out(&second));
        second.load_state_dict(&load_state(&path, None).unwrap(), true).unwrap();
        assert_eq!(out(&first), out(&second));
        save_state(&path, &second.state_dict(), true).unwrap();
        assert_eq!(Tensors::open(&path).unwrap().list().unwrap().len(), 3);
        // The part of it below a name.
        let part = load_state(&path, Some("0")).unwrap();
        assert_eq!(part.iter().map(|(n, _)| &n[..]).collect::<Vec<_>>(), ["weight", "bias"]);
        let e = load_state(&path, Some("7")).unwrap_err().to_string();
        assert!(e.contains("begins with \"7\""), "{e}");
    }
    let e = save_state(folder.path().join("m.txt"), &first.state_dict(), false).unwrap_err();
    assert!(e.to_string().contains("choose such a name"), "{e}");
}

#[test]
fn what_optimisers_keep_goes_through_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("training.pt");
    let model = Linear::new(3, 1, true).unwrap();
    let options = AdamOptions { amsgrad: true, ..AdamOptions::adamw() };
    let mut adam = Adam::new(model.parameters(), options);
    let save = |adam: &Adam| save_training(&path, &model.state_dict(), adam, true).unwrap();
    // One that has kept nothing is told from one that is not there.
    save(&adam);
    assert!(load_optimizer(&path, Some("optimizer")).unwrap().is_empty());
    for wrong in [None, Some("optim"), Some("model")] {
        let e = load_optimizer(&path, wrong).unwrap_err().to_string();
        assert!(e.contains("training.pt"), "{e}");
    }
    let x = NnTensor::rand(&[4, 3], NnType::F32, &Device::Cpu).unwrap();
    let step = |adam: &mut Adam| {
        model.zero_grad();
        model.forward(&x).unwrap().square().unwrap().sum().unwrap().backward().unwrap();
        adam.step().unwrap();
    };
    step(&mut adam);
    step(&mut adam);
    save(&adam);
    let kept = load_optimizer(&path, Some("optimizer")).unwrap();
    let names: Vec<(usize, &str)> = kept.iter().map(|(i, name, _)| (*i, &name[..])).collect();
    assert_eq!(names.len(), 8);
    assert!(names.contains(&(1, "max_exp_avg_sq")) && names.contains(&(0, "step")));
    let before = model.state_dict();
    let before: Vec<_> = before.iter().map(|(n, t)| (n.clone(), t.copied().unwrap())).collect();
    let mut other = Adam::new(model.parameters(), options);
    other.load_state_dict(&kept).unwrap();
    let mut results = Vec::new();
    for adam in [&mut adam, &mut other] {
        model.load_state_dict(&before, true).unwrap();
        step(adam);
        results.push(model.weight.to_vec::<f32>().unwrap());
    }
    assert_eq!(results[0], results[1]);
}
