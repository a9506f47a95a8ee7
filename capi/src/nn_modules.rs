//! The kinds of modules.

use std::sync::Arc;

use numpack_interop::Error;
use numpack_nn::{
    Dropout, Embedding, Flatten, GELU, LayerActivation, LayerNorm, Linear, LogSoftmax, Module,
    MultiheadAttention, RMSNorm, ReLU, Sequential, SiLU, Sigmoid, Softmax, Tanh,
    TransformerActivation, TransformerEncoderLayer, TransformerOptions,
};

use crate::handle;
use crate::nn_layers::activation;
use crate::nn_module::{give, numpack_nn_module};
use crate::nn_ops::{NUMPACK_NN_GELU, NUMPACK_NN_RELU};
use crate::nn_tensor::{of_nn, possible, shape};
use crate::nn_views::row_or_none;
use crate::shell::{self, guard, parameter};
use crate::structs::{self, Versioned};
use crate::tensor_views::number;

/// How `numpack_nn_module_transformer_encoder_layer` makes a layer. Zero means the default of each,
/// which is PyTorch's.
#[allow(non_camel_case_types, reason = "the name C programs type")]
#[derive(Clone, Copy)]
#[repr(C)]
pub struct numpack_nn_transformer_options {
    /// `sizeof(numpack_nn_transformer_options)`.
    pub struct_size: u32,
    /// What is done between the two linear layers: `NUMPACK_NN_RELU`, as for 0, or
    /// `NUMPACK_NN_GELU`.
    pub activation: i32,
    /// Columns between the two linear layers. 0: 2048.
    pub dim_feedforward: u64,
    /// Added to variances. 0: 1e-5.
    pub layer_norm_eps: f64,
    /// Not 0: inputs are (batch, length, columns), else (length, batch, columns).
    pub batch_first: i32,
    /// Not 0: norms come before attention and linear layers, else behind the sums.
    pub norm_first: i32,
    /// Not 0: nothing has a bias.
    pub without_bias: i32,
    /// Must be 0.
    pub reserved: i32,
}

// SAFETY: numbers only, and `struct_size` first.
unsafe impl Versioned for numpack_nn_transformer_options {
    const NAME: &str = "numpack_nn_transformer_options";
    const ZERO: Self = numpack_nn_transformer_options {
        struct_size: 0,
        activation: 0,
        dim_feedforward: 0,
        layer_norm_eps: 0.0,
        batch_first: 0,
        norm_first: 0,
        without_bias: 0,
        reserved: 0,
    };
}

/// Makes a module for the caller.
///
/// # Safety
/// `out` is NULL or writable.
unsafe fn make<M: Module + 'static>(
    out: *mut *mut numpack_nn_module,
    work: impl FnOnce() -> Result<M, Error>,
) -> i32 {
    guard(|| {
        handle::wanted(out)?;
        let new = Arc::new(work()?);
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { give(out, new) };
        Ok(())
    })
}

/// A linear layer, `x` times its weight, transposed, plus its bias: of shape (…, inputs) to
/// (…, outputs). Without bias if that is 0. Parameters `weight` and `bias` have the first values that
/// PyTorch draws, from other random numbers; they are `FLOAT32` on the host, here and below. The
/// caller owns the module. Errors: `NUMPACK_OUT_OF_MEMORY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_linear(
    inputs: u64,
    outputs: u64,
    bias: i32,
    module: *mut *mut numpack_nn_module,
) -> i32 {
    let new = || {
        let (inputs, outputs) = (inputs as usize, outputs as usize);
        possible(&[inputs, outputs])?;
        possible(&[outputs])?;
        of_nn(Linear::new(inputs, outputs, bias != 0))
    };
    // SAFETY: the caller's promise.
    unsafe { make(module, new) }
}

