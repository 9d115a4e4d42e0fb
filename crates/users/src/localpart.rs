//! Which localparts a new account may have.

/// The user ID of a new account, from the localpart that its owner asks for.
///
/// Capitals are lowered. Beyond the grammar of the specification, a localpart of digits alone is refused: those are the
/// guests'. Application services may have them.
pub fn new_user_id(localpart: &str, server_name: &str, appservice: bool) -> Result<String, &'static str> {
    let localpart = localpart.to_ascii_lowercase();
    if localpart.is_empty() {
        return Err("a user name must not be empty");
    }
    if !engram_matrix::ids::is_new_localpart(&localpart) {
        return Err("a user name may only contain a-z, 0-9, and . _ = - / +");
    }
    if !appservice && localpart.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("numeric user names are reserved for guests");
    }
    let user_id = format!("@{localpart}:{server_name}");
    if user_id.len() > engram_base::limits::IDENTIFIER_BYTES_MAX {
        return Err("the user name is too long");
    }
    Ok(user_id)
}

/// The user ID that somebody who logs in means: a localpart in any case, or a full user ID.
pub fn login_user_id(user: &str, server_name: &str) -> String {
    match user.strip_prefix('@').and_then(|rest| rest.split_once(':')) {
        Some((localpart, domain)) => format!("@{}:{domain}", localpart.to_ascii_lowercase()),
        None => format!("@{}:{server_name}", user.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(localpart: &str, expected: Option<&str>) {
        assert_eq!(new_user_id(localpart, "x.org", false).ok().as_deref(), expected);
    }

    #[test]
    fn new_localparts_follow_the_grammar() {
        check("alice", Some("@alice:x.org"));
        check("User.UPPER-case_=/+9", Some("@user.upper-case_=/+9:x.org"));
        check("", None);
        check("1234", None);
        check("al:ice", None);
        check("al ice", None);
        check("ünicode", None);
        check("@alice", None);
        check(&"a".repeat(300), None);
        assert!(new_user_id("1234", "x.org", true).is_ok());
    }

    #[test]
    fn login_takes_localparts_and_user_ids() {
        assert_eq!(login_user_id("Alice", "x.org"), "@alice:x.org");
        assert_eq!(login_user_id("@Alice:y.org:80", "x.org"), "@alice:y.org:80");
    }
}
