//! The commands that read and change rows of a store, and packages.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{example, expect, numpack, printed, refused, text};
use numpack_format::{DType, View, Writer};

/// A folder with a store of three arrays in it.
struct Bench {
    folder: tempfile::TempDir,
    store: String,
}

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("rows.npk").to_str().unwrap().to_owned();
        let ids: Vec<u8> = (0..6i64).flat_map(i64::to_le_bytes).collect();
        let vectors: Vec<u8> = (0..12u8).flat_map(|i| (f32::from(i) / 4.0).to_le_bytes()).collect();
        let mut writer = Writer::create(&store).unwrap();
        writer.save("ids", &View::new(DType::I64, &[6], &ids)).unwrap();
        writer.save("vectors", &View::new(DType::F32, &[6, 2], &vectors)).unwrap();
        writer.save("flags", &View::new(DType::Bool, &[3], &[1, 0, 1])).unwrap();
        writer.commit().unwrap();
        Bench { folder, store }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Writes a `.npy` file.
    fn npy(&self, name: &str, dict: &str, elements: &[u8]) -> String {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend(u16::try_from(dict.len() + 1).unwrap().to_le_bytes());
        bytes.extend(dict.as_bytes());
        bytes.push(b'\n');
        bytes.extend(elements);
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn ids(&self, name: &str, ids: &[i64]) -> String {
        let dict =
            format!("{{'descr': '<i8', 'fortran_order': False, 'shape': ({},), }}", ids.len());
        let bytes: Vec<u8> = ids.iter().flat_map(|i| i.to_le_bytes()).collect();
        self.npy(name, &dict, &bytes)
    }

    fn cat(&self, array: &str) -> String {
        printed(&["cat", &self.store, array])
    }
}

#[test]
fn rows_are_lines() {
    let b = Bench::new();
    assert_eq!(b.cat("vectors"), "0.0 0.25\n0.5 0.75\n1.0 1.25\n1.5 1.75\n2.0 2.25\n2.5 2.75\n");
    assert_eq!(b.cat("flags"), "1\n0\n1\n");
    for (rows, expected) in [
        ("1:3", "1\n2\n"),
        ("-2:", "4\n5\n"),
        ("::-2", "5\n3\n1\n"),
        ("4:1:-1", "4\n3\n2\n"),
        ("5:99", "5\n"),
        ("3:3", ""),
        ("2", "2\n"),
        ("-1,0,0", "5\n0\n0\n"),
    ] {
        assert_eq!(printed(&["cat", &b.store, "ids", "--rows", rows]), expected, "{rows}");
    }
    refused(&["cat", &b.store, "ids", "--rows", "6"], "row 6 is out of range");
    refused(&["cat", &b.store, "ids", "--rows", "1:2:0"], "a step of 0");
    refused(&["cat", &b.store, "ids", "--rows", "one"], "write A:B");
    refused(&["cat", &b.store, "nothing"], "nothing is named \"nothing\"");
    refused(&["cat", &b.path("no.npk"), "ids"], "could not open");
}

#[test]
fn a_checkpoint_has_rows_too() {
    let b = Bench::new();
    let (a, store, package) =
        (example().to_str().unwrap().to_owned(), b.path("m.npk"), b.path("m.npkg"));
    expect(0, &["convert", &a, &store]);
    expect(0, &["pack", "--compress", &store, &package]);
    for name in ["model.embedding.weight", "model_bf16.hidden.bias", "optimizer.state.0.step"] {
        let whole = printed(&["cat", &a, name]);
        assert_eq!(printed(&["cat", &store, name]), whole);
        assert_eq!(printed(&["cat", &package, name]), whole);
        let lines: Vec<&str> = whole.lines().collect();
        if lines.len() == 1 {
            refused(&["cat", &a, name, "--rows", ":"], "is 0-d");
            continue;
        }
        for path in [&a, &store, &package] {
            let backwards = printed(&["cat", path, name, "--rows", "-2:3:-7"]);
            let expected: Vec<&str> =
                lines[4..lines.len() - 1].iter().rev().step_by(7).copied().collect();
            assert_eq!(backwards.lines().collect::<Vec<_>>(), expected, "{path} {name}");
        }
    }
    refused(&["cat", "--npy", &a, "model_bf16.hidden.bias"], "have no bfloat16");
    refused(&["cat", &a, "model"], "is no tensor");
    refused(&["append", &a, "x", &b.ids("i.npy", &[1])], "convert it to one first");
}

