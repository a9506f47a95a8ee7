//! Tensors in memory and tensors in files, there and back.

use half::bf16;
use numpack_interop::{
    Error, Existing, Object, ScanOptions, Storage, Tensor, Tensors, dtype::DType, from_memory,
    from_torch, save_tensors, scan, scanned::WeightsOnly,
};
use torch_pickle::{Dict, Global, Node, WriteOptions};

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
        // Of these torch has no typed storages.
        ("shorts", Tensor::from_slice(&[1_u16, 65_535], &[2]).unwrap()),
        ("longs", Tensor::from_slice(&[u64::MAX], &[1, 1]).unwrap()),
        ("eights", apart.to_dtype(DType::FLOAT8_E4M3FN).unwrap().narrow(0, 3, 4).unwrap()),
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

/// Each kind of value, two names of one list, a state dict with metadata, a parameter and its view.
#[test]
fn an_object_keeps_every_value_and_what_is_shared() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("o.pt");
    let mut object = Object::new();
    let mut weight = Tensor::from_slice(&[1.0_f32, 2.0, 3.0, 4.0], &[2, 2]).unwrap();
    weight.set_requires_grad(true).unwrap();
    let row = object.tensor(&weight.select(0, 1).unwrap().detach(), false).unwrap();
    let weight = object.tensor(&weight, true).unwrap();
    let plain = [
        Node::None,
        Node::Bool(true),
        Node::Int(-5),
        Node::integer(&[0, 0, 0, 0, 0, 0, 0, 0, 1]),
        Node::Float(0.1),
        Node::Str("π".into()),
        Node::string(&[0xED, 0xA0, 0x80]).unwrap(),
        Node::Bytes([0, 255].into()),
        Node::ByteArray([1].into()),
        Node::Global(Box::new(Global::new("torch", "float32"))),
    ];
    let ids: Vec<_> = plain.iter().map(|node| object.add(node.clone()).unwrap()).collect();
    let list = object.add(Node::List(ids.clone())).unwrap();
    let tuple = object.add(Node::Tuple(vec![list, list])).unwrap();
    let set = object.add(Node::Set(vec![ids[2], ids[4]])).unwrap();
    let version = object.add(Node::Int(1)).unwrap();
    let version = object.dict(&[("version", version)]).unwrap();
    let metadata = object.dict(&[("", version)]).unwrap();
    let attributes = object.dict(&[("_metadata", metadata)]).unwrap();
    let name = object.text("weight").unwrap();
    let state = Dict { ordered: true, items: vec![(name, weight)], attributes: Some(attributes) };
    let state = object.add(Node::Dict(state)).unwrap();
    let all = [("model", state), ("row", row), ("tuple", tuple), ("set", set)];
    let root = object.dict(&all).unwrap();
    object.save(root, &path, &WriteOptions::new()).unwrap();

    let said = scan(&path, &ScanOptions::new()).unwrap();
    assert_eq!(said.weights_only, WeightsOnly::Accepts);
    let file = Tensors::open(&path).unwrap();
    let (model, shown) = (file.find("model.weight").unwrap(), file.find("row").unwrap());
    assert_eq!(model.storage, shown.storage);
    assert!(model.parameter && model.requires_grad && !shown.parameter && !shown.requires_grad);
    assert_eq!(file.load(&shown).unwrap().to_vec::<f32>().unwrap(), [3.0, 4.0]);
    let tree = file.tree();
    let found = |path: &str| tree.node(tree.find(path).unwrap());
    let Node::Tuple(parts) = found("tuple") else { panic!() };
    assert_eq!(parts[0], parts[1]);
    let Node::List(read) = tree.node(parts[0]) else { panic!() };
    assert_eq!(read.iter().map(|&id| tree.node(id).clone()).collect::<Vec<_>>(), plain);
    assert!(matches!(found("set"), Node::Set(members) if members.len() == 2));
    let Node::Dict(state) = found("model") else { panic!() };
    let Node::Dict(read) = tree.node(state.attributes.unwrap()) else { panic!() };
    assert_eq!(tree.node(read.items[0].0), &Node::Str("_metadata".into()));
    assert!(state.ordered);
    assert!(matches!(found("row"), Node::Tensor(_)));
}

#[test]
fn an_object_has_no_parts_that_are_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("o.pt");
    let mut object = Object::new();
    let one = object.add(Node::Int(1)).unwrap();
    let other = torch_pickle::NodeId::new(7);
    let dict = |items, ordered, attributes| Node::Dict(Dict { ordered, items, attributes });
    let refused = [
        Node::List(vec![one, other]),
        dict(vec![(one, other)], false, None),
        dict(vec![(other, one)], false, None),
        dict(vec![], true, Some(other)),
        dict(vec![], true, Some(one)),
        Node::Tensor(torch_pickle::TensorId(0)),
    ];
    for node in refused {
        assert!(matches!(object.add(node.clone()), Err(Error::Parameter(_))), "{node:?}");
    }
    let inner = object.dict(&[]).unwrap();
    assert!(object.add(dict(vec![], false, Some(inner))).is_err());
    assert!(object.save(other, &path, &WriteOptions::new()).is_err());
    let key = object.add(Node::List(vec![one])).unwrap();
    let root = object.add(dict(vec![(key, one)], false, None)).unwrap();
    assert!(object.save(root, &path, &WriteOptions::new()).is_err());
    assert!(!path.exists());
}
