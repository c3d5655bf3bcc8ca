//! What nodes ask each other as service `Files`, from version 2 of the link protocol on.

use super::hash::ContentHash;
use serde::{Deserialize, Serialize};

/// The least version of the link protocol that knows these.
pub const VERSION: u16 = 2;

/// Bytes of content in one answer: frames of this service are to have at most 256 KiB, and the rest
/// is enough for the header.
pub const PIECE_BYTES: u64 = 255 << 10;

/// Contents asked about in one question, so that it is no larger than a piece.
pub const ASKED_MAX: usize = 4_000;

/// A question. Each is a request, and has an answer of its own type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// Send the piece of a content that begins at a byte. Answered by [`Piece`], the bytes as the
    /// payload: [`PIECE_BYTES`] of them, or all that are left. Refused if the content is not here.
    Piece {
        /// The content.
        content: ContentHash,
        /// The first byte.
        offset: u64,
    },
    /// Content that came from you was not what its name says: look at it. Answered by `()`.
    Check(ContentHash),
    /// Which of these do you not have? At most [`ASKED_MAX`]. Answered by a list of them.
    Missing(Vec<ContentHash>),
    /// To a master: get the files of this manifest, from me if nobody else has them, for it is about
    /// to be applied. Answered by [`Held`], at once; to be asked again until nothing is missing.
    Hold {
        /// The manifest.
        manifest: ContentHash,
        /// Bytes of its files.
        bytes: u64,
    },
}

/// A piece of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Bytes of the whole content.
    pub size: u64,
}

/// How far a master is with files that it is to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Whether all are there, on its disk.
    pub is_whole: bool,
    /// Bytes that are there, and of how many; both 0 while that is not known.
    pub progress: (u64, u64),
    /// Why the last attempt failed, if it did.
    pub problem: Option<String>,
}
