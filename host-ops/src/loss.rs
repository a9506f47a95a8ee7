//! Losses and their gradients.
//!
//! Classes are dimension 1, or 0 where there is no other, as in torch. Rows are computed in doubles.

use crate::element::by_float;
use crate::elementwise::loops::map2;
use crate::layout::room;
use crate::number::Float;
use crate::rows::{Plan, same_shape};
use crate::sums::sum_by;
use crate::{Array, DType, Error, Result, mean, sum};

/// What becomes of the losses of a batch.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Reduction {
    /// They stay as they are.
    None,
    /// Their mean; weighted by the classes' weights where targets are indices.
    #[default]
    Mean,
    /// Their sum.
    Sum,
}

/// Options of [`cross_entropy`]; the defaults are torch's.
#[derive(Clone, Debug)]
pub struct CrossEntropy {
    /// A weight for each class, in the logits' type.
    pub weight: Option<Array>,
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

/// What a row of classes should be.
enum Targets {
    /// One class each; `None` counts for nothing.
    Classes(Vec<Option<usize>>),
    /// Probabilities, row after row.
    Probabilities(Vec<f64>),
}

/// A batch of rows over classes, checked.
struct Batch {
    plan: Plan,
    classes: usize,
    /// Logits or logarithms of probabilities, row after row.
    rows: Vec<f64>,
    targets: Targets,
    weight: Option<Vec<f64>>,
    /// The shape of one loss each.
    shape: Vec<usize>,
}

impl Batch {
    fn new(op: &'static str, x: &Array, target: &Array, options: &CrossEntropy) -> Result<Batch> {
        if !x.dtype().is_float() {
            return Err(crate::element::no_floats(op, x.dtype()));
        }
        if x.ndim() == 0 {
            let problem = "the input has no dimensions";
            return Err(Error::shape(op, problem, "give (classes), or (batch, classes, …)"));
        }
        let dim = isize::from(x.ndim() > 1);
        let plan = Plan::new(op, x.shape(), &[dim])?;
        let (classes, shape) = (plan.length, plan.reduced(x.shape(), false));
        let weight = match &options.weight {
            None => None,
            Some(weight) if weight.shape() == [classes] && weight.dtype() == x.dtype() => {
                Some(weight.cast(DType::F64)?.to_vec()?)
            }
            Some(weight) => {
                let problem = format!(
                    "weights of shape {:?} and type {} for {classes} classes of {}",
                    weight.shape(),
                    weight.dtype(),
                    x.dtype()
                );
                return Err(Error::shape(
                    op,
                    problem,
                    "give one for each class, in the input's type",
                ));
            }
        };
        let smoothing = options.label_smoothing;
        if !(0.0..=1.0).contains(&smoothing) {
            let problem = format!("label smoothing {smoothing}");
            return Err(Error::parameter(op, problem, "give a part from 0 to 1"));
        }
        let targets = if target.dtype().is_float() {
            same_shape(op, "a target of probabilities", target, x.shape())?;
            let wide = target.cast(DType::F64)?;
            let mut all = plan.rows::<f64>(op, &wide)?.into_owned();
            if smoothing > 0.0 {
                let even = smoothing / classes as f64;
                all.iter_mut().for_each(|t| *t = *t * (1.0 - smoothing) + even);
            }
            Targets::Probabilities(all)
        } else {
            same_shape(op, "a target of class indices", target, &shape)?;
            if !target.dtype().is_integer() {
                let problem = format!("the target is {}", target.dtype());
                return Err(Error::dtype(op, problem, "give class indices as int64"));
            }
            let class = |index: i64| match usize::try_from(index) {
                _ if index == options.ignore_index => Ok(None),
                Ok(class) if class < classes => Ok(Some(class)),
                _ => Err(Error::Index { op, index, size: classes, negative: false }),
            };
            let all = target.cast(DType::I64)?.to_vec::<i64>()?;
            Targets::Classes(all.into_iter().map(class).collect::<Result<_>>()?)
        };
        let wide = x.cast(DType::F64)?;
        let rows = plan.rows::<f64>(op, &wide)?.into_owned();
        Ok(Batch { plan, classes, rows, targets, weight, shape })
    }

    fn weight_of(&self, class: usize) -> f64 {
        self.weight.as_ref().map_or(1.0, |w| w[class])
    }

    /// What the sum of losses is divided by for their mean.
    fn divisor(&self) -> f64 {
        match &self.targets {
            Targets::Classes(all) => all.iter().flatten().map(|&c| self.weight_of(c)).sum(),
            Targets::Probabilities(_) => self.plan.count as f64,
        }
    }

