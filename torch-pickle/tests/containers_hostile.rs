//! Containers made to break a reader: each gives an error or loads safely, in a small stack, little
//! memory and little time. Folders are in `folders_hostile.rs`.

mod common;
#[path = "common/containers.rs"]
mod containers;
#[path = "common/tame.rs"]
mod tame;

use common::heap::Counting;
use common::*;
use containers::*;
use tame::*;
use torch_pickle::Checkpoint;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[track_caller]
fn refused(name: &str, bytes: &[u8], words: &str) {
    let opened = tamed(name, || open(bytes).map(|c| exercise(&c)));
    let e = opened.expect_err(name);
    assert!(e.to_string().contains(words), "{name}: {e}");
}

fn loads(name: &str, bytes: &[u8]) -> Checkpoint {
    tamed(name, || {
        let c = open(bytes).unwrap();
        exercise(&c);
        c
    })
}

/// A stream with one storage of 8 bytes and a part of it.
fn sound_legacy() -> Vec<u8> {
    let whole = |p| legacy_id(p, "ShortStorage", "10", 4, None);
    let part = |p| legacy_id(p, "ShortStorage", "10", 4, Some(("11", 1, 2)));
    let p = tensor_of(Pickle::new().op(b"}(").str("w"), whole, 0, &[4], &[1]);
    let p = tensor_of(p.str("v"), part, 0, &[2], &[1]).op(b"u");
    legacy(&p.end(), &["10"], &[(4, &[1; 8])])
}

fn sound_tar() -> Vec<Member> {
    let storages = tar_storages(&[(1, "ShortStorage", 4, &[1; 8])], &[[2, 1, 1, 2]]);
    let tensors = tar_tensors(&[(10, 1, &[2, 2], &[2, 1], 0), (11, 2, &[2], &[1], 0)]);
    tar_members(storages, tensors, Pickle::new().op(b"](P10\nP11\nP2\ne").end())
}

fn sound_torchscript() -> Vec<u8> {
    let mut all = records(&Pickle::new().tensor(&SMALL).end(), &[("0", &[1; 6])]);
    let constant = T { numel: 2, shape: &[2], stride: &[1], ..SMALL };
    let constants = Pickle::new().op(b"(").tensor(&constant).op(b"t").end();
    all.push(Rec::new("archive/constants.pkl", &constants));
    all.push(Rec::new("archive/constants/0", &[7, 8]));
    zip(&all)
}

#[test]
fn truncation_at_each_length() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let last = sound_tar().last().unwrap().content.len().next_multiple_of(512);
    let tar = tar(&sound_tar());
    // Of the last member only the padding may be missing.
    let padding = last - sound_tar().last().unwrap().content.len();
    for (bytes, spare) in [(sound_legacy(), 0), (tar, padding), (sound_torchscript(), 0)] {
        assert!(survive(&bytes, file.path()));
        for len in 0..bytes.len() {
            let opened = survive(&bytes[..len], file.path());
            assert_eq!(opened, len >= bytes.len() - spare, "{len} of {}", bytes.len());
        }
    }
}

#[test]
fn each_byte_flipped() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for bytes in [sound_legacy(), tar(&sound_tar()), sound_torchscript()] {
        for bit in [0x01, 0x80, 0xFF] {
            for at in 0..bytes.len() {
                let mut bytes = bytes.clone();
                bytes[at] ^= bit;
                survive(&bytes, file.path());
            }
        }
    }
    // The same inside of a tar archive's members, behind headers that are right.
    for member in 1..4 {
        let sound = sound_tar();
        for at in 0..sound[member].content.len() {
            for bit in [0x01, 0x80, 0xFF] {
                let mut members = sound.clone();
                members[member].content[at] ^= bit;
                survive(&tar(&members), file.path());
            }
        }
    }
}

