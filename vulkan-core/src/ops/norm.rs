//! Layers that normalise rows, and their gradients.

use bytemuck::{NoUninit, bytes_of};

use super::bind::{bound, grid, group_size, is_software};
use super::rows::{Rows, pieces};
use crate::core::record::{Part, Work};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::Module;
use crate::tensor::Tensor;
use crate::vk::pipeline::{Key, MAX_CONSTANTS};

/// The gradients of a norm.
#[derive(Clone, Debug)]
pub struct NormGrads {
    /// For the input.
    pub input: Tensor,
    /// For the weight, in the normalised shape.
    pub weight: Tensor,
    /// For the bias, in the normalised shape.
    pub bias: Tensor,
}

/// What a kernel is told, as `shaders/norm_columns.comp` declares it.
#[derive(Clone, Copy, NoUninit)]
#[repr(C)]
struct Push {
    rows: u32,
    columns: u32,
    parts: u32,
    start: [u32; 2],
    row_stride: [u32; 2],
    apart: u32,
}

impl Tensor {
    /// `(x - mean) / √(variance + eps) · weight + bias`, mean and variance (of n, not n - 1) over the last
    /// dimensions, which have this shape (`torch.nn.functional.layer_norm`). Weight and bias have the
    /// normalised shape and any float type; the result has the input's type and shape.
    ///
    /// Computed in 32 bits: the normal elements x̂ within 8 units in the last place of
    /// `1 + |x̂| + |mean| / deviation`, and the product and sum each rounded.
    ///
    /// # Errors
    /// [`Error::Parameter`] for shapes that do not fit and types that are no floats;
    /// [`Error::Unsupported`] for a row that a kernel does not see at once; [`Error::OutOfMemory`],
    /// [`Error::DeviceLost`].
    pub fn layer_norm(
        &self,
        normalized_shape: &[usize],
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f64,
    ) -> Result<Tensor> {
        Norm::new("layer_norm", false, self, normalized_shape, weight, bias, eps)?.forward()
    }

    /// The gradients of [`layer_norm`](Tensor::layer_norm) of this input. With x̂ the normal elements,
    /// r = 1 / √(variance + eps) and g = grad · weight: `r (g - mean(g) - x̂ · mean(g x̂))` for the input, in
    /// its type; `Σ grad · x̂` for the weight and `Σ grad` for the bias, in the weight's type or else in the
    /// input's.
    ///
    /// Computed in 32 bits, for the input within 16 units in the last place of
    /// `r (1 + |x̂|) (1 + |mean| / deviation) max|g|`; for the weight
    /// within 8 of `Σ |grad| (1 + |x̂| + |mean| / deviation)`, and for the bias within 4 of `Σ |grad|`.
    ///
    /// # Errors
    /// As for [`layer_norm`](Tensor::layer_norm), and [`Error::Parameter`] for a gradient of another shape.
    pub fn layer_norm_backward(
        &self,
        grad: &Tensor,
        normalized_shape: &[usize],
        weight: Option<&Tensor>,
        eps: f64,
    ) -> Result<NormGrads> {
        const NAME: &str = "layer_norm_backward";
        Norm::new(NAME, false, self, normalized_shape, weight, None, eps)?.backward(grad)
    }

    /// `x / √(mean(x²) + eps) · weight` over the last dimensions, which have this shape
    /// (`torch.nn.functional.rms_norm`). Without an eps it is 2^-23, as in torch. Within 8 units in the last
    /// place.
    ///
    /// # Errors
    /// As for [`layer_norm`](Tensor::layer_norm).
    pub fn rms_norm(
        &self,
        normalized_shape: &[usize],
        weight: Option<&Tensor>,
        eps: Option<f64>,
    ) -> Result<Tensor> {
        let eps = eps.unwrap_or(f32::EPSILON.into());
        Norm::new("rms_norm", true, self, normalized_shape, weight, None, eps)?.forward()
    }

