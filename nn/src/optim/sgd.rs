//! Stochastic gradient descent.

use numpack_host_ops::optim;

use super::{Group, Optimizer, OptimizerState, count_entry, count_of, sorted};
use crate::autograd::no_grad;
use crate::error::{Error, Result};
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

    fn state_dict(&self) -> Result<OptimizerState> {
        let mut all = Vec::new();
        for (i, kept) in self.kept.iter().enumerate() {
            if let Some(momentum) = &kept.momentum {
                all.push((i, "momentum_buffer".to_owned(), Tensor::of(momentum.copy()?)));
            }
            if kept.steps > 0 {
                all.push((i, "step".to_owned(), count_entry(kept.steps)?));
            }
        }
        Ok(all)
    }

    fn load_state_dict(&mut self, state: &OptimizerState) -> Result<()> {
        let params = self.params();
        let mut kept = Vec::new();
        for (param, entries) in
            params.iter().zip(sorted(&params, &["momentum_buffer", "step"], state)?)
        {
            let [momentum, steps] = &entries[..] else {
                return Err(Error::parameter("load_state_dict", "entries", "report this"));
            };
            let momentum = momentum
                .as_ref()
                .map(|m| m.get().cast(param.dtype())?.to_device(&param.device())?.copy());
            let steps = match steps {
                Some(_) => count_of(steps.as_ref())?,
                // Torch keeps no count; a buffer says that there was a step.
                None => momentum.is_some().into(),
            };
            kept.push(Kept { steps, momentum: momentum.transpose()? });
        }
        self.kept = kept;
        Ok(())
    }
}
