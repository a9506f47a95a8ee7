//! What the tests share: the fixtures folder, and a builder of archives and pickles.
#![allow(dead_code)]

pub(crate) mod heap;

use std::path::{Path, PathBuf};

use torch_pickle::{Checkpoint, Error, Options};

/// The folder of checkpoints, or `None` after saying that it is not there.
pub(crate) fn fixtures() -> Option<PathBuf> {
    let folder = match std::env::var_os("LIBNUMPACK_FIXTURES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures"),
    }
    .join("pt");
    if folder.join("truth.json").exists() {
        return Some(folder);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "no collection of real files; set LIBNUMPACK_FIXTURES to one"
    );
    println!("skipped: no fixtures at {}; set LIBNUMPACK_FIXTURES", folder.display());
    None
}

/// An error says which file, in one line, in lower case, without a full stop.
pub(crate) fn check_error(e: &Error, path: &Path) {
    let text = e.to_string();
    assert!(text.starts_with(&path.display().to_string()), "{text}");
    assert!(!text.ends_with('.') && !text.contains('\n'), "{text}");
}

/// Writes the bytes to a file of their own and opens it.
pub(crate) fn open(bytes: &[u8]) -> Result<Checkpoint, Error> {
    open_with(bytes, &Options::default())
}

pub(crate) fn open_with(bytes: &[u8], options: &Options) -> Result<Checkpoint, Error> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let opened = Checkpoint::open_with(file.path(), options);
    if let Err(e) = &opened {
        check_error(e, file.path());
    }
    opened
}

/// A record as both headers should show it.
#[derive(Clone, Debug)]
pub(crate) struct Rec {
    pub(crate) name: Vec<u8>,
    pub(crate) local_name: Option<Vec<u8>>,
    pub(crate) stored: Vec<u8>,
    pub(crate) len: u32,
    pub(crate) crc: u32,
    pub(crate) method: u16,
    pub(crate) flags: u16,
    /// Its own local header unless this points at another one's.
    pub(crate) offset: Option<u32>,
    /// Sizes and checksum in the local header are zero, as torch leaves them.
    pub(crate) descriptor: bool,
}

impl Rec {
    pub(crate) fn new(name: &str, data: &[u8]) -> Rec {
        Rec {
            name: name.into(),
            local_name: None,
            stored: data.to_vec(),
            len: data.len() as u32,
            crc: crc32fast::hash(data),
            method: 0,
            flags: 0,
            offset: None,
            descriptor: false,
        }
    }

    pub(crate) fn deflated(name: &str, data: &[u8]) -> Rec {
        use std::io::Write;
        let mut e = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        e.write_all(data).unwrap();
        Rec { stored: e.finish().unwrap(), method: 8, ..Rec::new(name, data) }
    }
}

/// What the end record says, where it should not say the truth.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ending {
    pub(crate) comment: Vec<u8>,
    pub(crate) count: Option<u64>,
    pub(crate) size: Option<u64>,
    pub(crate) offset: Option<u64>,
    pub(crate) zip64: bool,
}

pub(crate) fn zip(records: &[Rec]) -> Vec<u8> {
    zip_with(records, &Ending::default())
}

pub(crate) fn zip_with(records: &[Rec], ending: &Ending) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for r in records {
        let at = r.offset.unwrap_or(out.len() as u32);
        let flags = r.flags | if r.descriptor { 8 } else { 0 };
        if r.offset.is_none() {
            let name = r.local_name.as_ref().unwrap_or(&r.name);
            out.extend(b"PK\x03\x04");
            for v in [20u16, flags, r.method, 0, 0] {
                out.extend(v.to_le_bytes());
            }
            let zero = if r.descriptor { 0 } else { 1 };
            for v in [r.crc, r.stored.len() as u32, r.len] {
                out.extend((v * zero).to_le_bytes());
            }
            out.extend((name.len() as u16).to_le_bytes());
            out.extend(0u16.to_le_bytes());
            out.extend(name);
            out.extend(&r.stored);
        }
        directory.extend(b"PK\x01\x02");
        for v in [20u16, 20, flags, r.method, 0, 0] {
            directory.extend(v.to_le_bytes());
        }
        for v in [r.crc, r.stored.len() as u32, r.len] {
            directory.extend(v.to_le_bytes());
        }
        directory.extend((r.name.len() as u16).to_le_bytes());
        directory.extend([0; 12]);
        directory.extend(at.to_le_bytes());
        directory.extend(&r.name);
    }
    let offset = ending.offset.unwrap_or(out.len() as u64);
    let size = ending.size.unwrap_or(directory.len() as u64);
    let count = ending.count.unwrap_or(records.len() as u64);
    out.extend(directory);
    if ending.zip64 {
        let at = out.len() as u64;
        out.extend(b"PK\x06\x06");
        out.extend(44u64.to_le_bytes());
        out.extend([0x1E, 3, 45, 0]);
        out.extend([0; 8]);
        for v in [count, count, size, offset] {
            out.extend(v.to_le_bytes());
        }
        out.extend(b"PK\x06\x07");
        out.extend(0u32.to_le_bytes());
        out.extend(at.to_le_bytes());
        out.extend(1u32.to_le_bytes());
    }
    let narrow = |v: u64, most: u64| if ending.zip64 { most } else { v.min(most) };
    out.extend(b"PK\x05\x06");
    out.extend([0; 4]);
    for _ in 0..2 {
        out.extend((narrow(count, 0xFFFF) as u16).to_le_bytes());
    }
    out.extend((narrow(size, 0xFFFF_FFFF) as u32).to_le_bytes());
    out.extend((narrow(offset, 0xFFFF_FFFF) as u32).to_le_bytes());
    out.extend((ending.comment.len() as u16).to_le_bytes());
    out.extend(&ending.comment);
    out
}

