//! What must hold of any checkpoint that was opened.

use torch_pickle::{Checkpoint, Error, StorageId, TensorId};

const MAX_TENSOR: u64 = 1 << 20;

/// Checks it and reads all of it, by each of the ways there are.
///
/// # Panics
/// Where a file in which nothing is found wrong does not give each of its tensors, or two ways of
/// reading one differ.
pub fn read_each(checkpoint: &Checkpoint) {
    let faults = checkpoint.verify();
    let tree = checkpoint.tree();
    let _ = tree.named_tensors(10_000);
    for i in 0..tree.storages().len() as u32 {
        let record = checkpoint.storage_record(StorageId(i));
        assert!(record.is_ok() || !faults.is_empty(), "{record:?} in a sound file");
    }
    for (i, tensor) in tree.tensors().iter().enumerate() {
        let Some(nbytes) = tensor.nbytes().filter(|&n| n <= MAX_TENSOR) else { continue };
        let id = TensorId(i as u32);
        let mut streamed = Vec::new();
        let outcome = checkpoint.stream(id, 4096, &mut |piece| {
            streamed.extend_from_slice(piece);
            Ok(())
        });
        match outcome {
            Ok(()) => {
                assert_eq!(streamed.len() as u64, nbytes);
                let mut read = vec![0; streamed.len()];
                checkpoint.read_into(id, &mut read).expect("what streams can be read");
                assert!(read == streamed, "read and stream differ in tensor {i}");
            }
            // Nothing is wrong with such a tensor; it is only beyond this reader.
            Err(Error::Unsupported { .. } | Error::Limit { .. }) => {}
            Err(e) => assert!(!faults.is_empty(), "{e} in a sound file"),
        }
    }
}
