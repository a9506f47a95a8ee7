//! Every change to the disk of packing and unpacking is interrupted once, as for stores: the
//! package or the store must be as before or as after, sound, and the next run must clear what is
//! left.
//!
//! The process that is interrupted is this test program itself, run again with only [`child`].

use super::{Compression, PackOptions, Package, UnpackOptions, pack, unpack};
use crate::{DType, Error, Store, View, Writer, WriterOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const SCENARIO: &str = "NUMPACK_PACKAGE_SCENARIO";
const PLACE: &str = "NUMPACK_PACKAGE_PLACE";

/// Runs in the process that is interrupted.
#[test]
fn child() {
    let (Ok(scenario), Some(dir)) = (std::env::var(SCENARIO), std::env::var_os(PLACE)) else {
        return;
    };
    let done = change(&scenario, Path::new(&dir));
    // 0: done; 3: refused in good order.
    std::process::exit(if done.is_ok() { 0 } else { 3 });
}

fn change(scenario: &str, dir: &Path) -> Result<(), Error> {
    if scenario == "merge" {
        let mut w = Writer::open(dir.join("in.npk"))?;
        w.save("a", &View::new(DType::U8, &[3], &[7; 3]))?;
        return w.commit();
    }
    let (compression, overwrite) = (
        if scenario.contains("zlib") { Compression::Zlib } else { Compression::Stored },
        scenario.contains("over"),
    );
    if scenario.starts_with("pack") {
        let options = PackOptions { compression, overwrite, ..PackOptions::default() };
        return pack(dir.join("in.npk"), dir.join("out"), &options).map(drop);
    }
    let options = UnpackOptions { overwrite, ..UnpackOptions::default() };
    unpack(dir.join("in.npkg"), dir.join("out"), &options).map(drop)
}

fn bitmap(rows: u64, word: u64) -> Vec<u8> {
    [rows, rows - u64::from(word.count_ones()), word].map(u64::to_le_bytes).concat()
}

fn make_store(path: &Path, seed: u8) {
    let mut w = Writer::create(path).unwrap();
    w.save("a", &View::new(DType::U8, &[40_000], &[seed; 40_000])).unwrap();
    w.save("b", &View::new(DType::U8, &[5], &[1, 2, 3, 4, seed])).unwrap();
    w.save(&format!("own{seed}"), &View::new(DType::U8, &[5], &[seed; 5])).unwrap();
    w.commit().unwrap();
    std::fs::write(path.join("deleted_b.npkb"), bitmap(5, u64::from(seed))).unwrap();
    let own = format!("deleted_own{seed}.npkb");
    std::fs::write(path.join(own), bitmap(5, 0b10111)).unwrap();
}

fn fresh(scenario: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    make_store(&dir.path().join("in.npk"), 0b01101);
    if scenario == "merge" {
        return (dir, PathBuf::new());
    }
    let package = dir.path().join("in.npkg");
    pack(dir.path().join("in.npk"), &package, &PackOptions::default()).unwrap();
    let out = dir.path().join("out");
    match (scenario.starts_with("pack"), scenario.contains("over")) {
        (_, false) => {}
        (true, true) => std::fs::write(&out, "an older file").unwrap(),
        (false, true) => make_store(&out, 0b11011),
    }
    (dir, out)
}

fn run(scenario: &str, dir: &Path, step: usize, action: &str, log: Option<&Path>) -> Option<i32> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["package::crash_tests::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(SCENARIO, scenario)
        .env(PLACE, dir)
        .env("NUMPACK_FAULT_STEP", step.to_string())
        .env("NUMPACK_FAULT_ACTION", action);
    if scenario.ends_with("by-record") {
        command.env("NUMPACK_FAULT_NO_EXCHANGE", "1");
    }
    if let Some(log) = log {
        command.env("NUMPACK_FAULT_LOG", log);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().code()
}

/// What stands at the place of the result: its content, or `None`.
fn state(scenario: &str, out: &Path) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    if scenario.starts_with("pack") {
        // The times differ from run to run.
        let Ok(package) = Package::open(out) else { return std::fs::read(out).ok() };
        package.verify().unwrap();
        for info in package.arrays() {
            content.extend(format!("{} {:?} ", info.name, info.shape).into_bytes());
            let at = content.len();
            content.resize(at + info.nbytes() as usize, 0);
            package.read_into(&info.name, &mut content[at..]).unwrap();
        }
        return Some(content);
    }
    let store = match Store::open(out) {
        Err(Error::NotAStore { problem: "there is nothing", .. }) => return None,
        store => store.unwrap(),
    };
    assert_eq!(store.warnings(), [""; 0]);
    for info in store.arrays().unwrap() {
        content.extend(format!("{} {:?} ", info.name, info.shape).into_bytes());
        let at = content.len();
        content.resize(at + info.nbytes() as usize, 0);
        store.array(&info.name).unwrap().read_into(&mut content[at..]).unwrap();
    }
    Some(content)
}

fn entries(dir: &Path) -> Vec<String> {
    let names = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name());
    let mut names: Vec<_> = names.map(|n| n.into_string().unwrap()).collect();
    names.sort();
    names
}

