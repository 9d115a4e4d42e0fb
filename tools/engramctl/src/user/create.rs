//! `engramctl user create`: an account, written to the log as the server itself would.

use std::sync::Arc;

use engram_base::block_on;
use engram_log::{EmbeddedLog, Log, Options};
use engram_server::config::Config;
use engram_server::{node, root};
use engram_users::writer::{RegisterRequest, Registered};
use serde_json::json;

use super::password;
use crate::args::CreateArgs;
use crate::data::{self, Data};
use crate::error::{Error, Outcome, Result};
use crate::output::Output;

/// Runs the command: takes the log to write, catches the views up, appends, and closes both in order.
pub(crate) fn run(data: &Data, args: CreateArgs, output: &mut Output) -> Result<Outcome> {
    let server_name = data::server_name(&*data.log()?).ok_or_else(|| Error::NoLog(data.dir().to_owned()))?;
    let localpart = localpart(&args.name, &server_name)?;
    let request = RegisterRequest {
        localpart: Some(localpart.to_owned()),
        inhibit_login: true,
        admin: args.admin,
        ..RegisterRequest::default()
    };
    let registered = register(data, server_name, &password::get(args.password)?, request)?;
    if output.is_json() {
        output.json(&json!({ "user_id": registered.user_id }))?;
    } else {
        output.line(format_args!("created {}", registered.user_id))?;
    }
    Ok(Outcome::Good)
}

/// The name without sigil and server, if it has them.
fn localpart<'a>(name: &'a str, server_name: &str) -> Result<&'a str> {
    let Some(user_id) = name.strip_prefix('@') else { return Ok(name) };
    let localpart = user_id.strip_suffix(server_name).and_then(|rest| rest.strip_suffix(':'));
    localpart.ok_or_else(|| Error::OtherServer { name: name.to_owned(), server_name: server_name.to_owned() })
}

fn register(data: &Data, server_name: String, password: &str, request: RegisterRequest) -> Result<Registered> {
    let (clock, random) = (root::clock(), root::random());
    let config = Config { server_name: server_name.clone(), ..data.config().clone() };
    let options = Options { server_name, software: node::SOFTWARE.to_owned(), now: clock(), ..Options::default() };
    let log = EmbeddedLog::open(data.storage()?, options).map_err(|error| data.not_opened(error))?;
    let shared: Arc<dyn Log> = log.clone();
    let views = node::open_views(data.dir(), &shared)?;
    views.start(Vec::new());
    let users = node::users(&config, &shared, &views, &clock, &random);
    let registered = users
        .hash_password(password)
        .and_then(|password| block_on(users.register(RegisterRequest { password: Some(password), ..request })));
    views.close();
    let closed = log.close();
    let registered = registered?;
    closed?;
    Ok(registered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_be_whole_but_not_of_another_server() {
        assert_eq!(localpart("alice", "a.b").expect("a localpart"), "alice");
        assert_eq!(localpart("@alice:a.b", "a.b").expect("of this server"), "alice");
        assert_eq!(localpart("@alice:a.b:80", "a.b:80").expect("with a port"), "alice");
        for name in ["@alice:x.b", "@alice", "@alice:xa.b"] {
            assert!(localpart(name, "a.b").is_err(), "{name}");
        }
    }
}
