//! Writes the seeds, from which fuzzing starts: `cargo run --bin seeds` in `fuzz/`.
//!
//! Most are what the libraries themselves write; the others are put together from the parts that
//! only a foreign writer uses: compressed records, opcodes of protocol 4, segments.

#![forbid(unsafe_code)]

use std::error::Error;
use std::fs;
use std::path::Path;

use numpack_format::side::{ArrayNote, Float, Hex, Node as SideNode, Object, View};
use numpack_format::{Compression, PackOptions, Package, SideInfo, Store, Writer, pack, side};
use numpack_fuzz::{Method, Scratch, StoreInput, Zip, checkpoint, neighbour_suffix, with_checksum};
use numpack_interop::{Export, NoProgress, Tensors, export_file};
use torch_pickle::{
    Checkpoint, Construct, DType, Dict, Global, Node, NodeId, Storage, StorageType, Tensor,
    TensorClass, Tree, WriteOptions,
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let scratch = Scratch::new();
    for (target, seeds) in [
        ("archive", archives(&scratch)?),
        ("pickle", pickles(&scratch)?),
        ("scan", scanned(&scratch)?),
        ("legacy", both(&LEGACY, numpack_fuzz::legacy)),
        ("tar", both(&TAR, numpack_fuzz::tar)),
        ("export", exports()),
        ("metadata", stores(&scratch)?),
        ("bitmap", bitmaps()),
        ("redo", records()),
        ("segments", segment_lists()),
        ("side", sides()?),
        ("package", packages(&scratch)?),
        ("neighbours", neighbours(&scratch)?),
    ] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
        fs::create_dir_all(&folder)?;
        for (name, bytes) in seeds {
            assert!(bytes.len() < 4096, "{target}/{name} is too large");
            is_read(target, &bytes, &scratch).map_err(|e| format!("{target}/{name}: {e}"))?;
            fs::write(folder.join(name), bytes)?;
        }
    }
    fs::remove_dir_all(scratch.path(""))?;
    Ok(())
}

/// A seed that is refused would lead nowhere.
fn is_read(target: &str, bytes: &[u8], scratch: &Scratch) -> Result<()> {
    let open = |bytes: &[u8]| Checkpoint::open(scratch.write("seed.pt", bytes)).map(|_| ());
    match target {
        "archive" => open(bytes)?,
        "pickle" => open(&checkpoint(bytes))?,
        "legacy" | "tar" if bytes[0] % 2 == 1 => open(&bytes[1..])?,
        "legacy" => open(&numpack_fuzz::legacy(&bytes[1..]))?,
        "tar" => open(&numpack_fuzz::tar(&bytes[1..]))?,
        "export" => open(&numpack_fuzz::export(bytes))?,
        "side" => SideInfo::decode(bytes).map(|_| ())?,
        // Read by their targets, around what they make up.
        "bitmap" | "redo" | "segments" => {}
        // Any file can be scanned.
        "scan" => {}
        "neighbours" => {
            let name = format!("seed.{}", neighbour_suffix(bytes[0]));
            Tensors::open(scratch.write(&name, &bytes[1..])).map(|_| ())?;
        }
        "package" => Package::open(scratch.write("seed.npkg", bytes))?.verify()?,
        _ => {
            let store = scratch.path("read.npk");
            fs::create_dir_all(store.join("data_a_segments"))?;
            fs::write(store.join("data_a_segments/seg_000000.npkd"), [0; 64])?;
            for (name, bytes) in StoreInput::of(bytes).files() {
                fs::write(store.join(name), bytes)?;
            }
            let outcome = Store::open(&store).and_then(|s| s.array("a")).map(|_| ());
            fs::remove_dir_all(&store)?;
            outcome?;
        }
    }
    Ok(())
}

