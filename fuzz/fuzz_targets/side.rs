//! Any bytes as the side information of a store of three arrays.
//!
//! What decodes is the same after encoding and decoding; listing and exporting never panic; and an
//! export that succeeds and can be read is sound.

#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use numpack_format::{DType, SideInfo, View, Writer};
use numpack_fuzz::Scratch;
use numpack_interop::{NoProgress, Tensors, ToTorch, to_torch_file};
use torch_pickle::Checkpoint;

static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::new);

fuzz_target!(|input: &[u8]| {
    let Ok(side) = SideInfo::decode(input) else { return };
    let bytes = side.encode().expect("what was decoded is consistent");
    let again = SideInfo::decode(&bytes).expect("what was encoded can be decoded");
    assert_eq!(side, again);

    let store = SCRATCH.path("store.npk");
    if write_store(&store, side).is_err() {
        return;
    }
    let Ok(tensors) = Tensors::open(&store) else { return };
    let _ = tensors.list();
    let out = SCRATCH.path("output.pt");
    if to_torch_file(&store, &out, &ToTorch::new(), &mut NoProgress).is_ok()
        && let Ok(checkpoint) = Checkpoint::open(&out)
    {
        assert_eq!(checkpoint.verify().len(), 0, "what was written is sound");
    }
});

fn write_store(path: &Path, side: SideInfo) -> numpack_format::Result<()> {
    let bytes: Vec<u8> = (0..100).collect();
    let mut writer = Writer::replace(path)?;
    writer.save("a", &View::strided(DType::F32, &[4], &[4], &bytes, 0))?;
    writer.save("b", &View::strided(DType::U16, &[2, 3], &[6, 2], &bytes, 0))?;
    writer.save("c", &View::strided(DType::U8, &[100], &[1], &bytes, 0))?;
    writer.set_side(Some(side));
    writer.commit()
}