/// The records of a checkpoint with this pickle and these storages.
pub(crate) fn records(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<Rec> {
    let mut records = vec![
        Rec::new("archive/data.pkl", pickle),
        Rec::new("archive/byteorder", b"little"),
        Rec::new("archive/version", b"3\n"),
    ];
    for (key, data) in storages {
        records.push(Rec::new(&format!("archive/data/{key}"), data));
    }
    records
}

pub(crate) fn checkpoint(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
    zip(&records(pickle, storages))
}

/// Opcodes put one after the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pickle(pub(crate) Vec<u8>);

impl Pickle {
    pub(crate) fn new() -> Pickle {
        Pickle(vec![0x80, 2])
    }

    pub(crate) fn op(mut self, bytes: &[u8]) -> Pickle {
        self.0.extend(bytes);
        self
    }

    pub(crate) fn str(self, text: &str) -> Pickle {
        self.op(b"X").op(&(text.len() as u32).to_le_bytes()).op(text.as_bytes())
    }

    pub(crate) fn int(self, n: i64) -> Pickle {
        self.op(&[0x8A, 8]).op(&n.to_le_bytes())
    }

    pub(crate) fn global(self, module: &str, name: &str) -> Pickle {
        self.op(format!("c{module}\n{name}\n").as_bytes())
    }

    pub(crate) fn tuple_of(self, items: &[i64]) -> Pickle {
        items.iter().fold(self.op(b"("), |p, &n| p.int(n)).op(b"t")
    }

    pub(crate) fn storage(self, class: &str, key: &str, numel: i64) -> Pickle {
        let p = self.op(b"(").str("storage").global("torch", class).str(key).str("cpu");
        p.int(numel).op(b"tQ")
    }

    /// A tensor by `_rebuild_tensor_v2`.
    pub(crate) fn tensor(self, t: &T<'_>) -> Pickle {
        let p = self.global("torch._utils", "_rebuild_tensor_v2").op(b"(");
        let p = p.storage(t.class, t.key, t.numel).int(t.offset);
        let p = p.tuple_of(t.shape).tuple_of(t.stride).op(b"\x89");
        p.global("collections", "OrderedDict").op(b")RtR")
    }

    pub(crate) fn end(self) -> Vec<u8> {
        self.op(b".").0
    }
}

/// A tensor of a built pickle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct T<'a> {
    pub(crate) class: &'a str,
    pub(crate) key: &'a str,
    pub(crate) numel: i64,
    pub(crate) offset: i64,
    pub(crate) shape: &'a [i64],
    pub(crate) stride: &'a [i64],
}

/// Six bytes as a 2 by 3 matrix.
pub(crate) const SMALL: T<'static> =
    T { class: "ByteStorage", key: "0", numel: 6, offset: 0, shape: &[2, 3], stride: &[3, 1] };

/// A sound file that has a bit of everything.
pub(crate) fn sound() -> Vec<u8> {
    let p = Pickle::new().op(b"}(").str("weight").tensor(&SMALL);
    let p = p.str("list").op(b"](K\x01K\x02\x86G\0\0\0\0\0\0\0\0Neu");
    checkpoint(&p.end(), &[("0", &[1, 2, 3, 4, 5, 6])])
}
