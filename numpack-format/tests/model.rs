//! Long random sequences of changes, through several handles in this process and one in another,
//! against a plain model in memory.
//!
//! After each step every handle sees what the model says, and so does a reader that opens the store
//! anew; nothing is wrong with the store.

mod common;

use numpack_format::{DType, Error, NumPack, Rows, Store, View, Writer, WriterOptions};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

const NAMES: [&str; 8] = ["a", "b", "A", "a/b", "", "two words", "é%2F", "c"];
const DTYPES: [DType; 5] = [DType::U8, DType::F32, DType::I64, DType::Complex128, DType::Bool];
const TRAILING: [&[u64]; 5] = [&[], &[3], &[2, 2], &[0], &[1]];
const SERVER: &str = "NUMPACK_MODEL_SERVER";

#[derive(Clone, PartialEq, Debug)]
struct Array {
    dtype: DType,
    trailing: Vec<u64>,
    rows: Vec<Vec<u8>>,
    scalar: bool,
}

type Model = BTreeMap<String, Array>;

/// Numbers are reduced to what there is when the step is done, so that a sequence still makes
/// sense after others have been taken out of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Pick {
    All,
    Index(i64),
    Slice(Option<i64>, Option<i64>, i64),
    List(Vec<i64>),
    Mask(Vec<bool>),
    /// The numbers as they are, which may be out of range.
    Raw(Vec<i64>),
    /// A mask of another length.
    BadMask,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Change {
    Save { name: usize, dtype: usize, trailing: usize, rows: u64, seed: u8 },
    Scalar { name: usize, seed: u8 },
    Append { first: usize, second: Option<usize>, rows: u64, seed: u8 },
    Misfit { name: usize },
    Replace { name: usize, pick: Pick, seed: u8, extra: bool },
    Drop { name: usize, pick: Pick },
    Remove { name: usize },
    Rename { from: usize, to: usize },
    Copy { from: usize, to: usize },
    Compact { name: usize },
    CompactAll,
    Reset,
}

#[derive(Clone, Debug)]
enum Step {
    One(usize, Change),
    Batch { handle: usize, changes: Vec<Change>, in_place: bool, commit: bool },
    Reopen(usize),
}

fn pick() -> impl Strategy<Value = Pick> {
    let i = || -9i64..70;
    prop_oneof![
        1 => Just(Pick::All),
        3 => i().prop_map(Pick::Index),
        3 => (proptest::option::of(i()), proptest::option::of(i()), -3i64..4)
            .prop_map(|(a, b, s)| Pick::Slice(a, b, s)),
        4 => proptest::collection::vec(i(), 0..12).prop_map(Pick::List),
        3 => proptest::collection::vec(any::<bool>(), 1..9).prop_map(Pick::Mask),
        1 => proptest::collection::vec(i(), 1..4).prop_map(Pick::Raw),
        1 => Just(Pick::BadMask),
    ]
}

fn change() -> impl Strategy<Value = Change> {
    let name = || 0..NAMES.len();
    prop_oneof![
        5 => (name(), 0..DTYPES.len(), 0..TRAILING.len(), 0u64..140, any::<u8>()).prop_map(
            |(name, dtype, trailing, rows, seed)| Change::Save { name, dtype, trailing, rows, seed }
        ),
        1 => (name(), any::<u8>()).prop_map(|(name, seed)| Change::Scalar { name, seed }),
        7 => (name(), proptest::option::of(name()), 0u64..70, any::<u8>()).prop_map(
            |(first, second, rows, seed)| Change::Append { first, second, rows, seed }
        ),
        1 => name().prop_map(|name| Change::Misfit { name }),
        5 => (name(), pick(), any::<u8>(), proptest::bool::weighted(0.1)).prop_map(
            |(name, pick, seed, extra)| Change::Replace { name, pick, seed, extra }
        ),
        5 => (name(), pick()).prop_map(|(name, pick)| Change::Drop { name, pick }),
        1 => name().prop_map(|name| Change::Remove { name }),
        2 => (name(), name()).prop_map(|(from, to)| Change::Rename { from, to }),
        2 => (name(), name()).prop_map(|(from, to)| Change::Copy { from, to }),
        2 => name().prop_map(|name| Change::Compact { name }),
        1 => Just(Change::CompactAll),
        1 => proptest::bool::weighted(0.2).prop_map(|r| if r { Change::Reset } else { Change::CompactAll }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..3usize, change()).prop_map(|(h, c)| Step::One(h, c)),
        2 => (0..2usize, proptest::collection::vec(change(), 0..8), any::<bool>(), proptest::bool::weighted(0.8))
            .prop_map(|(handle, changes, in_place, commit)| Step::Batch {
                handle, changes, in_place: in_place && commit, commit,
            }),
        1 => (0..2usize).prop_map(Step::Reopen),
    ]
}

