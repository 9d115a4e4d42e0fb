//! Power levels and room creators, parsed once and asked often.

use std::{borrow::Cow, cmp::Ordering, collections::BTreeMap, fmt};

use ruma::UserId;
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use crate::{
    Pdu, RoomVersion,
    canonical::{Object, Tree},
    ids, limits,
};

/// The power of a user: a number, or the unlimited power of a version 12 creator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// A number.
    Finite(i64),
    /// Above every number.
    Infinite,
}

impl PartialEq<i64> for Level {
    fn eq(&self, other: &i64) -> bool {
        *self == Self::Finite(*other)
    }
}

impl PartialOrd<i64> for Level {
    fn partial_cmp(&self, other: &i64) -> Option<Ordering> {
        Some(self.cmp(&Self::Finite(*other)))
    }
}

/// What the create event settles for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Creation {
    /// The sender of the create event.
    pub sender: Box<str>,
    /// The creators: the sender (`content.creator` to version 10) and from version 12 the additional ones; sorted.
    pub creators: Vec<Box<str>>,
    /// Whether users of other servers may take part.
    pub federate: bool,
}

/// Why a create or power levels event cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PowerError {
    /// The content is not as the room version wants it.
    #[error("malformed content: {0}")]
    Content(#[from] serde_json::Error),
    /// A client's power levels hold a value that is not an integer within canonical JSON's range.
    #[error("`{0}` has to be an integer")]
    NotInteger(String),
    /// A field that has to be an object is none.
    #[error("`{0}` has to be an object")]
    NotObject(String),
    /// A key of `users` is not a user ID.
    #[error("{0:?} is not a user ID")]
    UserId(String),
    /// Version 12: `users` names a creator, whose power is unlimited already.
    #[error("{0} is a creator of the room and has no entry in `users`")]
    Creator(String),
}

impl Creation {
    /// Reads a create event.
    pub fn parse(create: &Pdu) -> Result<Self, PowerError> {
        #[derive(Deserialize)]
        struct Content<'a> {
            #[serde(borrow, default)]
            creator: Option<&'a serde_json::value::RawValue>,
            #[serde(borrow, default)]
            additional_creators: Option<&'a serde_json::value::RawValue>,
            #[serde(default, rename = "m.federate")]
            federate: Option<bool>,
        }
        let rules = &create.version().rules().authorization;
        let content: Content<'_> = create.content()?;
        let mut creators: Vec<Box<str>> = Vec::new();
        match content.creator {
            Some(creator) if !rules.use_room_create_sender => {
                creators.push(serde_json::from_str(creator.get())?);
            }
            _ => creators.push(create.sender.as_str().into()),
        }
        if let Some(additional) = content.additional_creators.filter(|_| rules.additional_room_creators) {
            creators.extend(serde_json::from_str::<Vec<Box<str>>>(additional.get())?);
        }
        creators.sort_unstable();
        creators.dedup();
        Ok(Self { sender: create.sender.as_str().into(), creators, federate: content.federate.unwrap_or(true) })
    }

    /// Whether the user is a creator.
    pub fn is_creator(&self, user_id: &str) -> bool {
        self.creators.binary_search_by(|creator| (**creator).cmp(user_id)).is_ok()
    }
}

/// The power levels in force: those of the event, or the defaults of a room that has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PowerLevels {
    users: BTreeMap<Box<str>, i64>,
    events: BTreeMap<Box<str>, i64>,
    notifications: BTreeMap<Box<str>, i64>,
    /// Version 12: those with unlimited power. Sorted.
    unlimited: Vec<Box<str>>,
    users_default: i64,
    events_default: i64,
    state_default: i64,
    /// To ban, and with `kick` to lift a ban.
    pub ban: i64,
    /// To remove another from the room.
    pub kick: i64,
    /// To invite.
    pub invite: i64,
    /// To redact others' events.
    pub redact: i64,
    /// Which of the numbers of their own the event states, in the order of [`PowerLevels::numbers`]. To state a default
    /// is a change too.
    stated: [bool; 7],
    /// The content has no other forms than those of version 10, so that changes of it can be judged here.
    is_plain: bool,
}

