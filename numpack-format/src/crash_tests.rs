//! Every change to the disk is interrupted once: the process ends before it, half-way through a
//! write, or the change fails. The store must be as before or as after, sound, and the next writer
//! must clear what is left.
//!
//! The process that is interrupted is this test program itself, run again with only [`child`].

use crate::{DType, Error, SideInfo, Store, View, Writer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const SCENARIO: &str = "NUMPACK_CRASH_SCENARIO";
const PLACE: &str = "NUMPACK_CRASH_PLACE";

/// Name, type, shape and content of each array, and the side information.
type State = (BTreeMap<String, (DType, Vec<u64>, Vec<u8>)>, Option<SideInfo>);

fn save(w: &mut Writer, name: &str, dtype: DType, data: &[u8]) {
    let size = dtype.size();
    w.save(name, &View::new(dtype, &[(data.len() / size) as u64], data)).unwrap();
}

/// Runs in the process that is interrupted.
#[test]
fn child() {
    let (Ok(scenario), Some(path)) = (std::env::var(SCENARIO), std::env::var_os(PLACE)) else {
        return;
    };
    let done = change(&scenario, Path::new(&path));
    // 0: committed; 3: refused in good order.
    std::process::exit(if done.is_ok() { 0 } else { 3 });
}

fn change(scenario: &str, path: &Path) -> Result<(), Error> {
    let mut w = match scenario {
        "create" | "create-many" => Writer::create(path)?,
        "replace" | "replace-by-record" => Writer::replace(path)?,
        "recover" => return Writer::open(path).map(drop),
        _ => Writer::open(path)?,
    };
    let one = |w: &mut Writer, name: &str, dtype: DType, data: &[u8]| {
        let size = dtype.size();
        w.save(name, &View::new(dtype, &[(data.len() / size) as u64], data))
    };
    if scenario.ends_with("many") {
        for i in 0..40u8 {
            one(&mut w, &format!("n{i}"), DType::U8, &[i; 3])?;
        }
    }
    one(&mut w, "changed", DType::U16, &[7; 40])?;
    one(&mut w, "new", DType::F32, &[8; 100_000])?;
    one(&mut w, "segmented", DType::U8, &[9; 3])?;
    w.save("scalar", &View::new(DType::I8, &[], &[5]))?;
    if scenario.starts_with("merge") {
        w.remove_array("dropped")?;
    }
    w.commit()
}

/// The store that is changed: with dropped rows, segments and side information.
fn set_up(path: &Path) {
    let mut w = Writer::create(path).unwrap();
    for (name, data) in [
        ("kept", &[1u8; 5][..]),
        ("changed", &[2; 7]),
        ("dropped", &[3; 9]),
        ("segmented", &[4; 4]),
    ] {
        save(&mut w, name, DType::U8, data);
    }
    w.save("zero", &View::new(DType::U8, &[], &[6])).unwrap();
    w.commit().unwrap();
    std::fs::write(
        path.join("deleted_changed.npkb"),
        [7u64, 2, 0b101_1011].map(u64::to_le_bytes).concat(),
    )
    .unwrap();
    // The data file of "segmented" becomes a list, which makes its name one byte longer.
    let metadata = std::fs::read(path.join("metadata.npkm")).unwrap();
    let name = b"data_segmented.npkd";
    let at = metadata.windows(name.len()).position(|w| w == name).unwrap();
    let longer = [
        &metadata[..at - 4],
        &(name.len() as u32 + 2).to_le_bytes(),
        b"data_segmented.npkseg",
        &metadata[at + name.len()..],
    ]
    .concat();
    std::fs::write(path.join("metadata.npkm"), longer).unwrap();
    let folder = path.join("data_segmented_segments");
    std::fs::create_dir(&folder).unwrap();
    std::fs::rename(path.join("data_segmented.npkd"), folder.join("seg_000000.npkd")).unwrap();
    let list = r#"{"version":1,"segments":[{"file":"data_segmented_segments/seg_000000.npkd","rows":4,"bytes":4}]}"#;
    std::fs::write(path.join("data_segmented.npkseg"), list).unwrap();
}

fn state(path: &Path) -> Option<State> {
    let store = match Store::open(path) {
        Ok(store) => store,
        Err(Error::NotAStore { problem: "there is nothing", .. }) => return None,
        Err(e) => panic!("{e}"),
    };
    assert_eq!(store.warnings(), [""; 0]);
    let arrays = store.arrays().unwrap().iter().map(|info| {
        let array = store.array(&info.name).unwrap();
        let mut data = vec![0; array.nbytes() as usize];
        array.read_into(&mut data).unwrap();
        (info.name.clone(), (info.dtype, info.shape.clone(), data))
    });
    let arrays = arrays.collect();
    // The times differ from run to run.
    let side = store.side().cloned().map(|mut side| {
        side.arrays.iter_mut().for_each(|n| n.modified = None);
        side
    });
    Some((arrays, side))
}

fn run(scenario: &str, path: &Path, step: usize, action: &str, log: Option<&Path>) -> Option<i32> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["crash_tests::child", "--exact", "--nocapture", "--test-threads=1"])
        .env(SCENARIO, scenario)
        .env(PLACE, path);
    command.env("NUMPACK_FAULT_STEP", step.to_string()).env("NUMPACK_FAULT_ACTION", action);
    if scenario.ends_with("by-record") {
        command.env("NUMPACK_FAULT_NO_EXCHANGE", "1");
    }
    if let Some(log) = log {
        command.env("NUMPACK_FAULT_LOG", log);
    }
    command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap()
        .code()
}

