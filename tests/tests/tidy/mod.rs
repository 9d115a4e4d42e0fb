//! The sources themselves: form, order among modules, and what may enter the build.

mod circles;
mod dependencies;
mod lines;
mod modules;
mod sources;
mod tokens;
