//! Positions as clients hold them: `s123` from /sync, `t123` from the paging of history.
//!
//! Both are offsets of the log, and each works where the other does. A token names the gap after its offset: forwards
//! comes what is later, backwards what is at it or before. `s0` is before everything. `s123_45` says in addition that
//! of the messages to the device only those up to 45 fitted into the answer. `t123-7-45` lies further back than `t123`,
//! within the past of the event at 124 that was fetched from other servers: before the event of that past which has
//! depth 7 and offset 45.

use std::fmt;
use std::str::FromStr;

use engram_log::Offset;
use engram_rooms::query::Position;

/// Where a token came from; of use to people who read logs, and to nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `next_batch` of /sync.
    Sync,
    /// `prev_batch`, `start` or `end` of a piece of timeline.
    Timeline,
}

/// A position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// Where it came from.
    pub origin: Origin,
    /// The gap after this offset.
    pub after: Offset,
    /// Where the messages to the device go on, if before `after`.
    pub to_device: Option<Offset>,
    /// Depth and offset of the event of the past that it lies before, if it lies within one.
    pub past: Option<(u64, Offset)>,
}

/// The text is no token of this server: answer `M_INVALID_PARAM`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a token of this server")]
pub struct TokenError;

impl Token {
    /// A position of /sync.
    pub const fn sync(after: Offset) -> Self {
        Self { origin: Origin::Sync, after, to_device: None, past: None }
    }

    /// A position in a room's timeline.
    pub const fn timeline(after: Offset) -> Self {
        Self { origin: Origin::Timeline, after, to_device: None, past: None }
    }

    /// A cut in a room's timeline.
    pub fn at(cut: Position) -> Self {
        Self { past: (!cut.is_live()).then_some(cut.past), ..Self::timeline(cut.live_before()) }
    }

    /// Where it cuts a room's timeline.
    pub fn cut(&self) -> Position {
        let anchor = Offset(self.after.0.saturating_add(1));
        self.past.map_or(Position::live(anchor), |past| Position { anchor, past })
    }

    /// The gap before an event.
    pub const fn before(event: Offset) -> Self {
        Self::timeline(Offset(event.0.saturating_sub(1)))
    }
}

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let (origin, digits) = match text.split_at_checked(1) {
            Some(("s", digits)) => (Origin::Sync, digits),
            Some(("t", digits)) => (Origin::Timeline, digits),
            _ => return Err(TokenError),
        };
        let (digits, to_device) = match digits.split_once('_') {
            Some((digits, to_device)) => (digits, Some(parse_offset(to_device)?)),
            None => (digits, None),
        };
        let (after, past) = match digits.split_once('-').map(|(after, past)| (after, past.split_once('-'))) {
            None => (digits, None),
            Some((after, Some((depth, offset)))) => (after, Some((parse_offset(depth)?.0, parse_offset(offset)?))),
            Some((_, None)) => return Err(TokenError),
        };
        Ok(Self { origin, after: parse_offset(after)?, to_device, past })
    }
}

fn parse_offset(digits: &str) -> Result<Offset, TokenError> {
    // `u64::from_str` alone would also take a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(TokenError);
    }
    Ok(Offset(digits.parse().map_err(|_| TokenError)?))
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = match self.origin {
            Origin::Sync => 's',
            Origin::Timeline => 't',
        };
        write!(formatter, "{letter}{}", self.after.0)?;
        if let Some((depth, offset)) = self.past {
            write!(formatter, "-{depth}-{}", offset.0)?;
        }
        match self.to_device {
            Some(to_device) => write!(formatter, "_{}", to_device.0),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_trip_to_the_client() {
        for after in [0, 1, 12_345, u64::MAX] {
            for token in [Token::sync(Offset(after)), Token::timeline(Offset(after))] {
                assert_eq!(token.to_string().parse(), Ok(token));
            }
        }
        let partial = Token { to_device: Some(Offset(3)), ..Token::sync(Offset(7)) };
        assert_eq!(partial.to_string(), "s7_3");
        assert_eq!("s7_3".parse(), Ok(partial));
        assert_eq!(Token::sync(Offset(7)).to_string(), "s7");
        assert_eq!(Token::before(Offset(7)).to_string(), "t6");
        assert_eq!(Token::before(Offset(7)).cut(), Position::live(Offset(7)));
        let past = Position { anchor: Offset(7), past: (3, Offset(20)) };
        assert_eq!(Token::at(past).to_string(), "t6-3-20");
        assert_eq!("t6-3-20".parse::<Token>().map(|token| token.cut()), Ok(past));
        assert_eq!(Token::at(Position::live(Offset(7))), Token::timeline(Offset(6)));
    }

    #[test]
    fn garbage_is_refused() {
        let too_large = format!("s{}9", u64::MAX);
        for text in [
            "",
            "s",
            "t",
            "7",
            "s-1",
            "s+1",
            "s 1",
            "s1 ",
            "S1",
            "x1",
            "s1_",
            "s_1",
            "s1_2_3",
            "t1-2",
            "t1-",
            "t1-2-",
            "t1-2-3-4",
            "é1",
            "s½",
            too_large.as_str(),
        ] {
            assert_eq!(text.parse::<Token>(), Err(TokenError), "{text:?}");
        }
    }
}
