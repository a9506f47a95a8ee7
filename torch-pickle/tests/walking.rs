//! Names of tensors, the kinds of objects, and comparing trees.

mod common;

use common::{Pickle, SMALL, checkpoint, open};
use torch_pickle::{Checkpoint, Construct, Error, Kind, Node, TensorNames};

fn load(p: Pickle) -> Checkpoint {
    open(&checkpoint(&p.end(), &[("0", &[1; 6])])).unwrap()
}

fn names(c: &Checkpoint) -> Vec<String> {
    c.tree().named_tensors(1000).unwrap().into_iter().map(|(n, _)| n).collect()
}

#[test]
fn keys_of_every_kind_are_named_as_python_writes_them() {
    let p = Pickle::new().tensor(&SMALL).op(b"q\xFF0}(");
    let keyed = |p: Pickle, key: &[u8]| p.op(key).op(b"h\xFF");
    let p = keyed(p, b"K\x03");
    let p = keyed(p, b"N");
    let p = keyed(p, b"\x89");
    let p = keyed(p, b"G\x3F\xF8\0\0\0\0\0\0");
    let p = keyed(p, b"K\x01K\x02\x86");
    let p = keyed(p, b"K\x04\x85");
    let p = keyed(p, b"C\x02ab");
    let p = keyed(p, b"ctorch\nfloat32\n");
    let p = p.str("a.b").op(b"](").op(b"h\xFFK\x01h\xFF\x86e");
    let opened = load(p.op(b"u"));
    assert_eq!(
        names(&opened),
        [
            "3",
            "None",
            "False",
            "1.5",
            "(1, 2)",
            "(4,)",
            "b'ab'",
            "torch.float32",
            "a.b.0",
            "a.b.1.1"
        ]
    );
    let tree = opened.tree();
    assert_eq!(tree.first_names().len(), 1);
    assert!(matches!(tree.node(tree.find("a.b.1.0").unwrap()), Node::Int(1)));
}

#[test]
fn names_from_many_roots() {
    // Ten thousand objects, each with a tensor of its own, in as many nodes.
    let p = Pickle::new().op(b"](");
    let each = |p: Pickle, _| p.global("m", "C").op(b"(").tensor(&SMALL).op(b"N\x85tR");
    let opened = load((0..10_000).fold(p, each).op(b"e"));
    let tree = opened.tree();
    let Node::List(objects) = tree.node(tree.root().unwrap()) else { panic!() };
    let mut names = TensorNames::of(tree);
    for _ in 0..2 {
        for &object in objects {
            let found = names.first_names(object);
            let Node::Object(parts) = tree.node(object) else { panic!() };
            let Node::Tuple(args) = tree.node(parts.args) else { panic!() };
            assert_eq!(found, [("0".to_owned(), args[0])]);
            assert!(names.any_below(object) && !names.any_below(args[1]));
        }
    }
    assert_eq!(names.first_names(tree.root().unwrap()).len(), 10_000);
}

#[test]
fn long_integers_in_keys_are_cut() {
    let mut long = vec![0x8A, 40];
    long.extend([0x11; 40]);
    let p = Pickle::new().op(b"}(").op(&long).tensor(&SMALL).op(b"K\x01").op(&long).op(b"\x86");
    let opened = load(p.op(b"Nu"));
    let name = format!("int(0x{}…)", "11".repeat(16));
    assert_eq!(names(&opened).concat(), name);
    let found = opened.tree().find(&name).unwrap();
    assert!(matches!(opened.tree().node(found), Node::Tensor(_)));
    assert!(opened.tree().find(&format!("(1, {name})")).is_ok());
}

#[test]
fn ambiguous_and_missing_paths_are_errors() {
    let p = Pickle::new().op(b"}(K\x01N").str("1").op(b"K\x07");
    let p = p.str("a.b").op(b"K\x05").str("a").op(b"}").str("b").op(b"K\x06s");
    let opened = load(p.op(b"u"));
    let tree = opened.tree();
    let e = tree.find("1").unwrap_err();
    assert!(matches!(e, Error::Parameter { .. }));
    assert!(e.to_string().contains("integer \"1\" and string \"1\""), "{e}");
    assert!(matches!(tree.node(tree.find("a.b").unwrap()), Node::Int(5)));
    let e = tree.find("a.c").unwrap_err().to_string();
    assert!(e.contains("nothing is named \"a.c\""), "{e}");
}

