//! Durations, sizes and variables as they are written in the configuration.

use std::time::Duration;

/// What a unit of time is worth in milliseconds.
const DURATION_UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// What a unit of size is worth in bytes.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("B", 1),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Reads `500ms`, `2s`, `5m`, `1h`, `7d`.
pub fn duration(text: &str) -> Option<Duration> {
    scaled(text, &DURATION_UNITS).map(Duration::from_millis)
}

/// Reads `512MiB`, `10MB`, `4096B`, as bytes.
pub fn size(text: &str) -> Option<u64> {
    scaled(text, &SIZE_UNITS)
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, worth) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*worth)
}

/// Writes a duration as it would be written in the configuration.
pub fn show_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    show(ms, &DURATION_UNITS, |_| true)
}

/// Writes a size as it would be written in the configuration.
pub fn show_size(bytes: u64) -> String {
    show(bytes, &SIZE_UNITS, |unit| {
        unit == "B" || unit.ends_with("iB")
    })
}

/// In the largest of the units that needs no fraction.
fn show(value: u64, units: &[(&str, u64)], wanted: impl Fn(&str) -> bool) -> String {
    let fits = |(unit, worth): &&(&str, u64)| wanted(unit) && value.is_multiple_of(*worth);
    let (unit, worth) = units
        .iter()
        .filter(fits)
        .max_by_key(|(_, worth)| *worth)
        .unwrap_or(&units[0]);
    if value == 0 {
        format!("0{}", units[0].0)
    } else {
        format!("{}{unit}", value / worth)
    }
}

/// Why a text with variables cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// A `${` without end or name.
    #[error("\"${{\" begins a variable such as ${{HOME}}; for a dollar sign write \"$$\"")]
    Malformed,
    /// The environment does not have it.
    #[error(
        "the environment variable {0} is not set; set it before `katamari up`, or write \"$$\" for a dollar sign"
    )]
    Unset(String),
}

/// Puts variables of the environment in place: `${NAME}`. `$$` is a dollar sign, and so is a `$`
/// before anything else.
pub fn expand(text: &str, variable: impl Fn(&str) -> Option<String>) -> Result<String, Unreadable> {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('{') {
            let (name, after) = after.split_once('}').ok_or(Unreadable::Malformed)?;
            if !is_variable_name(name) {
                return Err(Unreadable::Malformed);
            }
            let value = variable(name).ok_or_else(|| Unreadable::Unset(name.to_owned()))?;
            result.push_str(&value);
            rest = after;
        } else {
            result.push('$');
            rest = rest.strip_prefix('$').unwrap_or(rest);
        }
    }
    result.push_str(rest);
    Ok(result)
}

/// Whether a shell could set a variable of this name.
pub fn is_variable_name(name: &str) -> bool {
    let starts = |first: u8| first.is_ascii_alphabetic() || first == b'_';
    name.bytes().next().is_some_and(starts)
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_with_their_units() {
        let ms = |ms| Some(Duration::from_millis(ms));
        for (text, expected) in [
            ("500ms", ms(500)),
            ("2s", ms(2_000)),
            ("2 s", ms(2_000)),
            ("5m", ms(300_000)),
            ("1h", ms(3_600_000)),
            ("7d", ms(604_800_000)),
            ("2", None),
            ("s", None),
            ("-2s", None),
            ("1.5s", None),
            ("2 sec", None),
            ("99999999999999999999s", None),
            ("9999999999999999999d", None),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
        for (text, expected) in [
            ("4096B", Some(4_096)),
            ("10MB", Some(10_000_000)),
            ("512MiB", Some(512 << 20)),
            ("2GiB", Some(2 << 30)),
            ("2G", None),
            ("20000000000GiB", None),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }

    #[test]
    fn durations_and_sizes_are_shown_as_they_are_written() {
        for text in ["500ms", "2s", "90s", "5m", "24h", "25h", "0ms"] {
            let shown = show_duration(duration(text).unwrap());
            assert_eq!(shown, if text == "24h" { "1d" } else { text });
        }
        for text in ["64MiB", "1KiB", "1000B", "3GiB"] {
            assert_eq!(show_size(size(text).unwrap()), text);
        }
    }

    #[test]
    fn variables_are_put_in_place() {
        let variable = |name: &str| (name == "DICT").then(|| "/usr/share".to_owned());
        let expand = |text| expand(text, variable);
        assert_eq!(expand("${DICT}/en").as_deref(), Ok("/usr/share/en"));
        assert_eq!(
            expand("a${DICT}${DICT}b").as_deref(),
            Ok("a/usr/share/usr/shareb")
        );
        assert_eq!(
            expand("echo $1 $").as_deref(),
            Ok("echo $1 $"),
            "only braces make a variable"
        );
        assert_eq!(
            expand("$${DICT} costs 5$$").as_deref(),
            Ok("${DICT} costs 5$")
        );
        assert_eq!(expand("${NONE}"), Err(Unreadable::Unset("NONE".to_owned())));
        for text in ["${DICT", "${}", "${1}", "${A B}"] {
            assert_eq!(expand(text), Err(Unreadable::Malformed), "{text}");
        }
    }
}
