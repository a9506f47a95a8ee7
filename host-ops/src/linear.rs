//! A layer of a network in one step: product, bias and activation.

use crate::element::by_float;
use crate::elementwise::{
    self, Approximate, gelu, gelu_backward, relu_backward, sigmoid_backward, silu_backward,
    tanh_backward,
};
use crate::matmul::{gemm, one_type};
use crate::number::Float;
use crate::{Array, Error, Result, matmul, sum};

/// What is done to each element of a layer's result.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[non_exhaustive]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// [`relu`](crate::relu).
    Relu,
    /// [`gelu`].
    Gelu(Approximate),
    /// [`silu`](crate::silu).
    Silu,
    /// [`tanh`](crate::tanh).
    Tanh,
    /// [`sigmoid`](crate::sigmoid).
    Sigmoid,
}

impl Activation {
    /// The activation of each element.
    ///
    /// # Errors
    /// [`Error::DType`] for all but floats.
    pub fn forward(self, x: &Array) -> Result<Array> {
        match self {
            Activation::None => Ok(x.clone()),
            Activation::Relu => elementwise::relu(x),
            Activation::Gelu(approximate) => gelu(x, approximate),
            Activation::Silu => elementwise::silu(x),
            Activation::Tanh => elementwise::tanh(x),
            Activation::Sigmoid => elementwise::sigmoid(x),
        }
    }

    /// Whether [`backward`](Activation::backward) wants what the activation gave; otherwise it wants
    /// what it took.
    pub const fn saves_output(self) -> bool {
        matches!(self, Activation::None | Activation::Relu | Activation::Tanh | Activation::Sigmoid)
    }

    /// The gradient of what the activation took. `saved` is its result where
    /// [`saves_output`](Activation::saves_output) says so, else what it took.
    ///
    /// # Errors
    /// [`Error::Shape`] for arrays of two shapes.
    pub fn backward(self, grad: &Array, saved: &Array) -> Result<Array> {
        match self {
            Activation::None => Ok(grad.clone()),
            Activation::Relu => relu_backward(grad, saved),
            Activation::Gelu(approximate) => gelu_backward(grad, saved, approximate),
            Activation::Silu => silu_backward(grad, saved),
            Activation::Tanh => tanh_backward(grad, saved),
            Activation::Sigmoid => sigmoid_backward(grad, saved),
        }
    }

    fn apply<T: Float>(self, all: &mut [T]) {
        let each = |all: &mut [T], f: fn(T) -> T| all.iter_mut().for_each(|x| *x = f(*x));
        match self {
            Activation::None => {}
            Activation::Relu => all.iter_mut().for_each(|x| *x = elementwise::relu_of(*x)),
            Activation::Gelu(Approximate::None) => each(all, T::gelu),
            Activation::Gelu(Approximate::Tanh) => each(all, elementwise::gelu_tanh),
            Activation::Silu => each(all, elementwise::silu_of),
            Activation::Tanh => each(all, Float::tanh),
            Activation::Sigmoid => each(all, |x| T::ONE / (T::ONE + (-x).exp())),
        }
    }
}

/// activation(x · weightᵀ + bias): `torch.nn.functional.linear`, and an activation in the same step.
///
/// `x` is (…, inputs), `weight` (outputs, inputs), `bias` (outputs); the result is (…, outputs). All
/// are of one float type.
///
/// # Errors
/// [`Error::DType`] for two types or others than floats, [`Error::Shape`] where the sizes do not fit.
///
/// ```
/// use numpack_host_ops::{Activation, Array, linear};
/// let x = Array::from_slice(&[1.0_f32, 2.0], &[1, 2])?;
/// let weight = Array::from_slice(&[1.0_f32, 1.0, -1.0, -1.0, 0.5, 0.0], &[3, 2])?;
/// let bias = Array::from_slice(&[0.5_f32, 0.5, 0.5], &[3])?;
/// let y = linear(&x, &weight, Some(&bias), Activation::Relu)?;
/// assert_eq!(y.to_vec::<f32>()?, [3.5, 0.0, 1.0]);
/// # Ok::<(), numpack_host_ops::Error>(())
/// ```
pub fn linear(
    x: &Array,
    weight: &Array,
    bias: Option<&Array>,
    activation: Activation,
) -> Result<Array> {
    const OP: &str = "linear";
    one_type(OP, x, weight)?;
    let wrong = || {
        let bias = bias.map_or("no bias".to_owned(), |b| format!("bias {:?}", b.shape()));
        let problem = format!("input {:?}, weight {:?}, {bias}", x.shape(), weight.shape());
        Error::shape(OP, problem, "give (…, inputs), (outputs, inputs) and (outputs)")
    };
    let (&[outputs, inputs], Some((&last, batch))) = (weight.shape(), x.shape().split_last())
    else {
        return Err(wrong());
    };
    if last != inputs || bias.is_some_and(|b| b.shape() != [outputs]) {
        return Err(wrong());
    }
    if let Some(bias) = bias {
        one_type(OP, x, bias)?;
    }
    let dtype = x.dtype();
    let wide = dtype.compute();
    let shape = [batch, &[outputs]].concat();
    let count = crate::layout::numel(OP, batch)?;
    crate::layout::numel(OP, &shape)?;
    let rows = x.reshape(&[count as isize, inputs as isize])?.cast(wide)?;
    let turned = weight.t()?.cast(wide)?;
    by_float!(OP, wide, T => {
        let mut out = match bias {
            Some(bias) => bias.broadcast_to(&[count, outputs])?.cast(wide)?.to_vec::<T>()?,
            None => Array::zeros(&[count, outputs], wide)?.to_vec::<T>()?,
        };
        gemm::<T>(OP, 1.0, &rows, &turned, if bias.is_some() { 1.0 } else { 0.0 }, &mut out)?;
        activation.apply(&mut out);
        Array::from_vec(out, &shape)
    })?
    .cast(dtype)
}

/// The gradients of [`linear`] without activation, for `x`, `weight` and `bias`: grad · weight,
/// gradᵀ · x, and the sum of grad over all rows. With one, `grad` is first put through
/// [`Activation::backward`].
///
/// # Errors
/// As [`linear`].
pub fn linear_backward(grad: &Array, x: &Array, weight: &Array) -> Result<(Array, Array, Array)> {
    const OP: &str = "linear_backward";
    let (Some(outputs), Some(inputs)) = (weight.shape().first(), x.shape().last()) else {
        let problem = format!("input {:?}, weight {:?}", x.shape(), weight.shape());
        return Err(Error::shape(OP, problem, "give what the layer took"));
    };
    let rows = |x: &Array, size: &usize| {
        let count: usize = x.shape().iter().rev().skip(1).product();
        x.reshape(&[count as isize, *size as isize])
    };
    let (grads, taken) = (rows(grad, outputs)?, rows(x, inputs)?);
    Ok((matmul(grad, weight)?, matmul(&grads.t()?, &taken)?, sum(&grads, &[0], false)?))
}
