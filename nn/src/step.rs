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

/// A step for inputs of certain shapes.
struct Shaped {
    /// Where inputs are written to.
    inputs: Vec<Tensor>,
    /// Numbers whose sum is the last loss.
    losses: Option<Tensor>,
    /// What the device does again; the host does it anew.
    #[cfg(feature = "vulkan")]
    sequence: Option<vulkan_core::Sequence>,
}

impl Shaped {
    fn fits(&self, inputs: &[&Tensor]) -> bool {
        self.inputs.len() == inputs.len()
            && self.inputs.iter().zip(inputs).all(|(own, new)| own.shape() == new.shape())
    }
}

/// So many are kept.
const KEPT: usize = 8;

/// A training step: forward, loss, backward and update. On a device it is recorded once for inputs of the
/// same shapes, and done again in one submission; on the host it is done anew each time. Steps of up to
/// eight shapes are kept, as for a last batch that is smaller; of more, the one that was used longest ago
/// is given up.
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
    function: Function,
    /// That of the last step first.
    kept: Vec<Shaped>,
    #[cfg(feature = "vulkan")]
    device: Option<OnDevice>,
}

/// What all steps on a device share.
#[cfg(feature = "vulkan")]
struct OnDevice {
    stream: vulkan_core::Stream,
    recorded: Recorded,
    place: vulkan_core::DevicePlace,
}

impl<O: Optimizer> TrainStep<O> {
    /// Makes a step, and if the first input is on a device, records it, without doing it: `f` computes what
    /// is to become smaller of inputs of these shapes and types. It is called once then, and once for each
    /// other shape.
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
        let mut step = TrainStep {
            optimizer,
            function: Box::new(f),
            kept: Vec::new(),
            #[cfg(feature = "vulkan")]
            device: None,
        };
        #[cfg(feature = "vulkan")]
        if let crate::Device::Vulkan(stream) = first.device() {
            let recorded = step.optimizer.recorded()?;
            if recorded.0.iter().any(|arena| *arena.stream() != stream) {
                let problem = "parameters are used on another stream than the inputs";
                return Err(Error::parameter(OP, problem, "move both to one stream of the device"));
            }
            // A stream of numbers that nobody else draws from.
            let here = crate::tensor::place(4);
            let seed = here.seed ^ (here.offset + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let place = vulkan_core::DevicePlace::new(&stream, vulkan_core::Place::new(seed))?;
            step.device = Some(OnDevice { stream, recorded, place });
        }
        step.make(inputs)?;
        Ok(step)
    }

    /// Makes the step for inputs of these shapes the first one.
    fn make(&mut self, inputs: &[&Tensor]) -> Result<()> {
        if let Some(at) = self.kept.iter().position(|kept| kept.fits(inputs)) {
            self.kept[..=at].rotate_right(1);
            return Ok(());
        }
        let device = self.device();
        let copy = |t: &&Tensor| {
            let there = t.get().to_device(&device)?;
            Ok(Tensor::of(there.contiguous()?.copy()?))
        };
        let inputs = inputs.iter().map(copy).collect::<Result<Vec<_>>>()?;
        #[cfg(feature = "vulkan")]
        let new = match &self.device {
            Some(device) => device.record(&*self.function, inputs)?,
            None => Shaped { inputs, losses: None, sequence: None },
        };
        #[cfg(not(feature = "vulkan"))]
        let new = Shaped { inputs, losses: None };
        self.kept.truncate(KEPT - 1);
        self.kept.insert(0, new);
        Ok(())
    }

    fn device(&self) -> crate::Device {
        #[cfg(feature = "vulkan")]
        if let Some(device) = &self.device {
            return device.stream.clone().into();
        }
        crate::Device::Cpu
    }

    /// Where inputs of the last step's shapes are written to: to be given to [`run`](TrainStep::run) as
    /// they are, or written into by whoever makes a batch on the device.
    pub fn inputs(&self) -> &[Tensor] {
        self.kept.first().map_or(&[], |kept| &kept.inputs)
    }

    /// Does the step with these inputs, of any device, and of the types that it was made for. On a device
    /// nothing waits; the loss is a few bytes there, which the next step writes over.
    ///
    /// # Errors
    /// [`Error::Parameter`] for another number of inputs, and on a device where parameters were moved since, as
    /// by another step of theirs; those of [`new`](TrainStep::new) for inputs of shapes that have not been; what
    /// devices say.
    pub fn run(&mut self, inputs: &[&Tensor]) -> Result<&mut TrainStep<O>> {
        let wanted = self.inputs().len();
        if inputs.len() != wanted {
            let problem = format!("{} inputs; it was made for {wanted}", inputs.len());
            return Err(Error::parameter(OP, problem, "give as many"));
        }
        self.make(inputs)?;
        let Some(kept) = self.kept.first_mut() else {
            return Err(Error::parameter(OP, "nothing was made", "report this"));
        };
        for (own, new) in kept.inputs.iter().zip(inputs) {
            if !own.is_same(new) {
                no_grad(|| own.copy_(new))?;
            }
        }
        #[cfg(feature = "vulkan")]
        if let (Some(sequence), Some(device)) = (&kept.sequence, &mut self.device) {
            // Another step of the same parameters, or a move of the module, takes them away.
            device.recorded.0.iter().try_for_each(crate::optim::Arena::must_hold)?;
            self.optimizer.before_replay(&mut device.recorded)?;
            sequence.replay()?;
            return Ok(self);
        }
        self.optimizer.zero_grad();
        kept.losses = Some((self.function)(&kept.inputs)?.lead_back()?);
        self.optimizer.step()?;
        Ok(self)
    }

    /// The loss of the last step, computed where it is: a tensor without dimensions.
    ///
    /// # Errors
    /// [`Error::Parameter`] before the first step; what executors say.
    pub fn loss(&self) -> Result<Tensor> {
        match self.kept.first().and_then(|kept| kept.losses.as_ref()) {
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

#[cfg(feature = "vulkan")]
impl OnDevice {
    /// Records a step for these inputs.
    fn record(
        &self,
        f: &dyn Fn(&[Tensor]) -> Result<Objective>,
        inputs: Vec<Tensor>,
    ) -> Result<Shaped> {
        let arenas = &self.recorded.0;
        // Gradients go where the arenas have them.
        arenas.iter().for_each(crate::optim::Arena::zero_grad);
        let recording = self.stream.begin_sequence()?;
        self.place.advance()?;
        let losses = crate::tensor::draw_from(self.place.clone(), || -> Result<Tensor> {
            let losses = f(&inputs)?.lead_back()?;
            no_grad(|| arenas.iter().try_for_each(crate::optim::Arena::update))?;
            Ok(losses)
        })?;
        let sequence = Some(recording.end()?);
        Ok(Shaped { inputs, losses: Some(losses), sequence })
    }
}
