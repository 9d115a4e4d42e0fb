//! Sessions of user-interactive authentication: in memory, bounded in number, size and age. A restart only means that a
//! client begins again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use engram_log_format::TimestampMs;
use parking_lot::Mutex;
use serde_json::{Map, Value};

use super::{Flows, Passed, Purpose, Stage};
use crate::error::{ApiError, ApiResult};
use crate::limits;

type Fields = Map<String, Value>;

struct Session {
    purpose: Purpose,
    asked: Asked,
    completed: Vec<Stage>,
    passed: Passed,
    attempts: u32,
    opened: TimestampMs,
    result: super::Result,
}

/// The parameters for which a session is good: the first that came with one of its requests.
enum Asked {
    Nothing,
    Remembered(Fields),
    /// Too large to be remembered. Requests have to bring them along.
    Digest(blake3::Hash),
}

impl Asked {
    fn of(fields: &Fields) -> ApiResult<Self> {
        if fields.is_empty() {
            return Ok(Self::Nothing);
        }
        let text = text(fields)?;
        if text.len() <= limits::UIA_BODY_BYTES_MAX {
            Ok(Self::Remembered(fields.clone()))
        } else {
            Ok(Self::Digest(blake3::hash(&text)))
        }
    }

    /// Whether a request asks for the same. Who brings no parameters means those from before.
    fn allows(&self, fields: &Fields) -> ApiResult<bool> {
        match self {
            Self::Nothing => Ok(true),
            Self::Remembered(first) => Ok(fields.is_empty() || first == fields),
            Self::Digest(first) => Ok(*first == blake3::hash(&text(fields)?)),
        }
    }
}

fn text(fields: &Fields) -> ApiResult<Vec<u8>> {
    serde_json::to_vec(fields).map_err(ApiError::internal)
}

impl Session {
    /// Whether a request belongs to this session.
    fn check(&self, purpose: &Purpose, fields: &Fields) -> ApiResult<()> {
        if self.purpose == *purpose && (self.may_change() || self.asked.allows(fields)?) {
            Ok(())
        } else {
            Err(ApiError::forbidden("This session was opened for something else."))
        }
    }

    /// Who registers has no account yet that could be acted on, and may find that a name is taken.
    fn may_change(&self) -> bool {
        self.purpose.user_id.is_none() && !self.result.initialized()
    }

    fn is_over(&self, now: TimestampMs) -> bool {
        u128::from(now.0.saturating_sub(self.opened.0)) > limits::UIA_SESSION_AGE_MAX.as_millis()
    }
}

/// All sessions under way.
#[derive(Default)]
pub(super) struct Sessions {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    sessions: HashMap<String, Session>,
    /// In the order in which they were opened, closed ones included until they come to the front.
    order: VecDeque<String>,
}

impl Sessions {
    /// Checks that a request continues its session, adds the parameters that it leaves out, and finds the answer if
    /// there is one. A session that is unknown or over says nothing.
    pub(super) fn resume(
        &self,
        id: &str,
        purpose: &Purpose,
        fields: &mut Fields,
        now: TimestampMs,
    ) -> ApiResult<Option<Bytes>> {
        let inner = self.inner.lock();
        let Some(session) = inner.sessions.get(id).filter(|session| !session.is_over(now)) else { return Ok(None) };
        session.check(purpose, fields)?;
        if let Asked::Remembered(first) = &session.asked {
            for (key, value) in first {
                fields.entry(key).or_insert_with(|| value.clone());
            }
        }
        Ok(session.result.get().cloned())
    }

