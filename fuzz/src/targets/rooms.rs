//! Events of strangers in a room: whatever passes the parser, the room server keeps its views and can rebuild them.

use std::sync::Arc;

use engram_log_format::v1;
use engram_matrix::room_version::RoomVersion;
use engram_matrix::{Pdu, pdu};
use engram_rooms::RoomsProjector;
use engram_views::testing::{MemoryLog, TestViews, scratch_dir};
use engram_views::{AnyProjector, Snapshot, Views};

use super::json::room_of;

/// More events than any of the questions about them needs.
const EVENTS_MAX: usize = 24;

/// Events of the room version that the first byte picks, one a line.
pub(crate) fn rooms(input: &[u8]) {
    let Some((version, lines)) = input.split_first() else { return };
    let versions: Vec<&'static RoomVersion> = RoomVersion::supported().collect();
    let version = versions[usize::from(*version) % versions.len()];
    let events: Vec<v1::Pdu> =
        lines.split(|byte| *byte == b'\n').take(EVENTS_MAX).filter_map(|json| event(version, json)).collect();
    if events.is_empty() {
        return;
    }
    let live = TestViews::new(projectors());
    for (number, event) in events.into_iter().enumerate() {
        let offset = live.log.journal(event, number as u64);
        live.wait(offset);
    }
    let rebuilt = rebuild(&live.log);
    assert_eq!(digest(&live.views.snapshot()), rebuilt, "a rebuild gives what was live");
}

/// The record of an event that the parser takes, as a receiver of federation writes it.
fn event(version: &'static RoomVersion, json: &[u8]) -> Option<v1::Pdu> {
    let event_id = pdu::event_id(version, json).ok()?;
    let room_id = room_of(version, json, &event_id);
    Pdu::parse(version, &event_id, &room_id, json).ok()?;
    Some(v1::Pdu {
        room_id,
        event_id,
        room_version: version.id().to_owned(),
        source: v1::PduSource::Federation,
        json: json.to_vec(),
        transaction: None,
        verified_keys: Vec::new(),
    })
}

fn projectors() -> Vec<Box<dyn AnyProjector>> {
    vec![Box::new(RoomsProjector::default())]
}

fn rebuild(log: &MemoryLog) -> blake3::Hash {
    let directory = scratch_dir();
    let views = Views::open(directory.path(), Arc::new(log.clone()), projectors(), engram_views::Options::default());
    digest(&views.expect("views of a log in memory open").snapshot())
}

fn digest(snapshot: &Snapshot) -> blake3::Hash {
    let digest = snapshot.digest("rooms").expect("the view can be read");
    digest.expect("there is such a view").digest
}
