//! One server under test: started fresh for a run, waited for, and stopped with all it started.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;

use crate::http::{self, Request};
use crate::load::{self, Until};
use crate::processes;

/// How long a server may take until it answers.
const START_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a server may take to stop when asked; then it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Lines of a server's output that are shown when it does not start.
const LOG_LINES_SHOWN: usize = 15;

/// Load before a run is measured, so that no server is measured while it wakes up.
const WARM_UP: Duration = Duration::from_millis(700);

/// Where a server will listen.
pub enum Address {
    /// It was told so.
    Fixed(SocketAddr),
    /// It chooses ports and writes them to this file, as `{"FACEPLATE": "HOST:PORT", ...}`.
    InFile(PathBuf),
}

/// All that is needed to start a server.
pub struct Launch {
    /// The processes to start, in order.
    pub commands: Vec<Command>,
    /// Where it will listen.
    pub address: Address,
    /// Whether a connection serves more than one call.
    pub keep_alive: bool,
    /// Header lines that the calls carry.
    pub headers: Vec<String>,
    /// Configuration and sockets; removed when the server has stopped.
    pub folder: TempDir,
}

/// A server that runs.
pub struct Server {
    children: Vec<Child>,
    address: SocketAddr,
    path: String,
    keep_alive: bool,
    headers: Vec<String>,
    /// Held so that configuration and sockets stay as long as the server.
    _folder: TempDir,
}

impl Server {
    /// Starts a server and waits until it has `workers` workers, answers calls of `function`, and
    /// is warm.
    pub fn start(launch: Launch, function: &str, workers: usize) -> Result<Self> {
        Self::prepare(launch, function, |server, address| {
            server.wait_until_ready(address, workers)
        })
    }

    /// Starts a server and waits until `answers` has worked on the address of its `faceplate`,
    /// which is given back as well.
    pub fn begin(
        launch: Launch,
        faceplate: &str,
        answers: impl Fn(SocketAddr) -> Result<()>,
    ) -> Result<(Self, SocketAddr)> {
        let server = Self::prepare(launch, "", |server, address| {
            let deadline = Instant::now() + START_TIMEOUT;
            server.address = find(address, faceplate, deadline)?;
            wait_until(deadline, || answers(server.address))
        })?;
        let address = server.address;
        Ok((server, address))
    }

    fn prepare(
        launch: Launch,
        function: &str,
        wait: impl FnOnce(&mut Self, &Address) -> Result<()>,
    ) -> Result<Self> {
        let log = launch.folder.path().join("log");
        let mut server = Self {
            children: Vec::new(),
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            path: format!("/call/bench/{function}"),
            keep_alive: launch.keep_alive,
            headers: launch.headers,
            _folder: launch.folder,
        };
        let ready = server
            .spawn(launch.commands, &log)
            .and_then(|()| wait(&mut server, &launch.address));
        match ready {
            Ok(()) => Ok(server),
            Err(error) => Err(error.context(format!("its last lines were:\n{}", tail(&log)))),
        }
    }

    /// The process that was started last: what takes the calls.
    pub fn process(&self) -> Pid {
        let last = self.children.last().expect("a server has a process");
        Pid::from_child(last)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A call of the function under test; `more` adds arguments (see [`Request::new`]).
    pub fn request(&self, more: &str) -> Request {
        Request::new(
            self.address,
            &self.path,
            &self.headers,
            more,
            !self.keep_alive,
        )
    }

    /// Stops the server and everything it started.
    pub fn stop(mut self) -> Result<()> {
        self.end()
    }

    fn spawn(&mut self, commands: Vec<Command>, log: &Path) -> Result<()> {
        let log = File::create(log).context("cannot write a log")?;
        for command in commands {
            let name = command.get_program().to_string_lossy().into_owned();
            let child = ending_with_us(&command)
                .stdin(Stdio::null())
                .stdout(log.try_clone()?)
                .stderr(log.try_clone()?)
                .spawn();
            self.children
                .push(child.with_context(|| format!("cannot start {name}"))?);
        }
        Ok(())
    }

    fn wait_until_ready(&mut self, address: &Address, workers: usize) -> Result<()> {
        let deadline = Instant::now() + START_TIMEOUT;
        self.address = find(address, "http", deadline)?;
        wait_until(deadline, || answers(self))?;
        wait_until(deadline, || match processes::workers().len() {
            count if count < workers => bail!("{count} of {workers} workers are there"),
            _ => Ok(()),
        })?;
        let connections = u64::try_from(workers).expect("a small number");
        let until = Until::Time(WARM_UP);
        load::closed(self.address, self.request(""), connections, until)?;
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        for child in self.children.iter().rev() {
            let pid = Pid::from_child(child);
            // It may have ended already; then there is nobody to ask.
            let _ = rustix::process::kill_process(pid, Signal::TERM);
        }
        let end = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < end && !self.has_ended()? {
            crate::pause();
        }
        processes::kill_descendants();
        for mut child in self.children.drain(..) {
            child.wait().context("cannot wait for a server")?;
        }
        processes::bury_orphans();
        Ok(())
    }

    fn has_ended(&mut self) -> Result<bool> {
        let mut all = true;
        for child in &mut self.children {
            all &= child
                .try_wait()
                .context("cannot ask for a server")?
                .is_some();
        }
        Ok(all)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.children.is_empty() {
            // On the way out of an error there is another one to report.
            let _ = self.end();
        }
    }
}

/// The same command, told to end when the bench dies, however that happens.
pub fn ending_with_us(command: &Command) -> Command {
    let mut wrapped = Command::new("setpriv");
    wrapped
        .args(["--pdeathsig", "TERM"])
        .arg(command.get_program())
        .args(command.get_args())
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped
}

/// Tries again until it works or the deadline has come.
fn wait_until<T>(deadline: Instant, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    loop {
        match attempt() {
            Ok(found) => return Ok(found),
            Err(error) if Instant::now() > deadline => {
                return Err(error.context(format!("not ready after {START_TIMEOUT:?}")));
            }
            Err(_) => crate::pause(),
        }
    }
}

/// Where a faceplate listens, once that is known.
fn find(address: &Address, faceplate: &str, deadline: Instant) -> Result<SocketAddr> {
    match address {
        Address::Fixed(address) => Ok(*address),
        Address::InFile(file) => wait_until(deadline, || read_address(file, faceplate)),
    }
}

fn read_address(file: &Path, faceplate: &str) -> Result<SocketAddr> {
    let text = fs::read_to_string(file).context("no ready file")?;
    let ready: Value = serde_json::from_str(&text).context("the ready file is not as expected")?;
    let address = ready[faceplate].as_str();
    let address = address.with_context(|| format!("the ready file has no {faceplate}"))?;
    address.parse().context("the ready file is not as expected")
}

fn answers(server: &Server) -> Result<()> {
    let timeout = Some(Duration::from_secs(1));
    let mut socket = TcpStream::connect(server.address)?;
    socket.set_read_timeout(timeout)?;
    let mut request = Request::new(server.address, &server.path, &server.headers, "", true);
    socket.write_all(request.numbered(1))?;
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes)?;
    match http::parse(&bytes, true) {
        Ok(Some(response)) if http::is_answer_to(&response.body, 1) => Ok(()),
        _ => bail!("unexpected answer: {}", String::from_utf8_lossy(&bytes)),
    }
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
}
