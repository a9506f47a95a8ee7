//! What is done to stores while something goes wrong.

use super::checks::{FOREIGN, ORPHAN};
use crate::fault::{self, Action, Did, arm};
use crate::side::ArrayNote;
use crate::{DType, Error, NumPack, Result, Rows, SideInfo, Store, View, Writer};
use std::cell::OnceCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A store, and calls that change it. Each that returns promises that its change lasts.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) set_up: fn(&Path),
    pub(super) calls: Vec<fn(&At) -> Result<()>>,
    /// Whether the file system cannot exchange files and folders.
    pub(super) no_exchange: bool,
}

/// Where a scenario happens, and the handle it may use.
pub(super) struct At {
    pub(super) path: PathBuf,
    npk: OnceCell<NumPack>,
}

impl At {
    pub(super) fn new(path: &Path) -> At {
        At { path: path.to_owned(), npk: OnceCell::new() }
    }

    fn npk(&self) -> Result<&NumPack> {
        if self.npk.get().is_none() {
            let _ = self.npk.set(NumPack::open(&self.path)?);
        }
        self.handle().ok_or(Error::NotAStore { path: self.path.clone(), problem: "no handle" })
    }

    /// The handle, if it has been used.
    pub(super) fn handle(&self) -> Option<&NumPack> {
        self.npk.get()
    }

    /// Runs calls up to the first that fails: how many have returned, and the error.
    pub(super) fn run(&self, scenario: &Scenario, mut then: impl FnMut()) -> (usize, Result<()>) {
        for (i, call) in scenario.calls.iter().enumerate() {
            if let Err(e) = call(self) {
                return (i, Err(e));
            }
            then();
        }
        (scenario.calls.len(), Ok(()))
    }
}

fn one(w: &mut Writer, name: &str, dtype: DType, data: &[u8]) -> Result<()> {
    w.save(name, &View::new(dtype, &[(data.len() / dtype.size()) as u64], data))
}

/// Rows of two bytes.
fn pairs(data: &[u8]) -> View<'_> {
    let shape: &'static [u64] = match data.len() {
        2 => &[1, 2],
        4 => &[2, 2],
        6 => &[3, 2],
        _ => &[4, 2],
    };
    View::new(DType::U8, shape, data)
}

fn bytes(data: &[u8]) -> View<'_> {
    const SHAPES: [[u64; 1]; 6] = [[0], [1], [2], [3], [4], [5]];
    View::new(DType::U8, &SHAPES[data.len()], data)
}

fn nothing(_: &Path) {}

fn empty_folder(path: &Path) {
    std::fs::create_dir(path).unwrap();
}

