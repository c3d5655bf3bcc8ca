//! What stands between a worker and a program of dialect `http`: its address, its health, and a
//! connection for each call, kept for the next one.
//!
//! Each exchange is a task of its own. What it hears comes to the worker's inbox as [`Said`], so
//! that the worker deals with it as with frames on a pipe.

use super::port::{Inbox, Message};
use crate::dialect::http::{self, Body, FUNCTION, Health, Outgoing, ResponseHead};
use crate::dialect::{Manners, PAYLOAD_MAX, ToWorker};
use crate::program::{Process as Settings, User};
use bytes::{Bytes, BytesMut};
use dispatch::{BrokenInput, CREDIT, CallError, Code};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use term::Payload;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::Instant;

/// How often a program that starts is asked whether it is up.
const PROBE_EVERY: Duration = Duration::from_millis(50);

/// How long it may take to answer once: one that hangs while it loads is asked again.
const PROBE_MAX: Duration = Duration::from_secs(5);

/// A connection that was idle for longer is not used again: servers close theirs after a while, many
/// after two seconds, and what is sent in that moment is lost.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// Bytes of a response that are awaited, so that it goes out in one piece.
const WHOLE_MAX: u64 = 64 * 1024;

/// What an exchange tells the worker.
#[derive(Debug)]
pub(crate) enum Said {
    /// The program is well.
    Well,
    /// It is not, and why.
    Unwell(String),
    /// A piece of a streamed answer.
    Piece { id: u64, payload: Payload },
    /// The answer, or its end, and the connection if it can be used again.
    Done {
        id: u64,
        result: Result<Payload, CallError>,
        connection: Option<Connection>,
    },
    /// The connection broke before the answer was whole.
    Broke { id: u64, why: String },
}

/// Where a program serves.
#[derive(Debug, Clone)]
enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A connection to a program. Dropped, it is closed.
#[derive(Debug)]
pub(crate) struct Connection {
    sender: SendRequest<Body>,
    driver: AbortHandle,
    used: Instant,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

struct Exchange {
    task: JoinHandle<()>,
    credit: mpsc::UnboundedSender<usize>,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One program's HTTP side.
pub(crate) struct Http {
    settings: Arc<crate::dialect::Http>,
    address: Address,
    /// Holds the socket, and goes with it.
    _folder: Option<tempfile::TempDir>,
    inbox: Inbox,
    idle: Vec<Connection>,
    exchanges: BTreeMap<u64, Exchange>,
    probe: Option<JoinHandle<()>>,
    /// Why it was not well, when last asked.
    pub problem: Option<String>,
}

impl Drop for Http {
    fn drop(&mut self) {
        if let Some(probe) = &self.probe {
            probe.abort();
        }
    }
}

/// Gives a program an address: the settings to start it with, and the way to it.
pub(crate) fn prepare(
    http: &Arc<crate::dialect::Http>,
    settings: &Settings,
    inbox: Inbox,
) -> Result<(Settings, Http), String> {
    let wants_socket = settings
        .command
        .iter()
        .chain(settings.env.values())
        .any(|text| text.contains("{socket}"));
    let failed = |error: io::Error| format!("cannot find an address for it: {error}");
    let (address, folder) = if wants_socket {
        let folder = socket_folder(settings.user.as_ref()).map_err(failed)?;
        (Address::Unix(folder.path().join("http")), Some(folder))
    } else {
        (Address::Tcp(free_port().map_err(failed)?), None)
    };
    let (place, value, variable) = match &address {
        Address::Tcp(address) => ("{port}", address.port().to_string(), "PORT"),
        Address::Unix(path) => {
            let path = path.to_string_lossy().into_owned();
            ("{socket}", path, "KATAMARI_SOCKET")
        }
    };
    let mut settings = settings.clone();
    let texts = settings.command.iter_mut().chain(settings.env.values_mut());
    for text in texts {
        *text = text.replace(place, &value);
    }
    settings.env.entry(variable.to_owned()).or_insert(value);
    let mut http = Http {
        settings: http.clone(),
        address,
        _folder: folder,
        inbox,
        idle: Vec::new(),
        exchanges: BTreeMap::new(),
        probe: None,
        problem: None,
    };
    http.probe(true);
    Ok((settings, http))
}

/// A port that nobody listens on. Somebody else may take it first: then the program ends, and the
/// next one gets another.
fn free_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A folder that nobody but the program's user can look into.
fn socket_folder(user: Option<&User>) -> io::Result<tempfile::TempDir> {
    let folder = tempfile::Builder::new().prefix("katamari-").tempdir()?;
    if let Some(user) = user {
        std::os::unix::fs::chown(folder.path(), Some(user.uid), Some(user.gid))?;
    }
    Ok(folder)
}

impl Http {
    pub fn manners(&self) -> Manners {
        http::manners(self.settings.slots)
    }

