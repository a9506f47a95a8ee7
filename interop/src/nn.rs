//! Tensors that compute: to and from `numpack_nn`, and states of modules and optimisers in files.
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("model.pt");
//! use numpack_interop::nn::{load_state, save_state};
//! use numpack_nn::{Linear, ModuleExt};
//! let model = Linear::new(3, 2, true)?;
//! save_state(&path, &model.state_dict(), false)?; // torch.load(path) is the same dict
//! let other = Linear::new(3, 2, true)?;
//! other.load_state_dict(&load_state(&path, None)?, true)?;
//! assert_eq!(other.weight.to_vec::<f32>()?, model.weight.to_vec::<f32>()?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;

use half::{bf16, f16};
use numpack_nn::optim::{Optimizer, OptimizerState, Setting};
use numpack_nn::{Array, DType as NnType, Tensor as NnTensor};
use torch_pickle::{Dict, Node, NodeId, WriteOptions};

use crate::dtype::DType;
use crate::tensor::Tensor;
use crate::tensors::{Format, Tensors};
use crate::{Error, Existing, Object, Result, from_torch, save_tensors};

/// What `numpack_nn` said, as an error of this crate: [`Error::Sharing`] for tensors on two devices and a
/// rule of gradients that is broken, [`Error::Type`] for types, [`Error::Index`] for indices that lead
/// nowhere; of a device [`Error::Device`] and [`Error::DeviceMemory`]; [`Error::Cancelled`]; else
/// [`Error::OutOfMemory`] and [`Error::Parameter`].
pub fn error(e: &numpack_nn::Error) -> Error {
    use numpack_host_ops::Error as Host;
    use numpack_nn::Error as Nn;
    match e {
        #[cfg(feature = "vulkan")]
        Nn::Device(e) => crate::vulkan::error("vulkan", e),
        Nn::Host(Host::OutOfMemory { elements, dtype }) => {
            Error::OutOfMemory { nbytes: (*elements as u64).saturating_mul(dtype.size() as u64) }
        }
        Nn::Host(Host::DType { op, problem, advice }) => {
            Error::Type { problem: format!("{op}: {problem}"), advice }
        }
        Nn::DType { op, dtype } => Error::Type {
            problem: format!("{op}: {dtype} is not computed on a device"),
            advice: "cast it, or compute on the cpu",
        },
        Nn::Devices { op, a, b } => Error::Sharing {
            problem: format!("{op}: one tensor is on {a} and one on {b}"),
            advice: "move one of them with to_device",
        },
        Nn::Grad { op, problem, advice } => {
            Error::Sharing { problem: format!("{op}: {problem}"), advice }
        }
        Nn::Host(index @ Host::Index { .. }) => Error::Index(index.to_string()),
        Nn::Cancelled => Error::Cancelled,
        other => Error::Parameter(other.to_string()),
    }
}

/// A tensor that computes: a device's shares the memory, another one's elements are copied. It wants a
/// gradient if this one does.
///
/// # Errors
/// [`Error::Type`] for a type that nothing is computed with; [`Error::Sharing`] for a device's tensor whose
/// strides go backwards; [`Error::InUse`], [`Error::OutOfMemory`].
pub fn to_nn(t: &Tensor) -> Result<NnTensor> {
    #[cfg(feature = "vulkan")]
    if t.storage().device().is_some() {
        let made = NnTensor::from_vulkan(crate::vulkan::on_device(t)?);
        return made.requires_grad_(t.requires_grad()).map_err(|e| error(&e));
    }
    macro_rules! copied {
        ($($name:ident: $t:ty),*) => {
            match t.dtype() {
                $(DType::$name => Array::from_vec(t.to_vec::<$t>()?, t.shape()),)*
                other => {
                    return Err(Error::Type {
                        problem: format!("nothing is computed with {other}"),
                        advice: "convert it first, to float32 for example",
                    });
                }
            }
        };
    }
    let array = copied!(
        BOOL: bool, UINT8: u8, INT8: i8, INT16: i16, INT32: i32, INT64: i64, FLOAT16: f16,
        BFLOAT16: bf16, FLOAT32: f32, FLOAT64: f64
    );
    let array = array.map_err(|e| error(&e.into()))?;
    NnTensor::from_array(array).requires_grad_(t.requires_grad()).map_err(|e| error(&e))
}

