//! Whether what is computed is noted.

use std::cell::Cell;
use std::marker::PhantomData;

thread_local! {
    static OFF: Cell<usize> = const { Cell::new(0) };
}

/// Whether this thread notes what it computes, so that gradients can be had of it.
pub fn is_grad_enabled() -> bool {
    OFF.get() == 0
}

/// While this lives, its thread notes nothing: results want no gradients (`torch.no_grad`).
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
    /// It counts for the thread that made it.
    _not_send: PhantomData<*const ()>,
}

impl NoGrad {
    /// From here on.
    #[expect(clippy::new_without_default, reason = "it does something")]
    pub fn new() -> NoGrad {
        OFF.set(OFF.get() + 1);
        NoGrad { _not_send: PhantomData }
    }
}

impl Drop for NoGrad {
    fn drop(&mut self) {
        OFF.set(OFF.get() - 1);
    }
}

/// What `f` computes wants no gradients.
pub fn no_grad<T>(f: impl FnOnce() -> T) -> T {
    let _guard = NoGrad::new();
    f()
}
