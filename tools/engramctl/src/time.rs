//! Times as people write them: RFC 3339, in UTC.

use engram_log::TimestampMs;
use jiff::Timestamp;

/// Bytes of a date without a time.
const DATE_BYTES: usize = "2026-11-21".len();

/// `2026-11-21T10:26:12.345Z`.
pub(crate) fn format(time: TimestampMs) -> String {
    let ms = i64::try_from(time.0).unwrap_or(i64::MAX);
    // Far beyond the calendar: whatever says so is no time.
    let time = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
    format!("{time:.3}")
}

/// Reads a date, or a date and time with an offset from UTC: `2026-11-21`, `2026-11-21T10:26:12.345+01:00`.
pub(crate) fn parse(text: &str) -> Result<TimestampMs, String> {
    let whole = if text.len() == DATE_BYTES { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let time = whole.parse::<Timestamp>().ok().and_then(|time| u64::try_from(time.as_millisecond()).ok());
    time.map(TimestampMs).ok_or_else(|| "a time is written like 2026-11-21T10:26:12Z or 2026-11-21".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, ms: u64) {
        assert_eq!(parse(text), Ok(TimestampMs(ms)), "{text}");
    }

    #[test]
    fn known_times_are_read() {
        check("1970-01-01", 0);
        check("1970-01-01T00:00:00.001Z", 1);
        check("2000-02-29T12:30:15Z", 951_827_415_000);
        check("2026-11-21T10:26:12.3456+01:00", 1_795_253_172_345);
        // A leap second is the one before it.
        check("2026-11-20 23:59:60-00:30", 1_795_220_999_000);
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "now",
            "2026",
            "2026-02-29",
            "2026-13-01",
            "2026-1-01",
            "2026-11-21T10:26:12",
            "2026-11-21T24:00:00Z",
            "2026-11-21T10:26:12.Z",
            "1969-12-31T23:59:59Z",
            "2026/11/21",
            "2026-11-21T10:26:12+1:00",
            "žžžžžžžžžžž",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_written_in_one_form() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_795_253_172_345, "2026-11-21T09:26:12.345Z"),
            (u64::MAX, "9999-12-30T22:00:00.999Z"),
        ] {
            assert_eq!(format(TimestampMs(ms)), text);
        }
    }
}