fn interrupt_everywhere(scenario: &str) {
    let (dir, out) = fresh(scenario);
    let before = state(scenario, &out);
    let log = dir.path().join("log");
    assert_eq!(run(scenario, dir.path(), 0, "", Some(&log)), Some(0), "{scenario}");
    let after = state(scenario, &out);
    assert_ne!(before, after);
    let log: Vec<_> = std::fs::read_to_string(log).unwrap().lines().map(str::to_owned).collect();
    let mut turned = 0;
    for action in ["abort", "torn", "fail"] {
        let mut was_after = false;
        for (i, step) in log.iter().enumerate() {
            if action == "torn" && !step.contains(" write ") {
                continue;
            }
            let what = format!("{scenario} {action} at {step}");
            let (dir, out) = fresh(scenario);
            let code = run(scenario, dir.path(), i + 1, action, None);
            let now = state(scenario, &out);
            assert!(now == before || now == after, "{what}: between");
            let is_after = now == after;
            if action == "fail" {
                assert!(code == Some(3) || (code == Some(0) && is_after), "{what}: {code:?}");
            } else {
                assert_eq!(code, None, "{what}");
                assert!(is_after || !was_after, "{what}: back again");
                turned += u32::from(is_after && !was_after);
                was_after = is_after;
            }
            clean_after(scenario, dir.path(), &out, &what);
            let expected: &[&str] = match now {
                Some(_) => &["in.npk", "in.npkg", "out"],
                None => &["in.npk", "in.npkg"],
            };
            assert_eq!(entries(dir.path()), expected, "{what}");
            assert!(state(scenario, &out) == now, "{what}: clearing up changed it");
        }
    }
    assert!(turned > 0, "{scenario} never took effect");
    println!("{scenario}: {} steps", log.len());
}

/// What the next process for the same place does.
fn clean_after(scenario: &str, dir: &Path, out: &Path, what: &str) {
    if scenario.starts_with("pack") {
        let options = PackOptions { overwrite: true, ..PackOptions::default() };
        let empty = dir.join("none.npk");
        std::fs::create_dir(&empty).unwrap();
        std::fs::write(
            empty.join("metadata.npkm"),
            crate::metadata::encode(std::iter::empty()).unwrap(),
        )
        .unwrap();
        let now = std::fs::read(out).ok();
        pack(&empty, out, &options).unwrap();
        std::fs::remove_dir_all(&empty).unwrap();
        match now {
            Some(bytes) => std::fs::write(out, bytes).unwrap(),
            None => std::fs::remove_file(out).unwrap(),
        }
        return;
    }
    if out.exists() {
        let faults = Store::verify(out).unwrap();
        assert!(faults.iter().all(crate::Fault::is_notice), "{what}: {faults:?}");
        let options = WriterOptions { wait: false, ..WriterOptions::default() };
        drop(Writer::open_with(out, &options).unwrap());
        assert_eq!(Store::verify(out).unwrap(), [], "{what}");
    } else {
        drop(Writer::create(out).unwrap());
    }
}

#[test]
fn a_new_package() {
    interrupt_everywhere("pack-zlib");
}

#[test]
fn a_package_in_the_place_of_a_file() {
    interrupt_everywhere("pack-over");
}

#[test]
fn a_new_store() {
    interrupt_everywhere("unpack");
}

#[test]
fn a_store_in_the_place_of_another() {
    interrupt_everywhere("unpack-over");
}

#[test]
fn a_store_in_the_place_of_another_without_exchange() {
    interrupt_everywhere("unpack-over-by-record");
}

/// A change that is decided is packed, wherever the process that made it ended.
#[test]
fn a_committed_change_is_packed() {
    let (dir, _) = fresh("merge");
    let log = dir.path().join("log");
    assert_eq!(run("merge", dir.path(), 0, "", Some(&log)), Some(0));
    let log = std::fs::read_to_string(log).unwrap();
    let mut changed = 0;
    for step in 1..=log.lines().count() {
        let (dir, _) = fresh("merge");
        let store = dir.path().join("in.npk");
        assert_eq!(run("merge", dir.path(), step, "abort", None), None);
        let before = entries(&store);
        let package = dir.path().join("p");
        pack(&store, &package, &PackOptions::default()).unwrap();
        assert_eq!(entries(&store), before);
        let (package, store) = (Package::open(&package).unwrap(), Store::open(&store).unwrap());
        package.verify().unwrap();
        assert_eq!(package.arrays(), store.arrays().unwrap());
        for info in store.arrays().unwrap() {
            let mut both = [vec![0; info.nbytes() as usize], vec![1; info.nbytes() as usize]];
            package.read_into(&info.name, &mut both[0]).unwrap();
            store.array(&info.name).unwrap().read_into(&mut both[1]).unwrap();
            assert_eq!(both[0], both[1]);
            changed += u32::from(both[0] == [7; 3]);
        }
    }
    assert!(changed > 1, "{log}");
}
