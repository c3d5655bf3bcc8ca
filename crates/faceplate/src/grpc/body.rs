//! Answers on their way out: messages, and behind them how it ended.
//!
//! hyper asks for the next frame when the client has room for it, so that a slow reader takes pieces
//! slowly and the worker runs out of credit. Long messages go out in parts: each that is asked for
//! shows that the client still reads.

use super::status::{Status, write_ok};
use crate::limits::UNREAD_MAX;
use crate::presence::Busy;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response};
use hyper::body::{Frame, SizeHint};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

const APPLICATION_GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// Bytes that go out at a time.
const PART_MAX: usize = 64 * 1024;

/// Messages, each with its prefix; an error ends them.
pub(super) type Frames = BoxStream<'static, Result<Bytes, Status>>;

/// The body of an answer.
pub(super) struct Body {
    /// What is left of the message that is going out.
    now: Bytes,
    rest: Rest,
    reader: Option<Reader>,
}

enum Rest {
    Messages(Frames),
    Trailers,
    Nothing,
}

/// An answer of one message.
pub(super) fn message(frame: Bytes) -> Response<Body> {
    response(frame, Rest::Trailers)
}

/// An answer of any number of messages.
pub(super) fn messages(frames: Frames) -> Response<Body> {
    response(Bytes::new(), Rest::Messages(frames))
}

/// An answer of no message: how it ended stands in the headers.
pub(super) fn failed(status: &Status) -> Response<Body> {
    let mut response = response(Bytes::new(), Rest::Nothing);
    status.write(response.headers_mut());
    response
}

/// To a request that is not one of gRPC.
pub(super) fn refused(status: http::StatusCode) -> Response<Body> {
    let mut response = response(Bytes::new(), Rest::Nothing);
    *response.status_mut() = status;
    response
}

fn response(now: Bytes, rest: Rest) -> Response<Body> {
    let mut response = Response::new(Body {
        now,
        rest,
        reader: None,
    });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, APPLICATION_GRPC);
    response
}

impl Body {
    /// Lets it be seen how long its reader takes.
    pub fn watched(&mut self, readers: &Arc<Readers>, busy: Busy) {
        let mut reader = readers.add(busy);
        reader.holds(self.now.len());
        self.reader = Some(reader);
    }

    fn part(&mut self) -> Frame<Bytes> {
        Frame::data(self.now.split_to(self.now.len().min(PART_MAX)))
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Frame<Bytes>>> {
        if !self.now.is_empty() {
            return Poll::Ready(Some(self.part()));
        }
        Poll::Ready(match std::mem::replace(&mut self.rest, Rest::Nothing) {
            Rest::Messages(mut frames) => match frames.as_mut().poll_next(context) {
                Poll::Pending => {
                    self.rest = Rest::Messages(frames);
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(frame))) => {
                    self.rest = Rest::Messages(frames);
                    self.now = frame;
                    Some(self.part())
                }
                Poll::Ready(Some(Err(status))) => {
                    let mut trailers = HeaderMap::new();
                    status.write(&mut trailers);
                    Some(Frame::trailers(trailers))
                }
                Poll::Ready(None) => Some(trailers()),
            },
            Rest::Trailers => Some(trailers()),
            Rest::Nothing => None,
        })
    }
}

fn trailers() -> Frame<Bytes> {
    let mut trailers = HeaderMap::new();
    write_ok(&mut trailers);
    Frame::trailers(trailers)
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let body = self.get_mut();
        let frame = body.poll(context);
        if let Some(reader) = &mut body.reader {
            reader.note(matches!(&frame, Poll::Ready(Some(_))));
            reader.holds(body.now.len());
        }
        frame.map(|frame| frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.now.is_empty() && matches!(self.rest, Rest::Nothing)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// The answers of one connection that wait for their client to read.
#[derive(Debug, Default)]
pub(super) struct Readers {
    waits: Mutex<Waits>,
    /// There is more than a client may leave unread.
    full: Notify,
}

#[derive(Debug, Default)]
struct Waits {
    /// Since when, by number.
    since: BTreeMap<u64, Instant>,
    next: u64,
    /// Bytes of messages that have not gone out.
    unread: usize,
}

/// One answer's place among them.
struct Reader {
    readers: Arc<Readers>,
    number: u64,
    /// Bytes of its message that have not gone out.
    unread: usize,
    _busy: Busy,
}

impl Readers {
    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(self: &Arc<Self>, busy: Busy) -> Reader {
        let mut waits = self.waits();
        waits.next += 1;
        Reader {
            readers: self.clone(),
            number: waits.next,
            unread: 0,
            _busy: busy,
        }
    }

    /// Ready when a client has left something unread for that long, or too much of it.
    pub async fn stuck(&self, patience: Duration) {
        tokio::select! {
            () = self.full.notified() => {}
            () = self.too_long(patience) => {}
        }
    }

    async fn too_long(&self, patience: Duration) {
        loop {
            let now = Instant::now();
            let oldest = self.waits().since.values().min().copied();
            let end = oldest.unwrap_or(now) + patience;
            if end <= now {
                return;
            }
            // One that begins to wait meanwhile is seen in the next round.
            tokio::time::sleep_until(end).await;
        }
    }
}

impl Reader {
    fn note(&self, waits: bool) {
        let mut all = self.readers.waits();
        if waits {
            all.since.insert(self.number, Instant::now());
        } else {
            all.since.remove(&self.number);
        }
    }

    fn holds(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.unread, bytes);
        let mut all = self.readers.waits();
        all.unread = all.unread - before + bytes;
        // A single message is as long as its worker may make it.
        if all.unread > UNREAD_MAX && all.unread > bytes {
            self.readers.full.notify_one();
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.note(false);
        self.holds(0);
    }
}
