//! What Python's objects are recognised as, and how they are printed.

mod common;

use common::{Pickle, SMALL, checkpoint, fixtures, open};
use torch_pickle::{
    Checkpoint, Construct, Dict, EnumMember, Global, Kind, Node, NodeId, Object, PrintOptions, Tree,
};

fn load(pickle: &[u8]) -> Checkpoint {
    open(&checkpoint(pickle, &[("0", &[1; 6])])).unwrap()
}

fn printed(tree: &Tree) -> String {
    tree.print(tree.root().unwrap(), &PrintOptions::new()).to_string()
}

/// Written by `objects/make.py`, run by several versions of Python.
#[test]
fn values_of_python_are_printed_as_it_writes_them() {
    let mut wrong = Vec::new();
    let lines = include_str!("objects/pickles.txt");
    for line in lines.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [version, protocol, hex, expected] = fields[..] else { panic!("{line}") };
        let bytes = (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16));
        let bytes: Vec<u8> = bytes.collect::<Result<_, _>>().unwrap();
        let expected = expected.replace("\\\\", "\0").replace("\\n", "\n").replace('\0', "\\");
        let found = printed(load(&bytes).tree());
        if found != expected {
            wrong.push(format!("{version} protocol {protocol}: {found:?}, expected {expected:?}"));
        }
    }
    assert!(lines.lines().count() > 400, "{}", lines.lines().count());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

fn root(checkpoint: &Checkpoint) -> Kind<'_> {
    checkpoint.tree().kind_of(checkpoint.tree().root().unwrap())
}

#[test]
fn kinds_have_typed_parts() {
    let call = |p: Pickle| load(&p.op(b"R").end());
    let state =
        Pickle::new().global("datetime", "datetime").op(b"C\x0A\x07\xE8\x85\x01\x0C\x1E\0\0\0\xFA");
    let opened = call(state.op(b"\x85"));
    let Kind::DateTime(when) = root(&opened) else { panic!() };
    assert_eq!((when.date.year, when.date.month, when.date.day), (2024, 5, 1));
    assert_eq!((when.time.hour, when.time.microsecond, when.time.fold), (12, 250, true));
    assert_eq!(when.time.tz, None);

    let opened = call(Pickle::new().global("torch", "device").str("cuda").op(b"K\x01\x86"));
    assert_eq!(root(&opened), Kind::TorchDevice("cuda:1".to_owned()));
    assert_eq!(printed(opened.tree()), "device(type='cuda', index=1)");

    let layout = Pickle::new().global("torch.serialization", "_get_layout");
    let opened = call(layout.str("torch.sparse_coo").op(b"\x85"));
    assert_eq!(root(&opened), Kind::Layout("sparse_coo"));

    let flag = Pickle::new().global("__builtin__", "getattr").global("re", "RegexFlag");
    let opened = call(flag.str("ASCII").op(b"\x86"));
    let Kind::Enum(EnumMember::Name(class, "ASCII")) = root(&opened) else { panic!() };
    assert!(class.is("re", "RegexFlag"));
    assert_eq!(printed(opened.tree()), "re.RegexFlag.ASCII");

    let generator = Pickle::new().global("torch._C", "Generator").global("torch", "device");
    let generator = generator.str("cpu").op(b"\x85R\x85R(K\x07N").tensor(&SMALL);
    let opened = load(&generator.op(b"tb").end());
    let Kind::Generator(found) = root(&opened) else { panic!() };
    assert!(matches!(opened.tree().node(found.state), Node::Tensor(_)));
    assert_eq!(printed(opened.tree()), "torch.Generator of cpu, seed 7\n  state: uint8 [2, 3]");

    let optimizer = Pickle::new().global("torch.optim.sgd", "SGD").op(b")\x81}(");
    let optimizer = optimizer.str("defaults").op(b"}").str("state").op(b"}");
    let opened = load(&optimizer.str("param_groups").op(b"]}(K\x01K\x02uaub").end());
    assert!(matches!(root(&opened), Kind::Optimizer(_)));
    let expected = "torch.optim.sgd.SGD optimizer\n  defaults: {}\n  state: {}\n  \
                    param_groups: list of 1\n    0: dict\n      1: 2";
    assert_eq!(printed(opened.tree()), expected);
    let group = opened.tree().find("param_groups.0").unwrap();
    assert_eq!(opened.tree().print(group, &PrintOptions::new()).to_string(), "dict\n  1: 2");
}