    /// The loss of each row, of its logarithms of probabilities.
    fn losses(&self, smoothing: f64, logs: impl Fn(&[f64]) -> Vec<f64>) -> Result<Vec<f64>> {
        let mut out = room::<f64>(self.plan.count)?;
        for i in 0..self.plan.count {
            let logs = logs(&self.rows[i * self.classes..][..self.classes]);
            out.push(match &self.targets {
                Targets::Probabilities(all) => {
                    let row = &all[i * self.classes..][..self.classes];
                    let part = |(c, (t, l)): (usize, (&f64, &f64))| -(self.weight_of(c) * t * l);
                    row.iter().zip(&logs).enumerate().map(part).sum()
                }
                Targets::Classes(all) => match all[i] {
                    None => 0.0,
                    Some(class) => {
                        let own = -(self.weight_of(class) * logs[class]);
                        if smoothing > 0.0 {
                            let part = |(c, l): (usize, &f64)| -(self.weight_of(c) * l);
                            let even: f64 = logs.iter().enumerate().map(part).sum();
                            (1.0 - smoothing) * own + smoothing / self.classes as f64 * even
                        } else {
                            own
                        }
                    }
                },
            });
        }
        Ok(out)
    }

    fn reduced(&self, losses: Vec<f64>, reduction: Reduction, dtype: DType) -> Result<Array> {
        let total = || sum_by(&losses, &|x| x);
        match reduction {
            Reduction::None => Array::from_vec(losses, &self.shape)?.cast(dtype),
            Reduction::Sum => Array::scalar(total()).cast(dtype),
            Reduction::Mean => Array::scalar(total() / self.divisor()).cast(dtype),
        }
    }

