//! `numpack rename STORE OLD NEW`.

use std::slice;

use numpack_interop::Tensors;

use crate::args::RenameArgs;
use crate::{Answer, store, warn};

pub(crate) fn run(args: &RenameArgs) -> anyhow::Result<Answer> {
    let path = &args.store.store;
    let arrays = store::array_names(path, slice::from_ref(&args.old))?;
    let mut writer = store::open(&args.store)?;
    for array in &arrays {
        writer.rename_array(array, &args.new)?;
    }
    store::commit(writer)?;
    // The keys of an object from a checkpoint are not names of arrays, and stay.
    if Tensors::open(path)?.find(&args.old).is_ok() {
        warn(&[format!(
            "the object in the store still has it as {:?}, and so have ls and convert; other \
             programs find it as {:?}",
            args.old, args.new
        )]);
    }
    Ok(Answer::Yes)
}
