//! One connection between two nodes: the handle that everybody uses.
//!
//! `mesh` makes links after the handshake in `hello`; `drive` is the task that moves their bytes.

pub(crate) mod drive;

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use pool::NodeId;
use rustc_hash::FxHashMap;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, oneshot, watch};

use crate::frame::{
    BadFrame, EncodeError, FRAME_MAX, HEADER_MAX, Header, Kind, Raw, Service, decode,
};
use crate::queue::Queue;

/// Most bytes that wait to be written to one link: what a gigabit carries in half a second. More
/// means that the peer does not read.
pub const UNWRITTEN_MAX: usize = 64 << 20;

/// Most requests of one link that wait for their answers: far above what a healthy peer leaves
/// open, low enough that a stuck one costs little.
pub const REQUESTS_MAX: usize = 1024;

/// A link is read no further while this many bytes of it wait for their subscribers. With the
/// largest frame on top that is what a link can hold.
pub const UNREAD_MAX: usize = 8 << 20;

/// How long things may take on a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinkTiming {
    /// How often a link says that it lives.
    pub ping: Duration,
    /// After how long without a byte a link is closed.
    pub silence: Duration,
    /// How long it may take to make a connection: no longer, since the next attempt gets through
    /// a network that has healed, and this one may not.
    pub connect: Duration,
    /// How long a new connection may take until it is a link.
    pub handshake: Duration,
}

impl Default for LinkTiming {
    /// A ping each 250 ms, closed after 750 ms: two may be lost or late. 1 s to
    /// connect, 5 s for the handshake.
    fn default() -> Self {
        Self {
            ping: Duration::from_millis(250),
            silence: Duration::from_millis(750),
            connect: Duration::from_secs(1),
            handshake: Duration::from_secs(5),
        }
    }
}

/// The other end of a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who it is; over TLS its certificate says the same.
    pub node: NodeId,
    /// Its name, for people.
    pub name: Arc<str>,
    /// Which start of its process.
    pub incarnation: u64,
    /// The greatest version of the link protocol that both ends speak.
    pub version: u16,
    /// Where it is, as the connection says; if it dialed, its port is of no use to others.
    pub address: SocketAddr,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "node {} ({}) at {}",
            self.node.0, self.name, self.address
        )
    }
}

