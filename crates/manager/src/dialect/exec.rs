//! Dialect `exec`: a process for each call. What a call is on a command line and on stdin, and what
//! its output is as a result. The processes are run by `worker::exec`.

use super::arguments::{self, Named};
use super::template::Template;
use super::{Manners, PAYLOAD_MAX};
use bytes::Bytes;
use dispatch::{CallError, Code};
use pool::{Description, Function};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use term::Payload;

/// Bytes of one argument: Linux takes no longer ones.
const ARGUMENT_MAX: usize = 128 * 1024 - 1;

/// Bytes of all arguments: half of what Linux takes by default, for the environment comes out of
/// the same room.
const ARGUMENTS_MAX: usize = 1024 * 1024;

/// Bytes of a process's output: it is held in memory whole.
pub const OUTPUT_MAX: usize = PAYLOAD_MAX;

/// Its processes are told nothing but what stands on stdin.
pub const MANNERS: Manners = Manners {
    says_hello: false,
    answers_pings: false,
    hears_cancels: false,
    hears_quit: false,
    quits_by_signal: true,
    cancels_at_once: false,
    own_descriptors: false,
    takes_terms: false,
    protocol: "exec",
};

/// A program of dialect `exec`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    /// What its workers are.
    pub description: Arc<Description>,
    /// How each function is run, by its name.
    pub functions: BTreeMap<Arc<str>, Run>,
}

/// How a function is run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// What comes after the program's command. One with a place for an argument that the call does
    /// not have is left out.
    pub arguments: Vec<Template>,
    /// What the process reads.
    pub stdin: Stdin,
    /// What its output is.
    pub output: Output,
}

/// What a process reads on stdin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stdin {
    /// Nothing.
    Nothing,
    /// This argument: a string as its text, bytes as they are, anything else as JSON.
    Parameter(String),
    /// All arguments, as one JSON object.
    All,
}

/// What a process writes on stdout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// Text in UTF-8, which becomes a JSON string.
    Text,
    /// One JSON value.
    Json,
    /// Bytes of this content type.
    Bytes(Arc<str>),
}

/// What to start for a call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Prepared {
    /// After the program's command.
    pub arguments: Vec<String>,
    pub stdin: Bytes,
    pub output: Output,
}

impl Exec {
    /// What to start for a call.
    pub(crate) fn prepare(&self, function: &str, payload: &Payload) -> Result<Prepared, CallError> {
        let known = self.description.function(function);
        let (Some(known), Some(run)) = (known, self.functions.get(function)) else {
            let message = format!("there is no function {function:?}");
            return Err(CallError::new(Code::NoFunction, message));
        };
        // Bytes are the first argument, and fit nowhere but on stdin.
        if let Payload::Bytes { bytes, .. } = payload {
            let first = known.parameters.first().map(|first| &*first.name);
            let is_first = matches!(&run.stdin, Stdin::Parameter(name) if Some(&**name) == first);
            if !is_first || known.required_count() > 1 {
                let message = "expected JSON: only a function whose first parameter goes to stdin, \
                               and that needs no other, takes bytes";
                return Err(CallError::new(Code::BadArguments, message));
            }
            let arguments = fill(&run.arguments, &Named::new())?;
            let (stdin, output) = (bytes.clone(), run.output.clone());
            return Ok(Prepared {
                arguments,
                stdin,
                output,
            });
        }
        let named = arguments::named(known, payload)?;
        Ok(Prepared {
            arguments: fill(&run.arguments, &named)?,
            stdin: stdin(&run.stdin, known, payload, &named),
            output: run.output.clone(),
        })
    }
}

fn fill(templates: &[Template], named: &Named<'_>) -> Result<Vec<String>, CallError> {
    let argument = |name: &str| named.get(name).and_then(|value| arguments::text(value));
    let filled: Vec<String> = templates
        .iter()
        .filter_map(|template| template.fill(argument))
        .collect();
    if filled.iter().any(|argument| argument.contains('\0')) {
        let message = "an argument on a command line cannot contain the character NUL";
        return Err(CallError::new(Code::BadArguments, message));
    }
    let longest = filled.iter().map(String::len).max().unwrap_or(0);
    if longest > ARGUMENT_MAX || filled.iter().map(String::len).sum::<usize>() > ARGUMENTS_MAX {
        let message = format!(
            "expected at most {ARGUMENT_MAX} bytes for an argument on a command line, and \
             {ARGUMENTS_MAX} for all; what is longer belongs on stdin"
        );
        return Err(CallError::new(Code::TooLarge, message));
    }
    Ok(filled)
}

fn stdin(stdin: &Stdin, function: &Function, payload: &Payload, named: &Named<'_>) -> Bytes {
    match stdin {
        Stdin::Nothing => Bytes::new(),
        Stdin::Parameter(name) => {
            let value = named.get(name).and_then(|value| arguments::text(value));
            value.unwrap_or_default().into()
        }
        // Positional ones get their names.
        Stdin::All if payload.bytes().trim_ascii().first() == Some(&b'[') => {
            let order = function.parameters.iter();
            let pairs = order.filter_map(|parameter| {
                let name = serde_json::to_string(&*parameter.name).ok()?;
                Some(format!("{name}:{}", named.get(&*parameter.name)?.get()))
            });
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(",")).into()
        }
        Stdin::All if named.is_empty() => Bytes::from_static(b"{}"),
        Stdin::All => payload.bytes().clone(),
    }
}

