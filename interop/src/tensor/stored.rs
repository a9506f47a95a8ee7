//! Tensors of files as tensors in memory: read into memory of their own, or mapped.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use torch_pickle::{Map, StorageId, TensorId};

use super::{Storage, Tensor};
use crate::dtype::{DType, from_numpack, from_torch};
use crate::tensors::Source;
use crate::{Error, Result, TensorInfo, Tensors};

impl Tensors {
    /// Reads a tensor into memory of its own: in C order, writable, independent of the file. Bits
    /// that ask for conjugation or negation are resolved, and checksums compared.
    ///
    /// ```no_run
    /// use numpack_interop::Tensors;
    /// let file = Tensors::open("model.pt")?;
    /// let weight = file.load(&file.find("encoder.weight")?)?;
    /// println!("{:?} {:?}", weight.dtype(), weight.shape());
    /// # Ok::<(), numpack_interop::Error>(())
    /// ```
    ///
    /// # Errors
    /// When it cannot be read; [`Error::Type`] for a type no [`Tensor`] has, such as quantised
    /// ones; [`Error::OutOfMemory`].
    pub fn load(&self, info: &TensorInfo) -> Result<Tensor> {
        let dtype = element_type(&format!("tensor {:?}", info.name), info.dtype)?;
        let (shape, _) = sizes(info)?;
        let mut tensor = Tensor::zeros(&shape, dtype)?;
        self.read_into(info, &mut tensor.storage.write()?)?;
        tensor.requires_grad = info.requires_grad && dtype.is_differentiable();
        Ok(tensor)
    }

    /// Reads tensors as [`load`](Tensors::load) does, but so that those which show one storage share
    /// memory here too, with their strides: a write to one is seen in the others.
    ///
    /// ```no_run
    /// use numpack_interop::Tensors;
    /// let file = Tensors::open("model.pt")?;
    /// let all = file.load_all(&file.list()?)?;
    /// # Ok::<(), numpack_interop::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`load`](Tensors::load), for the first one that has any.
    pub fn load_all(&self, infos: &[TensorInfo]) -> Result<Vec<Tensor>> {
        let mut shown: HashMap<u32, Shown> = HashMap::new();
        for info in infos {
            let alone = || Shown { first: info.id, several: false, storage: None };
            let shown = shown.entry(info.storage).or_insert_with(alone);
            shown.several |= shown.first != info.id;
        }
        let mut loaded: HashMap<TensorId, Tensor> = HashMap::new();
        let mut all = Vec::with_capacity(infos.len());
        for info in infos {
            let tensor = match loaded.entry(info.id) {
                Entry::Occupied(found) => found.into_mut(),
                Entry::Vacant(place) => place.insert(match shown.get_mut(&info.storage) {
                    Some(shown) if shown.several => self.load_shared(info, shown)?,
                    _ => self.load(info)?,
                }),
            };
            all.push(tensor.alias());
        }
        Ok(all)
    }

    /// A tensor on a storage that several show, which the first of them reads.
    fn load_shared(&self, info: &TensorInfo, shown: &mut Shown) -> Result<Tensor> {
        let in_file = self.tree().tensor(info.id);
        // A bit that asks for conjugation is resolved in memory of its own.
        if in_file.conj || in_file.neg {
            return self.load(info);
        }
        let dtype = element_type(&format!("tensor {:?}", info.name), info.dtype)?;
        let (shape, strides) = sizes(info)?;
        let offset = usize::try_from(info.offset).map_err(|_| too_large(info))?;
        let storage = match &shown.storage {
            Some(storage) => storage.clone(),
            None => {
                let nbytes = usize::try_from(info.storage_nbytes).map_err(|_| too_large(info))?;
                let bytes = Tensor::zeros(&[nbytes], DType::UINT8)?;
                self.read_storage(in_file.storage, &mut bytes.storage.write()?)?;
                shown.storage.insert(bytes.storage).clone()
            }
        };
        let mut tensor = Tensor::new(storage, dtype, &shape, &strides, offset)?;
        tensor.requires_grad = info.requires_grad && dtype.is_differentiable();
        Ok(tensor)
    }

    fn read_storage(&self, id: StorageId, out: &mut [u8]) -> Result<()> {
        let (size, mut at) = (out.len(), 0);
        self.stream_storage(id, &mut |bytes| {
            if let Some(place) = out.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
            at += bytes.len();
            Ok(())
        })?;
        if at == size {
            return Ok(());
        }
        Err(Error::Parameter(format!(
            "a storage of {size} bytes gave {at}; it was changed meanwhile"
        )))
    }

