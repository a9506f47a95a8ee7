//! Archives of `torch.export` made to break a reader: each gives an error or loads safely, in a
//! small stack, little memory and little time.

mod common;
#[path = "common/tame.rs"]
mod tame;

use common::heap::Counting;
use common::*;
use tame::*;
use torch_pickle::{ByteOrder, Checkpoint, Limits, Node, Options};

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

const CONFIG: &str = "m/data/weights/model_weights_config.json";
const CONSTANTS: &str = "m/data/constants/model_constants_config.json";
const WEIGHT: &str = "m/data/weights/weight_0";

/// A description as torch writes it.
fn meta(dtype: u32, sizes: &str, strides: &str, offset: &str) -> String {
    let ints = |text: &str| {
        let all = text.split(',').filter(|n| !n.is_empty()).map(|n| format!("{{\"as_int\":{n}}}"));
        all.collect::<Vec<_>>().join(",")
    };
    format!(
        r#"{{"dtype":{dtype},"sizes":[{}],"requires_grad":false,"device":{{"type":"cpu","index":null}},"strides":[{}],"storage_offset":{},"layout":7}}"#,
        ints(sizes),
        ints(strides),
        ints(offset)
    )
}

fn payload(record: &str, pickled: bool, meta: &str) -> String {
    format!(
        r#"{{"path_name":"{record}","is_param":false,"use_pickle":{pickled},"tensor_meta":{meta}}}"#
    )
}

fn config(entries: &[(&str, String)]) -> String {
    let entries: Vec<_> = entries.iter().map(|(n, p)| format!("\"{n}\":{p}")).collect();
    format!(r#"{{"config":{{{}}}}}"#, entries.join(","))
}

/// Two views of six numbers of two bytes, a constant of each kind.
fn sound() -> Vec<Rec> {
    let weights = config(&[
        ("w", payload("weight_0", false, &meta(3, "2,3", "3,1", "0"))),
        ("v", payload("weight_0", false, &meta(3, "2", "2", "1"))),
    ]);
    let constants = config(&[
        ("c", payload("tensor_0", false, &meta(1, "", "", "1"))),
        ("a", payload("custom_obj_0", true, "null")),
        ("o", payload("opaque_obj_0", true, "null")),
    ]);
    let object = checkpoint(&Pickle::new().tensor(&SMALL).end(), &[("0", &[1; 6])]);
    vec![
        Rec::new(WEIGHT, &[1; 12]),
        Rec::new(CONFIG, weights.as_bytes()),
        Rec::new("m/data/constants/tensor_0", &[2; 2]),
        Rec::new("m/data/constants/custom_obj_0", &object),
        Rec::new("m/data/constants/opaque_obj_0", &Pickle::new().op(b"]").end()),
        Rec::new(CONSTANTS, constants.as_bytes()),
        Rec::new("m/models/model.json", b"{}"),
        Rec::new("m/archive_format", b"pt2"),
        Rec::new("m/archive_version", b"0"),
        Rec::new("m/.data/version", b"6\n"),
        Rec::new("m/byteorder", b"little"),
    ]
}

fn sound_old() -> Vec<Rec> {
    let dict = |key: &str| {
        let p = Pickle::new().op(b"}").str(key).tensor(&SMALL).op(b"s");
        checkpoint(&p.end(), &[("0", &[1; 6])])
    };
    vec![
        Rec::new("serialized_exported_program.json", b"{}"),
        Rec::new("serialized_state_dict.pt", &dict("w")),
        Rec::new("serialized_constants.pt", &dict("c")),
        Rec::new("version", b"8.8"),
    ]
}

fn sound_compiled() -> Vec<Rec> {
    let all = sound();
    let tensor = all[3].stored.clone();
    let config = r#"{"w": ["weight_0", [2, 3], [3, 1], 0], "v": ["weight_0", [], [], 5]}"#;
    let mut records = vec![
        Rec::new(WEIGHT, &tensor),
        Rec::new("m/data/aotinductor/model/weights_config.json", config.as_bytes()),
    ];
    records.extend_from_slice(&all[7..]);
    records
}

/// The sound archive with another record of a name, or without it.
fn with(name: &str, data: Option<&[u8]>) -> Vec<u8> {
    let mut all = sound();
    let at = all.iter().position(|r| r.name == name.as_bytes()).unwrap();
    match data {
        Some(data) => all[at] = Rec::new(name, data),
        None => drop(all.remove(at)),
    }
    zip(&all)
}

fn weights(entries: &[(&str, String)]) -> Vec<u8> {
    with(CONFIG, Some(config(entries).as_bytes()))
}

fn weight(meta: &str) -> Vec<u8> {
    weights(&[("w", payload("weight_0", false, meta))])
}

#[test]
fn truncation_and_flips() {
    let file = tempfile::NamedTempFile::new().unwrap();
    for records in [sound(), sound_old(), sound_compiled()] {
        let bytes = zip(&records);
        assert!(survive(&bytes, file.path()));
        for len in 0..bytes.len() {
            assert!(!survive(&bytes[..len], file.path()), "{len}");
        }
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0xFF;
            survive(&bytes, file.path());
        }
        // The same behind checksums that are right.
        for (i, record) in records.iter().enumerate() {
            for at in 0..record.stored.len() {
                let mut records = records.clone();
                records[i].stored[at] ^= 0x01;
                records[i].crc = crc32fast::hash(&records[i].stored);
                survive(&zip(&records), file.path());
            }
        }
    }
}

