//! The network of a machine that is alone: nobody is there.

use futures_util::future::{BoxFuture, pending, ready};
use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, SocketAddr};
use wire::{Connection, Listener, Network};

/// Reaches nobody, and is reached by nobody: no socket is opened.
#[derive(Debug)]
pub struct Alone;

impl Network for Alone {
    fn dial(&self, _: &str) -> BoxFuture<'static, Result<Connection>> {
        Box::pin(ready(Err(Error::from(ErrorKind::NetworkUnreachable))))
    }

    fn listen(&self, _: SocketAddr) -> BoxFuture<'static, Result<Box<dyn Listener>>> {
        Box::pin(ready(Ok(Box::new(Self) as Box<dyn Listener>)))
    }

    fn is_simulated(&self) -> bool {
        true
    }
}

impl Listener for Alone {
    fn local_addr(&self) -> Result<SocketAddr> {
        Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    fn accept(&mut self) -> BoxFuture<'_, Result<Connection>> {
        Box::pin(pending())
    }
}
