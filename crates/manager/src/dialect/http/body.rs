//! The body of a request to a program: what there is of it, and then what comes while it runs.

use bytes::Bytes;
use dispatch::{BrokenInput, InputReader};
use hyper::body::{Frame, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

/// A body. Of an input its length may be known before it comes.
#[derive(Debug)]
pub(crate) struct Body {
    whole: Bytes,
    input: Option<InputReader>,
    broke: Option<Arc<AtomicBool>>,
    /// Bytes of the whole and the input that are still to come.
    left: Option<u64>,
}

impl Body {
    /// One that is here.
    pub fn new(whole: Bytes) -> Self {
        let left = Some(whole.len() as u64);
        Self {
            whole,
            input: None,
            broke: None,
            left,
        }
    }

    /// The same, with what comes after it: so many bytes, if that is known.
    #[must_use]
    pub fn followed_by(self, input: InputReader, bytes: Option<u64>) -> Self {
        Self {
            left: bytes.map(|bytes| bytes.saturating_add(self.whole.len() as u64)),
            input: Some(input),
            broke: Some(Arc::default()),
            ..self
        }
    }

    /// Becomes true if the client leaves in the middle. None if all of it is here.
    pub fn broke(&self) -> Option<Arc<AtomicBool>> {
        self.broke.clone()
    }

    fn gives(&mut self, bytes: Bytes) -> Frame<Bytes> {
        self.left = self
            .left
            .map(|left| left.saturating_sub(bytes.len() as u64));
        Frame::data(bytes)
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = BrokenInput;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenInput>>> {
        if !self.whole.is_empty() {
            let whole = std::mem::take(&mut self.whole);
            return Poll::Ready(Some(Ok(self.gives(whole))));
        }
        let Some(input) = &mut self.input else {
            return Poll::Ready(None);
        };
        let piece = std::task::ready!(input.poll_next(cx));
        if let (Some(Err(_)), Some(broke)) = (&piece, &self.broke) {
            broke.store(true, Ordering::Relaxed);
        }
        Poll::Ready(piece.map(|piece| piece.map(|piece| self.gives(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.whole.is_empty() && self.input.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}
