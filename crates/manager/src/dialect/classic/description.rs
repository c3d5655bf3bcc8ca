//! What a worker of 2008 is, from its answers to `api` and `config`, as the hello that a worker of
//! today would say. [`describe::parse_hello`](crate::describe::parse_hello) checks it like any other.

use super::shown;
use crate::dialect::Broken;
use serde_json::{Map, Value, json};
use term::Term;

/// The greatest character that old tags can write in an atom.
const LATIN_1_MAX: char = '\u{ff}';

/// The functions in an answer to `api`: `{{Method, {Argument, ...}}, ...}`.
pub(super) fn functions(api: &Term) -> Result<Vec<Value>, Broken> {
    let expected = |what: &str, got: &Term| {
        let got = shown(got);
        Broken(format!("answered api: expected {what}, got {got}"))
    };
    let entries = api
        .elements()
        .ok_or_else(|| expected("{{Method, {Argument, ...}}, ...}", api))?;
    let mut functions = Vec::with_capacity(entries.len());
    for entry in entries {
        let Some([method, arguments]) = entry.elements() else {
            return Err(expected("{Method, {Argument, ...}}", entry));
        };
        let name = method
            .to_text()
            .ok_or_else(|| expected("a method's name", method))?;
        let arguments = arguments
            .elements()
            .ok_or_else(|| expected(&format!("the arguments of {name:?}"), arguments))?;
        let mut parameters = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let what = format!("an argument's name of {name:?} in Latin-1");
            let argument = argument
                .to_text()
                .filter(|text| text.chars().all(|c| c <= LATIN_1_MAX))
                .ok_or_else(|| expected(&what, argument))?;
            parameters.push(json!({ "name": argument }));
        }
        functions.push(json!({ "name": name, "parameters": parameters }));
    }
    Ok(functions)
}

/// The hello of a worker with these functions and this answer to `config`:
/// `{{<<"kind">>, <<"parse">>}, {<<"tags">>, <<"a">>, <<"b">>}, {<<"grammar">>, [1, 2, 3]}, ...}`.
pub(super) fn hello(config: &Term, functions: Vec<Value>) -> Result<Vec<u8>, Broken> {
    let expected = |what: &str, got: &Term| {
        let got = shown(got);
        Broken(format!("answered config: expected {what}, got {got}"))
    };
    let entries = config
        .elements()
        .ok_or_else(|| expected("{{Key, Value}, ...}", config))?;
    let mut hello = Map::new();
    let mut versions = Map::new();
    for entry in entries {
        let Some([key, values @ ..]) = entry.elements() else {
            return Err(expected("{Key, Value}", entry));
        };
        let key = key
            .to_text()
            .ok_or_else(|| expected("a key that is a name", key))?;
        let known = match (&*key, values) {
            ("tags" | "roles", _) => labels(values).map(|labels| (&mut hello, labels)),
            ("kind", [value]) => value.to_text().map(|kind| (&mut hello, kind.into())),
            _ => version(values).map(|version| (&mut versions, version.into())),
        };
        let Some((into, value)) = known else {
            let what = match &*key {
                "kind" => "a name",
                "tags" | "roles" => "names",
                _ => "a text, or the integers of a version,",
            };
            return Err(expected(&format!("{what} for {key:?}"), entry));
        };
        if into.insert(key.clone(), value).is_some() {
            return Err(Broken(format!("answered config: {key:?} is there twice")));
        }
    }
    hello.insert("versions".to_owned(), versions.into());
    hello.insert("functions".to_owned(), functions.into());
    Ok(Value::from(hello).to_string().into_bytes())
}

/// Names, one by one behind their key, or together in a list or tuple.
fn labels(values: &[Term]) -> Option<Value> {
    let values = match values {
        [one] if one.to_text().is_none() => one.elements()?,
        several => several,
    };
    values
        .iter()
        .map(|label| label.to_text().map(Value::from))
        .collect()
}

/// A version: a text, or integers, which are put together with dots. A list of integers is a text if
/// it spells one with a dot in it.
fn version(values: &[Term]) -> Option<String> {
    let [value] = values else {
        return dotted(values);
    };
    match value {
        Term::Integer(_) => dotted(values),
        Term::Tuple(numbers) => dotted(numbers),
        Term::List(numbers) => {
            let spelled = value.to_text().filter(|text| {
                text.contains('.') && text.chars().all(|c| c.is_ascii_graphic() || c == ' ')
            });
            spelled.or_else(|| dotted(numbers))
        }
        other => other.to_text(),
    }
}

fn dotted(numbers: &[Term]) -> Option<String> {
    let number = |term: &Term| match term {
        Term::Integer(number) if *number >= 0 => Some(number.to_string()),
        _ => None,
    };
    let numbers: Option<Vec<_>> = numbers.iter().map(number).collect();
    numbers
        .filter(|numbers| !numbers.is_empty())
        .map(|numbers| numbers.join("."))
}