    /// Continues a session, or opens one if it is unknown or over.
    pub(super) fn enter(
        &self,
        id: Option<&str>,
        purpose: &Purpose,
        fields: &Fields,
        fresh: impl FnOnce() -> String,
        now: TimestampMs,
    ) -> ApiResult<String> {
        let mut inner = self.inner.lock();
        if let Some(id) = id
            && let Some(session) = inner.sessions.get_mut(id).filter(|session| !session.is_over(now))
        {
            session.check(purpose, fields)?;
            if session.may_change() || matches!(session.asked, Asked::Nothing) {
                session.asked = Asked::of(fields)?;
            }
            return Ok(id.to_owned());
        }
        inner.make_room(now);
        let fresh = fresh();
        let session = Session {
            purpose: purpose.clone(),
            asked: Asked::of(fields)?,
            completed: Vec::new(),
            passed: Passed::default(),
            attempts: 0,
            opened: now,
            result: Arc::default(),
        };
        inner.sessions.insert(fresh.clone(), session);
        inner.order.push_back(fresh.clone());
        Ok(fresh)
    }

    /// Counts an attempt; false if there were too many, which ends the session.
    pub(super) fn attempt(&self, id: &str) -> bool {
        let mut inner = self.inner.lock();
        let Some(session) = inner.sessions.get_mut(id) else { return false };
        session.attempts += 1;
        let allowed = session.attempts <= limits::UIA_ATTEMPTS_MAX;
        if !allowed {
            inner.sessions.remove(id);
        }
        allowed
    }

    pub(super) fn complete(&self, id: &str, stage: Stage, shown: Passed) {
        if let Some(session) = self.inner.lock().sessions.get_mut(id) {
            if !session.completed.contains(&stage) {
                session.completed.push(stage);
            }
            session.passed.registration_token = shown.registration_token.or(session.passed.registration_token.take());
        }
    }

    /// Whether a stage was completed before: it need not, and cannot, be attempted again.
    pub(super) fn has_completed(&self, id: &str, stage: &str) -> bool {
        self.completed(id).contains(&stage)
    }

    /// What was shown, and where the result belongs, if one of the flows is complete.
    pub(super) fn finished(&self, id: &str, flows: Flows) -> Option<(Passed, super::Result)> {
        let inner = self.inner.lock();
        let session = inner.sessions.get(id)?;
        let done = flows.iter().any(|stages| stages.iter().all(|stage| session.completed.contains(stage)));
        done.then(|| (session.passed.clone(), Arc::clone(&session.result)))
    }

    pub(super) fn completed(&self, id: &str) -> Vec<&'static str> {
        let inner = self.inner.lock();
        let session = inner.sessions.get(id);
        session.map_or_else(Vec::new, |session| session.completed.iter().map(|stage| stage.name()).collect())
    }
}