    /// Maps a tensor: its memory is the file's, read as it is touched, and read-only. Its strides
    /// are those in the file. Checksums are not compared.
    ///
    /// # Safety
    /// As long as the tensor or a view of it lives, nobody may change or shorten the file.
    ///
    /// # Errors
    /// [`Error::Sharing`] or [`Error::Parameter`] for what cannot be mapped as it is: a compressed
    /// or big-endian file, a tensor that is conjugated or misaligned there, an array with dropped
    /// rows or in segments. [`load`](Tensors::load) reads it.
    pub unsafe fn map(&self, info: &TensorInfo) -> Result<Tensor> {
        let dtype = element_type(&format!("tensor {:?}", info.name), info.dtype)?;
        let (shape, strides) = sizes(info)?;
        let offset = usize::try_from(info.offset).map_err(|_| too_large(info))?;
        let tensor = self.tree().tensor(info.id);
        if tensor.conj || tensor.neg {
            return Err(Error::Sharing {
                problem: format!("tensor {:?} is stored conjugated or negated", info.name),
                advice: "read it instead",
            });
        }
        let storage = match &self.source {
            Source::Torch(checkpoint) => {
                // SAFETY: the caller's promise.
                let map = self.mapped(|| unsafe { checkpoint.map() })?;
                map.storage(tensor.storage)?;
                Storage::from_owner(MappedStorage { map, id: tensor.storage })
            }
            Source::Stored(source) => {
                let array = source.store.array(&source.arrays[tensor.storage.0 as usize])?;
                // SAFETY: the caller's promise.
                Storage::from_owner(unsafe { array.map() }?)
            }
        };
        let mut mapped = Tensor::new(storage, dtype, &shape, &strides, offset)?;
        mapped.requires_grad = info.requires_grad && dtype.is_differentiable();
        Ok(mapped)
    }
}

impl Tensor {
    /// Reads the live rows of a store's array into memory of its own, as the element type that the
    /// store has: where side information names another, such as bfloat16, [`Tensors::load`] knows it.
    ///
    /// ```no_run
    /// use numpack_format::Store;
    /// use numpack_interop::Tensor;
    /// let rows = Tensor::from_array(&Store::open("rows.npk")?.array("ids")?)?;
    /// println!("{:?} of {}", rows.shape(), rows.dtype());
    /// # Ok::<(), numpack_interop::Error>(())
    /// ```
    ///
    /// # Errors
    /// When it cannot be read; [`Error::OutOfMemory`].
    pub fn from_array(array: &numpack_format::Array) -> Result<Tensor> {
        let info = array.info();
        let shape: Option<Vec<usize>> =
            info.shape.iter().map(|&n| usize::try_from(n).ok()).collect();
        let shape = shape.ok_or(Error::OutOfMemory { nbytes: array.nbytes() })?;
        let tensor = Tensor::zeros(&shape, from_numpack(info.dtype))?;
        array.read_into(&mut tensor.storage.write()?)?;
        Ok(tensor)
    }
}

/// A storage, while tensors of it are read.
struct Shown {
    /// The first tensor that shows it.
    first: TensorId,
    /// Whether another one does.
    several: bool,
    storage: Option<Storage>,
}

/// One storage of a mapped checkpoint.
struct MappedStorage {
    map: Arc<Map>,
    id: StorageId,
}

impl AsRef<[u8]> for MappedStorage {
    fn as_ref(&self) -> &[u8] {
        // It was there when this was made, and a map does not change.
        self.map.storage(self.id).unwrap_or_default()
    }
}

/// A checkpoint's element type, if a tensor in memory can have it.
pub(super) fn element_type(what: &str, torch: torch_pickle::DType) -> Result<DType> {
    from_torch(torch).filter(|d| DType::ALL.contains(d)).ok_or_else(|| Error::Type {
        problem: format!("{what} has elements of {torch}, which no tensor in memory has"),
        advice: "take their bytes as uint8",
    })
}

fn sizes(info: &TensorInfo) -> Result<(Vec<usize>, Vec<isize>)> {
    let shape: Option<_> = info.shape.iter().map(|&n| usize::try_from(n).ok()).collect();
    let strides: Option<_> = info.stride.iter().map(|&s| isize::try_from(s).ok()).collect();
    shape.zip(strides).ok_or_else(|| too_large(info))
}

fn too_large(info: &TensorInfo) -> Error {
    Error::Parameter(format!("tensor {:?} is larger than memory can be", info.name))
}
