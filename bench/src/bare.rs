//! The handler without any server: Python loops that are the ceiling of what servers can answer,
//! and one worker that is spoken to directly, which is the floor of what a call can cost.

use std::io::{BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use command_fds::{CommandFdExt, FdMapping};

use crate::http;
use crate::peers::Places;

/// The descriptor on which a worker reads frames, and the one on which it writes them.
const WORKER_DESCRIPTORS: [i32; 2] = [3, 4];

/// A frame's length, which counts what follows it, and then its type and the length of its header.
const FRAME_PREFIX_BYTES: usize = 4;
const FRAME_FIXED_BYTES: usize = 3;

/// No frame here is longer than the description of a worker.
const FRAME_BYTES_MAX: usize = 64 * 1024;

/// How many calls a second so many loops make together.
pub fn calls_per_second(places: &Places, loops: usize, length: Duration) -> Result<f64> {
    let start = || {
        Command::new(places.python())
            .arg(places.handlers().join("bare_loop.py"))
            .arg(length.as_secs_f64().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a bare loop")
    };
    let children: Vec<Child> = (0..loops).map(|_| start()).collect::<Result<_>>()?;
    let mut calls = 0.0;
    for mut child in children {
        let mut text = String::new();
        let mut output = child.stdout.take().context("a bare loop without output")?;
        output
            .read_to_string(&mut text)
            .context("a bare loop said nothing")?;
        ensure!(child.wait()?.success(), "a bare loop failed");
        calls += text
            .trim()
            .parse::<f64>()
            .context("a bare loop printed no number")?;
    }
    Ok(calls / length.as_secs_f64())
}

/// One worker at the other end of a socket pair, with nothing in between.
pub struct BareWorker {
    child: Child,
    reader: BufReader<UnixStream>,
    writer: UnixStream,
}

impl BareWorker {
    /// Starts the worker that Katamari starts, and interrogates it.
    pub fn start(places: &Places) -> Result<Self> {
        let (ours, theirs) = UnixStream::pair().context("no socket pair")?;
        let mut command = Command::new(places.python());
        command
            .arg(places.handlers().join("katamari_worker.py"))
            .env("PYTHONPATH", places.chassis())
            .env("KATAMARI_PROTOCOL", "1")
            .env("KATAMARI_PROGRAM", "bench")
            .stdin(Stdio::null());
        let mapping = |child_fd| -> Result<FdMapping> {
            Ok(FdMapping {
                parent_fd: theirs.try_clone()?.into(),
                child_fd,
            })
        };
        let mappings = WORKER_DESCRIPTORS
            .into_iter()
            .map(mapping)
            .collect::<Result<_>>()?;
        command
            .fd_mappings(mappings)
            .context("descriptors that collide")?;
        let child = command.spawn().context("cannot start the worker")?;
        let mut worker = Self {
            child,
            reader: BufReader::new(ours.try_clone()?),
            writer: ours,
        };
        let (kind, _) = worker.receive()?;
        ensure!(kind == b'H', "the worker did not say hello");
        let welcome = r#"{"frame_max":16842752,"stream_credit":262144,"worker":1}"#;
        worker.send(b'W', welcome, b"")?;
        Ok(worker)
    }

    /// Makes one call of `echo` after the other as long as `length`; says how many and how long.
    pub fn echo(&mut self, length: Duration) -> Result<(u64, Duration)> {
        let start = Instant::now();
        let mut calls = 0;
        while start.elapsed() < length {
            let header = format!(
                "{{\"id\":{calls},\"call\":\"{calls:016x}\",\"function\":\"echo\",\
                 \"timeout_ms\":30000,\"class\":\"normal\"}}"
            );
            let arguments = format!("{{\"value\":\"{calls:08}\"}}");
            self.send(b'C', &header, arguments.as_bytes())?;
            let (kind, payload) = self.receive()?;
            ensure!(
                kind == b'R' && http::is_answer_to(&payload, calls),
                "a wrong answer"
            );
            calls += 1;
        }
        Ok((calls, start.elapsed()))
    }

    /// Stops the worker.
    pub fn stop(mut self) -> Result<()> {
        self.send(b'Q', "{}", b"")?;
        ensure!(
            self.child.wait()?.success(),
            "the worker did not exit in good order"
        );
        Ok(())
    }

    fn send(&mut self, kind: u8, header: &str, payload: &[u8]) -> Result<()> {
        let length = FRAME_FIXED_BYTES + header.len() + payload.len();
        let mut frame = Vec::with_capacity(FRAME_PREFIX_BYTES + length);
        frame.extend_from_slice(&u32::try_from(length)?.to_be_bytes());
        frame.push(kind);
        frame.extend_from_slice(&u16::try_from(header.len())?.to_be_bytes());
        frame.extend_from_slice(header.as_bytes());
        frame.extend_from_slice(payload);
        self.writer
            .write_all(&frame)
            .context("the worker reads no more")
    }

    /// The next frame's type and payload.
    fn receive(&mut self) -> Result<(u8, Vec<u8>)> {
        let mut prefix = [0; FRAME_PREFIX_BYTES];
        self.reader
            .read_exact(&mut prefix)
            .context("the worker writes no more")?;
        let length = usize::try_from(u32::from_be_bytes(prefix))?;
        ensure!(
            (FRAME_FIXED_BYTES..=FRAME_BYTES_MAX).contains(&length),
            "a frame of {length} bytes"
        );
        let mut frame = vec![0; length];
        self.reader
            .read_exact(&mut frame)
            .context("a frame that breaks off")?;
        let header = usize::from(u16::from_be_bytes([frame[1], frame[2]]));
        let payload = frame
            .get(FRAME_FIXED_BYTES + header..)
            .context("a header too long")?;
        Ok((frame[0], payload.to_vec()))
    }
}

impl Drop for BareWorker {
    fn drop(&mut self) {
        // After `stop` it has gone; on the way out of an error nobody else ends it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
