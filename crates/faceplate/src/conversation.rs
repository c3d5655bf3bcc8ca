//! Requests and answers on one connection, for protocols of messages: several calls at a time,
//! answered in the order of the requests or as they come, within the listener's limits.

use crate::limits::{Limits, UNREAD_MAX, WRITE_BYTES};
use crate::room::{FREE_BYTES, Rooms};
use crate::server::Connection;
use crate::socket::{Lookout, Socket};
use bytes::{Buf, Bytes, BytesMut};
use dispatch::{CallError, Code};
use futures_util::FutureExt;
use futures_util::stream::{BoxStream, FuturesOrdered, FuturesUnordered, StreamExt};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

/// Bytes that are asked for at a time, and so what an idle connection holds.
const READ_BYTES: usize = 4 * 1024;

/// How a protocol cuts a connection's bytes into messages.
pub(crate) trait Framing: Send {
    /// What a message is to the protocol.
    type Message;

    /// Takes a message off the front of what was read; none if it has not come whole. After an error
    /// nothing more is read.
    fn take(&mut self, read: &mut BytesMut) -> Result<Option<Self::Message>, CallError>;

    /// What a client that has said its last byte leaves behind without an end, if that is a message.
    fn rest(&mut self, _: BytesMut) -> Option<Self::Message> {
        None
    }

    /// The answer to what is no message.
    fn refuse(&self, error: CallError) -> Bytes;

    /// How both ends show that they are there; none if they need not.
    fn pulse(&self) -> Option<Pulse> {
        None
    }
}

/// Signs of life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pulse {
    /// What is sent when nothing else has been for so long.
    pub beat: &'static [u8],
    /// How long.
    pub every: Duration,
    /// When nothing has come for so long, the client is taken for dead.
    pub silence_max: Duration,
}

/// What is sent in answer to a message.
pub(crate) enum Outgoing {
    /// Nothing at all.
    Nothing,
    /// All of it.
    Whole(Bytes),
    /// Piece by piece, as fast as the client reads. An error cuts the connection off, for protocols
    /// that have no other way to break a stream.
    Pieces(BoxStream<'static, io::Result<Bytes>>),
    /// All of it, and then the connection closes.
    Last(Bytes),
}

/// How a protocol behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manners {
    /// Messages that may wait for their answers at a time; no more are read meanwhile.
    pub calls_max: usize,
    /// Answers come in the order of the requests.
    pub in_order: bool,
    /// A client that has said its last byte still waits for answers. Otherwise it has left.
    pub half_close: bool,
}

/// Converses to the end of a connection. `handle` is called for each message in the order in which
/// they come, and what it gives back then runs beside the others.
pub(crate) async fn converse<F, A>(
    connection: Connection,
    framing: F,
    manners: Manners,
    handle: impl FnMut(F::Message) -> A,
) where
    F: Framing,
    A: Future<Output = Outgoing>,
{
    if let Err(error) = run(connection, framing, manners, handle).await {
        tracing::debug!(%error, "a connection broke off");
    }
}