/// Its elements as a tensor to share: a device's is the same memory, the host's are copied. It wants a
/// gradient if this one does.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub fn from_nn(t: &NnTensor) -> Result<Tensor> {
    #[cfg(feature = "vulkan")]
    if let Some(there) = t.vulkan() {
        let device = crate::vulkan::VulkanDevice::of(there.stream().clone());
        let mut made = crate::vulkan::from_device(&device, &there)?;
        made.set_requires_grad(t.requires_grad())?;
        return Ok(made);
    }
    let array = t.to_array().map_err(|e| error(&e))?;
    macro_rules! copied {
        ($($name:ident: $t:ty),*) => {
            match array.dtype() {
                $(NnType::$name => match array.as_slice::<$t>() {
                    Some(all) => Tensor::from_slice(all, array.shape()),
                    None => {
                        let all = array.to_vec::<$t>().map_err(|e| error(&e.into()))?;
                        Tensor::from_slice(&all, array.shape())
                    }
                },)*
            }
        };
    }
    let mut made = copied!(
        Bool: bool, U8: u8, I8: i8, I16: i16, I32: i32, I64: i64, F16: f16, BF16: bf16, F32: f32,
        F64: f64
    )?;
    made.set_requires_grad(t.requires_grad())?;
    Ok(made)
}

/// Takes the elements of a tensor in memory into one of the host that computes, of the same type and
/// shape, if they differ in any bit, and says whether they did: what became of memory that it was made of.
/// Nothing is copied where they do not. See [`numpack_nn::Tensor::refresh`].
///
/// # Errors
/// [`Error::Parameter`] for another type or shape, and for a computing tensor on a device;
/// [`Error::Sharing`] for memory on a device; [`Error::InUse`], [`Error::OutOfMemory`].
///
/// ```
/// use numpack_interop::{Tensor, nn};
/// let memory = Tensor::from_slice(&[1.0_f32, 2.0], &[2])?;
/// let x = nn::to_nn(&memory)?;
/// memory.fill(3.0)?;
/// assert!(nn::refresh(&x, &memory)? && !nn::refresh(&x, &memory)?);
/// assert_eq!(x.to_vec::<f32>()?, [3.0, 3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn refresh(t: &NnTensor, from: &Tensor) -> Result<bool> {
    must_be_like(t, from)?;
    from.with_bytes(|bytes| t.refresh(bytes).map_err(|e| error(&e)))?
}

/// Writes the elements of a tensor that computes, of the host or a device, into a tensor in memory of the
/// same type and shape. They go straight there, if those lie in C order.
///
/// # Errors
/// [`Error::Parameter`] for another type or shape; [`Error::Sharing`] for memory that is read-only or on a
/// device; [`Error::InUse`]; what the device says.
///
/// ```
/// use numpack_interop::{Tensor, dtype::DType, nn};
/// let x = numpack_nn::Tensor::from_slice(&[1.0_f32, 2.0], &[2])?;
/// let memory = Tensor::zeros(&[2], DType::FLOAT32)?;
/// nn::write_to(&x, &memory)?;
/// assert_eq!(memory.to_vec::<f32>()?, [1.0, 2.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_to(t: &NnTensor, to: &Tensor) -> Result<()> {
    must_be_like(t, to)?;
    #[cfg(feature = "vulkan")]
    if let Some(there) = t.vulkan() {
        let read = |out: &mut [u8]| there.read_into(out);
        return to.write_by(|out| read(out).map_err(|e| crate::vulkan::error("vulkan", &e)));
    }
    let array = t.to_array().map_err(|e| error(&e))?;
    match array.as_bytes() {
        Some(bytes) => to.write_from(bytes),
        None => to.write_from(&array.to_bytes().map_err(|e| error(&e.into()))?),
    }
}

