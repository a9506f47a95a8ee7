//! Readers beside a writer, and writers beside each other.
#![allow(missing_docs, reason = "a test")]

mod common;

use common::{place, save};
use numpack_format::{DType, Error, NumPack, Rows, Store, View, Writer, WriterOptions};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

/// Three arrays that all say the same number, in types and shapes that change with it.
fn fill(w: &mut Writer, n: u8) {
    for name in ["a", "b", "c"] {
        let dtype = DType::ALL[1 + usize::from(n % 13)];
        let len = 1 + u64::from(n % 7) * 100;
        save(w, name, dtype, &[len], &vec![n; len as usize * dtype.size()]);
    }
}

/// The number, or `None` where the store changed between two arrays and says so.
fn whole_state(path: &Path) -> Option<u8> {
    let store = Store::open_listed(path).unwrap();
    assert_eq!(store.arrays().unwrap().len(), 3);
    let mut all: Option<u8> = None;
    for info in store.arrays().unwrap() {
        let array = match store.array(&info.name) {
            Ok(a) => a,
            Err(Error::Changed { .. }) => return None,
            Err(e) => panic!("{e}"),
        };
        assert_eq!(array.info(), info);
        let mut bytes = vec![0; array.nbytes() as usize];
        array.read_into(&mut bytes).unwrap();
        let n = *all.get_or_insert(bytes[0]);
        assert_eq!(info.dtype, DType::ALL[1 + usize::from(n % 13)]);
        assert!(bytes.iter().all(|&b| b == n), "two states at once");
    }
    all
}

fn readers_see_whole_states(commit: impl Fn(&Path, u8)) {
    let (_t, path) = place();
    let mut w = Writer::create(&path).unwrap();
    fill(&mut w, 0);
    w.commit().unwrap();
    let (stop, seen) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|s| {
        for _ in 0..3 {
            s.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    seen.fetch_add(u32::from(whole_state(&path).is_some()), Ordering::Relaxed);
                }
            });
        }
        for n in 1..60 {
            commit(&path, n);
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(seen.load(Ordering::Relaxed) > 10);
    assert_eq!(whole_state(&path), Some(59));
    assert_eq!(Store::verify(&path).unwrap(), []);
}

#[test]
fn readers_beside_commits() {
    readers_see_whole_states(|path, n| {
        let mut w = Writer::open(path).unwrap();
        fill(&mut w, n);
        w.commit().unwrap();
    });
}

#[test]
fn readers_beside_replacements() {
    readers_see_whole_states(|path, n| {
        let mut w = Writer::replace(path).unwrap();
        fill(&mut w, n);
        w.commit().unwrap();
    });
}

/// A handle writes one record over another, many in one tick of the clock.
#[test]
fn readers_beside_one_handle() {
    const CHANGES: u32 = 1500;
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let dir = tempfile::tempdir_in(place).unwrap();
    let path = dir.path().join("s.npk");
    let npk = NumPack::create(&path).unwrap();
    npk.save(&[("a", View::new(DType::U32, &[300], &[0; 1200]))]).unwrap();
    let read = |array: &numpack_format::Array, least: u32| {
        let mut out = vec![0; 1200];
        array.read_into(&mut out).unwrap();
        let all: Vec<u32> = out.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
        assert!(all.iter().all(|n| *n == all[0]), "parts of {least} and others: {all:?}");
        assert!(all[0] >= least, "{} after {least}", all[0]);
        all[0]
    };
    std::thread::scope(|s| {
        for long in [true, false, false] {
            let (path, read) = (&path, &read);
            s.spawn(move || {
                // A change that is decided, and not carried out yet, is seen by whoever opens the
                // store, and later by whoever has.
                let (mut now, mut last) = (0, 0);
                let store = Store::open(path).unwrap();
                let kept = store.array("a").unwrap();
                let handle = NumPack::open(path).unwrap();
                while last < CHANGES {
                    if !long {
                        let store = Store::open(path).unwrap();
                        now = read(&store.array("a").unwrap(), now.max(last));
                    }
                    last = read(&kept, last);
                    for array in [store.array("a"), handle.array("a")] {
                        now = read(&array.unwrap(), last).max(now);
                    }
                }
            });
        }
        for n in 1..=CHANGES {
            let rows: Vec<u8> = (0..300).flat_map(|_| n.to_le_bytes()).collect();
            npk.replace_rows("a", &Rows::All, &View::new(DType::U32, &[300], &rows)).unwrap();
        }
    });
    assert_eq!(Store::verify(&path).unwrap(), []);
}

#[test]
fn an_unchanged_array_of_an_older_state_still_opens() {
    let (_t, path) = place();
    let mut w = Writer::create(&path).unwrap();
    fill(&mut w, 1);
    w.commit().unwrap();
    let store = Store::open(&path).unwrap();
    let held = store.array("a").unwrap();
    let mut w = Writer::open(&path).unwrap();
    save(&mut w, "a", DType::U8, &[1], &[9]);
    w.commit().unwrap();
    assert!(matches!(store.array("a"), Err(Error::Changed { .. })));
    assert_eq!(common::read(&store, "b")[0], 1);
    let mut bytes = vec![0; held.nbytes() as usize];
    held.read_into(&mut bytes).unwrap();
    assert!(bytes.iter().all(|&b| b == 1));
}

