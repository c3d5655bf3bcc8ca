//! `GET /rpc` with an upgrade: JSON-RPC over a WebSocket (RFC 6455). Each message is a request or a
//! batch; requests run side by side, and are answered as they are done.

use super::body::Body;
use super::inlet::Inlet;
use super::problem::Problem;
use crate::access::bearer;
use crate::desk::Desk;
use crate::jsonrpc::{CALLS_MAX, Session};
use crate::limits::{UNREAD_MAX, WRITE_BYTES};
use crate::server::{Closing, Ending};
use bytes::Bytes;
use dispatch::Code;
use futures_util::stream::FuturesUnordered;
use futures_util::{SinkExt, StreamExt};
use http::header::{
    AUTHORIZATION, CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode, request::Parts};
use hyper::upgrade::{OnUpgrade, Upgraded};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes as Payload, Message};

/// The one version there is.
const VERSION: &str = "13";

/// What a client may call the protocol inside.
const PROTOCOL: &str = "jsonrpc";

/// The place where a request leaves the connection that it upgrades, for whoever serves that.
#[derive(Debug, Default)]
pub(crate) struct Upgrade(Mutex<Option<Pending>>);

/// An upgrade that was promised to a client.
#[derive(Debug)]
struct Pending {
    connection: OnUpgrade,
    secret: Option<Bytes>,
}

/// Whether a request asks for a WebSocket.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    has_token(headers, UPGRADE, "websocket")
}