    /// Does what a message asks for. The error is the answer to a call that cannot be made.
    pub fn say(&mut self, message: &ToWorker) -> Result<(), CallError> {
        match message {
            ToWorker::Call {
                id,
                call,
                function,
                timeout,
                payload,
                input,
                ..
            } => {
                let mut request = self.settings.request(function, payload, input.as_ref())?;
                let headers = request.headers_mut();
                let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
                headers.insert("katamari-timeout-ms", timeout_ms.into());
                if let Ok(call) = call.parse() {
                    headers.insert("katamari-id", call);
                }
                self.begin(*id, request, &**function == FUNCTION);
            }
            // One with a single slot keeps its connection, to see the end of the call.
            ToWorker::Cancel { id, .. } if self.settings.slots > 1 => {
                self.exchanges.remove(id);
            }
            ToWorker::Flow { id, bytes } => {
                if let Some(exchange) = self.exchanges.get(id) {
                    // One that has ended needs no credit.
                    let _ = exchange.credit.send(*bytes);
                }
            }
            ToWorker::Ping => self.probe(false),
            // Many servers wait for their connections before they end.
            ToWorker::Quit => self.idle.clear(),
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, id: u64, request: Outgoing, streams: bool) {
        self.idle
            .retain(|connection| connection.used.elapsed() < IDLE_MAX);
        let (credit, flow) = mpsc::unbounded_channel();
        let way = Way {
            id,
            inbox: self.inbox.clone(),
            address: self.address.clone(),
            flow,
            credit: i64::try_from(CREDIT).expect("the credit is small"),
        };
        let connection = self.idle.pop();
        let task = tokio::spawn(way.run(request, connection, streams));
        self.exchanges.insert(id, Exchange { task, credit });
    }

    /// An exchange has ended; its connection may be used again.
    pub fn ended(&mut self, id: u64, connection: Option<Connection>) {
        self.exchanges.remove(&id);
        self.idle.extend(connection);
    }

    /// Asks whether the program is well, if need be until it is.
    fn probe(&mut self, until_well: bool) {
        let (address, health) = (self.address.clone(), self.settings.health.clone());
        let inbox = self.inbox.clone();
        let probe = tokio::spawn(async move {
            let mut last = None;
            loop {
                let asked = tokio::time::timeout(PROBE_MAX, ask(&address, &health)).await;
                let answer = asked.unwrap_or_else(|_| Err(format!("no answer in {PROBE_MAX:?}")));
                let said = match answer {
                    Ok(()) => Said::Well,
                    Err(why) if last.as_ref() == Some(&why) => {
                        tokio::time::sleep(PROBE_EVERY).await;
                        continue;
                    }
                    Err(why) => {
                        last = Some(why.clone());
                        Said::Unwell(why)
                    }
                };
                let is_well = matches!(said, Said::Well);
                // Without its worker nobody wants to know.
                let is_over = inbox.send(Message::Http(said)).is_err();
                if is_over || is_well || !until_well {
                    return;
                }
                tokio::time::sleep(PROBE_EVERY).await;
            }
        });
        if let Some(before) = self.probe.replace(probe) {
            before.abort();
        }
    }

    /// Waits for exchanges that the program's end has ended, so that no answer is lost that it gave
    /// before.
    pub async fn settle(&mut self, at_most: Duration) {
        let all = async {
            for exchange in self.exchanges.values_mut() {
                // A task that panicked has nothing more to say.
                let _ = (&mut exchange.task).await;
            }
        };
        // What takes longer does not come from the program that has ended.
        let _ = tokio::time::timeout(at_most, all).await;
    }
}

async fn connect(address: &Address) -> Result<Connection, String> {
    let failed = |error: io::Error| format!("cannot connect to it: {error}");
    let broken = |error: hyper::Error| format!("cannot speak HTTP to it: {error}");
    let (sender, driver) = match address {
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await.map_err(failed)?;
            stream.set_nodelay(true).map_err(failed)?;
            let (sender, driver) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
            (sender, tokio::spawn(async move { drop(driver.await) }))
        }
        Address::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(failed)?;
            let (sender, driver) = handshake(TokioIo::new(stream)).await.map_err(broken)?;
            (sender, tokio::spawn(async move { drop(driver.await) }))
        }
    };
    Ok(Connection {
        sender,
        driver: driver.abort_handle(),
        used: Instant::now(),
    })
}

/// Whether a program is well.
async fn ask(address: &Address, health: &Health) -> Result<(), String> {
    let mut connection = connect(address).await?;
    let Health::Get(path) = health else {
        return Ok(());
    };
    let request = hyper::Request::get(path)
        .header("host", "localhost")
        .header("connection", "close")
        .body(Body::new(Bytes::new()))
        .map_err(|error| error.to_string())?;
    let response = connection.sender.send_request(request).await;
    let status = response
        .map_err(|error| format!("GET {path}: {error}"))?
        .status();
    if status.as_u16() < 500 {
        Ok(())
    } else {
        Err(format!("GET {path} was answered with {status}"))
    }
}

/// One exchange on its way.
struct Way {
    id: u64,
    inbox: Inbox,
    address: Address,
    flow: mpsc::UnboundedReceiver<usize>,
    credit: i64,
}

/// How an exchange ends that does not break.
type Outcome = (Result<Payload, CallError>, bool);

impl Way {
    async fn run(mut self, request: Outgoing, connection: Option<Connection>, streams: bool) {
        let id = self.id;
        let broke = request.body().broke();
        let said = match self.exchange(request, connection, streams).await {
            Ok(((result, whole), mut connection)) => {
                // Ready again, if both sides are to keep it. What answers before it has read all of
                // its input is not.
                let is_through = whole && broke.is_none();
                let kept = is_through && connection.sender.ready().await.is_ok();
                connection.used = Instant::now();
                let connection = kept.then_some(connection);
                Said::Done {
                    id,
                    result,
                    connection,
                }
            }
            // It was the client's end that broke.
            Err(_) if broke.is_some_and(|broke| broke.load(Ordering::Relaxed)) => Said::Done {
                id,
                result: Err(CallError::new(Code::Cancelled, BrokenInput.to_string())),
                connection: None,
            },
            Err(why) => Said::Broke { id, why },
        };
        self.tell(said);
    }