/// A module with a parameter, a shown and a hidden buffer, and a submodule that is `None`.
fn module(p: Pickle, inner: bool) -> Pickle {
    let p = p.global("net", "Layer").op(b")\x81}(").str("_parameters").op(b"}(");
    let p = p.str("weight").tensor(&SMALL).str("bias").op(b"Nu");
    let p = p.str("_buffers").op(b"}(").str("mean").tensor(&SMALL).str("tmp").tensor(&SMALL);
    let p = p.op(b"u").str("_non_persistent_buffers_set").global("__builtin__", "set");
    let p = p.op(b"]").str("tmp").op(b"a\x85R").str("other").tensor(&SMALL);
    let p = p.str("_modules").op(b"}(").str("gone").op(b"N");
    let p = if inner { module(p.str("sub"), false) } else { p };
    p.op(b"uub")
}

#[test]
fn a_module_names_its_state_dict() {
    let opened = load(module(Pickle::new(), true));
    assert_eq!(names(&opened), ["weight", "mean", "sub.weight", "sub.mean"]);
    let tree = opened.tree();
    let Kind::Module(Some(class)) = tree.kind_of(tree.root().unwrap()) else { panic!() };
    assert!(class.is("net", "Layer"));
}

#[test]
fn sparse_tensors_name_their_parts() {
    let p = Pickle::new().op(b"}").str("s").global("torch._utils", "_rebuild_sparse_tensor");
    let p = p.op(b"(").global("torch.serialization", "_get_layout").str("torch.sparse_csr");
    let p = p.op(b"\x85R(").tensor(&SMALL).tensor(&SMALL).tensor(&SMALL).tuple_of(&[2, 3]);
    let opened = load(p.op(b"ttRs"));
    assert_eq!(names(&opened), ["s.crow_indices", "s.col_indices", "s.values"]);
    let tree = opened.tree();
    let Kind::Sparse(sparse) = tree.kind_of(tree.find("s").unwrap()) else { panic!() };
    assert_eq!(sparse.layout, "sparse_csr");
}

#[test]
fn objects_of_numpy_and_torch() {
    let dtype = |p: Pickle| {
        let p = p.global("numpy", "dtype").str("f4").op(b"\x89\x88\x87R(K\x03").str("<");
        p.op(b"NNNJ\xFF\xFF\xFF\xFFJ\xFF\xFF\xFF\xFFK\0tb")
    };
    let p = Pickle::new().op(b"(").global("numpy._core.multiarray", "_reconstruct");
    let p = p.global("numpy", "ndarray").op(b"K\0\x85C\x01b\x87R(K\x01K\x01K\x02\x86");
    let p = dtype(p).op(b"\x89C\x08abcdefghtb");
    let p = dtype(p.global("numpy.core.multiarray", "scalar")).op(b"C\x04wxyz\x86R");
    let p = p.global("torch", "Size").op(b"K\x02K\x03\x86\x85R");
    let p = p.global("torch", "device").str("cuda").op(b"K\x01\x86R");
    let p = p.global("torch._utils", "_rebuild_device_tensor_from_numpy").op(b"(NNNNtR");
    let opened = load(p.op(b"t"));
    let tree = opened.tree();
    let Node::Tuple(items) = tree.node(tree.root().unwrap()) else { panic!() };
    let Kind::NdArray(array) = tree.kind_of(items[0]) else { panic!() };
    assert_eq!(
        (array.shape, array.fortran, array.data),
        (vec![1, 2], false, Some(&b"abcdefgh"[..]))
    );
    assert_eq!(array.dtype.unwrap().name, "<f4");
    let Kind::NumpyScalar(scalar) = tree.kind_of(items[1]) else { panic!() };
    assert_eq!((scalar.dtype.unwrap().name.as_str(), scalar.data), ("<f4", Some(&b"wxyz"[..])));
    assert_eq!(tree.kind_of(items[2]), Kind::Size(vec![2, 3]));
    assert_eq!(tree.kind_of(items[3]), Kind::TorchDevice("cuda:1".into()));
    assert!(tree.tensors().is_empty());
}

