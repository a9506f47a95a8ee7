//! Training steps that are recorded once.

use std::sync::{Arc, Mutex, PoisonError};

use numpack_interop::Error;
use numpack_nn::optim::{GroupSettings, Optimizer, OptimizerState};
use numpack_nn::{Objective, Reduction, Result, Tensor, TrainStep};

use crate::handle::{self, Handle};
use crate::nn_layers::{NUMPACK_NN_BCE_WITH_LOGITS, NUMPACK_NN_L1, NUMPACK_NN_MSE};
use crate::nn_module::numpack_nn_module;
use crate::nn_optim::numpack_nn_optimizer;
use crate::nn_tensor::{self, borrow, numpack_nn_tensor, of_nn};
use crate::shell::{guard, parameter};

/// The loss of a step is the mean of `numpack_nn_tensor_cross_entropy` without options.
pub const NUMPACK_NN_CROSS_ENTROPY: i32 = 303;

/// A training step of a module for inputs of given shapes: what it computes, the loss, the way back, and
/// what an optimiser changes. On a device it is recorded once, and done again in one submission. One
/// thread at a time may use it.
#[allow(non_camel_case_types, reason = "the name C programs type")]
pub struct numpack_nn_step {
    step: Mutex<TrainStep<Shared>>,
}

impl Handle for numpack_nn_step {
    const NAME: &str = "step";
}

/// An optimiser that its handle still reaches.
struct Shared(Arc<numpack_nn_optimizer>);

impl Optimizer for Shared {
    fn step(&mut self) -> Result<()> {
        self.0.with(|o| o.step())
    }

    fn params(&self) -> Vec<Tensor> {
        self.0.with(|o| o.params())
    }

    fn group_settings(&self) -> Vec<GroupSettings> {
        self.0.with(|o| o.group_settings())
    }

    fn state_dict(&self) -> Result<OptimizerState> {
        self.0.with(|o| o.state_dict())
    }

    fn load_state_dict(&mut self, state: &OptimizerState) -> Result<()> {
        self.0.with(|o| o.load_state_dict(state))
    }

    #[cfg(feature = "vulkan")]
    fn recorded(&mut self) -> Result<numpack_nn::optim::Recorded> {
        self.0.with(|o| o.recorded())
    }

    #[cfg(feature = "vulkan")]
    fn before_replay(&mut self, recorded: &mut numpack_nn::optim::Recorded) -> Result<()> {
        self.0.with(|o| o.before_replay(recorded))
    }
}

/// Makes a training step for inputs with the shapes and types of `x` and `y`, without doing it yet: `x` is
/// what the module takes, and `loss` compares what it gives with `y`: `NUMPACK_NN_CROSS_ENTROPY`,
/// `NUMPACK_NN_MSE`, `NUMPACK_NN_L1` or `NUMPACK_NN_BCE_WITH_LOGITS`, their means. The caller owns the step,
/// which keeps the module and the optimiser; the optimiser's learning rates may be set as ever, and the
/// next step has them. While the step lives, what else the optimiser is told to do changes the same
/// parameters.
///
/// If `x` is on a device, the parameters must be there, in `FLOAT32`, and are moved together in its
/// memory. Errors: `NUMPACK_PARAMETER` where they are not; what computing says (`numpack_nn_tensor_unary`).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_step_create(
    module: *const numpack_nn_module,
    optimizer: *mut numpack_nn_optimizer,
    loss: i32,
    x: *const numpack_nn_tensor,
    y: *const numpack_nn_tensor,
    step: *mut *mut numpack_nn_step,
) -> i32 {
    guard(|| {
        type Loss = fn(&Tensor, &Tensor) -> Result<Objective>;
        let objective: Loss = match loss {
            NUMPACK_NN_CROSS_ENTROPY => |x, y| Ok(Objective::cross_entropy(x.clone(), y)),
            NUMPACK_NN_MSE => |x, y| Ok(x.mse_loss(y, Reduction::Mean)?.into()),
            NUMPACK_NN_L1 => |x, y| Ok(x.l1_loss(y, Reduction::Mean)?.into()),
            NUMPACK_NN_BCE_WITH_LOGITS => {
                |x, y| Ok(x.binary_cross_entropy_with_logits(y, Reduction::Mean)?.into())
            }
            other => {
                let problem = format!("loss is {other}, which is none of those of a step");
                return Err(parameter(problem));
            }
        };
        // SAFETY: the caller's promise.
        unsafe { create(module, optimizer, x, y, step, objective) }
    })
}

/// Makes a step whose loss this function gives of what the module gives and `y`.
///
/// # Safety
/// As for [`numpack_nn_step_create`].
pub(crate) unsafe fn create(
    module: *const numpack_nn_module,
    optimizer: *mut numpack_nn_optimizer,
    x: *const numpack_nn_tensor,
    y: *const numpack_nn_tensor,
    step: *mut *mut numpack_nn_step,
    objective: impl Fn(&Tensor, &Tensor) -> Result<Objective> + Send + Sync + 'static,
) -> std::result::Result<(), Error> {
    // SAFETY: the caller's promise.
    let module = unsafe { handle::borrow(module) }?.module.clone();
    // SAFETY: the caller's promise.
    let optimizer = Shared(unsafe { handle::share(optimizer.cast_const()) }?);
    // SAFETY: the caller's promise.
    let x = unsafe { borrow(x) }?;
    // SAFETY: the caller's promise.
    let y = unsafe { borrow(y) }?;
    handle::wanted(step)?;
    let of = move |inputs: &[Tensor]| objective(&module.forward(&inputs[0])?, &inputs[1]);
    let new = of_nn(TrainStep::new(optimizer, &[x, y], of))?;
    // SAFETY: not NULL; the caller vouches for the memory.
    unsafe { handle::give(step, numpack_nn_step { step: Mutex::new(new) }) };
    Ok(())
}

/// Does the step once more, with these inputs, of any device, which become of the types that it was made
/// for. Inputs of other shapes have a step of their own, of which eight are kept. On a device nothing
/// waits.
///
/// Errors: what computing says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_step_run(
    step: *mut numpack_nn_step,
    x: *const numpack_nn_tensor,
    y: *const numpack_nn_tensor,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let step = unsafe { handle::borrow(step.cast_const()) }?;
        // SAFETY: the caller's promise.
        let x = unsafe { borrow(x) }?;
        // SAFETY: the caller's promise.
        let y = unsafe { borrow(y) }?;
        let mut step = step.step.lock().unwrap_or_else(PoisonError::into_inner);
        of_nn(step.run(&[x, y]).map(drop))
    })
}

/// The loss of the last step, before its update: a tensor without dimensions, where the module is. The
/// caller owns it. Errors: `NUMPACK_PARAMETER` before the first step.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_step_loss(
    step: *const numpack_nn_step,
    loss: *mut *mut numpack_nn_tensor,
) -> i32 {
    guard(|| {
        // SAFETY: the caller's promise.
        let step = unsafe { handle::borrow(step) }?;
        handle::wanted(loss)?;
        let found = step.step.lock().unwrap_or_else(PoisonError::into_inner).loss();
        // SAFETY: not NULL; the caller vouches for the memory.
        unsafe { nn_tensor::give(loss, of_nn(found)?) };
        Ok(())
    })
}

/// Gives a step back; parameters stay where they are. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn numpack_nn_step_free(step: *mut numpack_nn_step) {
    // SAFETY: the caller's promise.
    unsafe { handle::free(step) };
}
