//! Moments as text, for those of BERT: JSON has no type for them.

const DAY_S: i64 = 24 * 60 * 60;

/// RFC 3339 in UTC with microseconds: `2009-10-11T21:13:01.446228Z`. None outside of the years 0 to
/// 9999, which the format ends with.
///
/// The calendar is `civil_from_days` of Howard Hinnant's "chrono-Compatible Low-Level Date
/// Algorithms": years that begin in March, in eras of 400 years.
pub fn rfc3339(megaseconds: i64, seconds: i64, microseconds: i64) -> Option<String> {
    let seconds = megaseconds.checked_mul(1_000_000)?.checked_add(seconds)?;
    let seconds = seconds.checked_add(microseconds.div_euclid(1_000_000))?;
    let micros = microseconds.rem_euclid(1_000_000);
    let days = seconds.div_euclid(DAY_S).checked_add(719_468)?;
    let of_day = seconds.rem_euclid(DAY_S);
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    if !(0..=9999).contains(&year) {
        return None;
    }
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    Some(format!(
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_utc() {
        for (parts, text) in [
            ((0, 0, 0), "1970-01-01T00:00:00.000000Z"),
            ((1255, 295_581, 446_228), "2009-10-11T21:13:01.446228Z"),
            ((951, 782_400, 0), "2000-02-29T00:00:00.000000Z"),
            ((0, -1, 999_999), "1969-12-31T23:59:59.999999Z"),
            ((0, 0, -1), "1969-12-31T23:59:59.999999Z"),
            ((253_402, 300_799, 0), "9999-12-31T23:59:59.000000Z"),
        ] {
            let (mega, s, micro) = parts;
            assert_eq!(rfc3339(mega, s, micro).as_deref(), Some(text));
        }
        assert_eq!(rfc3339(253_402, 300_800, 0), None);
        assert_eq!(rfc3339(i64::MAX, 0, 0), None);
    }
}