#[test]
fn tensors_inside_unknown_objects_are_found() {
    // A deque-like object: arguments, state, appended and set items.
    let p = Pickle::new().global("m", "Thing").op(b"(").tensor(&SMALL).op(b"tR(");
    let p = p.tensor(&SMALL).op(b"e(").str("k").tensor(&SMALL).op(b"u}");
    let opened = load(p.str("attr").tensor(&SMALL).op(b"sb"));
    assert_eq!(names(&opened), ["0", "attr", "0", "k"]);
    let tree = opened.tree();
    let Node::Object(object) = tree.node(tree.root().unwrap()) else { panic!() };
    assert_eq!(object.construct, Construct::Call);
    assert_eq!((object.appended.len(), object.items.len()), (1, 1));
    // Two dicts of state are attributes and slots.
    let p = Pickle::new().global("m", "Slots").op(b")\x81N}").str("x").tensor(&SMALL);
    assert_eq!(names(&load(p.op(b"s\x86b"))), ["x"]);
}

#[test]
fn a_subclass_is_no_dense_tensor_and_a_parameter_of_its_own_is_a_copy() {
    let rebuild = |class: (&str, &str)| {
        let p = Pickle::new().global("torch._tensor", "_rebuild_from_type_v2").op(b"(");
        let p = p.global("torch._utils", "_rebuild_tensor_v2").global(class.0, class.1).op(b"(");
        let p = p.storage("ByteStorage", "0", 6).int(0).tuple_of(&[6]).tuple_of(&[1]).op(b"\x89N");
        load(p.op(b"t}").str("note").op(b"K\x01stR"))
    };
    let own = rebuild(("torch.nn.parameter", "Parameter"));
    assert_eq!(names(&own), [""]);
    assert!(own.tree().tensors()[0].state.is_some());
    let other = rebuild(("m", "Sub"));
    assert!(other.tree().tensors().is_empty());
    let root = other.tree().root().unwrap();
    assert!(matches!(other.tree().kind_of(root), Kind::Subclass(Some(g)) if g.is("m", "Sub")));

    // The tensor is used again after it became a parameter.
    let p = Pickle::new()
        .op(b"(")
        .tensor(&SMALL)
        .op(b"q\x00")
        .global("torch._utils", "_rebuild_parameter");
    let shared = load(p.op(b"(h\x00\x88NtRh\x00t"));
    let tensors = shared.tree().named_tensors(10).unwrap();
    assert_eq!(tensors[0].1, tensors[2].1);
    assert_ne!(tensors[0].1, tensors[1].1);
}

#[test]
fn comparing_sees_values_order_and_sharing() {
    let two = |same: bool| {
        let p = Pickle::new().op(b"(]q\x00");
        load(if same { p.op(b"h\x00t") } else { p.op(b"]t") })
    };
    assert!(two(true).tree().same_as(two(true).tree()));
    assert!(!two(true).tree().same_as(two(false).tree()));
    assert!(!two(false).tree().same_as(two(true).tree()));
    // Whether equal tuples are one object cannot be seen.
    let tuples = |same: bool| {
        let p = Pickle::new().op(b"(K\x01\x85q\x00");
        load(if same { p.op(b"h\x00t") } else { p.op(b"K\x01\x85t") })
    };
    assert!(tuples(true).tree().same_as(tuples(false).tree()));
    let dict = |keys: [&str; 2]| {
        load(Pickle::new().op(b"}(").str(keys[0]).op(b"N").str(keys[1]).op(b"Nu"))
    };
    assert!(dict(["a", "b"]).tree().same_as(dict(["a", "b"]).tree()));
    assert!(!dict(["a", "b"]).tree().same_as(dict(["b", "a"]).tree()));
    let float = |f: f64| load(Pickle::new().op(b"G").op(&f.to_be_bytes()));
    assert!(float(f64::NAN).tree().same_as(float(f64::NAN).tree()));
    assert!(!float(0.0).tree().same_as(float(-0.0).tree()));
    let tensor = |offset, other: bool| {
        let t = common::T { shape: &[3], stride: &[1], offset, ..SMALL };
        let p = Pickle::new().op(b"(").tensor(&t);
        let again = if other { common::T { key: "1", ..t } } else { t };
        let bytes = checkpoint(&p.tensor(&again).op(b"t").end(), &[("0", &[1; 6]), ("1", &[1; 6])]);
        open(&bytes).unwrap()
    };
    assert!(tensor(0, true).tree().same_as(tensor(0, true).tree()));
    assert!(!tensor(0, true).tree().same_as(tensor(1, true).tree()));
    assert!(!tensor(0, true).tree().same_as(tensor(0, false).tree()));
}
