//! Optimisers' steps, in place on flat memory: parameters, gradients and state of a whole network may
//! lie in one tensor each, and a step is one kernel. Formulas are those of `torch.optim`; numbers are
//! computed in 32 bits from coefficients computed in doubles.

use super::flat::{Flat, SCALARS};
use super::schedule::{Schedule, corrections};
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::kernels::Module;
use crate::stream::Stream;
use crate::tensor::Tensor;

/// Stochastic gradient descent: `torch.optim.SGD`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sgd {
    /// The learning rate.
    pub lr: f64,
    /// The part of the last step's direction that is kept.
    pub momentum: f64,
    /// What the gradient is lessened by before it is added to that.
    pub dampening: f64,
    /// What of the parameter is added to its gradient.
    pub weight_decay: f64,
    /// Whether to look ahead along the kept direction.
    pub nesterov: bool,
}

impl Default for Sgd {
    fn default() -> Sgd {
        Sgd { lr: 1e-3, momentum: 0.0, dampening: 0.0, weight_decay: 0.0, nesterov: false }
    }
}

impl Sgd {
    /// One step, in place. `buffer` keeps the direction between steps; without momentum it is not used and
    /// may be left out. Steps are counted from 1; in the first one the direction is the gradient, whatever
    /// `buffer` holds. All are contiguous `float32` tensors with as many elements, of any shape.
    ///
    /// g += weight_decay · p; b = momentum · b + (1 − dampening) g; p −= lr · b, or with nesterov
    /// p −= lr (g + momentum · b). The same bits as the host's.
    ///
    /// # Errors
    /// [`Error::Parameter`] for tensors of another type, length or order, of which two share elements, or
    /// of two devices; for negative coefficients, nesterov without momentum or with dampening, momentum
    /// without a buffer, and step 0; [`Error::OutOfMemory`], [`Error::DeviceLost`].
    pub fn step(
        &self,
        params: &Tensor,
        grads: &Tensor,
        buffer: Option<&Tensor>,
        step: u64,
    ) -> Result<()> {
        counted("sgd", step)?;
        self.run(params, grads, buffer, step == 1, None)
    }

    /// Its learning rate, and the count of the steps that were taken, in device memory.
    ///
    /// # Errors
    /// As for [`Tensor::from_host`], and [`Error::Parameter`] for a negative learning rate.
    pub fn schedule(&self, stream: &Stream, steps: u32) -> Result<Schedule> {
        positive("sgd", &[("learning rate", self.lr)])?;
        Schedule::new(stream, self.lr, None, steps)
    }

    /// The next [`step`](Sgd::step) by a schedule, with its learning rate instead of this one's: the same
    /// bits. Beside the kernel, four bytes are copied.
    ///
    /// # Errors
    /// As for [`step`](Sgd::step); [`Error::Parameter`] for the schedule's own memory as a parameter.
    pub fn step_by(
        &self,
        params: &Tensor,
        grads: &Tensor,
        buffer: Option<&Tensor>,
        schedule: &Schedule,
    ) -> Result<()> {
        self.run(params, grads, buffer, false, Some(schedule))
    }

    fn run(
        &self,
        params: &Tensor,
        grads: &Tensor,
        buffer: Option<&Tensor>,
        is_first: bool,
        schedule: Option<&Schedule>,
    ) -> Result<()> {
        const OP: &str = "sgd";
        let Sgd { lr, momentum, dampening, weight_decay, nesterov } = *self;
        positive(
            OP,
            &[("learning rate", lr), ("momentum", momentum), ("weight decay", weight_decay)],
        )?;
        if nesterov && (momentum <= 0.0 || dampening != 0.0) {
            let problem = format!("sgd: nesterov with momentum {momentum}, dampening {dampening}");
            return Err(Error::Parameter(problem + "; give a momentum and no dampening"));
        }
        let mut tensors = vec![(params, true), (grads, false)];
        match buffer {
            _ if momentum == 0.0 => {}
            Some(buffer) => tensors.push((buffer, true)),
            None => {
                let problem = format!("sgd: momentum {momentum} without a buffer");
                return Err(Error::Parameter(problem + "; give one as long as the parameters"));
            }
        }
        let has_state = momentum != 0.0;
        let constants = [has_state, nesterov, is_first, weight_decay != 0.0, schedule.is_some()];
        let scalars = words(&[lr, momentum, 1.0 - dampening, weight_decay]);
        run(OP, Module::Sgd, constants, &tensors, scalars, schedule)
    }
}

