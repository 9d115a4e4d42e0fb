//! What one device says about whoever sits before it, and what that is worth at a time.

use std::time::Duration;

use engram_log::TimestampMs;

use crate::limits::{AWAY_AFTER, IDLE_AFTER};

/// How present somebody is, from least to most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Availability {
    /// Not there, or not to be seen.
    Offline,
    /// There, but idle.
    Unavailable,
    /// There: what a request says that does not say.
    #[default]
    Online,
}

impl Availability {
    /// The word of the specification.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Unavailable => "unavailable",
            Self::Online => "online",
        }
    }

    /// What a word of the specification means; nothing, if it is none.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Offline, Self::Unavailable, Self::Online].into_iter().find(|availability| availability.as_str() == word)
    }
}

/// A poll that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PollId(pub(crate) u64);

/// One device.
#[derive(Clone, Debug)]
pub(super) struct Device {
    /// Its polls that are under way, and what each says.
    polls: Vec<(PollId, Availability)>,
    /// What was said last.
    said: Availability,
    /// Since when it says that.
    said_since: TimestampMs,
    /// When somebody last did something there.
    pub(super) last_active: TimestampMs,
    /// When it was last heard of.
    last_seen: TimestampMs,
}

impl Device {
    /// A device that is heard of for the first time.
    pub(super) fn new(says: Availability, last_active: TimestampMs, now: TimestampMs) -> Self {
        Self { polls: Vec::new(), said: says, said_since: now, last_active, last_seen: now }
    }

    /// A poll begins. To say `online` after something else is activity; to say it again is none.
    pub(super) fn poll_began(&mut self, poll: PollId, says: Availability, now: TimestampMs) {
        self.polls.push((poll, says));
        self.say_what_polls_say(now);
    }

    pub(super) fn poll_ended(&mut self, poll: PollId, now: TimestampMs) {
        self.last_seen = now;
        self.polls.retain(|(id, _)| *id != poll);
        if !self.polls.is_empty() {
            self.say_what_polls_say(now);
        }
    }

    /// The device says so in a request for that purpose: its polls have said otherwise before.
    pub(super) fn declare(&mut self, says: Availability, now: TimestampMs) {
        self.polls.iter_mut().for_each(|(_, said)| *said = says);
        (self.said, self.said_since, self.last_seen) = (says, now, now);
        if says == Availability::Online {
            self.last_active = now;
        }
    }

    /// Somebody did something there.
    pub(super) fn act(&mut self, now: TimestampMs) {
        (self.last_active, self.last_seen) = (now, now);
    }

    fn say_what_polls_say(&mut self, now: TimestampMs) {
        let says = self.polls.iter().map(|(_, says)| *says).max().expect("a poll is under way");
        if says != self.said {
            (self.said, self.said_since) = (says, now);
            if says == Availability::Online {
                self.last_active = now;
            }
        }
    }

    /// Whether it is still to be reckoned with.
    pub(super) fn is_here(&self, now: TimestampMs) -> bool {
        !self.polls.is_empty() || now < after(self.last_seen, AWAY_AFTER)
    }

    /// What it is worth. Whoever acts on a device that calls itself idle is there; one that does not want to be seen is
    /// not.
    pub(super) fn availability(&self, now: TimestampMs) -> Availability {
        if !self.is_here(now) || self.said == Availability::Offline {
            return Availability::Offline;
        }
        let acted = self.said == Availability::Online || self.last_active > self.said_since;
        let is_idle = now >= after(self.last_active, IDLE_AFTER);
        if acted && !is_idle { Availability::Online } else { Availability::Unavailable }
    }

    /// When that may next change by itself.
    pub(super) fn next_change(&self, now: TimestampMs) -> Option<TimestampMs> {
        let away = self.polls.is_empty().then(|| after(self.last_seen, AWAY_AFTER));
        let idle = (self.said != Availability::Offline).then(|| after(self.last_active, IDLE_AFTER));
        [away, idle].into_iter().flatten().filter(|at| *at > now).min()
    }
}

/// The time that comes `span` later.
pub(super) fn after(time: TimestampMs, span: Duration) -> TimestampMs {
    TimestampMs(time.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
}
