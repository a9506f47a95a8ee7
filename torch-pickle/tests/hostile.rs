//! Files made to break a reader: each gives an error or loads safely, in a small stack, little
//! memory and little time.

mod common;
#[path = "common/tame.rs"]
mod tame;

use common::heap::Counting;
use common::*;
use tame::*;
use torch_pickle::{Checkpoint, CrcPolicy, Error, Limits, Node, Options, ScanOptions, TensorId};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn open_and_exercise(name: &str, bytes: &[u8]) -> Result<(), Error> {
    scanned(name, bytes);
    tamed(name, || open(bytes).map(|c| exercise(&c)))
}

/// The scanner takes what the reader refuses, in the same bounds.
fn scanned(name: &str, bytes: &[u8]) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let report = tamed(name, || torch_pickle::scan(file.path(), &ScanOptions::new())).unwrap();
    assert!(report.verdict() < torch_pickle::Verdict::Dangerous, "{name}: {report:?}");
}

#[track_caller]
fn refused(name: &str, bytes: &[u8], words: &str) {
    let e = open_and_exercise(name, bytes).expect_err(name);
    assert!(e.to_string().contains(words), "{name}: {e}");
}

#[test]
fn given_files() {
    let Some(folder) = fixtures() else { return };
    let mut counts = [0, 0];
    let mut todo = vec![folder.join("hostile-scratch"), folder.join("picklescan")];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path()));
            continue;
        }
        let name = path.display().to_string();
        let opened = tamed(&name, || {
            let opened = Checkpoint::open(&path);
            opened.map(|c| exercise(&c)).map_err(|e| (e.to_string(), check_error(&e, &path)))
        });
        counts[usize::from(opened.is_err())] += 1;
        let _ = tamed(&name, || torch_pickle::scan(&path, &ScanOptions::new())).unwrap();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let loads = ["align1", "big", "bigmemo", "case_dup", "crczero", "expand0", "hugezip_dim0"];
        let loads = [&loads[..], &["nobyteorder", "tuplebomb", "twoprefix"]].concat();
        match &opened {
            Ok(()) => assert!(loads.contains(&stem), "{name} was loaded"),
            Err((e, ())) => assert!(!loads.contains(&stem), "{e}"),
        }
        if let Err((e, ())) = opened {
            println!("{e}");
        }
    }
    println!("{} files loaded safely, {} refused", counts[0], counts[1]);
    assert!(counts[0] > 5 && counts[1] > 50);
}