/// Adam and AdamW: `torch.optim.Adam`, `torch.optim.AdamW`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Adam {
    /// The learning rate.
    pub lr: f64,
    /// What is kept of the mean of the gradients, and of that of their squares.
    pub betas: (f64, f64),
    /// Added to the root of the latter.
    pub eps: f64,
    /// What of the parameter is added to its gradient; or taken off the parameter, times the learning
    /// rate, where it is decoupled.
    pub weight_decay: f64,
    /// Whether weight decay leaves the gradient alone: AdamW.
    pub decoupled: bool,
}

impl Default for Adam {
    fn default() -> Adam {
        Adam { lr: 1e-3, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0, decoupled: false }
    }
}

impl Adam {
    /// AdamW with its defaults: a decoupled weight decay of 0.01.
    pub fn adamw() -> Adam {
        Adam { weight_decay: 0.01, decoupled: true, ..Adam::default() }
    }

    /// One step, in place. `exp_avg` and `exp_avg_sq` keep the means between steps and begin as zeros;
    /// where `max_exp_avg_sq` is given too, its root is used: amsgrad. Steps are counted from 1. All are
    /// contiguous `float32` tensors with as many elements, of any shape.
    ///
    /// m += (1 − β₁) (g − m); v = β₂ v + (1 − β₂) g²;
    /// p −= lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps). The state has the same bits as the host's but
    /// where weight decay is added to gradients; what a step takes off a parameter is within 13 units in
    /// the last place of it.
    ///
    /// # Errors
    /// [`Error::Parameter`] for tensors of another type, length or order, of which two share elements, or
    /// of two devices; for negative coefficients, betas not below 1, and step 0; [`Error::OutOfMemory`],
    /// [`Error::DeviceLost`].
    pub fn step(
        &self,
        params: &Tensor,
        grads: &Tensor,
        exp_avg: &Tensor,
        exp_avg_sq: &Tensor,
        max_exp_avg_sq: Option<&Tensor>,
        step: u64,
    ) -> Result<()> {
        counted("adam", step)?;
        self.run([params, grads, exp_avg, exp_avg_sq], max_exp_avg_sq, step, None)
    }

    /// Its learning rate, and the count of the steps that were taken, in device memory; with what the betas
    /// come to in each of the first steps, some 130 KB for 0.999.
    ///
    /// # Errors
    /// As for [`Tensor::from_host`], and [`Error::Parameter`] for a negative learning rate, and betas not
    /// below 1, or so near to it that they matter for millions of steps.
    pub fn schedule(&self, stream: &Stream, steps: u32) -> Result<Schedule> {
        self.must_be_right()?;
        Schedule::new(stream, self.lr, Some(self.betas), steps)
    }

    /// The next [`step`](Adam::step) by a schedule, with its learning rate instead of this one's: the same
    /// bits. Beside the kernel, four bytes are copied.
    ///
    /// # Errors
    /// As for [`step`](Adam::step); [`Error::Parameter`] for a schedule of other betas, and for its own
    /// memory as a parameter.
    pub fn step_by(
        &self,
        params: &Tensor,
        grads: &Tensor,
        exp_avg: &Tensor,
        exp_avg_sq: &Tensor,
        max_exp_avg_sq: Option<&Tensor>,
        schedule: &Schedule,
    ) -> Result<()> {
        if schedule.betas != Some(self.betas) {
            let ((first, second), theirs) = (self.betas, schedule.betas);
            let problem = format!("adam: betas {first} and {second} with a schedule of {theirs:?}");
            return Err(Error::Parameter(problem + "; make the schedule by this optimiser"));
        }
        self.run([params, grads, exp_avg, exp_avg_sq], max_exp_avg_sq, 1, Some(schedule))
    }

    fn run(
        &self,
        [params, grads, exp_avg, exp_avg_sq]: [&Tensor; 4],
        max_exp_avg_sq: Option<&Tensor>,
        step: u64,
        schedule: Option<&Schedule>,
    ) -> Result<()> {
        self.must_be_right()?;
        let Adam { lr, betas: (first, second), eps, weight_decay, decoupled } = *self;
        let mut tensors = vec![(params, true), (grads, false), (exp_avg, true), (exp_avg_sq, true)];
        tensors.extend(max_exp_avg_sq.map(|t| (t, true)));
        let (added, taken) = if decoupled { (0.0, weight_decay) } else { (weight_decay, 0.0) };
        let constants = [max_exp_avg_sq.is_some(), false, false, added != 0.0, schedule.is_some()];
        // As the kernel computes them from a schedule.
        let [factor, root] = corrections(self.betas, step);
        let rate = lr as f32 * factor;
        let left = 1.0 - lr as f32 * taken as f32;
        let scalars = words(&[
            rate.into(),
            root.into(),
            1.0 - first,
            second,
            1.0 - second,
            eps,
            added,
            left.into(),
            taken,
        ]);
        run("adam", Module::Adam, constants, &tensors, scalars, schedule)
    }