impl PowerLevels {
    /// The levels by the room's power levels event, if it has one, and its creators.
    pub fn parse(version: &RoomVersion, event: Option<&Pdu>, creation: &Creation) -> Result<Self, PowerError> {
        let rules = &version.rules().authorization;
        let mut levels = match event {
            Some(event) if rules.integer_power_levels => Self::read::<Exact>(event.content_str())?,
            Some(event) => Self::read::<Loose>(event.content_str())?,
            None => Self::read::<Exact>("{}")?,
        };
        if rules.explicitly_privilege_room_creators {
            levels.unlimited.clone_from(&creation.creators);
        } else if event.is_none() {
            levels.users = creation.creators.iter().map(|creator| (creator.clone(), 100)).collect();
        }
        Ok(levels)
    }

    fn read<'a, N: Form<'a>>(text: &'a str) -> Result<Self, PowerError> {
        let content: Content<N> = serde_json::from_str(text)?;
        let number = |value: Option<N>, default: i64| value.map_or(default, Into::into);
        let map = |map: Option<BTreeMap<Box<str>, N>>| {
            map.unwrap_or_default().into_iter().map(|(key, value)| (key, value.into())).collect()
        };
        let stated = [
            content.users_default.is_some(),
            content.events_default.is_some(),
            content.state_default.is_some(),
            content.ban.is_some(),
            content.redact.is_some(),
            content.kick.is_some(),
            content.invite.is_some(),
        ];
        let mut levels = Self {
            users: map(content.users),
            events: map(content.events),
            notifications: map(content.notifications),
            unlimited: Vec::new(),
            users_default: number(content.users_default, 0),
            events_default: number(content.events_default, 0),
            state_default: number(content.state_default, 50),
            ban: number(content.ban, 50),
            kick: number(content.kick, 50),
            invite: number(content.invite, 0),
            redact: number(content.redact, 50),
            stated,
            is_plain: false,
        };
        levels.is_plain = N::IS_PLAIN && !has_null(text) && levels.is_in_range();
        Ok(levels)
    }

    /// Whether all numbers are integers of canonical JSON, and all keys of `users` user IDs.
    fn is_in_range(&self) -> bool {
        let maps = self.users.values().chain(self.events.values()).chain(self.notifications.values());
        let mut numbers = maps.copied().chain(self.numbers());
        numbers.all(|number| number.abs() <= limits::INTEGER_MAX)
            && self.users.keys().all(|user| <&UserId>::try_from(&**user).is_ok())
    }

    /// The numbers that are no map's.
    fn numbers(&self) -> [i64; 7] {
        let Self { users_default, events_default, state_default, ban, redact, kick, invite, .. } = *self;
        [users_default, events_default, state_default, ban, redact, kick, invite]
    }

    /// How many entries the maps have: what it takes to compare levels follows their number.
    pub fn entries(&self) -> usize {
        self.users.len() + self.events.len() + self.notifications.len()
    }

    /// Whether a sender with the power that these levels give may set others in their place, by the rules on power
    /// levels events alone; `None` if either has a form that only the full rules read.
    pub fn may_become(&self, next: &Self, sender: &str, version: &RoomVersion) -> Option<bool> {
        if !self.is_plain || !next.is_plain {
            return None;
        }
        if next.names_creators(version) {
            return Some(false);
        }
        let power = self.user_level(sender);
        let is_beyond = |level: i64| Level::Finite(level) > power;
        for at in 0..self.stated.len() {
            let (before, after) = (self.numbers()[at], next.numbers()[at]);
            let is_changed = self.stated[at] != next.stated[at] || before != after;
            if is_changed && (is_beyond(before) || is_beyond(after)) {
                return Some(false);
            }
        }
        let may_change = |_: &str, before: i64| !is_beyond(before);
        let limits_notifications = version.rules().authorization.limit_notifications_power_levels;
        let others = |user: &str, before: i64| user == sender || Level::Finite(before) < power;
        Some(
            is_changeable(&self.events, &next.events, power, may_change)
                && (!limits_notifications
                    || is_changeable(&self.notifications, &next.notifications, power, may_change))
                && is_changeable(&self.users, &next.users, power, others),
        )
    }

