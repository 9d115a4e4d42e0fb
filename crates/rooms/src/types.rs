//! Small types that the whole crate shares.

/// A room's internal number, in the order in which rooms came to be known. Big-endian in keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoomNumber(pub u32);

/// What somebody is to a room (`content.membership` of `m.room.member`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Membership {
    /// `ban`
    Ban = 0,
    /// `invite`
    Invite = 1,
    /// `join`
    Join = 2,
    /// `knock`
    Knock = 3,
    /// `leave`
    Leave = 4,
}

impl Membership {
    /// From the word in the event.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "ban" => Self::Ban,
            "invite" => Self::Invite,
            "join" => Self::Join,
            "knock" => Self::Knock,
            "leave" => Self::Leave,
            _ => return None,
        })
    }

    /// The word in the event.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ban => "ban",
            Self::Invite => "invite",
            Self::Join => "join",
            Self::Knock => "knock",
            Self::Leave => "leave",
        }
    }

    /// From the byte in a row.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Ban,
            1 => Self::Invite,
            2 => Self::Join,
            3 => Self::Knock,
            4 => Self::Leave,
            _ => return None,
        })
    }
}
