//! Dialect `lines`: a JSON object a line on stdin and stdout, one call at a time.

use super::{Broken, Codec, FromWorker, Manners, ToWorker, Unfit, excerpt};
use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::io::Write;
use term::Payload;

/// Bytes of a line: arguments and results are held in memory whole.
const LINE_MAX: usize = 16 * 1024 * 1024;

/// The codec of dialect `lines`.
#[derive(Debug, Default)]
pub struct Lines {
    /// How far into what was read there is no end of line, so that a long line that comes in many
    /// parts is not searched from its start each time.
    searched: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer<'a> {
    id: Option<u64>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// `null` is a result like any other: only an absent key is none.
fn present<'de, D: Deserializer<'de>>(input: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(input).map(Some)
}

impl Codec for Lines {
    fn encode(&mut self, message: &ToWorker, out: &mut BytesMut) -> Result<(), Unfit> {
        let ToWorker::Call {
            id,
            call,
            function,
            timeout,
            payload,
            ..
        } = message
        else {
            return Ok(());
        };
        let Payload::Json(arguments) = payload else {
            return Err(Unfit::NotJson);
        };
        let arguments = arguments.trim_ascii();
        if arguments.len() > LINE_MAX {
            return Err(Unfit::TooLarge {
                bytes_max: LINE_MAX,
            });
        }
        let timeout_ms = timeout.as_millis();
        write!(
            out.writer(),
            r#"{{"id":{id},"call":"{call}","function":"{function}","timeout_ms":{timeout_ms},"arguments":"#
        )
        .expect("writing to memory cannot fail");
        // A line break in JSON is white space between tokens: in strings it is escaped.
        out.extend(arguments.iter().map(|&byte| {
            if matches!(byte, b'\n' | b'\r') {
                b' '
            } else {
                byte
            }
        }));
        if arguments.is_empty() {
            out.put_slice(b"{}");
        }
        out.put_slice(b"}\n");
        Ok(())
    }

    fn decode(&mut self, read: &mut BytesMut) -> Result<Option<FromWorker>, Broken> {
        loop {
            let end = read[self.searched..].iter().position(|&byte| byte == b'\n');
            let Some(end) = end.map(|end| self.searched + end) else {
                if read.len() > LINE_MAX {
                    return Err(Broken(format!(
                        "expected lines of at most {LINE_MAX} bytes"
                    )));
                }
                self.searched = read.len();
                return Ok(None);
            };
            self.searched = 0;
            let line = read.split_to(end + 1).freeze();
            if !line.trim_ascii().is_empty() {
                return interpret(&line).map(Some);
            }
        }
    }

    fn manners(&self) -> Manners {
        Manners {
            says_hello: false,
            answers_pings: false,
            hears_cancels: false,
            hears_quit: false,
            quits_by_signal: false,
            cancels_at_once: false,
            own_descriptors: false,
            takes_terms: false,
            protocol: "lines",
        }
    }
}

fn interpret(line: &Bytes) -> Result<FromWorker, Broken> {
    let expected = |why: String| {
        let line = excerpt(line.trim_ascii());
        Broken(format!(
            r#"expected {{"result":...}} or {{"error":"..."}} on stdout, got {line}{why}"#
        ))
    };
    let answer: Answer<'_> =
        serde_json::from_slice(line).map_err(|error| expected(format!(": {error}")))?;
    match (answer.result, answer.error) {
        (Some(result), None) => {
            let payload = Payload::Json(line.slice_ref(result.get().as_bytes()));
            Ok(FromWorker::Reply {
                id: answer.id,
                payload,
                last: false,
            })
        }
        (None, Some(error)) => {
            let message = serde_json::from_str::<String>(error.get())
                .unwrap_or_else(|_| error.get().to_owned());
            let (type_name, backtrace) = (None, None);
            Ok(FromWorker::Error {
                id: answer.id,
                message,
                type_name,
                backtrace,
                last: false,
            })
        }
        _ => Err(expected(String::new())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool::Class;
    use std::time::Duration;

    fn decoded(text: &str) -> Result<Option<FromWorker>, Broken> {
        Lines::default().decode(&mut BytesMut::from(text))
    }

    #[test]
    fn a_call_is_one_line_whatever_its_arguments() {
        let call = ToWorker::Call {
            id: 7,
            call: "00000000000000ff".to_owned(),
            function: "upper".into(),
            timeout: Duration::from_millis(1990),
            key: None,
            class: Class::Normal,
            payload: Payload::Json(Bytes::from_static(b"{\n \"text\": \"a\\nb\"\r\n}\n")),
            input: None,
        };
        let mut out = BytesMut::new();
        Lines::default().encode(&call, &mut out).unwrap();
        assert_eq!(
            std::str::from_utf8(&out).unwrap(),
            "{\"id\":7,\"call\":\"00000000000000ff\",\"function\":\"upper\",\"timeout_ms\":1990,\"arguments\":{  \"text\": \"a\\nb\"  }}\n"
        );
    }

    #[test]
    fn only_json_becomes_a_line() {
        let call = ToWorker::Call {
            id: 7,
            call: String::new(),
            function: "upper".into(),
            timeout: Duration::ZERO,
            key: None,
            class: Class::Normal,
            payload: Payload::new("x/y", Bytes::from_static(b"{},\"function\":\"other\"")),
            input: None,
        };
        let mut out = BytesMut::new();
        assert_eq!(
            Lines::default().encode(&call, &mut out),
            Err(Unfit::NotJson)
        );
        assert!(out.is_empty());
    }

    #[test]
    fn answers_are_results_or_errors() {
        let Ok(Some(FromWorker::Reply {
            id: Some(7),
            payload,
            ..
        })) = decoded("\n  \n{\"id\":7,\"result\":{\"a\": 1}}\n")
        else {
            panic!("a result is a reply");
        };
        assert_eq!(&payload.bytes()[..], b"{\"a\": 1}");
        let null = decoded("{\"result\":null}\n");
        assert!(matches!(null, Ok(Some(FromWorker::Reply { id: None, .. }))));
        let Ok(Some(FromWorker::Error { message, .. })) = decoded("{\"error\":\"empty\"}\n") else {
            panic!("an error is an error");
        };
        assert_eq!(message, "empty");
        assert!(
            matches!(decoded("{\"result\":1}"), Ok(None)),
            "a line ends with a line break"
        );
    }

    #[test]
    fn anything_else_breaks_the_protocol() {
        for line in [
            "hello\n",
            "{}\n",
            "{\"result\":1,\"error\":\"x\"}\n",
            "[1]\n",
            "{\"answer\":1}\n",
        ] {
            let error = decoded(line).unwrap_err();
            assert!(error.0.contains(&format!("{:?}", line.trim())), "{error}");
        }
    }
}
