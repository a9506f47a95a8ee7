//! Every operation, type and layout on the device against `numpack-host-ops` in float64, each within a
//! stated bound; after the manner of ggml's `test-backend-ops`.
//!
//! | module | holds |
//! |---|---|
//! | `values` | elements to compute with, the awkward ones among them |
//! | `layouts` | views to compute over |
//! | `judge` | what is right: the bounds, and the count of what was compared |
//! | `elementwise` | functions of one element and of two, comparisons, the choice between two |
//! | `matrices` | products of matrices |
//! | `layers` | gradients of linear layers |
//! | `reductions` | sums, means, extremes and their places |
//! | `rows` | softmax and its logarithm, and their gradients |
//! | `losses` | losses of rows over classes, and their gradients |
//! | `norms` | layers that normalise rows, and their gradients |
//! | `movement` | copies, casts, and what is put into tensors |
//! | `gradients` | gradients of functions of elements |
//! | `more_gradients` | gradients of reductions, products, views, and of what is added by indices |
//! | `indexing` | elements by their indices, the sums that lead back, tensors one after another |
//! | `optim` | a hundred steps of each optimiser |
//! | `random` | random numbers and dropout |

#[path = "../common/mod.rs"]
mod common;

mod elementwise;
mod gradients;
mod indexing;
mod judge;
mod layers;
mod layouts;
mod losses;
mod matrices;
mod more_gradients;
mod movement;
mod norms;
mod optim;
mod random;
mod reductions;
mod rows;
mod values;

use common::{options, silent};
use vulkan_core::{Device, DeviceOptions, Stream, Tensor};

/// A device as one way of testing has it, and tensors beside those of the tests that must stay as they
/// are: whoever writes beyond a tensor's end meets one.
struct Bench {
    device: Device,
    stream: Stream,
    guards: Vec<Tensor>,
}

const GUARD: [u32; 64] = [0xa5c3_961e; 64];

impl Bench {
    fn open(options: &DeviceOptions) -> Option<Bench> {
        let device = common::device(options)?;
        let stream = device.stream().unwrap();
        Some(Bench { device, stream, guards: Vec::new() })
    }

    /// Another tensor that must stay as it is, where the next one will be.
    fn guard(&mut self) {
        if self.guards.len() < 64 {
            let bytes = bytemuck::cast_slice(&GUARD);
            let guard = Tensor::from_host::<u8>(&self.stream, bytes, &[bytes.len()]).unwrap();
            self.guards.push(guard);
        }
    }

    fn finish(self, what: &str, judge: &judge::Judge) {
        for guard in &self.guards {
            let bytes = guard.to_host::<u8>().unwrap();
            assert_eq!(
                bytes,
                bytemuck::cast_slice::<u32, u8>(&GUARD),
                "{what}: a guard was changed"
            );
        }
        silent(&self.device);
        let driver = std::env::var("NUMPACK_TEST_DRIVER").unwrap_or_default();
        let info = self.device.info();
        println!("{what}: {judge} on {driver} {info}, subgroups of {}", info.limits.subgroup_size);
    }
}

/// Fewer layouts, where each kernel takes a second to compile.
fn is_frugal() -> bool {
    std::env::var("NUMPACK_TEST_FRUGAL").is_ok()
}

/// Each way to open the device that takes another path: as it is, and with limits so small that
/// everything is folded and cut.
fn ways() -> Vec<(&'static str, DeviceOptions)> {
    let mut ways = vec![("", options())];
    if !is_frugal() {
        ways.push((", small limits", options().max_groups(3).max_storage_range(4096)));
    }
    ways
}
