//! Reading tables and values of a configuration file. Whatever does not fit is noted on the page,
//! with its place, and reading goes on, so that all problems are shown at once.

use super::page::Page;
use super::{date, units};
use manager::describe::check_name;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;
use toml::de::{DeTable, DeValue};

/// Characters of a wrong value that a message repeats.
const EXCERPT_MAX: usize = 60;

/// How alike an unknown key and a known one must be to be taken for the same, from 0 to 1: about
/// one wrong letter in three.
const LIKENESS_MIN: f64 = 0.6;

/// A table, and which of its keys were asked for.
pub struct Section<'p> {
    page: &'p Page<'p>,
    path: String,
    span: Range<usize>,
    /// None if the file does not have it.
    table: Option<&'p DeTable<'p>>,
    known: Vec<&'static str>,
}

/// A value and where it stands.
pub struct Entry<'p> {
    page: &'p Page<'p>,
    path: String,
    key_span: Range<usize>,
    span: Range<usize>,
    value: &'p DeValue<'p>,
}

impl<'p> Section<'p> {
    /// The whole file.
    pub fn root(page: &'p Page<'p>, table: &'p DeTable<'p>) -> Self {
        Self {
            page,
            path: String::new(),
            span: 0..0,
            table: Some(table),
            known: Vec::new(),
        }
    }

    /// The value of a key, if the table has it.
    pub fn get(&mut self, key: &'static str) -> Option<Entry<'p>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        let (name, value) = self.table?.get_key_value(key)?;
        Some(self.entry(key, name.span(), value.span(), value.get_ref()))
    }

    /// A value that must be there.
    pub fn need(&mut self, key: &'static str, example: &str) -> Option<Entry<'p>> {
        let entry = self.get(key);
        if entry.is_none() {
            self.report(format!("{key} is missing; add, for example: {example}"));
        }
        entry
    }

    /// A table below this one; an empty one if the file does not have it.
    pub fn section(&mut self, key: &'static str) -> Self {
        match self.get(key) {
            Some(entry) => entry.section(),
            None => Self {
                page: self.page,
                path: join(&self.path, key),
                span: self.span.clone(),
                table: None,
                known: Vec::new(),
            },
        }
    }

    /// Every value with its key, where the file chooses the keys.
    pub fn entries(&self) -> impl Iterator<Item = (&'p str, Entry<'p>)> + use<'p, '_> {
        self.table
            .into_iter()
            .flat_map(|table| table.iter())
            .map(|(key, value)| {
                let name: &'p str = key.get_ref();
                (
                    name,
                    self.entry(name, key.span(), value.span(), value.get_ref()),
                )
            })
    }

    fn entry(
        &self,
        key: &str,
        key_span: Range<usize>,
        span: Range<usize>,
        value: &'p DeValue<'p>,
    ) -> Entry<'p> {
        Entry {
            page: self.page,
            path: join(&self.path, key),
            key_span,
            span,
            value,
        }
    }

    /// Whether the file has this table.
    pub fn is_present(&self) -> bool {
        self.table.is_some()
    }

    /// Notes what is wrong with the table as a whole.
    pub fn report(&self, message: impl Into<String>) {
        self.page.report(&self.span, &self.path, message);
    }

    /// How many problems the whole page has so far.
    pub fn problem_count(&self) -> usize {
        self.page.problem_count()
    }