    /// A worker that is gone need not be told.
    fn tell(&self, said: Said) {
        let _ = self.inbox.send(Message::Http(said));
    }

    async fn exchange(
        &mut self,
        request: Outgoing,
        connection: Option<Connection>,
        streams: bool,
    ) -> Result<(Outcome, Connection), String> {
        let lost = |error: hyper::Error| format!("the connection broke: {error}");
        let mut request = Some(request);
        let mut sent = None;
        if let Some(mut connection) = connection {
            let first = request.take().expect("it was put there above");
            match connection.sender.try_send_request(first).await {
                Ok(response) => sent = Some((response, connection)),
                Err(mut error) => match error.take_message() {
                    // Closed meanwhile; no byte of it was written.
                    Some(unsent) => request = Some(unsent),
                    None => return Err(lost(error.into_error())),
                },
            }
        }
        let (response, connection) = match (sent, request) {
            (None, Some(request)) => {
                let mut connection = connect(&self.address).await?;
                let response = connection.sender.send_request(request).await;
                (response.map_err(lost)?, connection)
            }
            (sent, _) => sent.expect("a request that is gone was sent"),
        };
        let outcome = if streams {
            self.stream(response).await
        } else {
            collect(response).await
        };
        Ok((outcome.map_err(lost)?, connection))
    }

    /// Passes a whole response on: the head in the first piece, and the body as it comes.
    async fn stream(
        &mut self,
        response: hyper::Response<Incoming>,
    ) -> Result<Outcome, hyper::Error> {
        let packed = |bytes| Payload::new(http::CONTENT_TYPE, bytes);
        let head = ResponseHead {
            status: response.status().as_u16(),
            headers: http::end_to_end(response.headers()),
        };
        let mut body = response.into_body();
        if body
            .size_hint()
            .exact()
            .is_some_and(|bytes| bytes <= WHOLE_MAX)
        {
            let body = body.collect().await?.to_bytes();
            return Ok((Ok(packed(http::pack(&head, &body))), true));
        }
        self.piece(packed(http::pack(&head, b""))).await;
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                self.piece(packed(data)).await;
            }
        }
        Ok((Ok(packed(Bytes::new())), true))
    }

    /// Sends a piece once there is credit.
    async fn piece(&mut self, payload: Payload) {
        while self.credit <= 0 {
            match self.flow.recv().await {
                Some(bytes) => self.credit += i64::try_from(bytes).unwrap_or(i64::MAX),
                // The worker has let go of this exchange, and is about to end it.
                None => std::future::pending().await,
            }
        }
        self.credit -= i64::try_from(payload.size()).unwrap_or(i64::MAX);
        let id = self.id;
        self.tell(Said::Piece { id, payload });
    }
}

/// The result of a configured function.
async fn collect(response: hyper::Response<Incoming>) -> Result<Outcome, hyper::Error> {
    let (head, mut body) = response.into_parts();
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if bytes.len() + data.len() > PAYLOAD_MAX {
                return Ok((Err(http::too_large()), false));
            }
            bytes.extend_from_slice(&data);
        }
    }
    let result = http::result(head.status, &head.headers, bytes.freeze());
    Ok((result, true))
}
