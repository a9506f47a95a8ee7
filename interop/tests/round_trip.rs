//! Any object, written as a checkpoint, converted to a store and back, is the same object.

mod common;

use common::Object;
use common::random::random_object;
use numpack_interop::{
    Existing, FromTorch, NoProgress, Tensors, ToTorch, diff, from_torch_file, to_torch_file, verify,
};
use proptest::prelude::*;
use torch_pickle::{Construct, DType, Dict, Global, Node, NodeId, Object as PyObject, Tensor};

/// Takes an object to a store and back, and compares each with each.
fn check(object: &mut Object, root: NodeId) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    object.write(root, &path("a.pt"));
    let a = Tensors::open(path("a.pt")).unwrap();
    assert!(a.tree().same_as(&object.tree), "what was written is not what is read");

    let report =
        from_torch_file(path("a.pt"), path("b.npk"), &FromTorch::new(), &mut NoProgress).unwrap();
    assert_eq!(verify(path("b.npk")).unwrap(), Default::default());
    let b = Tensors::open(path("b.npk")).unwrap();
    assert_eq!(diff(&a, &b, 5).unwrap(), [], "the store");

    to_torch_file(path("b.npk"), path("c.pt"), &ToTorch::new(), &mut NoProgress).unwrap();
    assert_eq!(verify(path("c.pt")).unwrap(), Default::default());
    let c = Tensors::open(path("c.pt")).unwrap();
    assert_eq!(diff(&a, &c, 5).unwrap(), [], "the way back");
    report.warnings
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn any_object_comes_back(seed: u64) {
        let (mut object, root) = random_object(seed, |_| true);
        check(&mut object, root);
    }
}

#[test]
fn the_promised_cases_survive() {
    let mut o = Object::default();
    let t = o.tensor(DType::BFloat16, &[3, 2], 1);
    let u = o.tensor(DType::Float8E4M3Fn, &[4], 2);
    let scalar = o.tensor(DType::Int64, &[], 3);
    let empty = o.tensor(DType::Float32, &[0, 7], 4);
    let inner = o.dict(&[("b", t)]);
    let tied_storage = o.storage(DType::Float32, 6, 5);
    let tied = Tensor::contiguous(tied_storage, DType::Float32, &[2, 3]);
    let first = o.view(tied.clone());
    let second = o.view(tied.clone());
    let mut turned = tied.clone();
    turned.shape.reverse();
    turned.stride.reverse();
    let turned = o.view(turned);
    let overlap_storage = o.storage(DType::Float64, 10, 6);
    let mut low = Tensor::contiguous(overlap_storage, DType::Float64, &[6]);
    low.offset = 1;
    let mut high = low.clone();
    high.offset = 3;
    let (low, high) = (o.view(low), o.view(high));
    let parameter = o.parameter(&[2, 2], 7);
    let root = o.dict(&[
        ("a", inner),
        ("a.b", u),
        ("scalar", scalar),
        ("empty", empty),
        ("x/y", first),
        ("x%2Fy", second),
        ("turned", turned),
        ("low", low),
        ("high", high),
        ("again", inner),
        ("parameter", parameter),
        ("", scalar),
        ("..", empty),
        ("__libnumpack__", t),
    ]);
    assert_eq!(check(&mut o, root), [""; 0]);
}

#[test]
fn a_bare_tensor_is_named_by_the_file_and_comes_back_bare() {
    let folder = tempfile::tempdir().unwrap();
    let mut o = Object::default();
    let root = o.tensor(DType::Float32, &[2, 2], 1);
    o.write(root, &folder.path().join("weights.pt"));
    let store = folder.path().join("out.npk");
    from_torch_file(folder.path().join("weights.pt"), &store, &FromTorch::new(), &mut NoProgress)
        .unwrap();
    let names: Vec<String> = numpack_format::Store::open(&store)
        .unwrap()
        .arrays()
        .unwrap()
        .iter()
        .map(|a| a.name.clone())
        .collect();
    assert_eq!(names, ["weights"]);
    check(&mut o, root);
}

#[test]
fn a_plain_dict_needs_no_side_information() {
    let folder = tempfile::tempdir().unwrap();
    let mut o = Object::default();
    let (a, b) = (o.tensor(DType::Float32, &[2], 1), o.tensor(DType::Int64, &[3, 1], 2));
    let root = o.dict(&[("b", b), ("a.x", a)]);
    o.write(root, &folder.path().join("plain.pt"));
    let store = folder.path().join("plain.npk");
    from_torch_file(folder.path().join("plain.pt"), &store, &FromTorch::new(), &mut NoProgress)
        .unwrap();
    assert!(numpack_format::Store::open(&store).unwrap().side().is_none());
    check(&mut o, root);
}

