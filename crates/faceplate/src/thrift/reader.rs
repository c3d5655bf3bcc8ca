//! Reads values where they stand: nothing is built, and nothing is set aside because bytes claim it.

use super::codec::{
    Bad, COMPACT_FALSE, COMPACT_ID, COMPACT_TRUE, COMPACT_VERSION, Header, Kind, Message, NAME_MAX,
    Protocol, STRICT_VERSION,
};
use super::scan::Scan;

/// Bytes of the longest integer of the compact protocol, which has 64 bits in sevens.
const VARINT_MAX: usize = 10;

/// A place in a message.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    protocol: Protocol,
    bytes: &'a [u8],
    position: usize,
    /// The boolean that the head of a compact field has said already.
    said: Option<bool>,
}

/// The head of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field {
    pub id: i16,
    pub kind: Kind,
}

impl<'a> Reader<'a> {
    pub fn new(protocol: Protocol, bytes: &'a [u8], position: usize) -> Self {
        Self {
            protocol,
            bytes,
            position,
            said: None,
        }
    }

    /// Where it stands, in bytes from the start.
    pub fn position(&self) -> usize {
        self.position
    }

    /// The head of a message.
    pub fn header(&mut self) -> Result<Header<'a>, Bad> {
        let (name, message, sequence) = match self.protocol {
            Protocol::Strict => {
                let [first, second, _, message] = self.array()?;
                if [first, second] != STRICT_VERSION {
                    return Err(Bad::Malformed("another version of the binary protocol"));
                }
                let message = Message::of(message)?;
                (self.name()?, message, i32::from_be_bytes(self.array()?))
            }
            Protocol::Old => {
                let name = self.name()?;
                let message = Message::of(self.byte()?)?;
                (name, message, i32::from_be_bytes(self.array()?))
            }
            Protocol::Compact => {
                let [id, version] = self.array()?;
                if id != COMPACT_ID || version & 0x1f != COMPACT_VERSION {
                    return Err(Bad::Malformed("another version of the compact protocol"));
                }
                let message = Message::of(version >> 5)?;
                let sequence = self.varint32()?.cast_signed();
                (self.name()?, message, sequence)
            }
        };
        Ok(Header {
            name,
            message,
            sequence,
        })
    }

    fn name(&mut self) -> Result<&'a str, Bad> {
        let length = self.length()?;
        if length > NAME_MAX {
            return Err(Bad::Malformed("a longer name than functions have"));
        }
        let name = std::str::from_utf8(self.take(length)?);
        name.map_err(|_| Bad::Malformed("a name that is not UTF-8"))
    }

    /// The head of a struct's next field; none at its end. `last` is the id of the one before it,
    /// 0 at first.
    pub fn field(&mut self, last: &mut i16) -> Result<Option<Field>, Bad> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(None);
        }
        let field = if self.protocol == Protocol::Compact {
            let kind = head & 0x0f;
            let id = match head >> 4 {
                0 => i16::try_from(unzigzag(self.varint32()?.into())).ok(),
                step => last.checked_add(step.into()),
            };
            let id = id.ok_or(Bad::Malformed("the id of a field beyond 16 bits"))?;
            if kind <= COMPACT_FALSE {
                self.said = Some(kind == COMPACT_TRUE);
            }
            let kind = Kind::of_compact(kind)?;
            Field { id, kind }
        } else {
            let kind = Kind::of_binary(head)?;
            let id = i16::from_be_bytes(self.array()?);
            Field { id, kind }
        };
        *last = field.id;
        Ok(Some(field))
    }

    /// The head of a list or a set: of what kind its elements are, and how many.
    pub fn list(&mut self) -> Result<(Kind, usize), Bad> {
        if self.protocol == Protocol::Compact {
            let head = self.byte()?;
            let kind = Kind::of_compact(head & 0x0f);
            let count = match head >> 4 {
                0x0f => self.varint32()? as usize,
                count => count.into(),
            };
            return Ok((of_some(kind, count)?, count));
        }
        let kind = Kind::of_binary(self.byte()?);
        let count = self.count()?;
        Ok((of_some(kind, count)?, count))
    }

    /// The head of a map: of what kinds its keys and values are, and how many.
    pub fn map(&mut self) -> Result<(Kind, Kind, usize), Bad> {
        if self.protocol == Protocol::Compact {
            let count = self.varint32()? as usize;
            if count == 0 {
                return Ok((Kind::Text, Kind::Text, 0));
            }
            let kinds = self.byte()?;
            let (key, value) = (Kind::of_compact(kinds >> 4)?, kinds & 0x0f);
            return Ok((key, Kind::of_compact(value)?, count));
        }
        let (key, value) = (Kind::of_binary(self.byte()?), Kind::of_binary(self.byte()?));
        let count = self.count()?;
        Ok((of_some(key, count)?, of_some(value, count)?, count))
    }

    pub fn boolean(&mut self) -> Result<bool, Bad> {
        match self.said.take() {
            Some(said) => Ok(said),
            None => match (self.byte()?, self.protocol) {
                (0, _) | (COMPACT_FALSE, Protocol::Compact) => Ok(false),
                (1, _) => Ok(true),
                _ => Err(Bad::Malformed("a boolean that is neither true nor false")),
            },
        }
    }

    /// An integer of any size, whichever it is.
    pub fn integer(&mut self, kind: Kind) -> Result<i64, Bad> {
        match kind {
            Kind::I8 => Ok(i8::from_be_bytes(self.array()?).into()),
            _ if self.protocol == Protocol::Compact => Ok(unzigzag(self.varint()?)),
            Kind::I16 => Ok(i16::from_be_bytes(self.array()?).into()),
            Kind::I32 => Ok(i32::from_be_bytes(self.array()?).into()),
            _ => Ok(i64::from_be_bytes(self.array()?)),
        }
    }

    pub fn double(&mut self) -> Result<f64, Bad> {
        let bytes = self.array()?;
        Ok(if self.protocol == Protocol::Compact {
            f64::from_le_bytes(bytes)
        } else {
            f64::from_be_bytes(bytes)
        })
    }

    /// The bytes of a string or a binary.
    pub fn bytes(&mut self) -> Result<&'a [u8], Bad> {
        let length = self.length()?;
        self.take(length)
    }

    /// How long a string is whose bytes come next.
    pub fn length(&mut self) -> Result<usize, Bad> {
        if self.protocol == Protocol::Compact {
            Ok(self.varint32()? as usize)
        } else {
            self.count()
        }
    }

    /// Passes over a value.
    pub fn skip(&mut self, kind: Kind) -> Result<(), Bad> {
        if let (Kind::Bool, Some(_)) = (kind, self.said.take()) {
            return Ok(());
        }
        let mut scan = Scan::value(kind, self.position);
        self.position = scan.advance(self.protocol, self.bytes, self.bytes.len())?;
        Ok(())
    }

    /// So many bytes.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Bad> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let taken = rest.get(..count).ok_or(Bad::Short)?;
        self.position += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Bad> {
        let taken = self.take(N)?;
        Ok(taken.try_into().expect("so many were taken"))
    }

    fn byte(&mut self) -> Result<u8, Bad> {
        self.array().map(|[byte]| byte)
    }

    fn count(&mut self) -> Result<usize, Bad> {
        let count = i32::from_be_bytes(self.array()?);
        usize::try_from(count).map_err(|_| Bad::Malformed("a length below zero"))
    }

    fn varint(&mut self) -> Result<u64, Bad> {
        let mut value = 0;
        for place in 0..VARINT_MAX {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Bad::Malformed("an integer without an end"))
    }

    fn varint32(&mut self) -> Result<u32, Bad> {
        let value = u32::try_from(self.varint()?);
        value.map_err(|_| Bad::Malformed("an integer beyond 32 bits"))
    }
}

/// The kind of elements. Where there are none it may be no kind at all.
fn of_some(kind: Result<Kind, Bad>, count: usize) -> Result<Kind, Bad> {
    match kind {
        Err(_) if count == 0 => Ok(Kind::Bool),
        kind => kind,
    }
}

fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