#[test]
fn archives_that_can_be_read_in_two_ways() {
    let pickle = Pickle::new().tensor(&SMALL).end();
    let good = records(&pickle, &[("0", &[1; 6])]);
    open_and_exercise("good", &zip(&good)).unwrap();
    open_and_exercise(
        "descriptor",
        &zip(&good.iter().cloned().map(|r| Rec { descriptor: true, ..r }).collect::<Vec<_>>()),
    )
    .unwrap();
    open_and_exercise("zip64", &zip_with(&good, &Ending { zip64: true, ..Ending::default() }))
        .unwrap();

    let with = |change: &dyn Fn(&mut Vec<Rec>)| {
        let mut records = good.clone();
        change(&mut records);
        zip(&records)
    };
    let twice = with(&|r| r.push(r[0].clone()));
    refused("duplicate", &twice, "another record of this name is at byte 0");
    let other_name = with(&|r| r[0].local_name = Some(b"archive/data.pkx".into()));
    refused("local name", &other_name, "its local header has another name");
    refused("overlap", &with(&|r| r[3].offset = Some(0)), "overlaps record");
    refused("encrypted", &with(&|r| r[3].flags = 1), "encrypted");
    refused("strongly encrypted", &with(&|r| r[3].flags = 0x2041), "encrypted");
    refused("method", &with(&|r| r[3].method = 12), "compression method 12");
    refused("two prefixes", &with(&|r| r.push(Rec::new("b/data/1", b""))), "lies outside archive/");
    refused("no prefix", &with(&|r| r[0].name = b"data.pkl".into()), "in no folder");
    refused("not utf-8", &with(&|r| r[3].name = b"archive/\xFF".into()), "not UTF-8");
    refused("no version", &with(&|r| drop(r.remove(2))), "no record archive/version");
    refused("version", &with(&|r| r[2] = Rec::new("archive/version", b"11\n")), "archive version");
    refused("order", &with(&|r| r[1] = Rec::new("archive/byteorder", b"big\n")), "byte order");
    refused("no pickle", &with(&|r| drop(r.remove(0))), "without a data.pkl");
    refused("no storage", &with(&|r| drop(r.remove(3))), "no record archive/data/0");
    let script = |bytes: &[u8]| with(&|r| r.push(Rec::new("archive/constants.pkl", bytes)));
    refused("script", &script(b""), "constants.pkl at byte 0: truncated");
    open_and_exercise("script", &script(b").")).unwrap();
    refused("short", &with(&|r| r[3] = Rec::new("archive/data/0", &[1; 5])), "it has 5 bytes");
    refused("long", &with(&|r| r[3] = Rec::new("archive/data/0", &[1; 7])), "it has 7 bytes");
    refused("stored len", &with(&|r| r[3].len = 7), "7");
    open_and_exercise("v1", &with(&|r| r[2] = Rec::new("archive/.data/version", b"1"))).unwrap();
    open_and_exercise("case", &with(&|r| r.push(Rec::new("archive/DATA/0", b"x")))).unwrap();
    open_and_exercise("folder", &with(&|r| r.insert(0, Rec::new("archive/", b"")))).unwrap();

    let small = zip(&good);
    refused("prepended", &[b"12345".as_slice(), &small].concat(), "too many");
    refused("trailing", &[&small, b"x".as_slice()].concat(), "1 bytes follow it");
    refused("twice in one", &[small.clone(), small.clone()].concat(), "too many");
    refused("empty", b"", "it is empty");
    refused("no archive", b"hello world", "not a pytorch file");
}

#[test]
fn end_records() {
    let good = records(&Pickle::new().tensor(&SMALL).end(), &[("0", &[1; 6])]);
    let ended = |ending: Ending| zip_with(&good, &ending);
    let d = Ending::default;
    open_and_exercise("comment", &ended(Ending { comment: b"hello".into(), ..d() })).unwrap();
    // An end record in the comment that is not the archive's.
    let fake = [b"PK\x05\x06".as_slice(), &[0; 18], b"tail"].concat();
    open_and_exercise("fake end", &ended(Ending { comment: fake, ..d() })).unwrap();
    let fake = [b"PK\x05\x06".as_slice(), &[0; 18]].concat();
    let e = open_and_exercise("empty end", &ended(Ending { comment: fake, ..d() }));
    assert!(e.is_ok(), "{e:?}");
    // One that fits as well: an empty archive that starts at the end of the first.
    let at = ended(d()).len() as u32;
    let mut fake = [b"PK\x05\x06".as_slice(), &[0; 18]].concat();
    fake[16..20].copy_from_slice(&at.to_le_bytes());
    refused("two ends", &ended(Ending { comment: fake, ..d() }), "in two ways");

    for zip64 in [false, true] {
        let d = || Ending { zip64, ..Ending::default() };
        for lie in [0, 1, 3, 5, 1000, 0xFFFE] {
            let bytes = ended(Ending { count: Some(lie), ..d() });
            assert!(open_and_exercise("count", &bytes).is_err(), "{lie}");
        }
        for lie in [0, 1, 100, 0xFFFF_FFF0] {
            assert!(open_and_exercise("size", &ended(Ending { size: Some(lie), ..d() })).is_err());
            assert!(open_and_exercise("at", &ended(Ending { offset: Some(lie), ..d() })).is_err());
        }
    }
    for lie in [u64::MAX, 1 << 62, 1 << 40] {
        let d = || Ending { zip64: true, ..Ending::default() };
        assert!(open_and_exercise("count", &ended(Ending { count: Some(lie), ..d() })).is_err());
        assert!(open_and_exercise("size", &ended(Ending { size: Some(lie), ..d() })).is_err());
        assert!(open_and_exercise("at", &ended(Ending { offset: Some(lie), ..d() })).is_err());
    }
}