#[test]
fn legacy_streams_that_lie() {
    let id = |class: &str, numel, view| legacy_id(Pickle::new(), class, "10", numel, view).end();
    let byte = |view| id("ByteStorage", 8, view);
    let eight: (i64, &[u8]) = (8, &[1; 8]);
    let stream = |object: &[u8]| legacy(object, &["10"], &[eight]);

    loads("sound", &stream(&byte(Some(("11", 8, 0)))));
    refused("view", &stream(&byte(Some(("11", 4, 5)))), "5 elements from 4 on are said to be part");
    refused("view", &stream(&byte(Some(("11", 1 << 62, 1 << 62)))), "are said to be part");
    refused("view", &stream(&byte(Some(("11", i64::MAX, i64::MAX)))), "are said to be part");
    refused("view", &stream(&byte(Some(("11", -1, 1)))), "a key, an offset and a length");
    refused("own view", &stream(&byte(Some(("10", 0, 8)))), "\"10\" is mentioned in two ways");
    let two = |a: &str, b: &str, of: &str, view| {
        let p = legacy_id(Pickle::new().op(b"("), "ByteStorage", "10", 8, Some((a, 0, 4)));
        let numel = if of == "10" { 8 } else { 4 };
        stream(&legacy_id(p, "ByteStorage", of, numel, Some((b, view, 2))).op(b"t").end())
    };
    refused("view of view", &two("11", "12", "11", 0), "\"11\", which is itself a part");
    refused("view of itself", &two("11", "11", "11", 0), "which is itself a part");
    refused("moved view", &two("11", "11", "10", 1), "\"11\" is mentioned in two ways");
    refused("shorter view", &two("11", "11", "10", 0), "\"11\" is mentioned in two ways");
    // A tensor must lie in its part, not just in the whole.
    let part = |p| legacy_id(p, "ByteStorage", "10", 8, Some(("11", 0, 4)));
    let p = tensor_of(Pickle::new(), part, 1, &[4], &[1]);
    refused("tensor", &stream(&p.end()), "needs 5 bytes, and storage 11 has 4 bytes");
    for view in [b"N".as_slice(), b"NN"] {
        let p = Pickle::new().op(b"(").str("storage").global("torch", "ByteStorage").str("10");
        let p = p.str("cpu").int(8).op(b"((tt").op(view).op(b"tQ");
        assert!(open(&stream(&p.end())).is_err());
    }

    let one = byte(None);
    let listed = |keys: &[&str], storages: &[(i64, &[u8])]| legacy(&one, keys, storages);
    refused("not listed", &listed(&[], &[]), "\"10\" is not among the storages of the file");
    refused("twice", &listed(&["10", "10"], &[eight, eight]), "\"10\" is listed twice");
    refused("unknown", &listed(&["1\n0"], &[eight]), "\"1\\n0\" is listed, and no tensor shows it");
    refused(
        "shorter",
        &listed(&["10"], &[(7, &[1; 8])]),
        "it has 7 elements, and the object says 8",
    );
    refused("negative", &listed(&["10"], &[(-8, &[1; 8])]), "is -8, which is negative");
    refused("cut", &listed(&["10"], &[(8, &[1; 7])]), "truncated: storage 10 needs 8 bytes");
    let with_part = byte(Some(("11", 0, 8)));
    let both = legacy(&with_part, &["10", "11"], &[eight, eight]);
    refused("part", &both, "\"11\" is listed, and is a part of another");
    let part = legacy(&with_part, &["11"], &[eight]);
    refused("part alone", &part, "\"11\" is listed, and is a part of another");
    for (class, numel) in [("DoubleStorage", 1i64 << 62), ("DoubleStorage", i64::MAX)] {
        let bytes = legacy(&id(class, numel, None), &["10"], &[(numel, &[1; 8])]);
        refused("huge", &bytes, "truncated: storage 10 needs");
        let view = id(class, numel, Some(("11", numel - 1, 1)));
        refused("huge view", &legacy(&view, &["10"], &[(numel, &[])]), "truncated: storage 10");
    }

    let whole = stream(&one);
    let magic = magic(2).len();
    let mut other = whole.clone();
    other[magic + 3] = 0;
    refused("protocol", &other, "protocol 1001 was expected");
    refused("magic only", &whole[..magic], "truncated");
    let no_list = [&legacy(&one, &[], &[])[..whole.len() - 16 - keys(&["10"]).len()], b"}."];
    refused("no list", &no_list.concat(), "a list of keys was expected");
    // A frame that is as long as the rest of the file, and one that is longer.
    let framed = |n: u64| [&[0x80, 4, 0x95][..], &n.to_le_bytes(), b"N."].concat();
    let rest = |object: Vec<u8>| stream(&object);
    loads("frame", &legacy(&framed(2), &[], &[]));
    refused("frame", &rest(framed(1 << 40)), "a frame needs");
    let before = legacy(b"", &[], &[]);
    let no_end = [&before[..before.len() - keys(&[]).len()], &[b'N'; 100_000]].concat();
    refused("no end", &no_end, "without a STOP");
}