fn fresh(scenario: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.npk");
    if !scenario.starts_with("create") {
        set_up(&path);
    }
    (dir, path)
}

fn steps(scenario: &str) -> (Vec<String>, Option<State>, Option<State>) {
    let (dir, path) = fresh(scenario);
    let before = state(&path);
    let log = dir.path().join("log");
    assert_eq!(run(scenario, &path, 0, "", Some(&log)), Some(0));
    let after = state(&path);
    assert_ne!(before, after);
    assert_eq!(Store::verify(&path).unwrap(), []);
    (std::fs::read_to_string(log).unwrap().lines().map(str::to_owned).collect(), before, after)
}

/// Whatever happened, the store is whole, and the next writer leaves it clean.
fn check(path: &Path, before: &Option<State>, after: &Option<State>, what: &str) -> bool {
    let now = state(path);
    assert!(now == *before || now == *after, "{what}: between");
    if now.is_some() {
        let faults = Store::verify(path).unwrap();
        assert!(faults.iter().all(crate::Fault::is_notice), "{what}: {faults:?}");
        drop(
            Writer::open_with(path, &crate::WriterOptions { wait: false, ..Default::default() })
                .unwrap(),
        );
        assert_eq!(Store::verify(path).unwrap(), [], "{what}");
        assert!(
            !path.join(crate::redo::FILE).exists() && !path.join(crate::redo::STAGE).exists(),
            "{what}"
        );
    } else {
        drop(Writer::create(path).unwrap());
    }
    let left: Vec<_> = std::fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(left.iter().all(|n| n == "s.npk"), "{what}: left {left:?}");
    assert_eq!(state(path), now, "{what}: clearing up changed the store");
    now == *after
}

fn interrupt_everywhere(scenario: &str) {
    let (log, before, after) = steps(scenario);
    let mut turned = 0;
    for action in ["abort", "torn", "fail"] {
        let mut was_after = false;
        for (i, step) in log.iter().enumerate() {
            if action == "torn" && !step.contains(" write ") {
                continue;
            }
            let (_dir, path) = fresh(scenario);
            let code = run(scenario, &path, i + 1, action, None);
            let is_after = check(&path, &before, &after, &format!("{scenario} {action} at {step}"));
            if action == "fail" {
                assert!(
                    code == Some(3) || (code == Some(0) && is_after),
                    "{scenario} fail at {step}: {code:?}"
                );
            } else {
                assert_eq!(code, None, "{scenario} {action} at {step}");
                // Once decided, it stays so.
                assert!(is_after || !was_after, "{scenario} {action} at {step}: back again");
                turned += u32::from(is_after && !was_after);
                was_after = is_after;
            }
        }
    }
    assert!(turned > 0, "{scenario} never took effect");
    println!("{scenario}: {} steps", log.len());
}

#[test]
fn create() {
    interrupt_everywhere("create");
}

#[test]
fn create_with_many_arrays() {
    interrupt_everywhere("create-many");
}

#[test]
fn replace() {
    interrupt_everywhere("replace");
}

