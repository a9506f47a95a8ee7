//! Parameters, gradients and state of a group in one tensor each, on a device: what a recorded step
//! changes by one kernel.

use vulkan_core::{DType, Schedule, Stream, Tensor as Flat};

use crate::error::{Error, Result};
use crate::exec::Value;
use crate::tensor::Tensor;

const OP: &str = "record";

/// What is done with a group.
pub(crate) enum Rule {
    Sgd { options: vulkan_core::Sgd, buffer: Option<Flat> },
    Adam { options: vulkan_core::Adam, mean: Flat, squares: Flat, max: Option<Flat> },
}

/// The parameters of a group, views of one tensor, and where their gradients go, views of another.
pub(crate) struct Arena {
    params: Vec<(Tensor, Flat)>,
    all: Flat,
    grads: Flat,
    rule: Rule,
    schedule: Schedule,
    /// What the schedule has.
    lr: f64,
}

/// One after another in one new tensor: that, and a view for each. Each begins at a multiple of four
/// elements, with zeros between.
pub(crate) fn flatten(stream: &Stream, values: &[Value]) -> Result<(Flat, Vec<Flat>)> {
    let ends: Vec<usize> = values
        .iter()
        .scan(0_usize, |end, v| {
            *end += v.numel().next_multiple_of(4);
            Some(*end)
        })
        .collect();
    let all = Flat::zeros(stream, DType::F32, &[ends.last().copied().unwrap_or(0)])?;
    let starts = std::iter::once(0).chain(ends);
    let view = |(start, value): (usize, &Value)| -> Result<Flat> {
        let Value::Device(from) = value else {
            let problem = "a parameter or its state is not on the device";
            return Err(Error::parameter(OP, problem, "move the module there before"));
        };
        let view = all.narrow(0, start, from.numel())?.view(from.shape())?;
        view.copy_from(from)?;
        Ok(view)
    };
    let views = starts.zip(values).map(view).collect::<Result<_>>()?;
    Ok((all, views))
}

/// The stream that the parameters of a group are on.
pub(crate) fn stream_of(params: &[Tensor]) -> Result<Stream> {
    let mut found: Option<Flat> = None;
    for (i, param) in params.iter().enumerate() {
        let Some(t) = param.vulkan().filter(|t| t.dtype() == DType::F32) else {
            let problem = format!("parameter {i} is {} on {}", param.dtype(), param.device());
            return Err(Error::parameter(OP, problem, "keep parameters in float32 on one device"));
        };
        if let Some(first) = found.as_ref().filter(|first| first.device() != t.device()) {
            return Err(Value::Device(first.clone()).elsewhere(OP, &Value::Device(t)));
        }
        found.get_or_insert(t);
    }
    match found {
        Some(t) => Ok(t.stream().clone()),
        None => Err(Error::parameter(OP, "no parameters", "give the optimiser some")),
    }
}

impl Arena {
    /// Moves parameters into one tensor, and has their gradients written into another.
    pub(crate) fn new(
        stream: &Stream,
        params: &[Tensor],
        rule: Rule,
        schedule: Schedule,
        lr: f64,
    ) -> Result<Arena> {
        let values: Vec<Value> = params.iter().map(Tensor::get).collect();
        let (all, views) = flatten(stream, &values)?;
        let grads = Flat::zeros(stream, DType::F32, all.shape())?;
        let mut at = 0;
        let mut kept = Vec::with_capacity(params.len());
        for (param, view) in params.iter().zip(views) {
            let slot = grads.narrow(0, at, view.numel())?.view(view.shape())?;
            at += view.numel().next_multiple_of(4);
            param.put_grad(None);
            param.set_data(&Tensor::of(Value::Device(view)))?;
            param.set_slot(Some(Value::Device(slot.clone())));
            kept.push((param.clone(), slot));
        }
        Ok(Arena { params: kept, all, grads, rule, schedule, lr })
    }

    /// The stream that its steps are recorded on.
    pub(crate) fn stream(&self) -> &Stream {
        self.all.stream()
    }

    /// That its parameters are still in its tensor.
    pub(crate) fn must_hold(&self) -> Result<()> {
        for (i, (param, _)) in self.params.iter().enumerate() {
            if !param.vulkan().is_some_and(|there| there.shares_storage(&self.all)) {
                let problem =
                    format!("parameter {i} was moved elsewhere after the step was recorded");
                return Err(Error::parameter("step", problem, "record another step"));
            }
        }
        Ok(())
    }

    /// Its parameters without gradients again, so that the next ones are written where they belong.
    pub(crate) fn zero_grad(&self) {
        self.params.iter().for_each(|(param, _)| param.zero_grad());
    }

    /// The step, by the gradients that parameters have: those that are elsewhere are copied.
    pub(crate) fn update(&self) -> Result<()> {
        for (i, (param, slot)) in self.params.iter().enumerate() {
            let Some(Value::Device(grad)) = param.grad_value() else {
                let problem = format!("parameter {i} of a group has no gradient");
                return Err(Error::grad(OP, problem, "leave it out of the optimiser"));
            };
            let is_there = grad.shares_storage(slot)
                && grad.storage_offset() == slot.storage_offset()
                && grad.strides() == slot.strides();
            if !is_there {
                slot.copy_from(&grad)?;
                param.put_grad(Some(Value::Device(slot.clone())));
            }
        }
        let Arena { all, grads, schedule, .. } = self;
        match &self.rule {
            Rule::Sgd { options, buffer } => {
                options.step_by(all, grads, buffer.as_ref(), schedule)?;
            }
            Rule::Adam { options, mean, squares, max } => {
                options.step_by(all, grads, mean, squares, max.as_ref(), schedule)?;
            }
        }
        Ok(())
    }

    /// Has the steps to come take this learning rate.
    pub(crate) fn set_lr(&mut self, lr: f64) -> Result<()> {
        if lr == self.lr {
            return Ok(());
        }
        if lr.is_nan() || lr < 0.0 {
            let problem = format!("learning rate {lr}");
            return Err(Error::parameter("step", problem, "give 0 or more"));
        }
        self.schedule.lr().copy_from_host(&[lr as f32])?;
        self.lr = lr;
        Ok(())
    }
}

impl Drop for Arena {
    /// Gradients go wherever they come again.
    fn drop(&mut self) {
        for (param, _) in &self.params {
            param.set_slot(None);
        }
    }
}
