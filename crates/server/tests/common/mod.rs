//! A server over a real log in a scratch directory, without a network, and clients of it.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use engram_http::{ClientAddress, Front};
use engram_server::config::written::Written;
use engram_server::config::{Config, Overrides};
use engram_server::node::Node;
use engram_server::root;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::watch;

pub(crate) const CONFIG: &str =
    "registration = { open = true, shared_secret = \"s\" }\npassword_hash.cost = \"minimal\"";

pub(crate) struct Server {
    pub(crate) node: Node,
    _stop: watch::Sender<bool>,
    _directory: tempfile::TempDir,
}

impl Server {
    pub(crate) fn start(config: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let overrides = Overrides { data_dir: Some(directory.path().to_owned()), ..Overrides::default() };
        let config =
            Config::resolve(&Written::parse(config).expect("well-formed"), overrides).expect("a configuration");
        let (stop, stopping) = watch::channel(false);
        let node = Node::open(&config, &root::clock(), &root::random(), stopping).expect("a server");
        Self { node, _stop: stop, _directory: directory }
    }

    pub(crate) fn api(&self) -> Front {
        self.node.front.clone()
    }
}

pub(crate) async fn ask(api: &Front, token: &str, method: &str, path: &str, body: &str) -> (StatusCode, Value) {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let mut request = Request::builder().method(method).uri(path);
    if !token.is_empty() {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let request = request.body(Body::from(body.to_owned())).expect("a request");
    let response = api.respond(request, ClientAddress(None)).await.response;
    assert_eq!(response.headers()["access-control-allow-origin"], "*", "{path}");
    assert_eq!(response.headers()["content-type"], "application/json", "{path}");
    let status = response.status();
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    (status, serde_json::from_slice(&body).expect("every answer is JSON"))
}

pub(crate) async fn register(api: &Front, name: &str) -> String {
    let body = json!({ "username": name, "password": "secret", "auth": { "type": "m.login.dummy" } }).to_string();
    let (status, answer) = ask(api, "", "POST", "/_matrix/client/v3/register", &body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["access_token"].as_str().expect("a token").to_owned()
}