/// The result that an output is. The error says what was expected.
pub(crate) fn result(output: &Output, bytes: Bytes) -> Result<Payload, String> {
    match output {
        Output::Bytes(content_type) => Ok(Payload::Bytes {
            content_type: content_type.clone(),
            bytes,
        }),
        Output::Text => {
            let text = std::str::from_utf8(&bytes)
                .map_err(|error| format!("expected text in UTF-8 on stdout: {error}"))?;
            let json = serde_json::to_vec(text).expect("a string has a form in JSON");
            Ok(Payload::Json(json.into()))
        }
        Output::Json => {
            serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).map_err(|error| {
                let excerpt = super::excerpt(bytes.trim_ascii());
                format!("expected one JSON value on stdout, got {excerpt}: {error}")
            })?;
            Ok(Payload::Json(bytes))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool::{Details, Parameter};

    fn exec(arguments: &[&str], stdin: Stdin) -> Exec {
        let parameter = |name: &str, required| Parameter {
            name: name.into(),
            r#type: pool::Type::Any,
            required,
            doc: "".into(),
        };
        let known = ["text", "to", "times"];
        let function = Function {
            name: "f".into(),
            doc: "".into(),
            idempotent: false,
            stream: false,
            input: false,
            parameters: vec![
                parameter("text", true),
                parameter("to", false),
                parameter("times", false),
            ],
            result: pool::Type::Any,
            examples: Vec::new(),
        };
        let description = Arc::new(Description {
            details: Details::of_kind("k"),
            terms: false,
            functions: vec![function],
        });
        let arguments = arguments
            .iter()
            .map(|text| Template::parse(text, &known).expect("a good template"))
            .collect();
        let run = Run {
            arguments,
            stdin,
            output: Output::Text,
        };
        Exec {
            description,
            functions: BTreeMap::from([("f".into(), run)]),
        }
    }

    fn json(text: &str) -> Payload {
        Payload::Json(text.to_owned().into())
    }

    #[test]
    fn arguments_fill_their_places_and_absent_ones_drop_what_mentions_them() {
        let exec = exec(&["--to={to}", "-n{times}", "--", "{text}"], Stdin::Nothing);
        let given = json(r#"{"text": "a b; rm *", "to": 3}"#);
        let prepared = exec.prepare("f", &given).expect("good arguments");
        assert_eq!(prepared.arguments, ["--to=3", "--", "a b; rm *"]);
        let prepared = exec.prepare("f", &json(r#"["x", [1], 2]"#)).expect("good");
        assert_eq!(prepared.arguments, ["--to=[1]", "-n2", "--", "x"]);
    }

    #[test]
    fn stdin_is_an_argument_or_all_of_them() {
        let text = exec(&["-n{times}"], Stdin::Parameter("text".to_owned()));
        let given = json(r#"["a\nb", 1]"#);
        assert_eq!(text.prepare("f", &given).expect("good").stdin, "a\nb");
        let bytes = Payload::new("x/y", Bytes::from_static(b"\xff"));
        let stdin = text.prepare("f", &bytes).expect("bytes fit").stdin;
        assert_eq!(&stdin[..], b"\xff");
        let all = exec(&[], Stdin::All);
        let stdin = all.prepare("f", &given).expect("good").stdin;
        assert_eq!(stdin, r#"{"text":"a\nb","to":1}"#);
        let error = all.prepare("f", &bytes).expect_err("bytes do not fit");
        assert_eq!(error.code, Code::BadArguments);
    }

    #[test]
    fn what_no_command_line_can_hold_is_refused() {
        let exec = exec(&["{text}"], Stdin::Nothing);
        let error = exec.prepare("f", &json(r#"["\u0000", 1]"#)).unwrap_err();
        assert_eq!(error.code, Code::BadArguments);
        let long = format!(r#"["{}", 1]"#, "x".repeat(ARGUMENT_MAX + 1));
        assert_eq!(
            exec.prepare("f", &json(&long)).unwrap_err().code,
            Code::TooLarge
        );
    }

    #[test]
    fn output_is_what_it_is_configured_to_be() {
        let bytes = |bytes: &'static [u8]| Bytes::from_static(bytes);
        assert_eq!(
            result(&Output::Text, bytes(b"a\"\n")),
            Ok(json(r#""a\"\n""#))
        );
        assert!(result(&Output::Text, bytes(b"\xff")).is_err());
        assert_eq!(result(&Output::Json, bytes(b"[1]\n")), Ok(json("[1]\n")));
        assert!(result(&Output::Json, bytes(b"1 2")).is_err());
        let png = result(&Output::Bytes("image/png".into()), bytes(b"\xff")).expect("bytes");
        assert_eq!(png.content_type(), "image/png");
    }
}