/// The descriptions of an exported, a compiled and an old model.
fn exports() -> Seeds {
    let meta = r#"{"dtype":7,"sizes":[{"as_int":2},{"as_int":4}],"requires_grad":true,"device":{"type":"cpu","index":null},"strides":[{"as_int":1},{"as_int":2}],"storage_offset":{"as_int":8},"layout":7}"#;
    let entry = |record: &str, pickled: bool, meta: &str| {
        format!(
            r#"{{"path_name":"{record}","is_param":true,"use_pickle":{pickled},"tensor_meta":{meta}}}"#
        )
    };
    let config = |entries: &[(&str, String)]| {
        let entries: Vec<_> = entries.iter().map(|(n, e)| format!("\"{n}\":{e}")).collect();
        format!(r#"{{"config":{{{}}}}}"#, entries.join(","))
    };
    let weights = config(&[
        ("w", entry("weight_2", false, meta)),
        ("v", entry("weight_2", false, meta)),
        ("p", entry("p", true, "null")),
    ]);
    let constants = config(&[
        ("c", entry("tensor_3", false, meta)),
        ("a", entry("custom_obj_p", true, "null")),
        ("o", entry("opaque_obj_p", true, "null")),
    ]);
    let compiled = r#"{"w":["p",[2,2],[2,1],3],"v":["p",[],[],5]}"#;
    let tensor = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x002X\x03\0\0\0cpuK\x10tQK\0K\x04K\x04\x86K\x04K\x01\x86\x89ccollections\nOrderedDict\n)RtR";
    let bare = [b"\x80\x02", &tensor[..], b"."].concat();
    let dict = [b"\x80\x02}X\x01\0\0\0w", &tensor[..], b"s."].concat();
    let seed = |kind: u8, weights: &str, constants: &[u8], pickle: &[u8]| {
        [&[kind], weights.as_bytes(), &[255], constants, &[255], pickle].concat()
    };
    vec![
        ("exported", seed(0, &weights, constants.as_bytes(), b"\x80\x02].")),
        ("big_endian", seed(130, &weights, constants.as_bytes(), b"\x80\x02].")),
        ("compiled", seed(1, compiled, b"", &bare)),
        ("old", seed(3, "", b"", &dict)),
    ]
}

