//! Checkpoints of many files made to break a reader: indexes of shards, and the folders of
//! distributed checkpoints.

mod common;
#[path = "common/containers.rs"]
mod containers;
#[path = "common/tame.rs"]
mod tame;

use std::path::Path;

use common::heap::Counting;
use common::*;
use containers::*;
use tame::*;
use torch_pickle::{Checkpoint, Error, Options, TensorId};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn opened(name: &str, path: &Path) -> Result<Checkpoint, Error> {
    tamed(name, || {
        let c = Checkpoint::open(path)?;
        exercise(&c);
        Ok(c)
    })
}

#[track_caller]
fn refused_at(name: &str, path: &Path, words: &str) {
    let e = opened(name, path).expect_err(name).to_string();
    assert!(e.contains(words) && !e.contains('\n'), "{name}: {e}");
    let folder = if path.is_dir() { path } else { path.parent().unwrap() };
    assert!(e.starts_with(&*folder.to_string_lossy()), "{name}: {e}");
}

/// In a folder of its own.
fn written(folder: &Folder) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    folder.write(dir.path());
    dir
}

#[track_caller]
fn refused(name: &str, folder: &Folder, words: &str) {
    refused_at(name, written(folder).path(), words);
}

#[track_caller]
fn loads(name: &str, folder: &Folder) -> Checkpoint {
    opened(name, written(folder).path()).unwrap()
}

/// The first error of a tensor's bytes in a checkpoint that opens.
#[track_caller]
fn unreadable(name: &str, folder: &Folder, words: &str) {
    let dir = written(folder);
    let c = opened(name, dir.path()).unwrap();
    let e = c.stream(TensorId(0), 4096, &mut |_| Ok(())).unwrap_err().to_string();
    assert!(e.contains(words) && e.contains("__0_0.distcp: tensor w at byte "), "{name}: {e}");
    assert!(!c.verify().is_empty(), "{name}");
}

fn small() -> Folder {
    let object = checkpoint(&Pickle::new().op(b"K\x07").end(), &[]);
    let folder = sharded(Folder::default(), "w", &[2, 3], &[vec![1], vec![]]);
    let folder = folder.object("step", "__0_0.distcp", &object);
    folder.way("w", &[Step::Name("m"), Step::Place(1)]).way("step", &[Step::Name("step")])
}