#[test]
fn appended_rows_arrive_or_nothing_does() {
    let b = Bench::new();
    let ids = b.ids("ids.npy", &[-7, 8]);
    // Fortran order, big-endian: 1 3 / 2 4.
    let turned: Vec<u8> = [1f32, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_be_bytes()).collect();
    let dict = "{'descr': '>f4', 'fortran_order': True, 'shape': (2, 2), }";
    let vectors = b.npy("vectors.npy", dict, &turned);
    assert_eq!(
        printed(&["append", &b.store, "ids", &ids, "vectors", &vectors]),
        "ids: 2 rows appended, 8 in all\nvectors: 2 rows appended, 8 in all\n"
    );
    assert!(b.cat("ids").ends_with("5\n-7\n8\n"));
    assert!(b.cat("vectors").ends_with("2.5 2.75\n1.0 3.0\n2.0 4.0\n"));

    // What cat writes is what append takes.
    let copy = b.path("copy.npy");
    fs::write(&copy, expect(0, &["cat", &b.store, "vectors", "--npy", "--rows", "::-1"]).stdout)
        .unwrap();
    expect(0, &["append", &b.store, "vectors", &copy]);
    let lines = b.cat("vectors");
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines.len(), 16);
    assert!(lines.iter().eq(lines.iter().rev()));

    let before = (b.cat("ids"), b.cat("vectors"));
    let cut =
        b.npy("cut.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (9, 2)}", &[0; 71]);
    refused(&["append", &b.store, "ids", &ids, "vectors", &cut], "is cut off");
    let long =
        b.npy("long.npy", "{'descr': '<i8', 'fortran_order': False, 'shape': (1,)}", &[0; 9]);
    refused(&["append", &b.store, "ids", &long], "bytes follow");
    refused(&["append", &b.store, "ids", &ids, "vectors", &ids], "int64 of shape []");
    refused(&["append", &b.store, "ids", &ids, "vectors"], "\"vectors\" has no file");
    refused(&["append", &b.store, "ids"], "2 values required");
    refused(&["append", &b.store, "no", &ids], "nothing is named \"no\"");
    refused(&["append", &b.store, "ids", &b.path("no.npy")], "could not open");
    refused(&["append", &b.store, "ids", &b.store], "read");
    refused(&["append", &b.store, "ids", "-", "ids", "-"], "only one file");
    refused(&["append", &b.store, "ids", "-"], "not a .npy file");
    assert_eq!((b.cat("ids"), b.cat("vectors")), before);
    expect(0, &["verify", &b.store]);
}

#[test]
fn rows_and_arrays_are_dropped() {
    let b = Bench::new();
    assert_eq!(
        printed(&["drop", &b.store, "ids", "vectors", "--rows", "1:4"]),
        "ids: 3 rows dropped, 3 left\nvectors: 3 rows dropped, 3 left\n"
    );
    assert_eq!(
        printed(&["drop", &b.store, "ids", "--rows", "-1,-1"]),
        "ids: 1 row dropped, 2 left\n"
    );
    assert_eq!(
        printed(&["drop", &b.store, "ids", "--rows", "9:"]),
        "ids: 0 rows dropped, 2 left\n"
    );
    assert_eq!(b.cat("ids"), "0\n4\n");
    assert_eq!(b.cat("vectors"), "0.0 0.25\n2.0 2.25\n2.5 2.75\n");
    refused(&["drop", &b.store, "vectors", "ids", "--rows", "2"], "row 2 is out of range");
    refused(&["drop", &b.store, "flags", "nothing"], "nothing is named");
    refused(&["drop", &b.store, "ids", "ids"], "twice");
    assert_eq!(b.cat("vectors").lines().count(), 3);

    assert_eq!(printed(&["compact", &b.store, "ids"]), "4 rows freed\n");
    assert_eq!(printed(&["compact", &b.store]), "3 rows freed\n");
    assert_eq!(printed(&["compact", &b.store]), "0 rows freed\n");
    assert_eq!(b.cat("ids"), "0\n4\n");
    refused(&["compact", &b.store, "nothing"], "nothing is named");

    assert_eq!(
        printed(&["drop", &b.store, "ids", "flags"]),
        "ids: removed, 2 rows\nflags: removed, 3 rows\n"
    );
    assert!(printed(&["ls", &b.store]).ends_with("1 tensor, 24 B\n"));
    expect(0, &["verify", &b.store]);
}

