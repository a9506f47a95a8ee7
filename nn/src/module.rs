//! Modules: what has parameters, and computes with them.

use std::collections::{HashMap, HashSet};

use crate::autograd::no_grad;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::exec::Unary;
use crate::layers::{Attend, Linear};
use crate::tensor::Tensor;

/// Something of which a module consists.
#[derive(Clone, Copy)]
pub enum Part<'a> {
    /// A tensor that is trained.
    Parameter(&'a Tensor),
    /// A tensor that is kept with the parameters, and not trained.
    Buffer(&'a Tensor),
    /// A module.
    Module(&'a dyn Module),
}

/// What a module is to the module it is in, where that can do several in one kernel.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub enum Role<'a> {
    Other,
    Linear(&'a Linear),
    Activation(ActivationRole),
}

/// Opaque outside of this crate.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct ActivationRole(pub(crate) Unary);

/// What has parameters and computes with them (`torch.nn.Module`).
///
/// Whoever implements it says what it consists of, by [`parts`](Module::parts), and the rest follows:
/// names, states, moves.
///
/// ```
/// use numpack_nn::{Linear, Module, ModuleExt, Part, Result, Tensor};
/// struct Twice { inner: Linear }
/// impl Module for Twice {
///     fn forward(&self, x: &Tensor) -> Result<Tensor> {
///         self.inner.forward(&self.inner.forward(x)?)
///     }
///     fn parts(&self) -> Vec<(String, Part<'_>)> {
///         vec![("inner".into(), Part::Module(&self.inner))]
///     }
/// }
/// let twice = Twice { inner: Linear::new(3, 3, true)? };
/// let names: Vec<String> = twice.named_parameters().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["inner.weight", "inner.bias"]);
/// # Ok::<(), numpack_nn::Error>(())
/// ```
pub trait Module: Send + Sync {
    /// What it computes.
    ///
    /// # Errors
    /// What its operations say.
    fn forward(&self, x: &Tensor) -> Result<Tensor>;

    /// The same, attending to no more than it may; of modules of attention.
    ///
    /// # Errors
    /// [`Error::Parameter`] of all others; what its operations say.
    fn forward_masked(&self, x: &Tensor, attend: Attend<'_>) -> Result<Tensor> {
        let _ = (x, attend);
        let problem = "this module attends to nothing, so nothing can be hidden from it";
        Err(Error::parameter("forward_masked", problem, "call forward"))
    }

    /// What it consists of, by name, in torch's order.
    fn parts(&self) -> Vec<(String, Part<'_>)> {
        Vec::new()
    }

    /// Told whether it is being trained, where that makes a difference to it.
    fn set_training(&self, training: bool) {
        let _ = training;
    }

    #[doc(hidden)]
    fn role(&self) -> Role<'_> {
        Role::Other
    }
}

impl dyn Module + '_ {
    fn visit<'a>(&'a self, prefix: &str, f: &mut dyn FnMut(String, Part<'a>)) {
        for (name, part) in self.parts() {
            let name = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
            f(name.clone(), part);
            if let Part::Module(module) = part {
                module.visit(&name, f);
            }
        }
    }
}

