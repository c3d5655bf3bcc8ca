//! A worker of dialect `json`, played with as a strict manager does.

use super::launch::{Bench, Launched, PATIENCE, Read};
use super::verdict::{Trouble, Verdict, shown, unexpected};
use bytes::{BufMut, Bytes, BytesMut};
use manager::dialect::{
    Broken, Codec, Frame, FromWorker, Json, Manners, Nested, PROTOCOL_VERSION, interpret,
};
use pool::Description;
use serde_json::{Map, Value, json};
use std::time::Duration;
use term::Payload;
use tokio::time::Instant;

/// The most that `length` may say, unless the welcome says otherwise.
pub const FRAME_MAX: usize = 16 * 1024 * 1024 + 64 * 1024;

/// The credit that a stream starts with, unless a case is about credit.
pub const CREDIT: usize = 256 * 1024;

/// The time that a call has, unless a case is about time. Longer than any case waits.
const TIMEOUT_MS: u64 = 60_000;

/// What `C` says besides what a case is about.
fn call_header(id: u64, function: &str) -> Value {
    let call = format!("{id:016x}");
    json!({"id": id, "call": call, "function": function, "timeout_ms": TIMEOUT_MS, "class": "normal"})
}

/// What the welcome says.
pub struct Welcome {
    /// The largest `length`.
    pub frame_max: usize,
    /// What each stream starts with.
    pub stream_credit: usize,
}

impl Default for Welcome {
    fn default() -> Self {
        Self {
            frame_max: FRAME_MAX,
            stream_credit: CREDIT,
        }
    }
}

/// A worker that has said hello.
pub struct Worker {
    /// Its process.
    pub launched: Launched,
    /// What it said about itself.
    pub description: Description,
    /// How many calls it takes.
    pub slots: u16,
    frame_max: usize,
    next_id: u64,
}

/// The end of a call.
#[derive(Debug)]
pub enum End {
    /// With a result.
    Reply {
        /// The result.
        payload: Payload,
        /// Whether the worker says that it will exit.
        last: bool,
    },
    /// With an error.
    Error {
        /// Its message.
        message: String,
        /// Its type.
        type_name: Option<String>,
    },
}

impl Bench {
    /// Starts a worker that is offered these versions, and reads its hello.
    pub async fn hello(&self, offered: &'static str) -> Verdict<Worker> {
        let manners = Manners {
            protocol: offered,
            ..Json::default().manners()
        };
        let mut worker = Worker {
            launched: self.launch(manners)?,
            description: Description {
                details: pool::Details::default(),
                terms: false,
                functions: Vec::new(),
            },
            slots: 0,
            frame_max: FRAME_MAX,
            next_id: 1,
        };
        match worker.receive_within("a hello", self.start_max).await? {
            FromWorker::Hello {
                protocol,
                description,
            } => {
                if protocol != PROTOCOL_VERSION {
                    let expected = format!("protocol {PROTOCOL_VERSION} in the hello");
                    return unexpected(expected, protocol);
                }
                (worker.description, worker.slots) =
                    manager::describe::parse_hello(description.bytes())
                        .map_err(|problem| Trouble::Failed(format!("bad hello: {problem}")))?;
                Ok(worker)
            }
            other => unexpected("a hello first", describe(&other)),
        }
    }

    /// Starts a worker and welcomes it.
    pub async fn worker(&self) -> Verdict<Worker> {
        self.welcomed(Welcome::default()).await
    }

    /// Starts a worker and welcomes it with limits of its own.
    pub async fn welcomed(&self, welcome: Welcome) -> Verdict<Worker> {
        let mut worker = self.hello("1").await?;
        worker.frame_max = welcome.frame_max;
        let Welcome {
            frame_max,
            stream_credit,
        } = welcome;
        let header = json!({"frame_max": frame_max, "stream_credit": stream_credit, "worker": "1"});
        worker.send(b'W', &header, b"");
        Ok(worker)
    }
}

/// The bytes of a frame.
pub fn frame(letter: u8, header: &Value, payload: &[u8]) -> Bytes {
    let header = header.to_string();
    let header_length = u16::try_from(header.len()).expect("the headers of cases are short");
    let length = u32::try_from(3 + header.len() + payload.len()).expect("and so are payloads");
    let mut out = BytesMut::new();
    out.put_u32(length);
    out.put_u8(letter);
    out.put_u16(header_length);
    out.put_slice(header.as_bytes());
    out.put_slice(payload);
    out.freeze()
}

