//! The server: takes a request, answers at once or sleeps until there is something to say.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use engram_base::Clock;
use engram_ephemeral::{Availability, Live};
use engram_log::Offset;
use engram_views::{Observer, Snapshot, Stopped, ViewError, Views};
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::content::devices::{self, DeviceLists};
use crate::content::sharing::Sharing;
use crate::content::{Context, account};
use crate::event::{Format, viewer};
use crate::filter::Filter;
use crate::hub::{Entry, Hub, HubObserver, UserHub};
use crate::limits;
use crate::respond::{self, Answer};
use crate::token::Token;

/// What a request has to be recorded of. Called on threads that may block.
pub trait Effects: Send + Sync + 'static {
    /// A device has received its messages up to and including an offset. The answer to the request waits for it, so it
    /// appends and does not wait for the disk.
    fn to_device_received(&self, user_id: &str, device_id: &str, through: Offset);
}

/// A request to /sync.
#[derive(Clone, Debug, Default)]
pub struct SyncRequest {
    /// Who asks.
    pub user_id: String,
    /// With which device.
    pub device_id: String,
    /// Where the last answer ended; none for an initial sync.
    pub since: Option<Token>,
    /// What is wanted.
    pub filter: Filter,
    /// Whether all state of all joined rooms is wanted.
    pub full_state: bool,
    /// Whether state is wanted as of the end of the timelines.
    pub use_state_after: bool,
    /// How long to sleep at most if there is nothing to say.
    pub timeout: Duration,
    /// What the request says about who makes it.
    pub set_presence: Availability,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The views cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The server is stopping.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// Client Sync. Shared as `Arc<SyncServer>`.
pub struct SyncServer {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) hub: Arc<Hub>,
    views: Arc<Views>,
    pub(crate) live: Arc<Live>,
    effects: Arc<dyn Effects>,
    pub(crate) clock: Clock,
    /// Threads that may read the views for as long as it takes.
    pub(crate) readers: Handle,
}

impl SyncServer {
    /// A server over the views, and the observer that keeps it current: to be handed to [`Views::start`], after the one
    /// that feeds `live`.
    pub fn new(
        views: Arc<Views>,
        live: Arc<Live>,
        effects: Arc<dyn Effects>,
        clock: Clock,
        readers: Handle,
    ) -> (Arc<Self>, Box<dyn Observer>) {
        let hub = Arc::new(Hub::new(Arc::clone(&views)));
        let observer = HubObserver::new(Arc::clone(&hub), Arc::clone(&views), Arc::clone(&live), Arc::clone(&clock));
        let inner = Arc::new(Inner { hub, views, live, effects, clock, readers });
        (Arc::new(Self { inner }), Box::new(observer))
    }

    /// Answers a request with a finished JSON body.
    ///
    /// With nothing to say it sleeps until something is applied that concerns the user, the time is over, or the server
    /// stops. Dropping the future abandons the request without a trace.
    pub async fn sync(&self, request: SyncRequest) -> Result<Bytes, SyncError> {
        let inner = &self.inner;
        let request = Arc::new(request);
        let user = inner.hub.user(&request.user_id);
        let _attending =
            inner.live.attend(&request.user_id, &request.device_id, request.set_presence, Arc::clone(&inner.clock));
        let mut deadline = std::pin::pin!(sleep(request.timeout.min(limits::TIMEOUT_MAX)));
        let mut is_over = request.timeout.is_zero();
        let mut since = Since::of(&request);
        loop {
            // From here on no signal is missed, so whatever comes after the look below wakes this request.
            let mut signal = std::pin::pin!(user.signal());
            signal.as_mut().enable();
            let answer = inner.answer(&request, &user, since).await?;
            let may_sleep = answer.is_empty && since.after.is_some() && !request.full_state;
            if is_over || !may_sleep || inner.hub.is_stopping() {
                return Ok(answer.body.into());
            }
            since = Since { after: Some(answer.position), to_device: answer.position };
            tokio::select! {
                () = signal => {}
                // One more look, so that the answer ends where the server is then.
                () = &mut deadline => is_over = true,
            }
        }
    }

    /// The position at which a request would be answered now.
    pub fn position(&self) -> Token {
        Token::sync(self.inner.hub.current().offset())
    }

    /// Whose keys a user has to fetch or may forget, as /sync tells between two of its tokens. Blocks.
    pub fn device_lists(&self, user_id: &str, from: Token, to: Token) -> Result<DeviceLists, SyncError> {
        let user = self.inner.hub.user(user_id);
        let (snapshot, entries) = self.inner.rooms_now(&user)?;
        let position = to.after.min(snapshot.offset());
        // A token from a future that is lost: whatever has happened may be news.
        let since = if from.after <= snapshot.offset() { from.after } else { Offset::ZERO };
        let mut sharing = Sharing::new(&snapshot, user_id, Some(since), position, &entries)?;
        Ok(devices::changes(&mut sharing)?)
    }

