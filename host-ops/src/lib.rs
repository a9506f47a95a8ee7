//! Operations on tensors in host memory, plain and exact.
//!
//! What `cpu` tensors compute with, and the reference that every GPU kernel is checked against:
//! each operation on floats has a float64 path. Names and meaning are PyTorch's.
//!
//! ```
//! use numpack_host_ops::{Array, DType, add, gt, where_};
//! let x = Array::from_slice(&[1.0_f32, -2.0, 3.0, -4.0], &[2, 2])?;
//! let y = add(&x.t()?, 1)?; // a view; an integer number leaves float32 as it is
//! assert_eq!((y.dtype(), y.to_vec::<f32>()?), (DType::F32, vec![2.0, 4.0, -1.0, -3.0]));
//! assert_eq!(where_(&gt(&y, 0)?, &y, 0)?.to_vec::<f32>()?, [2.0, 4.0, 0.0, 0.0]);
//! # Ok::<(), numpack_host_ops::Error>(())
//! ```
//!
//! # Map
//!
//! | Subject | Names |
//! |---|---|
//! | arrays | [`Array`]: made of slices, bytes with strides, numbers; views; copies, casts, writing into a part |
//! | types | [`DType`], [`Scalar`], [`Operand`], [`result_type`] |
//! | arithmetic | [`add`] [`sub`] [`mul`] [`div`] [`floor_divide`] [`remainder`] [`pow`] [`maximum`] [`minimum`] [`neg`] [`abs`] [`sign`] [`square`] |
//! | functions | [`exp`] [`log`] [`log1p`] [`sqrt`] [`rsqrt`] [`reciprocal`] [`sin`] [`cos`] [`tanh`] [`erf`] [`sigmoid`] |
//! | activations | [`relu`] [`leaky_relu`] [`gelu`] [`silu`], [`Activation`] |
//! | comparing, choosing | [`eq`] [`ne`] [`lt`] [`le`] [`gt`] [`ge`] [`isnan`] [`logical_not`] [`logical_and`] [`logical_or`] [`logical_xor`] [`where_`] [`clamp`] |
//! | reductions | [`sum`] [`mean`] [`prod`] [`var`] [`std`](fn@std) [`amax`] [`amin`] [`argmax`] [`argmin`] [`max_with_indices`] [`min_with_indices`] [`count_nonzero`] [`sum_to_shape`] |
//! | products, layers | [`matmul`] [`addmm`] [`linear`] |
//! | rows | [`softmax`] [`log_softmax`] [`layer_norm`] [`rms_norm`] |
//! | indices, joining | [`index_select`] [`gather`] [`embedding`] [`index_add`] [`scatter_add`] [`cat`] [`stack`] |
//! | losses | [`cross_entropy`] [`nll_loss`] [`mse_loss`] |
//! | optimisers | [`optim::Sgd`] [`optim::Adam`] [`optim::clip_grad_norm`] |
//! | random numbers | [`random`]: uniform, normal, integers, bernoulli, dropout |
//! | gradients | each name with `_backward`: plain functions of the gradient and what was taken or given |
//!
//! # Conventions
//!
//! - **Arrays.** [`Array`] is a layout over shared memory: clones and views copy nothing, writing
//!   copies first where the memory is shared. Results are contiguous, in C order.
//! - **Shapes** broadcast as in NumPy and torch. Dimensions count from the end where negative.
//! - **Types** are bool, uint8, int8, int16, int32, int64, float16, bfloat16, float32, float64.
//! - **Integers** are exact and wrap. Dividing one by zero is an error.
//! - **Halves** are computed as float32, a whole operation at a time, and rounded once.
//! - **Sums** of floats are sums of doubles, pairwise, rounded once; norms, softmax and losses use
//!   them too. Only products of matrices are added in their type.
//! - **Functions** are the system's mathematical library's, to a unit or two of the last place;
//!   `erf` and the `tanh` of singles are ours. `xtask/peers/check_host_ops.py` has a table of bounds.
//! - **NaN** is above and below all: a maximum or minimum with one is NaN, and `argmax` finds it. Of
//!   equal ones it finds the first.
//! - **Errors.** No argument makes a call panic; what it does not take is an [`Error`].
//!
//! # Promotion
//!
//! By PyTorch's documentation, "Tensor Attributes", on `torch.dtype`. [`result_type`] is
//! `torch.result_type`, [`DType::promote`] is `torch.promote_types`:
//!
//! | Operands | Result |
//! |---|---|
//! | arrays with dimensions | their promoted type |
//! | such, and arrays without dimensions or numbers of no higher category | the first ones' type |
//! | such, and ones of a higher category (bool < integer < float) | the types promoted; a float number is float32 |
//! | any float beside integers | the float type |
//! | float16 and bfloat16 | float32 |
//! | uint8 and int8 | int16 |
//! | `a / b`, `exp` and other functions of floats, of integers or bools | float32 |
//! | a comparison | bool |

#![forbid(unsafe_code)]

mod array;
mod cast;
mod create;
mod dtype;
mod element;
mod elementwise;
mod error;
mod indexing;
mod layout;
mod linear;
mod loss;
mod matmul;
mod norm;
mod number;
pub mod optim;
mod promotion;
pub mod random;
mod reduce;
mod rows;
mod softmax;
mod special;
mod sums;
mod views;

pub use array::Array;
pub use dtype::DType;
pub use element::Element;
pub use elementwise::*;
pub use error::{Error, Result};
pub use half::{bf16, f16};
pub use indexing::{
    cat, cat_backward, embedding, embedding_backward, gather, gather_backward, index_add,
    index_add_backward, index_select, index_select_backward, permute_backward, scatter_add,
    scatter_add_backward, select_backward, slice_backward, stack, stack_backward,
};
pub use linear::{Activation, linear, linear_backward};
pub use loss::{
    CrossEntropy, Reduction, cross_entropy, cross_entropy_backward, mse_loss, mse_loss_backward,
    nll_loss, nll_loss_backward,
};
pub use matmul::{addmm, addmm_backward, matmul, matmul_backward};
pub use norm::{NormGrads, layer_norm, layer_norm_backward, rms_norm, rms_norm_backward};
pub use promotion::{Operand, Scalar, result_type};
pub use reduce::{
    amax, amax_backward, amin, argmax, argmin, count_nonzero, max_with_indices, mean,
    mean_backward, min_with_indices, prod, prod_backward, std, std_backward, sum, sum_backward,
    sum_to_shape, var, var_backward,
};
pub use softmax::{log_softmax, log_softmax_backward, softmax, softmax_backward};
