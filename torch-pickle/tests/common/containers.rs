//! Builders of the containers besides the zip archive, for tests.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::{Pickle, Rec, zip};

/// The id of a storage in a legacy stream; a view is (key, offset, elements).
pub(crate) fn legacy_id(
    p: Pickle,
    class: &str,
    key: &str,
    numel: i64,
    view: Option<(&str, i64, i64)>,
) -> Pickle {
    let p = p.op(b"(").str("storage").global("torch", class).str(key).str("cpu").int(numel);
    let p = match view {
        None => p.op(b"N"),
        Some((key, offset, numel)) => p.op(b"(").str(key).int(offset).int(numel).op(b"t"),
    };
    p.op(b"tQ")
}

/// A tensor of what `storage` puts on the stack.
pub(crate) fn tensor_of(
    p: Pickle,
    storage: impl FnOnce(Pickle) -> Pickle,
    offset: i64,
    shape: &[i64],
    stride: &[i64],
) -> Pickle {
    let p = storage(p.global("torch._utils", "_rebuild_tensor_v2").op(b"("));
    let p = p.int(offset).tuple_of(shape).tuple_of(stride).op(b"\x89");
    p.global("collections", "OrderedDict").op(b")RtR")
}

/// The magic number as pickles of protocols 0 and 1 have it, and of 2 and up.
pub(crate) fn magic(protocol: u8) -> Vec<u8> {
    let number = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    match protocol {
        0 | 1 => b"L119547037146038801333356L\n.".to_vec(),
        2 | 3 => [&[0x80, protocol], &number[..]].concat(),
        _ => {
            let frame = (number.len() as u64).to_le_bytes();
            [&[0x80, protocol, 0x95], &frame[..], number].concat()
        }
    }
}

/// The list of keys of a legacy stream.
pub(crate) fn keys(keys: &[&str]) -> Vec<u8> {
    keys.iter().fold(Pickle::new().op(b"]("), |p, key| p.str(key)).op(b"e").end()
}

/// A legacy stream: the object, the keys, and for each the count that is written and the bytes.
pub(crate) fn legacy(object: &[u8], listed: &[&str], storages: &[(i64, &[u8])]) -> Vec<u8> {
    let mut file = magic(2);
    file.extend(Pickle::new().op(b"M\xe9\x03").end());
    file.extend(Pickle::new().op(b"}").str("little_endian").op(b"\x88s").end());
    file.extend(object);
    file.extend(keys(listed));
    for (count, bytes) in storages {
        file.extend(count.to_le_bytes());
        file.extend(*bytes);
    }
    file
}

/// A member of a tar archive: its header may lie.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) prefix: String,
    pub(crate) kind: u8,
    /// The field of the length, where it is not the content's.
    pub(crate) len: Option<[u8; 12]>,
    pub(crate) content: Vec<u8>,
}

impl Member {
    pub(crate) fn new(name: &str, content: Vec<u8>) -> Member {
        Member { name: name.into(), prefix: String::new(), kind: b'0', len: None, content }
    }
}

