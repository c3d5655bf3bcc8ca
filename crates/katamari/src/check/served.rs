//! Programs of dialect `http`: started at an address of their own, asked, and told to end.
//!
//! The address is given as a node gives it: `{socket}` in the command is the path of a socket, and
//! without it there is a free port, as `{port}` and as `PORT`.

use super::case::{Case, cases};
use super::launch::{Bench, Launched, PATIENCE};
use super::verdict::{Trouble, Verdict, expect, unexpected};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::handshake;
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use manager::dialect::{Manners, exec};
use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};

/// How often a program that starts is asked whether it is up.
const PROBE_EVERY: Duration = Duration::from_millis(50);

/// Bytes of a response, as much as a call may answer.
const RESPONSE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// In place of a path: a connection is health enough.
const CONNECT: &str = "connect";

/// A path that nobody serves.
const NO_PATH: &str = "/there-is-no-such-path?a=1";

/// Requests one after the other.
const ROW: usize = 10;

/// It is started as a command is: what it hears and says goes another way.
const MANNERS: Manners = Manners {
    cancels_at_once: false,
    protocol: "http",
    ..exec::MANNERS
};

/// Without this there is nothing more to see.
pub const HEALTH: &[Case] = cases! {
    health => "serves at the address that it is given, and is well",
};

/// What else every program must do.
pub const CASES: &[Case] = cases! {
    row => "answers ten requests one after the other",
    unknown_path => "answers a path that it does not know with a status below 500",
    second_process => "runs beside another process of itself, each at an address of its own",
    own_address => "can be reached at its own address alone",
    terminate => "ends at SIGTERM",
};

enum Address {
    Tcp(SocketAddr),
    /// The socket, and the folder that goes with it.
    Unix(TempDir),
}

const SOCKET: &str = "http";

/// A started program.
struct Served {
    launched: Launched,
    address: Address,
}

impl Served {
    /// Starts a program and waits until it is well.
    async fn start(bench: &Bench) -> Verdict<Self> {
        let mut served = Self::launch(bench)?;
        let until = Instant::now() + bench.start_max;
        loop {
            let why = match served.probe(&bench.asked).await {
                Ok(()) => return Ok(served),
                Err(why) => why,
            };
            let expected = format!("an answer to {}", shown_health(&bench.asked));
            if let Some(end) = served.launched.end_within(PROBE_EVERY).await {
                return unexpected(expected, format_args!("{end}"));
            }
            if Instant::now() > until {
                let waited = bench.start_max;
                return unexpected(expected, format_args!("after {waited:?} still: {why}"));
            }
        }
    }

    fn launch(bench: &Bench) -> Verdict<Self> {
        let failed = |error: std::io::Error| {
            Trouble::Failed(format!("cannot find an address for it: {error}"))
        };
        let wants_socket = bench.command.iter().any(|it| it.contains("{socket}"));
        let (address, place, value, variable) = if wants_socket {
            let folder = tempfile::tempdir().map_err(failed)?;
            let path = folder.path().join(SOCKET).to_string_lossy().into_owned();
            (Address::Unix(folder), "{socket}", path, "KATAMARI_SOCKET")
        } else {
            // It is free when the listener is dropped; somebody may take it before the program.
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            let port = address.port().to_string();
            (Address::Tcp(address), "{port}", port, "PORT")
        };
        let mut environment = bench.environment.clone();
        environment.insert(variable.to_owned(), value.clone());
        let command = bench.command.iter().map(|it| it.replace(place, &value));
        let bench = Bench {
            command: command.collect(),
            environment,
            sentinel: bench.sentinel.clone(),
            stderr: bench.stderr.clone(),
            asked: bench.asked.clone(),
            ..*bench
        };
        let mut launched = bench.launch(MANNERS)?;
        launched.close_input();
        Ok(Self { launched, address })
    }

