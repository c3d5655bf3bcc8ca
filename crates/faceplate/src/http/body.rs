//! Bodies: requests are read whole, within limits, before they become calls; answers go out whole
//! or piece by piece.

use super::incoming::Incoming;
use super::problem::Problem;
use super::stream::Events;
use crate::desk::Desk;
use crate::limits::Limits;
use crate::room::Rooms;
use bytes::{Bytes, BytesMut};
use dispatch::Code;
use http::StatusCode;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body as _, Frame, SizeHint};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// The body of an answer.
pub(crate) enum Body {
    /// All of it; none once it is taken.
    Whole(Option<Bytes>),
    /// A streamed answer. Boxed, as most answers are not, and all of them are moved around.
    Stream(Box<Events>),
    /// A file, or what a program streams in its own form.
    Other(UnsyncBoxBody<Bytes, io::Error>),
}

impl Body {
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }

    pub fn empty() -> Self {
        Self::Whole(None)
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(events) => events
                .poll_next(context)
                .map(|next| next.map(|bytes| bytes.map(Frame::data))),
            Self::Other(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::Stream(_) => false,
            Self::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Self::Stream(_) => SizeHint::default(),
            Self::Other(body) => body.size_hint(),
        }
    }
}

/// Reads the body of a request, within its limits of size and time.
pub(crate) async fn read(mut body: Incoming, desk: &Desk) -> Result<Bytes, Problem> {
    let limits = &desk.limits;
    if body.size_hint().lower() > limits.body_max as u64 {
        return Err(too_large(limits.body_max));
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    // A small body has come with its headers, so that it is here at once and in one piece: no
    // timer is set, and nothing is copied.
    let first = poll_fn(|context| match Pin::new(&mut body).poll_frame(context) {
        Poll::Ready(frame) => Poll::Ready(Some(frame)),
        Poll::Pending => Poll::Ready(None),
    })
    .await;
    let first = match first {
        Some(frame) => {
            let data = data(frame)?;
            if body.is_end_stream() {
                return bounded(data.unwrap_or_default(), limits.body_max);
            }
            data
        }
        None => None,
    };
    let first = first.unwrap_or_default();
    let rest = collect(first, &mut body, limits.body_max, &desk.rooms);
    tokio::time::timeout(limits.body_timeout, rest)
        .await
        .unwrap_or_else(|_| Err(late(limits)))
}

async fn collect(
    first: Bytes,
    body: &mut Incoming,
    max: usize,
    rooms: &Rooms,
) -> Result<Bytes, Problem> {
    let mut room = rooms.take(0)?;
    let expected = usize::try_from(body.size_hint().lower())
        .unwrap_or(max)
        .min(max);
    let mut whole = BytesMut::new();
    let mut room_made = false;
    let mut next = Some(first);
    while let Some(piece) = next {
        if whole.len() + piece.len() > max {
            return Err(too_large(max));
        }
        room.merge(rooms.take(piece.len())?);
        // Memory is set aside as bytes come, not because a client says that they will.
        if !room_made && !whole.is_empty() {
            whole.reserve(expected.min(whole.len() * 16));
            room_made = true;
        }
        whole.extend_from_slice(&piece);
        next = loop {
            match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
                None => break None,
                frame => {
                    if let Some(data) = data(frame)? {
                        break Some(data);
                    }
                }
            }
        };
    }
    Ok(whole.freeze())
}

/// The bytes of a frame; none at the end and for trailers, which mean nothing here.
fn data(frame: Option<hyper::Result<Frame<Bytes>>>) -> Result<Option<Bytes>, Problem> {
    let Some(frame) = frame else { return Ok(None) };
    let frame = frame
        .map_err(|error| Problem::new(Code::BadRequest, format!("the body broke off: {error}")))?;
    Ok(frame.into_data().ok())
}

fn bounded(bytes: Bytes, max: usize) -> Result<Bytes, Problem> {
    if bytes.len() > max {
        Err(too_large(max))
    } else {
        Ok(bytes)
    }
}

fn too_large(max: usize) -> Problem {
    Problem::new(
        Code::TooLarge,
        format!("expected a body of at most {max} bytes"),
    )
}

fn late(limits: &Limits) -> Problem {
    let message = format!("expected the whole body within {:?}", limits.body_timeout);
    Problem::with_status(StatusCode::REQUEST_TIMEOUT, Code::BadRequest, message)
}
