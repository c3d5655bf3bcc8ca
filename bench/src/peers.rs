//! How each server is set up: with the settings that its own documentation recommends for
//! production, the same number of worker processes, one call at a time in each, and no log line per
//! request.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::server::{Address, Launch};

/// A backlog that no run fills, for servers that are not asked to bound their queue.
const BACKLOG_LARGE: usize = 1024;

/// The servers that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// Katamari.
    Katamari,
    /// uWSGI with its HTTP router, which keeps connections alive.
    Uwsgi,
    /// uWSGI whose workers accept connections themselves: one connection a call.
    UwsgiSocket,
    /// gunicorn with sync workers: one connection a call.
    Gunicorn,
    /// mosec.
    Mosec,
    /// haproxy with `maxconn 1` for each of several gunicorns of one worker.
    Haproxy,
    /// granian, whose workers run the handler inside the server.
    Granian,
}

/// What a scenario asks of a server. A server that has no such setting goes without it.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The function that is called.
    pub function: &'static str,
    /// Katamari's configuration: a file of `bench/katamari`, without the ending.
    pub katamari: &'static str,
    /// The WSGI application, as `MODULE:NAME`, if not the one around the functions.
    pub application: Option<&'static str>,
    /// Threads in each worker, which gunicorn needs to keep connections.
    pub threads: Option<usize>,
    /// Worker processes.
    pub workers: usize,
    /// Standby workers that Katamari's configuration adds.
    pub spare: usize,
    /// How many calls may wait.
    pub queue_max: Option<usize>,
    /// How long a call may run.
    pub timeout: Option<Duration>,
    /// How much memory a worker may use, in MiB.
    pub memory_max_mib: Option<usize>,
    /// The calls may be tried again when a worker dies.
    pub idempotent: bool,
}

impl Setup {
    fn application(&self) -> &'static str {
        self.application.unwrap_or("wsgi:application")
    }
}

/// Where things are.
#[derive(Clone, Debug)]
pub struct Places {
    /// The folder `bench` of the source tree.
    pub bench: PathBuf,
    /// The program `katamari`.
    pub katamari: PathBuf,
}

impl Places {
    /// The Python that runs every handler.
    pub fn python(&self) -> PathBuf {
        self.bench.join(".venv/bin/python")
    }

    /// The handlers.
    pub fn handlers(&self) -> PathBuf {
        self.bench.join("handlers")
    }

    /// The Python chassis.
    pub fn chassis(&self) -> PathBuf {
        self.bench.join("../chassis/python")
    }

    /// The Rust worker that gives back its argument, built beside `katamari`.
    pub fn echo_worker(&self) -> PathBuf {
        self.katamari.with_file_name("examples/echo")
    }

    /// `katamari up` with a file of `bench/katamari`, named without the ending.
    pub fn katamari_up(&self, file: &str, ready_file: &Path) -> Result<Command> {
        let program = &self.katamari;
        ensure!(
            program.exists(),
            "{} is missing; build it or give --katamari",
            program.display()
        );
        let mut command = Command::new(program);
        command
            .arg("up")
            .arg(self.bench.join(format!("katamari/{file}.toml")))
            .arg("--ready-file")
            .arg(ready_file);
        Ok(command)
    }

    /// A program of the environment in which the peers are installed.
    fn program(&self, name: &str) -> Result<Command> {
        let path = self.bench.join(".venv/bin").join(name);
        ensure!(
            path.exists(),
            "{} is missing; run bench/setup.sh",
            path.display()
        );
        let mut command = Command::new(path);
        command.current_dir(self.handlers());
        Ok(command)
    }
}

