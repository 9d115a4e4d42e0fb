//! Who gets which answer from which operation: the access matrix.
//!
//! Every operation of the registry has a row, every kind of caller a column; the whole is `docs/access.md`, which
//! `ENGRAM_REFRESH=1 cargo test -p engram-server --test http` writes anew. Beyond that comparison, which a careless
//! refresh could blunt, the rules that hold for whole columns are asserted here.

mod people;
mod rows;

use std::fmt::Write as _;

use engram_http::Front;
use engram_http::registry::Access;
use people::{Column, People};
use rows::{ROWS, Row};

use crate::common::{Server, ask};
use crate::document::document;

const CONFIG: &str =
    "registration = { open = true, guests = true, shared_secret = \"s\" }\npassword_hash.cost = \"minimal\"";

const INTRODUCTION: &str = "# Who gets which answer

Made by a test that asks a server; do not edit. `ENGRAM_REFRESH=1 cargo test -p engram-server --test http` writes it
anew, and the test fails as long as the server answers otherwise.

Each request is about a private room of the owner, or about what is the caller's own. *Member* is a member without
power, *another's* a member who asks for what is the owner's own; a dash means that there is no such thing to ask for. A
token is void after its account was deactivated. Columns for locked and suspended accounts and for application services
come with those.
";

/// What guests may do (Guest Access), and what nobody has to be logged in for.
const GUESTS: [&str; 22] = [
    "getTokenOwner",
    "getDevices",
    "getDevice",
    "updateDevice",
    "setProfileField",
    "deleteProfileField",
    "uploadKeys",
    "queryKeys",
    "claimKeys",
    "sendToDevice",
    "joinRoom",
    "joinRoomById",
    "leaveRoom",
    "sendMessage",
    "sendMessageOnce",
    "setRoomStateWithKey",
    "setRoomState",
    "getRoomState",
    "getRoomStateWithKey",
    "getRoomStateWithoutKey",
    "sync",
    "getEvents",
];

/// What they may read besides.
const GUESTS_READ: [&str; 5] =
    ["getOneRoomEvent", "getMembersByRoom", "roomInitialSync", "getRoomEvents", "getEventContext"];

/// Operations on the room that strangers get a good answer from, and why.
const OPEN_TO_STRANGERS: [&str; 1] = [
    // That a room is not in the directory is no secret.
    "getRoomVisibilityOnDirectory",
];

/// What those may do to a room who were in it. They may also see what they saw while they were.
const OPEN_TO_FORMER_MEMBERS: [&str; 3] = ["leaveRoom", "forgetRoom", "getRoomVisibilityOnDirectory"];

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_answers_every_caller_as_documented() {
    let server = Server::start(CONFIG);
    let front = server.api();
    let void = people::deactivated(&front).await;
    let mut table = String::from("| Operation |");
    for column in Column::ALL {
        write!(table, " {} |", column.name()).expect("a string takes everything");
    }
    table.push_str("\n|---|");
    table.push_str(&"---|".repeat(Column::ALL.len()));
    table.push('\n');
    for (number, spec) in front.specs().iter().enumerate() {
        let row = ROWS.iter().find(|row| row.id == spec.id);
        let row = row.unwrap_or_else(|| panic!("{} has no row in the access matrix", spec.id));
        let people = People::gather(&front, number, &void).await;
        write!(table, "| {} |", spec.id).expect("a string takes everything");
        for column in Column::ALL {
            let answer = cell(&front, &people, row, spec.method.as_str(), column).await;
            if let Some((status, errcode)) = &answer {
                check(row, spec.method.as_str(), spec.access, column, *status, errcode);
            }
            let shown = answer.map_or_else(|| "–".to_owned(), |(status, errcode)| format!("{status} {errcode}"));
            write!(table, " {} |", shown.trim_end()).expect("a string takes everything");
        }
        table.push('\n');
    }
    document("access.md", &format!("{INTRODUCTION}\n{table}"));
}

/// The answer in one cell; none if there is nothing to ask for.
async fn cell(front: &Front, people: &People, row: &Row, method: &str, column: Column) -> Option<(u16, String)> {
    let of_somebody = ["{me}", "{my device}", "{my filter}"].iter().any(|own| row.path.contains(own));
    if column == Column::Another && !of_somebody {
        return None;
    }
    let (path, body) = (people.fill(row.path, column), people.fill(row.body, column));
    let (status, answer) = ask(front, people.token(column), method, &path, &body).await;
    Some((status.as_u16(), answer["errcode"].as_str().unwrap_or_default().to_owned()))
}

/// What holds for whole columns.
fn check(row: &Row, method: &str, access: Access, column: Column, status: u16, errcode: &str) {
    let id = row.id;
    assert!(status != 500 && errcode != "M_UNRECOGNIZED", "{id}, {}: {status} {errcode}", column.name());
    let needs_token = matches!(access, Access::User(_) | Access::Administrator | Access::Server);
    let refused = match column {
        Column::NoToken => Some((401, "M_MISSING_TOKEN")),
        Column::BadToken | Column::Deactivated => Some((401, "M_UNKNOWN_TOKEN")),
        Column::Guest if !GUESTS.contains(&id) && !GUESTS_READ.contains(&id) => Some((403, "M_GUEST_ACCESS_FORBIDDEN")),
        _ => None,
    };
    if let Some(refused) = refused.filter(|_| needs_token) {
        assert_eq!((status, errcode), refused, "{id}, {}", column.name());
    }
    let good = status < 400;
    if row.about_the_room && matches!(column, Column::Guest | Column::Stranger) {
        assert!(!good || OPEN_TO_STRANGERS.contains(&id), "{id}, {}: {status}", column.name());
    }
    if row.about_the_room && matches!(column, Column::Left | Column::Banned) && method != "GET" {
        assert!(!good || OPEN_TO_FORMER_MEMBERS.contains(&id), "{id}, {}: {status}", column.name());
    }
    if column == Column::Another && needs_token {
        assert!(status >= 400, "{id} gives {status} for what is another's");
    }
}

#[test]
fn no_row_is_left_over() {
    let operations = engram_client_api::operations();
    for row in ROWS {
        assert!(operations.iter().any(|operation| operation.spec.id == row.id), "{} is no operation", row.id);
    }
}