type Seeds = Vec<(&'static str, Vec<u8>)>;

/// An object with a storage for each record that `checkpoint` makes, and one of everything.
fn object() -> Tree {
    let mut t = Tree::new();
    let mut storage = |key: &str, dtype, numel| {
        let location = if key == "2" { "cuda:0" } else { "cpu" };
        t.add_storage(Storage { key: key.into(), dtype, location: location.into(), numel })
    };
    let empty = storage("0", StorageType::Typed(DType::Float32), 0);
    let long = storage("1", StorageType::Typed(DType::Int64), 1);
    let float = storage("2", StorageType::Typed(DType::Float32), 16);
    let raw = storage("3", StorageType::Untyped, 4096);
    let mut tensor = |tensor| {
        let id = t.add_tensor(tensor);
        t.add(Node::Tensor(id))
    };
    let none = tensor(Tensor::contiguous(empty, DType::Float32, &[0, 3]));
    let zero_d = tensor(Tensor::contiguous(long, DType::Int64, &[]));
    let weight = tensor(Tensor {
        class: TensorClass::Parameter,
        requires_grad: true,
        ..Tensor::contiguous(float, DType::Float32, &[4, 4])
    });
    let transposed = tensor(Tensor {
        stride: [1, 4].into(),
        offset: 1,
        ..Tensor::contiguous(float, DType::Float32, &[3, 2])
    });
    let raw_view = tensor(Tensor::contiguous(raw, DType::BFloat16, &[2, 1024]));
    let metadata = dict(&mut t, &[("version", Node::Int(1))]);
    let metadata = node_dict(&mut t, &[("", metadata)]);
    let attributes = node_dict(&mut t, &[("_metadata", metadata)]);
    let items = [("none", none), ("step", zero_d), ("l.weight", weight), ("l.t", transposed)]
        .map(|(k, v)| (t.add(Node::Str(k.into())), v));
    let state = t.add(Node::Dict(Dict {
        ordered: true,
        items: items.to_vec(),
        attributes: Some(attributes),
    }));
    let plain = [
        Node::None,
        Node::Bool(true),
        Node::Int(-70000),
        Node::BigInt([0, 0, 0, 0, 0, 0, 0, 0, 1].into()),
        Node::Float(0.1),
        Node::Bytes(b"\x80\xff".as_slice().into()),
        Node::ByteArray(b"ab".as_slice().into()),
        Node::Global(Box::new(Global::new("torch", "float32"))),
    ]
    .map(|n| t.add(n));
    let tuple = t.add(Node::Tuple(plain.to_vec()));
    let one = t.add(Node::Int(1));
    let set = t.add(Node::Set(vec![one, plain[4]]));
    let list = t.add(Node::List(vec![tuple, set, raw_view, weight]));
    if let Node::List(items) = t.node_mut(list) {
        items.push(list);
    }
    let root = node_dict(&mut t, &[("model", state), ("rest", list)]);
    t.set_root(root);
    t
}

/// A module with one parameter, as `torch.save(module)` writes it.
fn module(len: u64) -> Tree {
    let mut t = Tree::new();
    let storage = t.add_storage(Storage {
        key: "0".into(),
        dtype: StorageType::Typed(DType::Float32),
        location: "cpu".into(),
        numel: len,
    });
    let id = t.add_tensor(Tensor {
        class: TensorClass::Parameter,
        ..Tensor::contiguous(storage, DType::Float32, &[len])
    });
    let bias = t.add(Node::Tensor(id));
    let parameters = node_dict(&mut t, &[("bias", bias)]);
    let empty = node_dict(&mut t, &[]);
    let hidden = t.add(Node::Set(vec![]));
    let state = node_dict(
        &mut t,
        &[
            ("_parameters", parameters),
            ("_buffers", empty),
            ("_modules", empty),
            ("_non_persistent_buffers_set", hidden),
        ],
    );
    let callable = t.add(Node::Global(Box::new(Global::new("torch.nn.modules.linear", "Linear"))));
    let args = t.add(Node::Tuple(vec![]));
    let root = t.add(Node::Object(Box::new(torch_pickle::Object {
        construct: Construct::New,
        callable,
        args,
        kwargs: None,
        state: Some(state),
        appended: vec![],
        items: vec![],
    })));
    t.set_root(root);
    t
}

fn dict(t: &mut Tree, items: &[(&str, Node)]) -> NodeId {
    let items: Vec<_> = items.iter().map(|(k, v)| (*k, t.add(v.clone()))).collect();
    node_dict(t, &items)
}

fn node_dict(t: &mut Tree, items: &[(&str, NodeId)]) -> NodeId {
    let items = items.iter().map(|&(k, v)| (t.add(Node::Str(k.into())), v)).collect();
    t.add(Node::Dict(Dict { items, ..Dict::default() }))
}

fn written(scratch: &Scratch, tree: &Tree) -> Result<Vec<u8>> {
    let path = scratch.path("seed.pt");
    let bytes: Vec<Vec<u8>> =
        tree.storages().iter().map(|s| vec![7; s.nbytes().unwrap_or(0) as usize]).collect();
    torch_pickle::write(&path, tree, &WriteOptions::new(), &mut &bytes[..])?;
    Ok(fs::read(path)?)
}

/// The pickle of a file that this library wrote: its first record, stored.
fn pickle_of(file: &[u8]) -> Vec<u8> {
    let at = |i: usize| usize::from(u16::from_le_bytes([file[i], file[i + 1]]));
    let start = 30 + at(26) + at(28);
    file[start..start + at(18)].to_vec()
}

fn archives(scratch: &Scratch) -> Result<Seeds> {
    let small = pickle_of(&written(scratch, &module(2))?);
    let stored = |zip: Zip, order: &[u8], method| {
        zip.add("m/data.pkl", method, &small)
            .add("m/byteorder", Method::Stored, order)
            .add("m/data/0", method, &[1, 2, 3, 4, 5, 6, 7, 8])
            .add("m/version", Method::Stored, b"3\n")
            .finish()
    };
    Ok(vec![
        ("written", written(scratch, &module(2))?),
        ("no_checksums", stored(Zip::new(), b"little", Method::Stored)),
        ("big_endian", stored(Zip::new(), b"big", Method::Stored)),
        ("deflated", stored(Zip::new(), b"little", Method::Deflated)),
    ])
}

/// Pickles that say what they do, hide it, or do nothing; alone and in archives.
fn scanned(scratch: &Scratch) -> Result<Seeds> {
    let plain = b"cos\nsystem\n(S'true'\ntR.";
    let memo = b"\x80\x04\x8c\x06system\x940\x8c\x02os\x94h\x00\x93\x8c\x04true\x85R.";
    let inner = [b"\x80\x04cpickle\nloads\nC\x19".as_slice(), plain, b"\x85R."].concat();
    let archive = Zip::new()
        .add("m/data.pkl", Method::Deflated, b"\x80\x02}.")
        .add("m/x.pkl", Method::Stored, plain)
        .add("m/version", Method::Stored, b"3\n")
        .finish();
    let array = [
        b"\x93NUMPY\x01\0\x36\0{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n".as_slice(),
        plain,
    ]
    .concat();
    Ok(vec![
        ("written", written(scratch, &module(2))?),
        ("protocol_0", plain.to_vec()),
        ("memo", memo.to_vec()),
        ("inner", inner),
        ("archive", archive),
        ("array", array),
    ])
}

fn pickles(scratch: &Scratch) -> Result<Seeds> {
    // {1, 2, frozenset of 3}, a shared list, keyword arguments, a bytearray.
    let protocol_4 = [
        b"\x80\x04\x95\x40\0\0\0\0\0\0\0}\x94(\x8c\x01s\x94\x8f\x94(K\x01K\x02(K\x03\x91\x94\x90".as_slice(),
        b"\x8c\x01l\x94]\x94(h\x01h\x02e\x8c\x01o\x94\x8c\x01m\x94\x8c\x01C\x94\x93\x94)}\x8c\x01kK\x01s\x92\x94",
        b"\x8c\x01b\x96\x02\0\0\0\0\0\0\0xyC\x02ab\x94B\x01\0\0\0cu.",
    ]
    .concat();
    // Text opcodes, as protocol 0 has them, and an object with state.
    let protocol_0 =
        b"(dp0\nS'k'\np1\n(lp2\nI1\naI01\naL5L\naF0.5\naVtext\nag2\nasS'o'\n(im\nC\np3\n(dS'a'\nI2\nsbs.";
    let quantised = b"\x80\x02ctorch._utils\n_rebuild_qtensor\n((X\x07\0\0\0storagectorch\nQInt8Storage\nX\x01\0\0\x001X\x03\0\0\0cpuK\x08tQK\0K\x08\x85K\x01\x85(ctorch\nper_tensor_affine\nG?\xb9\x99\x99\x99\x99\x99\x9aK\x00t\x89ccollections\nOrderedDict\n)RtR.";
    let attributes = b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\nctorch\nTensor\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x001X\x03\0\0\0cpuK\x02tQK\0K\x02\x85K\x01\x85\x89ccollections\nOrderedDict\n)R}X\x03\0\0\0neg\x88st}X\x01\0\0\0aK\x01stR.";
    Ok(vec![
        ("object", pickle_of(&written(scratch, &object())?)),
        ("module", pickle_of(&written(scratch, &module(0))?)),
        ("protocol_4", protocol_4),
        ("protocol_0", protocol_0.to_vec()),
        ("quantised", quantised.to_vec()),
        ("attributes", attributes.to_vec()),
    ])
}