impl Peer {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Katamari => "Katamari",
            Self::Uwsgi => "uWSGI",
            Self::UwsgiSocket => "uWSGI, no router",
            Self::Gunicorn => "gunicorn",
            Self::Mosec => "mosec",
            Self::Haproxy => "haproxy + gunicorn",
            Self::Granian => "granian",
        }
    }

    /// Prepares a fresh server.
    pub fn launch(self, setup: &Setup, places: &Places) -> Result<Launch> {
        let folder = tempfile::Builder::new()
            .prefix("katamari-bench-")
            .tempdir()?;
        let address = free_address()?;
        let mut launch = Launch {
            commands: Vec::new(),
            address: Address::Fixed(address),
            keep_alive: true,
            headers: Vec::new(),
            folder,
        };
        let into = launch.folder.path();
        launch.commands = match self {
            Self::Katamari => {
                let ready_file = into.join("ready");
                let command = katamari(setup, places, &ready_file)?;
                launch.address = Address::InFile(ready_file);
                if setup.idempotent {
                    launch.headers.push("katamari-idempotent: true".to_owned());
                }
                vec![command]
            }
            Self::Uwsgi => vec![uwsgi_with_router(setup, places, address)?],
            Self::UwsgiSocket => {
                launch.keep_alive = false;
                vec![uwsgi(setup, places, "--http-socket", address)?]
            }
            Self::Gunicorn => {
                launch.keep_alive = setup.threads.is_some();
                vec![gunicorn(
                    setup,
                    places,
                    &address.to_string(),
                    setup.workers,
                )?]
            }
            Self::Mosec => vec![mosec(setup, places, into, address)?],
            Self::Haproxy => haproxy(setup, places, into, address)?,
            Self::Granian => vec![granian(setup, places, address)?],
        };
        Ok(launch)
    }
}

/// A port that was free a moment ago. Servers that cannot choose their own must be told one.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    listener
        .local_addr()
        .context("a listener without an address")
}

fn katamari(setup: &Setup, places: &Places, ready_file: &Path) -> Result<Command> {
    let mut command = places.katamari_up(setup.katamari, ready_file)?;
    command
        .env("BENCH_PYTHON", places.python())
        .env("BENCH_HANDLERS", places.handlers())
        .env("BENCH_CHASSIS", places.chassis());
    Ok(command)
}

/// The router holds the clients' connections and hands calls to workers over an internal socket;
/// this is how uWSGI faces clients without another web server before it.
fn uwsgi_with_router(setup: &Setup, places: &Places, address: SocketAddr) -> Result<Command> {
    let mut command = uwsgi(setup, places, "--http", address)?;
    command.arg("--http-keepalive=60");
    Ok(command)
}

fn uwsgi(setup: &Setup, places: &Places, face: &str, address: SocketAddr) -> Result<Command> {
    let mut command = places.program("uwsgi")?;
    command
        .args([
            "--master",
            "--need-app",
            "--lazy-apps",
            "--single-interpreter",
            "--die-on-term",
        ])
        .args(["--disable-logging", "--module", setup.application()])
        .args(["--processes", &setup.workers.to_string()])
        .args([
            "--listen",
            &setup.queue_max.unwrap_or(BACKLOG_LARGE).to_string(),
        ])
        .args([face, &address.to_string()]);
    if let Some(timeout) = setup.timeout {
        command.args(["--harakiri", &timeout.as_secs().to_string()]);
    }
    if let Some(limit) = setup.memory_max_mib {
        // Without the others it would let a worker grow for its first minute, and hold back workers
        // that it has to start often.
        let limit = limit.to_string();
        command.args(["--reload-on-rss", &limit, "--min-worker-lifetime", "0"]);
        command.args(["--forkbomb-delay", "0"]);
    }
    Ok(command)
}

fn gunicorn(setup: &Setup, places: &Places, bind: &str, workers: usize) -> Result<Command> {
    let mut command = places.program("gunicorn")?;
    command
        .args(["--log-level", "warning", "--no-control-socket"])
        .args(["--workers", &workers.to_string(), "--bind", bind]);
    if let Some(threads) = setup.threads {
        command.args(["--worker-class", "gthread", "--keep-alive", "60"]);
        command.args(["--threads", &threads.to_string()]);
    } else {
        command.args(["--worker-class", "sync"]);
    }
    if let Some(queue_max) = setup.queue_max {
        command.args(["--backlog", &queue_max.to_string()]);
    }
    if let Some(timeout) = setup.timeout {
        command.args(["--timeout", &timeout.as_secs().to_string()]);
    }
    if let Some(limit) = setup.memory_max_mib {
        // It has no limit of memory; what is used in its place is one of calls. A worker begins
        // with 25 MiB and this handler loses one a call.
        let calls = limit - 50;
        command.args([
            "--max-requests",
            &calls.to_string(),
            "--max-requests-jitter",
            "20",
        ]);
    }
    command.arg(setup.application());
    Ok(command)
}

