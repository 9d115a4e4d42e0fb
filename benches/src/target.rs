//! The homeserver under test: accounts and rooms are made here before anything is measured.

use std::net::SocketAddr;

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha1::Sha1;

use crate::error::{Error, Result};
use crate::http::{Client, Response, encode, resolve};

/// The password of every account.
pub const PASSWORD: &str = "correct horse battery staple";

/// How accounts may be made.
#[derive(Clone, Debug)]
pub enum Registration {
    /// `m.login.dummy` is enough.
    Open,
    /// A registration token.
    Token(String),
    /// The secret of `POST /_synapse/admin/v1/register`.
    SharedSecret(String),
}

/// An account with the token of one device.
#[derive(Clone, Debug)]
pub struct Account {
    /// The full user ID.
    pub user_id: String,
    /// The device.
    pub device_id: String,
    /// The access token.
    pub token: String,
}

/// A homeserver and how to get in.
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    registration: Registration,
    client: Client,
}

impl Target {
    /// A homeserver at a base URL such as `http://127.0.0.1:8008`.
    pub fn new(base_url: &str, registration: Registration) -> Result<Self> {
        let address = resolve(base_url)?;
        Ok(Self { address, registration, client: Client::new(address) })
    }

    /// A call that has to succeed.
    pub fn call(&mut self, method: &str, path: &str, token: &str, body: &Value) -> Result<Value> {
        let response = self.client.call(method, path, Some(token), Some(body))?;
        Ok(response.expect_ok(&format!("{method} {path}"))?.json())
    }

    /// Registers an account.
    pub fn register(&mut self, localpart: &str) -> Result<Account> {
        let response = match self.registration.clone() {
            Registration::Open => self.register_with(localpart, &json!({"type": "m.login.dummy"}))?,
            Registration::Token(token) => {
                self.register_with(localpart, &json!({"type": "m.login.registration_token", "token": token}))?
            }
            Registration::SharedSecret(secret) => self.register_by_secret(localpart, &secret)?,
        };
        let account = response.expect_ok("registration")?.json();
        let member = |what: &'static str| account[what].as_str().map(str::to_owned).ok_or(Error::Missing { what });
        Ok(Account { user_id: member("user_id")?, device_id: member("device_id")?, token: member("access_token")? })
    }

    /// Registers `<prefix>0`, `<prefix>1`, …
    pub fn register_many(&mut self, prefix: &str, count: usize) -> Result<Vec<Account>> {
        (0..count).map(|index| self.register(&format!("{prefix}{index}"))).collect()
    }

    fn register_with(&mut self, localpart: &str, auth: &Value) -> Result<Response> {
        const PATH: &str = "/_matrix/client/v3/register";
        let mut body = json!({"username": localpart, "password": PASSWORD});
        body["auth"] = auth.clone();
        let first = self.client.call("POST", PATH, None, Some(&body))?;
        if first.status != 401 {
            return Ok(first);
        }
        body["auth"]["session"] = first.json()["session"].clone();
        let second = self.client.call("POST", PATH, None, Some(&body))?;
        // A token alone is one stage; some servers want the dummy stage after it.
        if second.status != 401 || auth["type"] == "m.login.dummy" {
            return Ok(second);
        }
        body["auth"] = json!({"type": "m.login.dummy", "session": first.json()["session"]});
        self.client.call("POST", PATH, None, Some(&body))
    }

    fn register_by_secret(&mut self, localpart: &str, secret: &str) -> Result<Response> {
        const PATH: &str = "/_synapse/admin/v1/register";
        let nonce = self.client.call("GET", PATH, None, None)?.expect_ok("registration nonce")?.json();
        let nonce = nonce["nonce"].as_str().ok_or(Error::Missing { what: "nonce" })?;
        let mac = shared_secret_mac(secret, nonce, localpart, PASSWORD, false);
        let body = json!({"nonce": nonce, "username": localpart, "password": PASSWORD, "admin": false, "mac": mac});
        self.client.call("POST", PATH, None, Some(&body))
    }

    /// Makes a public room of its own version default, with all of `members` joined; the first creates it.
    pub fn room(&mut self, members: &[Account]) -> Result<String> {
        let [creator, others @ ..] = members else {
            return Err(Error::Usage("a room needs a member".to_owned()));
        };
        let room =
            self.call("POST", "/_matrix/client/v3/createRoom", &creator.token, &json!({"preset": "public_chat"}))?;
        let room_id = room["room_id"].as_str().ok_or(Error::Missing { what: "room_id" })?.to_owned();
        let join = format!("/_matrix/client/v3/join/{}", encode(&room_id));
        for member in others {
            self.call("POST", &join, &member.token, &json!({}))?;
        }
        Ok(room_id)
    }

    /// A token of an initial sync, after which nothing older is delivered.
    pub fn sync_token(&mut self, account: &Account) -> Result<String> {
        let path = "/_matrix/client/v3/sync?timeout=0";
        let response = self.client.call("GET", path, Some(&account.token), None)?.expect_ok("initial sync")?;
        next_batch(&response.body).ok_or(Error::Missing { what: "next_batch" })
    }
}

/// The proof of shared-secret registration: hex of HMAC-SHA1 over NUL-separated fields.
pub fn shared_secret_mac(secret: &str, nonce: &str, localpart: &str, password: &str, admin: bool) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
    let admin = if admin { "admin" } else { "notadmin" };
    mac.update([nonce, localpart, password, admin].join("\0").as_bytes());
    let digest = mac.finalize().into_bytes();
    digest.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// The `next_batch` of a sync response, without parsing all of it.
pub fn next_batch(body: &[u8]) -> Option<String> {
    const KEY: &[u8] = b"\"next_batch\"";
    let at = crate::http::find(body, KEY)? + KEY.len();
    let rest = std::str::from_utf8(&body[at..]).ok()?;
    let value = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    Some(value[..value.find('"')?].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_batch_is_found_anywhere() {
        assert_eq!(next_batch(br#"{"rooms":{},"next_batch":"s1_2"}"#).as_deref(), Some("s1_2"));
        assert_eq!(next_batch(br#"{ "next_batch" : "x" , "a":1}"#).as_deref(), Some("x"));
        assert_eq!(next_batch(b"{}"), None);
    }

    #[test]
    fn the_mac_is_hmac_sha1_in_hex() {
        let mac = shared_secret_mac("secret", "nonce", "user", "password", false);
        assert_eq!(mac.len(), 40);
        assert_ne!(mac, shared_secret_mac("secret", "nonce", "user", "password", true));
    }
}
