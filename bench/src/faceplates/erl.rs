//! Real nodes of Erlang: the one to compare with, and the one that calls either side. Both have
//! busy waiting switched off, which would take the processors from the other.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Pid;

use super::dialog::COOKIE;
use crate::load::Closed;
use crate::peers::Places;
use crate::processes;
use crate::server;
use crate::tally::{Outcome, Tally};

/// What both sides are called.
const NODE: &str = "katamari@127.0.0.1";

/// An epmd of the bench's own.
pub fn epmd(address: SocketAddr) -> Command {
    let mut command = Command::new("epmd");
    command.args(["-address", &address.ip().to_string()]);
    command.args(["-port", &address.port().to_string()]);
    command
}

/// The node to compare with.
pub fn echo_node(places: &Places) -> Command {
    let mut command = Command::new("escript");
    command.arg(places.handlers().join("echo_node.escript"));
    command.args([NODE, COOKIE]);
    command
}

/// A node whose processes call a server.
pub struct Caller {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Caller {
    /// Starts it, and waits until the server has answered.
    pub fn start(places: &Places, epmd: SocketAddr, processes: usize) -> Result<Self> {
        let mut command = Command::new("escript");
        command
            .arg(places.handlers().join("erlang_load.escript"))
            .args([NODE, COOKIE, &processes.to_string()])
            .env("ERL_EPMD_PORT", epmd.port().to_string());
        let mut child = server::ending_with_us(&command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start escript")?;
        let input = child.stdin.take().context("no input")?;
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let mut caller = Self {
            child,
            input,
            output,
        };
        let line = caller.line()?;
        ensure!(line == "ready", "expected `ready`, got {line:?}");
        Ok(caller)
    }

    /// CPU seconds that it took.
    pub fn cpu_seconds(&self) -> f64 {
        processes::cpu_seconds_of(Pid::from_child(&self.child))
    }

    /// Calls for that time.
    pub fn load(&mut self, length: Duration) -> Result<Closed> {
        writeln!(self.input, "{}", length.as_millis()).context("the caller has ended")?;
        let mut tally = Tally::default();
        for pair in self.line()?.split_whitespace() {
            let parsed = pair
                .split_once(':')
                .and_then(|(us, calls)| Some((us.parse().ok()?, calls.parse().ok()?)));
            let (us, calls): (u64, u64) =
                parsed.with_context(|| format!("expected MICROSECONDS:CALLS, got {pair:?}"))?;
            for _ in 0..calls {
                tally.add(Outcome::Answered, Duration::from_micros(us));
            }
        }
        Ok(Closed {
            tally,
            elapsed: length,
        })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        ensure!(
            self.output.read_line(&mut line)? > 0,
            "the caller has ended"
        );
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
