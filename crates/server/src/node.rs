//! The parts of a server, opened in the right order and tied together.
//!
//! Storage and lock, then the log, then the views with all projectors, then the writers over both, then the observers,
//! and last the HTTP surface. [`Node::close`] goes the other way.

use std::path::Path;
use std::sync::Arc;

use engram_base::{Clock, Random, block_on};
use engram_client_api::accounts::ViewedAccounts;
use engram_client_api::activity::is_activity;
use engram_client_api::nonces::Nonces;
use engram_client_api::{App, SyncEffects};
use engram_ephemeral::{Ephemeral, EphemeralProjector, Live, LiveObserver};
use engram_eraser::{Eraser, ErasuresProjector};
use engram_failpoints::{Point, reached};
use engram_http::Front;
use engram_http::admission::Unlimited;
use engram_http::front::{FrontParts, Operations, Witness};
use engram_http::registry::Spec;
use engram_http::threads::Threads;
use engram_http::uia::Uia;
use engram_http::writers::Writers;
use engram_log::{AppendError, EmbeddedLog, FsStorage, Log, OpenError, TimestampMs};
use engram_rooms::writer::{ChoreWatch, Parts, RoomServer};
use engram_rooms::{Membership, RoomsProjector, query};
use engram_sync::SyncServer;
use engram_users::{Session, Users, UsersProjector};
use engram_views::{AnyProjector, Observer, ProjectError, ViewError, Views};
use tokio::sync::watch;

use crate::config::{Config, Directory};
use crate::signing_key::{self, SigningKeyError};

/// The version of the software, as it is written to the log.
pub const SOFTWARE: &str = concat!("engram ", env!("CARGO_PKG_VERSION"));

/// The views go on writing what the log has taken down to this part of the space that the log leaves free.
const VIEWS_SHARE: u64 = 8;

/// Every projector of the core pipeline, in the order in which they see a record.
pub fn projectors() -> Vec<Box<dyn AnyProjector>> {
    vec![
        Box::new(RoomsProjector::default()),
        Box::new(UsersProjector),
        Box::new(EphemeralProjector),
        Box::new(ErasuresProjector),
    ]
}

