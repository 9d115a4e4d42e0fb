//! Putting an answer together: the general way here, the short one for plain new messages in [`fast`].

pub(crate) mod fast;

use engram_log::Offset;
use engram_rooms::Membership;
use engram_views::ViewError;

use crate::content::account::AccountData;
use crate::content::sharing::Sharing;
use crate::content::{Context, devices, ephemeral, room};
use crate::hub::Entry;
use crate::json::{push_events, push_key, push_string};
use crate::token::Token;

/// An answer.
pub(crate) struct Answer {
    pub(crate) body: String,
    /// Whether it says nothing new: a request that may sleep goes on sleeping.
    pub(crate) is_empty: bool,
    /// Up to where it says everything.
    pub(crate) position: Offset,
}

/// The members of `rooms`, each a finished list of members.
#[derive(Default)]
struct Rooms {
    join: String,
    invite: String,
    knock: String,
    leave: String,
}

/// The answer at the context's position. `entries` are all of the user's rooms, `to_device_after` is where messages to
/// the device go on.
pub(crate) fn answer(context: &Context<'_>, entries: &[Entry], to_device_after: Offset) -> Result<Answer, ViewError> {
    let mut account_data = AccountData::read(context)?;
    let rooms = rooms(context, entries, &mut account_data)?;
    let mut sharing = Sharing::new(context.snapshot, context.user_id(), context.since, context.position, entries)?;
    let news = ephemeral::presence_news(context, &mut sharing)?;
    // Of their own presence nobody has to be woken: the section is for that of others.
    let only_own_presence = news.iter().all(|(user_id, _)| user_id == context.user_id());
    let presence = ephemeral::presence_events(context, &news);
    let lists = devices::lists(context, &mut sharing)?;
    let to_device = devices::to_device(context, to_device_after)?;

    let next = Token { to_device: to_device.rest_after, ..Token::sync(context.position) };
    let mut body = String::with_capacity(rooms.bytes() + 512);
    let out = &mut body;
    out.push_str("{\"next_batch\":");
    push_string(out, &next.to_string());
    rooms.push(out);
    for (key, events) in
        [("presence", &presence), ("account_data", &account_data.global), ("to_device", &to_device.events)]
    {
        if !events.is_empty() {
            push_key(out, key);
            push_events(out, events);
        }
    }
    if let Some(lists) = &lists {
        push_key(out, "device_lists");
        out.push_str(lists);
    }
    out.push(',');
    out.push_str(&devices::counts(context)?);
    out.push('}');
    let is_empty = rooms.bytes() == 0
        && only_own_presence
        && account_data.global.is_empty()
        && to_device.events.is_empty()
        && lists.is_none()
        && !devices::has_new_counts(context);
    Ok(Answer { body, is_empty, position: context.position })
}

fn rooms(context: &Context<'_>, entries: &[Entry], account_data: &mut AccountData) -> Result<Rooms, ViewError> {
    let mut rooms = Rooms::default();
    let filter = &context.filter.room;
    for entry in entries.iter().filter(|entry| filter.room(&entry.room.id)) {
        let is_new = context.is_new(entry.event) || room::is_rejudged(context, entry)?;
        let (section, content) = match entry.membership {
            Membership::Join => (&mut rooms.join, room::joined(context, entry, account_data)?),
            Membership::Invite if is_new => (&mut rooms.invite, room::pending(context, entry)?),
            Membership::Knock if is_new => (&mut rooms.knock, room::pending(context, entry)?),
            Membership::Leave | Membership::Ban if is_new && !entry.forgotten && wants_left(context) => {
                (&mut rooms.leave, room::left(context, entry, account_data)?)
            }
            _ => continue,
        };
        if let Some(content) = content {
            push_member(section, &entry.room.id, &content);
        }
    }
    Ok(rooms)
}

/// Left rooms are shown when they are left, or to whom asks for them (SYNC-10).
fn wants_left(context: &Context<'_>) -> bool {
    context.since.is_some() || context.filter.room.include_leave
}

fn push_member(out: &mut String, key: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    push_string(out, key);
    out.push(':');
    out.push_str(value);
}

impl Rooms {
    fn bytes(&self) -> usize {
        self.join.len() + self.invite.len() + self.knock.len() + self.leave.len()
    }

    fn push(&self, out: &mut String) {
        if self.bytes() == 0 {
            return;
        }
        push_key(out, "rooms");
        out.push('{');
        for (key, members) in
            [("join", &self.join), ("invite", &self.invite), ("knock", &self.knock), ("leave", &self.leave)]
        {
            if !members.is_empty() {
                push_key(out, key);
                out.push('{');
                out.push_str(members);
                out.push('}');
            }
        }
        out.push('}');
    }
}