    /// What the gradient of each row's loss is, of the gradient of the result.
    fn grads(&self, op: &'static str, grad: &Array, reduction: Reduction) -> Result<Vec<f64>> {
        let shape: &[usize] = if reduction == Reduction::None { &self.shape } else { &[] };
        same_shape(op, "the gradient", grad, shape)?;
        let grad = grad.cast(DType::F64)?.to_vec::<f64>()?;
        if reduction == Reduction::None {
            return Ok(grad);
        }
        let divisor = if reduction == Reduction::Mean { self.divisor() } else { 1.0 };
        Ok(vec![grad.first().copied().unwrap_or(0.0) / divisor; self.plan.count])
    }
}

/// The logarithms of a row's probabilities.
fn log_softmax(row: &[f64]) -> Vec<f64> {
    let max = row.iter().copied().reduce(crate::number::Number::greater).unwrap_or(0.0);
    let log = sum_by(row, &|x| (x - max).exp()).ln();
    row.iter().map(|x| x - max - log).collect()
}

/// The cross entropy between the probabilities that softmax makes of logits, and targets:
/// `torch.nn.functional.cross_entropy`.
///
/// `logits` are (classes), (batch, classes) or (batch, classes, …) of a float type. The target is
/// class indices, of that shape without classes, or probabilities of the same shape. With l the
/// logarithms of the probabilities, w the weights, s the label smoothing and C the classes, a row's
/// loss is −w_y l_y (1 − s) − s/C Σ w_c l_c for a class y, and −Σ w_c t_c l_c for probabilities t,
/// smoothed to t (1 − s) + s/C. The mean is over the sum of w_y for indices, else over all rows.
///
/// # Errors
/// [`Error::Shape`] where the shapes do not fit; [`Error::Index`] for a class beyond them;
/// [`Error::DType`] for logits that are no floats; [`Error::Parameter`] for another label smoothing
/// than 0 to 1.
///
/// ```
/// use numpack_host_ops::{Array, CrossEntropy, cross_entropy};
/// let logits = Array::from_slice(&[0.0_f64, 0.0, 5.0, 5.0], &[2, 2])?;
/// let classes = Array::from_slice(&[0_i64, 1], &[2])?;
/// let loss = cross_entropy(&logits, &classes, &CrossEntropy::default())?;
/// assert_eq!(loss.to_vec::<f64>()?, [2.0_f64.ln()]);
/// # Ok::<(), numpack_host_ops::Error>(())
/// ```
pub fn cross_entropy(logits: &Array, target: &Array, options: &CrossEntropy) -> Result<Array> {
    let batch = Batch::new("cross_entropy", logits, target, options)?;
    let losses = batch.losses(options.label_smoothing, log_softmax)?;
    batch.reduced(losses, options.reduction, logits.dtype())
}

/// The gradient of [`cross_entropy`] for the logits. With p the probabilities: of a row of class y,
/// (1 − s) w_y (p_c − δ_cy) + s/C (p_c Σ w − w_c); of target probabilities t, p_c Σ w t − w_c t_c.
///
/// # Errors
/// As [`cross_entropy`]; [`Error::Shape`] where `grad` has not the result's shape.
pub fn cross_entropy_backward(
    grad: &Array,
    logits: &Array,
    target: &Array,
    options: &CrossEntropy,
) -> Result<Array> {
    const OP: &str = "cross_entropy_backward";
    let batch = Batch::new(OP, logits, target, options)?;
    let (n, smoothing) = (batch.classes, options.label_smoothing);
    let grads = batch.grads(OP, grad, options.reduction)?;
    let all: f64 = (0..n).map(|c| batch.weight_of(c)).sum();
    let mut out = room::<f64>(batch.rows.len())?;
    for (i, g) in grads.into_iter().enumerate() {
        let logs = log_softmax(&batch.rows[i * n..][..n]);
        match &batch.targets {
            Targets::Probabilities(targets) => {
                let row = &targets[i * n..][..n];
                let total: f64 = row.iter().enumerate().map(|(c, t)| batch.weight_of(c) * t).sum();
                let part = |(c, (t, l)): (usize, (&f64, &f64))| {
                    g * (l.exp() * total - batch.weight_of(c) * t)
                };
                out.extend(row.iter().zip(&logs).enumerate().map(part));
            }
            Targets::Classes(classes) => match classes[i] {
                None => out.extend(std::iter::repeat_n(0.0, n)),
                Some(class) => {
                    let own = (1.0 - smoothing) * batch.weight_of(class);
                    let even = smoothing / n as f64;
                    out.extend(logs.iter().enumerate().map(|(c, l)| {
                        let is = f64::from(u8::from(c == class));
                        let p = l.exp();
                        g * (own * (p - is) + even * (p * all - batch.weight_of(c)))
                    }));
                }
            },
        }
    }
    batch.plan.put_back(out, logits.shape())?.cast(logits.dtype())
}

/// −w_y x_y of logarithms of probabilities x: `torch.nn.functional.nll_loss`. As [`cross_entropy`] of
/// class indices behind the logarithm of softmax; label smoothing is not used.
///
/// # Errors
/// As [`cross_entropy`]; [`Error::DType`] for a target of probabilities.
pub fn nll_loss(x: &Array, target: &Array, options: &CrossEntropy) -> Result<Array> {
    let batch = classes_only("nll_loss", x, target, options)?;
    let losses = batch.losses(0.0, <[f64]>::to_vec)?;
    batch.reduced(losses, options.reduction, x.dtype())
}

/// The gradient of [`nll_loss`] for x: −w_y in the place of each class.
///
/// # Errors
/// As [`nll_loss`]; [`Error::Shape`] where `grad` has not the result's shape.
pub fn nll_loss_backward(
    grad: &Array,
    x: &Array,
    target: &Array,
    options: &CrossEntropy,
) -> Result<Array> {
    const OP: &str = "nll_loss_backward";
    let batch = classes_only(OP, x, target, options)?;
    let grads = batch.grads(OP, grad, options.reduction)?;
    let mut out = room::<f64>(batch.rows.len())?;
    out.resize(batch.rows.len(), 0.0);
    if let Targets::Classes(classes) = &batch.targets {
        for (i, (class, g)) in classes.iter().zip(grads).enumerate() {
            if let Some(class) = *class {
                out[i * batch.classes + class] = -(batch.weight_of(class) * g);
            }
        }
    }
    batch.plan.put_back(out, x.shape())?.cast(x.dtype())
}

fn classes_only(
    op: &'static str,
    x: &Array,
    target: &Array,
    options: &CrossEntropy,
) -> Result<Batch> {
    if target.dtype().is_float() {
        let problem = format!("the target is {}", target.dtype());
        return Err(Error::dtype(op, problem, "give class indices, or use cross_entropy"));
    }
    Batch::new(op, x, target, &CrossEntropy { label_smoothing: 0.0, ..options.clone() })
}

/// (x − target)²: `torch.nn.functional.mse_loss`, of two arrays of one shape and float type.
///
/// # Errors
/// [`Error::Shape`] and [`Error::DType`] where they are not.
pub fn mse_loss(x: &Array, target: &Array, reduction: Reduction) -> Result<Array> {
    const OP: &str = "mse_loss";
    same_shape(OP, "the target", target, x.shape())?;
    crate::matmul::one_type(OP, x, target)?;
    let wide = x.dtype().compute();
    let (a, b) = (x.cast(wide)?, target.cast(wide)?);
    let squares = by_float!(OP, wide, T => {
        map2::<T, T, T>(OP, &a, &b, |x, y| (x - y) * (x - y))
    })?;
    match reduction {
        Reduction::None => squares,
        Reduction::Mean => mean(&squares, &[], false)?,
        Reduction::Sum => sum(&squares, &[], false)?,
    }
    .cast(x.dtype())
}

/// The gradient of [`mse_loss`] for x: 2 (x − target) · grad, over the number of elements for the mean.
/// For the target it is the opposite.
///
/// # Errors
/// As [`mse_loss`]; [`Error::Shape`] where `grad` has not the result's shape.
pub fn mse_loss_backward(
    grad: &Array,
    x: &Array,
    target: &Array,
    reduction: Reduction,
) -> Result<Array> {
    const OP: &str = "mse_loss_backward";
    same_shape(OP, "the target", target, x.shape())?;
    let shape: &[usize] = if reduction == Reduction::None { x.shape() } else { &[] };
    same_shape(OP, "the gradient", grad, shape)?;
    let wide = x.dtype().compute();
    let factor = if reduction == Reduction::Mean { 2.0 / x.numel() as f64 } else { 2.0 };
    let (a, b) = (x.cast(wide)?, target.cast(wide)?);
    let difference = by_float!(OP, wide, T => {
        let factor = <T as Float>::of(factor);
        map2::<T, T, T>(OP, &a, &b, |x, y| (x - y) * factor)
    })?;
    crate::mul(&difference, &grad.cast(wide)?)?.cast(x.dtype())
}