fn must_be_like(t: &NnTensor, memory: &Tensor) -> Result<()> {
    let (dtype, shape) = (t.dtype().name(), t.shape());
    if dtype == memory.dtype().name() && shape == memory.shape() {
        return Ok(());
    }
    Err(Error::Parameter(format!(
        "{dtype} {shape:?} and {} {:?}; give a tensor of the same type and shape",
        memory.dtype(),
        memory.shape()
    )))
}

/// Writes a state, such as a module's, as a dict of tensors: a `.pt` file that torch loads, or a NumPack
/// store where the path ends in `.npk`. Tensors on a device come back first. What is there is replaced
/// if `overwrite`, whole or not at all.
///
/// # Errors
/// [`Error::Exists`]; [`Error::Parameter`] for another suffix, and for a name that comes twice; what is
/// said of writing.
pub fn save_state(
    path: impl AsRef<Path>,
    state: &[(String, NnTensor)],
    overwrite: bool,
) -> Result<()> {
    let path = path.as_ref();
    let here = |(name, t): &(String, NnTensor)| {
        let t = t.cpu().map_err(|e| error(&e))?;
        Ok((name.clone(), from_nn(&t)?))
    };
    let tensors = state.iter().map(here).collect::<Result<Vec<_>>>()?;
    let named: Vec<(&str, &Tensor)> = tensors.iter().map(|(name, t)| (&name[..], t)).collect();
    match Format::of_suffix(path) {
        Some(Format::Torch) => {
            save_tensors(path, &named, &WriteOptions::new().overwrite(overwrite))
        }
        Some(Format::NumPack) => {
            let existing = if overwrite { Existing::Replace } else { Existing::Refuse };
            from_torch(&named, path, existing).map(drop)
        }
        _ => Err(Error::Parameter(format!(
            "{}: a state is written as a .pt file or a .npk store; choose such a name",
            path.display()
        ))),
    }
}

/// Reads a state from any file of tensors: those whose names begin with `key` and a dot, without
/// that, or all.
///
/// # Errors
/// [`Error::Name`] where there are none; [`Error::Type`] for a type that nothing is computed with; what is
/// said of reading.
pub fn load_state(path: impl AsRef<Path>, key: Option<&str>) -> Result<Vec<(String, NnTensor)>> {
    let file = Tensors::open(path.as_ref())?;
    let mut state = Vec::new();
    for info in file.list()? {
        let name = match key {
            None => Some(&info.name[..]),
            Some(key) => info.name.strip_prefix(key).and_then(|rest| rest.strip_prefix('.')),
        };
        if let Some(name) = name {
            state.push((name.to_owned(), to_nn(&file.load(&info)?)?.detach()));
        }
    }
    if state.is_empty() {
        let message = match key {
            Some(key) => format!("no tensor's name begins with {key:?}; `ls` lists them"),
            None => "there are no tensors in it".to_owned(),
        };
        return Err(Error::Name { path: file.path().to_owned(), message });
    }
    Ok(state)
}

