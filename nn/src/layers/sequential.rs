//! One module after another.

use std::sync::Arc;

use crate::error::Result;
use crate::module::{Module, Part, Role};
use crate::tensor::Tensor;

/// One module after another (`torch.nn.Sequential`). A linear layer and the activation behind it are
/// computed in one, where the device does that.
///
/// ```
/// use numpack_nn::{Linear, Module, ReLU, Sequential, Tensor};
/// let model = Sequential::new()
///     .add(Linear::new(10, 20, true)?)
///     .add(ReLU)
///     .add(Linear::new(20, 2, true)?);
/// let x = Tensor::from_slice(&[0.5_f32; 30], &[3, 10])?;
/// assert_eq!(model.forward(&x)?.shape(), [3, 2]);
/// # Ok::<(), numpack_nn::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Sequential {
    modules: Vec<(String, Arc<dyn Module>)>,
}

impl Sequential {
    /// Without modules: gives what it takes.
    pub fn new() -> Sequential {
        Sequential::default()
    }

    /// With one module more, named by its place.
    #[expect(clippy::should_implement_trait, reason = "torch's name for it is append; this builds")]
    #[must_use]
    pub fn add(self, module: impl Module + 'static) -> Sequential {
        self.add_shared(Arc::new(module))
    }

    /// The same of a module that others hold too.
    #[must_use]
    pub fn add_shared(self, module: Arc<dyn Module>) -> Sequential {
        let name = self.modules.len().to_string();
        self.named(name, module)
    }

    /// With one module more, by this name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>, module: Arc<dyn Module>) -> Sequential {
        self.modules.push((name.into(), module));
        self
    }

    /// How many modules there are.
    pub fn len(&self) -> usize {
        self.modules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.modules.is_empty()
    }
}

impl Module for Sequential {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        let mut modules = self.modules.iter().map(|(_, m)| m).peekable();
        while let Some(module) = modules.next() {
            let next = modules.peek().map(|next| next.role());
            x = match (module.role(), next) {
                (Role::Linear(linear), Some(Role::Activation(activation))) => {
                    modules.next();
                    linear.with(&x, Some(activation.0))?
                }
                _ => module.forward(&x)?,
            };
        }
        Ok(x)
    }

    fn parts(&self) -> Vec<(String, Part<'_>)> {
        self.modules.iter().map(|(name, m)| (name.clone(), Part::Module(&**m))).collect()
    }
}
