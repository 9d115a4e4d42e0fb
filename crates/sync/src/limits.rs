//! Named limits, each with its reason.

use std::time::Duration;

/// Timeline events of a room in an initial sync, if the filter names no limit: what fits on a screen.
pub const TIMELINE_INITIAL: usize = 10;

/// Timeline events of a room in an incremental sync, if the filter names no limit.
pub const TIMELINE_INCREMENTAL: usize = 20;

/// Most timeline events of a room in one answer, whatever the filter says.
pub const TIMELINE_MAX: usize = 100;

/// Rows that one timeline may look at: a filter that matches hardly anything must not read a whole room. When they are
/// spent the timeline is `limited`, and paging goes on from there.
pub const TIMELINE_SCAN_MAX: usize = 2_000;

/// Events of a page of history, if the request names no limit (client-server API, `/messages`).
pub const PAGE_DEFAULT: usize = 10;

/// Most events of a page of history.
pub const PAGE_MAX: usize = 1_000;

/// Events that a search for the one closest to a time may look at, until it meets one that the user may see.
pub const TIME_SCAN_MAX: usize = 2_000;

/// To-device messages in one answer; the rest follows in the next one, which comes at once.
pub const TO_DEVICE_MAX: usize = 100;

/// Longest time that a request may sleep: proxies rarely allow more.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(300);

/// Events of all rooms that are kept in memory for those who are about to fetch them. At 1 to 2 kB each a few MB.
pub const RECENT_EVENTS_MAX: usize = 4_096;

/// Member events that the server remembers to have sent to a device with lazy loading. Beyond that it forgets them all
/// and sends some again, which is allowed.
pub const SENT_MEMBERS_MAX: usize = 4_096;

/// Devices of a user for which something is remembered.
pub const DEVICES_MAX: usize = 64;

/// Users that the hub does not know and whose rooms it remembers nevertheless: at some hundred bytes each less than 4
/// MB.
pub const STRANGERS_MAX: usize = 4_096;

/// Rows of memberships, former ones included, that the pipeline reads of a user whom the hub does not know: about a
/// millisecond. Whoever has more counts as somebody who may share a room with everybody.
pub const STRANGER_ROOMS_MAX: usize = 1_000;

/// Heroes of a room's summary (client-server API, `RoomSummary`).
pub const HEROES_MAX: usize = 5;

/// Users whose presence is told to a client that begins, or that has come into a room: those whose presence changed
/// last. More than a list of members shows, and in a room of thousands it keeps the answer small.
pub const PRESENCE_INITIAL_MAX: usize = 1_000;

/// Users who are looked at for that: most of them may be in no room of the client's.
pub const PRESENCE_LOOK_MAX: usize = 4_000;

/// Entries of a list in a filter: a filter is matched against every event.
pub const FILTER_LIST_MAX: usize = 1_000;
