//! Texts with places for arguments, such as `--to={format}`: the arguments of a command, the path of
//! a request. They come from the configuration and are checked there.

use serde::{Deserialize, Serialize};

/// A text with places for arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    Text(String),
    Parameter(String),
}

impl Template {
    /// Reads a text in which `{name}` is a parameter's place and `{{` and `}}` are braces. The error
    /// says what is wrong, and what `known` parameters there are.
    pub fn parse(text: &str, known: &[&str]) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, brace) = rest.split_at(at);
            plain.push_str(before);
            if let Some(after) = brace.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = brace.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else {
                let place = brace
                    .strip_prefix('{')
                    .and_then(|after| after.split_once('}'));
                let Some((name, after)) = place else {
                    return Err(format!(
                        "expected {{name}}, or {{{{ and }}}} for braces, got {text:?}"
                    ));
                };
                if !known.contains(&name) {
                    let known = known.join(", ");
                    return Err(format!(
                        "{text:?} has a place for {name:?}, which is no parameter; expected one of: \
                         {known}; or {{{{ and }}}} for braces"
                    ));
                }
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Parameter(name.to_owned()));
                rest = after;
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() || parts.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// The parameters that have a place in it.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Parameter(name) => Some(&**name),
        })
    }

    /// The text with arguments in their places; `None` if `argument` has none for one of them.
    pub fn fill(&self, argument: impl Fn(&str) -> Option<String>) -> Option<String> {
        let mut text = String::new();
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Parameter(name) => text.push_str(&argument(name)?),
            }
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Option<String> {
        let template = Template::parse(text, &["a", "b"]).expect("a good template");
        template.fill(|name| (name == "a").then(|| "{b}".to_owned()))
    }

    #[test]
    fn places_are_filled_once_and_doubled_braces_are_braces() {
        assert_eq!(filled("--x={a}.{a}").as_deref(), Some("--x={b}.{b}"));
        assert_eq!(filled("{{a}} }}{{").as_deref(), Some("{a} }{"));
        assert_eq!(filled("").as_deref(), Some(""));
        assert_eq!(filled("{a}{b}"), None, "b is not given");
    }

    #[test]
    fn a_place_that_is_none_is_a_mistake() {
        for text in ["{c}", "{a", "a}", "{}", "{ a }", "{{a}"] {
            assert!(Template::parse(text, &["a"]).is_err(), "{text}");
        }
    }
}
