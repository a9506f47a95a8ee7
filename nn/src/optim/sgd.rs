//! Stochastic gradient descent.

use numpack_host_ops::optim;

use super::{Group, GroupSettings, Optimizer, OptimizerState, Setting, sorted};
use crate::autograd::no_grad;
use crate::error::Result;
use crate::exec::Value;
use crate::tensor::Tensor;

/// Options of [`Sgd`]: learning rate, momentum, dampening, weight decay, nesterov.
pub type SgdOptions = optim::Sgd;

#[derive(Clone, Debug, Default)]
struct Kept {
    steps: u64,
    momentum: Option<Value>,
}

/// Stochastic gradient descent (`torch.optim.SGD`).
#[derive(Debug, Default)]
pub struct Sgd {
    /// The parameters and their options.
    pub groups: Vec<Group<SgdOptions>>,
    kept: Vec<Kept>,
}

impl Sgd {
    /// Of parameters in one group.
    pub fn new(params: Vec<Tensor>, options: SgdOptions) -> Sgd {
        Sgd { groups: vec![Group { params, options }], kept: Vec::new() }
    }
}

impl Optimizer for Sgd {
    fn step(&mut self) -> Result<()> {
        let params = self.params();
        self.kept.resize_with(params.len(), Kept::default);
        // All that may fail for want of memory, first.
        let mut ready = Vec::with_capacity(params.len());
        let options = self.groups.iter().flat_map(|g| g.params.iter().map(|_| g.options));
        for ((param, options), kept) in params.iter().zip(options).zip(&mut self.kept) {
            let Some(grad) = param.grad_value() else { continue };
            options.step::<f32>(&mut [], &[], &mut [], 1)?;
            if options.momentum != 0.0 && kept.momentum.is_none() {
                kept.momentum = Some(param.value().zeros_like()?);
            }
            ready.push((param, options, kept, grad.contiguous()?));
        }
        no_grad(|| {
            for (param, options, kept, grad) in ready {
                let (steps, momentum) = (kept.steps + 1, kept.momentum.as_mut());
                param.change("sgd", |value| value.sgd(&grad, momentum, &options, steps))?;
                kept.steps = steps;
            }
            Ok(())
        })
    }

    fn params(&self) -> Vec<Tensor> {
        self.groups.iter().flat_map(|g| g.params.iter().cloned()).collect()
    }

    fn group_settings(&self) -> Vec<GroupSettings> {
        let of = |group: &Group<SgdOptions>| {
            let o = &group.options;
            let all = vec![
                ("lr", Setting::Float(o.lr)),
                ("momentum", Setting::Float(o.momentum)),
                ("dampening", Setting::Float(o.dampening)),
                ("weight_decay", Setting::Float(o.weight_decay)),
                ("nesterov", Setting::Bool(o.nesterov)),
                ("maximize", Setting::Bool(false)),
                ("foreach", Setting::None),
                ("differentiable", Setting::Bool(false)),
                ("fused", Setting::None),
            ];
            (all, group.params.len())
        };
        self.groups.iter().map(of).collect()
    }

    fn state_dict(&self) -> Result<OptimizerState> {
        let mut all = Vec::new();
        for (i, kept) in self.kept.iter().enumerate() {
            if let Some(momentum) = &kept.momentum {
                all.push((i, "momentum_buffer".to_owned(), Tensor::of(momentum.copy()?)));
            }
        }
        Ok(all)
    }

    fn load_state_dict(&mut self, state: &OptimizerState) -> Result<()> {
        let params = self.params();
        let mut kept = Vec::new();
        for (param, entries) in params.iter().zip(sorted(&params, &["momentum_buffer"], state)?) {
            let there =
                |m: &Tensor| m.get().cast(param.dtype())?.to_device(&param.device())?.copy();
            let momentum = entries.first().and_then(Option::as_ref).map(there).transpose()?;
            // There is no count but that a buffer says that there was a step.
            kept.push(Kept { steps: momentum.is_some().into(), momentum });
        }
        self.kept = kept;
        Ok(())
    }

    #[cfg(feature = "vulkan")]
    fn recorded(&mut self) -> Result<super::Recorded> {
        use super::arena::{self, Arena, Rule};
        let count = self.params().len();
        self.kept.resize_with(count, Kept::default);
        let mut rest = &mut self.kept[..];
        let mut arenas = Vec::new();
        for group in &self.groups {
            let own;
            (own, rest) = rest.split_at_mut(group.params.len());
            let stream = arena::stream_of(&group.params)?;
            let steps = super::common_count(own.iter().map(|kept| kept.steps))?;
            let optim::Sgd { lr, momentum, dampening, weight_decay, nesterov } = group.options;
            let options = vulkan_core::Sgd { lr, momentum, dampening, weight_decay, nesterov };
            let schedule = options.schedule(&stream, steps)?;
            let mut buffer = None;
            if momentum != 0.0 {
                let each =
                    own.iter().zip(&group.params).map(|(kept, param)| match &kept.momentum {
                        Some(value) => Ok(value.clone()),
                        None => param.value().zeros_like(),
                    });
                let (all, views) = arena::flatten(&stream, &each.collect::<Result<Vec<_>>>()?)?;
                for (kept, view) in own.iter_mut().zip(views) {
                    kept.momentum = Some(Value::Device(view));
                }
                buffer = Some(all);
            }
            let rule = Rule::Sgd { options, buffer };
            arenas.push(Arena::new(&stream, &group.params, rule, schedule, lr)?);
        }
        Ok(super::Recorded(arenas))
    }

    #[cfg(feature = "vulkan")]
    fn before_replay(&mut self, recorded: &mut super::Recorded) -> Result<()> {
        for (group, arena) in self.groups.iter().zip(&mut recorded.0) {
            arena.set_lr(group.options.lr)?;
        }
        self.kept.iter_mut().for_each(|kept| kept.steps += 1);
        Ok(())
    }
}