#[test]
fn truncation_and_flips_of_a_folder() {
    let sound = small();
    let dir = written(&sound);
    assert!(survive_at(dir.path()));
    let names = sound.files.keys().map(|name| (name.clone(), sound.files[name].clone()));
    let all: Vec<(String, Vec<u8>)> =
        names.chain([(".metadata".to_owned(), sound.metadata())]).collect();
    for (name, bytes) in &all {
        let path = dir.path().join(name);
        for len in 0..bytes.len() {
            std::fs::write(&path, &bytes[..len]).unwrap();
            assert!(!survive_at(dir.path()), "{name}: {len} of {}", bytes.len());
        }
        for bit in [0x01, 0x80, 0xFF] {
            for at in 0..bytes.len() {
                let mut bytes = bytes.clone();
                bytes[at] ^= bit;
                std::fs::write(&path, bytes).unwrap();
                survive_at(dir.path());
            }
        }
        std::fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn metadata_that_lie() {
    let whole = zip(&piece(&[4], &[1], &[1, 2, 3, 4]));
    let half = zip(&piece(&[2], &[1], &[1, 2]));
    let file = "__0_0.distcp";
    let w = |shape: &[i64]| Folder::default().tensor("w", shape);
    let of = |shape: &[i64], at: &[i64], n: &[i64]| w(shape).chunk(file, at, n, &whole);

    refused("missing", &w(&[4]), "its pieces have 0 of its 4 elements");
    refused("half", &w(&[4]).chunk(file, &[0], &[2], &half), "its pieces have 2 of its 4 elements");
    let overlap = w(&[3]).chunk(file, &[0], &[2], &half).chunk(file, &[1], &[2], &half);
    refused("overlap", &overlap, "its pieces at [0] and [1] overlap");
    let twice = w(&[4]).chunk(file, &[0], &[2], &half).chunk(file, &[0], &[2], &half);
    refused("twice", &twice, "\"w\" is said to be stored in two places");
    refused("outside", &of(&[4], &[1], &[4]), "a piece of [4] at [1] is outside of [4]");
    refused("outside", &of(&[4], &[i64::MAX], &[i64::MAX]), "is outside of [4]");
    refused("dims", &of(&[2, 2], &[0], &[4]), "is outside of [2, 2]");
    refused("dims", &of(&[4], &[0, 0], &[2, 2]), "is outside of [4]");
    refused("negative", &of(&[4], &[-1], &[4]), "from 0 up was expected");
    refused("negative", &of(&[-4], &[0], &[4]), "from 0 up was expected");
    refused("dims", &w(&[1; 65]), "65 dimensions, and at most 64");
    let most = [1 << 62, 1 << 62];
    refused("huge", &of(&most, &[0, 0], &most), "more elements than 64 bits count");
    refused("huge", &of(&[1 << 62, 3], &[0, 0], &[1 << 62, 3]), "64 bits");
    refused("bytes", &of(&[1 << 61], &[0], &[1 << 61]), "beyond 64 bits");
    loads("empty", &w(&[0, i64::MAX]));
    loads("empty chunk", &w(&[0]).chunk(file, &[0], &[0], &half));
    refused("0-d", &w(&[]), "its pieces have 0 of its 1 elements");

    unreadable("other shape", &of(&[5], &[0], &[5]), "shape [4], and int32 of [5] was expected");
    unreadable("huge", &of(&[1 << 60], &[0], &[1 << 60]), "shape [4], and int32 of [1152921504");
    let mut other = of(&[4], &[0], &[4]);
    other.tensors[0].1 = "float32".into();
    unreadable("other type", &other, "int32 of shape [4], and float32 of [4] was expected");
    other.tensors[0].1 = "nonsense".into();
    refused("no type", &other, "the element type of \"w\" is not known");
    let object = checkpoint(&Pickle::new().op(b"]").end(), &[]);
    unreadable("no tensor", &w(&[4]).chunk(file, &[0], &[4], &object), "its piece is no tensor");
    // One number that stands for a tensor without end.
    for len in [4, 1 << 40, 1 << 60] {
        let expanded = zip(&piece(&[len], &[0], &[7]));
        unreadable("expanded", &w(&[len]).chunk(file, &[0], &[len], &expanded), "fewer bytes than");
    }
    let mut records = piece(&[4], &[1], &[1, 2, 3, 4]);
    records[3] = Rec::deflated("archive/data/0", &[1; 16]);
    unreadable("deflated", &w(&[4]).chunk(file, &[0], &[4], &zip(&records)), "is compressed");
    let dir = written(&w(&[4]).chunk(file, &[0], &[4], b"no archive"));
    let c = opened("no archive", dir.path()).unwrap();
    let e = c.stream(TensorId(0), 0, &mut |_| Ok(())).unwrap_err().to_string();
    assert!(e.contains("a zip archive of torch was expected here"), "{e}");
}

#[test]
fn items_that_lie_about_their_files() {
    let whole = zip(&piece(&[4], &[1], &[1, 2, 3, 4]));
    let sound = Folder::default().tensor("w", &[4]).chunk("a.distcp", &[0], &[4], &whole);
    let with = |change: &dyn Fn(&mut Stored)| {
        let mut folder = sound.clone();
        change(&mut folder.stored[0]);
        folder
    };
    for name in ["../a.distcp", "/etc/passwd", "..", ".", "", "a/b", "a\\b", "a\0", "a.distcp/"] {
        refused("name", &with(&|s| s.2 = name.into()), "is no name in the same folder");
    }
    refused("long name", &with(&|s| s.2 = "n".repeat(100_000)), "a name of 100000 bytes");
    refused("no file", &with(&|s| s.2 = "b.distcp".into()), "b.distcp: cannot open");
    for (at, len) in [(1, whole.len() as i64), (0, i64::MAX), (i64::MAX, i64::MAX)] {
        let bad = with(&|s| (s.3, s.4) = (at, len));
        refused("range", &bad, "truncated: \"w\" takes");
    }
    refused("negative", &with(&|s| s.3 = -1), "offset was expected to be a number from 0 up");
    refused(
        "other name",
        &with(&|s| s.0 = "v".into()),
        "nothing says where \"w\" at [0] is stored",
    );
    // The metadata themselves as an item.
    let itself = with(&|s| (s.2, s.3, s.4) = (".metadata".into(), 0, 9));
    let c = loads("itself", &itself);
    assert!(!c.verify().is_empty());
    #[cfg(unix)]
    {
        let dir = written(&with(&|s| s.2 = "socket".into()));
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        refused_at("socket", dir.path(), "\"socket\" of \"w\" is no plain file");
    }
}

/// Metadata whose parts are shared, so that few bytes mention much.
fn refused_metadata(name: &str, p: Pickle, folder: &Folder, words: &str) {
    let dir = tempfile::tempdir().unwrap();
    folder.write_with(dir.path(), &p.end());
    refused_at(name, dir.path(), words);
}

#[test]
fn metadata_that_share_their_parts() {
    let meta = |p: Pickle| object(p, "Metadata").op(b"}(").str("state_dict_metadata").op(b"}(");
    let chunk = |p: Pickle, sizes: &[i64]| {
        let p = object(p, "ChunkStorageMetadata").op(b"}(").str("offsets");
        size(size(p, &[0]).str("sizes"), sizes).op(b"ub")
    };
    let tensor = |p: Pickle, chunks: &[u8]| {
        let p = object(p, "TensorStorageMetadata").op(b"}(").str("properties");
        let p = object(p, "TensorProperties").op(b"(").global("torch", "int8").op(b"N\x89NNtb");
        size(p.str("size"), &[0]).str("chunks").op(chunks).op(b"ub")
    };
    let stored = |p: Pickle| p.op(b"u").str("storage_data").op(b"}(");
    // The same list of 200,000 empty chunks, for 3,000 tensors.
    let p = chunk(Pickle::new(), &[0]).op(b"q\x000](").op(&b"h\0".repeat(200_000)).op(b"eq\x010");
    let p = (0..3000).fold(meta(p), |p, i| tensor(p.str(&i.to_string()), b"h\x01"));
    let p = stored(p).op(b"uub");
    refused_metadata("chunks", p, &Folder::default(), "more chunks than the file has bytes");
    // One chunk 200,000 times.
    let p = chunk(Pickle::new(), &[1]).op(b"q\x000](").op(&b"h\0".repeat(200_000)).op(b"eq\x010");
    let p = stored(tensor(meta(p).str("w"), b"h\x01"));
    let p = object(p, "MetadataIndex").op(b"}(").str("fqn").str("w").str("offset");
    let p = object(size(p, &[0]).op(b"ub"), "_StorageInfo").op(b"}(").str("relative_path").str("a");
    let p = p.str("offset").op(b"K\0").str("length").op(b"K\0ubuub");
    let file = Folder { files: [("a".into(), vec![0])].into(), ..Folder::default() };
    refused_metadata("a chunk", p, &file, "the chunks of \"w\" overlap");
    // A list that holds itself, and sizes that do.
    let p = stored(tensor(meta(Pickle::new()).str("w"), b"]q\0h\0a")).op(b"uub");
    refused_metadata("cycle", p, &Folder::default(), "offsets is missing");
    let p = meta(Pickle::new()).str("w");
    let p = object(p, "TensorStorageMetadata").op(b"}(").str("size").op(b"]q\0h\0aubuub");
    refused_metadata("sizes", p, &Folder::default(), "storage_data was expected to be a dict");
    // One state of many attributes, and one long name, for 30,000 entries.
    let state = (0..100_000).fold(Pickle::new().op(b"}("), |p, i| p.int(i).op(b"N"));
    let name = Pickle::new().str(&"n".repeat(1 << 20));
    for (p, words) in [
        (state.op(b"uq\x000"), "has no fqn"),
        (name.op(b"q\x010}").str("fqn").op(b"h\x01sq\x000"), "no relative_path"),
    ] {
        let p = stored(meta(p));
        let index = b"ctorch.distributed.checkpoint.metadata\nMetadataIndex\n)\x81h\0b";
        let info = object(Pickle::new(), "_StorageInfo").op(b"}b").0;
        let entry = [&index[..], &info[2..]].concat();
        let p = p.op(&entry.repeat(30_000)).op(b"uub");
        refused_metadata("shared", p, &Folder::default(), words);
    }
    let mut items = Pickle::new().str(&"n".repeat(1 << 20)).op(b"q\x000");
    items = stored(meta(items));
    for i in 0..10_000 {
        items = object(items, "MetadataIndex").op(b"}(").str("fqn").op(b"h\0").str("offset");
        items = object(items.op(b"(").int(i).op(b"tub"), "_StorageInfo").op(b"}(");
        items = items.str("relative_path").str("a").str("offset").op(b"K\0");
        items = items.str("length").op(b"K\0ub");
    }
    let dir = tempfile::tempdir().unwrap();
    file.write_with(dir.path(), &items.op(b"uub").end());
    opened("long name", dir.path()).unwrap();
}

#[test]
fn ways_without_end() {
    let object = checkpoint(&Pickle::new().op(b"N").end(), &[]);
    let one = Folder::default().object("a", "f", &object).object("b", "f", &object);
    let way = |way: &[Step]| one.clone().way("a", way);
    let list = |n| [Step::Name("l"), Step::Place(n)];
    loads("long list", &way(&list(60_000)).way("b", &list(0)));
    refused("not in a dict", &way(&[Step::Place(0)]), "does not fit where");
    for n in [1 << 20, 1 << 40, i64::MAX] {
        refused("longer list", &way(&list(n)), "does not fit where");
    }
    let lists = [&list(500)[..], &vec![Step::Place(500); 900]].concat();
    refused("lists", &way(&lists), "\"a\" does not fit where its keys lead");
    loads("too deep", &way(&vec![Step::Place(0); 1001]));
    let deep = loads("deep", &way(&vec![Step::Name("d"); 1000]));
    assert!(deep.tree().nodes().len() < 2000);
    let both = way(&[Step::Name("d")]).way("b", &[Step::Name("d"), Step::Name("e")]);
    refused("through a value", &both, "\"b\" does not fit where its keys lead");
    refused("twice", &way(&[Step::Name("d")]).way("b", &[Step::Name("d")]), "\"b\" does not fit");
    // Ways of one long name, which is there once.
    let p = Pickle::new().str(&"n".repeat(1 << 20)).op(b"q\x000");
    let mut metadata = one.metadata();
    let at = find(&metadata, b"planner_data") + 12 + 2;
    let ways = [b"a", b"b"].map(|name| {
        let way = [&b"(X\x04\0\0\0way"[..], name, &b"h\0".repeat(990), b"t"].concat();
        [&b"X\x01\0\0\0"[..], name, &way].concat()
    });
    metadata.splice(at..at, ways.concat());
    let dir = tempfile::tempdir().unwrap();
    one.write_with(dir.path(), &[&p.0[..], &metadata[2..]].concat());
    opened("long names", dir.path()).unwrap();
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).position(|w| w == what).unwrap()
}

#[test]
fn objects_that_are_read_many_times_or_inflated() {
    let text = "x".repeat(1 << 20);
    let large = checkpoint(&Pickle::new().str(&text).end(), &[]);
    let mut folder = Folder::default().object("0", "f", &large);
    for i in 1..5000 {
        folder.objects.push(i.to_string());
        let again = folder.stored[0].clone();
        folder.stored.push((i.to_string(), again.1, again.2, again.3, again.4));
    }
    refused("many times", &folder, "\"1\" overlaps another item of \"f\"");
    let mut records = records(b"", &[]);
    records[0] = Rec::deflated("archive/data.pkl", &Pickle::new().str(&text.repeat(8)).end());
    let bomb = zip(&records);
    let folder = (0..200).fold(Folder::default(), |f, i| f.object(&i.to_string(), "f", &bomb));
    refused("inflated", &folder, "max_pickle_bytes");
}

#[test]
fn many_pieces_cost_what_they_are() {
    // A run of one element in each of many rows, read in small parts.
    let rows = 400_000;
    let sides: Vec<i32> = (0..rows as i32).collect();
    let side = zip(&piece(&[1, rows, 1], &[rows, 1, 1], &sides));
    let f = Folder::default().tensor("w", &[1, rows, 2]);
    let f =
        f.chunk("a", &[0, 0, 0], &[1, rows, 1], &side).chunk("b", &[0, 0, 1], &[1, rows, 1], &side);
    let c = loads("columns", &f);
    drop(c);
    let dir = written(&f);
    let c = Checkpoint::open(dir.path()).unwrap();
    tamed("columns", || {
        let mut n = 0;
        c.stream(TensorId(0), 4096, &mut |bytes| {
            n += bytes.len() as i64;
            Ok(())
        })
        .unwrap();
        assert_eq!(n, 8 * rows);
    });
    // Thousands of pieces in one file, of which each read meets few.
    let count = 3000;
    let two = zip(&piece(&[2], &[1], &[1, 2]));
    let f = (0..count).fold(Folder::default().tensor("w", &[2 * count]), |f, i| {
        f.chunk("__0_0.distcp", &[2 * i], &[2], &two)
    });
    let dir = written(&f);
    let c = tamed("pieces", || Checkpoint::open(dir.path()).unwrap());
    tamed("pieces", || {
        let mut out = vec![0; 8 * count as usize];
        c.read_into(TensorId(0), &mut out).unwrap();
        assert!(out.chunks(8).all(|two| *two == [1, 0, 0, 0, 2, 0, 0, 0]));
    });
}

#[test]
fn indexes_that_lie() {
    let dir = tempfile::tempdir().unwrap();
    let index = dir.path().join("pytorch_model.bin.index.json");
    let sound = checkpoint(
        &Pickle::new().op(b"}").str("w").tensor(&SMALL).op(b"s").end(),
        &[("0", &[1; 6])],
    );
    std::fs::write(dir.path().join("a.bin"), &sound).unwrap();
    std::fs::write(dir.path().join("list.bin"), checkpoint(b"\x80\x02].", &[])).unwrap();
    std::fs::write(dir.path().join("text.bin"), b"text").unwrap();
    std::fs::create_dir(dir.path().join("folder")).unwrap();
    sharded(Folder::default(), "w", &[1], &[vec![]]).write(&dir.path().join("folder"));
    let other = dir.path().join("other.index.json");
    std::fs::write(&other, r#"{"weight_map": {"w": "pytorch_model.bin.index.json"}}"#).unwrap();
    let named = |file: &str| format!(r#"{{"weight_map": {{"w": {file}}}}}"#);
    std::fs::write(&index, named("\"a.bin\"")).unwrap();
    opened("sound", &index).unwrap();
    for (text, words) in [
        (named(r#""pytorch_model.bin.index.json""#), "an index was named by an index"),
        (named(r#""other.index.json""#), "an index was named by an index"),
        (named(r#""../a.bin""#), "is no name in the same folder"),
        (named(r#""/a.bin""#), "is no name in the same folder"),
        (named(r#""""#), "is no name in the same folder"),
        (named(r#""a.bin\u0000""#), "is no name in the same folder"),
        (named(&format!("\"{}\"", "n".repeat(5000))), "is no name in the same folder"),
        (named(r#""folder""#), "\"folder\" of \"w\" is no plain file"),
        (named(r#""none.bin""#), "cannot open"),
        (named(r#""text.bin""#), "not a pytorch file"),
        (named(r#""list.bin""#), "a dict of tensors was expected"),
        (named("3"), "the file of \"w\" is no string"),
        (r#"{"weight_map": {"v": "a.bin"}}"#.into(), "\"a.bin\" was expected to hold \"v\""),
        (r#"{"weight_map": []}"#.into(), "a weight_map was expected"),
        ("{".into(), "no valid json"),
        ("{\"a\":".repeat(100_000), "no valid json"),
        (r#"{"weight_map": {"w": "a.bin"}} {}"#.into(), "no valid json"),
    ] {
        std::fs::write(&index, &text).unwrap();
        refused_at(&text[..text.len().min(80)], &index, words);
    }
    let sound = named("\"a.bin\"");
    for len in 0..sound.len() {
        std::fs::write(&index, &sound[..len]).unwrap();
        assert!(!survive_at(&index), "{len}");
    }
    for bit in [0x01, 0x80, 0xFF] {
        for at in 0..sound.len() {
            let mut bytes = sound.clone().into_bytes();
            bytes[at] ^= bit;
            std::fs::write(&index, bytes).unwrap();
            survive_at(&index);
        }
    }
    std::fs::write(&index, sound).unwrap();
    assert!(Checkpoint::open_with(&index, &Options::default()).is_ok());
}