#[test]
fn records_that_are_missing_or_wrong() {
    let c = loads("sound", &zip(&sound()));
    let names: Vec<String> = c.tree().first_names().into_iter().map(|n| n.0).collect();
    assert!(names.iter().any(|n| n == "v") && names.iter().any(|n| n == "a"), "{names:?}");
    refused(
        "weight",
        &with(WEIGHT, None),
        "\"w\" is in \"weight_0\", which is not in m/data/weights/",
    );
    refused("config", &with(CONFIG, None), "where the weights of \"model\" are described");
    refused("constants", &with(CONSTANTS, None), "where the constants of \"model\" are described");
    refused("constant", &with("m/data/constants/tensor_0", None), "\"c\" is in \"tensor_0\"");
    refused(
        "no model",
        &with("m/models/model.json", None),
        "a torch.export archive without a model",
    );
    refused("format", &with("m/archive_format", Some(b"pt3")), "archive_format \"pt3\"");
    refused("format", &with("m/archive_format", Some(&[b'x'; 65])), "at most 64 were expected");
    refused("version", &with("m/archive_version", Some(b"1")), "archive_version \"1\"");
    refused("layout", &with("m/.data/version", Some(b"11")), "1 to 10 are read");
    refused("order", &with("m/byteorder", Some(b"middle")), "byte order \"middle\"");
    refused("cut", &with(WEIGHT, Some(&[1; 11])), "it has 11 bytes, no whole number of int16");
    refused("short", &with(WEIGHT, Some(&[1; 10])), "has 10 bytes");
    refused("no bytes", &with(WEIGHT, Some(&[])), "exported with tensors that have none");
    let mut two = sound();
    two.push(two[0].clone());
    refused("twice", &zip(&two), "another record of this name");
    let mut both = sound();
    both.push(Rec::new("m/data.pkl", b"N."));
    refused("both", &zip(&both), "it has both archive_format and data.pkl");
    let mut compiled = sound();
    compiled.drain(..7);
    compiled.push(Rec::new("m/data/aotinductor/net/net.so", b"\x7fELF"));
    refused(
        "library",
        &zip(&compiled),
        "compiled model \"net\" alone, whose weights are in its library",
    );
    let mut besides = sound();
    besides.push(Rec::new("m/data/aotinductor/net/net.so", b"\x7fELF"));
    let c = loads("library", &zip(&besides));
    assert!(c.warnings()[0].contains("compiled model \"net\" are in its library"));
}

