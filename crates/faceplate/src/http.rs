//! The HTTP faceplate: HTTP/1.1 over TCP. `docs/protocol/http.md` has the routes.

use crate::body::Bodies;
use crate::limits::HttpLimits;
use crate::node::Node;
use crate::router::{Door, Router};
use crate::server;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Serves until `shutdown` is ready; then requests in flight are answered and idle connections
/// closed. To drop the future is to cut all connections off.
pub async fn serve(
    listener: TcpListener,
    node: Arc<Node>,
    limits: HttpLimits,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    check_listen(address)?;
    let router = Router {
        node,
        limits,
        door: Door::Tcp {
            name: address.to_string(),
        },
        bodies: Bodies::default(),
    };
    server::run(listener, router, shutdown).await;
    Ok(())
}

/// Whether a faceplate may listen there. There is no access control yet, so only this machine may
/// connect.
pub fn check_listen(address: SocketAddr) -> io::Result<()> {
    if address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    let message = format!(
        "expected a loopback address such as 127.0.0.1:7480, got {address}: anyone who can connect \
         can call"
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_may_be_listened_on() {
        for fine in [
            "127.0.0.1:7480",
            "127.8.9.10:0",
            "[::1]:7480",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(check_listen(fine.parse().unwrap()).is_ok(), "{fine}");
        }
        for open in [
            "0.0.0.0:7480",
            "[::]:7480",
            "10.0.0.1:7480",
            "[::ffff:10.0.0.1]:1",
        ] {
            let error = check_listen(open.parse().unwrap()).unwrap_err();
            assert!(
                error.to_string().contains(open.rsplit_once(':').unwrap().0),
                "{error}"
            );
        }
    }
}