impl Worker {
    /// Sends a frame.
    pub fn send(&self, letter: u8, header: &Value, payload: &[u8]) {
        self.launched.write(frame(letter, header, payload));
    }

    /// A number for the next call.
    pub fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Sends a call. Returns its number.
    pub fn call(&mut self, function: &str, arguments: &Value) -> u64 {
        self.call_with(function, arguments.to_string().as_bytes(), json!({}))
    }

    /// Sends a call with this payload; keys of `more` are added to the header or replace its own.
    pub fn call_with(&mut self, function: &str, payload: &[u8], more: Value) -> u64 {
        let (bytes, id) = self.call_frame(function, payload, more);
        self.launched.write(bytes);
        id
    }

    /// The frame of a call that is still to be sent, and the call's number.
    pub fn call_frame(&mut self, function: &str, payload: &[u8], more: Value) -> (Bytes, u64) {
        let id = more["id"].as_u64().unwrap_or_else(|| self.new_id());
        let mut header = call_header(id, function);
        if let (Value::Object(header), Value::Object(more)) = (&mut header, more) {
            header.extend(more);
        }
        (frame(b'C', &header, payload), id)
    }

    /// Says that the answer to a call is no longer wanted.
    pub fn cancel(&self, id: u64, reason: &str) {
        self.send(b'X', &json!({"id": id, "reason": reason}), b"");
    }

    /// Adds credit to a stream.
    pub fn flow(&self, id: u64, bytes: usize) {
        self.send(b'F', &json!({"id": id, "bytes": bytes}), b"");
    }

    /// Receives the next message.
    pub async fn receive(&mut self, expected: &str) -> Verdict<FromWorker> {
        self.receive_within(expected, PATIENCE).await
    }

    /// Receives the next message, which must come in this time.
    pub async fn receive_within(
        &mut self,
        expected: &str,
        patience: Duration,
    ) -> Verdict<FromWorker> {
        let until = Instant::now() + patience;
        loop {
            if let Some(message) = self.take(expected)? {
                return Ok(message);
            }
            match self.launched.read_more(until).await {
                Read::Some => {}
                Read::End => {
                    let end = self.launched.end_for_people().await;
                    return unexpected(expected, format_args!("the end of descriptor 4; {end}"));
                }
                Read::Late => {
                    return unexpected(expected, format_args!("nothing for {patience:?}"));
                }
            }
        }
    }

    /// Takes the next message off what was read, if it is complete.
    fn take(&mut self, expected: &str) -> Verdict<Option<FromWorker>> {
        let broken = |what: String| Trouble::Failed(format!("expected {expected}, but {what}"));
        let before = self.launched.read.len();
        let frame = Frame::decode(&mut self.launched.read)
            .map_err(|error| broken(format!("descriptor 4 carries no frame: {error}")))?;
        let Some(frame) = frame else { return Ok(None) };
        let length = before - self.launched.read.len() - 4;
        if length > self.frame_max {
            let limit = self.frame_max;
            return Err(broken(format!(
                "got a frame with a length of {length}, above the frame_max of {limit}"
            )));
        }
        let header = serde_json::from_slice::<Map<String, Value>>(&frame.header);
        header.map_err(|error| {
            let text = String::from_utf8_lossy(&frame.header);
            let text = shown(text);
            broken(format!(
                "got a header that is no JSON object: {text}: {error}"
            ))
        })?;
        let message = interpret(frame).map_err(|Broken(what)| broken(what))?;
        if let FromWorker::Reply { payload, .. } | FromWorker::Piece { payload, .. } = &message
            && let Payload::Json(json) = payload
            && std::str::from_utf8(json).is_err()
        {
            return Err(broken("got JSON that is not UTF-8".to_owned()));
        }
        Ok(Some(message))
    }

    /// Receives a pong.
    pub async fn pong(&mut self) -> Verdict {
        match self.receive("a pong").await? {
            FromWorker::Pong => Ok(()),
            other => unexpected("a pong", describe(&other)),
        }
    }

    /// Sends a ping; the pong must come next.
    pub async fn ping(&mut self) -> Verdict {
        self.send(b'P', &json!({}), b"");
        self.pong().await
    }

    /// The worker must say nothing for so long.
    pub async fn silence(&mut self, duration: Duration) -> Verdict {
        let until = Instant::now() + duration;
        loop {
            if let Some(message) = self.take("silence")? {
                return unexpected("silence", describe(&message));
            }
            match self.launched.read_more(until).await {
                Read::Some => {}
                Read::Late => return Ok(()),
                Read::End => {
                    let end = self.launched.end_for_people().await;
                    return unexpected("silence", format_args!("the end of descriptor 4; {end}"));
                }
            }
        }
    }

