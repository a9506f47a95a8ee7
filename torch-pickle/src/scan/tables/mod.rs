//! What is known of names, as data. [`dangerous`] says for each group why.

pub(super) mod aliases;
pub(super) mod allowed;
pub(super) mod dangerous;
pub(super) mod harmless;
