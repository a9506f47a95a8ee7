//! A pickle machine that builds values and runs nothing.
//!
//! Each opcode of protocols 0 to 5 is understood. A callable is never looked up: the few that
//! torch needs to describe tensors, and the builtin containers, are known by name; any other gives
//! an [`Object`](crate::Object), the recipe itself.

mod call;
mod collections;
mod common;
mod dialect;
mod keys;
mod machine;
mod op;
mod scan;
mod storages;
mod stream;
mod tensors;
pub(crate) mod text;
mod usual;

use std::path::Path;

use crate::error::{Part, Result};
use crate::{Limits, Tree};
pub(crate) use dialect::{Dialect, Loaded, number, storage_class};
pub(crate) use stream::Stream;
pub(crate) use text::negate;

/// Reads a pickle. `name` is its record, for errors.
pub(crate) fn load(bytes: &[u8], limits: &Limits, file: &Path, name: &str) -> Result<Tree> {
    load_as(bytes, limits, file, name, Dialect::Archive).map(|loaded| loaded.tree)
}

/// Reads a pickle whose persistent ids are those of a container.
pub(crate) fn load_as(
    bytes: &[u8],
    limits: &Limits,
    file: &Path,
    name: &str,
    dialect: Dialect,
) -> Result<Loaded> {
    machine::run(bytes, limits, dialect)
        .map_err(|fault| fault.into_error(file, Part::Pickle(name.into())))
}

/// Whether the bytes could be a pickle of protocol 0 or 1, which has no signature.
pub(crate) fn looks_like_one(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|b| b"()]}cilpdFIJKLMNSUVTX".contains(b)) && scan::scan(bytes).is_ok()
}
