//! `/_matrix/client/v3/pushrules/` in all its forms (Push rules API).
//!
//! The rules are the account data `m.push_rules`; this file edits one ruleset, `global`, the only one there is.

use std::sync::Arc;

use engram_base::limits::IDENTIFIER_BYTES_MAX;
use engram_http::json::{Body, Empty, Json};
use engram_http::path::{Path, Query};
use engram_http::{ApiError, ApiResult, Authed, State};
use engram_users::query;
use serde::Deserialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value, json};

use crate::app::App;

const KINDS: [&str; 5] = ["override", "underride", "sender", "room", "content"];

pub(crate) fn all(State(app): State<Arc<App>>, session: Authed) -> ApiResult<Json<Box<RawValue>>> {
    Ok(Json(query::push_rules(&*app.views.snapshot(), &session.user_id)?))
}

pub(crate) fn global(State(app): State<Arc<App>>, session: Authed) -> ApiResult<Json<Value>> {
    Ok(Json(Value::Object(ruleset(&app, &session)?)))
}

pub(crate) fn kind(State(app): State<Arc<App>>, session: Authed, Path(kind): Path<String>) -> ApiResult<Json<Value>> {
    if !KINDS.contains(&kind.as_str()) {
        return Err(unknown_rule());
    }
    Ok(Json(ruleset(&app, &session)?.remove(&kind).unwrap_or_else(|| json!([]))))
}

