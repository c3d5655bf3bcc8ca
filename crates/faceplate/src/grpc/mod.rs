//! The gRPC faceplate: a service for each kind, made of what its workers declare, with reflection
//! and health. `docs/protocol/grpc.md` says what that means in detail.
//!
//! A request's way: hyper speaks HTTP/2, `Server::route` finds the `methods` entry of its path,
//! `frames` cuts the message out, `arguments` makes JSON of it, `call` makes the call, `result` makes
//! a message of what it gives, `body` sends it. Whatever goes wrong becomes a `status`.

mod arguments;
mod body;
mod call;
mod descriptor;
mod frames;
mod health;
mod methods;
mod preface;
mod reflection;
mod result;
mod status;

use crate::desk::Desk;
use crate::faceplate::{Faceplate, Kind};
use crate::server::{Closing, Connection};
use crate::settings::Keys;
use body::{Body, Readers};
use bytes::Bytes;
use dispatch::{CallError, Code};
use frames::Messages;
use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prost::Message;
use status::Status;
use std::convert::Infallible;
use std::fmt::Display;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// Calls of one connection at a time; a client that wants more opens another.
const STREAMS_MAX: u32 = 100;

/// Bytes of a request that a client may send before they are asked for: what keeps one that is read
/// at once busy over the round trips of a local network.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The same of all requests of a connection, and so the most that an idle reader holds of it.
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// Bytes of an answer that wait for the socket beyond the piece that is being sent.
const SEND_BUFFER: usize = 64 * 1024;

/// How often a client is asked whether it is still there, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Methods as they are asked for, of the services that are always there.
const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";
const REFLECTION: [&str; 2] = [
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// gRPC over HTTP/2.
#[derive(Debug)]
pub struct Grpc;

impl Grpc {
    /// As the configuration knows it.
    pub const KIND: Kind = Kind {
        name: "grpc",
        port: 7483,
        read,
    };
}

fn read(_: &mut dyn Keys) -> Option<Arc<dyn Faceplate>> {
    Some(Arc::new(Grpc))
}

impl Faceplate for Grpc {
    fn alpn(&self) -> &'static [&'static [u8]] {
        &[b"h2"]
    }

    /// hyper drops the future of a request whose client resets it or leaves, and with it the call.
    fn serve(self: Arc<Self>, connection: Connection) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let Connection {
                socket,
                desk,
                mut closing,
                ..
            } = connection;
            let (limits, greeted) = (desk.limits.clone(), desk.clone());
            let readers = Arc::new(Readers::default());
            let server = Arc::new(Server {
                desk,
                closing: closing.clone(),
            });
            let watching = readers.clone();
            let service = service_fn(move |request| {
                let (server, readers) = (server.clone(), watching.clone());
                let busy = server.desk.presence.busy();
                async move {
                    let mut response = server.serve(request).await;
                    response.body_mut().watched(&readers, busy);
                    Ok::<_, Infallible>(response)
                }
            });
            let header_max = u32::try_from(limits.header_max).unwrap_or(u32::MAX);
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS_MAX)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_send_buf_size(SEND_BUFFER)
                .max_header_list_size(header_max)
                .keep_alive_interval(PING_INTERVAL)
                .keep_alive_timeout(PING_TIMEOUT)
                .auto_date_header(false);
            let Some(socket) = preface::read(socket, limits.header_timeout, &mut closing).await
            else {
                return;
            };
            greeted.greet();
            // The library asks clients whether they are there.
            greeted.presence.ignore_bytes();
            let mut served = pin!(builder.serve_connection(TokioIo::new(socket), service));
            let ended = tokio::select! {
                biased;
                ended = &mut served => ended,
                () = readers.stuck(limits.write_timeout) => return,
                _ = closing.begun() => {
                    served.as_mut().graceful_shutdown();
                    tokio::select! {
                        ended = &mut served => ended,
                        () = readers.stuck(limits.write_timeout) => return,
                    }
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection broke off");
            }
        })
    }
}

/// What the requests of a connection need.
struct Server {
    desk: Arc<Desk>,
    closing: Closing,
}

impl Server {
    /// Answers one request.
    async fn serve<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes, Error: Display> + Send + Unpin + 'static,
    {
        let (parts, body) = request.into_parts();
        if parts.method != Method::POST {
            return body::refused(StatusCode::METHOD_NOT_ALLOWED);
        }
        if !is_grpc(&parts) {
            return body::refused(StatusCode::UNSUPPORTED_MEDIA_TYPE);
        }
        match self.route(&parts, body).await {
            Ok(response) => response,
            Err(status) => body::failed(&status),
        }
    }

    async fn route<B>(&self, parts: &Parts, body: B) -> Result<Response<Body>, Status>
    where
        B: hyper::body::Body<Data = Bytes, Error: Display> + Send + Unpin + 'static,
    {
        frames::check_encoding(&parts.headers)?;
        let desk = &self.desk;
        let path = parts.uri.path();
        // Whoever sends clients here must be able to ask without a token, as for /readyz.
        if path == CHECK || path == WATCH {
            let messages = Messages::new(body, desk.clone(), reflection::QUESTION_MAX);
            let request = health::Request::decode(messages.only().await?).map_err(|error| {
                let message = format!("expected a HealthCheckRequest: {error}");
                CallError::new(Code::BadRequest, message)
            })?;
            if path == CHECK {
                let answer = health::check(&desk.node, &request).await?;
                return Ok(body::message(frames::wrap(&answer)?));
            }
            let changes = health::watch(desk.clone(), self.closing.clone(), request);
            return Ok(body::messages(changes));
        }
        let principal = desk.admit_request(&parts.headers)?;
        if REFLECTION.contains(&path) {
            let closing = self.closing.clone();
            let answers = reflection::answer(desk.clone(), principal, closing, body);
            return Ok(body::messages(answers));
        }
        let method = methods::find(&desk.node, path).await?;
        call::serve(desk, &principal, method, parts, body).await
    }
}

/// `application/grpc`, alone or with `+proto`.
fn is_grpc(parts: &Parts) -> bool {
    let of = parts.headers.get(CONTENT_TYPE);
    let rest = of.and_then(|of| of.as_bytes().strip_prefix(b"application/grpc"));
    rest.is_some_and(|rest| rest.is_empty() || rest == b"+proto" || rest.starts_with(b";"))
}

#[cfg(test)]
mod tests;
