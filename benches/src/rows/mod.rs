//! What is measured.

pub mod convert;
pub mod memory;
pub mod open;
pub mod zip;
