//! Writes messages.

use super::codec::{
    COMPACT_FALSE, COMPACT_ID, COMPACT_TRUE, COMPACT_VERSION, Header, Kind, Protocol,
    STRICT_VERSION,
};

/// A message in the making. Lists and maps get their heads when they are complete, since it is not
/// known before how long they are.
#[derive(Debug)]
pub(super) struct Writer {
    protocol: Protocol,
    out: Vec<u8>,
    /// Where the head of a compact field stands that waits for its boolean.
    unsaid: Option<usize>,
}

impl Writer {
    /// One that writes at the end of these bytes.
    pub fn new(protocol: Protocol, out: Vec<u8>) -> Self {
        Self {
            protocol,
            out,
            unsaid: None,
        }
    }

    /// All that was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    pub fn header(&mut self, header: &Header<'_>) {
        let Header {
            name,
            message,
            sequence,
        } = *header;
        match self.protocol {
            Protocol::Strict => {
                self.out.extend_from_slice(&STRICT_VERSION);
                self.out.extend_from_slice(&[0, message as u8]);
                self.bytes(name.as_bytes());
                self.out.extend_from_slice(&sequence.to_be_bytes());
            }
            Protocol::Old => {
                self.bytes(name.as_bytes());
                self.out.push(message as u8);
                self.out.extend_from_slice(&sequence.to_be_bytes());
            }
            Protocol::Compact => {
                let version = (message as u8) << 5 | COMPACT_VERSION;
                self.out.extend_from_slice(&[COMPACT_ID, version]);
                self.varint(sequence.cast_unsigned().into());
                self.bytes(name.as_bytes());
            }
        }
    }

    /// The head of a field; `last` is the id of the one before it, 0 at first.
    pub fn field(&mut self, id: i16, kind: Kind, last: &mut i16) {
        if self.protocol == Protocol::Compact {
            self.unsaid = (kind == Kind::Bool).then_some(self.out.len());
            match u8::try_from(i32::from(id) - i32::from(*last)) {
                Ok(step @ 1..=15) => self.out.push(step << 4 | kind.compact()),
                _ => {
                    self.out.push(kind.compact());
                    self.varint(zigzag(id.into()));
                }
            }
        } else {
            self.out.push(kind as u8);
            self.out.extend_from_slice(&id.to_be_bytes());
        }
        *last = id;
    }

    /// The end of a struct.
    pub fn stop(&mut self) {
        self.out.push(0);
    }

    pub fn boolean(&mut self, value: bool) {
        let said = match (self.protocol, value) {
            (Protocol::Compact, false) => COMPACT_FALSE,
            (Protocol::Compact, true) => COMPACT_TRUE,
            (_, value) => value.into(),
        };
        match self.unsaid.take() {
            Some(place) => self.out[place] = self.out[place] & 0xf0 | said,
            None => self.out.push(said),
        }
    }

    pub fn i32(&mut self, value: i32) {
        if self.protocol == Protocol::Compact {
            self.varint(zigzag(value.into()));
        } else {
            self.out.extend_from_slice(&value.to_be_bytes());
        }
    }

    pub fn i64(&mut self, value: i64) {
        if self.protocol == Protocol::Compact {
            self.varint(zigzag(value));
        } else {
            self.out.extend_from_slice(&value.to_be_bytes());
        }
    }

    pub fn double(&mut self, value: f64) {
        self.out.extend_from_slice(&match self.protocol {
            Protocol::Compact => value.to_le_bytes(),
            _ => value.to_be_bytes(),
        });
    }

    /// A string or a binary.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.out.extend_from_slice(bytes);
    }

    /// Puts the head of a list before its elements, which begin at that place.
    pub fn list(&mut self, begun: usize, kind: Kind, count: usize) {
        self.insert(begun, |head| match head.protocol {
            Protocol::Compact => match u8::try_from(count) {
                Ok(count @ 0..=14) => head.out.push(count << 4 | kind.compact()),
                _ => {
                    head.out.push(0xf0 | kind.compact());
                    head.count(count);
                }
            },
            _ => {
                head.out.push(kind as u8);
                head.count(count);
            }
        });
    }

    /// Puts the head of a map with strings as keys before its pairs, which begin at that place.
    pub fn map(&mut self, begun: usize, value: Kind, count: usize) {
        self.insert(begun, |head| match head.protocol {
            Protocol::Compact => {
                head.count(count);
                if count > 0 {
                    head.out.push(Kind::Text.compact() << 4 | value.compact());
                }
            }
            _ => {
                head.out.extend_from_slice(&[Kind::Text as u8, value as u8]);
                head.count(count);
            }
        });
    }

    fn insert(&mut self, place: usize, write: impl FnOnce(&mut Self)) {
        let mut head = Self::new(self.protocol, Vec::new());
        write(&mut head);
        self.out.splice(place..place, head.out);
    }

    fn count(&mut self, count: usize) {
        let count = i32::try_from(count).expect("answers are within limits far below 2 GiB");
        if self.protocol == Protocol::Compact {
            self.varint(count.cast_unsigned().into());
        } else {
            self.out.extend_from_slice(&count.to_be_bytes());
        }
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}
