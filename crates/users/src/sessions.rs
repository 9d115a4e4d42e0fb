//! The cache from access token to session: consulted by every authenticated request.
//!
//! Filled from the view on a miss. A session ends, or changes, only by this process's writer, which says so here as
//! soon as the record is appended: from then on the token is looked up in the view, and so good until the record is
//! applied, and no longer. A fill that read the view before that and stores after it is caught by the generation: it is
//! not stored.

use std::collections::HashMap;
use std::sync::Arc;

use engram_log::Offset;
use engram_views::ViewError;
use parking_lot::RwLock;

use crate::query::Session;
use crate::token::TokenDigest;

const SHARDS: usize = 16;

/// Sessions kept per shard; beyond that the shard begins anew, for a look-up in the view is cheap too.
const SHARD_SESSIONS_MAX: usize = 16 * 1024;

/// A concurrent map from token digest to session.
#[derive(Debug)]
pub(crate) struct Sessions {
    shards: Box<[RwLock<Shard>]>,
}

#[derive(Debug, Default)]
struct Shard {
    sessions: HashMap<TokenDigest, Arc<Session>>,
    /// How often a session was ended.
    generation: u64,
    /// The sessions that an appended record ends, with its offset, as long as it may not be applied.
    ending: HashMap<TokenDigest, Offset>,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::default()).collect() }
    }

    /// The session of a token, if it is here.
    pub(crate) fn in_memory(&self, digest: &TokenDigest) -> Option<Arc<Session>> {
        self.shard(digest).read().sessions.get(digest).map(Arc::clone)
    }

    /// The session of a token; `load` reads it from the view.
    pub(crate) fn get(
        &self,
        digest: &TokenDigest,
        load: impl FnOnce() -> Result<Option<Session>, ViewError>,
    ) -> Result<Option<Arc<Session>>, ViewError> {
        let generation = {
            let shard = self.shard(digest).read();
            if let Some(session) = shard.sessions.get(digest) {
                return Ok(Some(Arc::clone(session)));
            }
            shard.generation
        };
        let Some(session) = load()?.map(Arc::new) else {
            return Ok(None);
        };
        let mut shard = self.shard(digest).write();
        if shard.generation == generation && !shard.ending.contains_key(digest) {
            if shard.sessions.len() >= SHARD_SESSIONS_MAX {
                shard.sessions.clear();
            }
            shard.sessions.insert(*digest, Arc::clone(&session));
        }
        Ok(Some(session))
    }

    /// From now on the view alone knows whether a token is good: the record at `at` takes it away. `applied` is how far
    /// the view is.
    pub(crate) fn end(&self, digest: &TokenDigest, at: Offset, applied: Offset) {
        let mut shard = self.shard(digest).write();
        // A fill that is under way may have read the view before one of those that are struck off here.
        shard.generation += 1;
        shard.ending.retain(|_, at| *at > applied);
        shard.ending.insert(*digest, at);
        shard.sessions.remove(digest);
    }

    fn shard(&self, digest: &TokenDigest) -> &RwLock<Shard> {
        &self.shards[usize::from(digest[0]) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> Session {
        Session { user_id: "@a:x".to_owned(), device_id: "D".to_owned(), guest: false, admin: false, expires: None }
    }

    #[test]
    fn a_hit_does_not_load() {
        let sessions = Sessions::new();
        let digest = [1; 32];
        assert!(sessions.get(&digest, || Ok(Some(session()))).expect("loads").is_some());
        let hit = sessions.get(&digest, || panic!("it is in the cache")).expect("hits");
        assert_eq!(hit.as_deref(), Some(&session()));
        sessions.end(&digest, Offset(5), Offset(4));
        assert!(sessions.get(&digest, || Ok(None)).expect("loads").is_none());
    }

    #[test]
    fn a_session_that_is_about_to_end_is_not_kept() {
        let sessions = Sessions::new();
        let digest = [1; 32];
        sessions.end(&digest, Offset(5), Offset(4));
        assert!(sessions.get(&digest, || Ok(Some(session()))).expect("loads").is_some(), "the view still has it");
        assert!(sessions.get(&digest, || Ok(None)).expect("loads").is_none(), "and now no longer");
        // Another of the same shard: what is applied needs no memory.
        sessions.end(&[1 + SHARDS as u8; 32], Offset(9), Offset(5));
        assert_eq!(sessions.shard(&digest).read().ending.len(), 1);
    }

    #[test]
    fn a_fill_that_is_overtaken_by_a_logout_is_not_kept() {
        let sessions = Sessions::new();
        let digest = [1; 32];
        let filled = sessions.get(&digest, || {
            sessions.end(&digest, Offset(5), Offset(4));
            Ok(Some(session()))
        });
        assert!(filled.expect("loads").is_some(), "the request that began before may still pass");
        assert!(sessions.get(&digest, || Ok(None)).expect("loads").is_none());
    }
}
