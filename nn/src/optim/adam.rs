//! Adam and AdamW.

use numpack_host_ops::optim;

use super::{
    Group, GroupSettings, Optimizer, OptimizerState, Setting, count_entry, count_of, sorted,
};
use crate::autograd::no_grad;
use crate::error::{Error, Result};
use crate::exec::Value;
use crate::tensor::Tensor;

/// Options of [`Adam`]; the defaults are those of `torch.optim.Adam`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamOptions {
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
    /// Whether the largest mean of squares so far is used.
    pub amsgrad: bool,
}

impl Default for AdamOptions {
    fn default() -> AdamOptions {
        let optim::Adam { lr, betas, eps, weight_decay, decoupled } = optim::Adam::default();
        AdamOptions { lr, betas, eps, weight_decay, decoupled, amsgrad: false }
    }
}

impl AdamOptions {
    /// The defaults of `torch.optim.AdamW`.
    pub fn adamw() -> AdamOptions {
        AdamOptions { weight_decay: 0.01, decoupled: true, ..AdamOptions::default() }
    }

    fn plain(self) -> optim::Adam {
        let AdamOptions { lr, betas, eps, weight_decay, decoupled, .. } = self;
        optim::Adam { lr, betas, eps, weight_decay, decoupled }
    }
}

#[derive(Clone, Debug)]
struct Kept {
    steps: u64,
    mean: Value,
    squares: Value,
    max: Option<Value>,
}

/// Adam and AdamW (`torch.optim.Adam`, `torch.optim.AdamW`).
#[derive(Debug, Default)]
pub struct Adam {
    /// The parameters and their options.
    pub groups: Vec<Group<AdamOptions>>,
    kept: Vec<Option<Kept>>,
}

impl Adam {
    /// Of parameters in one group.
    pub fn new(params: Vec<Tensor>, options: AdamOptions) -> Adam {
        Adam { groups: vec![Group { params, options }], kept: Vec::new() }
    }
}

impl Optimizer for Adam {
    fn step(&mut self) -> Result<()> {
        let params = self.params();
        self.kept.resize(params.len(), None);
        // All that may fail for want of memory, first.
        let mut ready = Vec::with_capacity(params.len());
        let options = self.groups.iter().flat_map(|g| g.params.iter().map(|_| g.options));
        for ((param, options), kept) in params.iter().zip(options).zip(&mut self.kept) {
            let Some(grad) = param.grad_value() else { continue };
            options.plain().step::<f32>(&mut [], &[], &mut [], &mut [], None, 1)?;
            let zeros = || param.value().zeros_like();
            let kept = match kept {
                Some(kept) => kept,
                None => {
                    kept.insert(Kept { steps: 0, mean: zeros()?, squares: zeros()?, max: None })
                }
            };
            if options.amsgrad && kept.max.is_none() {
                kept.max = Some(zeros()?);
            }
            ready.push((param, options, kept, grad.contiguous()?));
        }
        no_grad(|| {
            for (param, options, kept, grad) in ready {
                let Kept { steps, mean, squares, max } = kept;
                let max = max.as_mut().filter(|_| options.amsgrad);
                let (plain, step) = (options.plain(), *steps + 1);
                param.change("adam", |value| {
                    value.adam(&grad, [mean, squares], max, &plain, step)
                })?;
                *steps = step;
            }
            Ok(())
        })
    }

    fn params(&self) -> Vec<Tensor> {
        self.groups.iter().flat_map(|g| g.params.iter().cloned()).collect()
    }

    fn group_settings(&self) -> Vec<GroupSettings> {
        let of = |group: &Group<AdamOptions>| {
            let o = &group.options;
            let all = vec![
                ("lr", Setting::Float(o.lr)),
                ("betas", Setting::Pair(o.betas.0, o.betas.1)),
                ("eps", Setting::Float(o.eps)),
                ("weight_decay", Setting::Float(o.weight_decay)),
                ("amsgrad", Setting::Bool(o.amsgrad)),
                ("maximize", Setting::Bool(false)),
                ("foreach", Setting::None),
                ("capturable", Setting::Bool(false)),
                ("differentiable", Setting::Bool(false)),
                ("fused", Setting::None),
                ("decoupled_weight_decay", Setting::Bool(o.decoupled)),
            ];
            (all, group.params.len())
        };
        self.groups.iter().map(of).collect()
    }