    /// Receives the end of a call, which must come next.
    pub async fn end(&mut self, call: u64) -> Verdict<End> {
        let expected = format!("a reply or an error to call {call}");
        self.end_as(call, &expected).await
    }

    async fn end_as(&mut self, call: u64, expected: &str) -> Verdict<End> {
        match self.receive(expected).await? {
            FromWorker::Reply { id, payload, last } if id == Some(call) => {
                Ok(End::Reply { payload, last })
            }
            FromWorker::Error {
                id,
                message,
                type_name,
                ..
            } if id == Some(call) => Ok(End::Error { message, type_name }),
            other => unexpected(expected, describe(&other)),
        }
    }

    /// Receives the reply to a call, which must come next and be one JSON value.
    pub async fn reply(&mut self, call: u64) -> Verdict<Value> {
        let expected = format!("a reply to call {call}");
        match self.end_as(call, &expected).await? {
            End::Reply { payload, .. } => json_value(&payload),
            End::Error { message, .. } => {
                unexpected(expected, format_args!("the error {:?}", shown(message)))
            }
        }
    }

    /// Receives the error of a call, which must come next. Gives its message and its type.
    pub async fn error(&mut self, call: u64) -> Verdict<(String, Option<String>)> {
        let expected = format!("an error to call {call}");
        match self.end_as(call, &expected).await? {
            End::Error { message, type_name } => Ok((message, type_name)),
            End::Reply { payload, .. } => unexpected(
                expected,
                format_args!("the reply {}", shown(text(&payload))),
            ),
        }
    }

    /// Makes a call. Its reply must come next.
    pub async fn result(&mut self, function: &str, arguments: Value) -> Verdict<Value> {
        let call = self.call(function, &arguments);
        self.reply(call).await
    }

    /// Receives a piece of a stream, which must come next.
    pub async fn piece(&mut self, call: u64) -> Verdict<Value> {
        let expected = format!("a piece of call {call}");
        match self.receive(&expected).await? {
            FromWorker::Piece { id, payload } if id == call => json_value(&payload),
            other => unexpected(expected, describe(&other)),
        }
    }

    /// Receives a nested call of this call, which must come next.
    pub async fn nested(&mut self, call: u64) -> Verdict<Nested> {
        let expected = format!("a nested call of call {call}");
        match self.receive(&expected).await? {
            FromWorker::Nested(nested) if nested.parent == call => Ok(*nested),
            other => unexpected(expected, describe(&other)),
        }
    }

    /// Answers a nested call.
    pub fn answer(&self, nested: u64, result: &Value) {
        self.send(b'A', &json!({"id": nested}), result.to_string().as_bytes());
    }

    /// Answers a nested call with an error.
    pub fn refuse(&self, nested: u64, code: &str) {
        let header = json!({"id": nested, "code": code, "message": "as the check wants it"});
        self.send(b'B', &header, b"");
    }
}

/// The JSON value in a payload.
pub fn json_value(payload: &Payload) -> Verdict<Value> {
    match payload {
        Payload::Json(json) => serde_json::from_slice(json).or_else(|error| {
            unexpected(
                "one JSON value",
                format_args!("{}: {error}", shown(text(payload))),
            )
        }),
        other => unexpected("one JSON value", other.content_type()),
    }
}

/// The bytes of a payload for people.
pub fn text(payload: &Payload) -> String {
    String::from_utf8_lossy(payload.bytes()).into_owned()
}

/// A message for people.
pub fn describe(message: &FromWorker) -> String {
    let number = |id: &Option<u64>| id.map_or("nothing".to_owned(), |id| format!("call {id}"));
    match message {
        FromWorker::Hello { .. } => "a hello".to_owned(),
        FromWorker::Pong => "a pong".to_owned(),
        FromWorker::Reply { id, payload, .. } => {
            format!("a reply to {}: {}", number(id), shown(text(payload)))
        }
        FromWorker::Error { id, message, .. } => {
            format!("an error to {}: {:?}", number(id), shown(message))
        }
        FromWorker::Piece { id, payload } => {
            format!("a piece of call {id}: {}", shown(text(payload)))
        }
        FromWorker::Nested(nested) => {
            format!("nested call {} of call {}", nested.id, nested.parent)
        }
        FromWorker::Grant { id, bytes } => format!("a grant of {bytes} bytes to call {id}"),
        FromWorker::BadNested { id, why } => format!("nested call {id}: {why}"),
    }
}