#[test]
fn legacy_streams_of_many_parts() {
    let count = 30_000;
    let keys: Vec<String> =
        (0..count).map(|i| format!("{}", 94_000_000_000_000 + i * 64)).collect();
    let p = keys.iter().fold(Pickle::new().op(b"]("), |p, key| {
        tensor_of(p, |p| legacy_id(p, "ByteStorage", key, 1, None), 0, &[1], &[1])
    });
    let listed: Vec<&str> = keys.iter().map(|k| &**k).collect();
    let storages = vec![(1, &b"x"[..]); count];
    let bytes = legacy(&p.op(b"e").end(), &listed, &storages);
    let c = tamed("many storages", || open(&bytes).unwrap());
    assert_eq!(c.tree().storages().len(), count);
    // The id of a storage with a long key, again and again for three bytes each.
    let long = "k".repeat(1 << 20);
    for view in [None, Some((&*long, 0, 8))] {
        let key = if view.is_some() { "10" } else { &*long };
        let p = Pickle::new().op(b"](").op(b"(").str("storage").global("torch", "ByteStorage");
        let p = p.str(key).str("cpu").int(8);
        let p = match view {
            Some((key, ..)) => p.op(b"(").str(key).op(b"K\0K\x08t"),
            None => p.op(b"N"),
        };
        let p = p.op(b"tq\0Q").op(&b"h\0Q".repeat(100_000)).op(b"e");
        refused("long key", &legacy(&p.end(), &[key], &[(8, &[1; 8])]), "again and again");
    }
}

fn with(change: impl FnOnce(&mut Vec<Member>)) -> Vec<u8> {
    let mut members = sound_tar();
    change(&mut members);
    tar(&members)
}

#[test]
fn tar_headers_that_lie() {
    loads("sound", &with(|_| ()));
    let len = |text: &[u8; 12]| with(|m| m[1].len = Some(*text));
    refused(
        "long",
        &len(b"77777777777\0"),
        "truncated: member \"storages\" needs 8589934591 bytes",
    );
    refused("negative", &len(b"-0000000001\0"), "no octal number");
    refused("no number", &len(b"0000000abc \0"), "no octal number");
    refused("plus", &len(b"+0000000010\0"), "no octal number");
    refused("inner nul", &len(b"0000\x0000010 \0"), "no octal number");
    refused("none", &len(&[0; 12]), "no octal number");
    refused("base 256", &len(b"\x80\0\0\0\0\0\0\0\0\0\x02\0"), "no octal number");
    refused("base 256", &len(&[0xFF; 12]), "no octal number");
    // The next header is then looked for among the contents.
    refused("short", &len(b"00000000000\0"), "its checksum is wrong");
    refused("twice", &with(|m| m.push(m[3].clone())), "another member \"pickle\" is at byte");
    refused("none", &with(|m| drop(m.remove(2))), "no member tensors");
    refused("folder", &with(|m| m[3].prefix = "x".into()), "no member pickle");
    refused("folder", &with(|m| m[3].kind = b'5'), "member \"pickle\" is no plain file");
    refused("link", &with(|m| m[1].kind = b'2'), "member \"storages\" is no plain file");
    refused("contiguous", &with(|m| m[3].kind = b'7'), "member \"pickle\" is no plain file");
    let extended = |kind, text: &[u8]| {
        let header = Member { kind, ..Member::new("h", text.to_vec()) };
        with(|m| m.insert(3, header))
    };
    loads("times", &extended(b'x', b"20 mtime=1500000.5\n"));
    for (kind, text) in [
        (b'x', &b"12 path=xyz\n"[..]),
        (b'g', b"11 size=10\n"),
        (b'x', &[b' '; 70_000]),
        (b'L', b"pickle\0"),
    ] {
        refused("extended", &extended(kind, text), "in a header of its own");
    }
    refused(
        "newline",
        &with(|m| *m = vec![Member { len: Some([b'7'; 12]), ..Member::new("a\nb", vec![]) }]),
        "member \"a\\nb\"",
    );
    let more = |n: usize| with(|m| m.extend((0..n).map(|i| Member::new(&i.to_string(), vec![]))));
    loads("more", &more(60));
    refused("too many", &more(61), "more than 64 members");
    refused("none of torch", &tar(&[Member::new("a", vec![1])]), "is not one of torch");
}