/// Why a frame was not sent.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum SendError {
    /// The link is closed.
    #[error("the link is closed: {0}")]
    Closed(Arc<str>),
    /// The frame is larger than any may be.
    #[error(
        "expected a frame of at most {FRAME_MAX} bytes with a header of at most {HEADER_MAX}, got \
         a larger one; send it in pieces"
    )]
    TooLarge,
    /// The peer does not read what was sent before.
    #[error("{UNWRITTEN_MAX} bytes wait to be written: the peer does not read; send less")]
    Full,
    /// The message has a type that postcard cannot encode.
    #[error("the message cannot be encoded: {0}")]
    Message(postcard::Error),
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RequestError {
    /// It was not sent: the peer has not seen it.
    #[error(transparent)]
    NotSent(#[from] SendError),
    /// It was not sent: too many wait for their answers.
    #[error("{REQUESTS_MAX} requests wait for their answers; wait for some of them")]
    TooMany,
    /// No answer in time. The peer may have seen the request.
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The link was closed before the answer came. The peer may have seen the request.
    #[error("the link was closed before the answer came: {0}")]
    Closed(Arc<str>),
    /// The peer does not serve it, and says why.
    #[error("the peer refused: {0}")]
    Refused(String),
    /// The answer is not what was expected.
    #[error(transparent)]
    BadAnswer(#[from] BadFrame),
}

/// One connection to another node, with all services on it. Cheap to clone.
///
/// Nothing here waits but [`Link::request`] and [`Link::closed`]. Messages arrive in the order in
/// which they were sent, within a service. A link that was closed stays so; the mesh makes a new one.
#[derive(Clone)]
pub struct Link(Arc<Inner>);

/// One owner of each part would be a task and a message for each frame; the mutexes are held for
/// the time of a push, and on a node's one thread never waited for.
struct Inner {
    peer: Peer,
    /// This end's number of the connection, in the order in which the dialing end made them.
    attempt: u64,
    /// Whether this end dialed.
    dialed: bool,
    queue: Mutex<Queue>,
    /// The writer sleeps until this says that the queue is no longer empty.
    filled: Notify,
    asked: Mutex<Asked>,
    /// Why it is closed, if it is.
    closed: watch::Sender<Option<Arc<str>>>,
    /// Bytes read that wait for their subscribers.
    unread: AtomicUsize,
    /// The reader, if there are too many of them, sleeps until this says that there are not.
    drained: Notify,
}

/// Requests that wait for their answers.
#[derive(Default)]
struct Asked {
    last: u64,
    waiting: FxHashMap<u64, oneshot::Sender<Raw>>,
}

impl Link {
    pub(crate) fn new(peer: Peer, dialed: bool, attempt: u64) -> Self {
        Self(Arc::new(Inner {
            peer,
            attempt,
            dialed,
            queue: Mutex::default(),
            filled: Notify::new(),
            asked: Mutex::default(),
            closed: watch::Sender::new(None),
            unread: AtomicUsize::new(0),
            drained: Notify::new(),
        }))
    }

    /// The other end.
    pub fn peer(&self) -> &Peer {
        &self.0.peer
    }

    /// Whether `other` is the same connection, not only one to the same node.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Queues a message; it is written together with all others that are queued until then.
    /// `message` is encoded by postcard: no serde attributes that need a self-describing format.
    ///
    /// # Errors
    ///
    /// [`SendError`]; nothing was queued then. That it was queued does not say that it arrives.
    pub fn send<M: Serialize + ?Sized>(
        &self,
        service: Service,
        message: &M,
        payload: Bytes,
    ) -> Result<(), SendError> {
        self.queue(
            Kind::Message,
            service as u8,
            0,
            &Header::Message(message),
            payload,
        )
    }

    /// Sends a question now, and gives the future of its answer. A future that is dropped is a
    /// question whose answer is ignored.
    ///
    /// The loop that takes a service's [`crate::MeshEvents`] must not wait here: the answer may
    /// stand behind frames that only that loop takes.
    ///
    /// # Errors
    ///
    /// [`RequestError`], which says whether the peer may have seen the request.
    pub fn request<M: Serialize + ?Sized, A: DeserializeOwned>(
        &self,
        service: Service,
        message: &M,
        payload: Bytes,
        timeout: Duration,
    ) -> impl Future<Output = Result<(A, Bytes), RequestError>> + Send + use<M, A> {
        let asked = self.ask(service, message, payload);
        async move {
            let (mut ticket, answer) = asked?;
            let raw = match tokio::time::timeout(timeout, answer).await {
                Ok(Ok(raw)) => raw,
                Ok(Err(_)) => return Err(RequestError::Closed(ticket.link.why())),
                Err(_) => return Err(RequestError::Timeout(timeout)),
            };
            ticket.is_answered = true;
            if raw.kind == Kind::Refusal {
                let why = String::from_utf8_lossy(&raw.header).into_owned();
                return Err(RequestError::Refused(why));
            }
            Ok((decode(&raw.header)?, raw.payload))
        }
    }

    fn ask<M: Serialize + ?Sized>(
        &self,
        service: Service,
        message: &M,
        payload: Bytes,
    ) -> Result<(Ticket, oneshot::Receiver<Raw>), RequestError> {
        let (sender, answer) = oneshot::channel();
        let mut asked = self.asked();
        if asked.waiting.len() >= REQUESTS_MAX {
            return Err(RequestError::TooMany);
        }
        let correlation = asked.last + 1;
        self.queue(
            Kind::Request,
            service as u8,
            correlation,
            &Header::Message(message),
            payload,
        )?;
        asked.last = correlation;
        asked.waiting.insert(correlation, sender);
        drop(asked);
        let link = self.clone();
        Ok((
            Ticket {
                link,
                correlation,
                is_answered: false,
            },
            answer,
        ))
    }

    pub(crate) fn answer<M: Serialize + ?Sized>(
        &self,
        service: Service,
        correlation: u64,
        message: &M,
        payload: Bytes,
    ) {
        let header = Header::Message(message);
        match self.queue(Kind::Answer, service as u8, correlation, &header, payload) {
            // Nobody is left to tell.
            Ok(()) | Err(SendError::Closed(_)) => {}
            Err(error) => {
                tracing::warn!(peer = %self.peer(), %error, "cannot send an answer");
                self.refuse(service as u8, correlation, &error.to_string());
            }
        }
    }

    pub(crate) fn refuse(&self, service: u8, correlation: u64, why: &str) {
        let header = Header::<()>::Text(why);
        let refused = self.queue(Kind::Refusal, service, correlation, &header, Bytes::new());
        if let Err(error) = refused {
            tracing::debug!(peer = %self.peer(), %error, "cannot refuse a request");
        }
    }

    /// Closes the link. What is queued is still written, if the peer reads; then `why` is the last
    /// it hears. A second call changes nothing.
    pub fn close(&self, why: &str) {
        let queue = self.lock_queue();
        let is_first = self.0.closed.send_if_modified(|closed| {
            let is_open = closed.is_none();
            if is_open {
                *closed = Some(why.into());
            }
            is_open
        });
        drop(queue);
        if is_first {
            self.asked().waiting.clear();
            self.0.filled.notify_one();
        }
    }

    /// Waits until the link is closed, by either end, and says why.
    pub async fn closed(&self) -> Arc<str> {
        let mut closed = self.0.closed.subscribe();
        let why = closed.wait_for(Option::is_some).await;
        why.ok()
            .and_then(|why| why.clone())
            .expect("`self` holds the sender, and waited for Some")
    }

    /// Why it is closed, if it is.
    pub fn close_reason(&self) -> Option<Arc<str>> {
        self.0.closed.borrow().clone()
    }

    /// Why it is closed; for when it is known to be.
    pub(crate) fn why(&self) -> Arc<str> {
        self.close_reason()
            .unwrap_or_else(|| "it was abandoned".into())
    }

    fn queue<M: Serialize + ?Sized>(
        &self,
        kind: Kind,
        service: u8,
        correlation: u64,
        header: &Header<'_, M>,
        payload: Bytes,
    ) -> Result<(), SendError> {
        let mut queue = self.lock_queue();
        // Under the lock: the writer looks for the last frames after it saw that this is closed.
        if let Some(why) = self.close_reason() {
            return Err(SendError::Closed(why));
        }
        if queue.bytes + payload.len() > UNWRITTEN_MAX {
            return Err(SendError::Full);
        }
        let was_empty = queue.is_empty();
        queue
            .add(kind, service, correlation, header, payload)
            .map_err(|error| match error {
                EncodeError::TooLarge => SendError::TooLarge,
                EncodeError::Message(error) => SendError::Message(error),
            })?;
        drop(queue);
        if was_empty {
            self.0.filled.notify_one();
        }
        Ok(())
    }

    /// An answer or a refusal came in. Nobody waits for it if it is late.
    fn answered(&self, raw: Raw) {
        let sender = self.asked().waiting.remove(&raw.correlation);
        if let Some(sender) = sender {
            // The asker may leave at this moment.
            drop(sender.send(raw));
        }
    }

    /// Counts what is handed to a subscriber.
    fn delivered(&self, bytes: usize) {
        self.0.unread.fetch_add(bytes, Ordering::AcqRel);
    }

    /// A subscriber took what was counted.
    pub(crate) fn taken(&self, bytes: usize) {
        let before = self.0.unread.fetch_sub(bytes, Ordering::AcqRel);
        if before >= UNREAD_MAX && before - bytes < UNREAD_MAX {
            self.0.drained.notify_one();
        }
    }

    /// Whether this end dialed.
    pub(crate) fn is_dialed(&self) -> bool {
        self.0.dialed
    }

    pub(crate) fn attempt(&self) -> u64 {
        self.0.attempt
    }

    fn lock_queue(&self) -> MutexGuard<'_, Queue> {
        self.0
            .queue
            .lock()
            .expect("encoding a message does not panic")
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.0
            .asked
            .lock()
            .expect("encoding a message does not panic")
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("peer", self.peer())
            .finish_non_exhaustive()
    }
}

/// A request's place among those that wait: given back when its asker leaves.
struct Ticket {
    link: Link,
    correlation: u64,
    is_answered: bool,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_answered {
            self.link.asked().waiting.remove(&self.correlation);
        }
    }
}
