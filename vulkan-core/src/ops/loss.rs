//! Losses of rows over classes, and their gradients.
//!
//! Classes are dimension 1, or 0 where there is no other, as in torch.

use super::bind::bound;
use super::rows::{Piece, Rows, along, pieces};
use crate::core::record::Part;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::Module;
use crate::tensor::Tensor;

/// Of so few rows each group sums by itself what they count in a mean.
const FEW: usize = 1024;

/// What becomes of the losses of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// They stay as they are.
    None,
    /// Their mean; weighted by the classes' weights where targets are indices.
    #[default]
    Mean,
    /// Their sum.
    Sum,
}

/// Options of [`Tensor::cross_entropy`]; the defaults are torch's.
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    /// A weight for each class, of a float type.
    pub weight: Option<Tensor>,
    /// A target index that counts for nothing.
    pub ignore_index: i64,
    /// What part of a target is spread over all classes: 0 to 1.
    pub label_smoothing: f64,
    /// What becomes of the losses.
    pub reduction: Reduction,
}

impl Default for CrossEntropy {
    fn default() -> CrossEntropy {
        CrossEntropy {
            weight: None,
            ignore_index: -100,
            label_smoothing: 0.0,
            reduction: Reduction::Mean,
        }
    }
}

/// As `shaders/loss.comp` numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Op {
    CrossEntropy,
    Nll,
    Weights,
}

impl Tensor {
    /// The cross entropy between the probabilities that softmax makes of these logits, and targets
    /// (`torch.nn.functional.cross_entropy`).
    ///
    /// Logits are (classes), (batch, classes) or (batch, classes, …) of a float type. Targets are class
    /// indices (`int64`, `int32` or `uint8`) of that shape without classes, or probabilities of the same
    /// shape. With l the logarithms of the probabilities, w the weights, s the label smoothing and C the
    /// classes, a row's loss is −w_y l_y (1 − s) − s/C Σ w_c l_c for a class y, and −Σ w_c t_c l_c for
    /// probabilities t, smoothed to t (1 − s) + s/C. The mean is over the sum of w_y for indices, else
    /// over all rows. A class beyond them makes its row NaN, and the mean.
    ///
    /// Computed in 32 bits, for weights that are not negative: each row's loss within 8 units in the last
    /// place, or 1e-6 times the largest weight; a sum or mean of them within what that makes.
    ///
    /// # Errors
    /// [`Error::Parameter`] for shapes that do not fit, types that are none of these, and another label
    /// smoothing than 0 to 1; [`Error::Unsupported`] for a row that a kernel does not see at once;
    /// [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn cross_entropy(&self, target: &Tensor, options: &CrossEntropy) -> Result<Tensor> {
        Batch::new("cross_entropy", Op::CrossEntropy, self, target, options)?.loss()
    }

    /// The gradient of [`cross_entropy`](Tensor::cross_entropy) for these logits, of the gradient of its
    /// result, in the logits' type. Within 2e-6 times that gradient and the largest weight, over what a
    /// mean divides by.
    ///
    /// # Errors
    /// As for [`cross_entropy`](Tensor::cross_entropy), and [`Error::Parameter`] for a gradient of another
    /// shape than the result has.
    pub fn cross_entropy_backward(
        &self,
        grad: &Tensor,
        target: &Tensor,
        options: &CrossEntropy,
    ) -> Result<Tensor> {
        Batch::new("cross_entropy_backward", Op::CrossEntropy, self, target, options)?
            .gradient(grad)
    }

    /// The loss of each row, in 32 bits, and the gradient for these logits, in one dispatch for up to 1024
    /// rows of up to 64 classes, and in a few for more. The sum of the losses is what
    /// [`cross_entropy`](Tensor::cross_entropy) gives: for the mean each is divided already. The gradient
    /// is that of this sum.
    ///
    /// # Errors
    /// As for [`cross_entropy`](Tensor::cross_entropy).
    pub fn cross_entropy_with_grad(
        &self,
        target: &Tensor,
        options: &CrossEntropy,
    ) -> Result<(Tensor, Tensor)> {
        const NAME: &str = "cross_entropy_with_grad";
        let batch = Batch::new(NAME, Op::CrossEntropy, self, target, options)?;
        let (losses, grad) = batch.run(true, true, None)?;
        let (losses, grad) = (losses.expect("asked for"), grad.expect("asked for"));
        Ok((losses.view(&batch.shape)?, grad.view(self.shape())?))
    }

    /// −w_y x_y of logarithms of probabilities x (`torch.nn.functional.nll_loss`): as
    /// [`cross_entropy`](Tensor::cross_entropy) of class indices behind the logarithm of softmax. Label
    /// smoothing is not used.
    ///
    /// # Errors
    /// As for [`cross_entropy`](Tensor::cross_entropy), and [`Error::Parameter`] for probabilities.
    pub fn nll_loss(&self, target: &Tensor, options: &CrossEntropy) -> Result<Tensor> {
        Batch::new("nll_loss", Op::Nll, self, target, options)?.loss()
    }

    /// The gradient of [`nll_loss`](Tensor::nll_loss) for x: −w_y in the place of each class.
    ///
    /// # Errors
    /// As for [`cross_entropy_backward`](Tensor::cross_entropy_backward).
    pub fn nll_loss_backward(
        &self,
        grad: &Tensor,
        target: &Tensor,
        options: &CrossEntropy,
    ) -> Result<Tensor> {
        Batch::new("nll_loss_backward", Op::Nll, self, target, options)?.gradient(grad)
    }
}