/// A tar archive without blocks at its end.
pub(crate) fn tar(members: &[Member]) -> Vec<u8> {
    let mut file = Vec::new();
    for m in members {
        let mut header = [0; 512];
        header[..m.name.len()].copy_from_slice(m.name.as_bytes());
        let mut len = [0; 12];
        len[..11].copy_from_slice(format!("{:011o}", m.content.len()).as_bytes());
        header[124..136].copy_from_slice(&m.len.unwrap_or(len));
        header[148..156].fill(b' ');
        header[156] = m.kind;
        header[257..263].copy_from_slice(b"ustar\0");
        header[345..345 + m.prefix.len()].copy_from_slice(m.prefix.as_bytes());
        let sum: u64 = header.iter().map(|&b| u64::from(b)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        file.extend(header);
        file.extend(&m.content);
        file.resize(file.len().next_multiple_of(512), 0);
    }
    file
}

/// A number as a pickle.
pub(crate) fn number(n: i64) -> Vec<u8> {
    Pickle::new().int(n).end()
}

/// The member `storages`: key, class, count and bytes of each; and key, whole, offset and count of
/// those that are parts.
pub(crate) fn tar_storages(all: &[(i64, &str, i64, &[u8])], parts: &[[i64; 4]]) -> Vec<u8> {
    let mut out = number(all.len() as i64);
    for (key, class, count, bytes) in all {
        out.extend(Pickle::new().int(*key).str("cpu").global("torch", class).op(b"\x87").end());
        out.extend(count.to_le_bytes());
        out.extend(*bytes);
    }
    let list = parts.iter().fold(Pickle::new().op(b"]("), |p, part| p.tuple_of(part));
    out.extend(list.op(b"e").end());
    out
}

/// A tensor in the member `tensors`: its key, its storage's, and what it shows.
pub(crate) type TarTensor<'a> = (i64, i64, &'a [i64], &'a [i64], i64);

pub(crate) fn tar_tensors(all: &[TarTensor<'_>]) -> Vec<u8> {
    let mut out = number(all.len() as i64);
    for (key, storage, shape, stride, offset) in all {
        let class = Pickle::new().int(*key).int(*storage).global("torch", "FloatTensor");
        out.extend(class.op(b"\x87").end());
        out.extend((shape.len() as i32).to_le_bytes());
        out.extend([0; 4]);
        for n in shape.iter().chain(*stride).chain([offset]) {
            out.extend(n.to_le_bytes());
        }
    }
    out
}

pub(crate) fn tar_members(storages: Vec<u8>, tensors: Vec<u8>, object: Vec<u8>) -> Vec<Member> {
    vec![
        Member::new("sys_info", Pickle::new().op(b"}").end()),
        Member::new("storages", storages),
        Member::new("tensors", tensors),
        Member::new("pickle", object),
    ]
}

/// An archive of one tensor of int32.
pub(crate) fn piece(shape: &[i64], stride: &[i64], stored: &[i32]) -> Vec<Rec> {
    let bytes: Vec<u8> = stored.iter().flat_map(|n| n.to_le_bytes()).collect();
    let p = tensor_of(
        Pickle::new(),
        |p| p.storage("IntStorage", "0", stored.len() as i64),
        0,
        shape,
        stride,
    );
    crate::common::records(&p.end(), &[("0", &bytes)])
}

/// The steps of C order.
pub(crate) fn c_steps(shape: &[i64]) -> Vec<i64> {
    let mut steps = vec![1; shape.len()];
    for d in (1..shape.len()).rev() {
        steps[d - 1] = steps[d] * shape[d];
    }
    steps
}

/// A step on the way to a value.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Name(&'static str),
    Place(i64),
}

/// Offsets and sizes.
pub(crate) type Chunk = (Vec<i64>, Vec<i64>);

/// Where an item lies: name, offsets, file, position and length.
pub(crate) type Stored = (String, Option<Vec<i64>>, String, i64, i64);

/// A distributed checkpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Folder {
    /// Name, element type, shape and chunks.
    pub(crate) tensors: Vec<(String, String, Vec<i64>, Vec<Chunk>)>,
    pub(crate) objects: Vec<String>,
    pub(crate) ways: Vec<(String, Vec<Step>)>,
    pub(crate) stored: Vec<Stored>,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
}

impl Folder {
    /// A tensor of int32 without chunks.
    pub(crate) fn tensor(mut self, name: &str, shape: &[i64]) -> Folder {
        self.tensors.push((name.into(), "int32".into(), shape.to_vec(), Vec::new()));
        self
    }

    /// A chunk of the last tensor, and the archive that holds it.
    pub(crate) fn chunk(
        mut self,
        file: &str,
        offsets: &[i64],
        sizes: &[i64],
        archive: &[u8],
    ) -> Folder {
        let last = self.tensors.last_mut().unwrap();
        last.3.push((offsets.to_vec(), sizes.to_vec()));
        let name = last.0.clone();
        self.store(&name, Some(offsets), file, archive)
    }

    pub(crate) fn object(mut self, name: &str, file: &str, archive: &[u8]) -> Folder {
        self.objects.push(name.into());
        self.store(name, None, file, archive)
    }

    fn store(mut self, name: &str, at: Option<&[i64]>, file: &str, archive: &[u8]) -> Folder {
        let all = self.files.entry(file.into()).or_default();
        let (from, len) = (all.len() as i64, archive.len() as i64);
        all.extend(archive);
        self.stored.push((name.into(), at.map(<[i64]>::to_vec), file.into(), from, len));
        self
    }

    pub(crate) fn way(mut self, name: &str, way: &[Step]) -> Folder {
        self.ways.push((name.into(), way.to_vec()));
        self
    }