    /// Notes every key that nobody asked for.
    pub fn finish(self) {
        for (key, entry) in self.entries() {
            if !self.known.contains(&key) {
                entry.report_key(unknown(key, &self.known));
            }
        }
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

fn unknown(key: &str, known: &[&str]) -> String {
    format!("unknown key; {}", meant(key, known))
}

/// What somebody who wrote one word may have meant.
pub fn meant(word: &str, known: &[&str]) -> String {
    let likeness = |other: &str| strsim::normalized_damerau_levenshtein(word, other);
    let nearest = known
        .iter()
        .map(|other| (likeness(other), other))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match nearest {
        Some((_, nearest)) => format!("did you mean {nearest}?"),
        None => format!("expected one of {}", known.join(", ")),
    }
}

impl<'p> Entry<'p> {
    /// Notes what is wrong with the value.
    pub fn report(&self, message: impl Into<String>) {
        self.page.report(&self.span, &self.path, message);
    }

    /// Notes what is wrong with the key.
    pub fn report_key(&self, message: impl Into<String>) {
        self.page.report(&self.key_span, &self.path, message);
    }

    fn expected(&self, what: &str) {
        self.report(format!("expected {what}, got {}", self.excerpt()));
    }

    /// The value as it stands in the file, for messages.
    fn excerpt(&self) -> String {
        let text = self.page.excerpt(&self.span);
        let line = text.lines().next().unwrap_or_default();
        if text == line && line.chars().count() <= EXCERPT_MAX {
            return line.to_owned();
        }
        format!("{} ...", line.chars().take(EXCERPT_MAX).collect::<String>())
    }

    /// A string, with variables of the environment put in place.
    pub fn text(&self) -> Option<String> {
        self.text_as("a string")
    }

    fn text_as(&self, what: &str) -> Option<String> {
        let DeValue::String(text) = self.value else {
            self.expected(what);
            return None;
        };
        let expanded = units::expand(text, |name| self.page.variable(name));
        match expanded {
            Ok(text) if text.contains('\0') => {
                self.report("a string cannot contain the character NUL");
                None
            }
            Ok(text) => Some(text),
            Err(error) => {
                self.report(error.to_string());
                None
            }
        }
    }

    /// A string that can be a kind, a tag, or the name of a program or function.
    pub fn name(&self, what: &str) -> Option<String> {
        let text = self.text()?;
        let checked = check_name(what, &text).map_err(|problem| self.report(problem));
        checked.is_ok().then_some(text)
    }

    /// Whether the key can be a name; notes it if not.
    pub fn key_is_name(&self, what: &str, key: &str) -> bool {
        check_name(what, key)
            .map_err(|problem| self.report_key(problem))
            .is_ok()
    }

    /// A whole number within bounds.
    pub fn integer(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
        let number = match self.value {
            DeValue::Integer(digits) => u64::from_str_radix(digits.as_str(), digits.radix()).ok(),
            _ => None,
        };
        let number = number.filter(|number| bounds.contains(number));
        if number.is_none() {
            self.expected(&format!(
                "a whole number from {} to {}",
                bounds.start(),
                bounds.end()
            ));
        }
        number
    }

    /// As [`Entry::integer`].
    pub fn count(&self, bounds: RangeInclusive<u64>) -> Option<usize> {
        self.integer(bounds)
            .and_then(|number| usize::try_from(number).ok())
    }

    /// True or false.
    pub fn boolean(&self) -> Option<bool> {
        if let DeValue::Boolean(value) = self.value {
            return Some(*value);
        }
        self.expected("true or false");
        None
    }

    /// A duration within bounds, written with its unit.
    pub fn duration(&self, bounds: RangeInclusive<Duration>) -> Option<Duration> {
        let what = format!(
            "a duration from {} to {}, such as \"500ms\", \"2s\", \"5m\", \"1h\" or \"1d\"",
            units::show_duration(*bounds.start()),
            units::show_duration(*bounds.end()),
        );
        let duration = units::duration(&self.text_as(&what)?);
        let duration = duration.filter(|duration| bounds.contains(duration));
        if duration.is_none() {
            self.expected(&what);
        }
        duration
    }

    /// A date, as a string or as TOML's own, in seconds since 1970.
    pub fn date(&self) -> Option<u64> {
        let what = "a date such as \"2027-01-01\", in UTC, or \"2027-01-01T12:00:00Z\"";
        let unix_s = match self.value {
            DeValue::Datetime(date) => date::unix_s(date),
            _ => date::read(&self.text_as(what)?),
        };
        if unix_s.is_none() {
            self.expected(what);
        }
        unix_s
    }

    /// A size in bytes within bounds: a number, or a string with a unit.
    pub fn size(&self, bounds: RangeInclusive<u64>) -> Option<u64> {
        let what = format!(
            "a size from {} to {}, such as \"64KiB\", \"10MB\" or a number of bytes",
            units::show_size(*bounds.start()),
            units::show_size(*bounds.end()),
        );
        let size = match self.value {
            DeValue::Integer(digits) => u64::from_str_radix(digits.as_str(), digits.radix()).ok(),
            _ => units::size(&self.text_as(&what)?),
        };
        let size = size.filter(|size| bounds.contains(size));
        if size.is_none() {
            self.expected(&what);
        }
        size
    }

    /// One of several words.
    pub fn choice<T: Clone>(&self, words: &[(&str, T)]) -> Option<T> {
        let all: Vec<_> = words
            .iter()
            .map(|(word, _)| format!("\"{word}\""))
            .collect();
        let what = all.join(" or ");
        let text = self.text_as(&what)?;
        let found = words.iter().find(|(word, _)| *word == text);
        if found.is_none() {
            self.expected(&what);
        }
        found.map(|(_, value)| value.clone())
    }

    /// The values of an array of at most `max`.
    pub fn list(&self, what: &str, max: usize) -> Option<Vec<Self>> {
        let DeValue::Array(values) = self.value else {
            self.expected(what);
            return None;
        };
        if values.len() > max {
            self.report(format!(
                "expected at most {max} values, got {}",
                values.len()
            ));
            return None;
        }
        let entry = |(index, value): (usize, &'p toml::Spanned<DeValue<'p>>)| Self {
            page: self.page,
            path: format!("{}[{index}]", self.path),
            key_span: value.span(),
            span: value.span(),
            value: value.get_ref(),
        };
        Some(values.iter().enumerate().map(entry).collect())
    }

    /// An array of names.
    pub fn names(&self, what: &str, max: usize) -> Vec<String> {
        let entries = self
            .list("an array of names, such as [\"parse\"]", max)
            .unwrap_or_default();
        entries
            .iter()
            .filter_map(|entry| entry.name(what))
            .collect()
    }

    /// Whether the value is a table.
    pub fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    /// A table; an empty one, with a note, if it is something else.
    pub fn section(&self) -> Section<'p> {
        let table = match self.value {
            DeValue::Table(table) => Some(table),
            _ => {
                self.expected("a table");
                None
            }
        };
        let (page, path, span) = (self.page, self.path.clone(), self.key_span.clone());
        Section {
            page,
            path,
            span,
            table,
            known: Vec::new(),
        }
    }
}
