//! What a program uses to be a worker: its details, its functions, and the loop that runs them.

use crate::call::{Call, Stream};
use crate::connection::{Arrived, Connection};
use crate::describe::{Description, Function};
use crate::descriptors::{self, Descriptors, PROTOCOL};
use crate::error::{Error, Shown};
use crate::frame::{FRAME_MAX_DEFAULT, TooLarge, frame_of, result_frame};
use crate::panics;
use crate::payload::Payload;
use crate::trace::{Shape, shape_of};
use serde::Serialize;
use serde::de::value::MapDeserializer;
use serde::de::{DeserializeOwned, IntoDeserializer};
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::thread;

/// The status of a program that was started by hand: EX_USAGE of sysexits.h.
const EXIT_USAGE: u8 = 64;

/// The status when the manager has broken the protocol: EX_PROTOCOL.
const EXIT_PROTOCOL: u8 = 76;

/// Bytes of an error's message: escaped sixfold it fits a header, with the type.
const MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// Bytes of an error's type, for the same reason.
const TYPE_BYTES_MAX: usize = 200;

/// Bytes of a backtrace.
const BACKTRACE_BYTES_MAX: usize = 64 * 1024;

/// Each of the three leaves room for the others in a small frame.
const ERROR_PARTS: usize = 16;

