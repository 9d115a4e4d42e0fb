//! User-interactive authentication, through the operations that ask for it.

use engram_http::Front;
use serde_json::{Value, json};

use crate::common::{CONFIG, Server, ask, register};

const V3: &str = "/_matrix/client/v3";

async fn post(front: &Front, token: &str, path: &str, body: Value) -> (u16, Value) {
    let (status, answer) = ask(front, token, "POST", &format!("{V3}{path}"), &body.to_string()).await;
    (status.as_u16(), answer)
}

fn text<'a>(answer: &'a Value, key: &str) -> &'a str {
    answer[key].as_str().unwrap_or_else(|| panic!("{key} in {answer}"))
}

/// "Or the result of the API call if all stages were completed when a client retries a stage": one account, whoever
/// asks again.
#[tokio::test(flavor = "multi_thread")]
async fn a_completed_session_that_is_sent_again_gives_the_first_result_again() {
    let server = Server::start(CONFIG);
    let front = server.api();
    for named in [json!({ "password": "secret" }), json!({ "password": "secret", "username": "alice" })] {
        let (status, asked) = post(&front, "", "/register", named.clone()).await;
        assert_eq!(status, 401, "{asked}");
        let mut request = named;
        request["auth"] = json!({ "type": "m.login.dummy", "session": text(&asked, "session") });
        let (status, first) = post(&front, "", "/register", request.clone()).await;
        assert_eq!(status, 200, "{first}");
        let (front_again, request_again) = (front.clone(), request.clone());
        let together = tokio::spawn(async move { post(&front_again, "", "/register", request_again).await });
        assert_eq!(post(&front, "", "/register", request.clone()).await, (200, first.clone()));
        assert_eq!(together.await.expect("runs"), (200, first.clone()), "also at the same time");
        // A client that asks with nothing but the session means the same.
        let bare = json!({ "auth": { "session": text(&asked, "session") } });
        assert_eq!(post(&front, "", "/register", bare).await, (200, first.clone()));
        // But it is no way to another account.
        request["username"] = "other".into();
        assert_eq!(post(&front, "", "/register", request).await.0, 403);
        let (status, _) = ask(&front, text(&first, "access_token"), "GET", &format!("{V3}/account/whoami"), "").await;
        assert_eq!(status.as_u16(), 200, "and the session is still good");
    }
}

/// A name that was taken meanwhile is no reason to begin anew.
#[tokio::test(flavor = "multi_thread")]
async fn who_registers_may_choose_another_name_in_the_same_session() {
    let server = Server::start(CONFIG);
    let front = server.api();
    let wanted = json!({ "password": "secret", "username": "alice" });
    let (_, asked) = post(&front, "", "/register", wanted.clone()).await;
    register(&front, "alice").await;
    let auth = json!({ "type": "m.login.dummy", "session": text(&asked, "session") });
    let (status, taken) = post(&front, "", "/register", json!({ "auth": auth })).await;
    assert_eq!((status, text(&taken, "errcode")), (400, "M_USER_IN_USE"));
    let other = json!({ "username": "bob", "auth": auth });
    let (status, registered) = post(&front, "", "/register", other).await;
    assert_eq!((status, text(&registered, "user_id")), (200, "@bob:localhost"));
}

/// What somebody agreed to is not exchanged: a session that was opened to delete device A does not delete B.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_opened_for_one_device_does_not_delete_another() {
    let server = Server::start(CONFIG);
    let front = server.api();
    let alice = register(&front, "alice").await;
    let mut devices = Vec::new();
    for _ in 0..2 {
        let login = json!({ "type": "m.login.password", "user": "alice", "password": "secret" });
        devices.push(text(&post(&front, "", "/login", login).await.1, "device_id").to_owned());
    }
    let auth = |session: &str| {
        json!({
            "type": "m.login.password", "identifier": { "type": "m.id.user", "user": "alice" }, "password": "secret",
            "session": session,
        })
    };
    let (status, asked) = post(&front, &alice, "/delete_devices", json!({ "devices": [devices[0]] })).await;
    assert_eq!((status, &asked["completed"]), (401, &json!([])), "{asked}");
    let session = text(&asked, "session");
    let exchanged = json!({ "devices": [devices[1]], "auth": auth(session) });
    assert_eq!(post(&front, &alice, "/delete_devices", exchanged.clone()).await.0, 403);
    let agreed = json!({ "devices": [devices[0]], "auth": auth(session) });
    assert_eq!(post(&front, &alice, "/delete_devices", agreed.clone()).await.0, 200);
    assert_eq!(post(&front, &alice, "/delete_devices", exchanged).await.0, 403, "nor afterwards");
    assert_eq!(post(&front, &alice, "/delete_devices", agreed).await.0, 200, "the same is the same");
    let path = format!("{V3}/devices/{}", devices[1]);
    assert_eq!(ask(&front, &alice, "GET", &path, "").await.0.as_u16(), 200, "it is still there");
    // The path says what it is about as well.
    let delete = json!({ "auth": auth(session) }).to_string();
    assert_eq!(ask(&front, &alice, "DELETE", &path, &delete).await.0.as_u16(), 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_says_which_stages_are_completed_even_if_none_is() {
    let server = Server::start(CONFIG);
    let front = server.api();
    let alice = register(&front, "alice").await;
    let wrong = json!({ "auth": { "type": "m.login.password", "user": "alice", "password": "wrong" } });
    let (status, refused) = post(&front, &alice, "/account/deactivate", wrong).await;
    assert_eq!((status, text(&refused, "errcode")), (401, "M_FORBIDDEN"));
    assert_eq!(refused["completed"], json!([]));
    let phone = json!({
        "type": "m.login.password", "password": "secret", "identifier": { "type": "m.id.phone", "user": "alice" },
    });
    let (status, _) = post(&front, &alice, "/account/deactivate", json!({ "auth": phone })).await;
    assert_eq!(status, 400, "an identifier of a kind that leads to no account");
}
