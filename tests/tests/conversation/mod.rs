//! Every family of endpoints over HTTP: what a client may expect, and the specification's error codes.

mod accounts;
mod bad_input;
mod devices;
mod directory;
mod ephemeral;
mod history;
mod keys;
mod membership;
mod messages;
mod rooms;
mod rules;
mod settings;
mod state;
mod sync;
mod to_device;
mod visibility;
