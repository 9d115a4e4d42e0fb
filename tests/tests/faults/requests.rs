//! A handler that panics answers all the same, and takes nothing else with it.

use engram_tests::Server;
use engram_tests::server::external_url;
use serde_json::json;

#[test]
fn a_panic_is_one_requests_own() {
    if external_url().is_some() {
        return;
    }
    let mut server = Server::start();
    let alice = server.user("alice");
    let room = alice.create_room(&json!({}));
    assert!(server.stop().success());
    server.expect_log("panic");
    server.arm("server.response.ready=panic@3");
    server.start_again();
    alice.get("/v3/account/whoami").ok();
    alice.get("/v3/account/whoami").ok();
    alice.get("/v3/account/whoami").refused(500, "M_UNKNOWN");
    // On the same connection.
    alice.say(&room, "nothing happened");
    assert!(server.log_text().contains("E-API-INTERNAL"), "it is logged with its code");
}