#[test]
fn unknown_objects_leave_their_tensors_or_stay_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut o = Object::default();
    let weight = o.tensor(DType::Float32, &[2], 1);
    let state = o.dict(&[("weight", weight)]);
    let holder = unknown(&mut o, Vec::new(), Some(state));
    let bare = unknown(&mut o, Vec::new(), None);
    let root = o.dict(&[("holder", holder), ("bare", bare)]);
    o.write(root, &path("a.pt"));

    let report =
        from_torch_file(path("a.pt"), path("reduced.npk"), &FromTorch::new(), &mut NoProgress)
            .unwrap();
    assert_eq!(
        report.warnings,
        ["left out 2 of class my.module.Thing, which is no known plain value; 1 held tensors, \
             which were kept"]
    );
    let reduced = Tensors::open(path("reduced.npk")).unwrap().list().unwrap();
    assert_eq!(reduced.iter().map(|t| &*t.name).collect::<Vec<_>>(), ["holder.weight"]);

    let keep = FromTorch::new().keep_objects(true);
    let report = from_torch_file(path("a.pt"), path("whole.npk"), &keep, &mut NoProgress).unwrap();
    assert_eq!(report.warnings, [""; 0]);
    let (a, b) = (Tensors::open(path("a.pt")).unwrap(), Tensors::open(path("whole.npk")).unwrap());
    assert_eq!(diff(&a, &b, 5).unwrap(), []);
}

/// Writes, converts and converts back; the warnings of the first step.
fn there_and_back(o: &mut Object, root: NodeId, folder: &std::path::Path) -> Vec<String> {
    let path = |name: &str| folder.join(name);
    o.write(root, &path("a.pt"));
    let report =
        from_torch_file(path("a.pt"), path("b.npk"), &FromTorch::new(), &mut NoProgress).unwrap();
    assert_eq!(verify(path("b.npk")).unwrap(), Default::default());
    to_torch_file(path("b.npk"), path("c.pt"), &ToTorch::new(), &mut NoProgress).unwrap();
    let (b, c) = (Tensors::open(path("b.npk")).unwrap(), Tensors::open(path("c.pt")).unwrap());
    assert_eq!(diff(&b, &c, 5).unwrap(), []);
    report.warnings
}

fn unknown(o: &mut Object, args: Vec<NodeId>, state: Option<NodeId>) -> NodeId {
    let callable = o.tree.add(Node::Global(Box::new(Global::new("my.module", "Thing"))));
    let args = o.tree.add(Node::Tuple(args));
    o.tree.add(Node::Object(Box::new(PyObject {
        construct: Construct::Call,
        callable,
        args,
        kwargs: None,
        state,
        appended: Vec::new(),
        items: Vec::new(),
    })))
}

#[test]
fn tensors_in_unknown_objects_keep_what_belongs_to_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut o = Object::default();
    // An attribute of a tensor, the scales of a quantised one, and two names that read the same.
    let storage = o.storage(DType::Float32, 2, 1);
    let mut tagged = Tensor::contiguous(storage, DType::Float32, &[2]);
    let tag = o.str("hello");
    tagged.state = Some(o.dict(&[("tag", tag)]));
    let tagged = o.view(tagged);
    let scales = o.tensor(DType::Float64, &[2], 2);
    let zeros = o.tensor(DType::Int64, &[2], 3);
    let scheme = o.tree.add(Node::Global(Box::new(Global::new("torch", "per_channel_affine"))));
    let axis = o.tree.add(Node::Int(0));
    let storage = o.storage(DType::QUInt8, 4, 4);
    let mut quantised = Tensor::contiguous(storage, DType::QUInt8, &[2, 2]);
    quantised.quantizer = Some(o.tree.add(Node::Tuple(vec![scheme, scales, zeros, axis])));
    let quantised = o.view(quantised);
    let (x, y) = (o.tensor(DType::Int8, &[1], 5), o.tensor(DType::Int8, &[1], 6));
    let inner = o.dict(&[("b", y)]);
    let state = o.dict(&[("tagged", tagged), ("quantised", quantised), ("a.b", x), ("a", inner)]);
    let holder = unknown(&mut o, Vec::new(), Some(state));
    let root = o.dict(&[("holder", holder), ("again", tagged)]);
    let warnings = there_and_back(&mut o, root, folder.path());
    assert_eq!(
        warnings,
        ["kept only the tensors of 1 of class my.module.Thing, which is no known plain value"]
    );
    let c = Tensors::open(folder.path().join("c.pt")).unwrap();
    let names: Vec<String> = c.list().unwrap().into_iter().map(|t| t.name.into()).collect();
    assert_eq!(names, ["holder.tagged", "holder.quantised", "holder.a.b", "holder.a.b~1", "again"]);
    let found = c.tree().find("again").unwrap();
    let Node::Tensor(id) = c.tree().node(found) else { panic!() };
    let state = c.tree().tensor(*id).state.unwrap();
    let Node::Dict(state) = c.tree().node(state) else { panic!() };
    assert_eq!(*c.tree().node(state.items[0].1), Node::Str("hello".into()));
}

