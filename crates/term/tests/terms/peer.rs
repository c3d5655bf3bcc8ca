//! A real Erlang that reads and writes terms: `peer.escript`, as a child process.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Sets of options of `term_to_binary` that the peer knows by number: none, `minor_version` 0, 1
/// and 2, `compressed`, `compressed` with `minor_version` 1, `deterministic`.
pub const OPTIONS: std::ops::Range<u8> = 0..7;

/// The child and its pipes. It ends when its input does.
pub struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
}

impl Peer {
    /// Starts it. None, with a message, if there is no Erlang and no `CI=true`, which needs one.
    pub fn start() -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/terms/peer.escript");
        let child = Command::new("escript")
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match child {
            Ok(child) => child,
            Err(error) => {
                let message = format!(
                    "expected `escript` of Erlang to try terms on, got: {error}; install Debian's \
                     erlang-base"
                );
                let in_ci = std::env::var("CI").is_ok_and(|value| value == "true");
                assert!(!in_ci, "{message}");
                eprintln!("NOT RUN: {message}");
                return None;
            }
        };
        let input = child.stdin.take();
        let output = child.stdout.take().expect("it is piped");
        Some(Self {
            child,
            input,
            output,
        })
    }

    /// Its answer to a command, or why it has none.
    fn ask(&mut self, command: u8, parts: &[&[u8]]) -> Result<Vec<u8>, String> {
        let frame = [&[command], &parts.concat()[..]].concat();
        let length = u32::try_from(frame.len()).expect("frames are short");
        let input = self.input.as_mut().expect("it is open");
        input
            .write_all(&[&length.to_be_bytes(), &frame[..]].concat())
            .expect("Erlang reads");
        let mut length = [0; 4];
        self.output.read_exact(&mut length).expect("Erlang answers");
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.output.read_exact(&mut frame).expect("Erlang answers");
        match frame.split_first() {
            Some((b'=', answer)) => Ok(answer.to_vec()),
            _ => Err(String::from_utf8_lossy(&frame).into_owned()),
        }
    }

    /// How Erlang prints the term.
    pub fn print(&mut self, bytes: &[u8]) -> Result<String, String> {
        let text = self.ask(b'p', &[bytes])?;
        Ok(String::from_utf8(text).expect("it prints UTF-8"))
    }

    /// The term that a text is in Erlang.
    pub fn parse(&mut self, text: &str) -> Result<Vec<u8>, String> {
        self.ask(b't', &[text.as_bytes()])
    }

    /// The same term, written by Erlang with those options.
    pub fn rewrite(&mut self, options: u8, bytes: &[u8]) -> Result<Vec<u8>, String> {
        self.ask(b'r', &[&[options], bytes])
    }

    /// A random term of Erlang's.
    pub fn make(&mut self, options: u8, seed: u32) -> Vec<u8> {
        self.ask(b'm', &[&[options], &seed.to_be_bytes()])
            .expect("it can make one")
    }

    /// `same`, if Erlang takes these bytes for the term that it made last.
    pub fn compare(&mut self, bytes: &[u8]) -> Result<String, String> {
        let text = self.ask(b'c', &[bytes])?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.input.take());
        // It halts at the end of its input; how is of no interest here.
        let _ = self.child.wait();
    }
}