/// Recipes of known callables with arguments that do not fit: what is left says what they are.
#[test]
fn what_does_not_fit_is_unknown() {
    let given: [&[u8]; 12] = [
        b")",
        b"N\x85",
        b"K\x01\x85",
        b"C\x0A\0\0\0\0\0\0\0\0\0\0\x85",
        b"C\x04\x07\xE8\x02\x1E\x85",
        b"C\x06\x18\0\0\0\0\0\x85",
        b"X\x02\0\0\0\xC3\xA9\x85",
        b"]K\x01\x86",
        b"(K\x01K\x01J\xFF\xFF\xFF\xFFt",
        b"}}\x86",
        b"(NNNNt",
        b"((K\x01K\x02tK\x01J\xFF\xFF\xFF\xFFt",
    ];
    let states: [&[u8]; 5] = [b"", b"Nb", b"}b", b"(NNt\x62", b"(K\x01K\x01NNK\x01tb"];
    let mut count = 0;
    for (module, names) in [
        ("datetime", &["datetime", "date", "time", "timedelta", "timezone"][..]),
        ("decimal", &["Decimal"]),
        ("fractions", &["Fraction"]),
        ("pathlib", &["PosixPath", "WindowsPath"]),
        ("uuid", &["UUID"]),
        ("__builtin__", &["complex", "range", "slice", "getattr", "type"]),
        ("collections", &["defaultdict", "deque", "Counter"]),
        ("functools", &["partial"]),
        ("copy_reg", &["_reconstructor", "__newobj__", "__newobj_ex__"]),
        ("zoneinfo", &["ZoneInfo._unpickle"]),
        ("torch", &["Size", "device", "Generator"]),
        ("torch.serialization", &["_get_layout"]),
        ("torch._utils", &["_rebuild_sparse_tensor", "_rebuild_meta_tensor_no_storage"]),
        ("numpy", &["dtype"]),
        ("numpy.core.multiarray", &["scalar", "_reconstruct"]),
        ("numpy.core.numeric", &["_frombuffer"]),
        ("m", &["Class", "function"]),
    ] {
        for name in names {
            for args in given {
                for state in states {
                    for make in [b"R", b"\x81"] {
                        let p = Pickle::new().global(module, name).op(args).op(make).op(state);
                        let opened = load(&p.end());
                        root(&opened);
                        assert!(!printed(opened.tree()).is_empty());
                        count += 1;
                    }
                }
            }
        }
    }
    assert_eq!(count, 35 * 12 * 5 * 2);
    let wrong = |module, name, args: &[u8]| {
        let opened = load(&Pickle::new().global(module, name).op(args).op(b"R").end());
        assert!(matches!(root(&opened), Kind::Unknown(Some(_))), "{:?}", root(&opened));
    };
    wrong("datetime", "date", b"C\x04\x07\xE8\x02\x1E\x85");
    wrong("datetime", "time", b"C\x06\x18\0\0\0\0\0\x85");
    wrong("datetime", "datetime", b"C\x09\0\0\0\0\0\0\0\0\0\x85");
    wrong("datetime", "timedelta", b"K\x01J\xFF\xFF\xFF\xFFK\x01\x87");
    wrong("collections", "deque", b")J\xFF\xFF\xFF\xFF\x86");
    wrong("torch", "Size", b"N\x85\x85");
}

#[test]
fn tensors_and_opaque_objects() {
    let p = Pickle::new().op(b"}(").str("w").tensor(&SMALL).op(b"q\x01").str("again").op(b"h\x01");
    let p = p.str("view").tensor(&SMALL).str("fn").global("my.module", "thing").op(b"(K\x01");
    let p = p.op(b"h\x01]K\x02atR").str("loop").op(b"]q\x02h\x02a");
    let opened = load(&p.op(b"u").end());
    let expected = "dict\n  w: uint8 [2, 3]\n  again: same as w\n  \
                    view: uint8 [2, 3], same storage as w\n  \
                    fn: <my.module.thing> opaque, 3 parts, 1 tensor\n    0: 1\n    1: same as w\n    \
                    2: [2]\n  loop: list of 1\n    0: same as loop";
    assert_eq!(printed(opened.tree()), expected);
}

