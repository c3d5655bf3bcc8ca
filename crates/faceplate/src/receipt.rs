//! What a client is told about a call besides its answer: id, worker, times.

use dispatch::Reply;
use http::{HeaderMap, HeaderName, HeaderValue};
use pool::WorkerId;
use std::time::Duration;

static ID: HeaderName = HeaderName::from_static("katamari-id");
static WORKER: HeaderName = HeaderName::from_static("katamari-worker");
static SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Room for the longest value: `queue;dur=`, `, run;dur=`, and two times of up to 17 digits, a point
/// and three decimals.
const CAPACITY: usize = 10 + 10 + 2 * 21;

/// Goes with the answer as headers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Receipt {
    pub number: u64,
    pub worker: Option<WorkerId>,
    pub queued: Duration,
    pub ran: Duration,
}

impl Receipt {
    pub fn of(reply: &Reply) -> Self {
        let Reply {
            number,
            worker,
            queued,
            ran,
            ..
        } = *reply;
        Self {
            number,
            worker,
            queued,
            ran,
        }
    }

    /// Of a call that nobody waits for.
    pub fn of_cast(number: u64) -> Self {
        Self {
            number,
            worker: None,
            queued: Duration::ZERO,
            ran: Duration::ZERO,
        }
    }

    /// The public id of the call: sixteen hexadecimal digits.
    pub fn id(&self) -> String {
        format!("{:016x}", self.number)
    }

    /// Writes the headers.
    pub fn write(&self, headers: &mut HeaderMap) {
        let mut text = Text::new();
        for shift in (0..16).rev() {
            let digit = (self.number >> (shift * 4)) & 0xf;
            text.put(&[b"0123456789abcdef"[digit as usize]]);
        }
        headers.insert(ID.clone(), unlike_others(text.take()));
        let Some(worker) = self.worker else { return };
        text.put_integer(u64::from(worker.node.0));
        text.put(b"-");
        text.put_integer(u64::from(worker.number));
        headers.insert(WORKER.clone(), text.take());
        text.put(b"queue;dur=");
        text.put_ms(self.queued);
        text.put(b", run;dur=");
        text.put_ms(self.ran);
        headers.insert(SERVER_TIMING.clone(), unlike_others(text.take()));
    }
}

/// A value that no other answer has: HTTP/2 does not give it a place in its table, from which it
/// would drive those that come again (RFC 7541, section 6.2.3).
fn unlike_others(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// A header value in the making, on the stack: these are written with every answer.
struct Text {
    bytes: [u8; CAPACITY],
    len: usize,
}

impl Text {
    fn new() -> Self {
        Self {
            bytes: [0; CAPACITY],
            len: 0,
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn put_integer(&mut self, number: u64) {
        self.put(itoa::Buffer::new().format(number).as_bytes());
    }

    /// Milliseconds with three decimals.
    fn put_ms(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.put_integer(micros / 1_000);
        let fraction = micros % 1_000;
        self.put(b".");
        for power in [100, 10, 1] {
            self.put(&[b'0' + (fraction / power % 10) as u8]);
        }
    }

    fn take(&mut self) -> HeaderValue {
        let value = HeaderValue::from_bytes(&self.bytes[..self.len]);
        self.len = 0;
        value.expect("digits, letters and punctuation are visible")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool::NodeId;

    #[test]
    fn headers_name_the_call_its_worker_and_its_times() {
        let mut headers = HeaderMap::new();
        let receipt = Receipt {
            number: 0x5f3c_2a9e_0000_0007,
            worker: Some(WorkerId {
                node: NodeId(3),
                number: 42,
            }),
            queued: Duration::from_nanos(12_999),
            ran: Duration::from_millis(2_050),
        };
        receipt.write(&mut headers);
        assert_eq!(headers["katamari-id"], "5f3c2a9e00000007");
        assert_eq!(headers["katamari-id"], *receipt.id());
        assert_eq!(headers["katamari-worker"], "3-42");
        assert_eq!(
            headers["server-timing"],
            "queue;dur=0.012, run;dur=2050.000"
        );
    }

    #[test]
    fn the_longest_values_fit() {
        let mut headers = HeaderMap::new();
        let receipt = Receipt {
            number: u64::MAX,
            worker: Some(WorkerId {
                node: NodeId(u32::MAX),
                number: u32::MAX,
            }),
            queued: Duration::MAX,
            ran: Duration::MAX,
        };
        receipt.write(&mut headers);
        assert_eq!(headers["server-timing"].len(), CAPACITY);
    }

    #[test]
    fn a_call_that_reached_no_worker_has_an_id_alone() {
        let mut headers = HeaderMap::new();
        Receipt::of_cast(1).write(&mut headers);
        assert_eq!(headers.len(), 1);
    }
}