/// Three storages, of which one is a part of another, and a tensor of each.
const LEGACY: [&[u8]; 6] = [
    &[2, 6, 4, 2, 3, 0, 1, 2, 3, 4],
    &[0, 0, 0, 0, 2, 2, 3, 0, 0, 0],    // all of storage 0
    &[0, 0, 0, 2, 5, 2, 4, 1, 4, 0, 0], // part 5 of it
    &[0x80, 1, 0, 1, 1, 2, 2, 1],       // each second element of storage 1, twice
    &[3, 2, 0, 0],                      // storage 2 itself
    &[0],
];
const TAR: [&[u8]; 6] = [
    &[2, 2, 0, 0, 0, 6, 1, 0, 4],       // storages 0 and 1
    &[1, 0, 0, 1, 4],                   // part 4 of storage 0
    &[2, 0, 0, 0, 2, 2, 3, 0, 0, 0, 0], // tensor 16, of storage 0
    &[4, 0, 1, 4, 0, 0, 0],             // tensor 17, of part 4
    &[5, 3, 0, 3, 1, 2, 0, 3, 129, 1],  // what the object mentions
    &[0],
];

/// What a file is put together from, and the file.
fn both(parts: &[&[u8]], make: fn(&[u8]) -> Vec<u8>) -> Seeds {
    let input = parts.concat();
    let file = make(&input);
    vec![("parts", [&[0], &input[..]].concat()), ("file", [&[1], &file[..]].concat())]
}

