//! The body of a request, as handlers get it: hyper's, which is read on for a moment when a handler
//! gives it up. To close on unread bytes would reset the connection, and a client that writes all of
//! its request before it reads might never see an answer that came early.

use crate::presence::{Busy, Presence};
use bytes::Bytes;
use http::HeaderMap;
use http::header::EXPECT;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming as Unread, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How much is read of what a client sends that nobody wants, and for how long: more than the longest
/// message that any configuration takes.
pub(super) const REST_BYTES_MAX: u64 = 64 * 1024 * 1024;
pub(super) const REST_TIMEOUT: Duration = Duration::from_secs(1);

/// The body of a request. Dropped before its end, it is read on and forgotten, within bounds.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// None once it has ended.
    rest: Option<Rest>,
}

#[derive(Debug)]
struct Rest {
    body: Unread,
    /// Whether the client waits to be told to go on, which reading does.
    is_untold: bool,
    /// Until its end, bytes are not the beginning of another head.
    _busy: Busy,
}

impl Incoming {
    pub fn new(body: Unread, headers: &HeaderMap, presence: &Arc<Presence>) -> Self {
        let rest = (!body.is_end_stream()).then(|| Rest {
            body,
            is_untold: headers.contains_key(EXPECT),
            _busy: presence.busy(),
        });
        Self { rest }
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(None);
        };
        rest.is_untold = false;
        let polled = Pin::new(&mut rest.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.rest = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.as_ref().is_none_or(|it| it.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.as_ref();
        rest.map_or(SizeHint::with_exact(0), |rest| rest.body.size_hint())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // A client that waits to be told has sent nothing, and is not to.
        if let Some(rest) = self.rest.take()
            && !rest.is_untold
            && !rest.body.is_end_stream()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(forget(rest));
        }
    }
}

async fn forget(mut rest: Rest) {
    let all = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = rest.body.frame().await
            && bytes < REST_BYTES_MAX
        {
            bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
    };
    // A client that is still sending has been given its chance.
    let _ = timeout(REST_TIMEOUT, all).await;
}
