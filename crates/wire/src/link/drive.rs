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

/// After so many reads the writer gets its turn, and other tasks theirs, however fast the peer
/// sends: an end that only reads would seem dead to the other.
const READS_AT_ONCE: u32 = 16;

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
    let mut reads = 0;
    loop {
        if reads == READS_AT_ONCE {
            reads = 0;
            tokio::task::yield_now().await;
        }
        reads += 1;
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

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Context, Poll};

    use pool::NodeId;
    use tokio::io::{DuplexStream, ReadBuf, duplex};

    use super::*;
    use crate::link::Peer;

    /// Counts how often it is written to.
    struct Counting(DuplexStream, Arc<AtomicUsize>);

    impl AsyncRead for Counting {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }

    impl AsyncWrite for Counting {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut self.0).poll_write(cx, bytes)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    /// Takes nothing.
    struct Nobody;

    impl Deliver for Nobody {
        fn deliver(&self, _link: &Link, frame: Frame) -> Result<(), Frame> {
            Err(frame)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_sent_together_is_written_at_once() {
        let (near, mut far) = duplex(1 << 20);
        let writes = Arc::new(AtomicUsize::new(0));
        let (node, address) = (NodeId(1), std::net::SocketAddr::from(([127, 0, 0, 1], 1)));
        let peer = Peer {
            node,
            name: "n".into(),
            incarnation: 1,
            version: 1,
            address,
        };
        let link = Link::new(peer, true, 1);
        let stream = Box::new(Counting(near, Arc::clone(&writes)));
        let driven = link.clone();
        let driver = tokio::spawn(async move {
            drive(&driven, stream, LinkTiming::default(), &Nobody, || {}).await;
        });
        let send = |number: u32| link.send(Service::Calls, &number, Bytes::from_static(b"payload"));
        for burst in 1..=3 {
            (0..500).for_each(|number| send(number).expect("is queued"));
            let mut read = vec![0; 1 << 20];
            // Each write arrives as one read here.
            while far.read(&mut read).await.expect("reads") < 500 * 17 {}
            // Beside the bursts a ping, at the start.
            assert!((burst..=burst + 1).contains(&writes.load(Ordering::Relaxed)));
        }
        link.close("over");
        driver.await.expect("ends");
    }
}