fn content(rows: u64, array: &Array, seed: u8) -> Vec<Vec<u8>> {
    let size = array.trailing.iter().product::<u64>() as usize * array.dtype.size();
    (0..rows)
        .map(|r| {
            let mut row = common::pattern(size, seed.wrapping_add(r as u8));
            if array.dtype == DType::Bool {
                row.iter_mut().for_each(|b| *b &= 1);
            }
            row
        })
        .collect()
}

/// The rows a pick stands for, `None` if it is to be refused.
enum Picked {
    All,
    Index(i64),
    Slice(Option<i64>, Option<i64>, i64),
    List(Vec<i64>),
    Mask(Vec<bool>),
}

impl Picked {
    fn new(pick: &Pick, rows: usize) -> Picked {
        let n = rows as i64;
        // Within the rows, from both ends.
        let fit = |i: &i64| if n == 0 { 0 } else { i.rem_euclid(2 * n) - n };
        match pick {
            Pick::All => Picked::All,
            Pick::Index(i) => Picked::Index(fit(i)),
            Pick::Slice(a, b, s) => Picked::Slice(*a, *b, *s),
            Pick::List(list) if n == 0 => Picked::List(list.iter().take(0).copied().collect()),
            Pick::List(list) => Picked::List(list.iter().map(fit).collect()),
            Pick::Mask(bits) => Picked::Mask((0..rows).map(|r| bits[r % bits.len()]).collect()),
            Pick::Raw(list) => Picked::List(list.clone()),
            Pick::BadMask => Picked::Mask(vec![true; rows + 1]),
        }
    }

    fn rows(&self) -> Rows<'_> {
        match self {
            Picked::All => Rows::All,
            Picked::Index(i) => Rows::Index(*i),
            Picked::Slice(start, stop, step) => {
                Rows::Slice { start: *start, stop: *stop, step: *step }
            }
            Picked::List(list) => Rows::List(list),
            Picked::Mask(mask) => Rows::Mask(mask),
        }
    }

    /// The plain way; `None`: to be refused.
    fn resolve(&self, n: usize) -> Option<Vec<usize>> {
        let one = |i: &i64| {
            let at = if *i < 0 { *i + n as i64 } else { *i };
            (0..n as i64).contains(&at).then_some(at as usize)
        };
        match self {
            Picked::All => Some((0..n).collect()),
            Picked::Index(i) => one(i).map(|r| vec![r]),
            Picked::List(list) => list.iter().map(one).collect(),
            Picked::Mask(mask) => (mask.len() == n).then(|| (0..n).filter(|&r| mask[r]).collect()),
            Picked::Slice(_, _, 0) => None,
            Picked::Slice(start, stop, step) => {
                let n = n as i64;
                let (low, high) = if *step > 0 { (0, n) } else { (-1, n - 1) };
                let place = |i: i64| (if i < 0 { i + n } else { i }).clamp(low, high);
                let mut at = start.map_or(if *step > 0 { low } else { high }, place);
                let stop = stop.map_or(if *step > 0 { high } else { low }, place);
                let mut rows = Vec::new();
                while (*step > 0 && at < stop) || (*step < 0 && at > stop) {
                    rows.push(at as usize);
                    at += step;
                }
                Some(rows)
            }
        }
    }
}

