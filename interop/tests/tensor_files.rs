//! Tensors in memory and tensors in files, there and back.

use half::bf16;
use numpack_interop::{
    Existing, Storage, Tensor, Tensors, dtype::DType, from_memory, from_torch, save_tensors,
};
use torch_pickle::WriteOptions;

/// A base and views of it, a type that stores lack, no elements, one element, lent memory.
fn tensors() -> Vec<(&'static str, Tensor)> {
    let base = Tensor::from_slice(&(0..12).map(|i| i as f32).collect::<Vec<_>>(), &[3, 4]).unwrap();
    let mut parameter = Tensor::from_slice(&[1.5_f64, -2.5], &[2]).unwrap();
    parameter.set_requires_grad(true).unwrap();
    let brain = Tensor::from_slice(&[bf16::from_f32(1.0), bf16::from_f32(-3.0)], &[2, 1]).unwrap();
    let lent = Storage::from_owner(vec![9_u8, 8, 7, 6, 5, 4]);
    let apart = Tensor::from_slice(&(0..10).collect::<Vec<i64>>(), &[10]).unwrap();
    vec![
        ("turned", base.t().unwrap()),
        ("row", base.select(0, 1).unwrap()),
        ("part", base.narrow(1, 1, 2).unwrap()),
        ("parameter", parameter),
        ("brain", brain),
        ("none", Tensor::zeros(&[3, 0, 2], DType::INT16).unwrap()),
        ("one", Tensor::full(&[], 7, DType::UINT8).unwrap()),
        ("lent", Tensor::new(lent, DType::UINT8, &[2, 2], &[3, 1], 1).unwrap()),
        ("odd", apart.slice(0, Some(3), None, 2).unwrap()),
        ("flags", Tensor::from_slice(&[true, false], &[2]).unwrap()),
    ]
}

fn agree(path: &std::path::Path, tensors: &[(&str, Tensor)]) {
    let file = Tensors::open(path).unwrap();
    let mut list = file.list().unwrap();
    list.sort_by_key(|info| tensors.iter().position(|(name, _)| info.name == *name));
    assert_eq!(list.len(), tensors.len());
    for (info, (name, tensor)) in list.iter().zip(tensors) {
        assert_eq!(info.name, *name);
        let loaded = file.load(info).unwrap();
        assert_eq!((loaded.dtype(), loaded.shape()), (tensor.dtype(), tensor.shape()), "{name}");
        assert_eq!(loaded.requires_grad(), tensor.requires_grad(), "{name}");
        assert!(loaded.is_contiguous() && !loaded.is_read_only());
        let bytes = |t: &Tensor| {
            let mut bytes = vec![0; t.nbytes()];
            t.read_into(&mut bytes).unwrap();
            bytes
        };
        assert_eq!(bytes(&loaded), bytes(tensor), "{name}");
        // SAFETY: nobody changes the file.
        let mapped = unsafe { file.map(info) }.unwrap();
        assert_eq!(bytes(&mapped), bytes(tensor), "{name}");
        assert!(mapped.is_read_only() || mapped.numel() == 0);
        let given = loaded.numel() > 0 && tensor.dtype() != DType::BOOL;
        if given {
            loaded.fill(1).unwrap();
            assert_eq!(bytes(&mapped), bytes(tensor), "the file is not the loaded tensor's memory");
        }
    }
    let storage = |name: &str| list.iter().find(|info| info.name == name).unwrap().storage;
    assert_eq!(storage("turned"), storage("row"));
    assert_eq!(storage("turned"), storage("part"));
    assert_ne!(storage("turned"), storage("odd"));
}

fn borrowed<'a>(tensors: &'a [(&'a str, Tensor)]) -> Vec<(&'a str, &'a Tensor)> {
    tensors.iter().map(|(name, t)| (*name, t)).collect()
}

#[test]
fn a_checkpoint_keeps_values_sharing_and_gradients() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.pt");
    let tensors = tensors();
    save_tensors(&path, &borrowed(&tensors), &WriteOptions::new()).unwrap();
    agree(&path, &tensors);
    // What is shared lies there once: only what any of the three shows.
    let file = Tensors::open(&path).unwrap();
    assert_eq!(file.find("row").unwrap().storage_nbytes, 48);
    assert_eq!(file.find("odd").unwrap().storage_nbytes, 32);

    let twice = [("a", &tensors[0].1), ("a", &tensors[1].1)];
    let said = save_tensors(dir.path().join("u.pt"), &twice, &WriteOptions::new()).unwrap_err();
    assert_eq!(said.to_string(), "two of the tensors have the same name");
    let writing = tensors[4].1.elements_mut::<bf16>().unwrap();
    assert!(
        save_tensors(dir.path().join("u.pt"), &borrowed(&tensors), &WriteOptions::new()).is_err()
    );
    drop(writing);
    assert!(!dir.path().join("u.pt").exists());
}

#[test]
fn a_store_keeps_them_too_and_takes_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.npk");
    let tensors = tensors();
    let report = from_torch(&borrowed(&tensors), &path, Existing::Refuse).unwrap();
    assert_eq!(report.warnings, [""; 0]);
    agree(&path, &tensors);
    assert!(from_torch(&borrowed(&tensors), &path, Existing::Refuse).is_err());

    let more = Tensor::from_slice(&[5_i32, 6], &[2]).unwrap();
    from_torch(&[("row", &more), ("new", &more)], &path, Existing::Merge).unwrap();
    let file = Tensors::open(&path).unwrap();
    for name in ["row", "new"] {
        let loaded = file.load(&file.find(name).unwrap()).unwrap();
        assert_eq!(loaded.to_vec::<i32>().unwrap(), [5, 6]);
    }
    let turned = file.load(&file.find("turned").unwrap()).unwrap();
    assert_eq!(turned.to_vec::<f32>().unwrap(), tensors[0].1.to_vec::<f32>().unwrap());
    assert_eq!(numpack_format::Store::verify(&path).unwrap(), []);
}

#[test]
fn backwards_memory_is_turned_around() {
    let dir = tempfile::tempdir().unwrap();
    let data: Vec<i16> = vec![1, 2, 3];
    let memory = numpack_interop::Memory {
        data: data.as_ptr().cast_mut().cast(),
        nbytes: 6,
        read_only: true,
        dtype: DType::INT16,
        shape: &[3],
        strides: Some(&[-2]),
        offset: 4,
    };
    // SAFETY: the closure keeps the memory, which is never written to.
    let t = unsafe { from_memory(&memory, move || drop(data)) }.unwrap();
    for (name, path) in [("a", dir.path().join("t.pt")), ("b", dir.path().join("t.npk"))] {
        match name {
            "a" => save_tensors(&path, &[(name, &t)], &WriteOptions::new()).unwrap(),
            _ => drop(from_torch(&[(name, &t)], &path, Existing::Merge).unwrap()),
        }
        let file = Tensors::open(&path).unwrap();
        let loaded = file.load(&file.find(name).unwrap()).unwrap();
        assert_eq!(loaded.to_vec::<i16>().unwrap(), [3, 2, 1]);
    }
}
