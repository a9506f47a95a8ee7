//! Tensors of files as tensors in memory: read into memory of their own, or mapped.
#![allow(unsafe_code)]

use std::sync::Arc;

use torch_pickle::{Map, StorageId};

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