fn stores(scratch: &Scratch) -> Result<Seeds> {
    let path = scratch.path("seed.npk");
    let data: Vec<u8> = (0..32).collect();
    let mut writer = Writer::replace(&path)?;
    writer.save(
        "a",
        &numpack_format::View::strided(numpack_format::DType::F32, &[4, 2], &[8, 4], &data, 0),
    )?;
    writer.commit()?;
    let mut metadata = fs::read(path.join("metadata.npkm"))?;
    // The time stands behind the name; without it each run writes the same seeds.
    let at = find(&metadata, b"data_a.npkd").ok_or("the data file is named")?;
    metadata[at + 11..at + 19].fill(0);
    let plain = StoreInput { metadata, data, ..StoreInput::default() };

    // Rows 0 and 2 are live.
    let bitmap: Vec<u8> = [4u64, 2, 0b101].iter().flat_map(|w| w.to_le_bytes()).collect();
    let dropped = StoreInput { bitmap, ..plain.clone() };

    let mut segmented = plain.clone();
    segmented.metadata.splice(at..at + 11, *b"data_a.npkseg");
    segmented.metadata[at - 4] += 2;
    segmented.segments = br#"{"version":1,"segments":[{"file":"data_a_segments/seg_000000.npkd","rows":2,"bytes":16},{"file":"data_a.npkd","rows":2,"bytes":16}]}"#.to_vec();

    let mut changed = plain.clone();
    changed.complete_redo = true;
    let text = |s: &str| [&(s.len() as u32).to_le_bytes(), s.as_bytes()].concat();
    let one = 1u32.to_le_bytes();
    changed.redo = [
        &[2, 8, 9][..],
        &0u32.to_le_bytes(),
        &one,
        &text("deleted_a.npkb"),
        &(dropped.bitmap.len() as u64).to_le_bytes(),
        &dropped.bitmap,
        &one,
        &text("deleted_b.npkb"),
        &one,
        &text("0.new"),
        &text("data_a.npkd"),
        &32u64.to_le_bytes(),
        &(plain.metadata.len() as u64).to_le_bytes(),
        &plain.metadata,
        &one,
        &text("data_a_segments/seg_000000.npkd"),
        &one,
        &text("data_a_segments"),
    ]
    .concat();

    for input in [&plain, &dropped, &segmented, &changed] {
        assert_eq!(*input, StoreInput::of(&input.to_bytes()));
    }
    Ok(vec![
        ("plain", plain.to_bytes()),
        ("dropped_rows", dropped.to_bytes()),
        ("segments", segmented.to_bytes()),
        ("redo", changed.to_bytes()),
    ])
}

/// Bitmaps of 70 rows, with and without the header.
fn bitmaps() -> Seeds {
    let words = |w: &[u64]| w.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
    let rows = |bytes: Vec<u8>| [&[70], &bytes[..]].concat();
    vec![
        ("header", rows(words(&[70, 2, u64::MAX - 2, 0b10_1111]))),
        ("bare", rows(words(&[0x5555_5555_5555_5555, 1]))),
        ("shorter", rows(words(&[64, 0, u64::MAX]))),
        ("none", rows(words(&[70, 70, 0, 0]))),
    ]
}

