//! What the archive says of its tensors, in JSON. Fields that are not known are passed over, two
//! fields of one name are an error, and what is nested too deeply is one.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use crate::{DType, Dims};

/// Most dimensions of a tensor: torch has no more.
const MAX_DIMS: usize = 64;
/// The number of the layout of dense tensors.
const STRIDED: u32 = 7;

/// `<model>_weights_config.json`, `<model>_constants_config.json`: names in their order, each with
/// what it is. A name may stand here twice.
#[derive(Deserialize)]
pub(super) struct Config {
    pub(super) config: Named<Payload>,
}

/// `weights_config.json` of a compiled model: for each name a record, sizes, strides, offset.
pub(super) type Compiled = Named<(String, Vec<u64>, Vec<u64>, u64)>;

/// The entries of a JSON object, as they stand there.
pub(super) struct Named<T>(pub(super) Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Named<T>, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Named<T>, M::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Named(entries))
            }
        }
        json.deserialize_map(Entries(PhantomData))
    }
}

/// Where a weight or constant lies, and what it is.
#[derive(Deserialize)]
pub(super) struct Payload {
    /// The record, below the folder of weights or constants.
    pub(super) path_name: String,
    pub(super) is_param: bool,
    /// Whether the record is a file of `torch.save`.
    pub(super) use_pickle: bool,
    /// Not there for objects that are no tensors.
    pub(super) tensor_meta: Option<Meta>,
}

/// What a tensor is.
#[derive(Deserialize)]
pub(super) struct Meta {
    dtype: u32,
    #[serde(deserialize_with = "dims")]
    pub(super) sizes: Dims,
    pub(super) requires_grad: bool,
    device: Device,
    #[serde(deserialize_with = "dims")]
    pub(super) strides: Dims,
    #[serde(deserialize_with = "known")]
    pub(super) storage_offset: u64,
    layout: u32,
}

#[derive(Deserialize)]
struct Device {
    #[serde(rename = "type")]
    kind: String,
    index: Option<u32>,
}

/// `{"as_int": 3}`; `{"as_expr": …}` for what is only known when the model runs.
#[derive(Deserialize)]
struct Number {
    as_int: Option<u64>,
}

impl Number {
    fn known<E: Error>(self) -> Result<u64, E> {
        self.as_int.ok_or_else(|| E::custom("a size that is only known when the model runs"))
    }
}

fn known<'de, D: Deserializer<'de>>(json: D) -> Result<u64, D::Error> {
    Number::deserialize(json)?.known()
}

fn dims<'de, D: Deserializer<'de>>(json: D) -> Result<Dims, D::Error> {
    let numbers = Vec::<Number>::deserialize(json)?;
    if numbers.len() > MAX_DIMS {
        let count = numbers.len();
        return Err(D::Error::custom(format!(
            "{count} dimensions, and at most {MAX_DIMS} are read"
        )));
    }
    numbers.into_iter().map(Number::known).collect()
}

impl Meta {
    /// The type of the elements, by its number in `torch/_export/serde/schema.py`, which is not
    /// that of torch's own list.
    pub(super) fn dtype(&self) -> Result<DType, String> {
        Ok(match self.dtype {
            1 => DType::UInt8,
            2 => DType::Int8,
            3 => DType::Int16,
            4 => DType::Int32,
            5 => DType::Int64,
            6 => DType::Float16,
            7 => DType::Float32,
            8 => DType::Float64,
            9 => DType::Complex32,
            10 => DType::Complex64,
            11 => DType::Complex128,
            12 => DType::Bool,
            13 => DType::BFloat16,
            28 => DType::UInt16,
            29 => DType::Float8E4M3Fn,
            30 => DType::Float8E5M2,
            31 => DType::Float8E4M3Fnuz,
            32 => DType::Float8E5M2Fnuz,
            33 => DType::Float8E8M0Fnu,
            34 => DType::UInt32,
            35 => DType::UInt64,
            other => return Err(format!("its element type has the unknown number {other}")),
        })
    }

    /// The name of its layout, where it is not dense.
    pub(super) fn sparse(&self) -> Option<String> {
        const NAMES: [&str; 7] = [
            "unknown layout",
            "sparse_coo",
            "sparse_csr",
            "sparse_csc",
            "sparse_bsr",
            "sparse_bsc",
            "_mkldnn",
        ];
        if self.layout == STRIDED {
            return None;
        }
        let name = NAMES.get(self.layout as usize);
        Some(name.map_or_else(|| format!("layout {}", self.layout), |name| (*name).to_owned()))
    }

    /// Where it was: `cpu`, `cuda:0`.
    pub(super) fn location(&self) -> String {
        match self.device.index {
            Some(index) => format!("{}:{index}", self.device.kind),
            None => self.device.kind.clone(),
        }
    }
}
