//! The C interface of libnumpack: a thin shell around `numpack-interop`, with no algorithm of its
//! own. `include/numpack.h` is generated from this crate.
//!
//! | module | holds |
//! |---|---|
//! | `convert` | `numpack_from_torch_file`, `numpack_to_torch_file` |
//! | `options` | the option structs and the callbacks |
//! | `status` | status codes and the message of the last error |
//! | `version` | versions |
//! | `shell` | what every function does: NULL checks, text, panics caught |
//!
//! # Conventions
//!
//! - A function returns a status; [`status::NUMPACK_OK`] is 0, and the numbers are never reused.
//!   After any other, `numpack_last_error` has a message for this thread.
//! - Inputs come first, then outputs. An output is written only on success; a NULL output is
//!   skipped.
//! - Paths and names are UTF-8 and end in NUL. NULL where something is required is
//!   `NUMPACK_PARAMETER`, not a crash.
//! - Option structs begin with `struct_size`, set to their `sizeof`; all else may be zero and then
//!   has its default. A NULL options pointer means all defaults.
//! - Callbacks take `void *user` last. They are called on the calling thread.
//! - Every function may be called from any thread, also at the same time.

pub mod convert;
pub mod options;
mod shell;
pub mod status;
pub mod version;
