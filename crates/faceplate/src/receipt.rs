//! What a client is told about a call besides its answer: id, worker, times.

use bytes::{BufMut, Bytes, BytesMut};
use dispatch::Reply;
use http::{HeaderMap, HeaderName, HeaderValue};
use pool::WorkerId;
use std::time::Duration;

static ID: HeaderName = HeaderName::from_static("katamari-id");
static WORKER: HeaderName = HeaderName::from_static("katamari-worker");
static SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Room for all three values: 16 digits; two numbers and a dash; two times and their names.
const CAPACITY: usize = 16 + 21 + 64;

/// Goes with the answer as headers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Receipt {
    pub number: u64,
    worker: Option<WorkerId>,
    queued: Duration,
    ran: Duration,
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

    /// Writes the headers. The values share one buffer: they are written with every answer.
    pub fn write(&self, headers: &mut HeaderMap) {
        let mut buffer = BytesMut::with_capacity(CAPACITY);
        put_hex(&mut buffer, self.number);
        headers.insert(ID.clone(), value(buffer.split().freeze()));
        let Some(worker) = self.worker else { return };
        put_integer(&mut buffer, u64::from(worker.node.0));
        buffer.put_u8(b'-');
        put_integer(&mut buffer, u64::from(worker.number));
        headers.insert(WORKER.clone(), value(buffer.split().freeze()));
        buffer.put_slice(b"queue;dur=");
        put_ms(&mut buffer, self.queued);
        buffer.put_slice(b", run;dur=");
        put_ms(&mut buffer, self.ran);
        headers.insert(SERVER_TIMING.clone(), value(buffer.freeze()));
    }
}

fn value(bytes: Bytes) -> HeaderValue {
    HeaderValue::from_maybe_shared(bytes).expect("digits, letters and punctuation are visible")
}

fn put_hex(buffer: &mut BytesMut, number: u64) {
    for shift in (0..16).rev() {
        let digit = (number >> (shift * 4)) & 0xf;
        buffer.put_u8(b"0123456789abcdef"[digit as usize]);
    }
}

fn put_integer(buffer: &mut BytesMut, number: u64) {
    buffer.put_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Milliseconds with three decimals.
fn put_ms(buffer: &mut BytesMut, duration: Duration) {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    put_integer(buffer, micros / 1_000);
    let fraction = micros % 1_000;
    buffer.put_u8(b'.');
    for power in [100, 10, 1] {
        buffer.put_u8(b'0' + (fraction / power % 10) as u8);
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
    fn a_call_that_reached_no_worker_has_an_id_alone() {
        let mut headers = HeaderMap::new();
        Receipt::of_cast(1).write(&mut headers);
        assert_eq!(headers.len(), 1);
    }
}