/// Promises a WebSocket.
pub(super) fn accept(parts: &mut Parts, upgrade: &Upgrade) -> Result<Response<Body>, Problem> {
    let headers = &parts.headers;
    let bad = |message: &str| Problem::new(Code::BadRequest, message);
    if !has_token(headers, CONNECTION, "upgrade") {
        return Err(bad(
            "expected connection: upgrade beside upgrade: websocket",
        ));
    }
    if headers
        .get(SEC_WEBSOCKET_VERSION)
        .is_none_or(|version| version != VERSION)
    {
        return Err(bad("expected sec-websocket-version: 13"));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY);
    let key = key.ok_or_else(|| bad("expected a sec-websocket-key"))?;
    let accepted = derive_accept_key(key.as_bytes());
    let secret = match headers.get(AUTHORIZATION) {
        Some(value) => Some(Bytes::copy_from_slice(bearer(value.as_bytes())?)),
        None => None,
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let mut set = |name: HeaderName, value: HeaderValue| response.headers_mut().insert(name, value);
    set(CONNECTION, HeaderValue::from_static("upgrade"));
    set(UPGRADE, HeaderValue::from_static("websocket"));
    let accepted = HeaderValue::try_from(accepted).expect("base64 is a header's value");
    set(SEC_WEBSOCKET_ACCEPT, accepted);
    if has_token(headers, SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        set(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    let connection = parts.extensions.remove::<OnUpgrade>();
    let connection = connection.ok_or_else(|| bad("expected HTTP/1.1 for a WebSocket"))?;
    *upgrade.lock() = Some(Pending { connection, secret });
    Ok(response)
}

/// Whether a header's list has a token, in any case.
fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    let mut tokens = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    tokens.any(|one| one.trim().eq_ignore_ascii_case(token))
}

impl Upgrade {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Pending>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves the WebSocket that was promised on a connection, if one was.
    pub async fn serve(&self, desk: Arc<Desk>, closing: Closing) {
        let Some(Pending { connection, secret }) = self.lock().take() else {
            return;
        };
        desk.presence.expect_no_heads();
        if let Some(secret) = &secret {
            // It has shown a token; that another is answered is found out with each message.
            let _ = desk.admit(Some(secret));
        }
        let served = match connection.await {
            Ok(connection) => converse(connection, desk, secret, closing).await,
            Err(error) => {
                tracing::debug!(%error, "a connection was not upgraded");
                return;
            }
        };
        if let Err(error) = served {
            tracing::debug!(%error, "a WebSocket broke off");
        }
    }
}

async fn converse(
    connection: Upgraded,
    desk: Arc<Desk>,
    secret: Option<Bytes>,
    mut closing: Closing,
) -> Result<(), Error> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .max_message_size(Some(desk.limits.body_max))
        .max_frame_size(Some(desk.limits.body_max));
    let shared = desk.clone();
    let stream = Inlet::new(connection, &shared.limits, &shared.rooms);
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
    let mut session = Session::new(desk, secret);
    let mut answers = FuturesUnordered::new();
    let mut outlet = Outlet::default();
    // Once there is a reason to close, what was read is still answered.
    let mut end: Option<CloseFrame> = None;
    loop {
        if answers.is_empty()
            && outlet.unread == 0
            && let Some(end) = end
        {
            // Who is turned away for what it sends may be sending still.
            let is_sending = end.code != CloseCode::Away;
            socket.close(Some(end)).await?;
            if is_sending {
                socket.get_mut().leave().await?;
            }
            return Ok(());
        }
        let has_room = answers.len() < CALLS_MAX && outlet.unread < WRITE_BYTES;
        let may_read = end.is_none() && has_room;
        if !may_read {
            socket.get_mut().pause();
        }
        let message = tokio::select! {
            biased;
            Some(answer) = answers.next(), if !answers.is_empty() => {
                outlet.push(answer)?;
                continue;
            }
            moved = outlet.exchange(&mut socket, may_read) => match moved {
                Ok(Moved::Out) => continue,
                Ok(Moved::In(message)) => message,
                Err(error) => return Err(error),
            },
            why = closing.begun(), if end.is_none() => {
                let reason = match why {
                    Ending::Stopping => "the node is stopping",
                    Ending::Overdue => "the connection was idle for too long",
                };
                end = Some(because(CloseCode::Away, reason));
                continue;
            }
        };
        match message {
            Some(Ok(Message::Text(text))) => {
                socket.get_mut().end_message();
                answers.push(session.take(Payload::from(text)));
            }
            Some(Ok(Message::Binary(bytes))) => {
                socket.get_mut().end_message();
                answers.push(session.take(bytes));
            }
            // Answered where they are read.
            Some(Ok(control)) => socket.get_mut().end_control(control.len()),
            Some(Err(error)) => end = Some(reason(error)?),
            // Dropped, the calls are cancelled.
            None => return Ok(()),
        }
    }
}

/// Why a connection closes that reads no more; or the error, if nothing can be said any more.
fn reason(error: Error) -> Result<CloseFrame, Error> {
    let kind = match &error {
        Error::Capacity(CapacityError::MessageTooLong { .. }) => ErrorKind::FileTooLarge,
        Error::Io(error) => error.kind(),
        _ => return Err(error),
    };
    match kind {
        ErrorKind::FileTooLarge => Ok(because(CloseCode::Size, "the message is too long")),
        ErrorKind::TimedOut => Ok(because(CloseCode::Policy, "the message takes too long")),
        ErrorKind::QuotaExceeded => Ok(because(
            CloseCode::Again,
            "there is no room for the message now",
        )),
        _ => Err(error),
    }
}

/// What is on its way to the client.
#[derive(Default)]
struct Outlet {
    waiting: VecDeque<String>,
    /// Whether some were given to the socket, and are not known to be out.
    is_sending: bool,
    /// Bytes of both.
    unread: usize,
}

/// What has happened on a connection.
enum Moved {
    /// All that was given to the socket is out.
    Out,
    /// This has come.
    In(Option<Result<Message, Error>>),
}

impl Outlet {
    /// Takes an answer that is done. A client that leaves too much of them unread is cut off.
    fn push(&mut self, answer: Option<Vec<u8>>) -> Result<(), Error> {
        let Some(answer) = answer else { return Ok(()) };
        if self.unread > 0 && self.unread + answer.len() > UNREAD_MAX {
            return Err(Error::Io(ErrorKind::StorageFull.into()));
        }
        self.unread += answer.len();
        let text = String::from_utf8(answer).expect("JSON is UTF-8");
        self.waiting.push_back(text);
        Ok(())
    }

    /// Sends and receives, whichever can be.
    async fn exchange(
        &mut self,
        socket: &mut WebSocketStream<Inlet<'_>>,
        may_read: bool,
    ) -> Result<Moved, Error> {
        poll_fn(|context| {
            if self.poll_send(socket, context)?.is_ready() {
                return Poll::Ready(Ok(Moved::Out));
            }
            if may_read {
                return socket
                    .poll_next_unpin(context)
                    .map(|came| Ok(Moved::In(came)));
            }
            Poll::Pending
        })
        .await
    }

    /// Ready when something has gone out. What is sent together is out together.
    fn poll_send(
        &mut self,
        socket: &mut WebSocketStream<Inlet<'_>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        if !self.is_sending {
            let mut bytes = 0;
            while bytes < WRITE_BYTES
                && !self.waiting.is_empty()
                && socket.poll_ready_unpin(context)?.is_ready()
                && let Some(text) = self.waiting.pop_front()
            {
                bytes += text.len();
                socket.start_send_unpin(Message::text(text))?;
                self.is_sending = true;
            }
        }
        if !self.is_sending {
            return Poll::Pending;
        }
        ready!(socket.poll_flush_unpin(context))?;
        self.is_sending = false;
        self.unread = self.waiting.iter().map(String::len).sum();
        Poll::Ready(Ok(()))
    }
}

/// Bytes that are asked for at a time, and so what an idle connection holds.
const READ_BUFFER: usize = 4 * 1024;

fn because(code: CloseCode, reason: &'static str) -> CloseFrame {
    CloseFrame {
        code,
        reason: reason.into(),
    }
}
