//! A conversion killed at a random moment leaves its output as it was before or complete, and the
//! next run clears what was left.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Object, below, names_in};
use numpack_interop::{
    Existing, FromTorch, NoProgress, Tensors, ToTorch, diff, from_torch_file, to_torch_file, verify,
};
use torch_pickle::DType;

/// Tells this binary that it is the one to be killed: what to do, from where, to where.
const CHILD: &str = "NUMPACK_TEST_CHILD";

fn convert(what: &str, input: &Path, output: &Path) {
    let from = FromTorch::new();
    match what {
        "create" | "merge" => from_torch_file(input, output, &from, &mut NoProgress),
        "replace" => {
            from_torch_file(input, output, &from.existing(Existing::Replace), &mut NoProgress)
        }
        "back" => to_torch_file(input, output, &ToTorch::new(), &mut NoProgress),
        other => panic!("{other}"),
    }
    .unwrap();
}

/// Not a test: what the killed process runs.
#[test]
fn child() {
    let Ok(job) = std::env::var(CHILD) else { return };
    let parts: Vec<&str> = job.split('|').collect();
    convert(parts[0], Path::new(parts[1]), Path::new(parts[2]));
}

fn spawn(what: &str, input: &Path, output: &Path) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child"])
        .env(CHILD, format!("{what}|{}|{}", input.display(), output.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn equal(a: &Path, b: &Path) -> bool {
    diff(&Tensors::open(a).unwrap(), &Tensors::open(b).unwrap(), 1).unwrap().is_empty()
}

/// A checkpoint that takes a while: many small tensors and a few large ones.
fn checkpoint(path: &Path, tensors: u64, seed: u64) {
    let mut o = Object::default();
    let names: Vec<String> = (0..tensors).map(|i| format!("layer.{i}.weight")).collect();
    let items: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(i, name)| {
            let len = if i % 50 == 0 { 1 << 19 } else { 1 << 8 };
            let dtype = if i % 3 == 0 { DType::BFloat16 } else { DType::Float32 };
            (name.as_str(), o.tensor(dtype, &[len], seed + i as u64))
        })
        .collect();
    let root = o.dict(&items);
    o.write(root, path);
}

/// The states an output may be found in.
struct Scene {
    what: &'static str,
    input: PathBuf,
    /// What the output holds before, if anything.
    before: Option<PathBuf>,
    after: PathBuf,
}

fn copy(from: &Path, to: &Path) {
    if from.is_dir() {
        std::fs::create_dir(to).unwrap();
        for name in names_in(from) {
            std::fs::copy(from.join(&name), to.join(&name)).unwrap();
        }
    } else {
        std::fs::copy(from, to).unwrap();
    }
}

/// A folder in memory where there is one: what is tested is the death of a process, which no disk
/// has to be waited for.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    match memory.is_dir() {
        true => tempfile::tempdir_in(memory).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

#[test]
fn a_killed_conversion_is_as_before_or_complete() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    checkpoint(&path("old.pt"), 300, 1);
    checkpoint(&path("new.pt"), 400, 9000);
    convert("create", &path("old.pt"), &path("old.npk"));
    convert("create", &path("new.pt"), &path("new.npk"));
    copy(&path("old.npk"), &path("merged.npk"));
    convert("merge", &path("new.pt"), &path("merged.npk"));
    let scene = |what, input: &str, before: Option<&str>, after: &str| Scene {
        what,
        input: path(input),
        before: before.map(path),
        after: path(after),
    };
    let scenes = [
        scene("create", "new.pt", None, "new.npk"),
        scene("replace", "new.pt", Some("old.npk"), "new.npk"),
        scene("merge", "new.pt", Some("old.npk"), "merged.npk"),
        scene("back", "new.npk", Some("old.pt"), "new.pt"),
    ];
    let mut rng = 20_261_120;
    let (mut as_before, mut complete) = (0, 0);
    for s in &scenes {
        let work = path("work");
        let out = work.join(if s.what == "back" { "out.pt" } else { "out.npk" });
        let prepare = || {
            let _ = std::fs::remove_dir_all(&work);
            std::fs::create_dir(&work).unwrap();
            if let Some(before) = &s.before {
                copy(before, &out);
            }
        };
        // How long it takes undisturbed, so that the kills fall all over it.
        prepare();
        let start = Instant::now();
        assert!(spawn(s.what, &s.input, &out).wait().unwrap().success());
        let whole = start.elapsed().as_micros() as u64;
        assert!(equal(&out, &s.after), "{}", s.what);

        for round in 0..25 {
            prepare();
            let mut child = spawn(s.what, &s.input, &out);
            std::thread::sleep(Duration::from_micros(below(&mut rng, whole * 11 / 10)));
            child.kill().unwrap();
            child.wait().unwrap();
            let context = format!("{} round {round}", s.what);
            let is_before = match &s.before {
                None => !out.exists(),
                Some(before) => equal(&out, before),
            };
            if is_before {
                as_before += 1;
            } else {
                assert!(equal(&out, &s.after), "{context}: neither before nor complete");
                complete += 1;
            }
            if out.exists() {
                assert_eq!(verify(&out).unwrap().faults, [""; 0], "{context}");
            }
            // The next run does it, and clears what the killed one left.
            let again = if out.exists() && s.what == "create" { "merge" } else { s.what };
            convert(again, &s.input, &out);
            assert!(equal(&out, &s.after), "{context}: the next run");
            assert_eq!(verify(&out).unwrap(), Default::default(), "{context}: the next run");
            let name = out.file_name().unwrap().to_string_lossy().into_owned();
            assert_eq!(names_in(&work), [name], "{context}: leftovers");
            if out.is_dir() {
                let odd: Vec<String> = names_in(&out)
                    .into_iter()
                    .filter(|n| {
                        !(n.ends_with(".npkd") || n == "metadata.npkm" || n == "libnumpack.lock")
                    })
                    .collect();
                assert_eq!(odd, [""; 0], "{context}: leftovers inside");
            }
        }
    }
    println!("100 kills: {as_before} as before, {complete} complete");
    assert!(as_before >= 20 && complete >= 1, "{as_before} {complete}: the kills fell badly");
}
