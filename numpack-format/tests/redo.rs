//! Redo records that no writer of this crate wrote.
#![allow(missing_docs, reason = "a test")]

mod common;

use common::Raw;
use numpack_format::{DType, Error, Store, Writer};
use sha2::{Digest, Sha256};
use std::path::Path;

#[derive(Default)]
struct Forged<'a> {
    rows: &'a [&'a str],
    bitmaps: &'a [&'a str],
    stale: &'a [&'a str],
    renames: &'a [(&'a str, &'a str, u64)],
    removals: &'a [&'a str],
    folders: &'a [&'a str],
}

impl Forged<'_> {
    /// The record, put together as the format describes it.
    fn write(&self, store: &Path, old: &[u8], new: &[u8]) {
        let text = |s: &str| [&(s.len() as u32).to_le_bytes()[..], s.as_bytes()].concat();
        let list = |body: &mut Vec<u8>, items: Vec<Vec<u8>>| {
            body.extend((items.len() as u32).to_le_bytes());
            body.extend(items.concat());
        };
        let texts = |names: &[&str]| names.iter().map(|n| text(n)).collect::<Vec<_>>();
        let mut body = Sha256::digest(old).to_vec();
        let bitmap = |n: &&str| [text(n), 5u64.to_le_bytes().to_vec(), b"OWNED".to_vec()].concat();
        // The first five bytes of each file become "OWNED".
        let runs = [1u64, 0, 5, 16].map(u64::to_le_bytes).concat();
        list(&mut body, self.rows.iter().map(|n| [text(n), runs.clone()].concat()).collect());
        list(&mut body, self.bitmaps.iter().map(bitmap).collect());
        list(&mut body, texts(self.stale));
        let rename =
            |r: &(&str, &str, u64)| [text(r.0), text(r.1), r.2.to_le_bytes().to_vec()].concat();
        list(&mut body, self.renames.iter().map(rename).collect());
        body.extend((new.len() as u64).to_le_bytes());
        body.extend(new);
        list(&mut body, texts(self.removals));
        list(&mut body, texts(self.folders));
        let lengths = [5, body.len() as u64].map(u64::to_le_bytes).concat();
        let mut all = [&b"NPKREDO\0\x02\0\0\0\0\0\0\0OWNED"[..], &body, &lengths].concat();
        all.extend(Sha256::digest(&all).to_vec());
        std::fs::write(store.join("libnumpack.redo"), all).unwrap();
    }
}

/// A store with the array "a", a staged file, and a link to a folder beside it.
fn set_up(root: &Path) -> std::path::PathBuf {
    let path = root.join("s.npk");
    std::fs::create_dir_all(path.join("libnumpack.stage")).unwrap();
    std::fs::write(path.join("metadata.npkm"), Raw::one(1, &[3], "data_a.npkd")).unwrap();
    std::fs::write(path.join("data_a.npkd"), "abc").unwrap();
    std::fs::write(path.join("libnumpack.stage/1.new"), "NEW").unwrap();
    std::fs::create_dir_all(root.join("outside/empty")).unwrap();
    std::fs::write(root.join("outside/victim"), "precious").unwrap();
    std::os::unix::fs::symlink(root.join("outside"), path.join("link")).unwrap();
    path
}

#[test]
fn none_reaches_outside_the_store() {
    let metadata = Raw::one(1, &[3], "data_a.npkd");
    for (i, forged) in [
        Forged { rows: &["link/victim"], ..Forged::default() },
        Forged { rows: &["other"], ..Forged::default() },
        Forged { rows: &["metadata.npkm"], ..Forged::default() },
        // Five bytes, of an array of three.
        Forged { rows: &["data_a.npkd"], ..Forged::default() },
        Forged { bitmaps: &["link/victim"], ..Forged::default() },
        Forged { bitmaps: &["deleted_a/../../link/x.npkb"], ..Forged::default() },
        Forged { stale: &["link/victim"], ..Forged::default() },
        Forged { renames: &[("1.new", "link/new", 3)], ..Forged::default() },
        Forged { renames: &[("1.new", "other", 3)], ..Forged::default() },
        Forged { removals: &["link/victim"], ..Forged::default() },
        Forged { folders: &["link/empty"], ..Forged::default() },
    ]
    .into_iter()
    .enumerate()
    {
        let t = tempfile::tempdir().unwrap();
        let path = set_up(t.path());
        forged.write(&path, &metadata, &metadata);
        let before = common::tree(t.path());
        assert!(matches!(Store::open(&path), Err(Error::Format { .. })), "{i}");
        assert!(matches!(Writer::open(&path), Err(Error::Format { .. })), "{i}");
        let mut now = common::tree(t.path());
        now.remove(&path.join("libnumpack.lock"));
        assert_eq!(now, before, "{i}");
    }
}