    fn state_dict(&self) -> Result<OptimizerState> {
        let mut all = Vec::new();
        for (i, kept) in self.kept.iter().enumerate() {
            let Some(kept) = kept else { continue };
            all.push((i, "step".to_owned(), count_entry(kept.steps)?));
            all.push((i, "exp_avg".to_owned(), Tensor::of(kept.mean.copy()?)));
            all.push((i, "exp_avg_sq".to_owned(), Tensor::of(kept.squares.copy()?)));
            if let Some(max) = &kept.max {
                all.push((i, "max_exp_avg_sq".to_owned(), Tensor::of(max.copy()?)));
            }
        }
        Ok(all)
    }

    fn load_state_dict(&mut self, state: &OptimizerState) -> Result<()> {
        let params = self.params();
        let names = ["step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"];
        let mut all = Vec::new();
        for (i, (param, entries)) in params.iter().zip(sorted(&params, &names, state)?).enumerate()
        {
            let there =
                |t: &Tensor| t.get().cast(param.dtype())?.to_device(&param.device())?.copy();
            all.push(match &entries[..] {
                [None, None, None, None] => None,
                [Some(steps), Some(mean), Some(squares), max] => Some(Kept {
                    steps: count_of(Some(steps))?,
                    mean: there(mean)?,
                    squares: there(squares)?,
                    max: max.as_ref().map(there).transpose()?,
                }),
                _ => {
                    let problem =
                        format!("parameter {i} has not all of step, exp_avg and exp_avg_sq");
                    let advice = "give the whole state";
                    return Err(Error::StateDict { problem, advice });
                }
            });
        }
        self.kept = all;
        Ok(())
    }

    #[cfg(feature = "vulkan")]
    fn recorded(&mut self) -> Result<super::Recorded> {
        use super::arena::{self, Arena, Rule};
        let count = self.params().len();
        self.kept.resize(count, None);
        let mut rest = &mut self.kept[..];
        let mut arenas = Vec::new();
        for group in &self.groups {
            let own;
            (own, rest) = rest.split_at_mut(group.params.len());
            let stream = arena::stream_of(&group.params)?;
            let steps = own.iter().map(|kept| kept.as_ref().map_or(0, |k| k.steps));
            let steps = super::common_count(steps)?;
            let plain = group.options.plain();
            let options = vulkan_core::Adam {
                lr: plain.lr,
                betas: plain.betas,
                eps: plain.eps,
                weight_decay: plain.weight_decay,
                decoupled: plain.decoupled,
            };
            let schedule = options.schedule(&stream, steps)?;
            let part = |of: &dyn Fn(&Kept) -> Option<Value>| {
                let each = own.iter().zip(&group.params).map(|(kept, param)| {
                    match kept.as_ref().and_then(of) {
                        Some(value) => Ok(value),
                        None => param.value().zeros_like(),
                    }
                });
                arena::flatten(&stream, &each.collect::<Result<Vec<_>>>()?)
            };
            let (mean, means) = part(&|k| Some(k.mean.clone()))?;
            let (squares, all_squares) = part(&|k| Some(k.squares.clone()))?;
            let max = group.options.amsgrad.then(|| part(&|k| k.max.clone())).transpose()?;
            let (max, maxima) = max.unzip();
            let rule = Rule::Adam { options, mean, squares, max };
            arenas.push(Arena::new(&stream, &group.params, rule, schedule, plain.lr)?);
            for (i, kept) in own.iter_mut().enumerate() {
                *kept = Some(Kept {
                    steps: steps.into(),
                    mean: Value::Device(means[i].clone()),
                    squares: Value::Device(all_squares[i].clone()),
                    max: maxima.as_ref().map(|m| Value::Device(m[i].clone())),
                });
            }
        }
        Ok(super::Recorded(arenas))
    }

    #[cfg(feature = "vulkan")]
    fn before_replay(&mut self, recorded: &mut super::Recorded) -> Result<()> {
        for (group, arena) in self.groups.iter().zip(&mut recorded.0) {
            arena.set_lr(group.options.lr)?;
        }
        self.kept.iter_mut().flatten().for_each(|kept| kept.steps += 1);
        Ok(())
    }
}
