//! Optimisers: parameters changed by their gradients, in place.
//!
//! | module | holds |
//! |---|---|
//! | `arena` | parameters and state in one tensor each, for a recorded step |
//! | `sgd` | [`Sgd`] |
//! | `adam` | [`Adam`], and AdamW |
//! | `clip` | gradients made smaller |
//!
//! Parameters come in groups, each with options of its own, which may be changed between steps (a
//! learning rate that falls). A parameter without a gradient is left alone. A step that fails, for a lack
//! of memory say, has changed no parameter.

mod adam;
#[cfg(feature = "vulkan")]
mod arena;
mod clip;
mod sgd;

pub use adam::{Adam, AdamOptions};
#[cfg(feature = "vulkan")]
pub(crate) use arena::Arena;
pub use clip::{clip_grad_norm, clip_grad_value};
pub use sgd::{Sgd, SgdOptions};

use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Parameters with the same options.
#[derive(Clone, Debug)]
pub struct Group<O> {
    /// The parameters.
    pub params: Vec<Tensor>,
    /// What is done with them.
    pub options: O,
}

/// What an optimiser keeps of its parameters, as torch keeps it: entries by the parameter's number, over
/// all groups, and name, such as `exp_avg`. The step count is an entry `step`, without dimensions.
pub type OptimizerState = Vec<(usize, String, Tensor)>;

/// What a recorded step changes. Opaque outside of this crate.
#[cfg(feature = "vulkan")]
#[doc(hidden)]
pub struct Recorded(pub(crate) Vec<Arena>);

/// An option of a group, as torch has it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Setting {
    /// A number.
    Float(f64),
    /// Two numbers.
    Pair(f64, f64),
    /// Yes or no.
    Bool(bool),
    /// Python's `None`.
    None,
}

/// The options of a group by torch's names, and how many parameters it has.
pub type GroupSettings = (Vec<(&'static str, Setting)>, usize);

/// What all optimisers do.
pub trait Optimizer {
    /// Changes each parameter that has a gradient.
    ///
    /// # Errors
    /// What executors say of options, types and memory; no parameter has changed then.
    fn step(&mut self) -> Result<()>;

    /// All parameters, group by group.
    fn params(&self) -> Vec<Tensor>;

    /// Without gradients again.
    fn zero_grad(&self) {
        self.params().iter().for_each(Tensor::zero_grad);
    }

    /// The options of each group, all that torch's optimiser of this name has.
    fn group_settings(&self) -> Vec<GroupSettings>;

    /// What it keeps: copies.
    ///
    /// # Errors
    /// A lack of memory.
    fn state_dict(&self) -> Result<OptimizerState>;

    /// Takes what another kept for the same parameters, moved to where they are.
    ///
    /// # Errors
    /// [`Error::StateDict`] that lists what is not known or does not fit; nothing is changed then.
    fn load_state_dict(&mut self, state: &OptimizerState) -> Result<()>;

    /// Moves parameters and state together, for a step that is recorded.
    #[cfg(feature = "vulkan")]
    #[doc(hidden)]
    fn recorded(&mut self) -> Result<Recorded> {
        let problem = "this optimiser's steps cannot be recorded";
        Err(Error::parameter("record", problem, "use Sgd or Adam, or step by step"))
    }

    /// Told before the recorded step is done again.
    #[cfg(feature = "vulkan")]
    #[doc(hidden)]
    fn before_replay(&mut self, recorded: &mut Recorded) -> Result<()> {
        let _ = recorded;
        Ok(())
    }
}

/// The one count of steps of a group's parameters.
#[cfg(feature = "vulkan")]
fn common_count(steps: impl Iterator<Item = u64>) -> Result<u32> {
    let mut all: Vec<u64> = steps.collect();
    all.dedup();
    match all[..] {
        [] => Ok(0),
        [one] => Ok(u32::try_from(one).unwrap_or(u32::MAX)),
        _ => {
            let problem = "parameters of a group have taken different numbers of steps";
            Err(Error::parameter("record", problem, "put them into groups of their own"))
        }
    }
}

/// Checks entries of a state against parameters, and gives them by parameter and name.
fn sorted(
    params: &[Tensor],
    names: &[&str],
    state: &OptimizerState,
) -> Result<Vec<Vec<Option<Tensor>>>> {
    let mut all = vec![vec![None; names.len()]; params.len()];
    let mut problems = Vec::new();
    for (at, name, t) in state {
        let Some(param) = params.get(*at) else {
            problems.push(format!("parameter {at} of {}", params.len()));
            continue;
        };
        let Some(place) = names.iter().position(|n| n == name) else {
            problems.push(format!("unknown: {name} of parameter {at}"));
            continue;
        };
        let want = if name == "step" { Vec::new() } else { param.shape() };
        if t.shape() != want {
            problems.push(format!("{name} of parameter {at} is {:?}, not {want:?}", t.shape()));
            continue;
        }
        all[*at][place] = Some(t.clone());
    }
    if problems.is_empty() {
        return Ok(all);
    }
    let advice = "give the state of the same optimiser, of parameters in the same order";
    Err(Error::StateDict { problem: problems.join("; "), advice })
}

/// A count of steps as an entry.
fn count_entry(step: u64) -> Result<Tensor> {
    Tensor::from_slice(&[step as f32], &[])
}

/// And back.
fn count_of(entry: Option<&Tensor>) -> Result<u64> {
    Ok(entry.map(Tensor::item).transpose()?.unwrap_or(0.0).max(0.0) as u64)
}