#[test]
fn keys_of_unknown_classes_become_text_and_lose_no_value() {
    let folder = tempfile::tempdir().unwrap();
    let mut o = Object::default();
    let (one, two) = (o.tree.add(Node::Int(1)), o.tree.add(Node::Int(2)));
    let (red, blue) = (unknown(&mut o, vec![one], None), unknown(&mut o, vec![two], None));
    let pair = o.tree.add(Node::Tuple(vec![red, one]));
    let (t, u) = (o.tensor(DType::Int8, &[1], 1), o.tensor(DType::Int8, &[1], 2));
    let x = o.str("x");
    let members = o.tree.add(Node::Set(vec![blue, one]));
    let root = o.tree.add(Node::Dict(Dict {
        items: vec![(red, t), (blue, u), (pair, one), (x, members)],
        ..Dict::default()
    }));
    let warnings = there_and_back(&mut o, root, folder.path());
    assert_eq!(
        warnings,
        ["4 keys of class my.module.Thing, which is no known plain value, became text"]
    );
    let c = Tensors::open(folder.path().join("c.pt")).unwrap();
    let names: Vec<String> = c.list().unwrap().into_iter().map(|t| t.name.into()).collect();
    assert_eq!(names, ["<my.module.Thing>", "<my.module.Thing>~1"]);
}

#[test]
fn views_of_far_more_than_is_stored_are_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut o = Object::default();
    let mut views = Vec::new();
    // Forty-eight windows of nearly all of 32 MiB, and one element shown 2^40 times.
    let len = 32 << 20;
    let storage = o.storage(DType::Int8, len, 1);
    for i in 0..48 {
        let mut view = Tensor::contiguous(storage, DType::Int8, &[len - 48]);
        view.offset = i;
        views.push(o.view(view));
    }
    let mut view = Tensor::contiguous(storage, DType::Int8, &[1 << 40]);
    view.stride[0] = 0;
    views.push(o.view(view));
    let root = o.tree.add(Node::List(views));
    o.write(root, &path("a.pt"));
    // As views they cost nothing; as copies they would fill the disk.
    let report =
        from_torch_file(path("a.pt"), path("b.npk"), &FromTorch::new(), &mut NoProgress).unwrap();
    assert_eq!(report.bytes, len);
    let compact = FromTorch::new().compact_views(true);
    let e = from_torch_file(path("a.pt"), path("c.npk"), &compact, &mut NoProgress).unwrap_err();
    assert!(e.to_string().contains("would write all of that"), "{e}");
    assert!(!path("c.npk").exists());
    let b = Tensors::open(path("b.npk")).unwrap();
    let e = b.sha256(b.list().unwrap().last().unwrap()).unwrap_err();
    assert!(e.to_string().contains("far more elements than are stored"), "{e}");
}

#[test]
fn compact_views_share_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut o = Object::default();
    let storage = o.storage(DType::Float32, 1000, 1);
    let mut low = Tensor::contiguous(storage, DType::Float32, &[2]);
    low.offset = 10;
    let mut high = low.clone();
    high.offset = 11;
    let (low, high) = (o.view(low), o.view(high));
    let root = o.dict(&[("low", low), ("high", high)]);
    o.write(root, &path("a.pt"));
    let options = FromTorch::new().compact_views(true);
    let report = from_torch_file(path("a.pt"), path("b.npk"), &options, &mut NoProgress).unwrap();
    assert_eq!((report.tensors, report.bytes), (2, 16));
    let options = options.existing(Existing::Replace).compact_views(false);
    let report = from_torch_file(path("a.pt"), path("b.npk"), &options, &mut NoProgress).unwrap();
    assert_eq!((report.tensors, report.bytes), (0, 4000));
}
