//! A tar archive of torch 0.1: an even first byte and what it is put together from, or an odd
//! one and the file itself.
//!
//! Opening, checking and reading never panic, and a file in which nothing is found wrong gives
//! each of its tensors.

#![no_main]

use std::borrow::Cow;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use numpack_fuzz::{Scratch, read_each, tar};
use torch_pickle::Checkpoint;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::new);

fuzz_target!(|input: &[u8]| {
    let Some((&how, rest)) = input.split_first() else { return };
    let file = if how % 2 == 0 { Cow::Owned(tar(rest)) } else { Cow::Borrowed(rest) };
    let path = SCRATCH.write("input.pt", &file);
    let Ok(checkpoint) = Checkpoint::open(&path) else { return };
    read_each(&checkpoint);
});