/// Runs a call to its result.
type Run = Box<dyn Fn(&Call<'_>, Payload) -> Result<Payload, Shown> + Send + Sync>;

/// A worker: its details, its functions, then [`run`](Worker::run).
///
/// Functions are called on as many threads as there are slots, and so are `Send` and `Sync`; what
/// they change stands behind a `Mutex`.
///
/// # Panics
///
/// What defines a worker panics on what the protocol does not allow: it is a mistake in the program.
pub struct Worker {
    description: Description,
    functions: HashMap<String, Run>,
    claimed: Result<Descriptors, String>,
}

impl Worker {
    /// A worker of a kind: 1 to 100 characters of `a-z A-Z 0-9 _ -`. To be made before the program
    /// starts others, which must not inherit descriptors 3 and 4.
    pub fn new(kind: &str) -> Self {
        Self {
            description: Description::new(kind),
            functions: HashMap::new(),
            claimed: descriptors::claim(),
        }
    }

    /// A version key of its details, such as `grammar` and `5.12.0`.
    pub fn version(mut self, key: &str, value: &str) -> Self {
        self.description.add_version(key, value);
        self
    }

    /// A tag of its details.
    pub fn tag(mut self, tag: &str) -> Self {
        self.description.add_tag(tag);
        self
    }

    /// A role of its details.
    pub fn role(mut self, role: &str) -> Self {
        self.description.add_role(role);
        self
    }

    /// How many calls it takes at a time, 1 to 1024. With one, functions run on the thread that
    /// calls `run`; with more, on as many threads.
    pub fn slots(mut self, slots: usize) -> Self {
        self.description.set_slots(slots);
        self
    }

    /// Defines a function. Its arguments become a struct, whose fields are its parameters; `()` if
    /// it has none.
    pub fn function<A, R, E, F>(self, function: Function, run: F) -> Self
    where
        A: DeserializeOwned,
        R: Serialize,
        E: Into<Error> + 'static,
        F: Fn(&Call<'_>, A) -> Result<R, E> + Send + Sync + 'static,
    {
        let shape = shape_of::<A>();
        let unit = shape == Shape::Unit;
        let function = function.complete(shape);
        let names = function.names();
        self.add(function, move |call, arguments| {
            let arguments = read_arguments(&arguments, &names, unit)?;
            let result = run(call, arguments).map_err(Shown::of)?;
            Payload::json(&result).map_err(|error| {
                Shown::new(
                    "JsonError",
                    format!("the result has no form in JSON: {error}"),
                )
            })
        })
    }

    /// Defines a function that answers in pieces.
    pub fn stream<A, E, F>(self, function: Function, run: F) -> Self
    where
        A: DeserializeOwned,
        E: Into<Error> + 'static,
        F: Fn(&Stream<'_>, A) -> Result<(), E> + Send + Sync + 'static,
    {
        let shape = shape_of::<A>();
        let unit = shape == Shape::Unit;
        let function = function.streaming().complete(shape);
        let names = function.names();
        self.add(function, move |call, arguments| {
            let arguments = read_arguments(&arguments, &names, unit)?;
            run(&Stream::of(call), arguments).map_err(Shown::of)?;
            Ok(Payload::empty())
        })
    }

    /// Defines a function that takes and gives payloads as they are: bytes of a content type, or
    /// JSON that it reads by itself. Its parameters are declared.
    pub fn payload_function<E, F>(self, function: Function, run: F) -> Self
    where
        E: Into<Error> + 'static,
        F: Fn(&Call<'_>, Payload) -> Result<Payload, E> + Send + Sync + 'static,
    {
        let function = function.complete(Shape::Unit);
        self.add(function, move |call, arguments| {
            run(call, arguments).map_err(Shown::of)
        })
    }

    fn add(
        mut self,
        function: Function,
        run: impl Fn(&Call<'_>, Payload) -> Result<Payload, Shown> + Send + Sync + 'static,
    ) -> Self {
        self.functions.insert(function.name.clone(), Box::new(run));
        self.description.add_function(function);
        self
    }

    /// Answers calls until the manager lets the worker go. Gives the status for `main` to return:
    /// 0 in the end, 64 if no manager has started the program, 76 if the manager has broken the
    /// protocol.
    #[must_use = "it is the status that the program is to exit with"]
    pub fn run(self) -> ExitCode {
        assert!(
            self.description.has_functions(),
            "a worker needs at least one function"
        );
        let descriptors = match &self.claimed {
            Ok(descriptors) => *descriptors,
            Err(why) => {
                let command: Vec<_> = std::env::args().collect();
                eprintln!("This program is a Katamari worker: {why}");
                eprintln!("To try it: katamari check -- {}", command.join(" "));
                return ExitCode::from(EXIT_USAGE);
            }
        };
        panics::note_places();
        let connection = Connection::new(descriptors.from_manager, descriptors.to_manager);
        if connection.introduce(self.hello()) {
            thread::scope(|scope| {
                for slot in 1..self.description.slots {
                    let thread = thread::Builder::new().name(format!("slot-{slot}"));
                    let started = thread.spawn_scoped(scope, || self.serve(&connection));
                    started.expect("the system has a thread for each slot");
                }
                self.serve(&connection);
            });
        }
        match connection.broken() {
            None => ExitCode::SUCCESS,
            Some(what) => {
                eprintln!("katamari-worker: the manager has broken the protocol: {what}");
                ExitCode::from(EXIT_PROTOCOL)
            }
        }
    }

    fn hello(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Hello {
            protocol: u32,
        }
        let hello = Hello { protocol: PROTOCOL };
        let description = serde_json::to_vec(&self.description).expect("it is text and numbers");
        match frame_of(b'H', &hello, &description, FRAME_MAX_DEFAULT) {
            Ok(frame) => frame,
            Err(TooLarge(message)) => panic!("the worker's description: {message}"),
        }
    }

    /// One slot.
    fn serve(&self, connection: &Connection) {
        while let Some(arrived) = connection.next_call() {
            let last = self.answer(connection, arrived);
            // With several slots there may be calls that the manager wrote before it read this
            // answer. It sends no more after that, and a quit once all have ended.
            if last && self.description.slots == 1 {
                return;
            }
        }
    }

    /// Runs a call and ends it. Whether it was the last.
    fn answer(&self, connection: &Connection, arrived: Arrived) -> bool {
        let frame_max = connection.frame_max();
        let (call, function, arguments) = Call::of(connection, arrived);
        let result = match self.functions.get(&function) {
            Some(run) => catch_unwind(AssertUnwindSafe(|| run(&call, arguments)))
                .unwrap_or_else(|panic| Err(panics::shown(&*panic))),
            None => {
                let message = format!("there is no function `{function}`");
                Err(Shown::new("ArgumentError", message))
            }
        };
        let (id, last) = (call.number(), call.is_last());
        let frame = result.and_then(|result| {
            let frame = result_frame(b'R', id, &result, last, frame_max);
            frame.map_err(|TooLarge(message)| Shown::new("TooLarge", message))
        });
        let frame = frame.unwrap_or_else(|error| error_frame(id, error, last, frame_max));
        connection.finish(id, frame);
        last
    }
}

fn error_frame(id: u64, error: Shown, last: bool, frame_max: usize) -> Vec<u8> {
    #[derive(Serialize)]
    struct Header<'a> {
        id: u64,
        message: &'a str,
        r#type: &'a str,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        last: bool,
    }
    let room = frame_max / ERROR_PARTS;
    let header = Header {
        id,
        message: cut(&error.message, MESSAGE_BYTES_MAX.min(room)),
        r#type: cut(&error.type_name, TYPE_BYTES_MAX.min(room)),
        last,
    };
    let backtrace = cut(&error.backtrace, BACKTRACE_BYTES_MAX.min(room));
    match frame_of(b'E', &header, backtrace.as_bytes(), frame_max) {
        Ok(frame) => frame,
        Err(TooLarge(message)) => panic!("the manager's frame_max has no room: {message}"),
    }
}

/// The beginning of a text, at the boundary of a character.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// The arguments of a call; positional ones by name.
fn read_arguments<A: DeserializeOwned>(
    arguments: &Payload,
    names: &[String],
    unit: bool,
) -> Result<A, Shown> {
    let bad =
        |error: serde_json::Error| Shown::new("ArgumentError", format!("the arguments: {error}"));
    if !arguments.is_json() {
        let came = arguments.content_type().unwrap_or_default();
        let message = format!("expected arguments in JSON, came {came}");
        return Err(Shown::new("ArgumentError", message));
    }
    if unit {
        return A::deserialize(().into_deserializer()).map_err(bad);
    }
    let bytes = arguments.as_slice();
    if bytes.trim_ascii_start().first() != Some(&b'[') {
        return serde_json::from_slice(bytes).map_err(bad);
    }
    let values: Vec<&RawValue> = serde_json::from_slice(bytes).map_err(bad)?;
    if values.len() > names.len() {
        let (most, came) = (names.len(), values.len());
        let message = format!("expected at most {most} arguments, came {came}");
        return Err(Shown::new("ArgumentError", message));
    }
    let named = names.iter().map(String::as_str).zip(values);
    A::deserialize(MapDeserializer::new(named)).map_err(bad)
}