/// A function of each element: `NUMPACK_NN_RELU`, `NUMPACK_NN_GELU`, `NUMPACK_NN_GELU_TANH`,
/// `NUMPACK_NN_SILU`, `NUMPACK_NN_TANH` or `NUMPACK_NN_SIGMOID`.
/// Errors: `NUMPACK_PARAMETER` for another.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_activation(
    op: i32,
    module: *mut *mut numpack_nn_module,
) -> i32 {
    guard(|| {
        handle::wanted(module)?;
        let new: Arc<dyn Module> = match activation(op)? {
            LayerActivation::Gelu => Arc::new(GELU { tanh: false }),
            LayerActivation::GeluTanh => Arc::new(GELU { tanh: true }),
            LayerActivation::Silu => Arc::new(SiLU),
            LayerActivation::Tanh => Arc::new(Tanh),
            LayerActivation::Sigmoid => Arc::new(Sigmoid),
            _ => Arc::new(ReLU),
        };
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { give(module, new) };
        Ok(())
    })
}

/// `numpack_nn_tensor_softmax` as a module.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_softmax(
    dim: i64,
    logarithm: i32,
    module: *mut *mut numpack_nn_module,
) -> i32 {
    guard(|| {
        handle::wanted(module)?;
        let dim = number(dim);
        let new: Arc<dyn Module> =
            if logarithm != 0 { Arc::new(LogSoftmax { dim }) } else { Arc::new(Softmax { dim }) };
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { give(module, new) };
        Ok(())
    })
}

/// `numpack_nn_tensor_dropout` in training, else nothing.
/// Errors: `NUMPACK_PARAMETER` for another `p` than 0 to 1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_dropout(
    p: f64,
    module: *mut *mut numpack_nn_module,
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { make(module, || of_nn(Dropout::new(p))) }
}

/// `numpack_nn_tensor_layer_norm` over `ndim` dimensions of this shape, with parameters `weight`, of
/// ones, and `bias`, of zeros; without both if `affine` is 0. PyTorch's eps is 1e-5.
/// Errors: `NUMPACK_OUT_OF_MEMORY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_layer_norm(
    ndim: u32,
    shape: *const u64,
    eps: f64,
    affine: i32,
    module: *mut *mut numpack_nn_module,
) -> i32 {
    let new = || {
        // SAFETY: the caller's promise.
        let shape = unsafe { self::shape(shape, ndim) }?;
        let mut norm = of_nn(LayerNorm::new(shape))?.eps(eps);
        if affine == 0 {
            (norm.weight, norm.bias) = (None, None);
        }
        Ok(norm)
    };
    // SAFETY: the caller's promise.
    unsafe { make(module, new) }
}

/// `numpack_nn_tensor_rms_norm` over `ndim` dimensions of this shape, with a parameter `weight` of
/// ones. With `eps` NULL it is the type's. Errors: `NUMPACK_OUT_OF_MEMORY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_rms_norm(
    ndim: u32,
    shape: *const u64,
    eps: *const f64,
    module: *mut *mut numpack_nn_module,
) -> i32 {
    let new = || {
        // SAFETY: the caller's promise.
        let shape = unsafe { self::shape(shape, ndim) }?;
        // SAFETY: the caller's promise.
        let eps = unsafe { eps.as_ref() };
        of_nn(RMSNorm::new(shape, eps.copied()))
    };
    // SAFETY: the caller's promise.
    unsafe { make(module, new) }
}

/// `numpack_nn_tensor_embedding` as a module that takes whole numbers, with a parameter `weight` of
/// shape (rows, columns).
///
/// Errors: `NUMPACK_PARAMETER` for a `padding_idx` that is no row, nor -1 for none;
/// `NUMPACK_OUT_OF_MEMORY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_embedding(
    rows: u64,
    columns: u64,
    padding_idx: i64,
    module: *mut *mut numpack_nn_module,
) -> i32 {
    let new = || {
        let (rows, columns) = (rows as usize, columns as usize);
        possible(&[rows, columns])?;
        possible(&[rows])?;
        of_nn(Embedding::new(rows, columns, row_or_none(padding_idx)?))
    };
    // SAFETY: the caller's promise.
    unsafe { make(module, new) }
}