#[test]
fn checksums_by_policy() {
    let pickle = Pickle::new().tensor(&SMALL).end();
    let mut bad = records(&pickle, &[("0", &[1; 6])]);
    bad[3].crc ^= 1;
    let bytes = zip(&bad);
    let read = |policy| {
        let checkpoint = open_with(&bytes, &Options::new().crc(policy))?;
        let mut out = [0; 6];
        checkpoint.read_into(TensorId(0), &mut out)?;
        assert_eq!(out, [1; 6]);
        assert_eq!(checkpoint.verify().len(), 1);
        Ok::<_, Error>(checkpoint.warnings().len())
    };
    assert_eq!(read(CrcPolicy::Off).unwrap(), 0);
    assert_eq!(read(CrcPolicy::Warn).unwrap(), 1);
    let e = read(CrcPolicy::Refuse).unwrap_err();
    assert!(e.to_string().contains("checksum"), "{e}");
    // A part of a storage is checked as well.
    let part = T { shape: &[2], stride: &[1], offset: 3, ..SMALL };
    let columns = T { shape: &[3, 2], stride: &[1, 3], ..SMALL };
    for tensor in [part, columns] {
        bad[0] = Rec::new("archive/data.pkl", &Pickle::new().tensor(&tensor).end());
        let checkpoint = open(&zip(&bad)).unwrap();
        let n = checkpoint.tree().tensor(TensorId(0)).nbytes().unwrap() as usize;
        assert!(checkpoint.read_into(TensorId(0), &mut vec![0; n]).is_err());
        assert!(checkpoint.stream(TensorId(0), 0, &mut |_| Ok(())).is_err());
    }

    bad[0].crc ^= 1;
    refused("pickle", &zip(&bad), "checksum");
    // Where no record has a checksum there are none.
    bad.iter_mut().for_each(|r| r.crc = 0);
    let checkpoint = open(&zip(&bad)).unwrap();
    assert!(!checkpoint.archive().unwrap().has_crc());
    exercise(&checkpoint);
}

#[test]
fn deflated_records() {
    let pickle = Pickle::new().tensor(&T { shape: &[3, 2], stride: &[1, 3], ..SMALL }).end();
    let mut good = records(&pickle, &[]);
    good[0] = Rec::deflated("archive/data.pkl", &pickle);
    good.push(Rec::deflated("archive/data/0", &[1, 2, 3, 4, 5, 6]));
    let checkpoint = open(&zip(&good)).unwrap();
    let mut out = [0; 6];
    checkpoint.read_into(TensorId(0), &mut out).unwrap();
    assert_eq!(out, [1, 4, 2, 5, 3, 6]);
    exercise(&checkpoint);

    for (stored, len) in [(3, 6), (5, 6), (8, 5), (8, 7)] {
        let mut bad = good.clone();
        bad[3].stored.truncate(stored);
        bad[3].len = len;
        let _ = open_and_exercise("damaged", &zip(&bad));
    }
    // A gigabyte of zeros in a megabyte, said to be one byte, and said to be what it is.
    let zeros = vec![0; 64 << 20];
    let mut bomb = Rec::deflated("archive/data.pkl", &zeros);
    drop(zeros);
    bomb.len = 1;
    good[0] = bomb.clone();
    refused("bomb", &zip(&good), "do not end");
    bomb.len = 2 << 30;
    good[0] = bomb;
    refused("large", &zip(&good), "max_pickle_bytes");
    // Millions of nodes in kilobytes, and no more than a caller asked for.
    let lists = [b"]".repeat(4 << 20), b".".to_vec()].concat();
    good[0] = Rec::deflated("archive/data.pkl", &lists);
    refused("lists", &zip(&good), "max_nodes");
    let asked = Options::new().limits(Limits { max_nodes: 5 << 20, ..Limits::default() });
    open_with(&zip(&good), &asked).unwrap();
    let text = Pickle::new().str(&"a".repeat(80 << 20)).end();
    good[0] = Rec::deflated("archive/data.pkl", &text);
    drop(text);
    refused("text", &zip(&good), "max_pickle_bytes");
}