#[test]
fn a_second_writer_waits_or_is_told() {
    let (_t, path) = place();
    Writer::create(&path).unwrap().commit().unwrap();
    let mut first = Writer::open(&path).unwrap();
    let at_once = WriterOptions { wait: false, ..WriterOptions::default() };
    assert!(matches!(Writer::open_with(&path, &at_once), Err(Error::Locked { .. })));
    let replacement = Writer::replace_with(&path, &at_once).unwrap();
    assert!(matches!(replacement.commit(), Err(Error::Locked { .. })));
    std::thread::scope(|s| {
        let second = s.spawn(|| {
            let mut w = Writer::open(&path).unwrap();
            assert_eq!(w.store().arrays().unwrap().len(), 1, "it must see what the first wrote");
            save(&mut w, "second", DType::U8, &[1], &[2]);
            w.commit().unwrap();
        });
        std::thread::sleep(Duration::from_millis(50));
        assert!(!second.is_finished());
        save(&mut first, "first", DType::U8, &[1], &[1]);
        first.commit().unwrap();
    });
    assert_eq!(Store::open(&path).unwrap().arrays().unwrap().len(), 2);
}

#[test]
fn a_writer_that_waited_for_a_store_that_was_replaced_gets_the_new_one() {
    let (_t, path) = place();
    let mut w = Writer::create(&path).unwrap();
    save(&mut w, "old", DType::U8, &[1], &[1]);
    w.commit().unwrap();
    for _ in 0..20 {
        let mut replacement = Writer::replace(&path).unwrap();
        save(&mut replacement, "fresh", DType::U8, &[1], &[2]);
        let holder = Writer::open(&path).unwrap();
        std::thread::scope(|s| {
            s.spawn(|| replacement.commit().unwrap());
            let waiting = s.spawn(|| {
                let mut w = Writer::open(&path).unwrap();
                save(&mut w, "added", DType::U8, &[1], &[3]);
                w.commit().unwrap();
            });
            std::thread::sleep(Duration::from_millis(5));
            drop(holder);
            waiting.join().unwrap();
        });
        let store = Store::open(&path).unwrap();
        assert!(store.contains("fresh"));
        assert_eq!(Store::verify(&path).unwrap(), []);
    }
}

#[test]
fn writers_in_turn_lose_nothing() {
    let (_t, path) = place();
    Writer::create(&path).unwrap().commit().unwrap();
    std::thread::scope(|s| {
        for t in 0..4 {
            let path = &path;
            s.spawn(move || {
                for i in 0..5 {
                    let mut w = Writer::open(path).unwrap();
                    save(&mut w, &format!("{t}.{i}"), DType::U8, &[1], &[t]);
                    w.commit().unwrap();
                }
            });
        }
    });
    assert_eq!(Store::open(&path).unwrap().arrays().unwrap().len(), 20);
}

#[test]
fn creators_of_one_path() {
    let (t, path) = place();
    let first = Writer::create(&path).unwrap();
    let second = Writer::create(&path).unwrap();
    first.commit().unwrap();
    assert!(matches!(second.commit(), Err(Error::Exists { .. })));
    assert_eq!(common::names(t.path()), ["s.npk"]);
    // What a dead writer left goes; what a live one builds stays.
    let dead = t.path().join(".s.npk.libnumpack-1-0123456789abcdef");
    std::fs::create_dir(&dead).unwrap();
    std::fs::write(dead.join("data_a.npkd"), "x").unwrap();
    let foreign = t.path().join(".s.npk.libnumpack-1-note");
    std::fs::create_dir(&foreign).unwrap();
    let live = Writer::replace(&path).unwrap();
    let other = Writer::replace(&path).unwrap();
    assert!(!dead.exists() && foreign.exists());
    live.commit().unwrap();
    other.commit().unwrap();
    std::fs::remove_dir(foreign).unwrap();
    assert_eq!(common::names(t.path()), ["s.npk"]);
}