#[test]
fn tar_tables_that_lie() {
    let storages = |all: &[(i64, &str, i64, &[u8])], parts: &[[i64; 4]]| {
        with(|m| m[1].content = tar_storages(all, parts))
    };
    let one: (i64, &str, i64, &[u8]) = (1, "ShortStorage", 4, &[1; 8]);
    let count = |n: i64| {
        with(|m| {
            let rest = m[1].content.split_off(number(1).len());
            m[1].content = [number(n), rest].concat();
        })
    };
    for n in [-1, 1 << 31, 1 << 62, i64::MAX] {
        refused("count", &count(n), "the number of entries is none, or more than");
    }
    assert!(open(&count(0)).is_err() && open(&count(2)).is_err() && open(&count(50)).is_err());
    let text = with(|m| m[1].content = Pickle::new().str("x").end());
    refused("no count", &text, "the number of entries is none");
    refused("two", &storages(&[one, one], &[]), "there are two storages 1");
    refused(
        "negative",
        &storages(&[(1, "ShortStorage", -4, &[])], &[]),
        "is -4, which is negative",
    );
    refused("huge", &storages(&[(1, "DoubleStorage", 1 << 62, &[])], &[]), "truncated: storage 1");
    refused("class", &storages(&[(1, "NoStorage", 4, &[])], &[]), "none of torch's");
    refused("part", &storages(&[one], &[[2, 1, 1, 4]]), "4 elements from 1 on are said to be part");
    refused("part", &storages(&[one], &[[2, 1, i64::MAX, i64::MAX]]), "are said to be part");
    refused("part", &storages(&[one], &[[2, 1, -1, 1]]), "must be four numbers");
    refused("own part", &storages(&[one], &[[2, 2, 0, 1]]), "storage 2 is not there");
    refused("later part", &storages(&[one], &[[2, 3, 0, 1], [3, 1, 0, 1]]), "3 is not there");
    refused("the whole", &storages(&[one], &[[1, 1, 0, 4]]), "there are two storages 1");
    let endless = with(|m| {
        let list = Pickle::new().op(b"]q\0h\0a").end();
        let parts = Pickle::new().op(b"](").tuple_of(&[0; 4]).op(b"e").end().len();
        let sound = m[1].content.len() - parts;
        m[1].content.truncate(sound);
        m[1].content.extend(list);
    });
    refused("endless", &endless, "must be a tuple");

    let tensors = |all: &[TarTensor<'_>]| with(|m| m[2].content = tar_tensors(all));
    let tensor = |storage, shape: &[i64], stride: &[i64], offset| {
        let sound: TarTensor<'_> = (11, 2, &[2], &[1], 0);
        tensors(&[(10, storage, shape, stride, offset), sound])
    };
    loads("empty", &tensor(1, &[0, 1 << 62], &[1 << 62, 1], 1 << 62));
    loads("expand", &tensor(1, &[1 << 40], &[0], 0));
    loads("0-d", &tensor(2, &[], &[], 1));
    refused("storage", &tensor(7, &[2], &[1], 0), "storage 7, which is not there");
    refused("tensor", &tensor(10, &[2], &[1], 0), "storage 10, which is not there");
    refused("outside", &tensor(1, &[2, 2], &[2, 1], 1), "needs 10 bytes");
    refused("outside the part", &tensor(2, &[2], &[1], 1), "needs 6 bytes, and storage 2 has 4");
    refused("huge", &tensor(1, &[1 << 62, 1 << 62], &[0, 0], 0), "beyond 64 bits");
    refused("huge", &tensor(1, &[2, 2], &[1 << 62, 1 << 62], 0), "more bytes than 64 bits count");
    refused("negative", &tensor(1, &[-2], &[1], 0), "which is negative");
    refused("negative", &tensor(1, &[2], &[-1], 3), "which is negative");
    refused("negative", &tensor(1, &[2], &[1], -1), "which is negative");
    refused("dims", &tensor(1, &[1; 65], &[1; 65], 0), "65 dimensions, more than 64");
    let same: TarTensor<'_> = (10, 1, &[2], &[1], 0);
    refused("two", &tensors(&[same, same]), "there are two tensors 10");
    refused("of a storage's key", &tensors(&[(1, 1, &[2], &[1], 0)]), "there are two tensors 1");
}

#[test]
fn tar_objects_that_mention_what_is_not_theirs() {
    let object = |p: Pickle| with(|m| m[3].content = p.end());
    refused("unknown", &object(Pickle::new().op(b"P99\n")), "not in the archive");
    refused("text", &object(Pickle::new().op(b"Pabc\n")), "not in the archive");
    refused("none", &object(Pickle::new().op(b"NQ")), "not in the archive");
    // An id as the archives of torch have it: there it is a class and its source.
    for key in ["0", "9"] {
        let c = loads("storage", &object(Pickle::new().storage("ByteStorage", key, 6)));
        assert_eq!(c.tree().storages().len(), 2);
    }
    loads("storages", &object(Pickle::new().op(b"](").storage("ByteStorage", "0", 6).op(b"P1\ne")));
    refused("tensor", &object(Pickle::new().tensor(&SMALL)), "rebuilt from what is no storage");
    // What is in the tables is changed for all that mention it, or copied, and never taken away.
    let p = Pickle::new().op(b"](P10\n").global("torch._utils", "_rebuild_parameter");
    let p = p.op(b"(P10\n\x88}tRP10\n}").str("a").op(b"K\x01sb0P10\nP11\nP11\ne");
    let c = loads("shared", &object(p));
    assert_eq!(c.tree().tensors().len(), 3);
    assert_eq!(c.tree().tensors().iter().filter(|t| t.requires_grad).count(), 1);
    let p = Pickle::new().op(b"](P2\n").global("torch._utils", "_rebuild_tensor_v2");
    let p = p.op(b"(P2\nK\0(K\x02tK\x01\x85\x89}tRP2\nP1\ne");
    let c = loads("rebuilt", &object(p));
    assert_eq!(c.tree().tensors().len(), 3);
}

#[test]
fn tar_archives_of_many_entries() {
    let count = 20_000;
    let all: Vec<(i64, &str, i64, &[u8])> =
        (0..count).map(|i| (i, "ByteStorage", 1, &b"x"[..])).collect();
    let parts: Vec<[i64; 4]> = (0..count).map(|i| [count + i, count + i - 1, 0, 1]).collect();
    let parts = [&[[count, 0, 0, 1]], &parts[1..]].concat();
    let shown: Vec<TarTensor<'_>> =
        (0..count).map(|i| (2 * count + i, count + i, &[1][..], &[1][..], 0)).collect();
    let p = (0..count)
        .fold(Pickle::new().op(b"]("), |p, i| p.op(format!("P{}\n", 2 * count + i).as_bytes()));
    let bytes =
        tar(&tar_members(tar_storages(&all, &parts), tar_tensors(&shown), p.op(b"e").end()));
    let c = tamed("many", || open(&bytes).unwrap());
    // Each part is one of the part before, down to the first storage.
    assert!(c.tree().tensors().iter().all(|t| t.storage.0 == 0));
}
