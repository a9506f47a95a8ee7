//! The files that are measured, made when they are first asked for.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use numpack_interop::{FromTorch, NoProgress, from_torch_file};
use torch_pickle::{
    DType, Dict, Node, Storage, StorageData, StorageId, StorageSink, StorageType, Tensor, Tree,
    WriteOptions,
};

use crate::{Place, Settings};

/// Tensors of the large checkpoint: three, and nine in each of twenty layers.
pub const LARGE_TENSORS: usize = 183;
/// Elements of a tiny tensor.
const TINY: u64 = 16;
/// Elements of a row; four bytes each make 1 KiB.
const WIDTH: u64 = 256;

/// A name and a shape.
pub type Shape = (String, Vec<u64>);

/// The large checkpoint of a place.
///
/// # Errors
/// When it cannot be written.
pub fn large(place: &Place, settings: &Settings) -> Result<PathBuf> {
    made(place.join("large.pt"), |path| write(path, &transformer(settings.size)))
}

/// The checkpoint of tiny tensors of a place.
///
/// # Errors
/// When it cannot be written.
pub fn tiny(place: &Place, settings: &Settings) -> Result<PathBuf> {
    made(place.join("tiny.pt"), |path| write(path, &tiny_shapes(settings.tensors)))
}

/// The store of a checkpoint, beside it.
///
/// # Errors
/// When it cannot be converted.
pub fn store_of(checkpoint: &Path) -> Result<PathBuf> {
    made(checkpoint.with_extension("npk"), |path| {
        from_torch_file(checkpoint, path, &FromTorch::new(), &mut NoProgress)?;
        Ok(())
    })
}

fn made(path: PathBuf, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    if !path.exists() {
        eprintln!("making {}", path.display());
        make(&path).with_context(|| format!("make {}", path.display()))?;
    }
    Ok(path)
}

/// The tensors of a small transformer that take `size` bytes together; of 1 GiB they take from
/// 1 KiB to 100 MiB each.
pub fn transformer(size: u64) -> Vec<Shape> {
    const LAYERS: u64 = 20;
    let rows = size / (4 * WIDTH);
    let embedding = rows * 100 / 1024;
    let norms = 2 * LAYERS + 1;
    let layers = rows - 2 * embedding - norms;
    let mut shapes = vec![("model.embed_tokens.weight".to_owned(), vec![embedding, WIDTH])];
    for n in 0..LAYERS {
        // What does not divide goes to the last.
        let layer = layers / LAYERS + if n == LAYERS - 1 { layers % LAYERS } else { 0 };
        let (attention, mlp) = (layer * 10 / 121, layer * 27 / 121);
        let rest = layer - 4 * attention - 2 * mlp;
        for (part, rows) in [
            ("self_attn.q_proj", attention),
            ("self_attn.k_proj", attention),
            ("self_attn.v_proj", attention),
            ("self_attn.o_proj", attention),
            ("mlp.gate_proj", mlp),
            ("mlp.up_proj", mlp),
            ("mlp.down_proj", rest),
        ] {
            shapes.push((format!("model.layers.{n}.{part}.weight"), vec![rows, WIDTH]));
        }
        for part in ["input_layernorm", "post_attention_layernorm"] {
            shapes.push((format!("model.layers.{n}.{part}.weight"), vec![WIDTH]));
        }
    }
    shapes.push(("model.norm.weight".to_owned(), vec![WIDTH]));
    shapes.push(("lm_head.weight".to_owned(), vec![embedding, WIDTH]));
    shapes
}

/// Many tensors of 64 bytes.
pub fn tiny_shapes(n: usize) -> Vec<Shape> {
    (0..n).map(|i| (format!("model.layers.{i}.weight"), vec![TINY])).collect()
}

