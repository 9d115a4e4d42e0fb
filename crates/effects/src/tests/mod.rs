//! A receiver that remembers everything, and histories in which the sender is killed wherever it can be.

mod crashes;
mod isolation;
mod outbox;
mod runner;
mod world;