    /// Ends all sleeping requests; those that come later do not sleep.
    pub fn stop(&self) {
        self.inner.hub.stop();
    }
}

#[cfg(test)]
impl SyncServer {
    /// Whether there is nothing to answer a request with now.
    pub(crate) async fn sleeps(&self, request: SyncRequest) -> bool {
        let request = Arc::new(request);
        let user = self.inner.hub.user(&request.user_id);
        let answer = self.inner.answer(&request, &user, Since::of(&request)).await;
        answer.expect("the views can be read").is_empty
    }
}

/// Where an answer begins.
#[derive(Clone, Copy)]
struct Since {
    /// Rooms and everything else; none for an initial sync.
    after: Option<Offset>,
    /// Messages to the device.
    to_device: Offset,
}

impl Since {
    fn of(request: &SyncRequest) -> Self {
        let after = request.since.map(|token| token.after);
        let to_device = request.since.and_then(|token| token.to_device).or(after);
        Self { after, to_device: to_device.unwrap_or(Offset::ZERO) }
    }
}

impl Inner {
    async fn answer(
        self: &Arc<Self>,
        request: &Arc<SyncRequest>,
        user: &Arc<UserHub>,
        since: Since,
    ) -> Result<Answer, SyncError> {
        if let Some(answer) = self.quick_answer(request, user, since) {
            return Ok(answer);
        }
        let (inner, request, user) = (Arc::clone(self), Arc::clone(request), Arc::clone(user));
        let readers = inner.readers.clone();
        let task = readers.spawn_blocking(move || inner.full_answer(&request, &user, since));
        match task.await {
            Ok(answer) => answer,
            // Blocking tasks are never aborted, so it panicked: the panic belongs to the request that caused it.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    /// The answer if it can be told from memory.
    fn quick_answer(&self, request: &SyncRequest, user: &UserHub, since: Since) -> Option<Answer> {
        let after = since.after.filter(|after| *after == since.to_device)?;
        let acknowledged = user.device(&request.device_id, |memory| memory.acknowledged);
        if acknowledged < user.to_device.get() {
            return None;
        }
        let snapshot = self.hub.current();
        let now_ms = (self.clock)().0;
        respond::fast::answer(request, user, &snapshot, after, &format(request, now_ms), now_ms)
    }

    fn full_answer(&self, request: &SyncRequest, user: &Arc<UserHub>, since: Since) -> Result<Answer, SyncError> {
        let (snapshot, entries) = self.rooms_now(user)?;
        let position = snapshot.offset();
        // A token from a future that was lost with the disk, or made up: begin anew, rather than be silent for ever.
        let known = since.after.filter(|after| *after <= position);
        let now_ms = (self.clock)().0;
        let context = Context {
            snapshot: &snapshot,
            live: &self.live,
            user,
            device_id: &request.device_id,
            filter: &request.filter,
            format: format(request, now_ms),
            since: known,
            position,
            full_state: request.full_state,
            use_state_after: request.use_state_after,
            now_ms,
            ignored: account::ignored(&*snapshot, user, position)?,
        };
        // Nobody has received what is yet to be sent, whatever a made-up token says.
        let to_device = if known.is_some() { since.to_device.min(position) } else { Offset::ZERO };
        self.acknowledge(&context, to_device)?;
        Ok(respond::answer(&context, &entries, to_device)?)
    }

    /// The user's rooms, and a snapshot that is as far as they are.
    pub(crate) fn rooms_now(&self, user: &Arc<UserHub>) -> Result<(Arc<Snapshot>, Vec<Entry>), SyncError> {
        loop {
            self.hub.load(user)?;
            let snapshot = self.hub.current();
            match user.entries(snapshot.offset(), |_| true) {
                Ok(entries) => return Ok((snapshot, entries)),
                Err(changed) => self.views.wait_applied_blocking(changed)?,
            }
        }
    }

    /// A token says that what came before it has been received.
    fn acknowledge(&self, context: &Context<'_>, through: Offset) -> Result<(), ViewError> {
        let user = context.user;
        let acknowledged = user.device(context.device_id, |memory| memory.acknowledged);
        if through <= acknowledged {
            return Ok(());
        }
        if acknowledged < user.to_device.get() && devices::has_received(context, through)? {
            self.effects.to_device_received(&user.id, context.device_id, through);
        }
        user.device(context.device_id, |memory| memory.acknowledged = memory.acknowledged.max(through));
        Ok(())
    }
}

fn format(request: &SyncRequest, now_ms: u64) -> Format<'_> {
    let viewer = viewer(&request.user_id, Some(&request.device_id), now_ms);
    Format::of_sync(&request.filter, viewer)
}