    /// The gradients of [`rms_norm`](Tensor::rms_norm), as those of
    /// [`layer_norm`](Tensor::layer_norm_backward) without what the mean is for. That for the bias, which it
    /// has not, is `Σ grad`.
    ///
    /// # Errors
    /// As for [`layer_norm_backward`](Tensor::layer_norm_backward).
    pub fn rms_norm_backward(
        &self,
        grad: &Tensor,
        normalized_shape: &[usize],
        weight: Option<&Tensor>,
        eps: Option<f64>,
    ) -> Result<NormGrads> {
        const NAME: &str = "rms_norm_backward";
        let eps = eps.unwrap_or(f32::EPSILON.into());
        Norm::new(NAME, true, self, normalized_shape, weight, None, eps)?.backward(grad)
    }
}

/// A norm of rows, checked.
struct Norm<'a> {
    name: &'static str,
    is_rms: bool,
    input: &'a Tensor,
    /// As (rows, columns, 1).
    x: Tensor,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
    shape: &'a [usize],
    eps: f64,
}

impl<'a> Norm<'a> {
    fn new(
        name: &'static str,
        is_rms: bool,
        input: &'a Tensor,
        shape: &'a [usize],
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        eps: f64,
    ) -> Result<Norm<'a>> {
        input.must_be_float(name)?;
        if shape.is_empty() || !input.shape().ends_with(shape) {
            let problem = format!("{name}: shape {:?} does not end with {shape:?}", input.shape());
            return Err(Error::Parameter(problem + "; normalise the last dimensions of the input"));
        }
        let part = |what: &str, part: Option<&Tensor>| {
            let Some(part) = part else { return Ok(None) };
            part.must_be_on(input.stream())?;
            part.must_be_float(name)?;
            if part.shape() != shape {
                let problem = format!("{name}: the {what} has shape {:?}", part.shape());
                return Err(Error::Parameter(format!("{problem}; give {shape:?}")));
            }
            part.contiguous().map(Some)
        };
        let (weight, bias) = (part("weight", weight)?, part("bias", bias)?);
        let x = in_rows(input, shape)?;
        Ok(Norm { name, is_rms, input, x, weight, bias, shape, eps })
    }

    /// What all rows share, as if each had its own.
    fn shared(&self) -> Result<Vec<Tensor>> {
        let [rows, columns, _] = *self.x.shape() else { unreachable!("tensors of rows") };
        let parts = [&self.weight, &self.bias].into_iter().flatten();
        parts.map(|t| t.view(&[1, columns, 1])?.expand(&[rows, columns, 1])).collect()
    }

    fn forward(&self) -> Result<Tensor> {
        let out = Tensor::empty(self.input.stream(), self.input.dtype(), self.input.shape())?;
        let rows = in_rows(&out, self.shape)?;
        let shared = self.shared()?;
        let mut all = vec![&self.x, &rows];
        all.extend(&shared);
        for piece in pieces(self.name, &all)? {
            self.dispatch(&piece.of(&rows)?, &piece.of(&self.x)?, None, None)?;
        }
        Ok(out)
    }

    fn backward(&self, grad: &Tensor) -> Result<NormGrads> {
        let stream = self.input.stream();
        grad.must_be_on(stream)?;
        grad.must_be_float(self.name)?;
        if grad.shape() != self.input.shape() {
            let (have, want) = (grad.shape(), self.input.shape());
            let problem = format!("{}: the gradient has shape {have:?}", self.name);
            return Err(Error::Parameter(format!("{problem}; give {want:?}, as the input has")));
        }
        let grad = in_rows(grad, self.shape)?;
        let input = Tensor::empty(stream, self.input.dtype(), self.input.shape())?;
        let out = in_rows(&input, self.shape)?;
        let columns = self.x.shape()[1];
        let moments = Tensor::empty(stream, DType::F32, &[self.x.shape()[0], 2, 1])?;
        let shared = self.shared()?;
        let mut all = vec![&self.x, &grad, &out, &moments];
        all.extend(&shared);
        let mut sums: Option<Tensor> = None;
        for piece in pieces(self.name, &all)? {
            let (x, grad, moments) = (piece.of(&self.x)?, piece.of(&grad)?, piece.of(&moments)?);
            self.dispatch(&piece.of(&out)?, &x, Some(&grad), Some(&moments))?;
            let sum = columns_of(&x, &grad, &moments)?;
            sums = Some(if let Some(before) = sums { before.add(&sum)? } else { sum });
        }
        let sums = match sums {
            Some(sums) => sums,
            None => Tensor::zeros(stream, DType::F32, &[2, columns])?,
        };
        let dtype = self.weight.as_ref().map_or(self.input.dtype(), Tensor::dtype);
        let part = |i| sums.select(0, i)?.to_dtype(dtype)?.view(self.shape);
        Ok(NormGrads { weight: part(0)?, bias: part(1)?, input })
    }

    fn dispatch(
        &self,
        out: &Tensor,
        x: &Tensor,
        grad: Option<&Tensor>,
        moments: Option<&Tensor>,
    ) -> Result<()> {
        // What is not there is bound to what is read anyway.
        let (x_part, _) = bound(x);
        let [(weight_part, weight_start), (bias_part, bias_start), (moments_part, moments_start)] =
            [self.weight.as_ref(), self.bias.as_ref(), moments]
                .map(|t| t.map_or((x_part, 0), |t| bound(t)));
        let moments_part = Part { write: moments.is_some(), ..moments_part };
        let mut more = [0; 16];
        more[..4].copy_from_slice(&[
            (self.eps as f32).to_bits(),
            weight_start,
            bias_start,
            moments_start / 2,
        ]);
        let dtype = |t: &Option<Tensor>| t.as_ref().map_or(0, |t| t.dtype() as u32);
        Rows {
            modules: [Module::Norm, Module::NormGroup],
            op: grad.is_some().into(),
            out,
            a: x,
            b: grad,
            writes: true,
            found: 5,
            alone: false,
            together: false,
            rest: &[weight_part, bias_part, moments_part],
            constants: &[
                self.is_rms.into(),
                dtype(&self.weight),
                self.weight.is_some().into(),
                dtype(&self.bias),
                self.bias.is_some().into(),
            ],
            more,
        }
        .run()
    }
}

