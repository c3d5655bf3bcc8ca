//! Which arguments a term gives, without building it: what a faceplate asks of each call.

use super::decode::whole;
use super::error::DecodeError;
use super::limits::Limits;
use super::reader::{Reader, Skip, Tree};
use super::tag;
use crate::shape::{ARGUMENTS_MAX, Shape};
use crate::transcode::{Style, name};
use bytes::Bytes;

/// Why a term cannot be the arguments of a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotArguments {
    /// Not one well-formed term, or beyond the limits.
    #[error("expected a term: {0}")]
    Syntax(#[from] DecodeError),
    /// Well-formed, but neither named nor positional arguments, or too many, or repeated names.
    #[error("expected named arguments or a list of them: {0}")]
    Arguments(String),
}

impl Shape {
    /// Checks that `bytes` is one term that becomes a JSON object or array by
    /// [`to_json`](crate::to_json) in that style, and notes the arguments it gives. What lies in
    /// the arguments is checked to be well-formed, but not that JSON can express it.
    ///
    /// Style [`Classic`](Style::Classic) is always refused: workers of 2008 make no calls.
    pub fn of_etf(bytes: &Bytes, style: Style, limits: &Limits) -> Result<Self, NotArguments> {
        let mut outline = Outline {
            style,
            names: Vec::new(),
            count: 0,
            is_named: true,
            fault: None,
        };
        whole(bytes, limits, |reader| outline.top(reader))?;
        outline.shape()
    }
}

/// What has been seen of the arguments.
struct Outline {
    style: Style,
    /// Of the arguments that have one. It grows to one beyond the limit.
    names: Vec<Box<str>>,
    count: usize,
    /// Whether all arguments so far could be named ones.
    is_named: bool,
    fault: Option<String>,
}

type Result<T, E = DecodeError> = std::result::Result<T, E>;

impl Outline {
    fn shape(self) -> Result<Shape, NotArguments> {
        let fault = if self.fault.is_some() {
            self.fault
        } else if self.count > ARGUMENTS_MAX {
            Some(format!("more than {ARGUMENTS_MAX} arguments"))
        } else if !self.is_named {
            return Ok(Shape::Positional(self.count));
        } else {
            let mut names: Vec<&str> = self.names.iter().map(|name| &**name).collect();
            names.sort_unstable();
            let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
            twice.map(|pair| format!("argument {:?} is given twice", pair[0]))
        };
        match fault {
            Some(fault) => Err(NotArguments::Arguments(fault)),
            None => Ok(Shape::Named(self.names)),
        }
    }

    fn top(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        match (self.style, reader.peek()) {
            (Style::Classic, _) => self.other(reader),
            (_, Some(tag::MAP)) => self.map(reader),
            (_, Some(tag::SMALL_TUPLE | tag::LARGE_TUPLE)) => {
                let count = tuple(reader, 0)?;
                self.tuple(reader, count)
            }
            (_, tag) if is_list(tag) => {
                self.pairs(reader, 0)?;
                // Of a list that has none, no element is a pair.
                self.is_named &= self.style == Style::Erlang && self.count > 0;
                Ok(())
            }
            _ => self.other(reader),
        }
    }

    /// Neither object nor array.
    fn other(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        reader.term::<Skip>(0)?;
        self.fault = Some("neither a map nor a list, nor a tuple that stands for one".to_owned());
        Ok(())
    }

    fn map(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        reader.tag()?;
        reader.enter(0)?;
        let count = reader.u32()?;
        reader.promise(count, 2, "keys and values of a map")?;
        self.count = count;
        for _ in 0..count {
            self.key(reader, 1, true)?;
            reader.term::<Skip>(1)?;
        }
        Ok(())
    }

