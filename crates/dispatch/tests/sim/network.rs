//! Turmoil's network for meshes, and questions of masters that arrive twice.

use crate::chance::Chance;
use bytes::Bytes;
use cluster::consensus::{Carried, Carrier, MeshCarrier};
use pool::NodeId;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;
use turmoil::net::{TcpListener, TcpStream};
use wire::{Connection, Listener, Network};

pub const PORT: u16 = 7400;
pub const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), PORT);

/// Of a hundred questions of masters.
const TWICE_PERCENT: u64 = 5;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What turmoil and hard state call a node.
pub fn host_name(node: NodeId) -> String {
    format!("node-{}", node.0)
}

/// Turmoil's network.
pub struct Simulated;

struct SimulatedListener(TcpListener);

impl Network for Simulated {
    fn dial(&self, address: &str) -> BoxFuture<'static, io::Result<Connection>> {
        let address = address.to_owned();
        Box::pin(async move { connection(TcpStream::connect(address).await?) })
    }

    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            Ok(Box::new(SimulatedListener(listener)) as Box<dyn Listener>)
        })
    }

    fn is_simulated(&self) -> bool {
        true
    }
}

impl Listener for SimulatedListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async move { connection(self.0.accept().await?.0) })
    }
}

fn connection(stream: TcpStream) -> io::Result<Connection> {
    let address = stream.peer_addr()?;
    Ok((Box::new(stream), address))
}

/// Asks some questions twice, the second time a little later, when nobody waits for the answer.
pub struct Twice {
    inner: std::sync::Arc<MeshCarrier>,
    chance: Mutex<Chance>,
}

impl Twice {
    pub fn new(inner: MeshCarrier, chance: Chance) -> Self {
        let chance = Mutex::new(chance);
        let inner = std::sync::Arc::new(inner);
        Self { inner, chance }
    }
}

impl Carrier for Twice {
    fn ask(&self, to: NodeId, question: Bytes, timeout: Duration) -> Carried {
        let mut chance = self.chance.lock().expect("no panic under the lock");
        if chance.percent(TWICE_PERCENT) {
            let (inner, again) = (self.inner.clone(), question.clone());
            let after = chance.millis(0, 300);
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                drop(inner.ask(to, again, timeout).await);
            });
        }
        self.inner.ask(to, question, timeout)
    }
}