/// Writes the states of a module and its optimiser as `{"model": …, "optimizer": …}`, a `.pt` file that
/// torch loads: `model.load_state_dict(file["model"])`, and the same of an optimiser of the same name. Tensors
/// on a device come back first.
///
/// # Errors
/// As for [`save_state`].
///
/// ```
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("training.pt");
/// use numpack_interop::nn::{load_optimizer, load_state, save_training};
/// use numpack_nn::optim::{Adam, AdamOptions, Optimizer};
/// use numpack_nn::{Linear, Module, ModuleExt, Tensor};
/// let model = Linear::new(3, 1, true)?;
/// let mut adam = Adam::new(model.parameters(), AdamOptions::default());
/// model.forward(&Tensor::from_slice(&[1.0_f32, 2.0, 3.0], &[3])?)?.backward()?;
/// adam.step()?;
/// save_training(&path, &model.state_dict(), &adam, false)?;
/// model.load_state_dict(&load_state(&path, Some("model"))?, true)?;
/// adam.load_state_dict(&load_optimizer(&path, Some("optimizer"))?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn save_training(
    path: impl AsRef<Path>,
    module: &[(String, NnTensor)],
    optimizer: &dyn Optimizer,
    overwrite: bool,
) -> Result<()> {
    let mut object = Object::new();
    let mut model = Vec::new();
    for (name, t) in module {
        model.push((&name[..], of_state(&mut object, t)?));
    }
    let model = object.dict(&model)?;
    let mut by_parameter: Vec<(usize, Vec<(NodeId, NodeId)>)> = Vec::new();
    for (i, name, t) in optimizer.state_dict().map_err(|e| error(&e))? {
        let entry = (object.text(&name)?, of_state(&mut object, &t)?);
        match by_parameter.last_mut() {
            Some((last, entries)) if *last == i => entries.push(entry),
            _ => by_parameter.push((i, vec![entry])),
        }
    }
    let mut items = Vec::new();
    for (i, entries) in by_parameter {
        let entries = object.add(Node::Dict(Dict { items: entries, ..Dict::default() }))?;
        items.push((object.add(Node::Int(i as i64))?, entries));
    }
    let state = object.add(Node::Dict(Dict { items, ..Dict::default() }))?;
    let (mut groups, mut first) = (Vec::new(), 0);
    for (settings, count) in optimizer.group_settings() {
        let mut items = Vec::new();
        for (name, setting) in settings {
            items.push((name, of_setting(&mut object, setting)?));
        }
        let mut params = Vec::new();
        for i in first..first + count {
            params.push(object.add(Node::Int(i as i64))?);
        }
        first += count;
        items.push(("params", object.add(Node::List(params))?));
        groups.push(object.dict(&items)?);
    }
    let groups = object.add(Node::List(groups))?;
    let optimizer = object.dict(&[("state", state), ("param_groups", groups)])?;
    let root = object.dict(&[("model", model), ("optimizer", optimizer)])?;
    object.save(root, path, &WriteOptions::new().overwrite(overwrite))
}

/// Reads what an optimiser kept, as torch or [`save_training`] wrote it, for
/// [`Optimizer::load_state_dict`]: below `key`, or as the whole file. It is empty where the optimiser had
/// taken no step.
///
/// # Errors
/// What is said of reading, also of a key that is not there; [`Error::Type`] for a type that nothing is
/// computed with.
pub fn load_optimizer(path: impl AsRef<Path>, key: Option<&str>) -> Result<OptimizerState> {
    let file = Tensors::open(path.as_ref())?;
    let below = key.map_or("state".to_owned(), |key| format!("{key}.state"));
    // An optimiser that kept nothing is there all the same.
    file.tree().find(&below).map_err(|e| Error::name(file.path(), e))?;
    let mut state = Vec::new();
    for info in file.list()? {
        let entry = info.name.strip_prefix(&below[..]).and_then(|rest| rest.strip_prefix('.'));
        let entry = entry.and_then(|rest| rest.split_once('.'));
        if let Some((i, name)) = entry.and_then(|(i, name)| Some((i.parse().ok()?, name))) {
            state.push((i, name.to_owned(), to_nn(&file.load(&info)?)?.detach()));
        }
    }
    Ok(state)
}

/// A tensor of a state, of memory of its own.
fn of_state(object: &mut Object, t: &NnTensor) -> Result<NodeId> {
    let t = t.detach().cpu().map_err(|e| error(&e))?;
    object.tensor(&from_nn(&t)?, false)
}

fn of_setting(object: &mut Object, setting: Setting) -> Result<NodeId> {
    let node = match setting {
        Setting::Float(x) => Node::Float(x),
        Setting::Bool(yes) => Node::Bool(yes),
        Setting::Pair(a, b) => {
            Node::Tuple(vec![object.add(Node::Float(a))?, object.add(Node::Float(b))?])
        }
        _ => Node::None,
    };
    object.add(node)
}
