//! Layers that normalise rows.

use crate::element::by_float;
use crate::layout::{numel, room};
use crate::number::Float;
use crate::reduce::moments;
use crate::rows::{Plan, same_shape};
use crate::sums::{sum_by, sum_by2};
use crate::{Array, DType, Error, Result};

/// The gradients of a normalisation.
#[derive(Clone, Debug)]
pub struct NormGrads {
    /// For the input.
    pub input: Array,
    /// For the weight, in the normalised shape.
    pub weight: Array,
    /// For the bias, in the normalised shape.
    pub bias: Array,
}

/// What is the same for both norms: rows along the last dimensions, in the type to compute in.
struct Norm {
    plan: Plan,
    x: Array,
    weight: Option<Array>,
    bias: Option<Array>,
}

impl Norm {
    fn new(
        op: &'static str,
        x: &Array,
        normalized_shape: &[usize],
        weight: Option<&Array>,
        bias: Option<&Array>,
    ) -> Result<Norm> {
        numel(op, normalized_shape)?;
        if normalized_shape.is_empty() || !x.shape().ends_with(normalized_shape) {
            let problem = format!("shape {:?} does not end with {normalized_shape:?}", x.shape());
            return Err(Error::shape(op, problem, "normalise the last dimensions of the input"));
        }
        let wide = x.dtype().compute();
        let part = |what, part: Option<&Array>| -> Result<Option<Array>> {
            let Some(part) = part else { return Ok(None) };
            same_shape(op, what, part, normalized_shape)?;
            crate::matmul::one_type(op, x, part)?;
            part.cast(wide)?.contiguous().map(Some)
        };
        let dims: Vec<isize> = (1..=normalized_shape.len() as isize).map(|d| -d).collect();
        Ok(Norm {
            plan: Plan::new(op, x.shape(), &dims)?,
            x: x.cast(wide)?,
            weight: part("the weight", weight)?,
            bias: part("the bias", bias)?,
        })
    }
}

fn slice_of<T: Float>(array: Option<&Array>) -> &[T] {
    array.and_then(Array::as_slice).unwrap_or(&[])
}

/// (x − mean) / √(variance + eps) · weight + bias, mean and variance (of n, not n − 1) over the last
/// dimensions, which have this shape: `torch.nn.functional.layer_norm`.
///
/// `weight` and `bias` have the normalised shape and the input's float type; the result has the
/// input's type and shape. Mean and variance are doubles.
///
/// # Errors
/// [`Error::Shape`] where the shapes do not fit, [`Error::DType`] for two types or others than floats.
///
/// ```
/// use numpack_host_ops::{Array, layer_norm};
/// let x = Array::from_slice(&[1.0_f32, 3.0, 10.0, 30.0], &[2, 2])?;
/// assert_eq!(layer_norm(&x, &[2], None, None, 0.0)?.to_vec::<f32>()?, [-1.0, 1.0, -1.0, 1.0]);
/// # Ok::<(), numpack_host_ops::Error>(())
/// ```
pub fn layer_norm(
    x: &Array,
    normalized_shape: &[usize],
    weight: Option<&Array>,
    bias: Option<&Array>,
    eps: f64,
) -> Result<Array> {
    const OP: &str = "layer_norm";
    let norm = Norm::new(OP, x, normalized_shape, weight, bias)?;
    by_float!(OP, norm.x.dtype(), T => {
        let (weight, bias) = (slice_of::<T>(norm.weight.as_ref()), slice_of::<T>(norm.bias.as_ref()));
        norm.plan.map::<T, 1>(OP, [&norm.x], |[x], out| {
            let (mean, squares) = moments(x, &Float::wide);
            let scale = 1.0 / (squares / x.len() as f64 + eps).sqrt();
            out.iter_mut().zip(x).for_each(|(to, &x)| *to = ((x.wide() - mean) * scale) as T);
            out.iter_mut().zip(weight).for_each(|(to, &w)| *to *= w);
            out.iter_mut().zip(bias).for_each(|(to, &b)| *to += b);
        })
    })?
    .cast(x.dtype())
}

/// The gradients of [`layer_norm`]. With x̂ the normalised row, r = 1 / √(variance + eps) and
/// g = grad · weight: r (g − mean(g) − x̂ · mean(g · x̂)) for the input, Σ grad · x̂ for the weight and
/// Σ grad for the bias.
///
/// # Errors
/// As [`layer_norm`].
pub fn layer_norm_backward(
    grad: &Array,
    x: &Array,
    normalized_shape: &[usize],
    weight: Option<&Array>,
    eps: f64,
) -> Result<NormGrads> {
    backward("layer_norm_backward", grad, x, normalized_shape, weight, Some(eps), true)
}

