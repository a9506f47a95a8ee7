//! What the command does, by its exit status and its files.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use common::{example, expect, text};

#[test]
fn the_main_job_as_the_readme_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (a, b, c) = (example().to_str().unwrap().to_owned(), path("out.npk"), path("back.pt"));
    expect(0, &["convert", &a, &b]);
    expect(0, &["ls", &b]);
    expect(0, &["info", &b]);
    expect(0, &["verify", &b]);
    assert!(text(&expect(0, &["diff", &a, &b]).stdout).starts_with("equal"));
    expect(0, &["convert", &b, &c]);
    expect(0, &["diff", &a, &c]);
    expect(0, &["verify", &c]);

    let again = expect(2, &["convert", &a, &b]);
    assert!(text(&again.stderr).contains("--overwrite"), "{}", text(&again.stderr));
    let again = expect(2, &["convert", &b, &c]);
    assert!(text(&again.stderr).contains("--overwrite"), "{}", text(&again.stderr));
    expect(0, &["convert", "--overwrite", &a, &b]);
    expect(0, &["convert", "--overwrite", "--align", "4096", &b, &c]);
    expect(0, &["diff", &a, &c]);
}

#[test]
fn the_neighbours_go_in_and_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let a = example().to_str().unwrap().to_owned();
    let (st, npk) = (path("m.safetensors"), path("m.npk"));
    let out = expect(2, &["convert", "--key", "model", &a, &st]);
    assert!(text(&out.stderr).contains("--copy-shared writes each"), "{}", text(&out.stderr));
    expect(0, &["convert", "--key", "model", "--copy-shared", &a, &st]);
    assert!(text(&expect(0, &["info", &st]).stdout).contains("format = pt"));
    expect(0, &["verify", &st]);
    expect(0, &["convert", &st, &npk]);
    for (from, to) in [("m.npk", "m.npz"), ("m.npz", "m.pt"), ("m.pt", "again.safetensors")] {
        expect(0, &["convert", &path(from), &path(to)]);
        expect(0, &["diff", &npk, &path(to)]);
        let listing = expect(0, &["ls", "--json", &path(to)]).stdout;
        let listing: serde_json::Value = serde_json::from_slice(&listing).unwrap();
        assert_eq!(listing["format"], to.rsplit('.').next().unwrap());
    }
    assert_eq!(std::fs::read(path("again.safetensors")).unwrap(), std::fs::read(&st).unwrap());
    let again = expect(2, &["convert", &npk, &st]);
    assert!(text(&again.stderr).contains("--overwrite"), "{}", text(&again.stderr));
    let (row, bias) = (path("row.npy"), "hidden.bias");
    expect(0, &["convert", "--names", bias, &npk, &row]);
    expect(0, &["append", &npk, bias, &row, "norm.bias", &path("m.npz")]);
    let shown = |path: &str, name: &str| text(&expect(0, &["cat", path, name]).stdout);
    let twice = |name: &str| shown(&st, name).repeat(2);
    assert_eq!(shown(&npk, bias), twice(bias));
    assert_eq!(shown(&npk, "norm.bias"), twice("norm.bias"));
    assert!(text(&expect(2, &["rename", &st, bias, "x"]).stderr).contains("it is no store"));
}

#[test]
fn ls_prints_the_schema() {
    let a = example();
    let out = expect(0, &["ls", "--json", "--sha256", a.to_str().unwrap()]);
    let listing: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let keys: Vec<&String> = listing.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["format", "path", "tensors"]);
    assert_eq!(listing["format"], "pt");
    let first = &listing["tensors"][0];
    let keys: Vec<&String> = first.as_object().unwrap().keys().collect();
    let expected = [
        "dtype",
        "name",
        "nbytes",
        "offset",
        "requires_grad",
        "sha256",
        "shape",
        "storage",
        "stride",
    ];
    assert_eq!(keys, expected);
    assert_eq!(first["sha256"].as_str().unwrap().len(), 64);
    let out = expect(0, &["ls", "--json", a.to_str().unwrap()]);
    let listing: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert!(listing["tensors"][0].get("sha256").is_none());
}

