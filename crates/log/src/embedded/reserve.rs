//! A file that holds space for the time when the disk is full.
//!
//! While there is space the reserve takes some of it away. When a segment finds none, the log refuses appends, and the
//! reserve is given up: now everything else in the data directory has room to bring in what the log holds.
//! Appends are taken again only once the disk has space for the reserve and a segment. Two things may use the
//! reserve's space: beginning to write, so that a full disk does not keep a server from starting, and ending in order.

use std::io;
use std::sync::Arc;

use engram_failpoints::{Point, pass, reached};

use crate::storage::Storage;

const PATH: &str = "log/reserve";
const DIRECTORY: &str = "log";
const NAME: &str = "reserve";

/// The reserve of a log.
pub(crate) struct Reserve {
    storage: Arc<dyn Storage>,
    bytes: u64,
    held: bool,
}

impl Reserve {
    /// Takes over the reserve that a former process left.
    pub(crate) fn new(storage: Arc<dyn Storage>, bytes: u64) -> io::Result<Self> {
        let exists = storage.list(DIRECTORY)?.iter().any(|name| name == NAME);
        let held = exists && storage.open(PATH, false)?.len()? == bytes;
        Ok(Self { storage, bytes, held })
    }

    /// Takes the space, if it is not held. An error leaves it not held.
    pub(crate) fn take(&mut self) -> io::Result<()> {
        if self.held || self.bytes == 0 {
            return Ok(());
        }
        let allocated = self.storage.create(PATH).and_then(|file| {
            pass(Point::ReserveCreated)?;
            file.allocate(self.bytes)?;
            file.sync_data()
        });
        match allocated {
            Ok(()) => {
                self.held = true;
                reached(Point::ReserveTaken);
            }
            Err(_) => self.remove(),
        }
        allocated
    }

    /// The space that it would take to hold it.
    pub(crate) fn missing_bytes(&self) -> u64 {
        if self.held { 0 } else { self.bytes }
    }

    /// Gives the space up. Returns whether there was any.
    pub(crate) fn give_up(&mut self) -> bool {
        if self.held {
            self.remove();
        }
        std::mem::take(&mut self.held)
    }

    /// Best effort: a reserve that stays holds space, and is taken over by the next process.
    fn remove(&self) {
        if let Err(error) = self.storage.remove(PATH) {
            tracing::warn!(%error, "cannot remove the log's reserve");
        }
    }
}