#[test]
fn shared_parts_are_looked_through_once() {
    let shared = |name: &str, p: Pickle| {
        open_and_exercise(name, &checkpoint(&p.end(), &[("0", &[1; 6])])).unwrap();
    };
    // Memo: 0 a tensor, 1 a class; what is shared is 2.
    let start = || Pickle::new().tensor(&SMALL).op(b"q\x000cm\nC\nq\x010");
    let many = 5_000;
    let args = |p: Pickle, item: &[u8]| p.op(b"(").op(&item.repeat(many)).op(b"tq\x020");
    let objects = |p: Pickle, one: &[u8]| p.op(b"](").op(&one.repeat(many)).op(b"e");
    shared("lists as arguments", objects(args(start(), b"]"), b"h\x01h\x02R"));
    let tensors = objects(args(start(), b"h\x00"), b"h\x01h\x02R");
    let opened = open(&checkpoint(&tensors.end(), &[("0", &[1; 6])])).unwrap();
    tamed("tensors as arguments", || assert_eq!(opened.tree().first_names().len(), 1));
    let state = |p: Pickle, value: &[u8]| {
        let items = (0..many as i64).fold(p.op(b"}("), |p, i| p.int(i).op(value));
        items.op(b"uq\x020")
    };
    shared("state", objects(state(start(), b"]"), b"h\x01)Rh\x02b"));
    shared("keywords", objects(state(start(), b"]"), b"h\x01)h\x02\x92"));
    shared("slots", objects(state(start(), b"]"), b"h\x01)RNh\x02\x86b"));
    // Modules that share their buffers, and each hides others.
    let p = Pickle::new().str("_parameters").op(b"q\x030").str("_buffers").op(b"q\x040");
    let p = p.str("_modules").op(b"q\x050").str("_non_persistent_buffers_set").op(b"q\x060");
    let p = state(p.tensor(&SMALL).op(b"q\x000cm\nC\nq\x010"), b"h\x00");
    let modules = objects(p, b"h\x01)R}(h\x03}h\x04h\x02h\x05}h\x06](h\x03h\x04eub");
    let opened = open(&checkpoint(&modules.end(), &[("0", &[1; 6])])).unwrap();
    tamed("modules", || assert_eq!(opened.tree().first_names().len(), 1));
    // A long list in which one item matters, many times.
    let p = start().op(b"](").op(&b"N".repeat(300_000)).op(b"h\x00eq\x020](");
    shared("fan", p.op(&b"h\x02".repeat(20_000)).op(b"e"));
}

