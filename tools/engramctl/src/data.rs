//! The data directory of a server, and how its log is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use engram_log::storage::{Lock, LockMode};
use engram_log::{EmbeddedLog, FsStorage, Log, OpenError, Storage};
use engram_log_format::InputRef;
use engram_log_format::types::Offset;
use engram_server::config::{Config, Overrides};
use engram_server::node::projectors;
use engram_views::{Snapshot, stored};

use crate::args::Place;
use crate::error::{Error, Result};

const JOURNAL_DIR: &str = "log/journal";

/// A data directory that exists.
#[derive(Debug)]
pub(crate) struct Data {
    config: Config,
}

impl Place {
    /// The data directory that is meant.
    pub(crate) fn open(self) -> Result<Data> {
        let overrides = Overrides { data_dir: self.data_dir, ..Overrides::default() };
        let config = Config::load(self.config.as_deref(), std::env::vars(), overrides)?;
        if config.data_dir.is_dir() { Ok(Data { config }) } else { Err(Error::NoData(config.data_dir)) }
    }
}

impl Data {
    /// Its path.
    pub(crate) fn dir(&self) -> &Path {
        &self.config.data_dir
    }

    /// The directory of the views.
    pub(crate) fn views_dir(&self) -> PathBuf {
        self.dir().join("views")
    }

    /// The configuration, of which the server's name is not to be relied on: it may not have been given.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// Its files. An error if no log is among them: a tool leaves nothing behind in a directory that is not a server's.
    pub(crate) fn storage(&self) -> Result<Arc<dyn Storage>> {
        if !self.dir().join(JOURNAL_DIR).is_dir() {
            return Err(Error::NoLog(self.dir().to_owned()));
        }
        let files = |source| Error::Files { what: "the data directory", source };
        Ok(FsStorage::open(self.dir()).map_err(files)?)
    }

    /// Makes sure that no server runs, and that none starts as long as the lock is held.
    pub(crate) fn lock(&self, storage: &Arc<dyn Storage>) -> Result<Lock> {
        storage.lock(LockMode::Shared).map_err(|source| self.locked(source))
    }

    /// The log, to be read. Nothing on disk is changed.
    pub(crate) fn log(&self) -> Result<Arc<EmbeddedLog>> {
        EmbeddedLog::open_read_only(self.storage()?).map_err(|error| self.not_opened(error))
    }

    /// What there is at this moment of the log of a server that may be running, to be read.
    pub(crate) fn log_beside_server(&self) -> Result<Arc<EmbeddedLog>> {
        EmbeddedLog::open_beside_writer(self.storage()?).map_err(|error| self.not_opened(error))
    }

    /// The stored views, caught up with the log; an error where a server would heal them.
    pub(crate) fn views(&self, log: Arc<dyn Log>) -> Result<Arc<Snapshot>> {
        Ok(stored::open(&self.views_dir(), log, projectors())?)
    }

    /// The newest file of the journal and when it was last written: changes when the journal has grown.
    pub(crate) fn journal_mark(&self) -> Option<(PathBuf, SystemTime)> {
        let files = self.dir().join(JOURNAL_DIR).read_dir().ok()?;
        let newest = files.filter_map(|file| Some(file.ok()?.path())).max()?;
        let written = newest.metadata().ok()?.modified().ok()?;
        Some((newest, written))
    }

    /// Puts the directory's name to an error that does not say it.
    pub(crate) fn not_opened(&self, error: OpenError) -> Error {
        match error {
            OpenError::Locked(source) => self.locked(source),
            OpenError::Empty => Error::NoLog(self.dir().to_owned()),
            error => Error::Open(error),
        }
    }

    fn locked(&self, source: engram_log::LockError) -> Error {
        Error::Locked { data_dir: self.dir().to_owned(), source }
    }
}

/// Whose log it is, as its first record says; none if the record cannot be read.
pub(crate) fn server_name(log: &EmbeddedLog) -> Option<String> {
    let genesis = log.read(Offset::FIRST).ok()?;
    match genesis.input() {
        Ok(InputRef::Genesis(genesis)) => Some(genesis.server_name.to_string()),
        _ => None,
    }
}
