//! Compressed terms: zlib, into no more memory than the term says and the limit allows.

use super::error::DecodeError;
use miniz_oxide::inflate::TINFLStatus;
use miniz_oxide::inflate::core::inflate_flags::{
    TINFL_FLAG_PARSE_ZLIB_HEADER, TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF,
};
use miniz_oxide::inflate::core::{DecompressorOxide, decompress};

/// What is inflated grows from this many bytes; most terms worth compressing are larger.
const FIRST_BYTES: usize = 4096;

/// Inflates what begins at `start` of `input` to exactly `size` bytes. Also says where in `input`
/// it ends. Memory grows with what comes out, not with what `size` claims.
pub fn inflate(input: &[u8], start: usize, size: usize) -> Result<(Vec<u8>, usize), DecodeError> {
    let mut state = Box::<DecompressorOxide>::default();
    let mut out = vec![0; size.min(FIRST_BYTES)];
    let (mut read, mut written) = (start, 0);
    let flags = TINFL_FLAG_PARSE_ZLIB_HEADER | TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF;
    loop {
        let (status, taken, given) =
            decompress(&mut state, &input[read..], &mut out, written, flags);
        read += taken;
        written += given;
        match status {
            TINFLStatus::Done if written == size => return Ok((out, read)),
            TINFLStatus::HasMoreOutput if out.len() < size => {
                out.resize(size.min(out.len() * 2), 0);
            }
            TINFLStatus::Done | TINFLStatus::HasMoreOutput => {
                let more = if status == TINFLStatus::Done {
                    ""
                } else {
                    "more than "
                };
                let expected = format_args!("a compressed term of {size} bytes");
                return Err(DecodeError::new(
                    read,
                    expected,
                    format_args!("{more}{written}"),
                ));
            }
            TINFLStatus::FailedCannotMakeProgress | TINFLStatus::NeedsMoreInput => {
                return Err(DecodeError::new(
                    read,
                    "more of a compressed term",
                    "the end",
                ));
            }
            TINFLStatus::Adler32Mismatch => {
                return Err(DecodeError::new(
                    read,
                    "the checksum of a compressed term",
                    "another",
                ));
            }
            TINFLStatus::BadParam | TINFLStatus::Failed => {
                return Err(DecodeError::new(
                    read,
                    "a term compressed by zlib",
                    "something else",
                ));
            }
            other => {
                let got = format_args!("{other:?}");
                return Err(DecodeError::new(read, "a term compressed by zlib", got));
            }
        }
    }
}