#[test]
fn a_renamed_array_keeps_its_rows() {
    let b = Bench::new();
    expect(0, &["drop", &b.store, "ids", "--rows", "0"]);
    let out = expect(0, &["rename", &b.store, "ids", "the ids/2"]);
    assert!(out.stdout.is_empty() && out.stderr.is_empty(), "{}", text(&out.stderr));
    assert_eq!(b.cat("the ids/2"), "1\n2\n3\n4\n5\n");
    refused(&["cat", &b.store, "ids"], "nothing is named");
    refused(&["rename", &b.store, "vectors", "flags"], "already");
    refused(&["rename", &b.store, "ids", "x"], "nothing is named");

    // In an object from a checkpoint the key stays, and both names are understood.
    let store = b.path("m.npk");
    expect(0, &["convert", example().to_str().unwrap(), &store]);
    let name = "model.hidden.bias";
    let rows = printed(&["cat", &store, name]);
    let out = expect(0, &["rename", &store, name, "short"]);
    assert!(text(&out.stderr).contains("the object in the store still has it as"));
    assert_eq!(printed(&["cat", &store, name]), rows);
    assert_eq!(printed(&["cat", &store, "short"]), rows);
    expect(0, &["drop", &store, name, "--rows", "0"]);
    assert_eq!(
        printed(&["drop", &store, "short", "--rows", "0"]),
        "short: 1 row dropped, 94 left\n"
    );
    expect(0, &["verify", &store]);
}

#[test]
fn packages_go_there_and_back() {
    let b = Bench::new();
    let (package, back) = (b.path("rows.npkg"), b.path("back.npk"));
    expect(0, &["drop", &b.store, "ids", "--rows", ":2"]);
    for compress in [&[][..], &["--compress", "--overwrite"]] {
        let args = [&["pack", &b.store, &package], compress].concat();
        assert!(printed(&args).contains("rows.npkg: 3 arrays, "));
        for command in ["ls", "info", "verify"] {
            expect(0, &[command, &package]);
        }
        let of = |path: &str| {
            let json = expect(0, &["ls", "--json", "--sha256", path]).stdout;
            let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
            (json["format"].clone(), json["tensors"].clone())
        };
        assert_eq!(of(&package), ("npkg".into(), of(&b.store).1));
        expect(0, &["diff", &b.store, &package]);
        let overwrite: &[&str] = if compress.is_empty() { &[] } else { &["--overwrite"] };
        let args = [&["unpack", &package, &back], overwrite].concat();
        assert!(printed(&args).contains("back.npk: 3 arrays, "));
        expect(0, &["diff", &back, &package]);
        expect(0, &["verify", &back]);
    }
    assert_eq!(printed(&["cat", &package, "ids", "--rows", "::-3"]), "5\n2\n");
    expect(0, &["convert", &package, &b.path("rows.pt")]);
    expect(0, &["diff", &package, &b.path("rows.pt")]);

    refused(&["pack", &b.store, &package], "--overwrite");
    refused(&["unpack", &package, &back], "--overwrite");
    refused(&["pack", &package, &b.path("x")], "a package already");
    refused(&["pack", example().to_str().unwrap(), &b.path("x")], "convert it to one first");
    refused(&["unpack", &b.store, &b.path("x")], "no package");
    refused(&["convert", &package, &b.path("x.npk")], "numpack unpack");
    refused(&["convert", &b.store, &b.path("x.npkg")], "numpack pack");
    for command in [&["drop"][..], &["append"], &["rename"], &["compact"]] {
        let rest: &[&str] = match command[0] {
            "append" | "rename" => &["ids", "x"],
            _ => &["ids"],
        };
        refused(&[command, &[&package], rest].concat(), "unpack it first");
    }
    let photos = PathBuf::from(b.path("photos"));
    fs::create_dir(&photos).unwrap();
    fs::write(photos.join("cat.jpg"), "meow").unwrap();
    refused(&["unpack", "--overwrite", &package, photos.to_str().unwrap()], "not a NumPack store");
    assert_eq!(fs::read(photos.join("cat.jpg")).unwrap(), b"meow");
}