    fn must_be_right(&self) -> Result<()> {
        const OP: &str = "adam";
        let Adam { lr, betas: (first, second), eps, weight_decay, .. } = *self;
        positive(OP, &[("learning rate", lr), ("eps", eps), ("weight decay", weight_decay)])?;
        if (0.0..1.0).contains(&first) && (0.0..1.0).contains(&second) {
            return Ok(());
        }
        let problem = format!("adam: betas {first} and {second}");
        Err(Error::Parameter(problem + "; give numbers from 0 up to before 1"))
    }
}

/// Scales gradients in place so that the root of the sum of their squares is at most `max_norm`, and
/// returns what it was, a tensor without dimensions (`torch.nn.utils.clip_grad_norm_`). The factor is
/// max_norm / (norm + 1e-6), at most 1. Nothing waits; both are within 16 units in the last place,
/// where squares are no larger and no smaller than a `float32`.
///
/// # Errors
/// [`Error::Parameter`] for a negative norm, and for what is no contiguous `float32` tensor;
/// [`Error::OutOfMemory`], [`Error::DeviceLost`].
pub fn clip_grad_norm(grads: &Tensor, max_norm: f64) -> Result<Tensor> {
    const OP: &str = "clip_grad_norm";
    positive(OP, &[("norm", max_norm)])?;
    must_be_flat(OP, grads)?;
    let norm = grads.square()?.sum(&[], false)?.sqrt()?;
    let factor = norm.add(1e-6)?.reciprocal()?.mul(max_norm)?.clamp(None, Some(1.0))?;
    grads.mul_in_place(&factor)?;
    Ok(norm)
}

fn must_be_flat(op: &str, t: &Tensor) -> Result<()> {
    if t.dtype() == DType::F32 && t.is_contiguous() {
        return Ok(());
    }
    Err(Error::parameter(format!(
        "{op}: a tensor of {} and strides {:?}; parameters, gradients and state are contiguous float32 \
         tensors",
        t.dtype(),
        t.strides()
    )))
}

fn words(values: &[f64]) -> [u32; SCALARS] {
    let mut words = [0; SCALARS];
    for (word, &value) in words.iter_mut().zip(values) {
        *word = (value as f32).to_bits();
    }
    words
}

fn run(
    op: &str,
    module: Module,
    constants: [bool; 5],
    tensors: &[(&Tensor, bool)],
    scalars: [u32; SCALARS],
    schedule: Option<&Schedule>,
) -> Result<()> {
    let first = tensors[0].0;
    for (i, (t, _)) in tensors.iter().enumerate() {
        t.must_be_on(first.stream())?;
        must_be_flat(op, t)?;
        if t.numel() != first.numel() {
            let sizes: Vec<usize> = tensors.iter().map(|(t, _)| t.numel()).collect();
            let problem = format!("{op}: parameters, gradients and state have {sizes:?} elements");
            return Err(Error::Parameter(problem + "; give tensors of one length"));
        }
        let (start, end) = t.layout.extent();
        let shared = tensors[..i].iter().any(|(other, _)| {
            let (other_start, other_end) = other.layout.extent();
            t.shares_storage(other) && start < other_end && other_start < end
        });
        if shared {
            let problem = format!("{op}: two of parameters, gradients and state share elements");
            return Err(Error::Parameter(problem + "; give each memory of its own"));
        }
    }
    if let Some(schedule) = schedule {
        tensors.iter().try_for_each(|(t, _)| schedule.must_go_with(t))?;
        schedule.begin_step(first.stream())?;
    }
    let constants = &constants.map(u32::from);
    let beside = schedule.map(Schedule::bound);
    Flat { module, op: 0, constants, tensors, beside }.run(first.stream(), |_| scalars)
}

fn positive(op: &str, values: &[(&str, f64)]) -> Result<()> {
    // NaN is refused too.
    match values.iter().find(|(_, value)| value.is_nan() || *value < 0.0) {
        Some((what, value)) => {
            Err(Error::parameter(format!("{op}: {what} {value}; give 0 or more")))
        }
        None => Ok(()),
    }
}

fn counted(op: &str, step: u64) -> Result<()> {
    if step > 0 {
        return Ok(());
    }
    Err(Error::parameter(format!("{op}: step 0; count steps from 1")))
}
