//! One node: a `katamari` process in its namespace, and what can be done to it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal};
use serde_json::Value;

use super::network::Port;
use crate::http;

/// Where nodes listen for each other.
const LINK_PORT: u16 = 7400;

/// Where faceplates listen.
const HTTP_PORT: u16 = 7480;

/// How long a node may take to say how it is. One that was stopped says nothing.
const ASK_TIMEOUT: Duration = Duration::from_millis(300);

/// What befalls a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`.
    Kill,
    /// SIGSTOP: it holds its connections and does nothing.
    Stop,
    /// No cable.
    Cut,
    /// What it sends is lost.
    Mute,
    /// A bad cable.
    Slow,
}

/// What a node is.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// Its roles, as in the configuration.
    pub roles: &'static str,
    /// The value of its label `rack`.
    pub rack: &'static str,
}

/// The build of Katamari that a node runs.
#[derive(Clone)]
pub struct Build {
    katamari: PathBuf,
    /// The greatest version of the link protocol that it is to speak; none: what it can.
    protocol: Option<u16>,
}

impl Build {
    /// The build of a program `katamari`.
    pub fn new(katamari: &Path) -> Self {
        Self {
            katamari: katamari.to_owned(),
            protocol: None,
        }
    }

    /// The same, held back at a version of the link protocol.
    pub fn held_back(self, protocol: u16) -> Self {
        Self {
            protocol: Some(protocol),
            ..self
        }
    }
}

/// A node.
pub struct Node {
    /// Its end of the network.
    pub port: Port,
    kind: Kind,
    folder: PathBuf,
    build: Build,
    child: Option<Child>,
    struck: Option<Fault>,
}

impl Node {
    /// Writes the configuration; nothing is started.
    pub fn new(kind: Kind, port: Port, parent: &Path, build: &Build) -> Result<Self> {
        let folder = parent.join(kind.name);
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut node = Self {
            port,
            kind,
            folder,
            build: build.clone(),
            child: None,
            struck: None,
        };
        node.take(build)?;
        Ok(node)
    }

    /// Takes another build from its next start on.
    pub fn take(&mut self, build: &Build) -> Result<()> {
        self.build = build.clone();
        let address = self.port.address;
        let protocol = build
            .protocol
            .map(|version| format!("protocol = {version}\n"));
        let text = format!(
            "[node]\nname = \"{}\"\nlisten = \"{address}:{LINK_PORT}\"\nroles = [{}]\n\
             labels = {{ rack = \"{}\" }}\nstate = \"state\"\ncontrol = \"control\"\n{}\n\
             [faceplate.http]\nlisten = \"{}\"\naccess = \"open\"\n\
             accept_risk = \"anyone who reaches this port can call\"\n",
            self.kind.name,
            self.kind.roles,
            self.kind.rack,
            protocol.unwrap_or_default(),
            self.http(),
        );
        fs::write(self.folder.join("katamari.toml"), text).context("cannot write a file")
    }

    /// The program `katamari` that it runs.
    pub fn katamari(&self) -> &Path {
        &self.build.katamari
    }

    /// Where its faceplate listens, if it has one.
    pub fn http(&self) -> SocketAddr {
        SocketAddr::from((self.port.address, HTTP_PORT))
    }

    /// Where other nodes reach it.
    pub fn link(&self) -> SocketAddr {
        SocketAddr::from((self.port.address, LINK_PORT))
    }

    /// Its control socket.
    pub fn control(&self) -> PathBuf {
        self.folder.join("control")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// What befell it.
    pub fn struck(&self) -> Option<Fault> {
        self.struck
    }

    /// Runs a command of `katamari` in the namespace, to its end.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = self
            .command(arguments)
            .output()
            .context("cannot start ip")?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!("katamari {}: {}", arguments.join(" "), stderr.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts `katamari` with these arguments, as the node.
    pub fn start(&mut self, arguments: &[&str]) -> Result<()> {
        let log = self.folder.join("log");
        let log = OpenOptions::new().create(true).append(true).open(log);
        let log: File = log.context("cannot write a log")?;
        let mut command = self.command(arguments);
        command.stdout(log.try_clone()?).stderr(log);
        self.child = Some(command.spawn().context("cannot start ip")?);
        Ok(())
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        let ended = self.child.as_mut().map(Child::try_wait);
        matches!(ended, Some(Ok(Some(_))))
    }

    /// Lets a fault befall it. Says how it was slowed, if it was.
    pub fn strike(&mut self, fault: Fault) -> Result<Option<&'static str>> {
        let mut how = None;
        match fault {
            Fault::Kill => {
                let mut child = self.child.take().context("it was killed before")?;
                child.kill().context("cannot kill a node")?;
                child.wait().context("cannot wait for a node")?;
            }
            Fault::Stop => self.signal(Signal::STOP)?,
            Fault::Cut => self.port.cut()?,
            Fault::Mute => self.port.mute()?,
            Fault::Slow => how = self.port.slow(),
        }
        self.struck = Some(fault);
        Ok(how)
    }

    /// Stops it as an operator does, and waits until it has ended.
    pub fn terminate(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let mut child = self.child.take().context("it was killed before")?;
        let status = child.wait().context("cannot wait for a node")?;
        ensure!(status.success(), "{} ended with {status}", self.kind.name);
        Ok(())
    }

    /// Forgets a fault that did not come about.
    pub fn spare(&mut self) {
        self.struck = None;
    }

    /// Ends what befell it.
    pub fn heal(&mut self) -> Result<()> {
        match self.struck.take() {
            None => Ok(()),
            Some(Fault::Kill) => self.start(&["up"]),
            Some(Fault::Stop) => self.signal(Signal::CONT),
            Some(Fault::Cut) => self.port.mend(),
            Some(Fault::Mute) => self.port.unmute(),
            Some(Fault::Slow) => self.port.unslow(),
        }
    }

    /// Asks over the control socket.
    pub fn ask(&self, method: &str, path: &str) -> Result<Value> {
        let mut socket = UnixStream::connect(self.control()).context("no control socket")?;
        socket.set_read_timeout(Some(ASK_TIMEOUT))?;
        socket.set_write_timeout(Some(ASK_TIMEOUT))?;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-length: 0\r\n\r\n"
        );
        socket.write_all(request.as_bytes())?;
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes)?;
        match http::parse(&bytes, true) {
            Ok(Some(response)) if response.status == 200 => {
                serde_json::from_slice(&response.body).context("expected JSON")
            }
            _ => bail!("unexpected answer: {}", String::from_utf8_lossy(&bytes)),
        }
    }

    /// The last process is reaped; whoever made it has killed it.
    pub fn bury(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().context("it was killed before")?;
        rustix::process::kill_process(Pid::from_child(child), signal).context("no such process")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "ip", "netns", "exec"])
            .arg(&self.port.namespace)
            .arg(&self.build.katamari)
            .args(arguments)
            .current_dir(&self.folder)
            .stdin(Stdio::null());
        command
    }
}
