//! What every handler sees: the writers and readers, the configuration, the clock, the random source.

use std::sync::Arc;

use engram_base::{Clock, Random};
use engram_ephemeral::{Ephemeral, Live};
use engram_http::ApiResult;
use engram_http::threads::Readers;
use engram_http::uia::Uia;
use engram_http::writers::Writers;
use engram_log_format::{Offset, TimestampMs};
use engram_rooms::writer::RoomServer;
use engram_sync::SyncServer;
use engram_users::Users;
use engram_views::Views;
use tokio::sync::watch;

use crate::nonces::Nonces;

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
    /// Whether the room directory can be read without an account.
    pub directory_without_account: bool,
    /// The secret of `POST /_synapse/admin/v1/register`: without it that endpoint does not exist.
    pub registration_shared_secret: Option<String>,
    /// The version of rooms whose creator does not ask for one.
    pub default_room_version: String,
}

/// The state of the client API. Shared as `Arc<App>`.
pub struct App {
    /// What the operator decided.
    pub config: Config,
    /// The views, for readers and for waiting until something is applied.
    pub views: Arc<Views>,
    /// The writer of accounts, devices and keys.
    pub users: Arc<Users>,
    /// The writer of rooms. Returns before its records are applied: await [`App::applied`] before answering.
    pub rooms: Arc<RoomServer>,
    /// The writer of receipts, typing and presence.
    pub ephemeral: Arc<Ephemeral>,
    /// The reader behind /sync.
    pub sync: Arc<SyncServer>,
    /// Who types and who is there.
    pub live: Arc<Live>,
    /// Everybody who waits for the disk.
    pub writers: Arc<Writers>,
    /// Nonces of shared-secret registration.
    pub register_nonces: Nonces,
    /// User-interactive authentication.
    pub uia: Uia,
    /// Threads for the parts of a long poll that read views.
    pub readers: Readers,
    /// The clock.
    pub clock: Clock,
    /// The random source.
    pub random: Random,
    /// Becomes true when the server is stopping: long polls end at once.
    pub stopping: watch::Receiver<bool>,
}

impl App {
    /// The time.
    pub fn now(&self) -> TimestampMs {
        (self.clock)()
    }

    /// [`App::writers`], to hand them a call that takes the application with it.
    pub fn writers(&self) -> Arc<Writers> {
        Arc::clone(&self.writers)
    }

    /// Waits until everything up to `offset` is durable and applied: what goes before every answer that promises
    /// something.
    pub async fn applied(&self, offset: Offset) -> ApiResult<()> {
        Ok(self.writers.confirmed(self.views.wait_applied(offset)).await??)
    }

    /// Resolves when the server is stopping. For long polls.
    pub async fn stopped(&self) {
        let mut stopping = self.stopping.clone();
        // An error means that the sender is gone, which is as good as a stop.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    }

    /// A random string of URL-safe characters, six bits each, for identifiers that must not be guessed or repeated.
    pub fn random_string(&self, length: usize) -> String {
        let mut bytes = vec![0; length];
        (self.random)(&mut bytes);
        bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte & 63)])).collect()
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
