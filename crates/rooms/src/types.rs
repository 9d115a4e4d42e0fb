//! Small types that the whole crate shares.

use engram_matrix::membership::Membership as MatrixMembership;
use engram_matrix::pdu::Pdu;

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

    /// The membership that a member event gives its user; none if it does not say it properly.
    pub fn of(event: &Pdu) -> Option<Self> {
        MatrixMembership::of(event).map(Self::from)
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

impl From<MatrixMembership> for Membership {
    fn from(membership: MatrixMembership) -> Self {
        match membership {
            MatrixMembership::Ban => Self::Ban,
            MatrixMembership::Invite => Self::Invite,
            MatrixMembership::Join => Self::Join,
            MatrixMembership::Knock => Self::Knock,
            MatrixMembership::Leave => Self::Leave,
        }
    }
}

impl From<Membership> for MatrixMembership {
    fn from(membership: Membership) -> Self {
        match membership {
            Membership::Ban => Self::Ban,
            Membership::Invite => Self::Invite,
            Membership::Join => Self::Join,
            Membership::Knock => Self::Knock,
            Membership::Leave => Self::Leave,
        }
    }
}