/// A store with dropped rows, segments, a name that no bitmap can have, and side information.
fn store(path: &Path) {
    let mut w = Writer::create(path).unwrap();
    for (name, data) in [
        ("kept", &[1u8; 5][..]),
        ("changed", &[2; 7]),
        ("dropped", &[3; 9]),
        ("segmented", &[4; 4]),
        ("half", &[5; 6]),
    ] {
        let dtype = if name == "half" { DType::U16 } else { DType::U8 };
        one(&mut w, name, dtype, data).unwrap();
    }
    w.save("rows", &pairs(&[1, 2, 3, 4, 5, 6, 7, 8])).unwrap();
    w.save("a/b", &pairs(&[8, 7, 6, 5, 4, 3, 2, 1])).unwrap();
    w.save("zero", &View::new(DType::U8, &[], &[6])).unwrap();
    let half = ArrayNote {
        name: "half".into(),
        stored: DType::U16.code(),
        dtype: Some("bfloat16".into()),
        ..ArrayNote::default()
    };
    w.set_side(Some(SideInfo { arrays: vec![half], ..SideInfo::default() }));
    w.commit().unwrap();
    let bitmap = [7u64, 2, 0b101_1011].map(u64::to_le_bytes).concat();
    std::fs::write(path.join("deleted_changed.npkb"), bitmap).unwrap();
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

/// The same, beside a file that nobody may touch.
fn shared_folder(path: &Path) {
    store(path);
    std::fs::write(path.join(FOREIGN), "mine").unwrap();
}

/// The same, with rows that a writer which died appended.
fn surplus(path: &Path) {
    shared_folder(path);
    for name in ["data_kept.npkd", "data_changed.npkd"] {
        let file = path.join(name);
        let longer = [std::fs::read(&file).unwrap(), vec![99; 20]].concat();
        std::fs::write(file, longer).unwrap();
    }
}

/// The same, with a data file that no record names.
fn orphaned(path: &Path) {
    shared_folder(path);
    std::fs::write(path.join(ORPHAN.0), [21, 22, 23, 24, 25, 26]).unwrap();
}

/// The same, with metadata that take several blocks.
fn large(path: &Path) {
    shared_folder(path);
    let mut w = Writer::open(path).unwrap();
    for i in 0..20 {
        one(&mut w, &long_name(i), DType::U8, &[i; 2]).unwrap();
    }
    w.commit().unwrap();
    assert!(std::fs::metadata(path.join("metadata.npkm")).unwrap().len() > 2 * 4096);
}

/// The same, with an array whose rows take several sectors.
fn wide(path: &Path) {
    shared_folder(path);
    let mut w = Writer::open(path).unwrap();
    w.save("wide", &View::new(DType::U8, &[3, WIDE as u64], &[1; 3 * WIDE])).unwrap();
    w.commit().unwrap();
}

const WIDE: usize = 1500;

fn replace_wide(at: &At, rows: std::ops::Range<i64>, byte: u8) -> Result<()> {
    let n = (rows.end - rows.start) as usize;
    let view = [n as u64, WIDE as u64];
    let data = vec![byte; n * WIDE];
    at.npk()?.replace_rows("wide", &Rows::from(rows), &View::new(DType::U8, &view, &data))
}

/// Changes a byte of an array for good, as a program does that knows of no record. Nothing fails.
fn write_as_others(at: &At, file: &str, byte: u8) -> Result<()> {
    let file = &File::options().write(true).open(at.path.join(file)).unwrap();
    let bytes = &[byte];
    file.write_all_at(bytes, 0).unwrap();
    fault::did(|| Did::Write { file, at: 0, bytes });
    file.sync_data().unwrap();
    fault::did(|| Did::Sync { file, only_data: true, failed: false });
    Ok(())
}

fn long_name(i: u8) -> String {
    format!("{i:0190}")
}

/// A store in which a writer died while it made a change; `after` its record was put there, or
/// before.
fn died(path: &Path, after: bool) {
    shared_folder(path);
    let (_dir, twin) = super::checks::place();
    shared_folder(&twin);
    let guard = arm(0, Action::Nothing, false);
    everything_at_once(&At::new(&twin)).unwrap();
    let record = |(op, name): &(String, String)| op == "rename" && name == crate::redo::TEMPORARY;
    let decided = guard.steps().iter().position(record).unwrap();
    drop(guard);
    let guard = arm(decided + 1 + usize::from(after), Action::Dead, false);
    assert!(everything_at_once(&At::new(path)).is_err());
    drop(guard);
    let waits = Store::open(path).unwrap().contains("fresh");
    assert_eq!(waits, after);
}

fn decided(path: &Path) {
    died(path, true);
}

fn undecided(path: &Path) {
    died(path, false);
}

fn fill_new(mut w: Writer, many: bool) -> Result<()> {
    if many {
        for i in 0..30u8 {
            one(&mut w, &format!("n{i}"), DType::U8, &[i; 3])?;
        }
    }
    one(&mut w, "changed", DType::U16, &[7; 40])?;
    one(&mut w, "new", DType::F32, &[8; 66_000])?;
    one(&mut w, "segmented", DType::U8, &[9; 3])?;
    w.save("scalar", &View::new(DType::I8, &[], &[5]))?;
    if w.store().contains("dropped") {
        w.remove_array("dropped")?;
    }
    w.commit()
}

fn everything_at_once(at: &At) -> Result<()> {
    let mut w = at.npk()?.begin()?;
    w.replace_rows("rows", &Rows::List(&[3, 0]), &pairs(&[91, 92, 93, 94]))?;
    w.append(&[("rows", pairs(&[95, 96])), ("changed", bytes(&[97, 98]))])?;
    w.drop_rows("changed", &Rows::List(&[0, 5]))?;
    w.drop_rows("half", &Rows::List(&[1]))?;
    one(&mut w, "fresh", DType::U16, &[1; 40])?;
    one(&mut w, "segmented", DType::U8, &[9; 3])?;
    w.rename_array("kept", "kept too")?;
    w.clone_array("changed", "copy")?;
    w.remove_array("dropped")?;
    w.commit()
}

/// Gives the names of all scenarios to a macro.
macro_rules! with_scenarios {
    ($then:ident) => {
        $then! {
            create create_in_an_empty_folder create_many
            replace replace_by_record
            merge merge_many save_twice splice set_side
            append append_with_bitmap append_to_several append_twice append_over_surplus
            append_often append_without_exchange
            replace_scattered replace_contiguous replace_again replace_among_dropped
            replace_wide replace_and_others replace_by_others
            everything drop_rows drop_all_then_append
            compact_array compact rename_array clone_array escaped reset segmented
            adopt adopt_and_change
            in_sequence recover_decided recover_undecided
        }
    };
}
pub(super) use with_scenarios;

macro_rules! table {
    ($($name:ident)*) => {
        pub(super) fn all() -> Vec<Scenario> {
            vec![$(scenario(stringify!($name))),*]
        }
    };
}
with_scenarios!(table);

/// Whether a scenario is one of a file system that exchanges nothing.
pub(super) fn no_exchange(name: &str) -> bool {
    ["replace_by_record", "append_without_exchange"].contains(&name)
}

/// Whether other writers than the handle's take part, of whose failures it is not told.
pub(super) fn has_others(name: &str) -> bool {
    name == "replace_and_others"
}

pub(super) fn scenario(name: &'static str) -> Scenario {
    type Calls = Vec<fn(&At) -> Result<()>>;
    let (set_up, calls): (fn(&Path), Calls) = match name {
        "create" => (nothing, vec![|at| fill_new(Writer::create(&at.path)?, false)]),
        "create_in_an_empty_folder" => {
            (empty_folder, vec![|at| fill_new(Writer::create(&at.path)?, false)])
        }
        "create_many" => (nothing, vec![|at| fill_new(Writer::create(&at.path)?, true)]),
        "replace" | "replace_by_record" => {
            (store, vec![|at| fill_new(Writer::replace(&at.path)?, false)])
        }
        "merge" => (shared_folder, vec![|at| fill_new(at.npk()?.begin()?, false)]),
        "merge_many" => (shared_folder, vec![|at| fill_new(at.npk()?.begin()?, true)]),
        "save_twice" => (
            shared_folder,
            vec![|at| {
                let mut w = at.npk()?.begin()?;
                one(&mut w, "kept", DType::U8, &[7; 3])?;
                one(&mut w, "gone", DType::U8, &[7; 3])?;
                one(&mut w, "kept", DType::F32, &[8; 8])?;
                w.remove_array("gone")?;
                w.commit()
            }],
        ),
        "splice" => (
            shared_folder,
            vec![|at| {
                let mut w = at.npk()?.begin()?;
                let mut array = w.begin_array("spliced", DType::U8, &[2, 100])?;
                array.splice(200, |file, at| file.write_all_at(&[3; 200], at))?;
                array.finish()?;
                w.commit()
            }],
        ),
        "set_side" => (
            shared_folder,
            vec![
                |at| {
                    let mut w = at.npk()?.begin()?;
                    let note = ArrayNote {
                        name: "kept".into(),
                        stored: DType::U8.code(),
                        dtype: Some("float8_e4m3fn".into()),
                        ..ArrayNote::default()
                    };
                    w.set_side(Some(SideInfo { arrays: vec![note], ..SideInfo::default() }));
                    w.commit()
                },
                |at| {
                    let mut w = at.npk()?.begin()?;
                    w.set_side(None);
                    w.remove_array("zero")?;
                    w.commit()
                },
            ],
        ),
        "append" => (
            shared_folder,
            vec![|at| at.npk()?.append(&[("kept", bytes(&[11, 12]))]), |at| {
                at.npk()?.append(&[("kept", bytes(&[13]))])
            }],
        ),
        "append_with_bitmap" => {
            (shared_folder, vec![|at| at.npk()?.append(&[("changed", bytes(&[11, 12]))])])
        }
        "append_to_several" => (
            shared_folder,
            vec![
                |at| {
                    at.npk()?.append(&[
                        ("kept", bytes(&[1])),
                        ("rows", pairs(&[2, 3])),
                        ("a/b", pairs(&[4, 5])),
                    ])
                },
                |at| {
                    at.npk()?.append(&[
                        ("kept", bytes(&[1])),
                        ("changed", bytes(&[6])),
                        ("segmented", bytes(&[7])),
                    ])
                },
            ],
        ),
        "append_twice" => (
            shared_folder,
            vec![
                |at| at.npk()?.append(&[("rows", pairs(&[2, 3])), ("rows", pairs(&[4, 5, 6, 7]))]),
                |at| {
                    let mut w = at.npk()?.begin()?;
                    w.append(&[("changed", bytes(&[2, 3]))])?;
                    w.append(&[("changed", bytes(&[4])), ("kept", bytes(&[5]))])?;
                    w.commit()
                },
            ],
        ),
        "append_over_surplus" => (
            surplus,
            vec![|at| at.npk()?.append(&[("kept", bytes(&[1, 2]))]), |at| {
                at.npk()?.append(&[("changed", bytes(&[1, 2]))])
            }],
        ),
        // From the third one on, the metadata are written over those of the last but one.
        "append_often" => (
            large,
            vec![
                |at| at.npk()?.append(&[("kept", bytes(&[11]))]),
                |at| at.npk()?.append(&[("kept", bytes(&[12]))]),
                |at| at.npk()?.append(&[("kept", bytes(&[13])), (&long_name(19), bytes(&[14]))]),
                |at| at.npk()?.append(&[(&long_name(10), bytes(&[15, 16]))]),
                |at| at.npk()?.replace_rows("kept", &Rows::from(4..6), &bytes(&[17, 18])),
                |at| at.npk()?.append(&[("rows", pairs(&[19, 20]))]),
                |at| at.npk()?.drop_rows("kept", &Rows::List(&[1])).map(drop),
                |at| at.npk()?.append(&[("rows", pairs(&[21, 22]))]),
            ],
        ),
        "append_without_exchange" => (
            shared_folder,
            vec![|at| at.npk()?.append(&[("kept", bytes(&[11, 12]))]), |at| {
                at.npk()?.append(&[("kept", bytes(&[13])), ("rows", pairs(&[2, 3]))])
            }],
        ),
        "replace_scattered" => (
            shared_folder,
            vec![|at| {
                at.npk()?.replace_rows("rows", &Rows::List(&[3, 0, 2]), &pairs(&[9, 8, 7, 6, 5, 4]))
            }],
        ),
        "replace_contiguous" => (
            shared_folder,
            vec![
                |at| at.npk()?.replace_rows("rows", &Rows::from(1..3), &pairs(&[9, 8, 7, 6])),
                |at| at.npk()?.replace_rows("rows", &Rows::from(2..4), &pairs(&[19, 18, 17, 16])),
            ],
        ),
        // One record over another: as long, longer, and shorter.
        "replace_again" => (
            shared_folder,
            vec![
                |at| at.npk()?.replace_rows("rows", &Rows::from(1..2), &pairs(&[9, 8])),
                |at| at.npk()?.replace_rows("rows", &Rows::from(2..3), &pairs(&[19, 18])),
                |at| at.npk()?.replace_rows("rows", &Rows::All, &pairs(&[7; 8])),
                |at| at.npk()?.replace_rows("kept", &Rows::Index(0), &bytes(&[17])),
            ],
        ),
        // The same of records that take several sectors, and rows of several arrays.
        "replace_wide" => (
            wide,
            vec![
                |at| replace_wide(at, 0..3, 2),
                |at| replace_wide(at, 1..2, 3),
                |at| replace_wide(at, 1..3, 4),
                |at| {
                    let mut w = at.npk()?.begin()?;
                    w.replace_rows("rows", &Rows::Index(1), &pairs(&[9, 8]))?;
                    w.replace_rows("kept", &Rows::Index(1), &bytes(&[9]))?;
                    w.commit()
                },
                // As long as the one before it, and alike in the first half of it.
                |at| replace_wide(at, 0..1, 5),
                |at| write_as_others(at, "data_wide.npkd", 6),
                |at| replace_wide(at, 1..2, 5),
            ],
        ),
        // What must not be undone by a record that was carried out before.
        "replace_and_others" => (
            shared_folder,
            vec![
                |at| at.npk()?.replace_rows("kept", &Rows::from(0..2), &bytes(&[7, 7])),
                |at| write_as_others(at, "data_kept.npkd", 8),
                |at| at.npk()?.replace_rows("kept", &Rows::from(1..3), &bytes(&[7, 7])),
                |at| at.npk()?.replace_rows("kept", &Rows::from(0..2), &bytes(&[9, 9])),
                |at| write_as_others(at, "data_kept.npkd", 10),
                |at| at.npk()?.append(&[("kept", bytes(&[12]))]),
                |at| at.npk()?.replace_rows("kept", &Rows::from(0..2), &bytes(&[13, 13])),
                |at| at.npk()?.save(&[("kept", bytes(&[14, 14, 14]))]),
                |at| at.npk()?.replace_rows("changed", &Rows::from(0..2), &bytes(&[15, 15])),
                |at| {
                    let mut w = at.npk()?.begin()?;
                    w.compact_array("changed")?;
                    w.append(&[("changed", bytes(&[16]))])?;
                    w.commit()
                },
                |at| at.npk()?.replace_rows("kept", &Rows::from(0..2), &bytes(&[17, 17])),
                |at| {
                    // Another writer.
                    let mut w = Writer::open(&at.path)?;
                    w.replace_rows("kept", &Rows::from(0..2), &bytes(&[18, 18]))?;
                    w.commit()
                },
                |at| at.npk()?.replace_rows("kept", &Rows::from(1..3), &bytes(&[19, 19])),
            ],
        ),
        // Each handle makes the file anew.
        "replace_by_others" => (
            shared_folder,
            vec![
                |at| {
                    let npk = NumPack::open(&at.path)?;
                    npk.replace_rows("kept", &Rows::from(0..2), &bytes(&[7, 7]))
                },
                |at| {
                    let npk = NumPack::open(&at.path)?;
                    npk.replace_rows("kept", &Rows::from(0..2), &bytes(&[8, 8]))
                },
                |at| write_as_others(at, "data_kept.npkd", 9),
                |at| {
                    let npk = NumPack::open(&at.path)?;
                    npk.replace_rows("kept", &Rows::from(1..3), &bytes(&[8, 8]))
                },
                |at| write_as_others(at, "data_kept.npkd", 10),
                |at| NumPack::open(&at.path)?.append(&[("kept", bytes(&[11]))]),
                |at| {
                    let npk = NumPack::open(&at.path)?;
                    npk.replace_rows("kept", &Rows::from(0..2), &bytes(&[12, 12]))
                },
            ],
        ),
        "replace_among_dropped" => (
            shared_folder,
            vec![|at| {
                let mut w = at.npk()?.begin()?;
                w.replace_rows("changed", &Rows::from(1..4), &bytes(&[9, 8, 7]))?;
                w.replace_rows("kept", &Rows::List(&[4]), &bytes(&[9]))?;
                w.commit()
            }],
        ),
        "everything" => (shared_folder, vec![everything_at_once]),
        "drop_rows" => (
            shared_folder,
            vec![|at| at.npk()?.drop_rows("kept", &Rows::List(&[0, 3])).map(drop), |at| {
                at.npk()?.drop_rows("changed", &Rows::from(1..)).map(drop)
            }],
        ),
        "drop_all_then_append" => (
            shared_folder,
            vec![|at| at.npk()?.drop_rows("rows", &Rows::from(..)).map(drop), |at| {
                at.npk()?.append(&[("rows", pairs(&[1, 1]))])
            }],
        ),
        "compact_array" => (shared_folder, vec![|at| at.npk()?.compact_array("changed").map(drop)]),
        "compact" => (
            shared_folder,
            vec![
                |at| at.npk()?.drop_rows("rows", &Rows::List(&[1])).map(drop),
                |at| at.npk()?.append(&[("rows", pairs(&[1, 1]))]),
                |at| {
                    let mut w = at.npk()?.begin()?;
                    w.compact()?;
                    // So that something can be told to have changed.
                    one(&mut w, "compacted", DType::U8, &[1])?;
                    w.commit()
                },
            ],
        ),
        "rename_array" => (
            shared_folder,
            vec![
                |at| at.npk()?.rename_array("changed", "renamed"),
                |at| at.npk()?.rename_array("half", "changed"),
                |at| at.npk()?.rename_array("renamed", "d/e"),
            ],
        ),
        "clone_array" => (
            shared_folder,
            vec![|at| at.npk()?.clone_array("changed", "copy"), |at| {
                at.npk()?.clone_array("half", "other half")
            }],
        ),
        "escaped" => (
            shared_folder,
            vec![
                |at| at.npk()?.append(&[("a/b", pairs(&[3, 3]))]),
                |at| at.npk()?.drop_rows("a/b", &Rows::List(&[0, 2])).map(drop),
                |at| at.npk()?.rename_array("a/b", "kept too"),
            ],
        ),
        "reset" => (
            shared_folder,
            vec![|at| at.npk()?.reset(), |at| at.npk()?.save(&[("kept", bytes(&[1, 2]))])],
        ),
        "segmented" => (
            shared_folder,
            vec![
                |at| at.npk()?.replace_rows("segmented", &Rows::from(1..3), &bytes(&[9, 8])),
                |at| at.npk()?.append(&[("segmented", bytes(&[7]))]),
            ],
        ),
        "adopt" => (
            orphaned,
            vec![|at| at.npk()?.adopt_array(ORPHAN.1, ORPHAN.0, DType::U8, &[2]).map(drop), |at| {
                at.npk()?.append(&[(ORPHAN.1, pairs(&[27, 28]))])
            }],
        ),
        "adopt_and_change" => (
            orphaned,
            vec![|at| {
                let mut w = at.npk()?.begin()?;
                w.adopt_array(ORPHAN.1, ORPHAN.0, DType::U8, &[2])?;
                w.replace_rows(ORPHAN.1, &Rows::Index(1), &pairs(&[33, 34]))?;
                w.append(&[(ORPHAN.1, pairs(&[27, 28])), ("kept", bytes(&[6]))])?;
                w.drop_rows(ORPHAN.1, &Rows::Index(0))?;
                w.commit()
            }],
        ),
        "in_sequence" => (
            shared_folder,
            vec![
                |at| at.npk()?.append(&[("kept", bytes(&[11, 12]))]),
                |at| at.npk()?.replace_rows("kept", &Rows::List(&[0, 6]), &bytes(&[13, 14])),
                |at| at.npk()?.drop_rows("kept", &Rows::List(&[1])).map(drop),
                |at| at.npk()?.replace_rows("kept", &Rows::List(&[1, 2]), &bytes(&[15, 16])),
                |at| at.npk()?.save(&[("kept", bytes(&[17, 18, 19]))]),
                |at| at.npk()?.append(&[("kept", bytes(&[20]))]),
                |at| at.npk()?.remove_arrays(&["kept", "zero"]),
            ],
        ),
        "recover_decided" => (decided, vec![|at| Writer::open(&at.path).map(drop)]),
        "recover_undecided" => (undecided, vec![|at| Writer::open(&at.path).map(drop)]),
        other => panic!("no scenario {other}"),
    };
    Scenario { name, set_up, calls, no_exchange: no_exchange(name) }
}