#[test]
fn descriptions_that_lie() {
    let t = |dtype, sizes: &str, strides: &str, offset: &str| {
        weight(&meta(dtype, sizes, strides, offset))
    };
    loads("empty", &t(3, "0,4611686018427387904", "4611686018427387904,1", "4611686018427387904"));
    loads("expand", &t(3, "1099511627776", "0", "5"));
    refused(
        "outside",
        &t(3, "7", "1", "0"),
        "needs 14 bytes, and storage data/weights/weight_0 has 12",
    );
    refused("outside", &t(3, "6", "1", "1"), "\"w\": a int16 tensor");
    refused("outside", &t(3, "2,2", "9223372036854775807,1", "0"), "more bytes than 64 bits count");
    refused("huge", &t(3, "9223372036854775807,9223372036854775807", "0,0", "0"), "beyond 64 bits");
    refused("negative", &t(3, "-2", "1", "0"), "invalid value: integer `-2`");
    refused("negative", &t(3, "2", "-1", "3"), "invalid value: integer `-1`");
    refused("negative", &t(3, "2", "1", "-1"), "invalid value: integer `-1`");
    refused("beyond", &t(3, "18446744073709551616", "1", "0"), "invalid type: floating point");
    refused("fraction", &t(3, "1.5", "1", "0"), "invalid type: floating point");
    refused("ndim", &t(3, "2,2", "1", "0"), "\"w\" has 2 sizes and 1 strides");
    let many = vec!["1"; 65].join(",");
    refused("dims", &t(3, &many, &many, "0"), "65 dimensions, and at most 64 are read");
    for dtype in [0, 14, 27, 36, u32::MAX] {
        refused("type", &t(dtype, "1", "1", "0"), &format!("the unknown number {dtype}"));
    }
    let sound = meta(3, "2", "1", "0");
    let change = |from: &str, to: &str| weight(&sound.replacen(from, to, 1));
    refused("sparse", &change(r#""layout":7"#, r#""layout":2"#), "no dense tensor: sparse_csr");
    refused("layout", &change(r#""layout":7"#, r#""layout":99"#), "no dense tensor: layout 99");
    let symbol = r#"{"as_expr":{"expr_str":"s0"}}"#;
    refused("symbol", &change(r#"{"as_int":2}"#, symbol), "only known when the model runs");
    refused("offset", &change(r#":{"as_int":0}"#, &format!(":{symbol}")), "only known when");
    refused("lacks", &change(r#","layout":7"#, ""), "missing field `layout`");
    refused("field", &change(r#""layout":7"#, r#""layout":7,"layout":7"#), "duplicate field");
    loads("unknown field", &change(r#""layout":7"#, r#""layout":7,"more":[{"deep":[1]}]"#));
    refused("null", &weight("null"), "\"w\" is a tensor, and not described");
    let p = || payload("weight_0", false, &sound);
    refused("two", &weights(&[("w", p()), ("w", p())]), "another entry called \"w\"");
    refused("as a constant", &weights(&[("c", p())]), "another entry called \"c\"");
    let byte = payload("weight_0", false, &meta(1, "2", "1", "0"));
    refused("types", &weights(&[("w", p()), ("b", byte)]), "is uint8 in m/data/weights/weight_0");
    refused(
        "pickled",
        &weights(&[("w", payload("weight_0", true, &sound))]),
        "a file of torch.save",
    );
    let far = payload("../../models/model.json", false, &sound);
    refused("far", &weights(&[("w", far)]), "which is not in m/data/weights/");
    let other = config(&[("c", payload("code_0", false, &sound))]);
    let mut all = zip(&self::sound());
    refused("kind", &with(CONSTANTS, Some(other.as_bytes())), "which is not in m/data/constants/");
    let mut records = self::sound();
    records[5] = Rec::new(CONSTANTS, other.as_bytes());
    records.push(Rec::new("m/data/constants/code_0", &[1; 4]));
    all.clear();
    refused("kind", &zip(&records), "which is no kind of constant");
    for (json, words) in [
        ("", "EOF"),
        ("{}", "missing field `config`"),
        ("[]", "invalid length 0"),
        ("{\"config\":[]}", "expected an object"),
        ("{\"config\":{}} x", "trailing"),
        ("{\"config\":{\"a\":{}}}", "missing field `path_name`"),
        ("\u{feff}{}", "expected value"),
    ] {
        refused(json, &with(CONFIG, Some(json.as_bytes())), words);
    }
    refused("utf-8", &with(CONFIG, Some(b"{\"config\":{\"\xFF\":1}}")), "no valid description");
    let deep = format!("{{\"config\":{}", "{\"a\":".repeat(100_000));
    refused("deep", &with(CONFIG, Some(deep.as_bytes())), "no valid description of tensors");
    let deep = format!("{{\"x\":{}", "[".repeat(1_000_000));
    // What is passed over is not followed into.
    refused("deep", &with(CONFIG, Some(deep.as_bytes())), "EOF while parsing a list");
}

#[test]
fn archives_and_pickles_within() {
    let inner = |name: &str, data: &[u8]| with(&format!("m/data/constants/{name}"), Some(data));
    refused("no archive", &inner("custom_obj_0", b"PK"), "a file of torch.save was expected");
    refused(
        "export in export",
        &inner("custom_obj_0", &zip(&sound())),
        "where an archive of torch.save",
    );
    refused("pickle", &inner("opaque_obj_0", b"]]"), "without a STOP");
    let storage = Pickle::new().storage("ByteStorage", "0", 6).end();
    refused("storage", &inner("opaque_obj_0", &storage), "shows storages, of which it has none");
    let many = [b"(".as_slice(), &b"]".repeat(100), b"l."].concat();
    let nodes = tamed("nodes", || {
        let options = Options::new().limits(Limits { max_nodes: 20, ..Limits::default() });
        open_with(&inner("opaque_obj_0", &many), &options).unwrap_err().to_string()
    });
    assert!(nodes.contains("max_nodes"), "{nodes}");
    let mut bomb = sound();
    bomb[4] =
        Rec::deflated("m/data/constants/opaque_obj_0", &[&[b'N'; 1 << 20][..], b"."].concat());
    refused("bomb", &zip(&bomb), "the limit `max_pickle_bytes`");
    let mut packed = sound();
    packed[3] = Rec::deflated("m/data/constants/custom_obj_0", &packed[3].stored.clone());
    refused("packed", &zip(&packed), "an archive within the archive, and compressed");
    // What is compressed and no archive is read as any record.
    let mut deflated = sound();
    for i in [0, 1, 4, 5] {
        deflated[i] = Rec::deflated(
            std::str::from_utf8(&deflated[i].name.clone()).unwrap(),
            &deflated[i].stored.clone(),
        );
    }
    assert!(loads("deflated", &zip(&deflated)).verify().is_empty());
}

#[test]
fn big_endian_storages_are_turned() {
    let mut all = sound();
    all[0] = Rec::new(WEIGHT, &(0..12).collect::<Vec<u8>>());
    all[10] = Rec::new("m/byteorder", b"big");
    let c = loads("big", &zip(&all));
    assert_eq!(c.byte_order(), ByteOrder::Big);
    let Node::Tensor(id) = *c.tree().node(c.tree().find("v").unwrap()) else { panic!() };
    let mut bytes = [0; 4];
    c.read_into(id, &mut bytes).unwrap();
    assert_eq!(bytes, [3, 2, 7, 6]);
}

#[test]
fn compiled_models() {
    loads("sound", &zip(&sound_compiled()));
    let with = |json: &str| {
        let mut all = sound_compiled();
        all[1] = Rec::new("m/data/aotinductor/model/weights_config.json", json.as_bytes());
        zip(&all)
    };
    refused("outside", &with(r#"{"w": ["weight_0", [7], [1], 0]}"#), "needs 7 bytes");
    refused("negative", &with(r#"{"w": ["weight_0", [-7], [1], 0]}"#), "integer `-7`");
    refused("short", &with(r#"{"w": ["weight_0", [7], [1]]}"#), "invalid length 3");
    refused("long", &with(r#"{"w": ["weight_0", [7], [1], 0, 0]}"#), "trailing");
    refused("ndim", &with(r#"{"w": ["weight_0", [7], [], 0]}"#), "1 sizes and 0 strides");
    refused("lost", &with(r#"{"w": ["weight_1", [7], [], 0]}"#), "\"w\" is in \"weight_1\"");
    let mut list = sound_compiled();
    list[0] = Rec::new(WEIGHT, &checkpoint(b"\x80\x02].", &[]));
    refused("list", &zip(&list), "a tensor saved by torch.save was expected");
}

#[test]
fn old_archives() {
    loads("sound", &zip(&sound_old()));
    let change = |i: usize, data: &[u8]| {
        let mut all = sound_old();
        all[i] = Rec::new(std::str::from_utf8(&all[i].name).unwrap(), data);
        zip(&all)
    };
    refused("list", &change(1, &checkpoint(b"\x80\x02].", &[])), "a dict of tensors was expected");
    let number = checkpoint(b"\x80\x02}K\x01Ns.", &[]);
    refused("key", &change(1, &number), "names as keys");
    let twice = sound_old()[1].stored.clone();
    refused("twice", &change(2, &twice), "another entry called \"w\"");
    let mut none = sound_old();
    none.remove(1);
    refused("none", &zip(&none), "no record serialized_state_dict.pt");
    let compiled = ["archive_format", "data/aotinductor/net/net.so"].map(|n| Rec::new(n, b"pt2"));
    refused("no folder", &zip(&compiled), "as torch up to 2.7 wrote compiled models");
    // Any other archive without a folder is what it was.
    let mut other = sound_old();
    other.remove(0);
    refused("other", &zip(&other), "in no folder");
}

#[test]
fn many_names() {
    let count = 20_000;
    let names: Vec<String> = (0..count).map(|i| format!("layer.{i}")).collect();
    let meta = meta(3, "2", "1", "0");
    let all: Vec<_> =
        names.iter().map(|n| (n.as_str(), payload("weight_0", false, &meta))).collect();
    let c = tamed("many", || open(&weights(&all)).unwrap());
    assert_eq!((c.tree().tensors().len(), c.tree().storages().len()), (count + 2, 3));
    // One object under many names is one object.
    let object = sound()[3].stored.clone();
    let mut records = sound();
    let all: Vec<_> =
        names.iter().map(|n| (n.as_str(), payload("weight_0", true, "null"))).collect();
    records[0] = Rec::new(WEIGHT, &object);
    records[1] = Rec::new(CONFIG, config(&all).as_bytes());
    let c = tamed("one", || open(&zip(&records)).unwrap());
    assert_eq!(c.tree().storages().len(), 3);
    // A description that inflates to far more than the file has.
    let mut records = sound();
    let spaces = [b"{\"config\":{}".as_slice(), &vec![b' '; 40 << 20], b"}"].concat();
    records[1] = Rec::deflated(CONFIG, &spaces);
    refused("bomb", &zip(&records), "the limit `max_pickle_bytes`");
}

#[test]
fn descriptions_beyond_all_bounds() {
    // Of two models, each less than is read.
    let spaces = [b"{\"config\":{}".as_slice(), &vec![b' '; 40 << 20], b"}"].concat();
    let mut all = sound();
    for name in ["a", "b"] {
        all.push(Rec::new(&format!("m/models/{name}.json"), b"{}"));
        all.push(Rec::new(&format!("m/data/weights/{name}_weights_config.json"), &spaces));
        let config = format!("m/data/constants/{name}_constants_config.json");
        all.push(Rec::new(&config, b"{\"config\":{}}"));
    }
    refused("two", &zip(&all), "and at most 67108864 are read");
}
