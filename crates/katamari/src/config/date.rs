//! Dates as they are written in the configuration, and as seconds since 1970, in UTC.

use toml::value::{Datetime, Offset};

const DAY_S: i64 = 24 * 3600;

/// Reads `2027-01-01`, which is its first second, `2027-01-01T12:00:00Z` or one with an offset.
pub fn read(text: &str) -> Option<u64> {
    text.parse().ok().and_then(|date| unix_s(&date))
}

/// A date, with or without a time, as seconds since 1970; a time must say its offset.
pub fn unix_s(date: &Datetime) -> Option<u64> {
    let day = date.date?;
    let of_day = match (date.time, date.offset) {
        (None, None) => 0,
        (Some(time), Some(offset)) => {
            let east_s = match offset {
                Offset::Z => 0,
                Offset::Custom { minutes } => i64::from(minutes) * 60,
            };
            let second = i64::from(time.second.unwrap_or(0));
            i64::from(time.hour) * 3600 + i64::from(time.minute) * 60 + second - east_s
        }
        _ => return None,
    };
    let days = days_since_1970(day.year.into(), day.month.into(), day.day.into());
    u64::try_from(days * DAY_S + of_day).ok()
}

/// Writes seconds since 1970 as [`read`] takes them, to the second.
pub fn show(unix_s: u64) -> String {
    let days = unix_s / DAY_S.unsigned_abs();
    let of_day = unix_s % DAY_S.unsigned_abs();
    let (year, month, day) = date_of(i64::try_from(days).unwrap_or(i64::MAX));
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Days of 400 years, after which the calendar repeats itself.
const ERA_DAYS: i64 = 146_097;

/// Days from 0000-03-01, with which the eras below begin, to 1970-01-01.
const BEFORE_1970: i64 = 719_468;

/// The day of a date of the Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date
/// Algorithms", `days_from_civil`). Years begin in March there, so that a leap day is the last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    era * ERA_DAYS + day_of_era - BEFORE_1970
}

/// The other way round (`civil_from_days`).
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(BEFORE_1970);
    let (era, of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_based = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_based + 2) / 5 + 1;
    let month = if march_based < 10 {
        march_based + 3
    } else {
        march_based - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_and_shown() {
        for (text, expected) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("2000-03-01", 951_868_800),
            ("2027-01-01", 1_798_761_600),
            ("2027-01-01T00:00:01Z", 1_798_761_601),
            ("2027-01-01T02:00:00+02:00", 1_798_761_600),
            ("2100-03-01", 4_107_542_400),
        ] {
            assert_eq!(read(text), Some(expected), "{text}");
            assert_eq!(read(&show(expected)), Some(expected), "{text}");
        }
        assert_eq!(show(1_798_761_600), "2027-01-01T00:00:00Z");
        assert_eq!(show(951_782_399), "2000-02-28T23:59:59Z");
    }

    #[test]
    fn every_day_of_a_thousand_years_comes_back() {
        for day in 0..365_250 {
            let text = show(day * 86_400);
            assert_eq!(read(&text), Some(day * 86_400), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_not_read() {
        for text in [
            "",
            "2027",
            "2027-13-01",
            "2027-02-29",
            "2100-02-29",
            "2027-01-01T00:00:00",
            "12:00:00",
            "1969-12-31",
            "tomorrow",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
