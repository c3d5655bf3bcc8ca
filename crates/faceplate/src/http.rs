//! The HTTP faceplate: HTTP/1.1 over TCP, with or without TLS. `docs/protocol/http.md` has the
//! routes, `docs/access.md` who may use them.

use crate::body::Bodies;
use crate::guard::TokenPolicy;
use crate::limits::HttpLimits;
use crate::node::Node;
use crate::router::{Door, Entrance, Router};
use crate::server;
use crate::tls::Tls;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// How one HTTP faceplate serves.
#[derive(Debug, Default)]
pub struct HttpSettings {
    /// What clients may take up.
    pub limits: HttpLimits,
    /// None: plain HTTP.
    pub tls: Option<Arc<Tls>>,
    /// Whether requests need one of the node's tokens.
    pub tokens: TokenPolicy,
    /// Names that clients may reach it by, without ports, besides addresses and `localhost`.
    pub hosts: Vec<String>,
    /// What whoever runs the node has said yes to.
    pub accepted: Option<Risk>,
}

/// With limits alone: plain HTTP, for this machine.
impl From<HttpLimits> for HttpSettings {
    fn from(limits: HttpLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }
}

/// What may happen where other machines can connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Risk {
    /// No token is asked for.
    AnyoneCanCall,
    /// Tokens are asked for, but nothing is encrypted.
    AnyoneCanRead,
}

impl Risk {
    /// Both.
    pub const ALL: [Self; 2] = [Self::AnyoneCanCall, Self::AnyoneCanRead];

    /// What there is to fear from listening at an address.
    pub fn of(listen: SocketAddr, wants_tokens: bool, has_tls: bool) -> Option<Self> {
        if listen.ip().to_canonical().is_loopback() {
            None
        } else if !wants_tokens {
            Some(Self::AnyoneCanCall)
        } else if !has_tls {
            Some(Self::AnyoneCanRead)
        } else {
            None
        }
    }

    /// How it is said yes to.
    pub fn words(self) -> &'static str {
        match self {
            Self::AnyoneCanCall => "anyone who reaches this port can call",
            Self::AnyoneCanRead => "anyone on the way can read calls and tokens",
        }
    }
}

/// Serves until `shutdown` is ready; then requests in flight are answered and idle connections
/// closed. To drop the future is to cut all connections off.
///
/// A node that wants tokens where other machines can connect must have them before: what is at
/// risk is found out here, and unless the settings accept it, this is an error.
pub async fn serve(
    listener: TcpListener,
    node: Arc<Node>,
    settings: impl Into<HttpSettings>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let settings = settings.into();
    let address = listener.local_addr()?;
    let is_closed = node.guard.is_closed(settings.tokens);
    let risk = Risk::of(address, is_closed, settings.tls.is_some());
    if let Some(risk) = risk.filter(|risk| settings.accepted != Some(*risk)) {
        let message = format!(
            "expected a loopback address such as 127.0.0.1:7480, got {address}: {}",
            risk.words()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let router = Router {
        node,
        limits: settings.limits,
        door: Door::Tcp(Entrance {
            name: address.to_string(),
            hosts: settings.hosts,
            tokens: settings.tokens,
            tls: settings.tls,
        }),
        bodies: Bodies::default(),
    };
    server::run(listener, router, shutdown).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_beyond_loopback_there_is_a_risk() {
        for fine in [
            "127.0.0.1:7480",
            "127.8.9.10:0",
            "[::1]:7480",
            "[::ffff:127.0.0.1]:1",
        ] {
            let address = fine.parse().expect("an address");
            assert_eq!(Risk::of(address, false, false), None, "{fine}");
        }
        for open in [
            "0.0.0.0:7480",
            "[::]:7480",
            "10.0.0.1:7480",
            "[::ffff:10.0.0.1]:1",
        ] {
            let risk = |tokens, tls| Risk::of(open.parse().expect("an address"), tokens, tls);
            assert_eq!(risk(false, false), Some(Risk::AnyoneCanCall), "{open}");
            assert_eq!(risk(false, true), Some(Risk::AnyoneCanCall), "{open}");
            assert_eq!(risk(true, false), Some(Risk::AnyoneCanRead), "{open}");
            assert_eq!(risk(true, true), None, "{open}");
        }
    }
}
