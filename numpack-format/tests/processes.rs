//! Ten processes change and read one store at once: nothing is lost, and nobody sees half a change.

mod common;

use numpack_format::{DType, Error, NumPack, Rows, Store, View, WriterOptions};
use std::path::Path;
use std::process::{Command, Stdio};

const ROLE: &str = "NUMPACK_PROCESS_ROLE";
const PLACE: &str = "NUMPACK_PROCESS_PLACE";
const APPENDS: u32 = 60;
const GRID: usize = 200;

fn bytes(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

fn numbers(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect()
}

fn read(npk: &NumPack, name: &str) -> Vec<u32> {
    loop {
        // It may be saved again between being found and being read.
        match npk.array(name) {
            Ok(array) => {
                let mut out = vec![0; array.nbytes() as usize];
                array.read_into(&mut out).unwrap();
                return numbers(&out);
            }
            Err(Error::Changed { .. }) => {}
            Err(e) => panic!("{e}"),
        }
    }
}

/// Rows of `[who, n]`: those of each who are 0, 1, 2, … in this order.
fn check_log(log: &[u32]) -> [u32; 4] {
    let mut next = [0; 4];
    for row in log.as_chunks::<2>().0 {
        assert_eq!(row[1], next[row[0] as usize], "{row:?}");
        next[row[0] as usize] += 1;
    }
    next
}

#[test]
fn role() {
    let (Ok(role), Some(path)) = (std::env::var(ROLE), std::env::var_os(PLACE)) else { return };
    let npk = NumPack::open(Path::new(&path)).unwrap();
    let (what, k) = role.split_at(role.len() - 1);
    let k: u32 = k.parse().unwrap();
    match what {
        // Two arrays at once: one that all share, with dropped rows, and one of its own.
        "append" => {
            for n in 0..APPENDS {
                let row = bytes(&[k, n]);
                let view = View::new(DType::U32, &[1, 2], &row);
                npk.append(&[("log", view), (&format!("own{k}"), view)]).unwrap();
            }
        }
        "save" => {
            for n in 0..APPENDS {
                let len = u64::from(n % 7 + 1);
                let data = bytes(&vec![n; len as usize]);
                npk.save(&[(&format!("saved{k}"), View::new(DType::U32, &[len], &data))]).unwrap();
            }
        }
        "replace" => {
            for n in 1..=APPENDS {
                let data = bytes(&vec![n; GRID]);
                let view = View::new(DType::U32, &[GRID as u64], &data);
                npk.replace_rows("grid", &Rows::All, &view).unwrap();
            }
        }
        "drop" => {
            for n in 0..APPENDS {
                npk.append(&[("queue", View::new(DType::U32, &[3], &bytes(&[n; 3])))]).unwrap();
                npk.drop_rows("queue", &Rows::from(..2)).unwrap();
                if n % 10 == 9 {
                    npk.compact_array("queue").unwrap();
                }
            }
        }
        "read" => {
            let (mut last, mut grid) = ([0; 4], 0);
            let lazy = npk.array("grid").unwrap();
            while grid < APPENDS || last != [APPENDS; 4] {
                let now = check_log(&read(&npk, "log"));
                assert!(now.iter().zip(last).all(|(now, last)| *now >= last));
                last = now;
                // An array that was opened once sees rows being replaced, all at once.
                let mut out = vec![0; GRID * 4];
                lazy.read_into(&mut out).unwrap();
                let all = numbers(&out);
                assert!(all.iter().all(|n| *n == all[0]) && all[0] >= grid, "{grid}: {all:?}");
                grid = all[0];
                for who in 0..2 {
                    let saved = read(&npk, &format!("saved{who}"));
                    assert!(saved.iter().all(|n| *n == saved[0]));
                    assert_eq!(saved.len() as u32, saved[0] % 7 + 1);
                }
            }
        }
        other => panic!("{other}"),
    }
}

#[test]
fn ten_at_once() {
    let memory = Path::new("/dev/shm");
    // On a disk, waiting for syncs keeps them from meeting; there, one run of each kind will do.
    for place in [memory, &std::env::temp_dir()].into_iter().filter(|p| p.is_dir()) {
        let dir = tempfile::tempdir_in(place).unwrap();
        let path = dir.path().join("s.npk");
        let npk = NumPack::create(&path).unwrap();
        let empty = View::new(DType::U32, &[0, 2], &[]);
        let old = bytes(&[7, 7]);
        npk.save(&[
            ("log", View::new(DType::U32, &[1, 2], &old)),
            ("own0", empty),
            ("own1", empty),
            ("own2", empty),
            ("own3", empty),
            ("saved0", View::new(DType::U32, &[1], &[0; 4])),
            ("saved1", View::new(DType::U32, &[1], &[0; 4])),
            ("grid", View::new(DType::U32, &[GRID as u64], &[0; GRID * 4])),
            ("queue", View::new(DType::U32, &[0], &[])),
        ])
        .unwrap();
        npk.drop_rows("log", &Rows::All).unwrap();
        let roles = [
            "append0", "append1", "append2", "append3", "save0", "save1", "replace0", "drop0",
            "read0", "read1",
        ];
        let children: Vec<_> = roles
            .iter()
            .map(|role| {
                Command::new(std::env::current_exe().unwrap())
                    .args(["role", "--exact", "--nocapture", "--test-threads=1"])
                    .env(ROLE, role)
                    .env(PLACE, &path)
                    .stdout(Stdio::null())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for (role, child) in roles.iter().zip(children) {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{role}: {}", String::from_utf8_lossy(&output.stderr));
        }
        assert_eq!(check_log(&read(&npk, "log")), [APPENDS; 4]);
        for k in 0..4 {
            let own: Vec<u32> = (0..APPENDS).flat_map(|n| [k, n]).collect();
            assert_eq!(read(&npk, &format!("own{k}")), own);
        }
        assert_eq!(read(&npk, "grid"), [APPENDS; GRID]);
        // Three came and two went, first in, first out.
        let queue: Vec<u32> =
            (0..APPENDS).flat_map(|n| [n; 3]).skip(2 * APPENDS as usize).collect();
        assert_eq!(read(&npk, "queue"), queue);
        assert_eq!(Store::verify(&path).unwrap(), []);
    }
}

#[test]
fn a_second_writer_is_told_or_waits() {
    let (_dir, path) = common::place();
    let npk = NumPack::create(&path).unwrap();
    let mut writer = npk.begin().unwrap();
    let impatient = WriterOptions { wait: false, ..WriterOptions::default() };
    let other = NumPack::open_with(&path, &impatient).unwrap();
    assert!(matches!(other.reset(), Err(Error::Locked { .. })));
    std::thread::scope(|s| {
        let waiting = s.spawn(|| {
            let patient = NumPack::open(&path).unwrap();
            patient.append(&[("a", View::new(DType::U8, &[1], &[2]))]).unwrap();
        });
        std::thread::sleep(std::time::Duration::from_millis(50));
        assert!(!waiting.is_finished());
        writer.save("a", &View::new(DType::U8, &[1], &[1])).unwrap();
        writer.commit().unwrap();
        waiting.join().unwrap();
    });
    assert_eq!(common::read(&npk.store().unwrap(), "a"), [1, 2]);
}
