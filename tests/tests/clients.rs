//! Client libraries that people use, driven by scripts in their own languages.

use engram_tests::Server;
use engram_tests::scripts::{run_node, run_python};

#[test]
fn nio_exchanges_a_thousand_messages() {
    let server = Server::start();
    run_python("nio_conversation.py", &[&server.url()]);
}

#[test]
fn nio_reads_encrypted_rooms_on_every_device() {
    let server = Server::start();
    run_python("nio_encryption.py", &[&server.url()]);
}

#[test]
fn js_sdk_exchanges_a_thousand_messages() {
    let server = Server::start();
    run_node("js_conversation.mjs", &[&server.url()]);
}

#[test]
fn js_sdk_reads_encrypted_rooms_on_every_device() {
    let server = Server::start();
    run_node("js_encryption.mjs", &[&server.url()]);
}