/// Why a server cannot start. Nothing was changed, or nothing that a second start would not do again.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The data directory cannot be used.
    #[error("cannot use the data directory {path}: {source}")]
    DataDir {
        /// The directory.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The log cannot be opened.
    #[error("{path}: {source}")]
    Log {
        /// The data directory.
        path: String,
        /// Why.
        source: OpenError,
    },
    /// The views cannot be opened.
    #[error("{}", what_to_do(.0))]
    Views(#[from] ProjectError),
    /// The operating system gave no threads.
    #[error("cannot start threads: {0}. Nothing was changed; look at the limits of processes and memory")]
    Threads(std::io::Error),
    /// There is no signing key.
    #[error(transparent)]
    Key(#[from] SigningKeyError),
    /// Rooms that are judged otherwise than before could not be recorded.
    #[error("cannot record which rooms are judged otherwise than by the version before: {0}")]
    Rejudged(#[from] engram_rooms::writer::RoomError),
    /// The first registration token could not be recorded.
    #[error("cannot record the first registration token: {0}")]
    Token(#[from] engram_users::writer::RegisterError),
}

/// The views read the log, so it is not always they who are to blame.
fn what_to_do(error: &ProjectError) -> String {
    match error {
        ProjectError::Follow(_) | ProjectError::Decode { .. } | ProjectError::View(ViewError::Log(_)) => format!(
            "cannot bring the views up to date, for the log cannot be read: {error}. Nothing was changed. \
             `engramctl log verify` names everything that is damaged: restore those files from a backup"
        ),
        ProjectError::View(error) if error.is_damage() => format!(
            "cannot open the views: {error}. The log is not affected; `engramctl view rebuild --all` makes them anew"
        ),
        ProjectError::View(error) => {
            format!("cannot open the views: {error}. No data is damaged: mend that, then start again")
        }
    }
}

/// A server without listeners.
pub struct Node {
    /// The log.
    pub log: Arc<EmbeddedLog>,
    /// The views.
    pub views: Arc<Views>,
    /// What takes out of the log what has had its day.
    pub eraser: Eraser,
    /// The state of the client API, with all writers.
    pub app: Arc<App>,
    /// Everything that HTTP is served with.
    pub front: Front,
    /// Where requests run.
    pub threads: Arc<Threads>,
    /// A registration token, to be shown once, as long as nobody has an account and nobody could get one without.
    pub first_token: Option<String>,
}

impl Node {
    /// Opens everything. `stopping` becomes true when the server is to stop.
    pub fn open(
        config: &Config,
        clock: &Clock,
        random: &Random,
        stopping: watch::Receiver<bool>,
    ) -> Result<Self, NodeError> {
        let data_dir = |source| NodeError::DataDir { path: config.data_dir.display().to_string(), source };
        let storage = FsStorage::open(&config.data_dir).map_err(data_dir)?;
        let log = EmbeddedLog::open(storage, log_options(config, clock));
        let log = log.map_err(|source| NodeError::Log { path: config.data_dir.display().to_string(), source })?;
        std::fs::create_dir_all(config.data_dir.join("media")).map_err(data_dir)?;
        let key = signing_key::load_or_create(&config.data_dir, random)?;
        let shared: Arc<dyn Log> = log.clone();
        let options = engram_views::Options {
            free_bytes_min: config.journal.free_bytes_min / VIEWS_SHARE,
            ..engram_views::Options::default()
        };
        let views = Views::open(&config.data_dir.join("views"), shared.clone(), projectors(), options)?;
        let live = Live::new();
        replay_live(&live, &*log, &views, clock())?;
        let ephemeral = Ephemeral::new(shared.clone(), views.clone(), live.clone(), clock.clone());
        let users = users(config, &shared, &views, clock, random);
        let parts = Parts {
            log: shared.clone(),
            views: views.clone(),
            accounts: Arc::new(ViewedAccounts),
            server_name: config.server_name.clone(),
            key,
            clock: clock.clone(),
            entropy: random.clone(),
        };
        let rejudged = parts.tell_of_rejudged()?;
        if rejudged > 0 {
            tracing::warn!(
                rooms = rejudged,
                "this version judges rooms otherwise than the last: clients are shown them anew"
            );
        }
        let rooms = RoomServer::new(parts);
        let ephemeral = Arc::new(ephemeral);
        let effects = Arc::new(SyncEffects { users: users.clone() });
        let threads = Threads::start(cores()).map_err(NodeError::Threads)?;
        let readers = threads.readers().handle().clone();
        let (sync, hub) = SyncServer::new(views.clone(), live.clone(), effects, clock.clone(), readers);
        let observers: Vec<Box<dyn Observer>> =
            vec![Box::new(LiveObserver(live.clone())), hub, Box::new(ChoreWatch(rooms.clone()))];
        views.start(observers);
        let first_token = first_token(config, &views, &users)?;
        let eraser = Eraser::start(engram_eraser::Parts {
            log: shared.clone(),
            views: views.clone(),
            clock: clock.clone(),
            grace: config.grace,
        });
        let (full_log, full_views) = (log.clone(), views.clone());
        let disk_full = Box::new(move || full_log.is_disk_full() || full_views.wait_for_space());
        let writers = Arc::new(Writers::new(cores(), disk_full));
        let server_name = config.server_name.clone();
        let uia = Uia::new(users.clone(), writers.clone(), server_name, clock.clone(), random.clone());
        let front_parts = FrontParts {
            users: users.clone(),
            threads: threads.clone(),
            admission: Box::new(Unlimited),
            servers: None,
            witness: Box::new(Attendance { live: live.clone(), clock: clock.clone() }),
        };
        let app = Arc::new(App {
            config: api_config(config),
            views: views.clone(),
            users,
            rooms,
            ephemeral,
            sync,
            live,
            writers,
            register_nonces: Nonces::default(),
            uia,
            readers: threads.readers(),
            clock: clock.clone(),
            random: random.clone(),
            stopping,
        });
        let mut operations = Operations::default();
        operations.add(engram_client_api::operations(), &app);
        let front = Front::new(operations, front_parts);
        Ok(Self { log, views, eraser, app, front, threads, first_token })
    }

    /// Applies and seals what was taken. To be called when no request is under way any more.
    pub fn close(self) -> Result<(), AppendError> {
        self.eraser.stop();
        self.views.close();
        reached(Point::StopViewsClosed);
        self.log.close()
    }
}

/// The data directory may be older than the first start that went well, so it is the accounts that are asked for.
fn first_token(config: &Config, views: &Views, users: &Users) -> Result<Option<String>, NodeError> {
    if config.registration_open || engram_users::query::any_user(&*views.snapshot()).map_err(ProjectError::from)? {
        return Ok(None);
    }
    // Nothing else runs yet.
    Ok(Some(block_on(users.create_registration_token(None, None, None))?))
}

/// Notes what people do for their presence.
struct Attendance {
    live: Arc<Live>,
    clock: Clock,
}

impl Witness for Attendance {
    fn called(&self, spec: &Spec, session: &Session) {
        if is_activity(spec) {
            self.live.act(&session.user_id, &session.device_id, (self.clock)());
        }
    }
}

/// Takes in who typed and who was there before the start, as far as the ephemeral lane still tells.
fn replay_live(live: &Live, log: &dyn Log, views: &Views, now: TimestampMs) -> Result<(), NodeError> {
    let snapshot = views.snapshot();
    let replayed = live.replay(log, now, |room_id, user_id| -> Result<bool, ProjectError> {
        let Some(room) = query::room(&*snapshot, room_id)? else { return Ok(false) };
        let membership = query::membership(&*snapshot, room.number, user_id)?;
        Ok(matches!(membership, Some((Membership::Join, _))))
    });
    match replayed {
        // What is in there is worth a hint to clients, and not the start.
        Err(ProjectError::Follow(error)) => {
            tracing::warn!(%error, "the ephemeral lane cannot be read: who typed before the start is not told to have stopped");
            Ok(())
        }
        replayed => Ok(replayed?),
    }
}

/// How many threads can run at once.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn log_options(config: &Config, clock: &Clock) -> engram_log::Options {
    let journal = config.journal;
    engram_log::Options {
        segment_bytes: journal.segment_bytes,
        ephemeral_segment_bytes: journal.segment_bytes.min(engram_log::limits::EPHEMERAL_SEGMENT_BYTES),
        reserve_bytes: journal.reserve_bytes,
        free_bytes_min: journal.free_bytes_min,
        queue_bytes_max: journal.queue_bytes,
        lease_step: journal.lease_offsets,
        server_name: config.server_name.clone(),
        software: SOFTWARE.to_owned(),
        now: clock(),
        ..engram_log::Options::default()
    }
}

/// Opens the views of a data directory over its log.
pub fn open_views(data_dir: &Path, log: &Arc<dyn Log>) -> Result<Arc<Views>, ProjectError> {
    Views::open(&data_dir.join("views"), log.clone(), projectors(), engram_views::Options::default())
}

/// The writer of users over a log and its views.
pub fn users(config: &Config, log: &Arc<dyn Log>, views: &Arc<Views>, clock: &Clock, random: &Random) -> Arc<Users> {
    let (log, views) = (log.clone(), views.clone());
    Arc::new(Users::new(log, views, config.server_name.clone(), clock.clone(), random.clone(), config.password_cost))
}

fn api_config(config: &Config) -> engram_client_api::Config {
    engram_client_api::Config {
        server_name: config.server_name.clone(),
        public_base_url: config.public_base_url.clone(),
        registration_open: config.registration_open,
        guests: config.guests,
        directory_without_account: config.directory == Directory::Everybody,
        registration_shared_secret: config.registration_shared_secret.clone(),
        default_room_version: config.default_room_version.clone(),
    }
}
