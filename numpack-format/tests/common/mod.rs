//! What several tests need.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test uses a part")]

use numpack_format::{DType, Store, View, Writer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A folder that goes away, and a path in it for a store.
pub fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.npk");
    (dir, path)
}

/// C-order strides in bytes.
pub fn strides(dtype: DType, shape: &[u64]) -> Vec<isize> {
    let mut step = dtype.size() as isize;
    let mut out: Vec<isize> = shape
        .iter()
        .rev()
        .map(|&d| {
            let s = step;
            step = step.saturating_mul(d.max(1) as isize);
            s
        })
        .collect();
    out.reverse();
    out
}

pub fn pattern(n: usize, seed: u8) -> Vec<u8> {
    (0..n).map(|i| (i.wrapping_mul(31) >> 2) as u8 ^ seed).collect()
}

pub fn save(w: &mut Writer, name: &str, dtype: DType, shape: &[u64], data: &[u8]) {
    w.save(name, &View::strided(dtype, shape, &strides(dtype, shape), data, 0)).unwrap();
}

pub fn read(store: &Store, name: &str) -> Vec<u8> {
    let a = store.array(name).unwrap();
    let mut out = vec![0; a.nbytes() as usize];
    a.read_into(&mut out).unwrap();
    out
}

/// Every file below a folder, with its content.
pub fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut out = BTreeMap::new();
    let mut todo = vec![root.to_owned()];
    while let Some(dir) = todo.pop() {
        for e in std::fs::read_dir(&dir).unwrap() {
            let e = e.unwrap();
            if e.file_type().unwrap().is_dir() {
                out.insert(e.path().join(""), vec![]);
                todo.push(e.path());
            } else if e.file_type().unwrap().is_file() {
                out.insert(e.path(), std::fs::read(e.path()).unwrap());
            }
        }
    }
    out
}

pub fn names(dir: &Path) -> Vec<String> {
    let mut out: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    out.sort();
    out
}

/// A store as the public package writes it, by hand.
pub struct Raw {
    pub arrays: Vec<(String, u8, Vec<u64>, String)>,
}

impl Raw {
    pub fn metadata(&self) -> Vec<u8> {
        let size = |d: u8, s: &[u64]| {
            s.iter()
                .fold(DType::from_code(d).map_or(4, |d| d.size() as u64), |a, b| a.wrapping_mul(*b))
        };
        let mut out = b"NPKB\x01\0\0\0".to_vec();
        out.extend(self.arrays.iter().map(|a| size(a.1, &a.2)).sum::<u64>().to_le_bytes());
        out.extend((self.arrays.len() as u32).to_le_bytes());
        for (name, dtype, shape, file) in &self.arrays {
            out.extend((name.len() as u32).to_le_bytes());
            out.extend(name.as_bytes());
            out.extend((shape.len() as u32).to_le_bytes());
            shape.iter().for_each(|d| out.extend(d.to_le_bytes()));
            out.extend((file.len() as u32).to_le_bytes());
            out.extend(file.as_bytes());
            out.extend(7u64.to_le_bytes());
            out.extend(size(*dtype, shape).to_le_bytes());
            out.push(*dtype);
            out.extend([0; 22]);
        }
        out
    }

    pub fn one(dtype: u8, shape: &[u64], file: &str) -> Vec<u8> {
        Raw { arrays: vec![("a".into(), dtype, shape.to_vec(), file.into())] }.metadata()
    }
}

/// A bitmap file with its header.
pub fn bitmap(rows: u64, live: impl Fn(u64) -> bool) -> Vec<u8> {
    let mut words = vec![0u64; rows.div_ceil(64) as usize];
    (0..rows).filter(|&r| live(r)).for_each(|r| words[(r / 64) as usize] |= 1 << (r % 64));
    let dead = (0..rows).filter(|&r| !live(r)).count() as u64;
    [rows, dead].into_iter().chain(words).flat_map(u64::to_le_bytes).collect()
}

/// A package of these files, each stored as it is.
pub fn package(files: &[(&str, &[u8])]) -> Vec<u8> {
    let files: Vec<_> = files.iter().map(|&(name, bytes)| (name, bytes, None)).collect();
    package_with(2, &files)
}

/// A name, the content, and if it is compressed, the bytes that stand for it.
pub type Packed<'a> = (&'a str, &'a [u8], Option<&'a [u8]>);

/// A package of these files.
pub fn package_with(version: u32, files: &[Packed<'_>]) -> Vec<u8> {
    let mut out = b"NPKG".to_vec();
    out.extend(version.to_le_bytes());
    out.push(u8::from(files.iter().any(|f| f.2.is_some())));
    out.extend((files.len() as u32).to_le_bytes());
    let mut sum = crc32fast::Hasher::new();
    for (name, bytes, packed) in files {
        out.extend((name.len() as u32).to_le_bytes());
        out.extend(name.as_bytes());
        out.extend((bytes.len() as u64).to_le_bytes());
        out.extend((packed.map_or(0, <[u8]>::len) as u64).to_le_bytes());
        out.extend(packed.unwrap_or(bytes));
        if version == 1 {
            sum.update(bytes);
        } else {
            sum.update(&crc32fast::hash(bytes).to_le_bytes());
        }
    }
    out.extend(sum.finalize().to_le_bytes());
    out
}

/// The collection of real files, or a note that there is none.
pub fn fixtures() -> Option<(PathBuf, serde_json::Value)> {
    let folder = std::env::var_os("LIBNUMPACK_FIXTURES").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/fixtures")),
        PathBuf::from,
    );
    let npk = folder.join("npk");
    let Ok(truth) = std::fs::read(npk.join("truth.json")) else {
        assert!(
            std::env::var_os("CI").is_none(),
            "no collection of real files; set LIBNUMPACK_FIXTURES to one"
        );
        println!("skipped: no fixtures at {} (set LIBNUMPACK_FIXTURES)", folder.display());
        return None;
    };
    Some((npk, serde_json::from_slice(&truth).unwrap()))
}