/// Writes float32 tensors as an `OrderedDict`, as the state of a module is one.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, shapes: &[Shape]) -> Result<()> {
    let mut tree = Tree::new();
    let mut items = Vec::with_capacity(shapes.len());
    for (name, shape) in shapes {
        let storage = add_storage(&mut tree, shape.iter().product());
        let tensor = tree.add_tensor(Tensor::contiguous(storage, DType::Float32, shape));
        items.push((tree.add(Node::Str(name.as_str().into())), tree.add(Node::Tensor(tensor))));
    }
    let root = tree.add(Node::Dict(Dict { ordered: true, items, attributes: None }));
    tree.set_root(root);
    torch_pickle::write(path, &tree, &WriteOptions::new(), &mut Noise::new())?;
    Ok(())
}

/// Writes one float32 matrix whose elements lie in the order of its columns.
///
/// # Errors
/// When the file cannot be written.
pub fn write_transposed(path: &Path, side: u64) -> Result<()> {
    let mut tree = Tree::new();
    let storage = add_storage(&mut tree, side * side);
    let mut tensor = Tensor::contiguous(storage, DType::Float32, &[side, side]);
    tensor.stride = [1, side].into();
    let tensor = tree.add_tensor(tensor);
    let root = tree.add(Node::Tensor(tensor));
    tree.set_root(root);
    torch_pickle::write(path, &tree, &WriteOptions::new(), &mut Noise::new())?;
    Ok(())
}

/// The name of the small tensor that [`write_sparse`] writes.
pub const SMALL: &str = "small";
/// Elements of it.
const SMALL_LEN: u64 = 1024;

/// Writes a checkpoint of a tensor of so many bytes that take no room on the disk, and behind it a
/// small one, of which the length is returned.
///
/// # Errors
/// When the file cannot be written.
pub fn write_sparse(path: &Path, bytes: u64) -> Result<usize> {
    let mut tree = Tree::new();
    let mut items = Vec::new();
    for (name, numel) in [("large", bytes / 4), (SMALL, SMALL_LEN)] {
        let storage = add_storage(&mut tree, numel);
        let tensor = tree.add_tensor(Tensor::contiguous(storage, DType::Float32, &[numel]));
        items.push((tree.add(Node::Str(name.into())), tree.add(Node::Tensor(tensor))));
    }
    let root = tree.add(Node::Dict(Dict { items, ..Dict::default() }));
    tree.set_root(root);
    torch_pickle::write(path, &tree, &WriteOptions::new(), &mut Hole(Noise::new()))?;
    Ok(usize::try_from(SMALL_LEN * 4)?)
}

/// Leaves a hole for the first storage; nobody compares its checksum.
struct Hole(Noise);

impl StorageData for Hole {
    fn write_storage(
        &mut self,
        id: StorageId,
        sink: &mut StorageSink<'_, '_>,
    ) -> torch_pickle::Result<()> {
        if id.0 > 0 {
            return self.0.write_storage(id, sink);
        }
        let len = sink.remaining();
        sink.splice(len, |file, at| file.set_len(at + len).map(|()| 0))
    }
}

fn add_storage(tree: &mut Tree, numel: u64) -> StorageId {
    tree.add_storage(Storage {
        key: tree.storages().len().to_string().into(),
        dtype: StorageType::Typed(DType::Float32),
        location: "cpu".into(),
        numel,
    })
}

/// Bytes that do not compress, and differ from storage to storage.
struct Noise {
    block: Vec<u8>,
}

impl Noise {
    fn new() -> Noise {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        Noise { block: (0..1 << 17).flat_map(|_| next().to_le_bytes()).collect() }
    }
}

impl StorageData for Noise {
    fn write_storage(
        &mut self,
        id: StorageId,
        sink: &mut StorageSink<'_, '_>,
    ) -> torch_pickle::Result<()> {
        let mut block = 0u32;
        while sink.remaining() > 0 {
            self.block[..4].copy_from_slice(&id.0.to_le_bytes());
            self.block[4..8].copy_from_slice(&block.to_le_bytes());
            let n = self.block.len().min(usize::try_from(sink.remaining()).unwrap_or(usize::MAX));
            sink.write(&self.block[..n])?;
            block += 1;
        }
        Ok(())
    }
}
