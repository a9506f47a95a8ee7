//! Embeddings of sentences by MiniLM, a BERT encoder with mean pooling and normalising, as
//! sentence-transformers has them: `embed MODEL TOKENS OUT [cpu|vulkan]`.
//!
//! MODEL is any file of tensors with BERT's names, as `.safetensors`, `.pt` or `.npk`; TOKENS a file with
//! `ids` and `mask`, of whole numbers in shape (sentences, length), the mask 0 for padding; OUT, a `.pt`
//! file, gets `embeddings` of shape (sentences, columns).

use anyhow::{Context, Result, bail};
use numpack_interop::nn::{load_state, save_state};
use numpack_nn::{
    Attend, DType, Device, Embedding, LayerNorm, Module, ModuleExt, Tensor, TransformerActivation,
    TransformerEncoderLayer, TransformerOptions, no_grad,
};

/// The width of a head of MiniLM's; no file of tensors says it. BERT's own are twice as wide.
const HEAD: usize = 32;

/// The encoder, by its parameters.
struct Bert {
    words: Embedding,
    positions: Embedding,
    types: Embedding,
    norm: LayerNorm,
    layers: Vec<TransformerEncoderLayer>,
}

/// Tensors by their names, in the order of the file.
struct State(Vec<(String, Tensor)>);

impl State {
    fn get(&self, name: &str) -> Result<&Tensor> {
        let found = self.0.iter().find(|(n, _)| n == name);
        Ok(&found.with_context(|| format!("the model has no tensor {name:?}"))?.1)
    }

    /// A weight and a bias for a module that has these.
    fn pair(&self, name: &str) -> Result<Vec<(String, Tensor)>> {
        ["weight", "bias"]
            .map(|part| Ok((part.to_owned(), self.get(&format!("{name}.{part}"))?.clone())))
            .into_iter()
            .collect()
    }
}

impl Bert {
    fn new(state: &State, device: &Device) -> Result<Bert> {
        let embedding = |name: &str| -> Result<Embedding> {
            let weight = state.get(&format!("embeddings.{name}_embeddings.weight"))?.clone();
            Ok(Embedding { weight, padding_idx: None })
        };
        let words = embedding("word")?;
        let columns = words.weight.shape()[1];
        let norm = LayerNorm::new(&[columns])?.eps(1e-12);
        norm.load_state_dict(&state.pair("embeddings.LayerNorm")?, true)?;
        let layer = |i: usize| format!("encoder.layer.{i}");
        let there = |i: &usize| state.get(&format!("{}.output.dense.weight", layer(*i))).is_ok();
        let layers = (0..).take_while(there).map(|i| encoder_layer(state, &layer(i), columns));
        let bert = Bert {
            words,
            positions: embedding("position")?,
            types: embedding("token_type")?,
            norm,
            layers: layers.collect::<Result<_>>()?,
        };
        for module in bert.modules() {
            module.to_device(device)?;
        }
        Ok(bert)
    }

    fn modules(&self) -> Vec<&dyn Module> {
        let first: [&dyn Module; 4] = [&self.words, &self.positions, &self.types, &self.norm];
        first.into_iter().chain(self.layers.iter().map(|l| l as &dyn Module)).collect()
    }

    /// What the encoder makes of each token, of shape (sentences, length, columns).
    fn encode(&self, ids: &Tensor, mask: &Tensor) -> Result<Tensor> {
        let length = ids.shape()[1];
        let places = Tensor::arange(length, &ids.device())?;
        let first = Tensor::zeros(&[1], DType::I64, &ids.device())?;
        let mut x = self.words.forward(ids)?.add(&self.positions.forward(&places)?)?;
        x = self.norm.forward(&x.add(&self.types.forward(&first)?)?)?;
        let padding = mask.eq(0)?;
        let attend = Attend { key_padding_mask: Some(&padding), ..Attend::default() };
        for layer in &self.layers {
            x = layer.encode(&x, attend)?;
        }
        Ok(x)
    }
}

/// BERT's layer is the encoder layer of Vaswani and others, with q, k and v apart.
fn encoder_layer(state: &State, name: &str, columns: usize) -> Result<TransformerEncoderLayer> {
    let wide = state.get(&format!("{name}.intermediate.dense.bias"))?.shape()[0];
    let options = TransformerOptions {
        dim_feedforward: wide,
        dropout: 0.0,
        activation: TransformerActivation::Gelu,
        layer_norm_eps: 1e-12,
        batch_first: true,
        ..TransformerOptions::default()
    };
    let layer = TransformerEncoderLayer::new(columns, columns / HEAD, &options)?;
    let own = |part: &str| -> Result<Tensor> {
        let all = ["query", "key", "value"]
            .map(|what| state.get(&format!("{name}.attention.self.{what}.{part}")));
        let [q, k, v] = all;
        Ok(Tensor::cat(&[q?, k?, v?], 0)?)
    };
    let mut all = vec![
        ("self_attn.in_proj_weight".to_owned(), own("weight")?),
        ("self_attn.in_proj_bias".to_owned(), own("bias")?),
    ];
    for (to, from) in [
        ("self_attn.out_proj", "attention.output.dense"),
        ("linear1", "intermediate.dense"),
        ("linear2", "output.dense"),
        ("norm1", "attention.output.LayerNorm"),
        ("norm2", "output.LayerNorm"),
    ] {
        let pair = state.pair(&format!("{name}.{from}"))?;
        all.extend(pair.into_iter().map(|(part, t)| (format!("{to}.{part}"), t)));
    }
    layer.load_state_dict(&all, true)?;
    Ok(layer)
}

/// The mean over the tokens that are no padding, at length 1.
fn pooled(tokens: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let weights = mask.to_dtype(DType::F32)?.unsqueeze(-1)?;
    let sum = tokens.mul(&weights)?.sum_dims(&[1], false)?;
    let mean = sum.div(&weights.sum_dims(&[1], false)?.clamp(Some(1e-9), None)?)?;
    let length = mean.square()?.sum_dims(&[1], true)?.sqrt()?.clamp(Some(1e-12), None)?;
    Ok(mean.div(&length)?)
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (model, tokens, out, device) = match &args[..] {
        [model, tokens, out] => (model, tokens, out, "cpu"),
        [model, tokens, out, device] => (model, tokens, out, &device[..]),
        _ => bail!("usage: embed MODEL TOKENS OUT.pt [cpu|vulkan]"),
    };
    let device = match device {
        "cpu" => Device::Cpu,
        "vulkan" => vulkan_core::Device::open(&vulkan_core::DeviceOptions::new())?.stream()?.into(),
        other => bail!("no device {other:?}; give cpu or vulkan"),
    };
    let bert = Bert::new(&State(load_state(model, None)?), &device)?;
    let tokens = State(load_state(tokens, None)?);
    let ids = tokens.get("ids")?.to_device(&device)?;
    let mask = tokens.get("mask")?.to_device(&device)?;
    let embeddings = no_grad(|| pooled(&bert.encode(&ids, &mask)?, &mask))?;
    save_state(out, &[("embeddings".to_owned(), embeddings)], true)?;
    Ok(())
}
