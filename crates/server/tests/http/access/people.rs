//! Everybody who asks: the owner of a room, and those who stand in every relation to it.

use engram_http::Front;
use serde_json::{Value, json};

use crate::common::ask;

const V3: &str = "/_matrix/client/v3";

/// A kind of caller.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    NoToken,
    BadToken,
    Deactivated,
    Guest,
    Stranger,
    Left,
    Banned,
    Member,
    Another,
    Owner,
}

impl Column {
    pub(crate) const ALL: [Self; 10] = [
        Self::NoToken,
        Self::BadToken,
        Self::Deactivated,
        Self::Guest,
        Self::Stranger,
        Self::Left,
        Self::Banned,
        Self::Another,
        Self::Member,
        Self::Owner,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NoToken => "no token",
            Self::BadToken => "bad token",
            Self::Deactivated => "deactivated",
            Self::Guest => "guest",
            Self::Stranger => "non-member",
            Self::Left => "left",
            Self::Banned => "banned",
            Self::Member => "member",
            Self::Another => "another's",
            Self::Owner => "owner",
        }
    }
}

struct Person {
    user_id: String,
    device_id: String,
    token: String,
}

/// A room and everybody around it, new for every row.
pub(crate) struct People {
    owner: Person,
    member: Person,
    stranger: Person,
    left: Person,
    banned: Person,
    guest: Person,
    void: String,
    room: String,
    event: String,
    alias: String,
    filter: String,
    number: usize,
}

async fn good(front: &Front, token: &str, method: &str, path: &str, body: Value) -> Value {
    let (status, answer) = ask(front, token, method, &format!("{V3}{path}"), &body.to_string()).await;
    assert_eq!(status.as_u16(), 200, "{method} {path}: {answer}");
    answer
}

async fn register(front: &Front, name: &str) -> Person {
    let body = json!({ "username": name, "password": "secret", "auth": { "type": "m.login.dummy" } });
    person(&good(front, "", "POST", "/register", body).await)
}

fn person(answer: &Value) -> Person {
    let text = |key: &str| answer[key].as_str().expect("text").to_owned();
    Person { user_id: text("user_id"), device_id: text("device_id"), token: text("access_token") }
}

/// The token of an account that was deactivated.
pub(crate) async fn deactivated(front: &Front) -> String {
    let person = register(front, "gone").await;
    let auth = json!({ "auth": { "type": "m.login.password", "user": person.user_id, "password": "secret" } });
    good(front, &person.token, "POST", "/account/deactivate", auth).await;
    person.token
}

impl People {
    pub(crate) async fn gather(front: &Front, number: usize, void: &str) -> Self {
        let owner = register(front, &format!("owner{number}")).await;
        let member = register(front, &format!("member{number}")).await;
        let stranger = register(front, &format!("stranger{number}")).await;
        let left = register(front, &format!("left{number}")).await;
        let banned = register(front, &format!("banned{number}")).await;
        let guest = person(&good(front, "", "POST", "/register?kind=guest", json!({})).await);
        let invite = json!({
            "invite": [member.user_id, left.user_id, banned.user_id], "room_alias_name": format!("room{number}"),
        });
        let room = good(front, &owner.token, "POST", "/createRoom", invite).await["room_id"].clone();
        let room = room.as_str().expect("an ID").to_owned();
        for joining in [&member, &left, &banned] {
            good(front, &joining.token, "POST", &format!("/rooms/{room}/join"), json!({})).await;
        }
        let send = format!("/rooms/{room}/send/m.room.message/first");
        let sent = good(front, &owner.token, "PUT", &send, json!({ "msgtype": "m.text", "body": "x" })).await;
        good(front, &left.token, "POST", &format!("/rooms/{room}/leave"), json!({})).await;
        let ban = json!({ "user_id": banned.user_id });
        good(front, &owner.token, "POST", &format!("/rooms/{room}/ban"), ban).await;
        let filter = format!("/user/{}/filter", owner.user_id);
        let filter = good(front, &owner.token, "POST", &filter, json!({})).await;
        Self {
            event: sent["event_id"].as_str().expect("an ID").to_owned(),
            filter: filter["filter_id"].as_str().expect("an ID").to_owned(),
            alias: format!("%23room{number}:localhost"),
            void: void.to_owned(),
            owner,
            member,
            stranger,
            left,
            banned,
            guest,
            room,
            number,
        }
    }

    fn caller(&self, column: Column) -> &Person {
        match column {
            Column::Guest => &self.guest,
            Column::Stranger => &self.stranger,
            Column::Left => &self.left,
            Column::Banned => &self.banned,
            Column::Member | Column::Another => &self.member,
            Column::NoToken | Column::BadToken | Column::Deactivated | Column::Owner => &self.owner,
        }
    }

    pub(crate) fn token(&self, column: Column) -> &str {
        match column {
            Column::NoToken => "",
            Column::BadToken => "bad",
            Column::Deactivated => &self.void,
            _ => &self.caller(column).token,
        }
    }

    /// A path or body with names in the place of its placeholders.
    pub(crate) fn fill(&self, template: &str, column: Column) -> String {
        let named = if column == Column::Another { &self.owner } else { self.caller(column) };
        template
            .replace("{me}", &named.user_id)
            .replace("{my device}", &named.device_id)
            .replace("{my filter}", &self.filter)
            .replace("{room}", &self.room)
            .replace("{event}", &self.event)
            .replace("{alias}", &self.alias)
            .replace("{stranger}", &self.stranger.user_id)
            .replace("{member}", &self.member.user_id)
            .replace("{banned}", &self.banned.user_id)
            .replace("{number}", &format!("{}{}", self.number, column.name().replace([' ', '\'', '-'], "")))
    }
}