/// x / √(mean(x²) + eps) · weight over the last dimensions, which have this shape:
/// `torch.nn.functional.rms_norm`. Without an eps it is the distance from 1 to the next number of
/// the input's type, as in torch.
///
/// # Errors
/// As [`layer_norm`].
pub fn rms_norm(
    x: &Array,
    normalized_shape: &[usize],
    weight: Option<&Array>,
    eps: Option<f64>,
) -> Result<Array> {
    const OP: &str = "rms_norm";
    let norm = Norm::new(OP, x, normalized_shape, weight, None)?;
    let eps = eps.unwrap_or(epsilon(x.dtype()));
    by_float!(OP, norm.x.dtype(), T => {
        let weight = slice_of::<T>(norm.weight.as_ref());
        norm.plan.map::<T, 1>(OP, [&norm.x], |[x], out| {
            let squares = sum_by(x, &|x| x.wide() * x.wide());
            let scale = 1.0 / (squares / x.len() as f64 + eps).sqrt();
            out.iter_mut().zip(x).for_each(|(to, &x)| *to = (x.wide() * scale) as T);
            out.iter_mut().zip(weight).for_each(|(to, &w)| *to *= w);
        })
    })?
    .cast(x.dtype())
}

/// The gradients of [`rms_norm`], as those of [`layer_norm`] without what the mean is for. That for
/// the bias, which it has not, is Σ grad.
///
/// # Errors
/// As [`layer_norm`].
pub fn rms_norm_backward(
    grad: &Array,
    x: &Array,
    normalized_shape: &[usize],
    weight: Option<&Array>,
    eps: Option<f64>,
) -> Result<NormGrads> {
    backward("rms_norm_backward", grad, x, normalized_shape, weight, eps, false)
}

/// The distance from 1 to the next number. For halves torch takes that of the type it computes in.
fn epsilon(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => f64::EPSILON,
        _ => f64::from(f32::EPSILON),
    }
}

fn backward(
    op: &'static str,
    grad: &Array,
    x: &Array,
    normalized_shape: &[usize],
    weight: Option<&Array>,
    eps: Option<f64>,
    centred: bool,
) -> Result<NormGrads> {
    same_shape(op, "the gradient", grad, x.shape())?;
    let norm = Norm::new(op, x, normalized_shape, weight, None)?;
    let n = norm.plan.length;
    let eps = eps.unwrap_or(epsilon(x.dtype()));
    by_float!(op, norm.x.dtype(), T => {
        let weight = slice_of::<T>(norm.weight.as_ref());
        let grad = grad.cast(norm.x.dtype())?;
        let (mut for_weight, mut for_bias) = (room::<f64>(n)?, room::<f64>(n)?);
        for_weight.resize(n, 0.0);
        for_bias.resize(n, 0.0);
        let mut scaled = room::<T>(n)?;
        let input = norm.plan.map::<T, 2>(op, [&grad, &norm.x], |[g, x], out| {
            let (mean, squares) = if centred {
                moments(x, &Float::wide)
            } else {
                (0.0, sum_by(x, &|x| x.wide() * x.wide()))
            };
            let scale = 1.0 / (squares / n as f64 + eps).sqrt();
            let normal = |x: T| (x.wide() - mean) * scale;
            for (((w, b), &g), &x) in for_weight.iter_mut().zip(&mut for_bias).zip(g).zip(x) {
                *w += g.wide() * normal(x);
                *b += g.wide();
            }
            scaled.clear();
            if weight.is_empty() {
                scaled.extend_from_slice(g);
            } else {
                scaled.extend(g.iter().zip(weight).map(|(&g, &w)| g * w));
            }
            let middle =
                if centred { sum_by(&scaled, &Float::wide) / n as f64 } else { 0.0 };
            let along = sum_by2(&scaled, x, &|g, x| g.wide() * normal(x)) / n as f64;
            for ((to, &g), &x) in out.iter_mut().zip(&scaled).zip(x) {
                *to = (scale * (g.wide() - middle - normal(x) * along)) as T;
            }
        })?;
        let part = |sums: Vec<f64>| -> Result<Array> {
            Array::from_vec(sums, normalized_shape)?.cast(x.dtype())
        };
        Ok(NormGrads {
            input: input.cast(x.dtype())?,
            weight: part(for_weight)?,
            bias: part(for_bias)?,
        })
    })
}