impl Inner {
    fn make_room(&mut self, now: TimestampMs) {
        while let Some(oldest) = self.order.front() {
            let keep = self.sessions.get(oldest).is_some_and(|session| !session.is_over(now));
            if keep && self.order.len() < limits::UIA_SESSIONS_MAX {
                break;
            }
            self.sessions.remove(oldest);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FLOWS: Flows = &[&[Stage::RegistrationToken, Stage::Dummy], &[Stage::Password]];

    fn purpose(name: &str) -> Purpose {
        let user_id = (name != "register").then(|| "@a:x".to_owned());
        Purpose { name: name.to_owned(), user_id }
    }

    fn fields(value: Value) -> Fields {
        serde_json::from_value(value).expect("an object")
    }

    fn enter(sessions: &Sessions, id: Option<&str>, name: &str, asked: Value, fresh: &str, now: u64) -> String {
        let entered = sessions.enter(id, &purpose(name), &fields(asked), || fresh.to_owned(), TimestampMs(now));
        entered.unwrap_or_else(|refused| refused.errcode.to_owned())
    }

    #[test]
    fn a_session_is_good_for_its_own_operation_until_it_is_over() {
        let over = limits::UIA_SESSION_AGE_MAX.as_millis() as u64 + 1;
        for (id, name, now, expected) in [
            (Some("one"), "register", 5, "one"),
            (Some("one"), "delete", 5, "M_FORBIDDEN"),
            (Some("one"), "delete", over, "two"),
            (Some("none"), "register", 5, "two"),
            (Some("one"), "register", over, "two"),
            (None, "register", 5, "two"),
        ] {
            let sessions = Sessions::default();
            enter(&sessions, None, "register", json!({}), "one", 0);
            assert_eq!(enter(&sessions, id, name, json!({}), "two", now), expected, "{id:?} {name} {now}");
        }
    }

    /// What somebody agreed to is not exchanged: a session that was opened to delete device A does not delete B.
    #[test]
    fn a_session_is_good_for_its_first_parameters() {
        let large = json!({ "devices": ["x".repeat(limits::UIA_BODY_BYTES_MAX)] });
        let other = json!({ "devices": ["y".repeat(limits::UIA_BODY_BYTES_MAX)] });
        let (a, b, none) = (json!({ "devices": ["A"] }), json!({ "devices": ["B"] }), json!({}));
        for (name, first, second, expected) in [
            ("delete", &a, &a, "one"),
            ("delete", &a, &b, "M_FORBIDDEN"),
            ("delete", &a, &none, "one"),
            ("delete", &none, &b, "one"),
            ("delete", &large, &large, "one"),
            ("delete", &large, &other, "M_FORBIDDEN"),
            ("delete", &large, &none, "M_FORBIDDEN"),
            ("register", &a, &b, "one"),
        ] {
            let sessions = Sessions::default();
            enter(&sessions, None, name, first.clone(), "one", 0);
            assert_eq!(enter(&sessions, Some("one"), name, second.clone(), "two", 1), expected, "{name} {second}");
        }
        let sessions = Sessions::default();
        enter(&sessions, None, "delete", none, "one", 0);
        enter(&sessions, Some("one"), "delete", a, "two", 1);
        assert_eq!(
            enter(&sessions, Some("one"), "delete", b, "two", 2),
            "M_FORBIDDEN",
            "fixed with the first that come"
        );
    }

    #[test]
    fn a_flow_is_complete_when_all_of_its_stages_are() {
        let sessions = Sessions::default();
        let id = enter(&sessions, None, "register", json!({}), "one", 0);
        sessions.complete(&id, Stage::Dummy, Passed::default());
        assert!(sessions.finished(&id, FLOWS).is_none());
        let passed = Passed { registration_token: Some("t".to_owned()) };
        sessions.complete(&id, Stage::RegistrationToken, passed);
        assert_eq!(sessions.completed(&id), ["m.login.dummy", "m.login.registration_token"]);
        let (passed, result) = sessions.finished(&id, FLOWS).expect("complete");
        assert_eq!(passed.registration_token.as_deref(), Some("t"));
        result.set(Bytes::from_static(b"done")).expect("the first");
        let resume = |asked: Value| sessions.resume(&id, &purpose("register"), &mut fields(asked), TimestampMs(1));
        assert_eq!(resume(json!({})).expect("the same").as_deref(), Some(b"done".as_slice()));
    }

    #[test]
    fn sessions_are_bounded_in_number_and_attempts() {
        let sessions = Sessions::default();
        for number in 0..=limits::UIA_SESSIONS_MAX {
            enter(&sessions, None, "register", json!({}), &number.to_string(), 0);
        }
        assert_eq!(sessions.inner.lock().sessions.len(), limits::UIA_SESSIONS_MAX);
        assert!(sessions.completed("0").is_empty() && !sessions.attempt("0"), "the oldest was forgotten");
        for _ in 0..limits::UIA_ATTEMPTS_MAX {
            assert!(sessions.attempt("1"));
        }
        assert!(!sessions.attempt("1"));
        assert!(!sessions.inner.lock().sessions.contains_key("1"));
    }

    #[test]
    fn the_first_request_s_parameters_are_remembered() {
        let sessions = Sessions::default();
        let id = enter(&sessions, None, "register", json!({ "a": 1 }), "one", 0);
        let mut asked = fields(json!({ "b": 2 }));
        sessions.resume(&id, &purpose("register"), &mut asked, TimestampMs(1)).expect("the same");
        assert_eq!(Value::Object(asked), json!({ "a": 1, "b": 2 }));
        let refused = sessions.resume(&id, &purpose("delete"), &mut fields(json!({})), TimestampMs(1));
        assert_eq!(refused.expect_err("something else").errcode, "M_FORBIDDEN");
    }
}
