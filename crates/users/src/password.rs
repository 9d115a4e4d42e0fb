//! Passwords: argon2id hashes in PHC strings.

/// What a password hash costs. A server uses [`PasswordCost::Standard`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PasswordCost {
    /// 19 MiB and two passes: the OWASP minimum for argon2id.
    #[default]
    Standard,
    /// As little as argon2 takes: for tests, never for a server with real users.
    Minimal,
}
