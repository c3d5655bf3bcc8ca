//! What a call costs: plays the manager of `echo`, beside this program, with as many calls in flight
//! as it has slots, each of 1 KiB.
//!
//! `cargo run --release -p katamari-worker --example measure -- 8`, after a build of `echo`.

use command_fds::{CommandFdExt, FdMapping};
use std::error::Error;
use std::io::{PipeReader, Read, Write, pipe};
use std::process::Command;
use std::time::{Duration, Instant};

/// Calls of one measurement.
const CALLS: u64 = 300_000;

/// Bytes of the value that is echoed.
const SIZE: usize = 1024;

/// Bytes before a frame's header, of which the first four are the length.
const PREFIX_SIZE: usize = 7;

fn frame(letter: u8, header: &str, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(3 + header.len() + payload.len()).expect("it is short");
    let header_length = u16::try_from(header.len()).expect("it is short");
    let mut frame = length.to_be_bytes().to_vec();
    frame.push(letter);
    frame.extend(header_length.to_be_bytes());
    frame.extend(header.bytes());
    frame.extend(payload);
    frame
}

/// Counts frames in what comes.
struct Frames {
    from_worker: PipeReader,
    buffer: Vec<u8>,
    read: usize,
}

impl Frames {
    /// How many came with one read.
    fn some(&mut self) -> Result<u64, Box<dyn Error>> {
        let size = self.from_worker.read(&mut self.buffer[self.read..])?;
        if size == 0 {
            return Err("the worker has ended".into());
        }
        self.read += size;
        let (mut start, mut count) = (0, 0);
        while let Some(length) = self.buffer[start..self.read].first_chunk() {
            let end = start + 4 + u32::from_be_bytes(*length) as usize;
            if end > self.read {
                break;
            }
            if self.buffer[start + 4] == b'E' {
                let error = String::from_utf8_lossy(&self.buffer[start + PREFIX_SIZE..end]);
                return Err(error.into());
            }
            (start, count) = (end, count + 1);
        }
        self.buffer.copy_within(start..self.read, 0);
        self.read -= start;
        Ok(count)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let slots = std::env::args().nth(1).unwrap_or("8".to_owned());
    let (their_input, mut to_worker) = pipe()?;
    let (from_worker, their_output) = pipe()?;
    let mut command = Command::new(std::env::current_exe()?.with_file_name("echo"));
    command.arg(&slots).env("KATAMARI_PROTOCOL", "1");
    let mapping = |parent_fd, child_fd| FdMapping {
        parent_fd,
        child_fd,
    };
    command.fd_mappings(vec![
        mapping(their_input.into(), 3),
        mapping(their_output.into(), 4),
    ])?;
    let mut worker = command.spawn()?;
    drop(command);
    let mut frames = Frames {
        from_worker,
        buffer: vec![0; 1 << 20],
        read: 0,
    };
    while frames.some()? == 0 {}
    to_worker.write_all(&frame(b'W', "{}", b""))?;

    let slots: u64 = slots.parse()?;
    let payload = format!("{{\"value\":\"{}\"}}", "x".repeat(SIZE));
    let (mut sent, mut answered) = (0, 0);
    let begun = Instant::now();
    while answered < CALLS {
        let mut calls = Vec::new();
        while sent < CALLS && sent - answered < slots {
            let header = format!(
                "{{\"id\":{sent},\"call\":\"{sent:016x}\",\"function\":\"echo\",\
                 \"timeout_ms\":10000,\"class\":\"normal\"}}"
            );
            calls.extend(frame(b'C', &header, payload.as_bytes()));
            sent += 1;
        }
        to_worker.write_all(&calls)?;
        answered += frames.some()?;
    }
    let took = begun.elapsed();
    let each = took / u32::try_from(CALLS)?;
    let rate = Duration::from_secs(1).as_nanos() / each.as_nanos();
    println!("{slots} slots: {rate} calls/s, {each:?} each");
    to_worker.write_all(&frame(b'Q', "{}", b""))?;
    worker.wait()?;
    Ok(())
}