#[test]
fn what_stands_in_the_way_of_a_temporary_file_is_not_written_to() {
    let t = tempfile::tempdir().unwrap();
    let path = set_up(t.path());
    let (old, new) = (Raw::one(1, &[3], "data_a.npkd"), Raw::one(5, &[3], "data_a.npkd"));
    Forged::default().write(&path, &old, &new);
    std::fs::hard_link(t.path().join("outside/victim"), path.join("libnumpack.meta.tmp")).unwrap();
    drop(Writer::open(&path).unwrap());
    assert_eq!(std::fs::read(t.path().join("outside/victim")).unwrap(), b"precious");
    assert_eq!(Store::open(&path).unwrap().info("a").unwrap().unwrap().dtype, DType::I8);
}

#[test]
fn rows_are_not_written_through_a_link() {
    for hard in [false, true] {
        let t = tempfile::tempdir().unwrap();
        let path = set_up(t.path());
        let metadata = Raw::one(1, &[8], "data_a.npkd");
        std::fs::write(path.join("metadata.npkm"), &metadata).unwrap();
        std::fs::remove_file(path.join("data_a.npkd")).unwrap();
        let (victim, file) = (t.path().join("outside/victim"), path.join("data_a.npkd"));
        if hard {
            std::fs::hard_link(&victim, &file).unwrap();
        } else {
            std::os::unix::fs::symlink(&victim, &file).unwrap();
        }
        Forged { rows: &["data_a.npkd"], ..Forged::default() }.write(&path, &metadata, &metadata);
        if hard {
            // A copy by links of a store in which a writer died: the copy keeps what it has.
            drop(Writer::open(&path).unwrap());
            assert_eq!(std::fs::read(file).unwrap(), b"OWNEDous");
        } else {
            assert!(matches!(Writer::open(&path), Err(Error::Format { .. })));
        }
        assert_eq!(std::fs::read(victim).unwrap(), b"precious");
    }
}

#[test]
fn a_record_whose_new_files_are_others_is_not_carried_out() {
    let t = tempfile::tempdir().unwrap();
    let path = set_up(t.path());
    let metadata = Raw::one(1, &[3], "data_a.npkd");
    // Back after a power loss, beside what a later writer left: another file, or none.
    for staged in [&b"BADxx"[..], b"x"] {
        std::fs::write(path.join("libnumpack.stage/1.new"), staged).unwrap();
        Forged { renames: &[("1.new", "data_a.npkd", 3)], ..Forged::default() }
            .write(&path, &metadata, &metadata);
        let e = Writer::open(&path).unwrap_err().to_string();
        assert!(e.contains("3 were committed") && e.contains("delete this file"), "{e}");
        assert_eq!(std::fs::read(path.join("data_a.npkd")).unwrap(), b"abc");
    }
    // A file that is missing was moved, if what it became is there.
    std::fs::remove_file(path.join("libnumpack.stage/1.new")).unwrap();
    std::fs::rename(path.join("data_a.npkd"), path.join("away")).unwrap();
    assert!(Writer::open(&path).unwrap_err().to_string().contains("missing"));
    std::fs::rename(path.join("away"), path.join("data_a.npkd")).unwrap();
    drop(Writer::open(&path).unwrap());
    assert!(!path.join("libnumpack.redo").exists());
}

#[test]
fn an_array_whose_file_is_no_file_can_be_neither_saved_nor_dropped() {
    for (name, is_link) in [("data_a.npkd", false), ("data_a.npkd", true), ("link/x.npkd", true)] {
        let t = tempfile::tempdir().unwrap();
        let path = set_up(t.path());
        std::fs::remove_dir_all(path.join("libnumpack.stage")).unwrap();
        std::fs::write(path.join("metadata.npkm"), Raw::one(1, &[3], name)).unwrap();
        std::fs::write(t.path().join("outside/x.npkd"), "abc").unwrap();
        std::fs::remove_file(path.join("data_a.npkd")).unwrap();
        match (name, is_link) {
            ("data_a.npkd", false) => std::fs::create_dir(path.join(name)).unwrap(),
            ("data_a.npkd", true) => {
                std::os::unix::fs::symlink(t.path().join("outside/victim"), path.join(name))
                    .unwrap();
            }
            _ => {}
        }
        let before = common::tree(&t.path().join("outside"));
        for save in [true, false] {
            let mut w = Writer::open(&path).unwrap();
            if save {
                common::save(&mut w, "a", DType::U8, &[1], &[1]);
            } else {
                w.remove_array("a").unwrap();
            }
            match w.commit_with_warnings() {
                // Nothing behind a link is touched; the array's new file stands in the store.
                Ok(warnings) => {
                    assert!(name.starts_with("link") && warnings.len() == usize::from(save));
                }
                Err(e) => assert!(e.to_string().contains("no regular file"), "{e}"),
            }
            assert!(!path.join("libnumpack.redo").exists(), "{name}");
        }
        assert_eq!(common::tree(&t.path().join("outside")), before);
    }
}