    /// Whether these may be the first levels of a room; `None` as for [`PowerLevels::may_become`].
    pub fn may_begin(&self, version: &RoomVersion) -> Option<bool> {
        self.is_plain.then(|| !self.names_creators(version))
    }

    fn names_creators(&self, version: &RoomVersion) -> bool {
        version.rules().authorization.explicitly_privilege_room_creators
            && self.unlimited.iter().any(|creator| self.users.contains_key(creator))
    }

    /// The power of a user.
    pub fn user_level(&self, user_id: &str) -> Level {
        if self.unlimited.binary_search_by(|creator| (**creator).cmp(user_id)).is_ok() {
            return Level::Infinite;
        }
        Level::Finite(self.users.get(user_id).copied().unwrap_or(self.users_default))
    }

    /// The level needed to send an event of a type.
    pub fn required_for(&self, event_type: &str, is_state: bool) -> i64 {
        let default = if is_state { self.state_default } else { self.events_default };
        self.events.get(event_type).copied().unwrap_or(default)
    }

    /// Whether the user may send events of a type.
    pub fn can_send(&self, user_id: &str, event_type: &str, is_state: bool) -> bool {
        self.user_level(user_id) >= self.required_for(event_type, is_state)
    }

    /// Whether the user may redact events of users of other servers than their own.
    pub fn can_redact_others(&self, user_id: &str) -> bool {
        self.user_level(user_id) >= self.redact
    }

    /// Whether the user may remove the target, by `kick` and by having more power.
    pub fn can_kick(&self, user_id: &str, target: &str) -> bool {
        self.user_level(user_id) >= self.kick && self.user_level(user_id) > self.user_level(target)
    }

    /// Whether the user may ban the target, by `ban` and by having more power.
    pub fn can_ban(&self, user_id: &str, target: &str) -> bool {
        self.user_level(user_id) >= self.ban && self.user_level(user_id) > self.user_level(target)
    }

    /// The level needed to trigger a notification, such as `room` for @room.
    pub fn notification_level(&self, key: &str) -> i64 {
        self.notifications.get(key).copied().unwrap_or(50)
    }

    /// The users with a level of their own, in order.
    pub fn users(&self) -> impl Iterator<Item = (&str, i64)> {
        self.users.iter().map(|(user, level)| (&**user, *level))
    }

    /// The level of users without one of their own.
    pub fn users_default(&self) -> i64 {
        self.users_default
    }
}

/// Whether every entry that differs between two maps may differ: what is there now is the caller's question, what it
/// becomes is not beyond the sender's power.
fn is_changeable(
    before: &BTreeMap<Box<str>, i64>,
    after: &BTreeMap<Box<str>, i64>,
    power: Level,
    may_change: impl Fn(&str, i64) -> bool,
) -> bool {
    let may_set = |level: i64| Level::Finite(level) <= power;
    let kept = before.iter().all(|(key, level)| match after.get(key) {
        Some(next) if next == level => true,
        Some(next) => may_change(key, *level) && may_set(*next),
        None => may_change(key, *level),
    });
    kept && after.iter().all(|(key, level)| before.contains_key(key) || may_set(*level))
}

