//! Where connections come from: the one door to sockets, so that a simulator can take its place.
//!
//! Used by `mesh` to listen and to dial, and by `join`.

use std::io;
use std::net::SocketAddr;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// A connection: bytes in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// A stream and the address of the other end.
pub type Connection = (Box<dyn Stream>, SocketAddr);

/// Makes raw connections.
pub trait Network: Send + Sync + 'static {
    /// Connects to `address`, which is `host:port`.
    fn dial(&self, address: &str) -> BoxFuture<'static, io::Result<Connection>>;

    /// Listens at `address`; port 0 lets the system choose.
    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>>;

    /// Whether no byte leaves this process. Only there may plain text go beyond loopback.
    fn is_simulated(&self) -> bool {
        false
    }
}

/// Takes raw connections.
pub trait Listener: Send + 'static {
    /// Where it listens.
    ///
    /// # Errors
    ///
    /// What the system says.
    fn local_addr(&self) -> io::Result<SocketAddr>;

    /// Waits for the next connection. Dropping the future loses none.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>>;
}

/// The real network. Small frames leave at once (`TCP_NODELAY`): what belongs together was put
/// together before it was written.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Network for Tcp {
    fn dial(&self, address: &str) -> BoxFuture<'static, io::Result<Connection>> {
        let address = address.to_owned();
        Box::pin(async move { connection(TcpStream::connect(address).await?) })
    }

    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            Ok(Box::new(listener) as Box<dyn Listener>)
        })
    }
}

impl Listener for TcpListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        TcpListener::local_addr(self)
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async move { connection(TcpListener::accept(self).await?.0) })
    }
}

fn connection(stream: TcpStream) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let address = stream.peer_addr()?;
    Ok((Box::new(stream), address))
}
