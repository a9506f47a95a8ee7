//! Modules: `{"kind": torch's name, …arguments}`, with parameters of the tensors named `m.…`.

use std::sync::Arc;

use anyhow::{Context, Result, bail};
use numpack_nn::{
    Device, Embedding, Flatten, GELU, LayerNorm, Linear, Module, ModuleExt, MultiheadAttention,
    RMSNorm, ReLU, Sequential, SiLU, Sigmoid, Softmax, Tanh, Tensor, TransformerActivation,
    TransformerEncoderLayer, TransformerOptions,
};
use serde_json::Value as Json;

use crate::{Names, text};

/// A module with the parameters that came, in their type, on the device.
pub(crate) fn make(of: &Json, names: &Names, device: &Device) -> Result<Arc<dyn Module>> {
    let module = empty(of)?;
    let own = names.iter().filter_map(|(n, t)| Some((n.strip_prefix("m.")?.to_owned(), t.clone())));
    let state: Vec<(String, Tensor)> = own.collect();
    // Parameters take the type of what is loaded, too.
    for (name, p) in module.named_parameters() {
        let given = state.iter().find(|(n, _)| *n == name).with_context(|| format!("no {name}"))?;
        p.set_data(&Tensor::zeros(&p.shape(), given.1.dtype(), device)?)?;
    }
    module.load_state_dict(&state, true)?;
    if of["eval"].as_bool() == Some(true) {
        module.eval();
    }
    Ok(module)
}

pub(crate) fn parameters(module: &dyn Module) -> Vec<(String, Tensor)> {
    module.named_parameters().into_iter().map(|(name, p)| (format!("m.{name}"), p)).collect()
}

fn empty(of: &Json) -> Result<Arc<dyn Module>> {
    let size = |key: &str| -> Result<usize> {
        Ok(of[key].as_u64().with_context(|| format!("no size {key:?}"))? as usize)
    };
    let yes = |key: &str, default: bool| of[key].as_bool().unwrap_or(default);
    Ok(match text(of, "kind")? {
        "Linear" => Arc::new(Linear::new(size("in")?, size("out")?, yes("bias", true))?),
        "ReLU" => Arc::new(ReLU),
        "GELU" => Arc::new(GELU { tanh: yes("tanh", false) }),
        "SiLU" => Arc::new(SiLU),
        "Tanh" => Arc::new(Tanh),
        "Sigmoid" => Arc::new(Sigmoid),
        "Softmax" => Arc::new(Softmax { dim: -1 }),
        "Flatten" => Arc::new(Flatten::default()),
        "LayerNorm" => Arc::new(LayerNorm::new(&[size("size")?])?),
        "RMSNorm" => Arc::new(RMSNorm::new(&[size("size")?], of["eps"].as_f64())?),
        "Embedding" => Arc::new(Embedding::new(size("rows")?, size("columns")?, None)?),
        "MultiheadAttention" => Arc::new(MultiheadAttention::new(
            size("columns")?,
            size("heads")?,
            0.0,
            yes("bias", true),
            yes("batch_first", false),
        )?),
        "TransformerEncoderLayer" => {
            let activation = match of["activation"].as_str() {
                Some("gelu") => TransformerActivation::Gelu,
                _ => TransformerActivation::Relu,
            };
            let options = TransformerOptions {
                dim_feedforward: size("feedforward")?,
                dropout: 0.0,
                activation,
                batch_first: yes("batch_first", false),
                norm_first: yes("norm_first", false),
                bias: yes("bias", true),
                ..TransformerOptions::default()
            };
            Arc::new(TransformerEncoderLayer::new(size("columns")?, size("heads")?, &options)?)
        }
        "Sequential" => {
            let parts = of["modules"].as_array().into_iter().flatten();
            let mut all = Sequential::new();
            for part in parts {
                all = all.add_shared(empty(part)?);
            }
            Arc::new(all)
        }
        other => bail!("no module {other:?}"),
    })
}
