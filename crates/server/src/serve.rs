//! `engram serve`: the life of a server from its start to its exit code.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use engram_client_api::finish_closing;
use engram_failpoints::{Point, reached};
use engram_http::writers::{blocking, wait};
use engram_log::{AppendError, Offset};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};

use crate::config::Config;
use crate::listener::{Bound, ListenError, Shared};
use crate::node::{self, Node, NodeError};
use crate::root;
use crate::scrub;

/// How long requests under way may take once the server is to stop. Long polls end at once.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Threads of the main runtime that may block. Nothing that anybody waits for runs there: readers and writers have
/// threads of their own.
const HINT_THREADS_MAX: usize = 16;

/// How often rooms with too many branches are looked after.
const BRANCHES_CHECK: Duration = Duration::from_secs(10);
/// How often it is looked whose typing has expired, and of whose presence others are to be told: how late they see
/// somebody come.
const TIMES_CHECK: Duration = Duration::from_millis(200);

/// Why a server did not serve, or ceased to.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// It could not start.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// It could not listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The operating system gave no threads or signals.
    #[error("cannot start the runtime: {0}")]
    Runtime(io::Error),
    /// The log or the views stopped under it.
    #[error(
        "the server has stopped: {0}. Nothing more was acknowledged after that. Check the disk, then start again: \
         the log is read back from disk and goes on after what is there"
    )]
    Stopped(String),
    /// The log could not be closed in order.
    #[error("the log could not be sealed: {0}. Nothing acknowledged is lost; the next start recovers it")]
    Close(AppendError),
}

/// Serves until a signal comes or the log stops.
pub fn serve(config: &Config) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(node::cores())
        .max_blocking_threads(HINT_THREADS_MAX)
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)?;
    let (stop, stopping) = watch::channel(false);
    let (clock, random) = (root::clock(), root::random());
    let node = Node::open(config, &clock, &random, stopping.clone())?;
    let scrubbing = scrub::start(node.log.scrubber(), config.scrub).map_err(ServeError::Runtime)?;
    let ended = runtime.block_on(run(config, &node, &stop, stopping));
    // Whatever still runs holds parts of the node, so it ends before the log is closed.
    stop.send_replace(true);
    runtime.shutdown_timeout(DRAIN_TIMEOUT);
    node.threads.shut_down(DRAIN_TIMEOUT);
    reached(Point::StopDrained);
    drop(scrubbing);
    let closed = node.close();
    ended?;
    closed.map_err(ServeError::Close)?;
    tracing::info!("stopped; the log is sealed");
    Ok(())
}

async fn run(
    config: &Config,
    node: &Node,
    stop: &watch::Sender<bool>,
    stopping: watch::Receiver<bool>,
) -> Result<(), ServeError> {
    let (alive, mut last_gone) = mpsc::channel(1);
    let shared = Shared {
        front: node.front.clone(),
        stopping: stopping.clone(),
        alive,
        connections_max: config.connections_max,
    };
    // Before anybody can connect: who has seen the server answer may also stop it.
    let signals = Signals::listen().map_err(ServeError::Runtime)?;
    let mut bound = Vec::with_capacity(config.listeners.len());
    for listener in &config.listeners {
        bound.push(Bound::new(listener).await?);
    }
    announce(config, node, &bound);
    for listener in bound {
        tokio::spawn(listener.accept(shared.clone()));
    }
    drop(shared);
    node.threads.writers().spawn(keep_time(Arc::clone(&node.app)));
    node.threads.writers().spawn(join_branches(Arc::clone(&node.app)));
    node.threads.writers().spawn(dismiss_guests(Arc::clone(&node.app)));
    let ended = tokio::select! {
        () = signals.received() => Ok(()),
        // No record ever has this offset: the wait ends only when the views do.
        Err(stopped) = node.views.wait_applied(Offset(u64::MAX)) => Err(ServeError::Stopped(stopped.0.to_string())),
    };
    stop.send_replace(true);
    node.app.sync.stop();
    // Closed when the last connection has dropped its sender.
    if tokio::time::timeout(DRAIN_TIMEOUT, last_gone.recv()).await.is_err() {
        tracing::warn!(code = "W-DRAIN", "some requests did not end in time and are cut off");
    }
    ended
}

/// The signals that ask a server to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn received(mut self) {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "stopping");
    }
}

/// Has done what time alone brings about: typing ends, users become idle or are gone.
async fn keep_time(app: Arc<engram_client_api::App>) {
    let mut ticks = tokio::time::interval(TIMES_CHECK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = app.stopped() => return,
        }
        if app.live.is_due(app.now()) {
            // A log that takes nothing is on its way down and says so elsewhere.
            let _ = app.ephemeral.keep_time().await;
        }
    }
}

/// Joins the branches of rooms that have too many, one event a room and turn.
async fn join_branches(app: Arc<engram_client_api::App>) {
    let mut ticks = tokio::time::interval(BRANCHES_CHECK);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = app.stopped() => return,
        }
        let rooms = Arc::clone(&app.rooms);
        blocking(move || wait(rooms.join_crowded())).await;
    }
}

/// Takes closed accounts out of their rooms, and guests out of rooms that no longer admit them: first what may have
/// been left undone before the start, then whenever a room closes its door.
async fn dismiss_guests(app: Arc<engram_client_api::App>) {
    finish_closing(&app).await;
    let rooms = Arc::clone(&app.rooms);
    if let Err(error) = blocking(move || wait(rooms.dismiss_all_guests())).await {
        tracing::warn!(%error, "guests may still be in rooms that do not admit them");
    }
    loop {
        tokio::select! {
            () = app.rooms.door_closed() => {}
            () = app.stopped() => return,
        }
        let rooms = Arc::clone(&app.rooms);
        blocking(move || wait(rooms.dismiss_guests())).await;
    }
}

/// Says that it serves, and to a newcomer what to do next. The token is shown here and never again.
fn announce(config: &Config, node: &Node, bound: &[Bound]) {
    for path in &config.without_effect {
        tracing::warn!(code = "W-CONFIG-UNBUILT", key = path, "this configuration key has no effect yet");
    }
    let urls: Vec<String> = bound.iter().map(Bound::url).collect();
    tracing::info!(server_name = config.server_name, listening = urls.join(" "), data = %config.data_dir.display(), "serving");
    if let Some(token) = &node.first_token {
        let url = urls.first().map_or("", String::as_str);
        let text = format!(
            "\nEngram serves {} at {url}; its data is in {}.\n\
             Register with any Matrix client at that address, using this registration token \
             (shown only this once):\n\n    \
             {token}\n\nThe first account becomes the administrator.\n\n",
            config.server_name,
            config.data_dir.display(),
        );
        // Nobody may be reading; the server serves all the same.
        let _ = io::stdout().write_all(text.as_bytes());
    }
}