    /// Whether it is well. The error says why not.
    async fn probe(&self, health: &str) -> Result<(), String> {
        let path = (health != CONNECT).then_some(health);
        match self.ask(path).await? {
            Some(status) if status.is_server_error() => Err(format!("status {status}")),
            _ => Ok(()),
        }
    }

    /// Asks for a path, or connects alone. The status, if there is one.
    async fn ask(&self, path: Option<&str>) -> Result<Option<StatusCode>, String> {
        let asked = async {
            match &self.address {
                Address::Tcp(address) => {
                    let stream = TcpStream::connect(address).await.map_err(no_connection)?;
                    exchange(stream, path).await
                }
                Address::Unix(folder) => {
                    let stream = UnixStream::connect(folder.path().join(SOCKET)).await;
                    exchange(stream.map_err(no_connection)?, path).await
                }
            }
        };
        let late = |_| Err(format!("no answer within {PATIENCE:?}"));
        timeout(PATIENCE, asked).await.unwrap_or_else(late)
    }

    /// Asks for a path, which must be answered with a status below 500.
    async fn answer(&self, path: &str) -> Verdict {
        let expected = format!("an answer to GET {path} with a status below 500");
        match self.ask(Some(path)).await {
            Ok(Some(status)) => expect(!status.is_server_error(), expected, status),
            Ok(None) => unexpected(expected, "none"),
            Err(why) => unexpected(expected, why),
        }
    }
}

fn no_connection(error: impl Display) -> String {
    format!("no connection: {error}")
}

async fn exchange<S>(stream: S, path: Option<&str>) -> Result<Option<StatusCode>, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let Some(path) = path else {
        return Ok(None);
    };
    let broken = |error: hyper::Error| format!("no HTTP: {error}");
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
    // Its errors are those of the request as well.
    tokio::spawn(connection);
    let request = Request::get(path).header(HOST, "localhost");
    let request = request.body(Empty::<Bytes>::new());
    let request = request.map_err(|error| format!("not a path: {error}"))?;
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let body = Limited::new(response.into_body(), RESPONSE_BYTES_MAX);
    let body = body.collect().await;
    body.map_err(|error| format!("half a response: {error}"))?;
    Ok(Some(status))
}

fn shown_health(health: &str) -> String {
    match health {
        CONNECT => "a connection".to_owned(),
        path => format!("GET {path} with a status below 500"),
    }
}

/// The path to ask for where an answer must come.
fn path(bench: &Bench) -> &str {
    match bench.asked.as_str() {
        CONNECT => "/",
        path => path,
    }
}

async fn health(bench: &Bench) -> Verdict {
    Served::start(bench).await.map(drop)
}

async fn row(bench: &Bench) -> Verdict {
    let served = Served::start(bench).await?;
    for _ in 0..ROW {
        served.answer(path(bench)).await?;
    }
    Ok(())
}

async fn unknown_path(bench: &Bench) -> Verdict {
    let served = Served::start(bench).await?;
    served.answer(NO_PATH).await?;
    served.answer(path(bench)).await
}

async fn second_process(bench: &Bench) -> Verdict {
    let first = Served::start(bench).await?;
    let second = Served::start(bench).await?;
    first.answer(path(bench)).await?;
    second.answer(path(bench)).await
}

async fn own_address(bench: &Bench) -> Verdict {
    let served = Served::start(bench).await?;
    let Address::Tcp(address) = served.address else {
        return Err(Trouble::Skipped("it has a socket".to_owned()));
    };
    // All of 127.0.0.0/8 is this machine: who listens everywhere listens there as well.
    let elsewhere = SocketAddr::from(([127, 0, 0, 2], address.port()));
    let reached = timeout(PATIENCE, TcpStream::connect(elsewhere)).await;
    expect(
        !matches!(reached, Ok(Ok(_))),
        format_args!("a server at {address} alone"),
        "one that listens at every address of this machine",
    )
}

async fn terminate(bench: &Bench) -> Verdict {
    let mut served = Served::start(bench).await?;
    served.launched.terminate();
    served.launched.exit().await.map(drop)
}
