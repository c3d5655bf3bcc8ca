//! The task of one link: reads, writes, pings, and notices that the peer is gone.
//!
//! `mesh` runs [`drive`] for each link. One task for both directions: what wakes it is handled in
//! one go, and a reader that waits for a subscriber does not keep the writer from pinging.

use std::io;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, MissedTickBehavior};

use super::{Link, LinkTiming, UNREAD_MAX};
use crate::frame::{Frame, Header, Kind, Raw, Service, parse, wanted};
use crate::network::Stream;
use crate::queue::Batch;

/// How much room a buffer for reads has at first: many small frames come with one read.
const READ_ROOM: usize = 64 << 10;

/// With less room than this left, the next read goes to a new buffer.
const READ_LEAST: usize = 8 << 10;

/// Takes what came in on a link.
pub(crate) trait Deliver {
    /// A message or a request; gives it back if nobody subscribed to its service.
    fn deliver(&self, link: &Link, frame: Frame) -> Result<(), Frame>;
}

/// Moves the bytes of `link` until it is closed, calls `down` when the last frame was delivered,
/// and then lets what is queued be written, for at most the time of a silence.
pub(crate) async fn drive(
    link: &Link,
    stream: Box<dyn Stream>,
    timing: LinkTiming,
    deliver: &impl Deliver,
    down: impl FnOnce(),
) {
    let (reader, writer) = tokio::io::split(stream);
    let mut write = std::pin::pin!(write(link, writer, timing));
    let (why, can_write) = tokio::select! {
        biased;
        why = link.closed() => (why.to_string(), true),
        why = read(link, reader, timing, deliver) => (why, true),
        written = &mut write => match written {
            Ok(()) => ("it ended".to_owned(), false),
            Err(error) => (format!("cannot write: {error}"), false),
        },
    };
    link.close(&why);
    down();
    if can_write {
        // A peer that does not read is told all the same, by the end of the connection.
        drop(tokio::time::timeout(timing.silence, write).await);
    }
}

/// Reads until that ends, and says why.
async fn read(
    link: &Link,
    mut reader: impl AsyncRead + Unpin,
    timing: LinkTiming,
    deliver: &impl Deliver,
) -> String {
    let mut buffer = BytesMut::new();
    let mut silence = std::pin::pin!(tokio::time::sleep(timing.silence));
    loop {
        let missing = wanted(&buffer).unwrap_or(0).saturating_sub(buffer.len());
        if buffer.capacity() - buffer.len() < missing.max(READ_LEAST) {
            buffer.reserve(missing.max(READ_ROOM));
        }
        let read = tokio::select! {
            biased;
            read = reader.read_buf(&mut buffer) => read,
            () = &mut silence => {
                return format!("nothing was heard for {} ms", timing.silence.as_millis());
            }
        };
        match read {
            Ok(0) => return "the peer closed the connection".to_owned(),
            Ok(_) => {}
            Err(error) => return format!("cannot read: {error}"),
        }
        loop {
            match parse(&mut buffer) {
                Ok(None) => break,
                Ok(Some(raw)) => {
                    if let Some(goodbye) = take(link, raw, deliver) {
                        return goodbye;
                    }
                }
                Err(error) => return format!("the peer sent what is no frame: {error}"),
            }
        }
        while link.0.unread.load(Ordering::Acquire) >= UNREAD_MAX {
            link.0.drained.notified().await;
        }
        // Only what was waited for in vain is silence.
        silence.as_mut().reset(Instant::now() + timing.silence);
    }
}

/// Takes one frame; gives the reason if it is a goodbye.
fn take(link: &Link, raw: Raw, deliver: &impl Deliver) -> Option<String> {
    match raw.kind {
        Kind::Answer | Kind::Refusal => link.answered(raw),
        Kind::Ping => {}
        Kind::Goodbye => {
            return Some(format!(
                "the peer said: {}",
                String::from_utf8_lossy(&raw.header)
            ));
        }
        Kind::Message | Kind::Request => {
            let (kind, service, correlation) = (raw.kind, raw.service, raw.correlation);
            let is_delivered = Service::of(service).is_some_and(|service| {
                let frame = Frame::of(service, raw);
                link.delivered(frame.weight());
                let delivered = deliver.deliver(link, frame);
                delivered
                    .map_err(|frame| link.taken(frame.weight()))
                    .is_ok()
            });
            if !is_delivered && kind == Kind::Request {
                link.refuse(
                    service,
                    correlation,
                    &format!("service {service} is not served here"),
                );
            }
        }
    }
    None
}

/// Writes all that is queued, each time there is something, and pings. Ends well when the link is
/// closed and the goodbye is written.
async fn write(
    link: &Link,
    mut writer: impl AsyncWrite + Unpin,
    timing: LinkTiming,
) -> io::Result<()> {
    let mut ping = tokio::time::interval(timing.ping);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut batch = Batch::default();
    loop {
        // In this order: after the reason is there, nothing is queued.
        let why = link.close_reason();
        link.lock_queue().take(&mut batch);
        let bytes = bytes::Buf::remaining(&batch);
        if bytes > 0 {
            writer.write_all_buf(&mut batch).await?;
            writer.flush().await?;
            link.lock_queue().bytes -= bytes;
        } else if let Some(why) = why {
            goodbye(link, &why, &mut batch);
            writer.write_all_buf(&mut batch).await?;
            return writer.shutdown().await;
        } else {
            tokio::select! {
                biased;
                () = link.0.filled.notified() => {}
                _ = ping.tick() => add(link, Kind::Ping, ""),
            }
        }
    }
}

/// The frame of a goodbye, beside the queue, which is closed.
fn goodbye(link: &Link, why: &str, batch: &mut Batch) {
    add(link, Kind::Goodbye, why);
    link.lock_queue().take(batch);
}

/// Queues one of the frames that are the link's own.
fn add(link: &Link, kind: Kind, text: &str) {
    let header = Header::<()>::Text(text);
    let added = link.lock_queue().add(kind, 0, 0, &header, Bytes::new());
    if added.is_err() {
        tracing::warn!(peer = %link.peer(), "a reason to close a link is larger than a frame");
    }
}