/// Changes of the store that the target makes: of each kind one.
fn records() -> Seeds {
    let text = |s: &str| [&(s.len() as u32).to_le_bytes(), s.as_bytes()].concat();
    let none = 0u32.to_le_bytes();
    let one = 1u32.to_le_bytes();
    let long = |n: &[u64]| n.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    // Runs are by where their bytes are in the record.
    let rows = [&one[..], &text("data_b.npkd"), &long(&[2, 1, 1, 16, 5, 2, 17])].concat();
    let bitmap = long(&[32, 30, 3]);
    let bitmaps = [&one[..], &text("deleted_a.npkb"), &long(&[24]), &bitmap].concat();
    let moved = [&one[..], &text("0.new"), &text("data_a.npkd"), &long(&[32])].concat();
    let record = |rows: &[u8], bitmaps: &[u8], stale: &[u8], moved: &[u8], gone: &[u8]| {
        [&[3, 91, 92, 93], rows, bitmaps, stale, moved, &long(&[0]), gone].concat()
    };
    let gone = [&one[..], &text("data_a_segments/seg_000000.npkd"), &one, &text("data_a_segments")];
    let (gone, nothing) = (gone.concat(), [none, none].concat());
    let stale = [&one[..], &text("deleted_b.npkb")].concat();
    vec![
        ("rows", record(&rows, &none, &none, &none, &nothing)),
        ("bitmap", record(&none, &bitmaps, &none, &none, &nothing)),
        ("moved", record(&none, &none, &none, &moved, &nothing)),
        ("all", record(&rows, &bitmaps, &stale, &moved, &gone)),
    ]
}

/// Segment lists of 40 rows.
fn segment_lists() -> Seeds {
    let list = |s: &str| s.as_bytes().to_vec();
    vec![
        (
            "two",
            list(
                r#"{"version":1,"segments":[{"file":"data_a_segments/seg_000000.npkd","rows":30,"bytes":30},{"file":"data_a.npkd","rows":10,"bytes":10}]}"#,
            ),
        ),
        (
            "one",
            list(
                r#"{"version":1,"segments":[{"file":"data_a_segments/seg_000000.npkd","rows":40,"bytes":40}]}"#,
            ),
        ),
    ]
}

/// Packages of the store that the `metadata` seeds begin with, rows dropped, and one that the public
/// package made.
fn packages(scratch: &Scratch) -> Result<Seeds> {
    let store = scratch.path("packed.npk");
    fs::create_dir_all(&store)?;
    let seeds = stores(scratch)?;
    let dropped = seeds.iter().find(|s| s.0 == "dropped_rows").ok_or("there is such a seed")?;
    for (name, bytes) in StoreInput::of(&dropped.1).files() {
        fs::write(store.join(name), bytes)?;
    }
    let file = scratch.path("packed.npkg");
    let packed = |compression| -> Result<Vec<u8>> {
        let options = PackOptions { compression, overwrite: true, ..PackOptions::default() };
        pack(&store, &file, &options)?;
        Ok(fs::read(&file)?)
    };
    let zlib = packed(Compression::Zlib)?;
    let stored = packed(Compression::Stored)?;
    let mut version_1 = stored.clone();
    version_1[4] = 1;
    let file = scratch.write("packed.npkg", &version_1);
    let version_1 = with_checksum(&version_1, &file).ok_or("only its checksum is wrong")?;
    let hex = include_str!("../../../numpack-format/tests/data/zstd.hex").trim();
    let zstd = (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16));
    Ok(vec![
        ("stored", stored),
        ("zlib", zlib),
        ("version_1", version_1),
        ("zstd", zstd.collect::<std::result::Result<_, _>>()?),
    ])
}

