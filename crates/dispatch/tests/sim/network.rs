//! Turmoil's network for meshes, on which some things arrive twice.

use crate::chance::Chance;
use crate::repeat::Repeating;
use bytes::Bytes;
use cluster::consensus::{Carried, Carrier, MeshCarrier};
use pool::NodeId;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
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
pub struct Simulated(Arc<Mutex<Chance>>);

struct SimulatedListener {
    listener: TcpListener,
    chance: Arc<Mutex<Chance>>,
}

impl Simulated {
    /// `chance` says what arrives twice.
    pub fn new(chance: Chance) -> Self {
        Self(Arc::new(Mutex::new(chance)))
    }
}

impl Network for Simulated {
    fn dial(&self, address: &str) -> BoxFuture<'static, io::Result<Connection>> {
        let (address, chance) = (address.to_owned(), self.0.clone());
        Box::pin(async move { connection(TcpStream::connect(address).await?, &chance) })
    }

    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let chance = self.0.clone();
        Box::pin(async move {
            let listener = TcpListener::bind(address).await?;
            Ok(Box::new(SimulatedListener { listener, chance }) as Box<dyn Listener>)
        })
    }

    fn is_simulated(&self) -> bool {
        true
    }
}

impl Listener for SimulatedListener {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async move { connection(self.listener.accept().await?.0, &self.chance) })
    }
}

fn connection(stream: TcpStream, chance: &Mutex<Chance>) -> io::Result<Connection> {
    let address = stream.peer_addr()?;
    let seed = chance.lock().expect("no panic under the lock").next();
    let stream = Repeating::new(stream, Chance::new(seed));
    Ok((Box::new(stream), address))
}

/// Asks some questions twice, the second time a little later, when nobody waits for the answer.
pub struct Twice {
    inner: Arc<MeshCarrier>,
    chance: Mutex<Chance>,
}

impl Twice {
    pub fn new(inner: MeshCarrier, chance: Chance) -> Self {
        let chance = Mutex::new(chance);
        let inner = Arc::new(inner);
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
