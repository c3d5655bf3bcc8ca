//! Messages on their way in: cut out of a request's body, each behind a flag and its length,
//! within limits of size, memory and time.

use super::status::Status;
use crate::desk::Desk;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use dispatch::{CallError, Code};
use http::HeaderMap;
use hyper::body::{Body, Frame};
use std::fmt::Display;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;

/// Bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is compressed.
    Compressed,
    /// Its first byte is neither 0 nor 1.
    Flag(u8),
    /// It is longer than this many bytes.
    TooLong(usize),
}

/// Takes the next message from what was read; none if it is not complete.
pub(super) fn take(read: &mut BytesMut, max: usize) -> Result<Option<Bytes>, Refused> {
    let Some((flag, mut length)) = read.first().zip(read.get(1..PREFIX)) else {
        return Ok(None);
    };
    match flag {
        0 => {}
        1 => return Err(Refused::Compressed),
        other => return Err(Refused::Flag(*other)),
    }
    let length = length.get_u32() as usize;
    if length > max {
        return Err(Refused::TooLong(max));
    }
    if read.len() < PREFIX + length {
        return Ok(None);
    }
    read.advance(PREFIX);
    Ok(Some(read.split_to(length).freeze()))
}

/// A message with what stands before it.
pub(super) fn wrap(message: &[u8]) -> Result<Bytes, Status> {
    let Ok(length) = u32::try_from(message.len()) else {
        let text = "the answer is longer than 4 GiB, the most that gRPC can say";
        return Err(CallError::new(Code::TooLarge, text).into());
    };
    let mut frame = BytesMut::with_capacity(PREFIX + message.len());
    frame.put_u8(0);
    frame.put_u32(length);
    frame.put_slice(message);
    Ok(frame.freeze())
}

/// Messages that are compressed are not read: those who say so in the headers are told before.
pub(super) fn check_encoding(headers: &HeaderMap) -> Result<(), Status> {
    match headers.get("grpc-encoding") {
        Some(encoding) if *encoding != "identity" => Err(Status::compressed()),
        _ => Ok(()),
    }
}

/// The messages of one request.
pub(super) struct Messages<B> {
    body: B,
    read: BytesMut,
    room: Room,
    max: usize,
}

impl<B: Body<Data = Bytes, Error: Display> + Unpin> Messages<B> {
    /// Of a body, each of at most so many bytes.
    pub fn new(body: B, desk: Arc<Desk>, max: usize) -> Self {
        Self {
            body,
            read: BytesMut::new(),
            room: Room { desk, held: 0 },
            max,
        }
    }

    /// The next message; none after the last.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = take(&mut self.read, self.max)? {
                return Ok(Some(message));
            }
            match poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await {
                None if self.read.is_empty() => return Ok(None),
                None => return Err(bad("the request ended within a message")),
                Some(Ok(frame)) => self.add(frame)?,
                Some(Err(error)) => return Err(bad(format!("the request broke off: {error}"))),
            }
        }
    }

    fn add(&mut self, frame: Frame<Bytes>) -> Result<(), Status> {
        // Trailers of a request mean nothing here.
        if let Ok(data) = frame.into_data() {
            self.room.take(data.len())?;
            self.read.extend_from_slice(&data);
        }
        Ok(())
    }

    /// The one message of a request, once that has ended.
    pub async fn only(mut self) -> Result<Bytes, Status> {
        let timeout = self.room.desk.limits.body_timeout;
        let read = async {
            let Some(message) = self.next().await? else {
                return Err(bad("expected a message in the request, got none"));
            };
            match self.next().await? {
                None => Ok(message),
                Some(_) => Err(bad("expected one message in the request, got another")),
            }
        };
        tokio::time::timeout(timeout, read)
            .await
            .unwrap_or_else(|_| {
                Err(bad(format!(
                    "expected the whole request within {timeout:?}"
                )))
            })
    }
}

fn bad(message: impl Into<String>) -> Status {
    CallError::new(Code::BadRequest, message).into()
}

impl From<Refused> for Status {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Compressed => Self::compressed(),
            Refused::Flag(flag) => bad(format!("expected 0 before a message, got {flag}")),
            Refused::TooLong(max) => {
                let message = format!("expected a message of at most {max} bytes");
                CallError::new(Code::TooLarge, message).into()
            }
        }
    }
}

/// The memory that a request takes up while its messages are not complete.
struct Room {
    desk: Arc<Desk>,
    held: usize,
}

impl Room {
    fn take(&mut self, bytes: usize) -> Result<(), CallError> {
        self.held += self.desk.rooms.hold(bytes)?;
        Ok(())
    }

    fn leave(&mut self) {
        self.desk.rooms.leave(std::mem::take(&mut self.held));
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.leave();
    }
}