#[test]
fn what_is_long_is_cut() {
    let mut tree = Tree::new();
    let text = tree.add(Node::Str("\u{1b}[31m".repeat(1000).into()));
    let inner: Vec<NodeId> = (0..500).map(|n| tree.add(Node::Int(n))).collect();
    let inner = tree.add(Node::List(inner));
    let root =
        tree.add(Node::Dict(Dict { items: vec![(text, text), (inner, inner)], ..Dict::default() }));
    tree.set_root(root);
    let print = |options: &PrintOptions| tree.print(root, options).to_string();
    let text = print(&PrintOptions::new().items(2).text(5));
    let expected = "list: list of 500\n    0: 0\n    1: 1\n    … 498 more";
    assert!(text.ends_with(expected) && text.contains(": '\\x1b[31m'…\n"), "{text}");
    assert!(!text.contains('\u{1b}'));
    assert!(print(&PrintOptions::new().depth(1)).ends_with("list: list of 500 …"));
    assert_eq!(print(&PrintOptions::new().depth(0)), "dict …");
    assert!(print(&PrintOptions::new().lines(9)).ends_with("\n    5: 5\n… ends after 9 lines"));
}

/// Prints within one megabyte of stack; nothing is longer than its bounds allow.
fn print_bounded(tree: Tree) {
    let print = move || {
        for options in [
            PrintOptions::new(),
            PrintOptions::new().depth(usize::MAX).items(usize::MAX),
            PrintOptions::new().depth(3).items(2).text(0).lines(20),
        ] {
            let text = printed_with(&tree, &options);
            let lines = text.lines().count();
            assert!(lines <= options.lines + 1, "{lines}");
            assert!(text.len() <= (lines + 1) * 8192, "{} bytes", text.len());
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        }
        for id in 0..tree.nodes().len().min(10_000) {
            tree.kind_of(NodeId::new(id as u32));
        }
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(print).unwrap().join().unwrap();
}

fn printed_with(tree: &Tree, options: &PrintOptions) -> String {
    tree.root().map(|root| tree.print(root, options).to_string()).unwrap_or_default()
}

#[test]
fn hostile_trees_are_printed_within_bounds() {
    // 4^60 lists by reference.
    let bomb = (0..60).fold(Pickle::new().op(b"]"), |p, i| {
        p.op(&[b'q', i, b'0', b']', b'(', b'h', i, b'h', i, b'h', i, b'h', i, b'e'])
    });
    print_bounded(load(&bomb.end()).tree().clone());
    // Of tuples, which are values.
    let bomb = (0..60).fold(Pickle::new().op(b"N\x85"), |p, i| {
        p.op(&[b'q', i, b'0', b'(', b'h', i, b'h', i, b'h', i, b'h', i, b't'])
    });
    print_bounded(load(&bomb.end()).tree().clone());
    // 200,000 deep: lists, tuples, objects, members of enumerations, slices, dicts of dicts.
    for (open, close) in [
        (&b"]"[..], &b"a"[..]),
        (b"", b"\x85"),
        (b"cm\nf\n", b"\x85R"),
        (b"cm\nC\n", b"\x85R"),
        (b"c__builtin__\nslice\n(NN", b"tR"),
        (b"cm\nC\n)\x81", b"b"),
        (b"cfunctools\npartial\ncm\nf\n\x85R(cm\nf\n", b"\x85}Ntb"),
        (b"}K\x01", b"s"),
    ] {
        let deep = Pickle::new().op(&open.repeat(200_000)).op(b"]").op(&close.repeat(200_000));
        print_bounded(load(&deep.end()).tree().clone());
    }
    // Twenty thousand objects with one large state, one large tuple of arguments, one of each.
    let large = Pickle::new().op(b"}(");
    let large = (0..20_000u32).fold(large, |p, i| p.str(&format!("k{i}")).op(b"N")).op(b"uq\x00(");
    let large = (0..20_000).fold(large, |p, _| p.op(b"K\x01")).op(b"tq\x01](");
    for object in
        [&b"cm\nC\n)\x81h\x00b"[..], b"cm\nf\nh\x01R", b"cm\nf\nh\x01Rh\x00b", b"cm\nC\nh\x01\x81"]
    {
        let each = large.clone().op(&object.repeat(20_000)).op(b"e");
        print_bounded(load(&each.end()).tree().clone());
    }
    // Modules whose dict of parameters holds nothing but `None`.
    let module = Pickle::new().op(b"}(").str("_buffers").op(b"}").str("_modules").op(b"}");
    let module = module.str("_parameters").op(b"}(");
    let module =
        (0..20_000u32).fold(module, |p, i| p.str(&format!("p{i}")).op(b"N")).op(b"uuq\x00](");
    print_bounded(
        load(&module.op(&b"cm\nC\n)\x81h\x00b".repeat(20_000)).op(b"e").end()).tree().clone(),
    );
}

/// Random trees of all kinds of nodes, with references to anything made before or after.
#[test]
fn random_trees_are_printed_within_bounds() {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = move |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n.max(1) as u64) as usize
    };
    for _ in 0..400 {
        print_bounded(random_tree(&mut next));
    }
}

