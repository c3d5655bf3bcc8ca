//! Names that other languages take, made of the names that workers chose.

use std::collections::BTreeSet;

/// The names that are taken in one scope, and so are not given out again.
#[derive(Debug, Default)]
pub struct Names(BTreeSet<String>);

impl Names {
    /// A scope that has names of its own.
    pub fn with(taken: &[&str]) -> Self {
        Self(taken.iter().map(|name| key(name)).collect())
    }

    /// The name itself if it is free, else with the first number behind it that makes it so.
    /// Names that differ in case and underscores only are the same to generated code.
    pub fn unique(&mut self, name: &str) -> String {
        let mut candidate = name.to_owned();
        let mut number = 2;
        while !self.0.insert(key(&candidate)) {
            candidate = format!("{name}_{number}");
            number += 1;
        }
        candidate
    }
}

fn key(name: &str) -> String {
    name.replace('_', "").to_lowercase()
}

/// The name with `_` in place of what is no ASCII letter or digit, and `x_` before it if it would
/// not begin with a letter.
pub fn identifier(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let plain: String = name.chars().map(letter).collect();
    if plain.starts_with(|c: char| c.is_ascii_alphabetic()) {
        plain
    } else {
        format!("x_{plain}")
    }
}

/// The name, with `_` behind it if a language has a use of its own for it. Its words stand between
/// spaces, the first and the last too.
pub fn unreserved(name: String, words: &str) -> String {
    if words.contains(&format!(" {name} ")) {
        name + "_"
    } else {
        name
    }
}

/// `tag_all` and `tag-all` as `TagAll`.
pub fn camel(name: &str) -> String {
    let identifier = identifier(name);
    let capital = |part: &str| {
        let (first, rest) = part.split_at(1);
        first.to_ascii_uppercase() + rest
    };
    let parts = identifier.split('_').filter(|part| !part.is_empty());
    parts.map(capital).collect()
}

/// The lines of a text for people, each behind an indented comment mark.
pub fn comment(indent: &str, mark: &str, text: &str) -> String {
    let line = |line: &str| format!("{}\n", format!("{indent}{mark} {line}").trim_end());
    text.trim().lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_identifiers_and_stay_apart() {
        assert_eq!(identifier("max-length"), "max_length");
        assert_eq!(identifier("größe"), "gr__e");
        assert_eq!(identifier("2nd"), "x_2nd");
        assert_eq!(identifier("_"), "x__");
        assert_eq!(camel("get-user_name"), "GetUserName");
        assert_eq!(camel("getUser"), "GetUser");
        assert_eq!(camel("--"), "X");
        let mut names = Names::default();
        let given = ["fooBar", "foo_bar", "FOOBAR", "foo"].map(|name| names.unique(name));
        assert_eq!(given, ["fooBar", "foo_bar_2", "FOOBAR_3", "foo"]);
        assert_eq!(
            Names::with(&["with_options"]).unique("withOptions"),
            "withOptions_2"
        );
        assert_eq!(unreserved("or".to_owned(), " and or "), "or_");
        assert_eq!(unreserved("nor".to_owned(), " and or "), "nor");
    }
}