async fn run<F, A>(
    connection: Connection,
    mut framing: F,
    manners: Manners,
    mut handle: impl FnMut(F::Message) -> A,
) -> io::Result<()>
where
    F: Framing,
    A: Future<Output = Outgoing>,
{
    let Connection {
        mut socket,
        desk,
        mut closing,
        ..
    } = connection;
    let mut inlet = Inlet::new(&desk.limits, &desk.rooms);
    let mut answers = Answers::new(manners.in_order);
    let mut outlet = Outlet::default();
    // What is said at the end, once all answers are out.
    let mut last = Bytes::new();
    let mut is_reading = true;
    // Who does not read is not told of a reset.
    let mut lookout = None;
    let pulse = framing.pulse();
    let (mut said, mut heard) = (Instant::now(), Instant::now());
    loop {
        if outlet.fill() {
            outlet.send(&mut socket).await?;
            return socket.shutdown().await;
        }
        if !outlet.out.is_empty() {
            outlet.send(&mut socket).now_or_never().transpose()?;
            said = Instant::now();
        }
        let has_room = |waiting: usize, outlet: &Outlet| {
            waiting + outlet.done.len() < manners.calls_max && outlet.unread < WRITE_BYTES
        };
        while is_reading && has_room(answers.len(), &outlet) {
            match inlet.take(&mut framing) {
                Ok(Some(message)) => answers.push(handle(message)),
                Ok(None) => break,
                Err(error) => {
                    last = framing.refuse(error);
                    is_reading = false;
                }
            }
        }
        if outlet.has_next() {
            continue;
        }
        if !is_reading && answers.len() == 0 && outlet.is_done() {
            socket.write_all(&last).await?;
            return socket.shutdown().await;
        }
        let may_read = is_reading && has_room(answers.len(), &outlet);
        if !may_read {
            // The client is not to blame for what does not come meanwhile.
            inlet.due = None;
            if lookout.is_none() {
                lookout = socket.lookout()?;
            }
        }
        let late = inlet.late();
        let room = may_read.then(|| inlet.room());
        tokio::select! {
            biased;
            Some(answer) = answers.next(), if answers.len() > 0 => {
                outlet.push(answer)?;
                // Those that are ready by now go out with it.
                while answers.len() > 0
                    && let Some(Some(answer)) = answers.next().now_or_never()
                {
                    outlet.push(answer)?;
                }
            }
            moved = outlet.exchange(&mut socket, room) => match moved? {
                None => said = Instant::now(),
                Some(0) if manners.half_close => {
                    is_reading = false;
                    let rest = framing.rest(std::mem::take(&mut inlet.read));
                    if let Some(message) = rest {
                        desk.greet();
                        answers.push(handle(message));
                    }
                }
                // Dropped, the calls are cancelled.
                Some(0) => return Ok(()),
                Some(_) => {
                    heard = Instant::now();
                    // From now on there is less time, for the whole message.
                    desk.greet();
                }
            },
            error = broken(&lookout), if !may_read => return Err(error),
            beat = beat(pulse, said) => outlet.say(beat),
            () = silence(pulse, heard), if may_read => return Err(io::ErrorKind::TimedOut.into()),
            () = late, if may_read => {
                last = framing.refuse(inlet.lateness());
                is_reading = false;
            }
            _ = closing.begun(), if is_reading => is_reading = false,
        }
    }
}

/// Ready when the connection is broken off.
async fn broken(lookout: &Option<Lookout>) -> io::Error {
    match lookout {
        Some(lookout) => lookout.broken().await,
        None => std::future::pending().await,
    }
}

/// What is on its way to the client.
#[derive(Default)]
struct Outlet {
    /// What is being written.
    out: BytesMut,
    /// Whether something was written that may still be on this side of the socket.
    is_unflushed: bool,
    /// Answers that are done, behind what is being written.
    done: VecDeque<Outgoing>,
    /// The answer between the two that goes out piece by piece.
    pieces: Option<BoxStream<'static, io::Result<Bytes>>>,
    /// Bytes of all but that.
    unread: usize,
}

