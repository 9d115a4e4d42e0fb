//! The scrubber's thread: reads the sealed files of the log again, slowly and for ever, and tells what it finds.
//!
//! What it finds is logged where it is found, with file and position. A round over the whole log is logged too, so that
//! an operator can see when every byte was read last.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};

use engram_log::{ScrubProgress, Scrubber};

use crate::config::Scrub;

/// The scrubber at work. Dropping it ends it.
pub struct Scrubbing {
    /// Dropped to end the thread, which is `None` only then.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Starts the scrubber, if it is configured.
pub fn start(scrubber: Scrubber, config: Scrub) -> io::Result<Scrubbing> {
    if config.bytes_per_second == 0 {
        return Ok(Scrubbing { stop: None, thread: None });
    }
    let (stop, stopped) = channel();
    let mut scrubber = scrubber;
    let run = move || {
        loop {
            let rounds = scrubber.progress().rounds;
            let mut wait = scrubber.step(config.bytes_per_second);
            if scrubber.progress().rounds > rounds {
                tell(scrubber.progress());
                wait = config.pause;
            }
            match stopped.recv_timeout(wait) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    };
    let thread = thread::Builder::new().name("scrubber".to_owned()).spawn(run)?;
    Ok(Scrubbing { stop: Some(stop), thread: Some(thread) })
}

fn tell(progress: &ScrubProgress) {
    let ScrubProgress { rounds, bytes, records, damage, .. } = progress;
    if damage.is_empty() {
        tracing::info!(rounds, bytes, records, "scrubbed: every sealed byte of the log was read and is good");
    } else {
        tracing::error!(
            code = "E-LOG-ROT",
            rounds,
            bytes,
            damaged = damage.len(),
            "scrubbed: files of the log are damaged on disk, see above. The server goes on with what it can read. \
             `engramctl log verify --deep` lists all damage; restore those files from a backup while the server is stopped"
        );
    }
}

impl Drop for Scrubbing {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic has been reported by its hook; the scrubber is not needed for anything else.
            let _ = thread.join();
        }
    }
}