#[test]
fn keys_of_endless_text() {
    let keyed = |name: &str, part: Pickle, n: i64| {
        let p = part.op(b"q\x000").tensor(&SMALL).op(b"q\x010}(");
        let p = (0..n).fold(p, |p, i| p.op(b"h\x00").int(i).op(b"\x86h\x01"));
        let bytes = checkpoint(&p.op(b"u").end(), &[("0", &[1; 6])]);
        open_and_exercise(name, &bytes).unwrap();
        let opened = open(&bytes).unwrap();
        let longest = opened.tree().named_tensors(1_000_000).unwrap();
        let longest = longest.iter().map(|(name, _)| name.len()).max().unwrap();
        assert!(longest < 2000, "{longest}");
    };
    let deep = Pickle::new().op(&b"(".repeat(500)).op(b"N");
    keyed("tuples", (0..500).fold(deep, |p, _| p.op(&b"N".repeat(500)).op(b"t")), 2500);
    let big = [&b"\x8B\0\x01\0\0"[..], &[0x7F; 256]].concat();
    keyed("integers", Pickle::new().op(&big), 20_000);
    keyed("a class", Pickle::new().global(&"m".repeat(300_000), "C"), 20_000);
    // One text of a megabyte, as the key of many dicts.
    let p = Pickle::new().str(&"k".repeat(1 << 20)).op(b"q\x000").tensor(&SMALL);
    let p = p.op(b"q\x010](").op(&b"}h\x00]h\x01as".repeat(20_000)).op(b"e");
    open_and_exercise("a text", &checkpoint(&p.end(), &[("0", &[1; 6])])).unwrap();
}

#[test]
fn untyped_storages_of_another_byte_order() {
    let count = 15_000;
    let keys: Vec<String> = (0..count).map(|i| i.to_string()).collect();
    let p = keys.iter().fold(Pickle::new().op(b"]("), |p, key| {
        let p = p.global("torch._utils", "_rebuild_tensor_v3").op(b"((").str("storage");
        let p = p.global("torch", "UntypedStorage").str(key).str("cpu").op(b"K\x04tQK\0");
        p.op(b"K\x02\x85K\x01\x85\x89}").global("torch", "uint16").op(b"tR")
    });
    let storages: Vec<(&str, &[u8])> = keys.iter().map(|key| (&key[..], &b"abcd"[..])).collect();
    let mut all = records(&p.op(b"e").end(), &storages);
    all[1] = Rec::new("archive/byteorder", b"big");
    let opened = open(&zip(&all)).unwrap();
    tamed("big-endian", || {
        for i in 0..count {
            let mut out = [0; 4];
            opened.read_storage_into(torch_pickle::StorageId(i), &mut out).unwrap();
            assert_eq!(&out, b"badc");
        }
    });
}

#[test]
fn tensors_outside_their_storage() {
    let tensor = |t: T<'_>| checkpoint(&Pickle::new().tensor(&t).end(), &[("0", &[1; 6])]);
    open_and_exercise("zero", &tensor(T { shape: &[0, 1 << 62], ..SMALL })).unwrap();
    open_and_exercise("expand", &tensor(T { shape: &[1 << 40], stride: &[0], ..SMALL })).unwrap();
    open_and_exercise("0-d", &tensor(T { shape: &[], stride: &[], offset: 5, ..SMALL })).unwrap();
    for t in [
        T { offset: 1, ..SMALL },
        T { offset: i64::MAX, ..SMALL },
        T { offset: -1, ..SMALL },
        T { shape: &[3, 3], ..SMALL },
        T { shape: &[-2, -3], ..SMALL },
        T { shape: &[1 << 62, 1 << 62], stride: &[0, 0], ..SMALL },
        T { shape: &[2, 3], stride: &[1 << 62, 1 << 62], ..SMALL },
        T { shape: &[2, 3], stride: &[-3, 1], ..SMALL },
        T { shape: &[2], ..SMALL },
        T { numel: -6, ..SMALL },
        T { numel: 1 << 40, ..SMALL },
        T { numel: i64::MAX, class: "DoubleStorage", ..SMALL },
        T { numel: 5, ..SMALL },
        T { class: "NoStorage", ..SMALL },
    ] {
        assert!(open_and_exercise("bounds", &tensor(t)).is_err(), "{t:?}");
    }
    let two = Pickle::new().op(b"(").tensor(&SMALL);
    let two = two.tensor(&T { class: "CharStorage", ..SMALL }).op(b"t").end();
    refused(
        "two types",
        &checkpoint(&two, &[("0", &[1; 6])]),
        "is mentioned as 6 elements of int8",
    );

    let large = tensor(T { shape: &[1 << 31], stride: &[0], ..SMALL });
    let opened = open(&large).unwrap();
    let e = opened.stream(TensorId(0), 0, &mut |_| Ok(())).unwrap_err();
    assert!(matches!(e, Error::Limit { limit: "max_expansion", .. }), "{e}");
}

