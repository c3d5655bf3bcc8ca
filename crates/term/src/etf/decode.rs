//! Decoding: from bytes to a tree, or only over them.

use super::error::DecodeError;
use super::inflate::inflate;
use super::limits::Limits;
use super::reader::{Reader, Tree};
use super::tag;
use crate::value::Term;
use bytes::Bytes;

/// The term that `bytes` are, from the version byte on, with nothing behind it. Binaries of
/// the tree share the memory of `bytes`.
///
/// Never panics, whatever the bytes are; takes no more memory than 50 bytes for each of theirs, and
/// no more than the limits allow.
pub fn decode(bytes: &Bytes, limits: &Limits) -> Result<Term, DecodeError> {
    whole(bytes, limits, |reader| reader.term::<Tree>(0))
}

/// The same where more may follow; also says how many bytes the term takes. The limit of bytes
/// counts for all of `bytes`.
pub fn decode_prefix(bytes: &Bytes, limits: &Limits) -> Result<(Term, usize), DecodeError> {
    prefix(bytes, limits, |reader| reader.term::<Tree>(0))
}

/// Reads one term with `read`; nothing may follow.
pub fn whole<T>(
    bytes: &Bytes,
    limits: &Limits,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let (value, end) = prefix(bytes, limits, read)?;
    ended(bytes, end)?;
    Ok(value)
}

fn prefix<T>(
    bytes: &Bytes,
    limits: &Limits,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<(T, usize), DecodeError> {
    if bytes.len() > limits.bytes {
        let expected = format_args!("a term of at most {} bytes", limits.bytes);
        return Err(DecodeError::new(limits.bytes, expected, bytes.len()));
    }
    let [tag::VERSION, rest @ ..] = &bytes[..] else {
        let expected = "the version of the format, byte 131";
        return Err(match bytes.first() {
            Some(first) => DecodeError::new(0, expected, format_args!("byte {first}")),
            None => DecodeError::new(0, expected, "nothing"),
        });
    };
    match rest {
        [] => Err(DecodeError::new(1, "a term", "the end")),
        [tag::COMPRESSED, a, b, c, d, ..] => {
            let size = u32::from_be_bytes([*a, *b, *c, *d]);
            let size = usize::try_from(size).expect("addresses have 32 bits or more");
            if size == 0 || size > limits.inflated_bytes {
                let most = limits.inflated_bytes;
                let expected = format_args!("a compressed term of 1 to {most} bytes");
                return Err(DecodeError::new(2, expected, size));
            }
            let (inflated, end) = inflate(bytes, 6, size)?;
            let inflated = Bytes::from(inflated);
            let mut reader = Reader::new(&inflated, 0, limits);
            read(&mut reader)
                .and_then(|value| {
                    ended(&inflated, reader.at())?;
                    Ok((value, end))
                })
                .map_err(DecodeError::inflated)
        }
        _ => {
            let mut reader = Reader::new(bytes, 1, limits);
            let value = read(&mut reader)?;
            Ok((value, reader.at()))
        }
    }
}

fn ended(bytes: &Bytes, end: usize) -> Result<(), DecodeError> {
    match bytes.len() - end {
        0 => Ok(()),
        more => Err(DecodeError::new(
            end,
            "the end of the term",
            format_args!("{more} more bytes"),
        )),
    }
}
