//! Streamed answers over HTTP: JSON pieces as server-sent events, others as they are.
//!
//! hyper asks for the next piece when it has written the last one out, so that a slow reader takes
//! pieces slowly and the worker runs out of credit. A client that leaves drops the stream, which
//! cancels the call.

use super::body::Body;
use super::problem::Problem;
use crate::exchange::Pieces;
use crate::receipt::Receipt;
use bytes::{BufMut, Bytes, BytesMut};
use dispatch::{CallError, Code};
use futures_util::stream::{Stream, unfold};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use term::Payload;

const EVENT_STREAM: HeaderValue = HeaderValue::from_static("text/event-stream");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// What tells a client that it has seen all pieces. The empty data line is what makes a browser
/// take notice of an event without data.
const END: &[u8] = b"event: end\ndata:\n\n";

type Taken = Result<Payload, CallError>;

/// A streamed answer on its way to a client.
pub(crate) struct Events {
    first: Option<Taken>,
    rest: Pin<Box<dyn Stream<Item = Taken> + Send>>,
    /// The content type of the pieces; none if they are JSON and go out as events.
    raw: Option<HeaderValue>,
    receipt: Receipt,
    ended: bool,
}

/// The response to a call that is answered in pieces. The first piece decides on its form; an error
/// in place of the first piece is a problem like any other.
pub(crate) async fn respond(
    mut pieces: Pieces,
    receipt: Receipt,
) -> Result<Response<Body>, CallError> {
    let first = pieces.next().await.transpose()?;
    let raw = match &first {
        None | Some(Payload::Json(_)) => None,
        Some(other) => Some(content_type(other)?),
    };
    let content_type = raw.clone().unwrap_or(EVENT_STREAM);
    let rest = unfold(pieces, async |mut pieces| {
        Some((pieces.next().await?, pieces))
    });
    let events = Events {
        first: first.map(Ok),
        rest: Box::pin(rest),
        raw,
        receipt,
        ended: false,
    };
    let mut response = Response::new(Body::Stream(Box::new(events)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, NO_STORE);
    receipt.write(headers);
    Ok(response)
}

/// The content type of a payload as a header; it comes from a worker, so it need not fit.
pub(crate) fn content_type(payload: &Payload) -> Result<HeaderValue, CallError> {
    HeaderValue::from_str(payload.content_type()).map_err(|_| {
        CallError::new(
            Code::Protocol,
            "the worker gave a content type that is no header value",
        )
    })
}

impl Events {
    /// The next bytes for the client; none after the last.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let next = match self.first.take() {
            Some(first) => Some(first),
            None => ready!(self.rest.as_mut().poll_next(context)),
        };
        Poll::Ready(match self.raw {
            Some(_) => self.raw_piece(next).transpose(),
            None => Some(Ok(self.event(next))),
        })
    }

    fn event(&mut self, next: Option<Taken>) -> Bytes {
        let error = match next {
            None => {
                self.ended = true;
                return Bytes::from_static(END);
            }
            Some(Ok(Payload::Json(bytes))) => return event(None, &bytes),
            Some(Ok(other)) => mixed(&other),
            Some(Err(error)) => error,
        };
        self.ended = true;
        event(
            Some("error"),
            &Problem::from(error).to_json(Some(&self.receipt)),
        )
    }

    /// There is no place for an error between raw bytes: the response breaks off, which a client
    /// can tell from its end by the missing last chunk.
    fn raw_piece(&mut self, next: Option<Taken>) -> io::Result<Option<Bytes>> {
        let broken = match next {
            None => {
                self.ended = true;
                return Ok(None);
            }
            Some(Ok(piece))
                if self
                    .raw
                    .as_ref()
                    .is_some_and(|raw| *raw == *piece.content_type()) =>
            {
                return Ok(Some(piece.bytes().clone()));
            }
            Some(Ok(other)) => mixed(&other),
            Some(Err(error)) => error,
        };
        self.ended = true;
        Err(io::Error::other(broken))
    }
}

fn mixed(piece: &Payload) -> CallError {
    let message = format!("a piece is {}, unlike the first one", piece.content_type());
    CallError::new(Code::Protocol, message)
}

/// One server-sent event. A line break ends a `data:` line, so each line of the data gets its own.
fn event(name: Option<&str>, data: &[u8]) -> Bytes {
    let mut event = BytesMut::with_capacity(data.len() + 32);
    if let Some(name) = name {
        event.put_slice(b"event: ");
        event.put_slice(name.as_bytes());
        event.put_u8(b'\n');
    }
    let mut rest = Some(data);
    while let Some(data) = rest {
        let (line, behind) = split_line(data);
        event.put_slice(b"data: ");
        event.put_slice(line);
        event.put_u8(b'\n');
        rest = behind;
    }
    event.put_u8(b'\n');
    event.freeze()
}

/// The first line, and what is behind its end: LF, CR or both.
fn split_line(data: &[u8]) -> (&[u8], Option<&[u8]>) {
    match data.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        None => (data, None),
        Some(end) if data[end..].starts_with(b"\r\n") => (&data[..end], Some(&data[end + 2..])),
        Some(end) => (&data[..end], Some(&data[end + 1..])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_the_data_gets_a_line_of_the_event() {
        assert_eq!(event(None, b"1"), "data: 1\n\n");
        assert_eq!(
            event(Some("error"), b"{\n}"),
            "event: error\ndata: {\ndata: }\n\n"
        );
        assert_eq!(
            event(None, b"[\r1]"),
            "data: [\ndata: 1]\n\n",
            "a lone CR ends a line too"
        );
    }
}