    pub(crate) fn metadata(&self) -> Vec<u8> {
        let p = object(Pickle::new(), "Metadata").op(b"}(").str("state_dict_metadata").op(b"}(");
        let mut p = p;
        for (name, dtype, shape, chunks) in &self.tensors {
            p = object(p.str(name), "TensorStorageMetadata").op(b"}(").str("properties");
            p = object(p, "TensorProperties").op(b"(").global("torch", dtype).op(b"N\x89NNtb");
            p = size(p.str("size"), shape).str("chunks").op(b"](");
            for (offsets, sizes) in chunks {
                p = object(p, "ChunkStorageMetadata").op(b"}(").str("offsets");
                p = size(size(p, offsets).str("sizes"), sizes).op(b"ub");
            }
            p = p.op(b"eub");
        }
        for name in &self.objects {
            p = object(p.str(name), "BytesStorageMetadata").op(b"}b");
        }
        p = p.op(b"u").str("planner_data").op(b"}(");
        for (name, way) in &self.ways {
            p = p.str(name).op(b"(");
            for step in way {
                p = match step {
                    Step::Name(name) => p.str(name),
                    Step::Place(n) => p.int(*n),
                };
            }
            p = p.op(b"t");
        }
        p = p.op(b"u").str("storage_data").op(b"}(");
        for (name, offsets, file, at, len) in &self.stored {
            p = object(p, "MetadataIndex").op(b"}(").str("fqn").str(name).str("offset");
            p = match offsets {
                Some(offsets) => size(p, offsets),
                None => p.op(b"N"),
            };
            p = object(p.op(b"ub"), "_StorageInfo").op(b"}(").str("relative_path").str(file);
            p = p.str("offset").int(*at).str("length").int(*len).op(b"ub");
        }
        p.op(b"uub").end()
    }

    pub(crate) fn write(&self, folder: &Path) {
        self.write_with(folder, &self.metadata());
    }

    pub(crate) fn write_with(&self, folder: &Path, metadata: &[u8]) {
        std::fs::write(folder.join(".metadata"), metadata).unwrap();
        for (name, bytes) in &self.files {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
}

/// An object of a class of distributed checkpoints, without its state.
pub(crate) fn object(p: Pickle, class: &str) -> Pickle {
    p.global("torch.distributed.checkpoint.metadata", class).op(b")\x81")
}

/// A `torch.Size`.
pub(crate) fn size(p: Pickle, dims: &[i64]) -> Pickle {
    p.global("torch", "Size").tuple_of(dims).op(b"\x85R")
}

/// A whole tensor of int32, 0 and up in C order, cut into boxes along each dimension.
pub(crate) fn sharded(folder: Folder, name: &str, shape: &[i64], cuts: &[Vec<i64>]) -> Folder {
    let mut boxes = vec![(Vec::new(), Vec::new())];
    for (d, cut) in cuts.iter().enumerate() {
        let ends = cut.iter().copied().chain([shape[d]]);
        let starts = [0].into_iter().chain(cut.iter().copied());
        let spans: Vec<(i64, i64)> = starts.zip(ends).collect();
        boxes = boxes
            .iter()
            .flat_map(|(o, n): &(Vec<i64>, Vec<i64>)| {
                spans.iter().map(|&(a, b)| ([&o[..], &[a]].concat(), [&n[..], &[b - a]].concat()))
            })
            .collect();
    }
    let steps = c_steps(shape);
    let mut folder = folder.tensor(name, shape);
    for (i, (offsets, sizes)) in boxes.iter().enumerate() {
        let mut values = vec![0];
        for d in 0..shape.len() {
            values = (values.iter())
                .flat_map(|&v| (0..sizes[d]).map(move |i| (v, i)))
                .map(|(v, i)| v + ((offsets[d] + i) * steps[d]) as i32)
                .collect();
        }
        let archive = match i % 3 {
            // Stored the other way round.
            1 => {
                let back: Vec<i64> = sizes.iter().rev().copied().collect();
                let mut stride = c_steps(&back);
                stride.reverse();
                let mut stored = vec![0; values.len()];
                let own = c_steps(sizes);
                for (at, &v) in values.iter().enumerate() {
                    let index = |d: usize| at as i64 / own[d] % sizes[d];
                    let to: i64 = (0..sizes.len()).map(|d| index(d) * stride[d]).sum();
                    stored[to as usize] = v;
                }
                zip(&piece(sizes, &stride, &stored))
            }
            // Big-endian.
            2 => {
                let swapped: Vec<i32> = values.iter().map(|v| v.swap_bytes()).collect();
                let mut records = piece(sizes, &c_steps(sizes), &swapped);
                records[1] = Rec::new("archive/byteorder", b"big");
                zip(&records)
            }
            _ => zip(&piece(sizes, &c_steps(sizes), &values)),
        };
        folder = folder.chunk(&format!("__{}_0.distcp", i % 2), offsets, sizes, &archive);
    }
    folder
}