#[test]
fn pickles_that_lie() {
    let pickle = |bytes: &[u8]| checkpoint(bytes, &[]);
    let refused = |name: &str, bytes: &[u8], words: &str| {
        refused(name, &pickle(bytes), words);
    };
    refused("empty", b"", "without a STOP");
    refused("no stop", b"\x80\x02}", "without a STOP");
    refused("underflow", b"\x80\x02.", "the stack is empty");
    refused("no mark", b"\x80\x02t.", "no MARK");
    refused("mark", b"\x80\x02N(.", "the stack is empty");
    refused("after", b"\x80\x02N.N.", "2 bytes follow");
    refused("unicode", b"X\xFF\xFF\xFF\xFFabc.", "truncated");
    refused("unicode8", b"\x8D\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFabc.", "truncated");
    refused("bytes8", b"\x8E\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7Fabc.", "truncated");
    refused("bytearray8", b"\x96\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7Fabc.", "truncated");
    refused("long4", b"\x8B\xFF\xFF\xFF\x7Fabc.", "truncated");
    refused("long4 negative", b"\x8B\xFF\xFF\xFF\xFFabc.", "an integer of -1 bytes");
    refused("frame", b"\x80\x04\x95\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7FN.", "a frame needs");
    refused("utf-8", b"X\x01\0\0\0\xFF.", "not UTF-8");
    refused("get", b"\x80\x02h\x07.", "memo entry 7 was never set");
    refused("list key", b"}]Ns.", "a list cannot be the key of a dict");
    refused("dict key", b"}}Ns.", "a dict cannot be the key of a dict");
    refused("deep key", b"}]\x85\x85Ns.", "a list cannot be the key of a dict");
    refused("set", b"\x8F(]\x90.", "a list cannot be a member of a set");
    refused("odd", b"}(NNNu.", "a key without a value");
    refused("append", b"}Na.", "no list");
    refused("build", b"]Nb.", "a state is given");
    refused("opcode", b"\xFE.", "is no opcode");
    refused("extension", b"\x82\x01.", "extension registry");
    refused("buffer", b"\x97.", "out-of-band");
    refused("protocol", b"\x80\x06N.", "protocol 6");
    refused("args", b"ctorch._utils\n_rebuild_tensor_v2\nNR.", "must be a tuple");
    refused("no args", b"ctorch._utils\n_rebuild_tensor_v2\n)R.", "arguments");
    refused("pid", b"(X\x07\0\0\0storageNtQ.", "5 arguments");
    refused("digits", &[b"L".as_slice(), &[b'9'; 5000], b"L\n."].concat(), "an integer");

    let load = |bytes: &[u8]| open(&pickle(bytes)).unwrap();
    let root = |c: &Checkpoint| c.tree().node(c.tree().root().unwrap()).clone();
    assert_eq!(
        root(&load(b"}r\xFF\xFF\xFF\xFFj\xFF\xFF\xFF\xFF0.")),
        Node::Dict(Default::default())
    );
    let long = [b"\x8A\xFF".as_slice(), &[7; 255], b"."].concat();
    assert_eq!(root(&load(&long)), Node::BigInt([7; 255].into()));
    assert!(matches!(root(&load(b"(lp0\ng0\na.")), Node::List(l) if l.len() == 1));
    // Equal keys: the first stays, its value is replaced.
    let Node::Dict(d) = root(&load(b"}(K\x01N\x88NG\x3F\xF0\0\0\0\0\0\0K\x02u.")) else { panic!() };
    assert_eq!(d.items.len(), 1);
    // The same by an index, and with a tuple for a key.
    let mut many = Pickle::new().op(b"}(");
    for round in 0..2 {
        for i in 0..1000 {
            many = many.int(i).int(round).op(b"\x86").int(round);
        }
    }
    let Node::Dict(d) = root(&load(&many.op(b"u").end())) else { panic!() };
    assert_eq!(d.items.len(), 2000);
    // Opcodes of protocol 0.
    let text = b"(dp0\nS'a\\x41'\np1\nI01\nsV\\u00e9\np2\nL-5L\nsF1.5\n(I1\nS'x'\ntp3\ns.";
    let Node::Dict(d) = root(&load(text)) else { panic!() };
    assert_eq!(d.items.len(), 3);
}