/// What every module can do.
pub trait ModuleExt: Module {
    /// Everything it consists of, modules in it and their parts too, by dotted names.
    fn all_parts(&self) -> Vec<(String, Part<'_>)>;

    /// Its parameters by their dotted names. One that has two names comes once, by the first.
    fn named_parameters(&self) -> Vec<(String, Tensor)> {
        let mut all: Vec<(String, Tensor)> = Vec::new();
        for (name, part) in self.all_parts() {
            if let Part::Parameter(t) = part
                && !all.iter().any(|(_, other)| other.is_same(t))
            {
                all.push((name, t.clone()));
            }
        }
        all
    }

    /// Its parameters.
    fn parameters(&self) -> Vec<Tensor> {
        self.named_parameters().into_iter().map(|(_, t)| t).collect()
    }

    /// Its buffers by their dotted names.
    fn named_buffers(&self) -> Vec<(String, Tensor)> {
        let buffer = |(name, part)| match part {
            Part::Buffer(t) => Some((name, t.clone())),
            _ => None,
        };
        self.all_parts().into_iter().filter_map(buffer).collect()
    }

    /// How many numbers are trained.
    fn parameter_count(&self) -> usize {
        self.parameters().iter().map(Tensor::numel).sum()
    }

    /// Parameters and buffers by their dotted names, all names of those that have several: the same
    /// memory, wanting no gradients (`torch.nn.Module.state_dict`).
    fn state_dict(&self) -> Vec<(String, Tensor)> {
        let entry = |(name, part)| match part {
            Part::Parameter(t) | Part::Buffer(t) => Some((name, t.detach())),
            Part::Module(_) => None,
        };
        self.all_parts().into_iter().filter_map(entry).collect()
    }

    /// Copies a state into parameters and buffers, of any type and device. If `strict`, both sides have
    /// the same names. Gives the names that were missing, and those that were not used.
    ///
    /// # Errors
    /// [`Error::StateDict`] that lists all names that are missing or unknown, and all shapes that
    /// differ; nothing is changed then.
    fn load_state_dict(
        &self,
        state: &[(String, Tensor)],
        strict: bool,
    ) -> Result<(Vec<String>, Vec<String>)> {
        let given: HashMap<&str, &Tensor> = state.iter().map(|(name, t)| (&name[..], t)).collect();
        let parts = self.all_parts();
        let mut known = HashSet::new();
        let (mut missing, mut differ, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
        for (name, part) in &parts {
            let (Part::Parameter(to) | Part::Buffer(to)) = part else { continue };
            known.insert(&name[..]);
            match given.get(&name[..]) {
                None => missing.push(name.clone()),
                Some(from) if from.shape() == to.shape() => pairs.push((*to, *from)),
                Some(from) => {
                    differ.push(format!("{name} is {:?}, not {:?}", from.shape(), to.shape()));
                }
            }
        }
        let unknown: Vec<String> = state
            .iter()
            .map(|(name, _)| name)
            .filter(|n| !known.contains(&n[..]))
            .cloned()
            .collect();
        let mut problems = Vec::new();
        if strict && !missing.is_empty() {
            problems.push(format!("missing: {}", missing.join(", ")));
        }
        if strict && !unknown.is_empty() {
            problems.push(format!("unknown: {}", unknown.join(", ")));
        }
        if !differ.is_empty() {
            problems.push(format!("other shapes: {}", differ.join(", ")));
        }
        if !problems.is_empty() {
            let advice = "give the state of a module made with the same arguments";
            return Err(Error::StateDict { problem: problems.join("; "), advice });
        }
        // Moved first, so that a lack of memory is found before anything is changed.
        let moved: Vec<(&Tensor, Tensor)> = pairs
            .into_iter()
            .map(|(to, from)| Ok((to, from.detach().to_device(&to.device())?)))
            .collect::<Result<_>>()?;
        no_grad(|| moved.iter().try_for_each(|(to, from)| to.copy_(from)))?;
        Ok((missing, unknown))
    }

    /// Moves parameters and buffers; whoever holds them sees them there. Gradients go.
    ///
    /// # Errors
    /// What devices say; those that were moved already stay there.
    fn to_device(&self, device: &Device) -> Result<()> {
        for (_, part) in self.all_parts() {
            if let Part::Parameter(t) | Part::Buffer(t) = part {
                let moved = no_grad(|| t.detach().to_device(device))?;
                t.set_data(&moved)?;
            }
        }
        Ok(())
    }

    /// Whether it is trained, or used: dropout is only done in training. Modules are made for
    /// training.
    fn train(&self, training: bool) {
        self.set_training(training);
        for (_, part) in self.all_parts() {
            if let Part::Module(module) = part {
                module.set_training(training);
            }
        }
    }

    /// Used from here on: `train(false)`.
    fn eval(&self) {
        self.train(false);
    }

    /// Without gradients again.
    fn zero_grad(&self) {
        self.parameters().iter().for_each(Tensor::zero_grad);
    }
}

impl<M: Module> ModuleExt for M {
    fn all_parts(&self) -> Vec<(String, Part<'_>)> {
        let mut all = Vec::new();
        (self as &dyn Module).visit("", &mut |name, part| all.push((name, part)));
        all
    }
}

impl ModuleExt for dyn Module + '_ {
    fn all_parts(&self) -> Vec<(String, Part<'_>)> {
        let mut all = Vec::new();
        self.visit("", &mut |name, part| all.push((name, part)));
        all
    }
}
