//! A `.npy`, `.npz` or `.safetensors` file: which, its first byte says.
//!
//! Opening, checking and reading never panic; a file in which nothing is found wrong gives each of
//! its tensors, and what it gives is what all other kinds of file hold once it was converted.

#![no_main]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use numpack_fuzz::{Scratch, neighbour_suffix};
use numpack_interop::{
    Error, Export, FromTorch, NoProgress, Tensors, ToTorch, export_file, from_torch_file,
    to_torch_file, verify,
};

static SCRATCH: LazyLock<Scratch> = LazyLock::new(Scratch::new);
const MAX_BYTES: u64 = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((&kind, bytes)) = input.split_first() else { return };
    let path = SCRATCH.write(&format!("input.{}", neighbour_suffix(kind)), bytes);
    let verified = verify(&path);
    let Ok(file) = Tensors::open(&path) else {
        assert!(verified.is_err() || verified.is_ok_and(|v| !v.faults.is_empty()));
        return;
    };
    let sound = verified.expect("what opens can be checked").faults.is_empty();
    if file.summary().storage_bytes > MAX_BYTES {
        return;
    }
    let Some(wanted) = contents(&file, sound) else { return };
    for suffix in ["safetensors", "npz", "pt", "npk"] {
        let out = SCRATCH.path(&format!("out.{suffix}"));
        let converted = match suffix {
            "pt" => to_torch_file(&path, &out, &ToTorch::new(), &mut NoProgress),
            "npk" => from_torch_file(&path, &out, &FromTorch::new(), &mut NoProgress),
            _ => export_file(&path, &out, &Export::new(), &mut NoProgress),
        };
        match converted {
            Ok(_) => {}
            // An element type or a name that this kind of file lacks.
            Err(Error::Unsupported { .. }) if matches!(suffix, "safetensors" | "npz") => continue,
            // Names that the arrays of a store cannot have, or shapes.
            Err(e) => {
                assert!(!matches!(e, Error::Io { .. }), "{suffix}: {e}");
                let _ = std::fs::remove_dir_all(&out);
                continue;
            }
        }
        let found = Tensors::open(&out).expect("what was written opens");
        let found = contents(&found, true).expect("what was written can be read");
        assert!(found.values().eq(wanted.values()) || found == wanted, "{suffix} differs");
        remove(&out);
    }
});

fn remove(path: &Path) {
    let removed =
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    removed.expect("what was written can be removed");
}

type Contents = BTreeMap<String, (&'static str, Vec<u64>, [u8; 32])>;

/// By name: element type, shape and hash of each tensor.
fn contents(file: &Tensors, sound: bool) -> Option<Contents> {
    let mut all = Contents::new();
    for tensor in file.list().ok()? {
        match file.sha256(&tensor) {
            Ok(hash) => {
                let tensor = (tensor.name.to_string(), tensor.dtype.name(), tensor.shape.to_vec());
                all.insert(tensor.0, (tensor.1, tensor.2, hash));
            }
            Err(e) => {
                assert!(!sound, "{e} in a sound file");
                return None;
            }
        }
    }
    Some(all)
}