pub(crate) fn rule(
    State(app): State<Arc<App>>,
    session: Authed,
    Path((kind, rule_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    let mut rules = ruleset(&app, &session)?;
    Ok(Json(find(&mut rules, &kind, &rule_id)?.take()))
}

pub(crate) fn enabled(
    State(app): State<Arc<App>>,
    session: Authed,
    Path((kind, rule_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    let mut rules = ruleset(&app, &session)?;
    Ok(Json(json!({ "enabled": find(&mut rules, &kind, &rule_id)?["enabled"] })))
}

pub(crate) fn actions(
    State(app): State<Arc<App>>,
    session: Authed,
    Path((kind, rule_id)): Path<(String, String)>,
) -> ApiResult<Json<Value>> {
    let mut rules = ruleset(&app, &session)?;
    Ok(Json(json!({ "actions": find(&mut rules, &kind, &rule_id)?["actions"] })))
}

#[derive(Deserialize)]
pub(crate) struct Enabled {
    enabled: bool,
}

pub(crate) async fn put_enabled(
    State(app): State<Arc<App>>,
    session: Authed,
    Path((kind, rule_id)): Path<(String, String)>,
    Body(Enabled { enabled }): Body<Enabled>,
) -> ApiResult<Empty> {
    change(app, session, move |rules| {
        find(rules, &kind, &rule_id)?["enabled"] = enabled.into();
        Ok(())
    })
    .await
}

#[derive(Deserialize)]
pub(crate) struct Actions {
    actions: Vec<Value>,
}

pub(crate) async fn put_actions(
    State(app): State<Arc<App>>,
    session: Authed,
    Path((kind, rule_id)): Path<(String, String)>,
    Body(Actions { actions }): Body<Actions>,
) -> ApiResult<Empty> {
    check_actions(&actions)?;
    change(app, session, move |rules| {
        find(rules, &kind, &rule_id)?["actions"] = actions.into();
        Ok(())
    })
    .await
}

#[derive(Deserialize)]
pub(crate) struct NewRule {
    actions: Vec<Value>,
    conditions: Option<Vec<Value>>,
    pattern: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Place {
    before: Option<String>,
    after: Option<String>,
}

pub(crate) async fn put(
    State(app): State<Arc<App>>,
    session: Authed,
    Path((kind, rule_id)): Path<(String, String)>,
    Query(place): Query<Place>,
    Body(new): Body<NewRule>,
) -> ApiResult<Empty> {
    known(&kind)?;
    let odd = |character: char| matches!(character, '/' | '\\');
    if rule_id.starts_with('.') || rule_id.contains(odd) || rule_id.len() > IDENTIFIER_BYTES_MAX {
        return Err(ApiError::invalid_param("A rule ID has at most 255 bytes, no slash, and no dot in front."));
    }
    let rule = built(&kind, &rule_id, new)?;
    change(app, session, move |rules| insert(rules, &kind, &rule_id, rule, &place)).await
}

pub(crate) async fn delete(
    State(app): State<Arc<App>>,
    session: Authed,
    Path((kind, rule_id)): Path<(String, String)>,
) -> ApiResult<Empty> {
    if rule_id.starts_with('.') {
        return Err(ApiError::invalid_param("A default rule cannot be deleted."));
    }
    change(app, session, move |rules| {
        let list = list(rules, &kind)?;
        let index = index(list, &rule_id).ok_or_else(unknown_rule)?;
        list.remove(index);
        Ok(())
    })
    .await
}

fn built(kind: &str, rule_id: &str, new: NewRule) -> ApiResult<Value> {
    check_actions(&new.actions)?;
    let mut rule = json!({ "rule_id": rule_id, "default": false, "enabled": true, "actions": new.actions });
    match kind {
        "content" => {
            let pattern = new.pattern.ok_or_else(|| ApiError::missing_param("`pattern` is missing."))?;
            rule["pattern"] = pattern.into();
        }
        "override" | "underride" => {
            let conditions = new.conditions.unwrap_or_default();
            if conditions.iter().any(|condition| condition.get("kind").is_none_or(|kind| !kind.is_string())) {
                return Err(ApiError::bad_json("A condition is an object with a `kind`."));
            }
            rule["conditions"] = conditions.into();
        }
        _ => {}
    }
    Ok(rule)
}

fn check_actions(actions: &[Value]) -> ApiResult<()> {
    let good = |action: &Value| {
        matches!(action.as_str(), Some("notify" | "dont_notify" | "coalesce"))
            || action.get("set_tweak").is_some_and(Value::is_string)
    };
    if actions.iter().all(good) { Ok(()) } else { Err(ApiError::invalid_param("Not an action of a push rule.")) }
}

/// Puts a rule where it is wanted: before or after another of the user's, where it was, or first.
fn insert(rules: &mut Map<String, Value>, kind: &str, rule_id: &str, rule: Value, place: &Place) -> ApiResult<()> {
    let list = list(rules, kind)?;
    let old = index(list, rule_id).map(|index| (index, list.remove(index)));
    let rule = match &old {
        Some((_, old)) => replaced(old, rule),
        None => rule,
    };
    let next_to = |list: &[Value], id: &str| {
        if id.starts_with('.') {
            return Err(ApiError::invalid_param("A rule cannot be placed next to a default rule."));
        }
        index(list, id).ok_or_else(|| ApiError::not_found("There is no rule to be placed next to."))
    };
    let at = match (&place.before, &place.after, &old) {
        (Some(before), _, _) => next_to(list, before)?,
        (None, Some(after), _) => next_to(list, after)? + 1,
        (None, None, Some((index, _))) => *index,
        // `.m.rule.master` stays in front of everything.
        (None, None, None) => list.iter().take_while(|rule| rule["rule_id"] == ".m.rule.master").count(),
    };
    list.insert(at, rule);
    Ok(())
}

/// A rule in the place of another: what its body does not name stays, above all whether it is enabled.
fn replaced(old: &Value, mut rule: Value) -> Value {
    if let Some(enabled) = old.get("enabled") {
        rule["enabled"] = enabled.clone();
    }
    rule
}

fn ruleset(app: &App, session: &Authed) -> ApiResult<Map<String, Value>> {
    let rules = query::push_rules(&*app.views.snapshot(), &session.user_id)?;
    global_of(&rules)
}

fn global_of(rules: &RawValue) -> ApiResult<Map<String, Value>> {
    let mut rules: Value = serde_json::from_str(rules.get()).map_err(ApiError::internal)?;
    match rules.get_mut("global").map(Value::take) {
        Some(Value::Object(global)) => Ok(global),
        _ => Ok(Map::new()),
    }
}

async fn change(
    app: Arc<App>,
    session: Authed,
    change: impl FnOnce(&mut Map<String, Value>) -> ApiResult<()> + Send + 'static,
) -> ApiResult<Empty> {
    let change = |rules: Option<&RawValue>| {
        let mut rules = rules.map(global_of).transpose()?.unwrap_or_default();
        change(&mut rules)?;
        to_raw_value(&json!({ "global": rules })).map_err(ApiError::internal)
    };
    let changed = app.users.update_account_data(&session.user_id, None, "m.push_rules", change);
    app.writers.confirmed(changed).await???;
    Ok(Empty)
}

fn known(kind: &str) -> ApiResult<()> {
    if KINDS.contains(&kind) { Ok(()) } else { Err(ApiError::invalid_param("There is no such kind of rule.")) }
}

/// The rules of a kind. Of a kind that there is not there is no rule either.
fn list<'a>(rules: &'a mut Map<String, Value>, kind: &str) -> ApiResult<&'a mut Vec<Value>> {
    if !KINDS.contains(&kind) {
        return Err(unknown_rule());
    }
    let list = rules.entry(kind).or_insert_with(|| json!([]));
    list.as_array_mut().ok_or_else(|| ApiError::internal("a kind of push rules is no list"))
}

fn index(list: &[Value], rule_id: &str) -> Option<usize> {
    list.iter().position(|rule| rule["rule_id"] == rule_id)
}

fn find<'a>(rules: &'a mut Map<String, Value>, kind: &str, rule_id: &str) -> ApiResult<&'a mut Value> {
    if !KINDS.contains(&kind) {
        return Err(unknown_rule());
    }
    let list = list(rules, kind)?;
    let index = index(list, rule_id).ok_or_else(unknown_rule)?;
    Ok(&mut list[index])
}

fn unknown_rule() -> ApiError {
    ApiError::not_found("There is no such rule.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(place: (Option<&str>, Option<&str>), rule_id: &str, expected: Result<&[&str], &str>) {
        let existing = [".m.rule.master", "a", "b", ".m.rule.other"].map(|id| json!({ "rule_id": id }));
        let mut rules = Map::new();
        rules.insert("override".to_owned(), json!(existing));
        let place = Place { before: place.0.map(str::to_owned), after: place.1.map(str::to_owned) };
        let outcome = insert(&mut rules, "override", rule_id, json!({ "rule_id": rule_id }), &place);
        let ids: Vec<&str> = list(&mut rules, "override")
            .expect("a list")
            .iter()
            .map(|rule| rule["rule_id"].as_str().expect("an ID"))
            .collect();
        assert_eq!(outcome.map(|()| ids.as_slice()).map_err(|error| error.errcode), expected);
    }

    #[test]
    fn a_rule_that_takes_the_place_of_another_stays_off_if_that_was_off() {
        let off = json!({ "rule_id": "a", "enabled": false, "actions": [] });
        let mut rules = Map::new();
        rules.insert("override".to_owned(), json!([off]));
        let new = json!({ "rule_id": "a", "enabled": true, "actions": ["notify"] });
        let place = Place { before: None, after: None };
        insert(&mut rules, "override", "a", new, &place).expect("it is there");
        let expected = json!({ "rule_id": "a", "enabled": false, "actions": ["notify"] });
        assert_eq!(rules["override"], json!([expected]));
    }

    #[test]
    fn a_rule_goes_where_it_is_wanted() {
        check((None, None), "n", Ok(&[".m.rule.master", "n", "a", "b", ".m.rule.other"]));
        check((Some("b"), None), "n", Ok(&[".m.rule.master", "a", "n", "b", ".m.rule.other"]));
        check((None, Some("b")), "n", Ok(&[".m.rule.master", "a", "b", "n", ".m.rule.other"]));
        check((None, None), "b", Ok(&[".m.rule.master", "a", "b", ".m.rule.other"]));
        check((Some("a"), None), "b", Ok(&[".m.rule.master", "b", "a", ".m.rule.other"]));
        check((Some("gone"), None), "n", Err("M_NOT_FOUND"));
        check((None, Some(".m.rule.other")), "n", Err("M_INVALID_PARAM"));
    }
}