#[test]
fn faults_of_a_package_are_listed() {
    let b = Bench::new();
    let package = b.path("rows.npkg");
    expect(0, &["pack", &b.store, &package]);
    let sound = fs::read(&package).unwrap();
    let mut last = sound.clone();
    *last.last_mut().unwrap() ^= 1;
    for (bytes, words) in [(&last[..], "the checksum"), (&sound[..40], "damaged")] {
        fs::write(&package, bytes).unwrap();
        let said = printed_with(1, &["verify", &package]);
        assert!(said.contains("1 fault") && said.contains("rows.npkg"), "{words}: {said}");
        refused(&["unpack", &package, &b.path("x.npk")], "rows.npkg");
        assert!(!Path::new(&b.path("x.npk")).exists());
    }
    // Two compressed files, both damaged.
    let wide = b.path("wide.npk");
    let mut writer = Writer::create(&wide).unwrap();
    for name in ["a", "b"] {
        writer.save(name, &View::new(DType::U8, &[9999], &[7; 9999])).unwrap();
    }
    writer.commit().unwrap();
    expect(0, &["pack", "--compress", "--overwrite", &wide, &package]);
    let mut bytes = fs::read(&package).unwrap();
    for name in [&b"data_a.npkd"[..], b"data_b.npkd"] {
        let at = bytes.windows(11).position(|w| w == name).unwrap();
        // Behind the name, the two sizes and the first bytes of the stream.
        bytes[at + 11 + 16 + 12] ^= 0xff;
    }
    fs::write(&package, bytes).unwrap();
    let said = printed_with(1, &["verify", &package]);
    assert!(
        said.contains("data_a") && said.contains("data_b") && said.contains("2 faults"),
        "{said}"
    );
}

fn printed_with(status: i32, args: &[&str]) -> String {
    text(&expect(status, args).stdout)
}

#[test]
fn a_second_writer_waits_or_is_told() {
    let b = Bench::new();
    let ids = b.ids("ids.npy", &[1]);
    let writer = Writer::open(&b.store).unwrap();
    for args in [
        &["append", "--no-wait", &b.store, "ids", &ids][..],
        &["drop", "--no-wait", &b.store, "ids"],
        &["rename", "--no-wait", &b.store, "ids", "x"],
        &["compact", "--no-wait", &b.store],
    ] {
        refused(args, "another writer");
    }
    let child = Command::new(env!("CARGO_BIN_EXE_numpack"))
        .args(["append", &b.store, "ids", &ids])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(b.cat("ids").lines().count(), 6);
    drop(writer);
    let output = child.wait_with_output().unwrap();
    assert_eq!(text(&output.stdout), "ids: 1 row appended, 7 in all\n");
    assert!(text(&output.stderr).contains("waiting for another writer"));
}

#[test]
fn a_reader_of_rows_may_leave_early() {
    let b = Bench::new();
    let store = b.path("long.npk");
    let mut writer = Writer::create(&store).unwrap();
    writer.save("a", &View::new(DType::U8, &[4 << 20], &vec![1; 4 << 20])).unwrap();
    writer.commit().unwrap();
    for npy in [&[][..], &["--npy"]] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_numpack"))
            .args(["cat", &store, "a"])
            .args(npy)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "");
    }
    // Any other trouble with the output is one.
    if let Ok(full) = fs::File::options().write(true).open("/dev/full") {
        let command = Command::new(env!("CARGO_BIN_EXE_numpack"))
            .args(["cat", &store, "a"])
            .stdout(full)
            .output()
            .unwrap();
        assert_eq!(command.status.code(), Some(2));
        assert!(text(&command.stderr).contains("No space left"));
    }
    assert!(numpack(&["cat", &store, "a", "--rows", ":3"]).stdout == b"1\n1\n1\n");
}
