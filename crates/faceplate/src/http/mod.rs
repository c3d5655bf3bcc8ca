//! The HTTP faceplate: HTTP/1.1, plain or behind TLS. `docs/protocol/http.md` has the routes,
//! `docs/access.md` who may use them.
//!
//! A request's way: `door` turns foreign web pages away, `router` finds the route, `call` or
//! `jsonrpc` makes the call, and `body` and `stream` carry the answer out. Whatever goes wrong
//! becomes a `problem`.

pub(crate) mod body;
pub(crate) mod call;
pub(crate) mod incoming;
pub(crate) mod problem;
pub(crate) mod router;

mod door;
mod given;
mod inlet;
mod openapi;
mod pass;
mod routes;
mod stream;
mod upload;
mod websocket;

use crate::control::Operator;
use crate::faceplate::{Faceplate, Kind, Refusal};
use crate::server::Connection;
use crate::settings::Keys;
use futures_util::future::BoxFuture;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use router::Router;
use routes::{ROUTES_MAX, Routes};
use std::convert::Infallible;
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use websocket::Upgrade;

/// What a connection beyond the limit is told.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
content-length: 0\r\n\r\n";

/// What a client that speaks plain HTTP is told where TLS is expected.
const NOT_PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\
connection: close\r\ncontent-length: 49\r\n\r\n\
expected TLS on this port; begin URLs with https\n";

/// Names that one node is reached by.
const HOSTS_MAX: usize = 100;

/// Characters of a name in the DNS.
const HOST_MAX: usize = 253;

/// HTTP for the network, or for the control socket.
#[derive(Debug)]
pub struct Http {
    door: Arc<Door>,
}

impl From<Door> for Http {
    fn from(door: Door) -> Self {
        Self {
            door: Arc::new(door),
        }
    }
}

/// Where requests come from.
pub(crate) enum Door {
    /// From the network.
    Network(Box<Network>),
    /// From the control socket: whoever can open it may do everything.
    Control { operator: Arc<dyn Operator> },
}

/// HTTP as the network gets it.
#[derive(Debug, Default)]
pub(crate) struct Network {
    /// Names, without ports, that it may be reached by, besides addresses and `localhost`.
    hosts: Vec<String>,
    routes: Routes,
    /// Whether there is nothing but these routes, and health.
    only_routes: bool,
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(network) => network.fmt(f),
            Self::Control { .. } => f.debug_struct("Control").finish_non_exhaustive(),
        }
    }
}

impl Http {
    /// As the configuration knows it.
    pub const KIND: Kind = Kind {
        name: "http",
        port: 7480,
        read,
    };

    /// For the network, reached by these names besides addresses and `localhost`.
    pub fn new(hosts: Vec<String>) -> Self {
        Self::from(Door::Network(Box::new(Network {
            hosts,
            ..Network::default()
        })))
    }

    pub(crate) fn control(operator: Arc<dyn Operator>) -> Self {
        Self::from(Door::Control { operator })
    }
}

fn read(keys: &mut dyn Keys) -> Option<Arc<dyn Faceplate>> {
    let what = "an array of names, such as [\"api.example.org\"]";
    let hosts = keys.texts("hosts", what, HOSTS_MAX, &check_host);
    let mut network = Network {
        hosts: hosts.unwrap_or_default(),
        only_routes: keys.boolean("only_routes").unwrap_or(false),
        ..Network::default()
    };
    let routes = &mut network.routes;
    keys.pairs("routes", ROUTES_MAX, &mut |route, function| {
        routes.add(route, function)
    });
    let here = keys.path("");
    keys.pairs("folders", ROUTES_MAX, &mut |path, folder| {
        routes.add_folder(path, here.join(folder))
    });
    if network.only_routes && network.routes.is_empty() {
        let message = "expected routes or folders beside it; there is nothing to serve";
        keys.report("only_routes", message.to_owned());
    }
    Some(Arc::new(Http::from(Door::Network(Box::new(network)))))
}

fn check_host(host: &str) -> Result<(), String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if host.is_empty() || host.len() > HOST_MAX || !host.bytes().all(fits) {
        return Err(format!(
            "expected a name without scheme and port, such as \"api.example.org\", got \"{host}\""
        ));
    }
    Ok(())
}

impl Faceplate for Http {
    fn alpn(&self) -> &'static [&'static [u8]] {
        &[b"http/1.1"]
    }

    fn refusal(&self, refusal: Refusal) -> &'static [u8] {
        match refusal {
            Refusal::Full => FULL,
            Refusal::NotTls => NOT_PLAIN,
        }
    }

    /// hyper keeps an eye on the socket while a call waits or runs: when the client leaves, the
    /// connection ends and the call is dropped with it.
    fn serve(self: Arc<Self>, connection: Connection) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let Connection {
                socket,
                desk,
                mut closing,
                peer,
            } = connection;
            let router = Router {
                desk: desk.clone(),
                door: self.door.clone(),
                peer,
                upgrade: Upgrade::default(),
            };
            desk.presence.expect_heads();
            let service = service_fn(|request: Request<Incoming>| async {
                let response = router.serve(request).await;
                Ok::<_, Infallible>(response)
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                // The time until the next head is limited as all protocols' is.
                .header_read_timeout(None)
                .max_buf_size(desk.limits.header_max)
                .half_close(false)
                .serve_connection(TokioIo::new(socket), service)
                .with_upgrades();
            let mut served = pin!(served);
            let ended = tokio::select! {
                biased;
                ended = &mut served => ended,
                _ = closing.begun() => {
                    served.as_mut().graceful_shutdown();
                    served.await
                }
            };
            match ended {
                Ok(()) => router.upgrade.serve(desk, closing).await,
                Err(error) => tracing::debug!(%error, "a connection broke off"),
            }
        })
    }
}