fn random_tree(next: &mut dyn FnMut(usize) -> usize) -> Tree {
    const GLOBALS: &[(&str, &str)] = &[
        ("datetime", "datetime"),
        ("datetime", "timezone"),
        ("datetime", "timedelta"),
        ("collections", "defaultdict"),
        ("collections", "deque"),
        ("collections", "Counter"),
        ("functools", "partial"),
        ("builtins", "slice"),
        ("builtins", "range"),
        ("builtins", "getattr"),
        ("copyreg", "_reconstructor"),
        ("builtins", "tuple"),
        ("builtins", "list"),
        ("torch._utils", "_rebuild_sparse_tensor"),
        ("torch._utils", "_rebuild_meta_tensor_no_storage"),
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "scalar"),
        ("m", "Class"),
        ("m\u{1b}", "function\n"),
    ];
    let count = 1 + next(60);
    let mut tree = Tree::new();
    for _ in 0..count {
        let mut id = || NodeId::new(next(count) as u32);
        let (a, b, c, d) = (id(), id(), id(), id());
        let ids = [a, b, c, d][..next(5)].to_vec();
        let node = match next(16) {
            0 => Node::None,
            1 => Node::Int(next(9) as i64 - 4),
            2 => Node::Float(f64::from_bits(next(usize::MAX) as u64)),
            3 => Node::Str("_parameters\u{9b}"[..[0, 1, 11, 13][next(4)]].into()),
            4 => Node::SurrogateStr([b'a', 0xED, 0xA0, 0x80].into()),
            5 => Node::Bytes(vec![1; next(12)].into()),
            6 => Node::BigInt(vec![next(256) as u8; 1 + next(40)].into()),
            7 => Node::Tuple(ids),
            8 => Node::List(ids),
            9 => [Node::Set(ids.clone()), Node::FrozenSet(ids)][next(2)].clone(),
            10 | 11 => {
                let attributes = (next(4) == 0).then_some(a);
                Node::Dict(Dict { ordered: next(2) == 0, items: vec![(a, b), (c, d)], attributes })
            }
            12 => {
                let (module, name) = GLOBALS[next(GLOBALS.len())];
                Node::Global(Box::new(Global::new(module, name)))
            }
            _ => {
                let construct = [Construct::Call, Construct::New, Construct::PersistentId];
                let mut object = Object::new(construct[next(3).min(next(3))], a, b);
                object.state = (next(2) == 0).then_some(c);
                object.kwargs = (next(8) == 0).then_some(d);
                if next(3) == 0 {
                    object.appended = ids;
                    object.items = vec![(a, d)];
                }
                Node::Object(Box::new(object))
            }
        };
        tree.add(node);
    }
    tree.set_root(NodeId::new(next(count) as u32));
    tree
}

#[test]
fn every_fixture_is_printed() {
    let Some(folder) = fixtures() else { return };
    let mut todo = vec![folder];
    let mut count = 0;
    while let Some(folder) = todo.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                todo.push(path);
            } else if let Ok(opened) = Checkpoint::open(&path) {
                print_bounded(opened.tree().clone());
                count += 1;
            }
        }
    }
    println!("{count} files printed");
    assert!(count > 150, "{count}");
}
