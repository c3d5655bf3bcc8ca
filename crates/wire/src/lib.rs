//! Frames, and links between nodes, over TLS.
//!
//! A [`Link`] is one connection between two nodes that carries the messages, requests and answers
//! of all services. A [`Mesh`] keeps links to the nodes this node wants. Bytes come from a
//! [`Network`], which is [`Tcp`] or a simulation. `docs/protocol/link.md` specifies what is on the
//! wire. Start reading at [`Mesh`], then [`Link`], then `link/drive.rs`, which moves the bytes.
//!
//! ```text
//!   send, request ──> queue ──> writer ══════ stream ══════> reader ──┬─> the asker, if an answer
//!                    (lanes)    (one write for many frames)           └─> the service's MeshEvents
//! ```

mod authority;
mod frame;
mod hello;
mod identity;
mod join;
mod link;
mod mesh;
mod network;
mod queue;
mod record;
mod security;
mod tls;
mod token;

pub use authority::Authority;
pub use frame::{BadFrame, FRAME_MAX, Frame, HEADER_MAX, Service};
pub use hello::{HandshakeError, Me};
pub use identity::{Certificate, Identity, IdentityError, NodeKey, VALIDITY, certificate_name};
pub use join::{JOIN_MAX, Join, Joins, Trust, join};
pub use link::{
    Link, LinkTiming, Peer, REQUESTS_MAX, RequestError, SendError, UNREAD_MAX, UNWRITTEN_MAX,
};
pub use mesh::{Mesh, MeshError, MeshEvent, MeshEvents, MeshSettings};
pub use network::{Connection, Listener, Network, Stream, Tcp};
pub use record::RecordError;
pub use security::Security;
pub use tls::Credentials;
pub use token::{BadToken, JoinToken};

/// The least version of the link protocol that this build speaks.
pub const PROTOCOL_MIN: u16 = 1;

/// The greatest version of the link protocol that this build speaks. What each adds is in
/// `docs/protocol/link.md`; what a cluster does of it, its level says.
pub const PROTOCOL_MAX: u16 = 2;
