//! The server over real projectors: rooms are made by the room server's writer, everything else by records.

mod devices;
mod history;
mod live;
mod past;
mod rig;
mod rooms;
mod waiting;
