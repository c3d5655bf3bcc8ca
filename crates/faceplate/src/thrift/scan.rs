//! Finds where a message ends, and whether it is one: all lengths and depths are checked here, before
//! anything else looks at it. It goes on where it stopped when more bytes have come, so that a slow
//! message costs no more than a fast one.

use super::codec::{Bad, DEPTH_MAX, Kind, Protocol};
use super::reader::Reader;

/// What is open at some place.
#[derive(Debug, Clone, Copy)]
enum Open {
    /// A message of which nothing was read.
    Message,
    /// A struct, behind the field of that id.
    Struct(i16),
    /// So many more values of a kind.
    Values(Kind, usize),
    /// So many more keys and values of a map, in turn.
    Pairs(Kind, Kind, usize),
}

/// A place in a message, with what is open there.
#[derive(Debug)]
pub(super) struct Scan {
    position: usize,
    open: Vec<Open>,
}

impl Scan {
    /// Before a message that begins at that place.
    pub fn message(position: usize) -> Self {
        Self {
            position,
            open: vec![Open::Message],
        }
    }

    /// Before a value that begins at that place.
    pub fn value(kind: Kind, position: usize) -> Self {
        Self {
            position,
            open: vec![Open::Values(kind, 1)],
        }
    }

    /// Goes on to the end, and says where it is. [`Bad::Short`] if it has not come yet; what was
    /// passed then is not looked at again. The end is at most at `end_max`.
    pub fn advance(
        &mut self,
        protocol: Protocol,
        bytes: &[u8],
        end_max: usize,
    ) -> Result<usize, Bad> {
        while let Some(open) = self.open.pop() {
            let mut reader = Reader::new(protocol, bytes, self.position);
            if let Err(bad) = self.step(open, &mut reader, end_max) {
                self.open.push(open);
                return Err(bad);
            }
            self.position = reader.position();
            if self.open.len() > DEPTH_MAX {
                return Err(Bad::TooDeep);
            }
        }
        Ok(self.position)
    }

    /// Reads one thing. What is left open of `open` goes back on the stack, and what it opened on
    /// top; nothing of it if the bytes end too early.
    fn step(&mut self, open: Open, reader: &mut Reader<'_>, end_max: usize) -> Result<(), Bad> {
        let (rest, kind) = match open {
            Open::Message => {
                reader.header()?;
                self.open.push(Open::Struct(0));
                return Ok(());
            }
            Open::Struct(mut last) => match reader.field(&mut last)? {
                None => return Ok(()),
                Some(field) => (Open::Struct(last), field.kind),
            },
            Open::Values(_, 0) | Open::Pairs(_, _, 0) => return Ok(()),
            Open::Values(kind, left) => (Open::Values(kind, left - 1), kind),
            Open::Pairs(key, value, left) => {
                let kind = if left % 2 == 0 { key } else { value };
                (Open::Pairs(key, value, left - 1), kind)
            }
        };
        let inner = inner(kind, reader, end_max)?;
        self.open.push(rest);
        self.open.extend(inner);
        Ok(())
    }
}

/// Passes over a value that has no parts, or opens it.
fn inner(kind: Kind, reader: &mut Reader<'_>, end_max: usize) -> Result<Option<Open>, Bad> {
    let open = match kind {
        Kind::Struct => Open::Struct(0),
        Kind::List | Kind::Set => {
            let (kind, count) = reader.list()?;
            fits(count, reader, end_max)?;
            Open::Values(kind, count)
        }
        Kind::Map => {
            let (key, value, count) = reader.map()?;
            let count = count.saturating_mul(2);
            fits(count, reader, end_max)?;
            Open::Pairs(key, value, count)
        }
        Kind::Text => {
            let length = reader.length()?;
            fits(length, reader, end_max)?;
            reader.take(length)?;
            return Ok(None);
        }
        Kind::Bool => return reader.boolean().map(|_| None),
        Kind::Double => return reader.double().map(|_| None),
        Kind::Uuid => return reader.take(16).map(|_| None),
        Kind::I8 | Kind::I16 | Kind::I32 | Kind::I64 => {
            return reader.integer(kind).map(|_| None);
        }
    };
    Ok(Some(open))
}

/// Whether so many bytes can be there at all: no element takes less than one.
fn fits(count: usize, reader: &Reader<'_>, end_max: usize) -> Result<(), Bad> {
    let left = end_max.saturating_sub(reader.position());
    if count > left {
        return Err(Bad::TooLarge(end_max));
    }
    Ok(())
}
