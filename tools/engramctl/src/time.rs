//! Times as people write them: RFC 3339, in UTC.

use engram_log::TimestampMs;

const DAY_MS: i64 = 86_400_000;
/// Days from 0000-03-01 to 1970-01-01, and of 400 years.
const EPOCH_DAYS: i64 = 719_468;
const ERA_DAYS: i64 = 146_097;

/// `2026-11-21T10:26:12.345Z`.
pub(crate) fn format(time: TimestampMs) -> String {
    let ms = i64::try_from(time.0).unwrap_or(i64::MAX);
    let (year, month, day) = date_of(ms / DAY_MS);
    let in_day = ms % DAY_MS;
    let (hours, minutes, seconds) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", in_day % 1000)
}

/// Reads a date, or a date and time with an offset from UTC: `2026-11-21`, `2026-11-21T10:26:12.345+01:00`.
pub(crate) fn parse(text: &str) -> Result<TimestampMs, String> {
    parts(text).ok_or_else(|| "a time is written like 2026-11-21T10:26:12Z or 2026-11-21".to_owned())
}

fn parts(text: &str) -> Option<TimestampMs> {
    if !text.is_ascii() {
        return None;
    }
    let (date, rest) = text.split_at_checked(10)?;
    let date_ms = days_of(number(date, 0, 4)?, ranged(date, 5, 1, 12)?, ranged(date, 8, 1, 31)?)? * DAY_MS;
    if date.as_bytes()[4] != b'-' || date.as_bytes()[7] != b'-' {
        return None;
    }
    if rest.is_empty() {
        return u64::try_from(date_ms).ok().map(TimestampMs);
    }
    let (time, rest) = rest.split_at_checked(9)?;
    if !matches!(time.as_bytes(), [b'T' | b't' | b' ', _, _, b':', _, _, b':', _, _]) {
        return None;
    }
    let time_ms =
        ranged(time, 1, 0, 23)? * 3_600_000 + ranged(time, 4, 0, 59)? * 60_000 + ranged(time, 7, 0, 60)? * 1000;
    let (fraction_ms, zone) = fraction(rest)?;
    u64::try_from(date_ms + time_ms + fraction_ms - zone_ms(zone)?).ok().map(TimestampMs)
}

/// The milliseconds of `.345…`, and what follows.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(rest) = text.strip_prefix('.') else { return Some((0, text)) };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let thousandths = format!("{:0<3}", &rest[..digits.min(3)]);
    (digits > 0).then_some((thousandths.parse().ok()?, &rest[digits..]))
}

fn zone_ms(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes() {
        [b'Z' | b'z'] => return Some(0),
        [b'+', _, _, b':', _, _] => 1,
        [b'-', _, _, b':', _, _] => -1,
        _ => return None,
    };
    Some(sign * (ranged(zone, 1, 0, 23)? * 3_600_000 + ranged(zone, 4, 0, 59)? * 60_000))
}

fn number(text: &str, at: usize, digits: usize) -> Option<i64> {
    let text = text.get(at..at + digits)?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn ranged(text: &str, at: usize, least: i64, greatest: i64) -> Option<i64> {
    number(text, at, 2).filter(|number| (least..=greatest).contains(number))
}

/// Days since the epoch; none if the month has no such day. Years begin in March, so that a leap day is a year's last.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let shifted = if month > 2 { year } else { year - 1 };
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * ERA_DAYS + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - EPOCH_DAYS;
    (date_of(days) == (year, month, day)).then_some(days)
}

/// The inverse of [`days_of`].
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + EPOCH_DAYS;
    let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
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
        check("2026-11-20 23:59:60-00:30", 1_795_221_000_000);
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
    fn every_day_of_five_centuries_survives_the_way_there_and_back() {
        for day in 0..200_000_u64 {
            let time = TimestampMs(day * 86_400_000 + day % 86_400_000);
            assert_eq!(parse(&format(time)), Ok(time));
        }
    }
}