#[test]
fn copying_again_and_again_is_refused() {
    // list(memo entry 0), many times over.
    let mut p = Pickle::new().op(b"](").op(&[b'N'; 100_000]).op(b"lq\x000(");
    for _ in 0..10_000 {
        p = p.op(b"cbuiltins\nlist\nh\x00\x85R");
    }
    refused("copies", &checkpoint(&p.op(b"l").end(), &[]), "again and again");
}

#[test]
fn bombs_and_deep_nesting() {
    let bomb = |inner: Pickle, wrap: &[u8]| {
        let mut p = inner.op(b"q\x00");
        for i in 0..60u8 {
            p = p.op(b"0").op(wrap).op(&[b'(', b'h', i, b'h', i, b'h', i, b'h', i]);
            p = p.op(if wrap.is_empty() { b"t" } else { b"e" }).op(&[b'q', i + 1]);
        }
        p
    };
    for wrap in [b"]".as_slice(), b""] {
        let empty = checkpoint(&bomb(Pickle::new().op(b"]"), wrap).end(), &[]);
        open_and_exercise("bomb", &empty).unwrap();
        let full = checkpoint(&bomb(Pickle::new().tensor(&SMALL), wrap).end(), &[("0", &[1; 6])]);
        open_and_exercise("bomb of tensors", &full).unwrap();
        let opened = open(&full).unwrap();
        let e = tamed("names", || opened.tree().named_tensors(1_000_000)).unwrap_err();
        assert!(matches!(e, Error::Limit { limit: "max_names", .. }), "{e}");
        assert_eq!(opened.tree().first_names().len(), 1);
    }
    // As the key of a dict, where it must be compared.
    let p = bomb(Pickle::new().op(b"N"), b"").op(b"q\x640").op(b"}h\x64Nsh\x640").end();
    open_and_exercise("bomb as key", &checkpoint(&p, &[])).unwrap();
    // Every path of the bomb leads back to the root, where the only tensor is.
    let mut p = Pickle::new().op(b"]q\xC80");
    p = p.op(b"h\xC8q\x00");
    for i in 0..60u8 {
        p = p.op(b"0").op(&[b']', b'(', b'h', i, b'h', i, b'h', i, b'h', i, b'e', b'q', i + 1]);
    }
    let p = p.op(b"0h\xC8(").op(b"h\x3C").tensor(&SMALL).op(b"e").end();
    let cyclic = checkpoint(&p, &[("0", &[1; 6])]);
    open_and_exercise("cyclic bomb", &cyclic).unwrap();
    let opened = open(&cyclic).unwrap();
    tamed("cyclic names", || opened.tree().named_tensors(1_000_000)).unwrap_err();

    let deep = 200_000;
    for (open_op, close) in [(b"]".as_slice(), b"a".as_slice()), (b"(", b"t"), (b"}N", b"s")] {
        let p = Pickle::new().op(&open_op.repeat(deep)).tensor(&SMALL).op(&close.repeat(deep));
        let bytes = checkpoint(&p.end(), &[("0", &[1; 6])]);
        open_and_exercise("deep", &bytes).unwrap();
        let opened = open(&bytes).unwrap();
        let name = opened.tree().first_names().remove(0).0;
        assert!(name.len() >= deep, "{}", name.len());
    }
    // A tensor at each level: the names alone would take gigabytes.
    let mut p = Pickle::new().op(b"]").tensor(&SMALL).op(b"q\x00a");
    for _ in 0..50_000 {
        p = p.op(b"](h\x00").op(b"]h\x00a");
    }
    let p = p.op(&b"e".repeat(50_000)).end();
    open_and_exercise("long names", &checkpoint(&p, &[("0", &[1; 6])])).unwrap();
    let self_list = checkpoint(b"\x80\x02]q\x00h\x00a.", &[]);
    open_and_exercise("self", &self_list).unwrap();
}

