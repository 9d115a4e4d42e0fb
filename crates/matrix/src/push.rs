//! Server-default push rules.

use ruma::{UserId, push::Ruleset};

/// The default ruleset of a user as the JSON object of `m.push_rules`' `global`; `None` for what is no user ID.
pub fn server_default(user_id: &str) -> Option<String> {
    let user_id = <&UserId>::try_from(user_id).ok()?;
    serde_json::to_string(&Ruleset::server_default(user_id)).ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn default_rules_name_the_user() {
        let rules: serde_json::Value =
            serde_json::from_str(&super::server_default("@alice:x.org").expect("a user")).expect("JSON");
        let has = |kind: &str, id: &str| {
            rules[kind].as_array().expect("rules of the kind").iter().any(|rule| rule["rule_id"] == id)
        };
        assert!(has("override", ".m.rule.master"));
        assert!(has("override", ".m.rule.is_user_mention"));
        assert!(has("underride", ".m.rule.encrypted"));
        assert!(rules.to_string().contains("@alice:x.org"));
        assert!(super::server_default("alice").is_none());
    }
}