/// Runs writers of both kinds, readers and checkers beside each other for two seconds, in memory
/// where there is a place for that, where everything goes faster.
#[test]
fn everybody_beside_everybody() {
    let memory = Path::new("/dev/shm");
    let t = tempfile::Builder::new();
    let t = if memory.is_dir() { t.tempdir_in(memory) } else { t.tempdir() }.unwrap();
    let path = t.path().join("s.npk");
    let mut w = Writer::create(&path).unwrap();
    fill(&mut w, 0);
    w.commit().unwrap();
    let end = std::time::Instant::now() + Duration::from_secs(2);
    let (path, rounds) = (&path, &AtomicU32::new(0));
    std::thread::scope(|s| {
        let run = |f: &'static (dyn Fn(&Path, u8) + Sync)| {
            s.spawn(move || {
                let mut n = 0u8;
                while std::time::Instant::now() < end {
                    n = n.wrapping_add(1);
                    f(path, n);
                    rounds.fetch_add(1, Ordering::Relaxed);
                }
            });
        };
        for _ in 0..4 {
            run(&|path, n| {
                let mut w = Writer::replace(path).unwrap();
                fill(&mut w, n);
                assert_eq!(w.commit_with_warnings().unwrap(), [""; 0]);
            });
        }
        for _ in 0..2 {
            run(&|path, n| {
                let mut w = Writer::open(path).unwrap();
                fill(&mut w, n);
                assert_eq!(w.commit_with_warnings().unwrap(), [""; 0]);
            });
        }
        run(&|path, _| {
            whole_state(path);
        });
        run(&|path, _| match Store::verify(path) {
            Ok(faults) => {
                assert!(faults.iter().all(numpack_format::Fault::is_notice), "{faults:?}");
            }
            Err(e) => assert!(matches!(e, Error::Changed { .. }), "{e}"),
        });
    });
    assert!(rounds.load(Ordering::Relaxed) > 20);
    assert_eq!(Store::verify(path).unwrap(), []);
    // A folder that one writer was clearing when the test ended goes with the next.
    Writer::replace(path).unwrap().commit().unwrap();
    assert_eq!(common::names(t.path()), ["s.npk"]);
}

/// The number of rows of the array that grows, if the metadata are one whole state: what a program
/// sees that knows nothing of this crate.
fn rows_by_hand(bytes: &[u8]) -> u64 {
    let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let short = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut sum, mut rows) = (20, 0, 0);
    for _ in 0..short(16) {
        let dims = at + 4 + short(at);
        rows = number(dims + 4);
        let file = dims + 4 + short(dims) * 8;
        let time = file + 4 + short(file);
        assert_eq!(number(time + 8), rows);
        sum += number(time + 8);
        at = time + 39;
    }
    assert_eq!((at, sum), (bytes.len(), number(8)), "two states at once");
    rows
}

/// A handle writes the metadata over those of the last but one, unless somebody reads them.
#[test]
fn readers_of_any_program_beside_appends() {
    const CHANGES: u64 = 1500;
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let dir = tempfile::tempdir_in(place).unwrap();
    let path = dir.path().join("s.npk");
    let mut w = Writer::create(&path).unwrap();
    for i in 0..200 {
        save(&mut w, &format!("array {i}"), DType::U8, &[1], &[0]);
    }
    w.commit().unwrap();
    let npk = NumPack::open(&path).unwrap();
    let (done, inodes) = (AtomicBool::new(false), std::sync::Mutex::new(Vec::new()));
    std::thread::scope(|s| {
        for pause in [0, 1, 20, 300] {
            let (path, done) = (path.join("metadata.npkm"), &done);
            s.spawn(move || {
                let (mut last, mut times) = (0, 0u32);
                while !done.load(Ordering::Relaxed) {
                    let mut file = std::fs::File::open(&path).unwrap();
                    let mut bytes = Vec::new();
                    let mut part = [0; 3000];
                    loop {
                        match std::io::Read::read(&mut file, &mut part).unwrap() {
                            0 => break,
                            n => bytes.extend_from_slice(&part[..n]),
                        }
                        std::thread::sleep(Duration::from_micros(pause));
                    }
                    let rows = rows_by_hand(&bytes);
                    assert!(rows >= last, "{rows} after {last}");
                    (last, times) = (rows, times + 1);
                }
                assert!(times > 3);
            });
        }
        let (path, done) = (&path, &done);
        s.spawn(move || {
            let mut last = 1;
            while !done.load(Ordering::Relaxed) {
                let array = Store::open(path).unwrap().array("array 199");
                // It may have grown in between.
                let Ok(array) = array else { continue };
                let mut rows = vec![0; array.nbytes() as usize];
                array.read_into(&mut rows).unwrap();
                assert!(rows.len() >= last && rows.iter().enumerate().all(|(i, r)| *r == i as u8));
                last = rows.len();
            }
        });
        for n in 1..=CHANGES {
            npk.append(&[("array 199", View::new(DType::U8, &[1], &[n as u8]))]).unwrap();
            let meta = std::fs::metadata(path.join("metadata.npkm")).unwrap();
            inodes.lock().unwrap().push(std::os::unix::fs::MetadataExt::ino(&meta));
        }
        done.store(true, Ordering::Relaxed);
    });
    let inodes = inodes.into_inner().unwrap();
    let again = inodes.windows(3).filter(|w| w[0] == w[2] && w[0] != w[1]).count();
    println!("{again} of {CHANGES} were written over");
    assert!(again > 0 || !cfg!(target_os = "linux"));
    assert_eq!(Store::verify(&path).unwrap(), []);
}
