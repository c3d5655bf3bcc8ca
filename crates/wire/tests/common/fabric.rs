//! A scripted network in memory: nodes can be cut off from each other and joined again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::{mpsc, watch};
use wire::{Connection, Listener, Network};

/// Bytes on the way between two nodes.
const ON_THE_WAY: usize = 64 << 10;

/// All nodes' listeners, and the pairs that are cut off.
#[derive(Clone, Default)]
pub struct Fabric {
    listeners: Arc<Mutex<BTreeMap<SocketAddr, mpsc::Sender<Connection>>>>,
    cuts: watch::Sender<BTreeSet<(u32, u32)>>,
}

/// Where a node of the fabric listens.
pub fn address(node: u32) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, u8::try_from(node).expect("few nodes")], 7400))
}

fn pair(one: u32, other: u32) -> (u32, u32) {
    (one.min(other), one.max(other))
}

impl Fabric {
    /// The network as `node` sees it.
    pub fn node(&self, node: u32) -> Arc<dyn Network> {
        Arc::new(Door {
            fabric: self.clone(),
            node,
        })
    }

    /// From now on no byte gets from one of the two to the other.
    pub fn cut(&self, one: u32, other: u32) {
        self.cuts
            .send_if_modified(|cuts| cuts.insert(pair(one, other)));
    }

    /// Undoes [`Fabric::cut`]; bytes that waited arrive.
    pub fn heal(&self, one: u32, other: u32) {
        self.cuts
            .send_if_modified(|cuts| cuts.remove(&pair(one, other)));
    }

    fn listener(&self, address: SocketAddr) -> Option<mpsc::Sender<Connection>> {
        self.listeners
            .lock()
            .expect("not poisoned")
            .get(&address)
            .cloned()
    }

    async fn connected(&self, one: u32, other: u32) {
        let pair = pair(one, other);
        let mut cuts = self.cuts.subscribe();
        cuts.wait_for(|cuts| !cuts.contains(&pair))
            .await
            .expect("the fabric holds the sender");
    }

    /// Carries bytes in one direction, while the two are connected.
    async fn carry(
        self,
        pair: (u32, u32),
        mut from: ReadHalf<DuplexStream>,
        mut to: WriteHalf<DuplexStream>,
    ) {
        let mut buffer = vec![0; ON_THE_WAY];
        while let Ok(count) = from.read(&mut buffer).await {
            self.connected(pair.0, pair.1).await;
            if count == 0 || to.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
        drop(to.shutdown().await);
    }
}

struct Door {
    fabric: Fabric,
    node: u32,
}

impl Network for Door {
    fn dial(&self, address: &str) -> BoxFuture<'static, io::Result<Connection>> {
        let (fabric, from) = (self.fabric.clone(), self.node);
        let address: SocketAddr = address.parse().expect("an address of the fabric");
        Box::pin(async move {
            let SocketAddr::V4(v4) = address else {
                return Err(io::ErrorKind::Unsupported.into());
            };
            let pair = (from, u32::from(v4.ip().octets()[3]));
            fabric.connected(pair.0, pair.1).await;
            let listener = fabric
                .listener(address)
                .ok_or(io::ErrorKind::ConnectionRefused)?;
            let (mine, near) = duplex(ON_THE_WAY);
            let (theirs, far) = duplex(ON_THE_WAY);
            let ((near_read, near_write), (far_read, far_write)) = (split(near), split(far));
            tokio::spawn(fabric.clone().carry(pair, near_read, far_write));
            tokio::spawn(fabric.carry(pair, far_read, near_write));
            let accepted = listener.send((Box::new(theirs), self::address(from))).await;
            accepted.map_err(|_| io::ErrorKind::ConnectionRefused)?;
            Ok((Box::new(mine) as Box<dyn wire::Stream>, address))
        })
    }

    fn listen(&self, address: SocketAddr) -> BoxFuture<'static, io::Result<Box<dyn Listener>>> {
        let (sender, connections) = mpsc::channel(16);
        self.fabric
            .listeners
            .lock()
            .expect("not poisoned")
            .insert(address, sender);
        let listener = Box::new(Ear {
            address,
            connections,
        }) as Box<dyn Listener>;
        Box::pin(async { Ok(listener) })
    }

    fn is_simulated(&self) -> bool {
        true
    }
}

struct Ear {
    address: SocketAddr,
    connections: mpsc::Receiver<Connection>,
}

impl Listener for Ear {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Connection>> {
        Box::pin(async move {
            self.connections
                .recv()
                .await
                .ok_or_else(|| io::ErrorKind::NotConnected.into())
        })
    }
}
