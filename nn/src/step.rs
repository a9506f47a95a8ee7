//! A training step that is recorded once.

use numpack_host_ops::Reduction;

use crate::autograd::{Gradient, no_grad, run};
use crate::error::{Error, Result};
use crate::optim::Optimizer;
#[cfg(feature = "vulkan")]
use crate::optim::Recorded;
use crate::tensor::{CrossEntropy, Tensor};

const OP: &str = "step";

/// What a step makes smaller.
pub enum Objective {
    /// A single number.
    Loss(Tensor),
    /// [`Tensor::cross_entropy`] of logits and a target, not of reduction none. On a device the number itself
    /// is only computed when it is asked for.
    CrossEntropy {
        /// Of shape (batch, classes, …).
        logits: Tensor,
        /// Class indices or probabilities.
        target: Tensor,
        /// How they are compared.
        options: CrossEntropy,
    },
}

impl From<Tensor> for Objective {
    fn from(loss: Tensor) -> Objective {
        Objective::Loss(loss)
    }
}

impl Objective {
    /// With [`CrossEntropy`]'s defaults.
    pub fn cross_entropy(logits: Tensor, target: &Tensor) -> Objective {
        Objective::CrossEntropy { logits, target: target.clone(), options: CrossEntropy::default() }
    }

    /// Does the way back, and gives numbers whose sum is the loss.
    fn lead_back(self) -> Result<Tensor> {
        match self {
            Objective::Loss(loss) => {
                loss.backward()?;
                Ok(loss.detach())
            }
            Objective::CrossEntropy { logits, target, options } => {
                if options.reduction == Reduction::None {
                    let problem = "losses that are not reduced";
                    return Err(Error::grad(OP, problem, "take their mean or sum"));
                }
                let losses = options.losses(false);
                let fused = logits.get().losses_with_grad(&target.get(), &losses)?;
                let (Some((losses, slope)), Some(target)) = (fused, logits.target()) else {
                    return Objective::Loss(logits.cross_entropy(&target, &options)?).lead_back();
                };
                run(target, Gradient::new(slope), false)?;
                Ok(Tensor::of(losses))
            }
        }
    }
}

/// What a step computes of its inputs.
type Function = Box<dyn Fn(&[Tensor]) -> Result<Objective> + Send + Sync>;

/// How it is done again.
enum How {
    /// The host does it anew.
    Anew(Function),
    /// The device does what was recorded.
    #[cfg(feature = "vulkan")]
    Recorded { sequence: vulkan_core::Sequence, recorded: Recorded },
}

/// A training step, forward, loss, backward and update, for inputs of given shapes. On a device it is
/// recorded once, and done again in one submission; on the host it is done anew each time.
///
/// Parameters, gradients, moments and inputs stay where they are on the device: all parameters of a group
/// in one tensor. Random numbers and counts of steps move on there. What the step computes of numbers and
/// shapes on the host, such as an `if` on a value that was read, cannot be recorded: it is an error to read
/// a value meanwhile. After a change of a learning rate in the optimiser's groups the next step has it; other
/// options stay as they were recorded.
///
/// ```
/// use numpack_nn::optim::{Adam, AdamOptions};
/// use numpack_nn::{DType, Device, Linear, Module, ModuleExt, Objective, ReLU, Sequential, TrainStep, Tensor};
/// let model =
///     Sequential::new().add(Linear::new(10, 20, true)?).add(ReLU).add(Linear::new(20, 2, true)?);
/// let x = Tensor::randn(&[100, 10], DType::F32, &Device::Cpu)?;
/// let y = x.sum_dims(&[1], false)?.gt(0.0)?.to_dtype(DType::I64)?;
/// let adam = Adam::new(model.parameters(), AdamOptions { lr: 0.01, ..Default::default() });
/// let network = model.clone();
/// let mut step = TrainStep::new(adam, &[&x, &y], move |inputs| {
///     Ok(Objective::cross_entropy(network.forward(&inputs[0])?, &inputs[1]))
/// })?;
/// let first = step.run(&[&x, &y])?.item()?;
/// for _ in 0..50 {
///     step.run(&[&x, &y])?;
/// }
/// assert!(step.loss()?.item()? < first);
/// # Ok::<(), numpack_nn::Error>(())
/// ```
pub struct TrainStep<O> {
    optimizer: O,
    /// Where inputs are written to.
    inputs: Vec<Tensor>,
    /// Numbers whose sum is the last step's loss.
    losses: Option<Tensor>,
    how: How,
}

