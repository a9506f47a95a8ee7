//! A `torch.export` archive, sound but for what describes its weights and constants, and a pickle.
//!
//! Opening, checking and reading never panic, and a file in which nothing is found wrong gives
//! each of its tensors.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use numpack_fuzz::{Scratch, export, read_each};
use torch_pickle::Checkpoint;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::new);

fuzz_target!(|input: &[u8]| {
    let path = SCRATCH.write("input.pt2", &export(input));
    let Ok(checkpoint) = Checkpoint::open(&path) else { return };
    read_each(&checkpoint);
});
