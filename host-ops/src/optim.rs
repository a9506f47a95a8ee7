//! Optimisers' steps, in place on flat memory: parameters, gradients and state of a whole network
//! may lie in one slice each. Formulas are those of `torch.optim`; numbers are computed in the
//! slices' type, from coefficients computed in doubles.

use crate::number::Float;
use crate::sums::sum_by;
use crate::{Error, Result};

/// A type that parameters are of: `f32` or `f64`.
pub trait Real: Float {}

impl Real for f32 {}
impl Real for f64 {}

fn check(op: &'static str, sizes: &[usize]) -> Result<()> {
    if sizes.windows(2).all(|pair| pair[0] == pair[1]) {
        return Ok(());
    }
    let problem = format!("parameters, gradients and state have {sizes:?} elements");
    Err(Error::shape(op, problem, "give slices of one length"))
}

fn positive(op: &'static str, what: &str, value: f64) -> Result<()> {
    if value >= 0.0 {
        return Ok(());
    }
    Err(Error::parameter(op, format!("{what} {value}"), "give 0 or more"))
}

fn counted(op: &'static str, step: u64) -> Result<()> {
    if step > 0 { Ok(()) } else { Err(Error::parameter(op, "step 0", "count steps from 1")) }
}

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
    /// One step. `buffer` keeps the direction between steps; without momentum it is not used and may
    /// be empty. Steps are counted from 1; in the first one the direction is the gradient.
    ///
    /// g += weight_decay · p; b = momentum · b + (1 − dampening) g; p −= lr · b, or with nesterov
    /// p −= lr (g + momentum · b).
    ///
    /// # Errors
    /// [`Error::Shape`] for slices of several lengths, [`Error::Parameter`] for negative coefficients,
    /// nesterov without momentum or with dampening, or step 0.
    ///
    /// ```
    /// use numpack_host_ops::optim::Sgd;
    /// let mut weights = [1.0_f32, -1.0];
    /// Sgd { lr: 0.5, ..Sgd::default() }.step(&mut weights, &[1.0, 1.0], &mut [], 1)?;
    /// assert_eq!(weights, [0.5, -1.5]);
    /// # Ok::<(), numpack_host_ops::Error>(())
    /// ```
    pub fn step<T: Real>(
        &self,
        params: &mut [T],
        grads: &[T],
        buffer: &mut [T],
        step: u64,
    ) -> Result<()> {
        const OP: &str = "sgd";
        let Sgd { lr, momentum, dampening, weight_decay, nesterov } = *self;
        counted(OP, step)?;
        for (what, value) in
            [("learning rate", lr), ("momentum", momentum), ("weight decay", weight_decay)]
        {
            positive(OP, what, value)?;
        }
        if nesterov && (momentum <= 0.0 || dampening != 0.0) {
            let problem = format!("nesterov with momentum {momentum} and dampening {dampening}");
            return Err(Error::parameter(OP, problem, "give a momentum and no dampening"));
        }
        let [rate, keep, add, decay] = [lr, momentum, 1.0 - dampening, weight_decay].map(T::of);
        if momentum == 0.0 {
            check(OP, &[params.len(), grads.len()])?;
            for (p, &g) in params.iter_mut().zip(grads) {
                *p = *p - rate * (g + decay * *p);
            }
            return Ok(());
        }
        check(OP, &[params.len(), grads.len(), buffer.len()])?;
        for ((p, &g), b) in params.iter_mut().zip(grads).zip(buffer) {
            let g = g + decay * *p;
            *b = if step == 1 { g } else { keep * *b + add * g };
            *p = *p - rate * if nesterov { g + keep * *b } else { *b };
        }
        Ok(())
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

    /// One step. `exp_avg` and `exp_avg_sq` keep the means between steps and begin as zeros; where
    /// `max_exp_avg_sq` is given too, its root is used: amsgrad. Steps are counted from 1.
    ///
    /// m += (1 − β₁) (g − m); v = β₂ v + (1 − β₂) g²;
    /// p −= lr / (1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + eps).
    ///
    /// # Errors
    /// [`Error::Shape`] for slices of several lengths, [`Error::Parameter`] for negative coefficients,
    /// betas not below 1, or step 0.
    ///
    /// ```
    /// use numpack_host_ops::optim::Adam;
    /// let (mut weights, mut mean, mut squares) = ([1.0_f64], [0.0], [0.0]);
    /// Adam::default().step(&mut weights, &[3.0], &mut mean, &mut squares, None, 1)?;
    /// assert!((weights[0] - 0.999).abs() < 1e-9);
    /// # Ok::<(), numpack_host_ops::Error>(())
    /// ```
    pub fn step<T: Real>(
        &self,
        params: &mut [T],
        grads: &[T],
        exp_avg: &mut [T],
        exp_avg_sq: &mut [T],
        max_exp_avg_sq: Option<&mut [T]>,
        step: u64,
    ) -> Result<()> {
        const OP: &str = "adam";
        let Adam { lr, betas: (first, second), eps, weight_decay, decoupled } = *self;
        counted(OP, step)?;
        for (what, value) in [("learning rate", lr), ("eps", eps), ("weight decay", weight_decay)] {
            positive(OP, what, value)?;
        }
        if !((0.0..1.0).contains(&first) && (0.0..1.0).contains(&second)) {
            let problem = format!("betas {first} and {second}");
            return Err(Error::parameter(OP, problem, "give numbers from 0 up to before 1"));
        }
        let sizes = [params.len(), grads.len(), exp_avg.len(), exp_avg_sq.len()];
        check(OP, &sizes)?;
        let power = |beta: f64| 1.0 - beta.powf(step as f64);
        let rate = T::of(lr / power(first));
        let root = T::of(power(second).sqrt());
        let [new_mean, keep, new_square, eps] = [1.0 - first, second, 1.0 - second, eps].map(T::of);
        let (added, left) = match decoupled {
            true => (T::ZERO, T::of(1.0 - lr * weight_decay)),
            false => (T::of(weight_decay), T::ONE),
        };
        let update = |p: &mut T, g: T, m: &mut T, v: &mut T, max: Option<&mut T>| {
            *p = *p * left;
            let g = g + added * *p;
            *m = *m + new_mean * (g - *m);
            *v = keep * *v + new_square * g * g;
            let square = match max {
                Some(max) => {
                    *max = max.greater(*v);
                    *max
                }
                None => *v,
            };
            *p = *p - rate * (*m / (square.sqrt() / root + eps));
        };
        let all = params.iter_mut().zip(grads).zip(exp_avg).zip(exp_avg_sq);
        match max_exp_avg_sq {
            None => all.for_each(|(((p, &g), m), v)| update(p, g, m, v, None)),
            Some(max) => {
                check(OP, &[sizes[0], max.len()])?;
                all.zip(max).for_each(|((((p, &g), m), v), max)| update(p, g, m, v, Some(max)));
            }
        }
        Ok(())
    }
}

/// Scales gradients so that the root of the sum of their squares is at most `max_norm`, and returns
/// what it was: `torch.nn.utils.clip_grad_norm_`. The factor is max_norm / (norm + 1e-6), at most 1.
///
/// # Errors
/// [`Error::Parameter`] for a negative norm.
pub fn clip_grad_norm<T: Real>(grads: &mut [T], max_norm: f64) -> Result<f64> {
    positive("clip_grad_norm", "norm", max_norm)?;
    let norm = sum_by(grads, &|g| g.wide() * g.wide()).sqrt();
    let factor = T::of((max_norm / (norm + 1e-6)).min(1.0));
    grads.iter_mut().for_each(|g| *g = *g * factor);
    Ok(norm)
}