#[derive(Deserialize)]
#[serde(bound = "N: Deserialize<'de>")]
struct Content<N> {
    #[serde(default = "none")]
    users: Option<BTreeMap<Box<str>, N>>,
    #[serde(default = "none")]
    events: Option<BTreeMap<Box<str>, N>>,
    #[serde(default = "none")]
    notifications: Option<BTreeMap<Box<str>, N>>,
    #[serde(default = "none")]
    users_default: Option<N>,
    #[serde(default = "none")]
    events_default: Option<N>,
    #[serde(default = "none")]
    state_default: Option<N>,
    #[serde(default = "none")]
    ban: Option<N>,
    #[serde(default = "none")]
    kick: Option<N>,
    #[serde(default = "none")]
    invite: Option<N>,
    #[serde(default = "none")]
    redact: Option<N>,
}

/// Whether a field that holds a level, or levels, is null. The rules refuse such an event, and whoever asks for the
/// levels of one does not mind.
fn has_null(text: &str) -> bool {
    const FIELDS: [&str; 10] = [
        "users",
        "events",
        "notifications",
        "users_default",
        "events_default",
        "state_default",
        "ban",
        "kick",
        "redact",
        "invite",
    ];
    let Ok(fields) = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(text) else { return true };
    FIELDS.iter().any(|field| fields.get(*field).is_some_and(|value| value.get() == "null"))
}

fn none<T>() -> Option<T> {
    None
}

/// How levels are written.
trait Form<'a>: Deserialize<'a> + Into<i64> {
    /// As integers alone.
    const IS_PLAIN: bool;
}

/// A level from version 10 on: an integer.
#[derive(Deserialize)]
struct Exact(i64);

impl Form<'_> for Exact {
    const IS_PLAIN: bool = true;
}

impl Form<'_> for Loose {
    const IS_PLAIN: bool = false;
}

impl From<Exact> for i64 {
    fn from(level: Exact) -> Self {
        level.0
    }
}

/// A level to version 9: an integer, a string that holds one, or a float, which is truncated.
struct Loose(i64);

impl From<Loose> for i64 {
    fn from(level: Loose) -> Self {
        level.0
    }
}

impl<'de> Deserialize<'de> for Loose {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Loose;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a power level")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Loose, E> {
                Ok(Loose(value))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Loose, E> {
                i64::try_from(value).map(Loose).map_err(E::custom)
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Loose, E> {
                Ok(Loose(value.trunc() as i64))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Loose, E> {
                value.trim().parse().map(Loose).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Checks power levels that a client wants to set: integers only, in every room version; user IDs as keys of `users`;
/// no creator among them where creators have unlimited power. Whether the sender may make the change is for
/// [`crate::auth`].
pub fn check_client_content(version: &RoomVersion, content: &str, creation: &Creation) -> Result<(), PowerError> {
    let content = Object::parse(content).map_err(|error| PowerError::Content(de::Error::custom(error)))?;
    for key in ["users_default", "events_default", "state_default", "ban", "kick", "invite", "redact"] {
        check_integer(key.into(), content.get(key))?;
    }
    for key in ["users", "events", "notifications"] {
        let Some(value) = content.get(key) else {
            continue;
        };
        let map = value.as_object().ok_or_else(|| PowerError::NotObject(key.to_owned()))?;
        for (name, level) in map.iter() {
            check_integer(format!("{key}.{name}").into(), Some(level))?;
        }
    }
    let users = content.get("users").and_then(Tree::as_object);
    for (user_id, _) in users.into_iter().flat_map(Object::iter) {
        if !ids::is_user_id(user_id) {
            return Err(PowerError::UserId(user_id.to_owned()));
        }
        if version.rules().authorization.explicitly_privilege_room_creators && creation.is_creator(user_id) {
            return Err(PowerError::Creator(user_id.to_owned()));
        }
    }
    Ok(())
}

fn check_integer(key: Cow<'_, str>, value: Option<&Tree<'_>>) -> Result<(), PowerError> {
    match value {
        None => Ok(()),
        Some(Tree::Integer(level)) if level.abs() <= limits::INTEGER_MAX => Ok(()),
        Some(_) => Err(PowerError::NotInteger(key.into_owned())),
    }
}

#[cfg(test)]
mod tests;
