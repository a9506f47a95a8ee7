//! Checkpoints made for the tests.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of this module")]

pub mod random;

use std::path::{Path, PathBuf};

use torch_pickle::{
    DType, Dict, Node, NodeId, Storage, StorageId, StorageType, Tensor, TensorClass, Tree,
    WriteOptions,
};

/// A tree with the bytes of its storages.
#[derive(Default)]
pub struct Object {
    pub tree: Tree,
    pub bytes: Vec<Vec<u8>>,
}

impl Object {
    /// A storage of `numel` elements, filled from `seed`.
    pub fn storage(&mut self, dtype: DType, numel: u64, seed: u64) -> StorageId {
        let len = numel as usize * dtype.size();
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let bytes = (0..len).map(|_| next(&mut state) as u8).collect::<Vec<u8>>();
        // Torch would refuse any other boolean.
        let bytes = match dtype {
            DType::Bool => bytes.iter().map(|b| b & 1).collect(),
            _ => bytes,
        };
        self.bytes.push(bytes);
        let typed = dtype.storage_class().is_some();
        self.tree.add_storage(Storage {
            key: self.bytes.len().to_string().into(),
            dtype: if typed { StorageType::Typed(dtype) } else { StorageType::Untyped },
            location: "cpu".into(),
            numel: if typed { numel } else { len as u64 },
        })
    }

    /// A tensor with a storage of its own.
    pub fn tensor(&mut self, dtype: DType, shape: &[u64], seed: u64) -> NodeId {
        let storage = self.storage(dtype, shape.iter().product(), seed);
        self.view(Tensor::contiguous(storage, dtype, shape))
    }

    pub fn view(&mut self, tensor: Tensor) -> NodeId {
        let id = self.tree.add_tensor(tensor);
        self.tree.add(Node::Tensor(id))
    }

    pub fn parameter(&mut self, shape: &[u64], seed: u64) -> NodeId {
        let storage = self.storage(DType::Float32, shape.iter().product(), seed);
        let mut tensor = Tensor::contiguous(storage, DType::Float32, shape);
        tensor.class = TensorClass::Parameter;
        tensor.requires_grad = true;
        self.view(tensor)
    }

    pub fn str(&mut self, text: &str) -> NodeId {
        self.tree.add(Node::Str(text.into()))
    }

    /// A dict with text keys.
    pub fn dict(&mut self, items: &[(&str, NodeId)]) -> NodeId {
        let items = items.iter().map(|&(k, v)| (self.str(k), v)).collect();
        self.tree.add(Node::Dict(Dict { items, ..Dict::default() }))
    }

    /// Writes the object below `root` into `folder`.
    pub fn write(&mut self, root: NodeId, path: &Path) {
        self.tree.set_root(root);
        torch_pickle::write(path, &self.tree, &WriteOptions::new(), &mut &self.bytes[..]).unwrap();
    }
}

/// xorshift64*: enough for test data, and the same everywhere.
pub fn next(state: &mut u64) -> u64 {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
}

pub fn below(state: &mut u64, n: u64) -> u64 {
    next(state) % n
}

/// The checkpoint that torch wrote, and what torch says of it.
pub fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/checkpoint.pt")
}

/// The collection of real files, where there is one.
pub fn fixtures() -> Option<PathBuf> {
    let folder = std::env::var_os("LIBNUMPACK_FIXTURES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/fixtures"),
        PathBuf::from,
    );
    if folder.is_dir() {
        return Some(folder);
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "no collection of real files; set LIBNUMPACK_FIXTURES to one"
    );
    println!("skipped: no collection of real files; set LIBNUMPACK_FIXTURES to test with one");
    None
}

/// The names in a folder, sorted.
pub fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
