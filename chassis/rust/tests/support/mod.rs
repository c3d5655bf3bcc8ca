//! A manager for tests: one worker, real pipes on its descriptors 3 and 4. The worker is this test
//! program again, told to run its test `worker` alone, which does not return before it is let go.

use command_fds::{CommandFdExt, FdMapping};
use serde_json::{Value, json};
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::process::{Child, Command, ExitStatus, Stdio};

/// A frame from the worker.
#[derive(Debug)]
pub struct Frame {
    /// Its type.
    pub letter: char,
    /// Its header.
    pub header: Value,
    /// Its payload.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The payload as JSON.
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.payload).unwrap_or_else(|error| panic!("{self:?}: {error}"))
    }

    /// The message of an error.
    pub fn message(&self) -> &str {
        self.header["message"].as_str().unwrap_or_default()
    }
}

/// The manager.
pub struct Manager {
    process: Child,
    to_worker: Option<PipeWriter>,
    from_worker: PipeReader,
    next_id: u64,
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it can be waited for");
    }
}

impl Manager {
    /// Starts the worker of this test program, with so many slots.
    pub fn start(slots: usize) -> Self {
        let (their_input, to_worker) = pipe().expect("a pipe");
        let (from_worker, their_output) = pipe().expect("a pipe");
        let mut command = worker_command();
        command
            .env("KATAMARI_PROTOCOL", "1")
            .env("SLOTS", slots.to_string())
            .fd_mappings(vec![
                FdMapping {
                    parent_fd: their_input.into(),
                    child_fd: 3,
                },
                FdMapping {
                    parent_fd: their_output.into(),
                    child_fd: 4,
                },
            ])
            .expect("they do not collide");
        Self {
            process: command.spawn().expect("the test program starts again"),
            to_worker: Some(to_worker),
            from_worker,
            next_id: 0,
        }
    }

    /// The same, and takes its hello.
    pub fn introduced(slots: usize, welcome: &Value) -> (Self, Value) {
        let mut manager = Self::start(slots);
        let hello = manager.receive();
        assert_eq!(
            (hello.letter, &hello.header),
            ('H', &json!({"protocol": 1}))
        );
        manager.send('W', welcome, b"");
        (manager, hello.value())
    }

    /// Sends a frame.
    pub fn send(&mut self, letter: char, header: &Value, payload: &[u8]) {
        let header = header.to_string();
        let length = u32::try_from(3 + header.len() + payload.len()).expect("it is short");
        let header_length = u16::try_from(header.len()).expect("it is short");
        let mut frame = length.to_be_bytes().to_vec();
        frame.push(u8::try_from(letter).expect("an ASCII letter"));
        frame.extend(header_length.to_be_bytes());
        frame.extend(header.bytes());
        frame.extend(payload);
        let to_worker = self.to_worker.as_mut().expect("it was not closed");
        to_worker.write_all(&frame).expect("the worker reads");
    }

    /// Sends a call with keys of `more` in its header. Returns its id.
    pub fn send_call(&mut self, function: &str, payload: &[u8], more: &Value) -> u64 {
        self.next_id += 1;
        let mut header = json!({"id": self.next_id, "call": format!("{:016x}", self.next_id),
            "function": function, "timeout_ms": 60_000, "class": "normal"});
        for (key, value) in more.as_object().expect("an object") {
            header[key] = value.clone();
        }
        self.send('C', &header, payload);
        self.next_id
    }

    /// Makes a call. Its end must come next.
    pub fn call(&mut self, function: &str, arguments: &Value) -> Frame {
        let id = self.send_call(function, arguments.to_string().as_bytes(), &json!({}));
        let end = self.receive();
        assert!("RE".contains(end.letter), "{end:?}");
        assert_eq!(end.header["id"], id, "{end:?}");
        end
    }

    /// The next frame.
    pub fn receive(&mut self) -> Frame {
        let mut prefix = [0; 7];
        self.from_worker.read_exact(&mut prefix).expect("a frame");
        let [a, b, c, d, letter, high, low] = prefix;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let mut header = vec![0; usize::from(u16::from_be_bytes([high, low]))];
        let mut payload = vec![0; length - 3 - header.len()];
        self.from_worker.read_exact(&mut header).expect("a header");
        self.from_worker
            .read_exact(&mut payload)
            .expect("all of it");
        Frame {
            letter: char::from(letter),
            header: serde_json::from_slice(&header).expect("JSON"),
            payload,
        }
    }

    /// Closes descriptor 3.
    pub fn hang_up(&mut self) {
        self.to_worker = None;
    }

    /// Waits until the worker ends.
    pub fn wait(&mut self) -> ExitStatus {
        self.process.wait().expect("it can be waited for")
    }
}

/// This program as a worker that nobody has started.
pub fn worker_command() -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command
        .args(["--exact", "worker", "--nocapture"])
        .env("WORKER", "1")
        .env_remove("KATAMARI_PROTOCOL")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}
