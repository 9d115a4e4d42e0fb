//! What decisions about rooms need to know of this server's accounts. Accounts are another part's: the root brings the
//! answers.

use engram_views::{Read, ViewError};

/// Tells of accounts, from the same snapshot that the decision is made from. Knows nobody from other servers.
pub trait Accounts: Send + Sync {
    /// Whether the account is a guest's.
    fn is_guest(&self, reader: &dyn Read, user_id: &str) -> Result<bool, ViewError>;
    /// All guests.
    fn guests(&self, reader: &dyn Read) -> Result<Vec<String>, ViewError>;
    /// What member events show of a user.
    fn profile(&self, reader: &dyn Read, user_id: &str) -> Result<Profile, ViewError>;
}

/// The profile that a member event shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// `displayname`.
    pub displayname: Option<String>,
    /// `avatar_url`.
    pub avatar_url: Option<String>,
}

/// A field of a profile that member events show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfileField {
    /// `displayname`
    DisplayName,
    /// `avatar_url`
    AvatarUrl,
}

impl ProfileField {
    /// Both.
    pub const ALL: [Self; 2] = [Self::DisplayName, Self::AvatarUrl];

    /// The field of that name, if member events show it.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.name() == name)
    }

    /// Its name, in profiles and member events.
    pub fn name(self) -> &'static str {
        match self {
            Self::DisplayName => "displayname",
            Self::AvatarUrl => "avatar_url",
        }
    }

    /// What a profile has there.
    pub fn of(self, profile: &Profile) -> Option<&str> {
        match self {
            Self::DisplayName => profile.displayname.as_deref(),
            Self::AvatarUrl => profile.avatar_url.as_deref(),
        }
    }
}

/// A server without guests and profiles.
#[derive(Clone, Copy, Debug)]
pub struct NoAccounts;

impl Accounts for NoAccounts {
    fn is_guest(&self, _: &dyn Read, _: &str) -> Result<bool, ViewError> {
        Ok(false)
    }

    fn guests(&self, _: &dyn Read) -> Result<Vec<String>, ViewError> {
        Ok(Vec::new())
    }

    fn profile(&self, _: &dyn Read, _: &str) -> Result<Profile, ViewError> {
        Ok(Profile::default())
    }
}