impl<O: Optimizer> TrainStep<O> {
    /// Records a step, if the first input is on a device, without doing it: `f` computes what is to become
    /// smaller of inputs of these shapes and types. It is called once then.
    ///
    /// # Errors
    /// What `f` says; [`Error::Parameter`] where parameters of a group are not all of `float32` on the
    /// device; [`Error::Grad`] where a parameter gets no gradient; what devices say.
    pub fn new(
        optimizer: O,
        inputs: &[&Tensor],
        f: impl Fn(&[Tensor]) -> Result<Objective> + Send + Sync + 'static,
    ) -> Result<TrainStep<O>> {
        let Some(first) = inputs.first() else {
            return Err(Error::parameter(OP, "no inputs", "give one or more"));
        };
        let copies = inputs.iter().map(|t| Ok(Tensor::of(t.get().contiguous()?.copy()?)));
        let copies = copies.collect::<Result<Vec<_>>>()?;
        #[cfg(feature = "vulkan")]
        if let crate::Device::Vulkan(stream) = first.device() {
            return TrainStep::record(optimizer, copies, &stream, &f);
        }
        Ok(TrainStep { optimizer, inputs: copies, losses: None, how: How::Anew(Box::new(f)) })
    }

    #[cfg(feature = "vulkan")]
    fn record(
        mut optimizer: O,
        inputs: Vec<Tensor>,
        stream: &vulkan_core::Stream,
        f: &dyn Fn(&[Tensor]) -> Result<Objective>,
    ) -> Result<TrainStep<O>> {
        let recorded = optimizer.recorded()?;
        if recorded.0.iter().any(|arena| arena.stream() != stream) {
            let problem = "parameters are used on another stream than the inputs";
            return Err(Error::parameter(OP, problem, "move both to one stream of the device"));
        }
        let start = crate::tensor::place(0);
        let start = vulkan_core::Place { seed: start.seed, offset: start.offset };
        let place = vulkan_core::DevicePlace::new(stream, start)?;
        let recording = stream.begin_sequence()?;
        place.advance()?;
        let losses = crate::tensor::draw_from(place, || -> Result<Tensor> {
            let losses = f(&inputs)?.lead_back()?;
            no_grad(|| recorded.0.iter().try_for_each(crate::optim::Arena::update))?;
            Ok(losses)
        })?;
        let how = How::Recorded { sequence: recording.end()?, recorded };
        Ok(TrainStep { optimizer, inputs, losses: Some(losses), how })
    }

    /// Where inputs are written to: to be given to [`run`](TrainStep::run) as they are, or written into by
    /// whoever makes a batch on the device.
    pub fn inputs(&self) -> &[Tensor] {
        &self.inputs
    }

    /// Does the step with these inputs, of the shapes that it was made for and of any type and device, and
    /// gives the loss before it. On a device nothing waits; the loss is a few bytes there, which the next
    /// step writes over.
    ///
    /// # Errors
    /// [`Error::Parameter`] for other inputs than it was made for; what devices say.
    pub fn run(&mut self, inputs: &[&Tensor]) -> Result<&mut TrainStep<O>> {
        let shapes = |all: &[&Tensor]| all.iter().map(|t| t.shape()).collect::<Vec<_>>();
        let own: Vec<&Tensor> = self.inputs.iter().collect();
        if shapes(inputs) != shapes(&own) {
            let problem = format!(
                "inputs of shapes {:?}; it was made for {:?}",
                shapes(inputs),
                shapes(&own)
            );
            return Err(Error::parameter(OP, problem, "make another step for these"));
        }
        for (own, new) in self.inputs.iter().zip(inputs) {
            if !own.is_same(new) {
                no_grad(|| own.copy_(new))?;
            }
        }
        match &mut self.how {
            How::Anew(f) => {
                self.optimizer.zero_grad();
                self.losses = Some(f(&self.inputs)?.lead_back()?);
                self.optimizer.step()?;
            }
            #[cfg(feature = "vulkan")]
            How::Recorded { sequence, recorded } => {
                self.optimizer.before_replay(recorded)?;
                sequence.replay()?;
            }
        }
        Ok(self)
    }

    /// The loss of the last step, computed where it is: a tensor without dimensions.
    ///
    /// # Errors
    /// [`Error::Parameter`] before the first step; what executors say.
    pub fn loss(&self) -> Result<Tensor> {
        match &self.losses {
            Some(losses) if losses.ndim() == 0 => losses.copied(),
            Some(losses) => losses.sum(),
            None => Err(Error::parameter(OP, "there was no step yet", "run one")),
        }
    }

    /// The loss of the last step as a number, which is waited for.
    ///
    /// # Errors
    /// As for [`loss`](TrainStep::loss).
    pub fn item(&self) -> Result<f64> {
        self.loss()?.item()
    }

    /// The optimiser, whose learning rates may be changed.
    pub fn optimizer(&mut self) -> &mut O {
        &mut self.optimizer
    }

    /// The optimiser, to go on without the recorded step.
    pub fn into_optimizer(self) -> O {
        self.optimizer
    }
}
