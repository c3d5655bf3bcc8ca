//! Directives: what shapes the request that follows them.

use super::callback::Callback;
use super::request::options;
use crate::wishes::Wishes;
use bytes::Bytes;
use dispatch::{CallError, Code};
use serde_json::{Map, Value};
use term::{Style, Term, to_json};

/// What was said for the next request.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub wishes: Wishes,
    pub cache: Cache,
    pub callback: Option<Callback>,
    /// What is wrong with a directive; it is told in answer to the request.
    pub problem: Option<CallError>,
}

/// What the client knows of caching.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Cache {
    /// It has not asked.
    #[default]
    Unasked,
    /// It would like a token.
    Asked,
    /// It has the answer that this token came with.
    Has(Bytes),
}

impl Notes {
    /// Takes a directive. Gives back the secret of a token if one is shown. Those that are not known
    /// are passed over, as the specification lets others add to it.
    pub fn take(&mut self, command: &str, said: &Term) -> Option<Bytes> {
        let taken = match command {
            "cache" => {
                self.cache = cache(said);
                Ok(None)
            }
            "callback" => Callback::read(said).map(|callback| {
                self.callback = Some(callback);
                None
            }),
            "priority" => {
                self.priority(said);
                Ok(None)
            }
            "katamari" => self.wish(said),
            _ => Ok(None),
        };
        taken.unwrap_or_else(|problem| {
            self.problem = Some(problem);
            None
        })
    }

    /// `{info, priority, [low]}`, as Ernie has it, or `low` alone.
    fn priority(&mut self, said: &Term) {
        let word = said
            .to_text()
            .or_else(|| said.elements()?.first()?.to_text());
        if let Some(word) = word {
            // What is no class is as good as nothing: the word is not ours.
            let _ = self.wishes.set("class", &word);
        }
    }

    fn wish(&mut self, said: &Term) -> Result<Option<Bytes>, CallError> {
        let mut secret = None;
        let mut wishes = Map::new();
        for (name, values) in options(said) {
            let wish = name.replace('_', "-");
            let [value] = &values[..] else {
                return Err(bad(&wish, "one value", &values.len().to_string()));
            };
            match (wish.as_str(), value) {
                ("token", Term::Binary(bytes)) => secret = Some(bytes.clone()),
                ("token", other) => return Err(bad(&wish, "a binary", &other.describe())),
                ("cast", _) => {
                    let expected = "{cast, Module, Function, Arguments} instead";
                    return Err(bad(&wish, expected, "a wish"));
                }
                ("details", value) => {
                    let pairs = options(value)
                        .into_iter()
                        .map(|(key, values)| match &values[..] {
                            [value] => Ok((key, json(&wish, value)?)),
                            _ => Err(bad(&wish, "one value", &values.len().to_string())),
                        });
                    let details: Map<_, _> = pairs.collect::<Result<_, _>>()?;
                    wishes.insert(wish, details.into());
                }
                (_, value) => {
                    let value = json(&wish, value)?;
                    wishes.insert(wish, value);
                }
            }
        }
        self.wishes = self.wishes.with(&Value::from(wishes).to_string())?;
        Ok(secret)
    }
}

fn cache(said: &Term) -> Cache {
    let token = options(said).into_iter().find_map(|(name, values)| {
        let is_token = name == "validation";
        match &values[..] {
            [Term::Binary(bytes)] if is_token => Some(bytes.clone()),
            [other] if is_token => other.to_text().map(Bytes::from),
            _ => None,
        }
    });
    token.map_or(Cache::Asked, Cache::Has)
}

fn json(wish: &str, value: &Term) -> Result<Value, CallError> {
    let json = to_json(value, Style::Bert);
    let json =
        json.map_err(|error| CallError::new(Code::BadRequest, format!("{wish}: {error}")))?;
    Ok(serde_json::from_slice(&json).expect("what to_json writes is JSON"))
}

fn bad(wish: &str, expected: &str, got: &str) -> CallError {
    let message = format!("{wish}: expected {expected}, got {got}");
    CallError::new(Code::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool::Class;

    fn pair(name: &'static str, value: Term) -> Term {
        Term::pair(Term::atom(name), value)
    }

    #[test]
    fn wishes_details_and_the_token_stand_in_one_directive() {
        let details = Term::List(vec![
            pair("grammar", Term::text("1.2.3")),
            pair("tags", Term::List(vec![Term::text("en")])),
        ]);
        let said = Term::List(vec![
            pair("timeout_ms", Term::Integer(500)),
            pair("class", Term::atom("low")),
            pair("key", Term::text("ada")),
            pair("idempotent", Term::atom("true")),
            pair("details", details),
            pair("token", Term::text("kat_1")),
        ]);
        let mut notes = Notes::default();
        assert_eq!(notes.take("katamari", &said), Some("kat_1".into()));
        assert_eq!(notes.problem, None);
        assert_eq!(notes.wishes.class, Some(Class::Low));
        let details = notes.wishes.details.expect("they were given");
        assert!(details.tags.contains("en") && details.versions.contains_key("grammar"));
    }

    #[test]
    fn a_wish_that_is_wrong_is_kept_for_the_request_and_other_directives_are_passed_over() {
        for said in [
            pair("timeout_ms", Term::Integer(-1)),
            pair("tiemout_ms", Term::Integer(1)),
            pair("cast", Term::atom("true")),
            pair("token", Term::Integer(1)),
            pair("key", Term::Binary(Bytes::from_static(b"\xff"))),
            Term::List(vec![Term::atom("key")]),
        ] {
            let mut notes = Notes::default();
            notes.take("katamari", &said);
            let problem = notes.problem.unwrap_or_else(|| panic!("{said:?}"));
            assert_eq!(problem.code, Code::BadRequest);
        }
        let mut notes = Notes::default();
        notes.take("weather", &Term::Integer(1));
        notes.take("priority", &Term::atom("utmost"));
        assert_eq!((notes.problem, notes.wishes.class), (None, None));
        for said in [Term::atom("high"), Term::List(vec![Term::atom("high")])] {
            let mut notes = Notes::default();
            notes.take("priority", &said);
            assert_eq!(notes.wishes.class, Some(Class::High));
        }
    }
}
