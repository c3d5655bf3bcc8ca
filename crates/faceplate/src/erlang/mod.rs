//! Erlang's distribution protocol: a Katamari node among nodes of Erlang, hidden and known to epmd,
//! that answers `gen_server:call({katamari, Node}, ...)` and `rpc:call(Node, ...)`.
//! `docs/protocol/erlang.md` has it from the caller's side. The protocol itself is in the
//! documentation of OTP: erts, "Distribution Protocol" (erl_dist_protocol).
//!
//! A node's way: `epmd` makes it known, `handshake` lets a peer in, `signal` reads what comes over
//! the connection, `session` decides what becomes of it, `request` turns terms into calls and
//! answers into terms, `waiter` knows whom to answer how.

mod epmd;
mod handshake;
mod request;
mod session;
mod settings;
mod signal;
mod waiter;

pub use settings::Erlang;

use crate::conversation::{self, Framing, Manners, Pulse};
use crate::faceplate::{Faceplate, Kind};
use crate::frames::{Cut, Frames};
use crate::server::Connection;
use bytes::{Bytes, BytesMut};
use dispatch::{CallError, Code};
use futures_util::future::BoxFuture;
use handshake::{NotShaken, Peer};
use session::{Message, Session};
use signal::Signal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use term::etf::Limits;

/// A message of no bytes: what nodes send to show that they are there.
const TICK: &[u8] = &[0; 4];

/// What nodes send in the time that they wait for each other: four ticks, as in Erlang.
const TICKS: u32 = 4;

impl Erlang {
    /// As the configuration knows it. The port is one that the system chooses: epmd tells it.
    pub const KIND: Kind = Kind {
        name: "erlang",
        port: 0,
        read: settings::read,
    };
}

impl Faceplate for Erlang {
    fn accompany(self: Arc<Self>, address: SocketAddr) -> BoxFuture<'static, ()> {
        Box::pin(async move { epmd::stay_registered(&self, address.port()).await })
    }

    fn serve(self: Arc<Self>, mut connection: Connection) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            let desk = connection.desk.clone();
            let is_tls = connection.socket.is_tls();
            let shaking = handshake::shake(&mut connection.socket, is_tls, &self);
            let shaken = tokio::select! {
                shaken = tokio::time::timeout(desk.limits.header_timeout, shaking) => shaken,
                _ = connection.closing.begun() => return,
            };
            let peer = match shaken {
                Ok(Ok(peer)) => Arc::new(peer),
                Ok(Err(NotShaken::Broken(error))) => {
                    tracing::debug!(%error, "a handshake broke off");
                    return;
                }
                Ok(Err(error)) => {
                    desk.node.guard.denied.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!("a node of Erlang was turned away: {error}");
                    return;
                }
                Err(_) => {
                    tracing::debug!("a handshake took too long");
                    return;
                }
            };
            desk.presence.welcome();
            tracing::debug!(peer = ?peer.name, "a node of Erlang is connected");
            let framing = Cutter {
                cut: Cut::new(Frames::Lengths, desk.limits.body_max),
                pulse: Pulse {
                    beat: TICK,
                    every: self.net_ticktime / TICKS,
                    silence_max: self.net_ticktime,
                },
                peer: peer.clone(),
                spawning: None,
                processes: session::FIRST_PROCESS,
            };
            let manners = Manners {
                // All processes of a node share its connection: to read no more would also hold up
                // those that give up. `Session` has a limit that is told.
                calls_max: usize::MAX,
                in_order: false,
                half_close: false,
            };
            let mut session = Session::new(self, desk, peer);
            conversation::converse(connection, framing, manners, move |message| {
                session.take(message)
            })
            .await;
        })
    }
}

/// Cuts and reads messages after the handshake.
struct Cutter {
    cut: Cut,
    pulse: Pulse,
    peer: Arc<Peer>,
    /// A process that was said to begin, and is to.
    spawning: Option<Message>,
    /// The number of the next process.
    processes: u32,
}

impl Framing for Cutter {
    type Message = Message;

    fn take(&mut self, read: &mut BytesMut) -> Result<Option<Message>, CallError> {
        if let Some(message) = self.spawning.take() {
            return Ok(Some(message));
        }
        loop {
            let Some(frame) = self.cut.take(read)? else {
                return Ok(None);
            };
            if frame.is_empty() {
                // A tick: that something has come is all that it says.
                continue;
            }
            let signal = signal::read(&frame, &Limits::default())
                .map_err(|error| CallError::new(Code::BadRequest, error.to_string()))?;
            let Signal::Spawn(spawn) = signal else {
                return Ok(Some(Message::Signal(signal)));
            };
            let spawn = Arc::new(*spawn);
            let number = self.processes;
            self.processes = number.checked_add(1).unwrap_or(session::FIRST_PROCESS);
            self.spawning = Some(Message::Run(spawn.clone(), number));
            return Ok(Some(Message::Spawn(spawn, number)));
        }
    }

    /// The protocol has no words for it: the connection closes, as between nodes of Erlang.
    fn refuse(&self, error: CallError) -> Bytes {
        tracing::warn!(peer = ?self.peer.name, %error, "a node of Erlang is disconnected");
        Bytes::new()
    }

    fn pulse(&self) -> Option<Pulse> {
        Some(self.pulse)
    }
}