#[test]
fn exit_statuses_are_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let a = example().to_str().unwrap().to_owned();
    let (part, whole) = (path("part.npk"), path("whole.npk"));
    expect(0, &["convert", "--key", "model", &a, &part]);
    expect(0, &["convert", &a, &whole]);
    let out = expect(1, &["diff", &part, &whole]);
    assert!(!out.stdout.is_empty());

    // A byte of a tensor changes: a checkpoint notices, and is not converted.
    let mut bytes = std::fs::read(&a).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    let damaged = path("damaged.pt");
    std::fs::write(&damaged, &bytes).unwrap();
    let out = expect(1, &["verify", &damaged]);
    assert!(text(&out.stdout).contains("1 fault"), "{}", text(&out.stdout));
    let out = expect(2, &["convert", &damaged, &path("no.npk")]);
    assert!(text(&out.stderr).contains("checksum"), "{}", text(&out.stderr));
    assert!(!Path::new(&path("no.npk")).exists());
    expect(0, &["convert", "--crc", "warn", &damaged, &path("odd.npk")]);
    expect(1, &["diff", &a, &path("odd.npk")]);

    // A data file of a store is cut short.
    let data = format!("{whole}/data_rng_state.npkd");
    let bytes = std::fs::read(&data).unwrap();
    std::fs::write(&data, &bytes[..bytes.len() - 1]).unwrap();
    let out = expect(1, &["verify", &whole]);
    assert!(text(&out.stdout).contains("data_rng_state.npkd"), "{}", text(&out.stdout));
    expect(2, &["convert", &whole, &path("no.pt")]);
    assert!(!Path::new(&path("no.pt")).exists());

    for args in [
        &["ls", "/no/such/file"][..],
        &["verify", "/no/such/file"],
        &["diff", &a, "/no/such/file"],
        &["convert", &a, &path("x.unknown")],
        &["convert", &a, &path("x.pt")],
        &["convert", &part, &path("x.npk")],
        &["convert", "--names", "x", &a, &path("y.npk")],
        &["convert", "--key", "x", &part, &path("y.pt")],
        &["convert", "--key", "no.such", &a, &path("y.npk")],
        &["convert", "--chunk-size", "0", &a, &path("y.npk")],
        &["frobnicate"],
        &[],
    ] {
        let out = expect(2, args);
        assert!(out.stdout.is_empty(), "{args:?}");
        assert!(!out.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn a_folder_that_is_no_store_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let photos = folder.path().join("photos.npk");
    std::fs::create_dir(&photos).unwrap();
    std::fs::write(photos.join("cat.jpg"), "meow").unwrap();
    let out = expect(
        2,
        &["convert", "--overwrite", example().to_str().unwrap(), photos.to_str().unwrap()],
    );
    assert!(text(&out.stderr).contains("no store"), "{}", text(&out.stderr));
    assert_eq!(std::fs::read(photos.join("cat.jpg")).unwrap(), b"meow");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_numpack"))
        .args(["ls", "--json", example().to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn scan_answers_by_its_status() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let a = example().to_str().unwrap().to_owned();
    let bad = path("bad.pkl", b"cos\nsystem\n(S'\x1b[31m'\ntR.");
    let packed = path("packed.7z", b"7z\xBC\xAF\x27\x1C");
    expect(0, &["scan", &a]);
    let out = text(&expect(1, &["scan", &a, &bad]).stdout);
    assert!(out.contains("checkpoint.pt: clean") && out.contains("bad.pkl: dangerous"), "{out}");
    assert!(out.contains("dangerous: os.system: ") && out.contains("byte 0, GLOBAL"), "{out}");
    let out = text(&expect(2, &["scan", &packed]).stdout);
    assert!(out.contains("not looked into: 7z archive"), "{out}");
    expect(1, &["scan", &packed, &bad]);
    let out = expect(2, &["scan", "/no/such/file", &bad]);
    assert!(text(&out.stdout).contains("dangerous") && !out.stderr.is_empty());
    expect(2, &["scan"]);

    let out = expect(1, &["scan", "--json", &a, &bad]);
    let files: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    assert_eq!(
        (&files[0]["verdict"], &files[1]["verdict"]),
        (&"clean".into(), &"dangerous".into())
    );
    assert_eq!(
        (&files[0]["weights_only"], &files[1]["weights_only"]),
        (&true.into(), &false.into())
    );
    let keys: Vec<&String> = files[1].as_object().unwrap().keys().collect();
    let expected = [
        "complete",
        "containers",
        "findings",
        "globals",
        "left_out",
        "path",
        "pickles",
        "verdict",
        "weights_only",
        "weights_only_reason",
    ];
    assert_eq!(keys, expected);
    let global = &files[1]["globals"][0];
    assert_eq!((&global["module"], &global["name"]), (&"os".into(), &"system".into()));
    assert_eq!(global["class"], "dangerous");
    assert_eq!(
        global["places"][0],
        serde_json::json!({"pickle": 0, "offset": 0, "opcode": "GLOBAL"})
    );

    let out = text(&expect(0, &["info", &a]).stdout);
    assert!(
        out.contains("torch._utils._rebuild_tensor_v2") && out.contains("scan      clean"),
        "{out}"
    );
}

#[test]
fn completions_are_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let out = expect(0, &["completions", shell]);
        assert!(text(&out.stdout).contains("convert"), "{shell}");
    }
}