/// What is written of one checkpoint, and what only others write: deflated records, another byte
/// order.
fn neighbours(scratch: &Scratch) -> Result<Seeds> {
    let mut tree = Tree::new();
    let mut items = Vec::new();
    for (name, dtype, shape) in [("a.b", DType::Float32, &[2, 3][..]), ("c", DType::Int64, &[])] {
        let numel = shape.iter().product();
        let key = items.len().to_string().into();
        let (dtype, location) = (dtype, "cpu".into());
        let storage = Storage { key, dtype: StorageType::Typed(dtype), location, numel };
        let storage = tree.add_storage(storage);
        let tensor = tree.add_tensor(Tensor::contiguous(storage, dtype, shape));
        let key = tree.add(Node::Str(name.into()));
        items.push((key, tree.add(Node::Tensor(tensor))));
    }
    let root = tree.add(Node::Dict(Dict { items, ..Dict::default() }));
    tree.set_root(root);
    let pt = scratch.write("neighbours.pt", &written(scratch, &tree)?);
    let mut seeds = Seeds::new();
    for (kind, name) in [(0u8, "npy"), (1, "npz"), (2, "safetensors")] {
        let out = scratch.path(&format!("seed.{name}"));
        let options = if kind == 0 { Export::new().key("a.b") } else { Export::new() };
        export_file(&pt, &out, &options, &mut NoProgress)?;
        seeds.push((name, [&[kind][..], &fs::read(out)?].concat()));
    }
    let text = "{'descr': '>c8', 'fortran_order': True, 'shape': (2, 1), }\n";
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    npy.extend(u16::try_from(text.len())?.to_le_bytes());
    npy.extend(text.as_bytes());
    npy.extend(0..16);
    let zip = Zip::new().add("x.npy", Method::Deflated, &npy).finish();
    seeds.push(("deflated", [&[1][..], &zip].concat()));
    seeds.push(("big_endian", [&[0][..], &npy].concat()));
    Ok(seeds)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

fn sides() -> Result<Seeds> {
    let note = |name: &str, stored: numpack_format::DType, trailing: &[u64]| ArrayNote {
        name: name.into(),
        stored: stored.code(),
        trailing: trailing.to_vec(),
        ..ArrayNote::default()
    };
    let a = note("a", numpack_format::DType::F32, &[]);
    let mut b = note("b", numpack_format::DType::U16, &[3]);
    b.dtype = Some("bfloat16".into());
    let mut c = note("c", numpack_format::DType::U8, &[]);
    c.hidden = true;
    let tensor = |array, view| {
        SideNode::Tensor(Box::new(side::Tensor { array, view, ..side::Tensor::default() }))
    };
    let view = |shape: &[u64], stride: &[u64], offset| {
        Some(View { dtype: "int16".into(), shape: shape.into(), stride: stride.into(), offset })
    };
    let views = SideInfo {
        arrays: vec![a.clone(), b.clone(), c.clone()],
        nodes: vec![
            tensor(0, None),
            tensor(1, None),
            tensor(2, view(&[2, 5], &[1, 2], 4)),
            tensor(2, view(&[50], &[1], 0)),
            SideNode::Str("key".into()),
            SideNode::Str("x.y".into()),
            SideNode::Dict(vec![(4, 0), (5, 7)]),
            SideNode::List(vec![1, 2, 3, 0, 6]),
        ],
        root: Some(6),
    };
    let values = SideInfo {
        arrays: vec![a, b, c],
        nodes: vec![
            SideNode::None,
            SideNode::Bool(true),
            SideNode::Int(-1),
            SideNode::BigInt(Hex(vec![0; 9])),
            SideNode::Float(Float(f64::NAN)),
            SideNode::Float(Float(0.5)),
            SideNode::SurrogateStr(Hex(vec![0xed, 0xa0, 0x80])),
            SideNode::Bytes(Hex(vec![1, 2])),
            SideNode::BytesIn(2),
            SideNode::ByteArray(Hex(vec![])),
            SideNode::Tuple(vec![0, 1, 2, 3, 4]),
            SideNode::Set(vec![2, 5]),
            SideNode::FrozenSet(vec![6, 7]),
            SideNode::Global("m".into(), "C".into()),
            SideNode::OrderedDict(vec![(2, 8), (6, 9)], Some(18)),
            SideNode::Storage(1, Some("bfloat16".into())),
            SideNode::Object(Box::new(Object {
                construct: "newex".into(),
                callable: 13,
                args: 10,
                kwargs: Some(18),
                state: Some(14),
                appended: vec![15],
                items: vec![(2, 16)],
            })),
            SideNode::List(vec![10, 11, 12, 14, 15, 16, 17]),
            SideNode::Dict(vec![]),
        ],
        root: Some(17),
    };
    Ok(vec![
        ("views", views.encode()?),
        ("values", values.encode()?),
        ("empty", SideInfo::default().encode()?),
        ("none", br#"{"libnumpack":1,"nodes":["none"],"root":0}"#.to_vec()),
    ])
}