    /// A tuple of `count` elements that are to come.
    fn tuple(&mut self, reader: &mut Reader<'_>, count: usize) -> Result<()> {
        let mut left = count;
        if self.style == Style::Erlang && count == 1 && is_list(reader.peek()) {
            self.pairs(reader, 1)?;
            if !self.is_named {
                self.count = 1;
            }
            return Ok(());
        }
        if self.style == Style::Bert && count > 0 && is_atom(reader.peek()) {
            left -= 1;
            if reader.term::<Tree>(1)?.is_atom("bert") {
                if count == 3 && is_atom(reader.peek()) {
                    left -= 1;
                    if reader.term::<Tree>(1)?.is_atom("dict") && is_list(reader.peek()) {
                        return self.dict(reader);
                    }
                }
                self.fault = Some("a tuple of BERT that is no dictionary".to_owned());
            }
        }
        self.is_named = false;
        self.count = count;
        for _ in 0..left {
            reader.term::<Skip>(1)?;
        }
        Ok(())
    }

    fn dict(&mut self, reader: &mut Reader<'_>) -> Result<()> {
        self.pairs(reader, 1)?;
        if !self.is_named {
            self.fault = Some("a dictionary that is no list of names with values".to_owned());
        }
        Ok(())
    }

    /// A list, of which all elements or none may be pairs.
    fn pairs(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<()> {
        match reader.tag()? {
            tag::STRING => {
                self.count += reader.string()?.len();
                self.is_named &= self.count == 0;
            }
            tag::LIST => {
                let before = self.count;
                let (elements, tail) =
                    reader.list_of(depth, &mut |reader, depth| self.pair(reader, depth), |_| ())?;
                // What came in the short form, as bytes, has not been counted yet.
                let all = elements.len() + usize::from(tail.is_some());
                self.is_named &= self.count - before == all;
                self.count = before + all;
                if tail.is_some() {
                    self.fault = Some("an improper list".to_owned());
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// An element of a list that may be one of pairs.
    fn pair(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<()> {
        self.count += 1;
        if !self.is_named || reader.peek() != Some(tag::SMALL_TUPLE) {
            self.is_named = false;
            return reader.term::<Skip>(depth);
        }
        let mut left = tuple(reader, depth)?;
        if left == 2 {
            self.key(reader, depth + 1, false)?;
            left -= 1;
        } else {
            self.is_named = false;
        }
        for _ in 0..left {
            reader.term::<Skip>(depth + 1)?;
        }
        Ok(())
    }

    /// A name, or a term that cannot be one: in a map a fault, in a list no fault yet.
    fn key(&mut self, reader: &mut Reader<'_>, depth: usize, is_map: bool) -> Result<()> {
        let can_be = match reader.peek() {
            Some(tag::BINARY) => true,
            Some(tag::SMALL_INTEGER | tag::INTEGER) => is_map,
            tag => is_atom(tag),
        };
        if can_be {
            match name(&reader.term::<Tree>(depth)?, self.style) {
                // More than the limit are counted and not kept.
                Some(_) if self.names.len() > ARGUMENTS_MAX => {}
                Some(name) => self.names.push((*name).into()),
                None => self.fault = Some("a key that cannot be a name".to_owned()),
            }
        } else {
            reader.term::<Skip>(depth)?;
            self.is_named = false;
            if is_map {
                self.fault = Some("a key that cannot be a name".to_owned());
            }
        }
        Ok(())
    }
}

fn is_atom(tag: Option<u8>) -> bool {
    matches!(
        tag,
        Some(tag::ATOM | tag::SMALL_ATOM | tag::ATOM_UTF8 | tag::SMALL_ATOM_UTF8)
    )
}

fn is_list(tag: Option<u8>) -> bool {
    matches!(tag, Some(tag::NIL | tag::STRING | tag::LIST))
}

/// The number of elements of a tuple, which come next.
fn tuple(reader: &mut Reader<'_>, depth: usize) -> Result<usize> {
    let count = match reader.tag()? {
        tag::SMALL_TUPLE => reader.u8()?.into(),
        _ => reader.u32()?,
    };
    reader.enter(depth)?;
    reader.promise(count, 1, "elements of a tuple")?;
    Ok(count)
}