/// What losses are divided by.
enum Divisor {
    One,
    /// What all rows count, which each group sums.
    Count,
    /// That, in memory.
    Sum(Tensor),
}

/// A batch of rows over classes, checked.
struct Batch<'a> {
    name: &'static str,
    op: Op,
    options: &'a CrossEntropy,
    dtype: DType,
    /// (outer, classes, inner).
    x: Tensor,
    /// (outer, inner), or as `x`.
    target: Tensor,
    weight: Option<Tensor>,
    /// The shape of one loss each.
    shape: Vec<usize>,
}

impl<'a> Batch<'a> {
    fn new(
        name: &'static str,
        op: Op,
        x: &Tensor,
        target: &Tensor,
        options: &'a CrossEntropy,
    ) -> Result<Batch<'a>> {
        x.must_be_float(name)?;
        target.must_be_on(x.stream())?;
        if x.ndim() == 0 {
            let problem = format!("{name}: the input has no dimensions");
            return Err(Error::Parameter(problem + "; give (classes), or (batch, classes, …)"));
        }
        let dim = usize::from(x.ndim() > 1);
        let classes = x.shape()[dim];
        let mut shape = x.shape().to_vec();
        shape.remove(dim);
        if classes == 0 {
            return Err(Error::parameter(format!("{name}: there are no classes; give at least 1")));
        }
        let must_have = |what: &str, t: &Tensor, shape: &[usize]| {
            if t.shape() == shape {
                return Ok(());
            }
            let have = t.shape();
            Err(Error::parameter(format!("{name}: {what} has shape {have:?}; give {shape:?}")))
        };
        let weight = match &options.weight {
            None => None,
            Some(weight) => {
                weight.must_be_on(x.stream())?;
                weight.must_be_float(name)?;
                must_have("the weight", weight, &[classes])?;
                Some(weight.contiguous()?)
            }
        };
        let smoothing = options.label_smoothing;
        if !(0.0..=1.0).contains(&smoothing) {
            let problem = format!("{name}: label smoothing {smoothing} is no part of a target");
            return Err(Error::Parameter(problem + "; give one from 0 to 1"));
        }
        let x3 = along(x, dim)?;
        let target = match target.dtype() {
            DType::I64 | DType::I32 | DType::U8 => {
                must_have("the target of class indices", target, &shape)?;
                target.reshape(&[x3.shape()[0], x3.shape()[2]])?
            }
            dtype if dtype.is_float() && op == Op::CrossEntropy => {
                must_have("the target of probabilities", target, x.shape())?;
                along(target, dim)?
            }
            dtype => {
                let problem = format!("{name}: the target is {dtype}");
                return Err(Error::Parameter(problem + "; give class indices as int64"));
            }
        };
        Ok(Batch { name, op, options, dtype: x.dtype(), x: x3, target, weight, shape })
    }

    fn is_probable(&self) -> bool {
        self.target.dtype().is_float()
    }

    /// Outer and inner rows.
    fn rows(&self) -> [usize; 2] {
        [self.x.shape()[0], self.x.shape()[2]]
    }

    fn loss(&self) -> Result<Tensor> {
        let losses = self.run(true, false, None)?.0.expect("asked for");
        let loss = match self.options.reduction {
            Reduction::None => losses.view(&self.shape)?,
            Reduction::Mean if losses.numel() == 0 => {
                Tensor::full(self.x.stream(), f64::NAN, DType::F32, &[])?
            }
            Reduction::Mean | Reduction::Sum => losses.sum(&[], false)?,
        };
        loss.to_dtype(self.dtype)
    }

    fn gradient(&self, grad: &Tensor) -> Result<Tensor> {
        grad.must_be_on(self.x.stream())?;
        grad.must_be_float(self.name)?;
        let each = self.options.reduction == Reduction::None;
        let shape: &[usize] = if each { &self.shape } else { &[] };
        if grad.shape() != shape {
            return Err(Error::parameter(format!(
                "{}: the gradient has shape {:?}; give {shape:?}, which the result has",
                self.name,
                grad.shape()
            )));
        }
        let grad = grad.to_dtype(DType::F32)?;
        let rows = self.rows();
        let grad = if each { grad.reshape(&rows)? } else { grad.expand(&rows)? };
        let out = self.run(false, true, Some(&grad))?.1.expect("asked for");
        let mut shape = self.shape.clone();
        shape.insert(usize::from(!shape.is_empty()), self.x.shape()[1]);
        out.view(&shape)
    }

    /// One loss for each row, and the gradient for the input.
    fn run(
        &self,
        wants_loss: bool,
        wants_grad: bool,
        upstream: Option<&Tensor>,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let stream = self.x.stream();
        let new = |wanted: bool, dtype, shape: &[usize]| {
            if wanted { Tensor::empty(stream, dtype, shape).map(Some) } else { Ok(None) }
        };
        let losses = new(wants_loss, DType::F32, &self.rows())?;
        let grad = new(wants_grad, self.dtype, self.x.shape())?;
        let mut all = vec![&self.x, &self.target];
        all.extend(grad.iter().chain(&losses).chain(upstream));
        let pieces = pieces(self.name, &all)?;
        let divisor = self.divisor(&pieces)?;
        for piece in &pieces {
            let losses = losses.as_ref().map(|t| piece.of(t)).transpose()?;
            let grad = grad.as_ref().map(|t| piece.of(t)).transpose()?;
            let upstream = upstream.map(|t| piece.of(t)).transpose()?;
            self.dispatch(
                self.op,
                piece,
                losses.as_ref(),
                grad.as_ref(),
                upstream.as_ref(),
                &divisor,
            )?;
        }
        Ok((losses, grad))
    }

    fn divisor(&self, pieces: &[Piece]) -> Result<Divisor> {
        if self.options.reduction != Reduction::Mean || self.is_probable() {
            return Ok(Divisor::One);
        }
        let rows = self.rows();
        if rows[0] * rows[1] <= FEW && pieces.len() == 1 && self.target.is_contiguous() {
            return Ok(Divisor::Count);
        }
        let counts = Tensor::empty(self.x.stream(), DType::F32, &rows)?;
        for piece in pieces {
            let counts = piece.of(&counts)?;
            self.dispatch(Op::Weights, piece, Some(&counts), None, None, &Divisor::One)?;
        }
        Ok(Divisor::Sum(counts.sum(&[], false)?))
    }

    fn dispatch(
        &self,
        op: Op,
        piece: &Piece,
        losses: Option<&Tensor>,
        grad: Option<&Tensor>,
        upstream: Option<&Tensor>,
        divisor: &Divisor,
    ) -> Result<()> {
        let smoothing = if op == Op::CrossEntropy { self.options.label_smoothing } else { 0.0 };
        let (x, target) = (piece.of(&self.x)?, piece.of(&self.target)?);
        let flags = [
            losses.is_some(),
            grad.is_some(),
            matches!(divisor, Divisor::Sum(_)),
            upstream.is_some(),
        ];
        let flags = flags.iter().rev().fold(0, |bits, &flag| bits << 1 | u32::from(flag));
        let factor = match self.options.reduction {
            Reduction::Mean if self.is_probable() => 1.0 / (self.rows()[0] * self.rows()[1]) as f64,
            _ => 1.0,
        };
        // What is not there is bound to what is read anyway.
        let (x_part, _) = bound(&x);
        let [
            (losses_part, losses_start),
            (weight_part, weight_start),
            (upstream_part, upstream_start),
        ] = [losses, self.weight.as_ref(), upstream].map(|t| t.map_or((x_part, 0), |t| bound(t)));
        let losses_part = Part { write: losses.is_some(), ..losses_part };
        let (divisor_part, _) = match divisor {
            Divisor::Sum(sum) => bound(sum),
            _ => (x_part, 0),
        };
        let strides = |t: Option<&Tensor>| match t.map(Tensor::strides) {
            Some(&[outer, inner]) => [outer as u32, inner as u32],
            _ => [0; 2],
        };
        let [upstream_outer, upstream_inner] = strides(upstream);
        let [losses_outer, losses_inner] = strides(losses);
        let ignore = self.options.ignore_index as u64;
        let mut more = [0; 16];
        more[..14].copy_from_slice(&[
            ((1.0 - smoothing) as f32).to_bits(),
            ((smoothing / x.shape()[1] as f64) as f32).to_bits(),
            (factor as f32).to_bits(),
            ignore as u32,
            (ignore >> 32) as u32,
            weight_start,
            upstream_start,
            upstream_outer,
            upstream_inner,
            losses_start,
            losses_outer,
            losses_inner,
            flags,
            target.dtype() as u32,
        ]);
        Rows {
            modules: [Module::Loss, Module::LossGroup],
            op: op as u32,
            out: grad.unwrap_or(&x),
            a: &x,
            b: Some(&target),
            writes: grad.is_some(),
            found: if op == Op::CrossEntropy { 4 } else { 0 },
            alone: op == Op::Weights || op == Op::Nll && grad.is_none(),
            together: matches!(divisor, Divisor::Count),
            rest: &[losses_part, weight_part, upstream_part, divisor_part],
            constants: &[
                self.weight.as_ref().map_or(0, |w| w.dtype() as u32),
                self.weight.is_some().into(),
                (smoothing > 0.0).into(),
                matches!(divisor, Divisor::Count).into(),
            ],
            more,
        }
        .run()
    }
}