/// `numpack_nn_tensor_flatten` as a module; PyTorch's dimensions are 1 and -1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_flatten(
    first: i64,
    last: i64,
    module: *mut *mut numpack_nn_module,
) -> i32 {
    let new = || Ok(Flatten { start_dim: number(first), end_dim: number(last) });
    // SAFETY: the caller's promise.
    unsafe { make(module, new) }
}

/// `count` modules one after another, named by their places. They are shared with the caller's
/// handles, which may be freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_sequential(
    modules: *const *const numpack_nn_module,
    count: usize,
    module: *mut *mut numpack_nn_module,
) -> i32 {
    let new = || {
        // SAFETY: the caller's promise.
        let modules = unsafe { shell::slice(modules, count, "modules") }?;
        let mut all = Sequential::new();
        for &one in modules {
            // SAFETY: one of the caller's handles.
            all = all.add_shared(unsafe { handle::borrow(one) }?.module.clone());
        }
        Ok(all)
    };
    // SAFETY: the caller's promise.
    unsafe { make(module, new) }
}

/// What `embed_dim` columns allow: three products of so many by so many.
fn columns_of(embed_dim: u64) -> Result<usize, Error> {
    let columns = embed_dim as usize;
    possible(&[3, columns, columns])?;
    Ok(columns)
}

/// Attention of a sequence to itself, with several heads, which share `embed_dim` columns. Inputs are
/// (batch, length, columns) if `batch_first` is not 0, else (length, batch, columns).
///
/// Errors: `NUMPACK_PARAMETER` where heads cannot share the columns, and for another `dropout` than 0
/// to 1; `NUMPACK_OUT_OF_MEMORY`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_multihead_attention(
    embed_dim: u64,
    heads: u64,
    dropout: f64,
    bias: i32,
    batch_first: i32,
    module: *mut *mut numpack_nn_module,
) -> i32 {
    let new = || {
        let columns = columns_of(embed_dim)?;
        let (bias, batch_first) = (bias != 0, batch_first != 0);
        of_nn(MultiheadAttention::new(columns, heads as usize, dropout, bias, batch_first))
    };
    // SAFETY: the caller's promise.
    unsafe { make(module, new) }
}

/// A layer of a transformer's encoder: attention, two linear layers, and a sum and norm behind or
/// before each. `options` may be NULL. Errors: as `numpack_nn_module_multihead_attention`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_module_transformer_encoder_layer(
    embed_dim: u64,
    heads: u64,
    dropout: f64,
    options: *const numpack_nn_transformer_options,
    module: *mut *mut numpack_nn_module,
) -> i32 {
    let new = || {
        // SAFETY: the caller's promise.
        let o = unsafe { structs::read_or_zero(options) }?;
        crate::options::reserved(o.reserved)?;
        let columns = columns_of(embed_dim)?;
        let usual = TransformerOptions::default();
        let settings = TransformerOptions {
            dim_feedforward: match o.dim_feedforward {
                0 => usual.dim_feedforward,
                wide => wide as usize,
            },
            dropout,
            activation: match o.activation {
                0 | NUMPACK_NN_RELU => TransformerActivation::Relu,
                NUMPACK_NN_GELU => TransformerActivation::Gelu,
                other => {
                    let problem =
                        format!("activation is {other}; give NUMPACK_NN_RELU or NUMPACK_NN_GELU");
                    return Err(parameter(problem));
                }
            },
            layer_norm_eps: match o.layer_norm_eps {
                0.0 => usual.layer_norm_eps,
                eps => eps,
            },
            batch_first: o.batch_first != 0,
            norm_first: o.norm_first != 0,
            bias: o.without_bias == 0,
        };
        possible(&[columns, settings.dim_feedforward])?;
        possible(&[settings.dim_feedforward])?;
        of_nn(TransformerEncoderLayer::new(columns, heads as usize, &settings))
    };
    // SAFETY: the caller's promise.
    unsafe { make(module, new) }
}