impl Outlet {
    /// Takes an answer that is done. A client that leaves too much of them unread is cut off.
    fn push(&mut self, answer: Outgoing) -> io::Result<()> {
        let bytes = answer.len();
        if self.unread > 0 && self.unread + bytes > UNREAD_MAX {
            let message = format!("its client leaves more than {UNREAD_MAX} bytes unread");
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, message));
        }
        self.unread += bytes;
        self.done.push_back(answer);
        Ok(())
    }

    /// Puts together what is to be written next; says whether that is the end.
    fn fill(&mut self) -> bool {
        while self.has_next() {
            match self.done.pop_front() {
                None | Some(Outgoing::Nothing) => {}
                Some(Outgoing::Whole(bytes)) => self.out.extend_from_slice(&bytes),
                Some(Outgoing::Pieces(begun)) => self.pieces = Some(begun),
                Some(Outgoing::Last(bytes)) => {
                    self.out.extend_from_slice(&bytes);
                    return true;
                }
            }
        }
        false
    }

    /// Whether an answer that is done can be written with what is there.
    fn has_next(&self) -> bool {
        self.pieces.is_none() && self.out.len() < WRITE_BYTES && !self.done.is_empty()
    }

    fn is_done(&self) -> bool {
        let is_sent = self.out.is_empty() && !self.is_unflushed;
        is_sent && self.done.is_empty() && self.pieces.is_none()
    }

    /// Says something amid the answers.
    fn say(&mut self, bytes: &[u8]) {
        self.unread += bytes.len();
        self.out.extend_from_slice(bytes);
    }

    /// Writes all there is.
    async fn send(&mut self, socket: &mut Socket) -> io::Result<()> {
        poll_fn(|context| self.poll_send(socket, context)).await
    }

    fn poll_send(
        &mut self,
        socket: &mut Socket,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let mut socket = Pin::new(socket);
        while !self.out.is_empty() {
            let written = ready!(socket.as_mut().poll_write(context, &self.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
            self.unread -= written;
            self.is_unflushed = true;
        }
        if self.is_unflushed {
            ready!(socket.poll_flush(context))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes, reads into `room` if there is some, and takes pieces, whichever can be. Says how many
    /// bytes have come, or none if something went the other way.
    async fn exchange(
        &mut self,
        socket: &mut Socket,
        mut room: Option<&mut BytesMut>,
    ) -> io::Result<Option<usize>> {
        poll_fn(|context| {
            if !self.out.is_empty() || self.is_unflushed {
                if self.poll_send(socket, context)?.is_ready() {
                    return Poll::Ready(Ok(None));
                }
            } else if let Some(pieces) = &mut self.pieces {
                match pieces.poll_next_unpin(context)? {
                    Poll::Ready(Some(piece)) => {
                        self.say(&piece);
                        return Poll::Ready(Ok(None));
                    }
                    Poll::Ready(None) => {
                        self.pieces = None;
                        return Poll::Ready(Ok(None));
                    }
                    Poll::Pending => {}
                }
            }
            match &mut room {
                Some(room) => pin!(socket.read_buf(*room)).poll(context).map_ok(Some),
                None => Poll::Pending,
            }
        })
        .await
    }
}

impl Outgoing {
    fn len(&self) -> usize {
        match self {
            Self::Nothing | Self::Pieces(_) => 0,
            Self::Whole(bytes) | Self::Last(bytes) => bytes.len(),
        }
    }
}

/// What to send, when that is due.
async fn beat(pulse: Option<Pulse>, said: Instant) -> &'static [u8] {
    match pulse {
        Some(pulse) => {
            tokio::time::sleep_until(said + pulse.every).await;
            pulse.beat
        }
        None => std::future::pending().await,
    }
}

/// Ready when nothing has come for too long.
async fn silence(pulse: Option<Pulse>, heard: Instant) {
    match pulse {
        Some(pulse) => tokio::time::sleep_until(heard + pulse.silence_max).await,
        None => std::future::pending().await,
    }
}

/// What was read and is not yet a message.
struct Inlet<'a> {
    read: BytesMut,
    limits: &'a Limits,
    rooms: &'a Rooms,
    room: Option<SemaphorePermit<'a>>,
    /// By when the message must have come whole of which there are some bytes.
    due: Option<Instant>,
}

impl<'a> Inlet<'a> {
    fn new(limits: &'a Limits, rooms: &'a Rooms) -> Self {
        Self {
            read: BytesMut::new(),
            limits,
            rooms,
            room: None,
            due: None,
        }
    }

    /// The next message, and the state of the one after it.
    fn take<F: Framing>(&mut self, framing: &mut F) -> Result<Option<F::Message>, CallError> {
        let message = framing.take(&mut self.read)?;
        if message.is_some() {
            if self.room.take().is_some() {
                // Small messages behind a large one are not to keep all of its memory.
                self.read = BytesMut::from(&self.read[..]);
            }
            self.due = None;
            return Ok(message);
        }
        if self.read.is_empty() {
            // What a large message has used is given back.
            self.read = BytesMut::new();
            self.due = None;
            return Ok(None);
        }
        self.due
            .get_or_insert_with(|| Instant::now() + self.limits.body_timeout);
        if self.read.len() > FREE_BYTES {
            self.room = None;
            self.room = Some(self.rooms.take(self.read.len())?);
        }
        Ok(None)
    }

    /// Where more bytes go.
    fn room(&mut self) -> &mut BytesMut {
        self.read.reserve(READ_BYTES);
        &mut self.read
    }

    /// What a client hears whose message has taken too long to come.
    fn lateness(&self) -> CallError {
        let timeout = self.limits.body_timeout;
        let message = format!("expected the whole message within {timeout:?}");
        CallError::new(Code::BadRequest, message)
    }

    /// Ready when a message has taken too long to come.
    fn late(&self) -> impl Future<Output = ()> + use<> {
        let due = self.due;
        async move {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        }
    }
}

/// Answers in the making.
enum Answers<A: Future> {
    InOrder(FuturesOrdered<A>),
    AsTheyCome(FuturesUnordered<A>),
}

impl<A: Future> Answers<A> {
    fn new(in_order: bool) -> Self {
        if in_order {
            Self::InOrder(FuturesOrdered::new())
        } else {
            Self::AsTheyCome(FuturesUnordered::new())
        }
    }

    fn push(&mut self, answer: A) {
        match self {
            Self::InOrder(answers) => answers.push_back(answer),
            Self::AsTheyCome(answers) => answers.push(answer),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::InOrder(answers) => answers.len(),
            Self::AsTheyCome(answers) => answers.len(),
        }
    }

    async fn next(&mut self) -> Option<A::Output> {
        match self {
            Self::InOrder(answers) => answers.next().await,
            Self::AsTheyCome(answers) => answers.next().await,
        }
    }
}
