//! What is measured.

pub mod changes;
pub mod convert;
pub mod device;
pub mod gather;
pub mod memory;
pub mod open;
pub mod python;
pub mod read;
pub mod store;
pub mod train;
pub mod zip;
