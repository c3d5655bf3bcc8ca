//! What a connection has been doing, as far as its time is limited: how long it may take to show
//! that it is welcome, how long it may then be silent, and how long a head of HTTP may take. The same
//! for all protocols: bytes are noted by the socket, calls by the desk.

use crate::limits::Limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

/// How long a protocol has to say goodbye to a connection that is overdue.
const GOODBYE: Duration = Duration::from_secs(5);

/// One connection's client.
#[derive(Debug)]
pub(crate) struct Presence {
    since: Instant,
    /// Milliseconds after that: when something last came, went or ended.
    active_ms: AtomicU64,
    /// Calls, and other things that keep it waiting.
    busy: AtomicUsize,
    /// Whether it has said something that makes it a client: a whole first message, or the token
    /// where one is needed.
    is_welcome: AtomicBool,
    /// When the first bytes of a head came that is not whole, in milliseconds and one more; 0 if
    /// there is none. Where heads are not waited for, always [`NO_HEADS`].
    head_ms: AtomicU64,
    /// Whether bytes are no sign of life, for both ends ask each other of their own accord.
    is_chatty: AtomicBool,
    is_overdue: AtomicBool,
    overdue: Notify,
}

/// In place of a time: whole messages are waited for elsewhere.
const NO_HEADS: u64 = u64::MAX;

/// Something that a client waits for; until it is dropped the connection is not idle.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Presence>);

impl Presence {
    pub fn new() -> Self {
        Self {
            since: Instant::now(),
            active_ms: AtomicU64::new(0),
            busy: AtomicUsize::new(0),
            is_welcome: AtomicBool::new(false),
            head_ms: AtomicU64::new(NO_HEADS),
            is_chatty: AtomicBool::new(false),
            is_overdue: AtomicBool::new(false),
            overdue: Notify::new(),
        }
    }

    /// Bytes have gone out.
    pub fn wrote(&self) {
        if !self.is_chatty.load(Ordering::Relaxed) {
            self.active_ms.store(self.now_ms(), Ordering::Relaxed);
        }
    }

    /// Bytes have come in.
    pub fn read(&self) {
        if self.is_chatty.load(Ordering::Relaxed) {
            return;
        }
        let now_ms = self.now_ms();
        self.active_ms.store(now_ms, Ordering::Relaxed);
        if self.head_ms.load(Ordering::Relaxed) == 0 && self.busy.load(Ordering::Relaxed) == 0 {
            self.head_ms.store(now_ms + 1, Ordering::Relaxed);
        }
    }

    /// From now on bytes that come while nothing is being done are the beginning of a head, which
    /// is to be whole in time.
    pub fn expect_heads(&self) {
        self.head_ms.store(0, Ordering::Relaxed);
    }

    /// A head has come whole.
    pub fn has_head(&self) {
        self.head_ms.store(0, Ordering::Relaxed);
    }

    /// From now on whole messages are waited for elsewhere.
    pub fn expect_no_heads(&self) {
        self.head_ms.store(NO_HEADS, Ordering::Relaxed);
    }

    /// From now on bytes are no sign of life; what the client waits for is.
    pub fn ignore_bytes(&self) {
        self.is_chatty.store(true, Ordering::Relaxed);
    }

    /// The client is one that is served.
    pub fn welcome(&self) {
        self.is_welcome.store(true, Ordering::Relaxed);
    }

    /// The client waits for something.
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Ready when the connection is to close, in good order if that can be.
    pub async fn ending(&self) {
        loop {
            let notified = self.overdue.notified();
            if self.is_overdue.load(Ordering::Relaxed) {
                return;
            }
            notified.await;
        }
    }

    /// Ready when the connection is to be cut off: it was overdue, and has not closed since.
    pub async fn watch(&self, limits: &Limits) {
        self.due(limits).await;
        tracing::debug!(
            welcome = self.is_welcome.load(Ordering::Relaxed),
            "too long idle"
        );
        self.is_overdue.store(true, Ordering::Relaxed);
        self.overdue.notify_waiters();
        sleep(GOODBYE).await;
        while self.busy.load(Ordering::Relaxed) > 0 {
            sleep(GOODBYE).await;
        }
    }

    async fn due(&self, limits: &Limits) {
        loop {
            let now = Instant::now();
            // What begins after now is not due before that.
            let mut next = now + limits.header_timeout.min(limits.idle_timeout);
            if self.busy.load(Ordering::Relaxed) == 0 {
                let end = self.end(limits);
                if end <= now {
                    return;
                }
                next = next.min(end);
            }
            sleep_until(next).await;
        }
    }

    /// When the connection will have been silent for too long.
    fn end(&self, limits: &Limits) -> Instant {
        if !self.is_welcome.load(Ordering::Relaxed) {
            return self.since + limits.header_timeout;
        }
        let at = |ms: u64| self.since + Duration::from_millis(ms);
        let idle = at(self.active_ms.load(Ordering::Relaxed)) + limits.idle_timeout;
        match self.head_ms.load(Ordering::Relaxed) {
            0 | NO_HEADS => idle,
            head_ms => idle.min(at(head_ms - 1) + limits.header_timeout),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let now_ms = self.0.now_ms();
        self.0.active_ms.store(now_ms, Ordering::Relaxed);
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const HEADER: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(100);

    fn limits() -> Limits {
        Limits {
            header_timeout: HEADER,
            idle_timeout: IDLE,
            ..Limits::default()
        }
    }

    /// How long it takes until the client is overdue, if nothing happens from now on.
    async fn lasts(presence: &Presence) -> Duration {
        let begun = Instant::now();
        presence.due(&limits()).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_welcome_has_less_time_whatever_it_says() {
        let presence = Presence::new();
        sleep(HEADER / 2).await;
        presence.read();
        assert_eq!(lasts(&presence).await, HEADER / 2);
        presence.welcome();
        assert_eq!(lasts(&presence).await, IDLE - HEADER / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_in_flight_is_not_idle() {
        let presence = Arc::new(Presence::new());
        presence.welcome();
        let busy = presence.busy();
        let limits = limits();
        let mut watch = Box::pin(presence.due(&limits));
        assert!(tokio::time::timeout(10 * IDLE, &mut watch).await.is_err());
        drop(busy);
        assert!(watch.as_mut().now_or_never().is_none());
        let begun = Instant::now();
        watch.await;
        assert_eq!(begun.elapsed(), IDLE, "from the end of the call on");
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_has_begun_is_to_be_whole_in_time() {
        let presence = Arc::new(Presence::new());
        presence.expect_heads();
        presence.welcome();
        sleep(IDLE / 2).await;
        presence.read();
        sleep(HEADER / 2).await;
        presence.read();
        assert_eq!(
            lasts(&presence).await,
            HEADER / 2,
            "bytes that trickle do not help"
        );
        presence.has_head();
        let body = presence.busy();
        presence.read();
        drop(body);
        assert_eq!(lasts(&presence).await, IDLE, "a body is no head");
    }
}
