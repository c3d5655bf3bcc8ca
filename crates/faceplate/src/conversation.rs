//! Requests and answers on one connection, for protocols of messages: several calls at a time,
//! answered in the order of the requests or as they come, within the listener's limits.

use crate::limits::Limits;
use crate::room::{FREE_BYTES, Rooms};
use crate::server::Connection;
use bytes::{Bytes, BytesMut};
use dispatch::{CallError, Code};
use futures_util::FutureExt;
use futures_util::stream::{BoxStream, FuturesOrdered, FuturesUnordered, StreamExt};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;

/// Bytes that are asked for at a time, and so what an idle connection holds.
const READ_BYTES: usize = 4 * 1024;

/// Bytes of answers that are put together before they are written.
const WRITE_BYTES: usize = 64 * 1024;

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
    // Answers that are done, and those in front of them that go out piece by piece.
    let mut done = VecDeque::new();
    let mut pieces: Option<BoxStream<'static, io::Result<Bytes>>> = None;
    let mut out = BytesMut::new();
    // What is said at the end, once all answers are out.
    let mut last = Bytes::new();
    let mut is_reading = true;
    let pulse = framing.pulse();
    let (mut said, mut heard) = (Instant::now(), Instant::now());
    loop {
        while pieces.is_none()
            && out.len() < WRITE_BYTES
            && let Some(answer) = done.pop_front()
        {
            match answer {
                Outgoing::Nothing => {}
                Outgoing::Whole(bytes) => out.extend_from_slice(&bytes),
                Outgoing::Pieces(begun) => pieces = Some(begun),
                Outgoing::Last(bytes) => {
                    out.extend_from_slice(&bytes);
                    socket.write_all(&out).await?;
                    return socket.shutdown().await;
                }
            }
        }
        if !out.is_empty() {
            socket.write_all_buf(&mut out).await?;
            said = Instant::now();
        }
        while is_reading && answers.len() + done.len() < manners.calls_max {
            match inlet.take(&mut framing) {
                Ok(Some(message)) => answers.push(handle(message)),
                Ok(None) => break,
                Err(error) => {
                    last = framing.refuse(error);
                    is_reading = false;
                }
            }
        }
        if pieces.is_none() && !done.is_empty() {
            continue;
        }
        if !is_reading && answers.len() == 0 && pieces.is_none() {
            socket.write_all(&last).await?;
            return socket.shutdown().await;
        }
        let may_read = is_reading && answers.len() + done.len() < manners.calls_max;
        if !may_read {
            // The client is not to blame for what does not come meanwhile.
            inlet.due = None;
        }
        let late = inlet.late();
        tokio::select! {
            biased;
            piece = next_piece(&mut pieces), if pieces.is_some() => match piece {
                Some(piece) => out.extend_from_slice(&piece?),
                None => pieces = None,
            },
            Some(answer) = answers.next(), if answers.len() > 0 => {
                done.push_back(answer);
                // Those that are ready by now go out with it.
                while answers.len() > 0
                    && let Some(Some(answer)) = answers.next().now_or_never()
                {
                    done.push_back(answer);
                }
            }
            read = socket.read_buf(inlet.room()), if may_read => match read? {
                0 if manners.half_close => {
                    is_reading = false;
                    let rest = framing.rest(std::mem::take(&mut inlet.read));
                    if let Some(message) = rest {
                        answers.push(handle(message));
                    }
                }
                // Dropped, the calls are cancelled.
                0 => return Ok(()),
                _ => heard = Instant::now(),
            },
            beat = beat(pulse, said) => out.extend_from_slice(beat),
            () = silence(pulse, heard), if may_read => return Err(io::ErrorKind::TimedOut.into()),
            () = late, if may_read => {
                last = framing.refuse(inlet.lateness());
                is_reading = false;
            }
            () = closing.begun(), if is_reading => is_reading = false,
        }
    }
}

async fn next_piece(
    pieces: &mut Option<BoxStream<'static, io::Result<Bytes>>>,
) -> Option<io::Result<Bytes>> {
    match pieces {
        Some(pieces) => pieces.next().await,
        None => None,
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