/// A tensor as (rows, columns, 1), each row's elements side by side.
fn in_rows(t: &Tensor, shape: &[usize]) -> Result<Tensor> {
    let columns: usize = shape.iter().product();
    let rows: usize = t.shape()[..t.ndim() - shape.len()].iter().product();
    let rows = t.reshape(&[rows, columns, 1])?;
    if columns > 1 && rows.strides()[1] != 1 { rows.copy() } else { Ok(rows) }
}

/// The sums over rows of gradient times normal element, and of the gradient, as (2, columns).
fn columns_of(x: &Tensor, grad: &Tensor, moments: &Tensor) -> Result<Tensor> {
    let stream = x.stream();
    let [rows, columns, _] = *x.shape() else { unreachable!("tensors of rows") };
    // Enough invocations to be busy, each with enough to do.
    let enough = if is_software(stream) { 1 << 8 } else { 1 << 14 };
    let parts = (enough / columns).min(rows / 32).max(1);
    let sums = Tensor::empty(stream, DType::F32, &[2, parts, columns])?;
    let ((x_part, x_start), (grad_part, grad_start)) = (bound(x), bound(grad));
    let (moments_part, moments_start) = bound(moments);
    let (sums_part, _) = bound(&sums);
    if moments_start != 0 {
        // The kernel counts its rows from the start of what it sees.
        return columns_of(x, grad, &moments.copy()?);
    }
    let push = Push {
        rows: rows as u32,
        columns: columns as u32,
        parts: parts as u32,
        start: [x_start, grad_start],
        row_stride: [x.strides()[0] as u32, grad.strides()[0] as u32],
        apart: (parts * columns) as u32,
    };
    let local = group_size(stream, 64);
    let mut constants = [0; MAX_CONSTANTS];
    constants[0] = local;
    constants[3] = x.dtype() as u32;
    constants[4] = grad.dtype() as u32;
    let pipeline = stream.shared().pipeline(Key { module: Module::NormColumns, constants })?;
    stream.record(&Work::Dispatch {
        pipeline,
        parts: &[Part { write: true, ..sums_part }, x_part, grad_part, moments_part],
        push: bytes_of(&push),
        groups: grid(stream, ((columns * parts) as u64).div_ceil(u64::from(local))),
        steps: (rows * columns) as u64,
    })?;
    if parts == 1 { sums.view(&[2, columns]) } else { sums.sum(&[1], false) }
}