#[test]
fn strange_keys() {
    let p = Pickle::new().op(b"}(").str("../../etc/passwd").tensor(&SMALL);
    let p = p.str("\u{202e}é\u{0}\n").op(b"h\x00").str("").op(b"Nu").end();
    assert!(open(&checkpoint(&p, &[("0", &[1; 6])])).is_err());
    let p = Pickle::new().op(b"}(").str("../../etc/passwd").tensor(&SMALL).op(b"q\x00");
    let p = p.str("\u{202e}é\u{0}\n").op(b"h\x00").str("").op(b"h\x00u").end();
    let opened = open(&checkpoint(&p, &[("0", &[1; 6])])).unwrap();
    let names = opened.tree().named_tensors(10).unwrap();
    let names: Vec<&str> = names.iter().map(|(n, _)| n.as_str()).collect();
    assert_eq!(names, ["../../etc/passwd", "\u{202e}é\u{0}\n", ""]);
    let storage = T { key: "../../x", ..SMALL };
    let p = Pickle::new().tensor(&storage).end();
    open_and_exercise("storage key", &checkpoint(&p, &[("../../x", &[1; 6])])).unwrap();
}

#[test]
fn limits() {
    let p = Pickle::new().op(b"(").op(&b"]".repeat(1000)).op(b"t").end();
    let bytes = checkpoint(&p, &[]);
    let limited = |limits| open_with(&bytes, &Options::new().limits(limits)).unwrap_err();
    let e = limited(Limits { max_nodes: 1000, ..Limits::default() });
    assert!(matches!(e, Error::Limit { limit: "max_nodes", allowed: 1000, .. }), "{e}");
    let e = limited(Limits { max_pickle_bytes: 1000, ..Limits::default() });
    assert!(matches!(e, Error::Limit { limit: "max_pickle_bytes", .. }), "{e}");
}

#[test]
fn truncation_at_each_length() {
    let bytes = sound();
    let file = tempfile::NamedTempFile::new().unwrap();
    assert!(survive(&bytes, file.path()));
    for len in 0..bytes.len() {
        assert!(!survive(&bytes[..len], file.path()), "{len} of {}", bytes.len());
        if len > 4 {
            let e = Checkpoint::open(file.path()).unwrap_err().to_string();
            assert!(e.contains("truncated"), "{e}");
        }
    }
}

#[test]
fn each_byte_flipped() {
    let bytes = sound();
    let file = tempfile::NamedTempFile::new().unwrap();
    for bit in [0x01, 0x80, 0xFF] {
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= bit;
            survive(&bytes, file.path());
        }
    }
}

#[test]
fn each_byte_of_the_pickle_replaced() {
    let p = Pickle::new().op(b"}(").str("w").tensor(&SMALL).str("l");
    let p = p.op(b"](K\x01K\x02\x86q\x00h\x00Neu").end();
    let file = tempfile::NamedTempFile::new().unwrap();
    let opcodes = b"().0123NQRabcdefghijlopqrstu}]\x81\x85\x88\x8a\x8f\x90\x91\x93\x94X\xff\x00";
    for at in 0..p.len() {
        for &op in opcodes {
            let mut bytes = p.clone();
            bytes[at] = op;
            survive(&checkpoint(&bytes, &[("0", &[1; 6])]), file.path());
        }
    }
}
