//! What every handler sees: the writers and readers, the configuration, the clock, the random source.

use std::sync::Arc;

use engram_log_format::TimestampMs;
use engram_views::Views;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, RngCore};
use tokio::sync::watch;

use crate::uia::Sessions;

/// What the operator decided, as far as the client API needs it.
#[derive(Clone, Debug)]
pub struct Config {
    /// The server's name: the part of its users' IDs after the colon.
    pub server_name: String,
    /// Where clients reach the server, with scheme and without trailing slash, if the operator said so.
    pub public_base_url: Option<String>,
    /// Whether anybody may register without a token.
    pub registration_open: bool,
    /// Whether guests may register.
    pub guests: bool,
    /// The secret of `POST /_synapse/admin/v1/register`: without it that endpoint does not exist.
    pub registration_shared_secret: Option<String>,
    /// The version of rooms whose creator does not ask for one.
    pub default_room_version: String,
}

/// The time, from the one clock of the process.
pub type Clock = Arc<dyn Fn() -> TimestampMs + Send + Sync>;

/// The state of the client API. Shared as `Arc<App>`.
pub struct App {
    /// What the operator decided.
    pub config: Config,
    /// The views, for readers and for waiting until something is applied.
    pub views: Arc<Views>,
    /// User-interactive authentication that is under way.
    pub uia: Sessions,
    /// The clock.
    pub clock: Clock,
    /// The random source.
    pub random: Mutex<StdRng>,
    /// Becomes true when the server is stopping: long polls end at once.
    pub stopping: watch::Receiver<bool>,
}

impl App {
    /// The time.
    pub fn now(&self) -> TimestampMs {
        (self.clock)()
    }

    /// Resolves when the server is stopping. For long polls.
    pub async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        // An error means that the sender is gone, which is as good as a stop.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// A random string of URL-safe letters and digits, for identifiers that must not be guessed or repeated.
    pub fn random_string(&self, length: usize) -> String {
        const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut random = self.random.lock();
        (0..length).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect()
    }

    /// Random bytes.
    pub fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.random.lock().fill_bytes(&mut bytes);
        bytes
    }
}
