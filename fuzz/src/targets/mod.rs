//! What is run on an input, and what has to hold.

pub(crate) mod format;
pub(crate) mod json;
pub(crate) mod log;
pub(crate) mod rooms;
pub(crate) mod text;