/// What is to be done, through a writer or a handle.
trait Target {
    fn save(&mut self, name: &str, view: &View<'_>) -> Result<(), Error>;
    fn append(&mut self, rows: &[(&str, View<'_>)]) -> Result<(), Error>;
    fn replace(&mut self, name: &str, rows: &Rows<'_>, view: &View<'_>) -> Result<(), Error>;
    fn drop_rows(&mut self, name: &str, rows: &Rows<'_>) -> Result<u64, Error>;
    fn remove(&mut self, name: &str) -> Result<(), Error>;
    fn rename(&mut self, from: &str, to: &str) -> Result<(), Error>;
    fn copy(&mut self, from: &str, to: &str) -> Result<(), Error>;
    fn compact(&mut self, name: &str) -> Result<u64, Error>;
    fn compact_all(&mut self) -> Result<u64, Error>;
    fn reset(&mut self) -> Result<(), Error>;
}

macro_rules! target {
    ($t:ty, $save:expr, $remove:expr, $reset:expr) => {
        impl Target for $t {
            fn save(&mut self, name: &str, view: &View<'_>) -> Result<(), Error> {
                $save(self, name, view)
            }
            fn append(&mut self, rows: &[(&str, View<'_>)]) -> Result<(), Error> {
                <$t>::append(self, rows)
            }
            fn replace(&mut self, name: &str, r: &Rows<'_>, v: &View<'_>) -> Result<(), Error> {
                <$t>::replace_rows(self, name, r, v)
            }
            fn drop_rows(&mut self, name: &str, rows: &Rows<'_>) -> Result<u64, Error> {
                <$t>::drop_rows(self, name, rows)
            }
            fn remove(&mut self, name: &str) -> Result<(), Error> {
                $remove(self, name)
            }
            fn rename(&mut self, from: &str, to: &str) -> Result<(), Error> {
                <$t>::rename_array(self, from, to)
            }
            fn copy(&mut self, from: &str, to: &str) -> Result<(), Error> {
                <$t>::clone_array(self, from, to)
            }
            fn compact(&mut self, name: &str) -> Result<u64, Error> {
                <$t>::compact_array(self, name)
            }
            fn compact_all(&mut self) -> Result<u64, Error> {
                <$t>::compact(self)
            }
            fn reset(&mut self) -> Result<(), Error> {
                $reset(self)
            }
        }
    };
}

target!(
    NumPack,
    |t: &NumPack, name, view: &View<'_>| NumPack::save(t, &[(name, *view)]),
    |t: &NumPack, name| NumPack::remove_arrays(t, &[name]),
    |t: &NumPack| NumPack::reset(t)
);
target!(
    Writer,
    |t: &mut Writer, name, view| Writer::save(t, name, view),
    |t: &mut Writer, name| Writer::remove_array(t, name),
    |t: &mut Writer| {
        Writer::clear(t);
        Ok(())
    }
);

/// Does a change to the model and the target. A change that is to be refused must be, and change
/// nothing.
fn apply(model: &mut Model, target: &mut dyn Target, change: &Change) {
    let view = |array: &Array, rows: &[Vec<u8>]| {
        (
            std::iter::once(rows.len() as u64)
                .chain(array.trailing.iter().copied())
                .collect::<Vec<_>>(),
            rows.concat(),
        )
    };
    match change {
        Change::Save { name, dtype, trailing, rows, seed } => {
            let mut array = Array {
                dtype: DTYPES[*dtype],
                trailing: TRAILING[*trailing].to_vec(),
                rows: Vec::new(),
                scalar: false,
            };
            array.rows = content(*rows, &array, *seed);
            let (shape, data) = view(&array, &array.rows);
            target.save(NAMES[*name], &View::new(array.dtype, &shape, &data)).unwrap();
            model.insert(NAMES[*name].to_owned(), array);
        }
        Change::Scalar { name, seed } => {
            target.save(NAMES[*name], &View::new(DType::U8, &[], &[*seed])).unwrap();
            let array =
                Array { dtype: DType::U8, trailing: vec![], rows: vec![vec![*seed]], scalar: true };
            model.insert(NAMES[*name].to_owned(), array);
        }
        Change::Append { first, second, rows, seed } => {
            let names: Vec<&str> =
                [Some(first), second.as_ref()].into_iter().flatten().map(|n| NAMES[*n]).collect();
            let fits = names.iter().all(|n| model.get(*n).is_some_and(|a| !a.scalar));
            let parts: Vec<_> = names
                .iter()
                .enumerate()
                .map(|(i, n)| {
                    let none =
                        Array { dtype: DType::U8, trailing: vec![], rows: vec![], scalar: false };
                    let array = model.get(*n).unwrap_or(&none);
                    let new = content(*rows, array, seed.wrapping_add(i as u8));
                    (*n, array.dtype, view(array, &new), new)
                })
                .collect();
            let views: Vec<(&str, View<'_>)> = parts
                .iter()
                .map(|(n, dtype, (shape, data), _)| (*n, View::new(*dtype, shape, data)))
                .collect();
            assert_eq!(target.append(&views).is_ok(), fits, "{change:?}");
            if fits {
                for (n, _, _, new) in &parts {
                    model.get_mut(*n).unwrap().rows.extend(new.iter().cloned());
                }
            }
        }
        Change::Misfit { name } => {
            let other = model.get(NAMES[*name]).map_or(DType::U8, |a| a.dtype);
            let dtype = if other == DType::U16 { DType::U8 } else { DType::U16 };
            let bytes = [0; 2];
            let view = View::new(dtype, &[1], &bytes[..dtype.size()]);
            assert!(target.append(&[(NAMES[*name], view)]).is_err());
            assert!(target.replace(NAMES[*name], &Rows::All, &view).is_err());
        }
        Change::Replace { name, pick, seed, extra } => {
            let none = Array { dtype: DType::U8, trailing: vec![], rows: vec![], scalar: true };
            let array = model.get(NAMES[*name]).unwrap_or(&none);
            let picked = Picked::new(pick, array.rows.len());
            let places = picked.resolve(array.rows.len());
            let count = places.as_ref().map_or(1, Vec::len) + usize::from(*extra);
            let new = content(count as u64, array, *seed);
            let (shape, data) = view(array, &new);
            let done = target.replace(
                NAMES[*name],
                &picked.rows(),
                &View::new(array.dtype, &shape, &data),
            );
            let fits = !array.scalar && places.is_some() && !extra;
            assert_eq!(done.is_ok(), fits, "{change:?}: {done:?}");
            if let (true, Some(places), Some(array)) = (fits, places, model.get_mut(NAMES[*name])) {
                for (place, row) in places.into_iter().zip(new) {
                    array.rows[place] = row;
                }
            }
        }
        Change::Drop { name, pick } => {
            let array = model.get(NAMES[*name]).filter(|a| !a.scalar);
            let n = array.map_or(0, |a| a.rows.len());
            let picked = Picked::new(pick, n);
            let mut places = picked.resolve(n).filter(|_| array.is_some());
            if let Some(places) = &mut places {
                places.sort_unstable();
                places.dedup();
            }
            let done = target.drop_rows(NAMES[*name], &picked.rows());
            assert_eq!(
                done.as_ref().ok(),
                places.as_ref().map(|p| p.len() as u64).as_ref(),
                "{change:?}: {done:?}"
            );
            if let (Some(places), Some(array)) = (places, model.get_mut(NAMES[*name])) {
                places.into_iter().rev().for_each(|r| drop(array.rows.remove(r)));
            }
        }
        Change::Remove { name } => {
            let there = model.remove(NAMES[*name]).is_some();
            assert_eq!(target.remove(NAMES[*name]).is_ok(), there);
        }
        Change::Rename { from, to } | Change::Copy { from, to } => {
            let (from, to) = (NAMES[*from], NAMES[*to]);
            let fits = model.contains_key(from) && !model.contains_key(to);
            let moves = matches!(change, Change::Rename { .. });
            let done = if moves { target.rename(from, to) } else { target.copy(from, to) };
            assert_eq!(done.is_ok(), fits, "{change:?}: {done:?}");
            if fits {
                let array = model[from].clone();
                if moves {
                    model.remove(from);
                }
                model.insert(to.to_owned(), array);
            }
        }
        Change::Compact { name } => {
            assert_eq!(target.compact(NAMES[*name]).is_ok(), model.contains_key(NAMES[*name]));
        }
        Change::CompactAll => {
            target.compact_all().unwrap();
        }
        Change::Reset => {
            target.reset().unwrap();
            model.clear();
        }
    }
}

fn shape_of(array: &Array) -> Vec<u64> {
    std::iter::once(array.rows.len() as u64).chain(array.trailing.iter().copied()).collect()
}

fn check_array(array: &numpack_format::Array, expected: &Array, name: &str) {
    let info = array.info();
    assert_eq!(info.is_scalar(), expected.scalar, "{name:?}");
    assert_eq!((info.dtype, &info.shape), (expected.dtype, &shape_of(expected)), "{name:?}");
    let mut bytes = vec![0xee; array.nbytes() as usize];
    array.read_into(&mut bytes).unwrap();
    assert_eq!(bytes, expected.rows.concat(), "{name:?}");
    // Some rows, backwards.
    let every = Rows::Slice { start: None, stop: None, step: -3 };
    let picked: Vec<&[u8]> = expected.rows.iter().rev().step_by(3).map(|r| &r[..]).collect();
    let mut some = vec![0; picked.concat().len()];
    array.gather_into(&every, &mut some).unwrap();
    assert_eq!(some, picked.concat(), "{name:?}");
}

fn check_store(store: &Store, model: &Model) {
    let infos = store.arrays().unwrap();
    let mut names: Vec<&str> = infos.iter().map(|i| &i.name[..]).collect();
    names.sort_unstable();
    assert_eq!(names, model.keys().map(String::as_str).collect::<Vec<_>>());
    for (name, expected) in model {
        let array = store.array(name).unwrap();
        check_array(&array, expected, name);
    }
    assert_eq!(store.warnings(), [""; 0]);
}

/// What a writer says there will be.
fn check_pending(writer: &Writer, model: &Model) {
    let mut names: Vec<&str> = writer.names().collect();
    names.sort_unstable();
    assert_eq!(names, model.keys().map(String::as_str).collect::<Vec<_>>());
    for (name, expected) in model {
        check_array(&writer.array(name).unwrap(), expected, name);
    }
}

/// The handle in another process: this test program, run again with only [`server`].
struct Other {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

#[derive(Serialize, Deserialize)]
enum Request {
    Open(PathBuf),
    /// The model so far, in order that the other process can say whether the change did what it
    /// should; the answer is the model after it.
    Do(Vec<Flat>, Change),
    Check(Vec<Flat>),
}

/// An array of the model: name, element type, trailing dimensions, rows, 0-d.
type Flat = (String, u8, Vec<u64>, Vec<Vec<u8>>, bool);

fn flatten(model: &Model) -> Vec<Flat> {
    let flat = |(n, a): (&String, &Array)| {
        (n.clone(), a.dtype.code(), a.trailing.clone(), a.rows.clone(), a.scalar)
    };
    model.iter().map(flat).collect()
}

fn unflatten(flat: Vec<Flat>) -> Model {
    let array = |(name, code, trailing, rows, scalar)| {
        (name, Array { dtype: DType::from_code(code).unwrap(), trailing, rows, scalar })
    };
    flat.into_iter().map(array).collect()
}

impl Other {
    fn start() -> Other {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["server", "--exact", "--nocapture", "--test-threads=1"])
            .env(SERVER, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Other { child, to, from: BufReader::new(from) }
    }

    fn ask(&mut self, request: &Request) -> Vec<Flat> {
        writeln!(self.to, "{}", serde_json::to_string(request).unwrap()).unwrap();
        self.to.flush().unwrap();
        loop {
            let mut line = String::new();
            assert!(self.from.read_line(&mut line).unwrap() > 0, "the other process has ended");
            // The test harness prints too.
            if let Some(answer) = line.trim().strip_prefix("answer ") {
                return serde_json::from_str(answer).unwrap();
            }
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs in the other process.
#[test]
fn server() {
    if std::env::var_os(SERVER).is_none() {
        return;
    }
    let mut handle: Option<NumPack> = None;
    for line in std::io::stdin().lines() {
        let answer = match serde_json::from_str(&line.unwrap()).unwrap() {
            Request::Open(path) => {
                handle = Some(NumPack::open(path).unwrap());
                Vec::new()
            }
            Request::Do(model, change) => {
                let mut model = unflatten(model);
                apply(&mut model, handle.as_mut().unwrap(), &change);
                flatten(&model)
            }
            Request::Check(model) => {
                check_store(&handle.as_ref().unwrap().store().unwrap(), &unflatten(model));
                Vec::new()
            }
        };
        println!("\nanswer {}", serde_json::to_string(&answer).unwrap());
    }
}

static OTHER: Mutex<Option<Other>> = Mutex::new(None);

fn other(request: &Request) -> Vec<Flat> {
    let mut other = OTHER.lock().unwrap_or_else(PoisonError::into_inner);
    let mut live = other.take().unwrap_or_else(Other::start);
    let answer = live.ask(request);
    // Not if it panicked.
    *other = Some(live);
    answer
}

fn run(new: &[Change], steps: &[Step], path: &Path) {
    // The store begins with what one writer makes of it before anybody sees it.
    let mut model = Model::new();
    let mut writer = Writer::create(path).unwrap();
    for change in new {
        apply(&mut model, &mut writer, change);
        check_pending(&writer, &model);
    }
    writer.commit().unwrap();
    let mut handles = [NumPack::open(path).unwrap(), NumPack::open(path).unwrap()];
    check_store(&handles[0].store().unwrap(), &model);
    other(&Request::Open(path.to_owned()));
    for (i, step) in steps.iter().enumerate() {
        match step {
            Step::One(2, change) => {
                model = unflatten(other(&Request::Do(flatten(&model), change.clone())));
            }
            Step::One(h, change) => apply(&mut model, &mut handles[*h], change),
            Step::Batch { handle, changes, in_place, commit } => {
                let options = WriterOptions { in_place: *in_place, ..WriterOptions::default() };
                let mut writer = handles[*handle].begin_with(&options).unwrap();
                let mut then = model.clone();
                for change in changes {
                    apply(&mut then, &mut writer, change);
                    check_pending(&writer, &then);
                }
                // Others see nothing of it yet.
                if !in_place {
                    check_store(&handles[1 - handle].store().unwrap(), &model);
                }
                if *commit {
                    writer.commit().unwrap();
                    model = then;
                } else {
                    drop(writer);
                }
            }
            Step::Reopen(h) => handles[*h] = NumPack::open(path).unwrap(),
        }
        check_store(&handles[i % 2].store().unwrap(), &model);
        check_store(&Store::open_listed(path).unwrap(), &model);
        assert_eq!(Store::verify(path).unwrap(), [], "after step {i}");
    }
    handles.iter().for_each(|h| check_store(&h.store().unwrap(), &model));
    other(&Request::Check(flatten(&model)));
}

/// Where syncs cost nothing: this is not about them.
fn place() -> tempfile::TempDir {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { tempfile::tempdir_in(shm) } else { tempfile::tempdir() }.unwrap()
}

fn cases(n: u32) -> ProptestConfig {
    // More on request: thousands.
    let n = std::env::var("NUMPACK_MODEL_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(n);
    ProptestConfig { cases: n, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(2000))]
    #[test]
    fn random_sequences(
        new in proptest::collection::vec(change(), 0..10),
        steps in proptest::collection::vec(step(), 1..25),
    ) {
        let dir = place();
        run(&new, &steps, &dir.path().join("s.npk"));
    }
}

proptest! {
    #![proptest_config(cases(60))]
    #[test]
    fn long_sequences(steps in proptest::collection::vec(step(), 100..200)) {
        let dir = place();
        run(&[], &steps, &dir.path().join("s.npk"));
    }
}
