//! Whatever happens, a store is as before or as after.
//!
//! [`scenarios`] has the changes that are tried, [`checks`] what must hold of a store that one of
//! them may have left in any state.
//!
//! - [`kills`]: the process ends at each change to the disk, in the middle of a write too.
//! - [`faults`]: each change to the disk fails, by an error, a full disk or half of a write.
//! - [`power`]: the power goes after each change to the disk. The changes are logged and replayed
//!   into [`model`], which knows what is durable; [`states`] makes what may be left.

mod checks;
mod faults;
mod kills;
mod model;
mod power;
mod scenarios;
mod states;
