//! The cache from access token to session: consulted by every authenticated request.
//!
//! Filled from the view on a miss. A session ends, or changes, only by this process's writer, which forgets the token after the
//! record is applied and before it answers: so no request that begins after a logout was answered finds the token here.
//! A fill that read the view before the logout and stores after it is caught by the generation: it is not stored.

use std::collections::HashMap;
use std::sync::Arc;

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
    /// How often something was forgotten.
    generation: u64,
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
        if shard.generation == generation {
            if shard.sessions.len() >= SHARD_SESSIONS_MAX {
                shard.sessions.clear();
            }
            shard.sessions.insert(*digest, Arc::clone(&session));
        }
        Ok(Some(session))
    }

    /// Forgets a token. Called after the view no longer has it.
    pub(crate) fn forget(&self, digest: &TokenDigest) {
        let mut shard = self.shard(digest).write();
        shard.generation += 1;
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
        sessions.forget(&digest);
        assert!(sessions.get(&digest, || Ok(None)).expect("loads").is_none());
    }

    #[test]
    fn a_fill_that_is_overtaken_by_a_logout_is_not_kept() {
        let sessions = Sessions::new();
        let digest = [1; 32];
        let filled = sessions.get(&digest, || {
            sessions.forget(&digest);
            Ok(Some(session()))
        });
        assert!(filled.expect("loads").is_some(), "the request that began before may still pass");
        assert!(sessions.get(&digest, || Ok(None)).expect("loads").is_none());
    }
}
