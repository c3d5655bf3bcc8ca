//! `GET /rpc` with an upgrade: JSON-RPC over a WebSocket (RFC 6455). Each message is a request or a
//! batch; requests run side by side, and are answered as they are done.

use super::body::Body;
use super::inlet::Inlet;
use super::problem::Problem;
use crate::access::bearer;
use crate::desk::Desk;
use crate::jsonrpc::{CALLS_MAX, Session};
use crate::server::Closing;
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
use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
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
    // Once there is a reason to close, what was read is still answered.
    let mut end: Option<CloseFrame> = None;
    loop {
        if answers.is_empty()
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
        let may_read = end.is_none() && answers.len() < CALLS_MAX;
        if !may_read {
            socket.get_mut().pause();
        }
        tokio::select! {
            biased;
            Some(answer) = answers.next(), if !answers.is_empty() => {
                if let Some(answer) = answer {
                    let text = String::from_utf8(answer).expect("JSON is UTF-8");
                    socket.send(Message::text(text)).await?;
                }
            }
            message = socket.next(), if may_read => match message {
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
                Some(Err(Error::Capacity(CapacityError::MessageTooLong { .. }))) => {
                    end = Some(because(CloseCode::Size, "the message is too long"));
                }
                Some(Err(Error::Io(error))) if error.kind() == ErrorKind::TimedOut => {
                    end = Some(because(CloseCode::Policy, "the message takes too long"));
                }
                Some(Err(Error::Io(error))) if error.kind() == ErrorKind::QuotaExceeded => {
                    end = Some(because(CloseCode::Again, "there is no room for the message now"));
                }
                Some(Err(error)) => return Err(error),
                // Dropped, the calls are cancelled.
                None => return Ok(()),
            },
            () = closing.begun(), if end.is_none() => {
                end = Some(because(CloseCode::Away, "the node is stopping"));
            }
        }
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
