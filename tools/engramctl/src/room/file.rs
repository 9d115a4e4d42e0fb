//! The file in which a room travels: one JSON document a line, a header first, then what the log holds of the room, in
//! its order.

use engram_log_format::v1::PduSource;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What the first line says the file is.
pub(super) const FORMAT: &str = "engram-room";
/// The version of the format.
pub(super) const VERSION: u32 = 1;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) format: String,
    pub(super) version: u32,
    pub(super) room_id: String,
    pub(super) room_version: String,
    /// Whose events have the source `local`.
    pub(super) server_name: String,
    /// The offset up to which the log was read.
    pub(super) offset: u64,
    /// The forward extremities.
    pub(super) extremities: Vec<String>,
    /// Digest of the current state by event IDs, in hexadecimal.
    pub(super) state: String,
}

/// Any other line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub(super) enum Line {
    Event(EventLine),
    State(StateLine),
}

impl Line {
    /// Reads a line. The kind is looked for first: what a line of several kinds may be cannot hold an event's exact
    /// bytes.
    pub(super) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Kind {
            Event,
            State,
        }
        #[derive(Deserialize)]
        struct Head {
            kind: Kind,
        }
        Ok(match serde_json::from_str::<Head>(text)?.kind {
            Kind::Event => Self::Event(serde_json::from_str(text)?),
            Kind::State => Self::State(serde_json::from_str(text)?),
        })
    }
}

/// An event, as one record holds it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct EventLine {
    pub(super) offset: u64,
    pub(super) event_id: String,
    pub(super) source: Source,
    /// What was decided about it; of one that was kept apart first, here and where it has its place.
    pub(super) verdict: String,
    pub(super) reason: Option<String>,
    pub(super) verified_keys: Vec<String>,
    /// The exact bytes.
    pub(super) event: Box<RawValue>,
}

/// The state before an event, as another server gave it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StateLine {
    pub(super) offset: u64,
    pub(super) event_id: String,
    pub(super) state: Vec<String>,
    pub(super) server: String,
    pub(super) anew: bool,
}

/// How the event got into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Source {
    Local,
    Federation,
    Backfill,
    Outlier,
}

impl From<PduSource> for Source {
    fn from(source: PduSource) -> Self {
        match source {
            PduSource::Local => Self::Local,
            PduSource::Federation => Self::Federation,
            PduSource::Backfill => Self::Backfill,
            PduSource::Outlier => Self::Outlier,
        }
    }
}

impl From<Source> for PduSource {
    fn from(source: Source) -> Self {
        match source {
            Source::Local => Self::Local,
            Source::Federation => Self::Federation,
            Source::Backfill => Self::Backfill,
            Source::Outlier => Self::Outlier,
        }
    }
}