fn mosec(setup: &Setup, places: &Places, folder: &Path, address: SocketAddr) -> Result<Command> {
    let mut command = places.program("python")?;
    command
        .arg("mosec_server.py")
        .env("BENCH_FUNCTION", setup.function)
        .env("BENCH_WORKERS", setup.workers.to_string())
        .args([
            "--address",
            &address.ip().to_string(),
            "--port",
            &address.port().to_string(),
        ])
        .arg("--path")
        .arg(folder.join("mosec"))
        .args(["--log-level", "error"]);
    if let Some(queue_max) = setup.queue_max {
        command.args(["--capacity", &queue_max.to_string()]);
    }
    if let Some(timeout) = setup.timeout {
        // The first limits the call, the second the worker's share of it.
        command
            .args(["--timeout", &timeout.as_millis().to_string()])
            .env("BENCH_TIMEOUT_S", timeout.as_secs().to_string());
    }
    Ok(command)
}

/// Each worker is a gunicorn of its own, so that haproxy's `maxconn 1` is one call at a time;
/// haproxy queues the rest. It gets one thread; on two cores a second one made it slower.
fn haproxy(
    setup: &Setup,
    places: &Places,
    folder: &Path,
    address: SocketAddr,
) -> Result<Vec<Command>> {
    let mut configuration = String::from(
        "global\n\
         \x20   maxconn 4000\n\
         \x20   nbthread 1\n\
         defaults\n\
         \x20   mode http\n\
         \x20   option http-keep-alive\n\
         \x20   timeout connect 5s\n\
         \x20   timeout client 60s\n\
         \x20   timeout queue 30s\n",
    );
    let timeout_ms = setup.timeout.unwrap_or(Duration::from_secs(30)).as_millis();
    configuration += &format!("    timeout server {timeout_ms}ms\n");
    configuration += &format!("frontend calls\n    bind {address}\n");
    if let Some(queue_max) = setup.queue_max {
        configuration += &format!(
            "    http-request deny deny_status 503 if {{ queue(workers) ge {queue_max} }}\n"
        );
    }
    configuration += "    default_backend workers\nbackend workers\n    balance leastconn\n";
    if setup.idempotent {
        configuration += "    option redispatch 1\n    retries 3\n    \
                          retry-on conn-failure empty-response response-timeout\n";
    }
    let mut commands = Vec::new();
    // How many calls may wait is haproxy's business, not that of the single workers.
    let worker = Setup {
        queue_max: None,
        ..setup.clone()
    };
    for number in 1..=setup.workers {
        let socket = folder.join(format!("worker-{number}"));
        let socket = socket
            .to_str()
            .context("the temporary folder is not UTF-8")?;
        configuration += &format!("    server worker{number} unix@{socket} maxconn 1\n");
        commands.push(gunicorn(&worker, places, &format!("unix:{socket}"), 1)?);
    }
    let file = folder.join("haproxy.cfg");
    fs::write(&file, configuration).context("cannot write haproxy's configuration")?;
    let mut command = Command::new("haproxy");
    command.args(["-db", "-f"]).arg(file);
    commands.push(command);
    Ok(commands)
}

/// One thread for the handler in each process: the functions stand for single-threaded code.
fn granian(setup: &Setup, places: &Places, address: SocketAddr) -> Result<Command> {
    let mut command = places.program("granian")?;
    command
        .args(["--interface", "wsgi", "--http", "1", "--no-ws", "--no-log"])
        .args([
            "--host",
            &address.ip().to_string(),
            "--port",
            &address.port().to_string(),
        ])
        .args([
            "--workers",
            &setup.workers.to_string(),
            "--blocking-threads",
            "1",
        ])
        .args(["--respawn-failed-workers", "--respawn-interval", "0.1"]);
    if let Some(queue_max) = setup.queue_max {
        let each = queue_max.div_ceil(setup.workers);
        command.args(["--backlog", "128", "--backpressure", &each.to_string()]);
    }
    if let Some(limit) = setup.memory_max_mib {
        command.args([
            "--workers-max-rss",
            &limit.to_string(),
            "--rss-sample-interval",
            "1",
        ]);
    }
    command.arg(setup.application());
    Ok(command)
}
