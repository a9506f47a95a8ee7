//! Whether what is computed is noted.

use std::cell::Cell;
use std::marker::PhantomData;

thread_local! {
    static ENABLED: Cell<bool> = const { Cell::new(true) };
}

/// Whether this thread notes what it computes, so that gradients can be had of it.
pub fn is_grad_enabled() -> bool {
    ENABLED.get()
}

/// Says whether this thread notes what it computes from here on, and gives what was before
/// (`torch.set_grad_enabled`). A guard that was made before puts back what it found.
///
/// ```
/// use numpack_nn::{is_grad_enabled, no_grad, set_grad_enabled};
/// assert!(set_grad_enabled(false));
/// no_grad(|| assert!(!set_grad_enabled(true)));
/// assert!(!is_grad_enabled() && !set_grad_enabled(true));
/// ```
pub fn set_grad_enabled(enabled: bool) -> bool {
    ENABLED.replace(enabled)
}

/// While this lives, its thread notes nothing: results want no gradients (`torch.no_grad`). Of several,
/// the last one made goes first.
///
/// ```
/// use numpack_nn::{NoGrad, Tensor};
/// let x = Tensor::from_slice(&[2.0_f32], &[1])?.requires_grad_(true)?;
/// let guard = NoGrad::new();
/// assert!(!x.mul(&x)?.requires_grad());
/// drop(guard);
/// assert!(x.mul(&x)?.requires_grad());
/// # Ok::<(), numpack_nn::Error>(())
/// ```
#[derive(Debug)]
pub struct NoGrad {
    before: bool,
    /// It counts for the thread that made it.
    _not_send: PhantomData<*const ()>,
}

impl NoGrad {
    /// From here on.
    #[expect(clippy::new_without_default, reason = "it does something")]
    pub fn new() -> NoGrad {
        NoGrad { before: set_grad_enabled(false), _not_send: PhantomData }
    }
}

impl Drop for NoGrad {
    fn drop(&mut self) {
        set_grad_enabled(self.before);
    }
}

/// What `f` computes wants no gradients.
pub fn no_grad<T>(f: impl FnOnce() -> T) -> T {
    let _guard = NoGrad::new();
    f()
}
