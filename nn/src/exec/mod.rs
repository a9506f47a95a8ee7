//! The two executors behind one face: what is computed on the host by `numpack-host-ops`, and on a
//! device by `vulkan-core`. No gradients here.
//!
//! | module | holds |
//! |---|---|
//! | `value` | [`Value`], elements on the host or on a device, and its way between them |
//! | `elementwise` | functions of one and two elements, comparing, choosing |
//! | `views` | views, joining, casting |
//! | `reduce` | sums and the like |
//! | `matrix` | products of matrices, layers |
//! | `rows` | softmax, norms, losses |
//! | `index` | taking and adding by indices |
//! | `draw` | random numbers |
//! | `step` | optimisers' steps |

/// The host's function of an array, or the device's method of a tensor.
macro_rules! on {
    ($x:expr, $a:ident => $host:expr, $t:ident => $device:expr $(,)?) => {
        match $x {
            $crate::exec::Value::Host($a) => $crate::exec::Value::Host($host?),
            #[cfg(feature = "vulkan")]
            $crate::exec::Value::Device($t) => $crate::exec::Value::Device($device?),
        }
    };
}

/// The same of two, which have to be on one device.
macro_rules! on_both {
    ($op:expr, ($x:expr, $y:expr), ($a:ident, $b:ident) => $host:expr, ($t:ident, $u:ident) => $device:expr $(,)?) => {
        match ($x, $y) {
            ($crate::exec::Value::Host($a), $crate::exec::Value::Host($b)) => {
                $crate::exec::Value::Host($host?)
            }
            #[cfg(feature = "vulkan")]
            ($crate::exec::Value::Device($t), $crate::exec::Value::Device($u)) => {
                $crate::exec::Value::Device($device?)
            }
            #[cfg(feature = "vulkan")]
            (x, y) => return Err(x.elsewhere($op, y)),
        }
    };
}

mod draw;
mod elementwise;
mod index;
mod matrix;
mod reduce;
mod rows;
mod step;
mod value;
mod views;

pub(crate) use draw::{Place, Source};
pub(crate) use elementwise::{Binary, Unary};
pub(crate) use matrix::Activation;
pub(crate) use rows::{Losses, Norm};
pub(crate) use value::Value;
pub(crate) use views::sizes;