#[test]
fn replace_without_exchange() {
    interrupt_everywhere("replace-by-record");
}

#[test]
fn merge() {
    interrupt_everywhere("merge");
}

#[test]
fn merge_with_many_arrays() {
    interrupt_everywhere("merge-many");
}

#[test]
fn recovery_is_interrupted_too() {
    let (log, before, after) = steps("merge");
    let renamed =
        log.iter().position(|s| s.contains("rename") && s.contains("libnumpack.redo.tmp")).unwrap();
    for (first, step) in log.iter().enumerate().skip(renamed + 1) {
        for second in 1..100 {
            let (_dir, path) = fresh("merge");
            assert_eq!(run("merge", &path, first + 1, "abort", None), None);
            let code = run("recover", &path, second, "abort", None);
            assert!(check(&path, &before, &after, &format!("crash at {step}, then at {second}")));
            if code == Some(0) {
                break;
            }
        }
    }
}

#[test]
fn a_forked_child_leaves_everything_alone() {
    let (_dir, path) = fresh("merge");
    let mut w = Writer::open(&path).unwrap();
    save(&mut w, "new", DType::U8, &[1]);
    w.pretend_forked();
    assert!(matches!(w.begin_array("x", DType::U8, &[1]), Err(Error::Forked { .. })));
    assert!(matches!(w.remove_array("kept"), Err(Error::Forked { .. })));
    assert!(matches!(w.commit(), Err(Error::Forked { .. })));
    assert_eq!(std::fs::read_dir(path.join(crate::redo::STAGE)).unwrap().count(), 1);
}

#[test]
fn new_files_are_in_their_place_before_they_leave_the_stage() {
    let (log, ..) = steps("merge");
    let moved = log.iter().rposition(|s| s.contains(" rename ") && s.contains("-1.new")).unwrap();
    let syncs: Vec<bool> = log[moved..]
        .iter()
        .filter(|s| s.contains(" syncdir "))
        .map(|s| s.contains(crate::redo::STAGE))
        .collect();
    assert_eq!(syncs, [false, true, false]);
}

#[test]
fn a_huge_file_in_the_place_of_the_metadata_is_refused() {
    let (_dir, path) = fresh("replace-by-record");
    let file = std::fs::File::options().write(true).open(path.join("metadata.npkm")).unwrap();
    file.set_len(15 << 40).unwrap();
    assert_eq!(run("replace-by-record", &path, 0, "", None), Some(3));
    assert_eq!(file.metadata().unwrap().len(), 15 << 40);
}

#[test]
fn a_change_that_could_not_be_carried_out_is_refused() {
    for scenario in ["merge", "replace-by-record"] {
        let names: &[&str] = if scenario == "merge" {
            &["data_changed.npkd", "data_dropped.npkd", "deleted_changed.npkb"]
        } else {
            &["data_changed.npkd"]
        };
        for name in names {
            let (_dir, path) = fresh(scenario);
            std::fs::remove_file(path.join(name)).unwrap();
            std::fs::create_dir(path.join(name)).unwrap();
            let metadata = std::fs::read(path.join("metadata.npkm")).unwrap();
            assert_eq!(run(scenario, &path, 0, "", None), Some(3), "{scenario} {name}");
            assert_eq!(std::fs::read(path.join("metadata.npkm")).unwrap(), metadata);
            assert!(
                !path.join(crate::redo::FILE).exists() && !path.join(crate::redo::STAGE).exists()
            );
            std::fs::remove_dir(path.join(name)).unwrap();
            assert_eq!(run(scenario, &path, 0, "", None), Some(0), "{scenario} {name}");
        }
    }
}

#[test]
fn a_replacement_that_fails_leaves_what_was_decided_before() {
    let (log, before, after) = steps("merge");
    let decided = log.iter().rposition(|s| s.contains("libnumpack.redo.tmp")).unwrap();
    let (_dir, path) = fresh("merge");
    assert_eq!(run("merge", &path, decided + 2, "abort", None), None);
    // For a while, it cannot be finished.
    let file = path.join("data_changed.npkd");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    assert_eq!(run("replace-by-record", &path, 0, "", None), Some(3));
    std::fs::remove_dir(&file).unwrap();
    assert!(check(&path, &before, &after, "a replacement that failed"));
}
