//! What both of Thrift's protocols share: kinds of values, kinds of messages, and what can be wrong
//! with bytes. `reader` and `writer` know the layouts, `scan` finds where a message ends.

use std::fmt;

/// How deep structs and containers may nest in a message: what Thrift's own libraries allow.
pub(super) const DEPTH_MAX: usize = 64;

/// Bytes of the name of a message: a kind, a colon, a function.
pub(super) const NAME_MAX: usize = 1024;

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// The binary protocol, with the version at its start.
    Strict,
    /// The binary protocol as it was first, with the name at its start.
    Old,
    /// The compact protocol.
    Compact,
}

/// What a value is, with the number that it has in the binary protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool = 2,
    I8 = 3,
    Double = 4,
    I16 = 6,
    I32 = 8,
    I64 = 10,
    /// A string, or a binary: the two look alike.
    Text = 11,
    Struct = 12,
    Map = 13,
    Set = 14,
    List = 15,
    Uuid = 16,
}

const KINDS: [Kind; 12] = [
    Kind::Bool,
    Kind::I8,
    Kind::Double,
    Kind::I16,
    Kind::I32,
    Kind::I64,
    Kind::Text,
    Kind::Struct,
    Kind::Map,
    Kind::Set,
    Kind::List,
    Kind::Uuid,
];

impl Kind {
    /// The kind of that number in the binary protocol.
    pub fn of_binary(number: u8) -> Result<Self, Bad> {
        let found = KINDS.into_iter().find(|kind| *kind as u8 == number);
        found.ok_or(Bad::Malformed("a kind of value that there is not"))
    }

    /// The kind of that number in the compact protocol, where false is a kind of its own.
    pub fn of_compact(number: u8) -> Result<Self, Bad> {
        if number == COMPACT_FALSE {
            return Ok(Self::Bool);
        }
        let found = KINDS.into_iter().find(|kind| kind.compact() == number);
        found.ok_or(Bad::Malformed("a kind of value that there is not"))
    }

    /// Its number in the compact protocol.
    pub fn compact(self) -> u8 {
        match self {
            Self::Bool => COMPACT_TRUE,
            Self::I8 => 3,
            Self::I16 => 4,
            Self::I32 => 5,
            Self::I64 => 6,
            Self::Double => 7,
            Self::Text => 8,
            Self::List => 9,
            Self::Set => 10,
            Self::Map => 11,
            Self::Struct => 12,
            Self::Uuid => 13,
        }
    }
}

impl fmt::Display for Kind {
    /// As in Thrift's own language.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::I8 => "i8",
            Self::Double => "double",
            Self::I16 => "i16",
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::Text => "string",
            Self::Struct => "struct",
            Self::Map => "map",
            Self::Set => "set",
            Self::List => "list",
            Self::Uuid => "uuid",
        })
    }
}

/// The kind of a field that is true; in lists it stands for all booleans, and for the value true.
pub(super) const COMPACT_TRUE: u8 = 1;

/// The kind of a field that is false, and the value false in lists.
pub(super) const COMPACT_FALSE: u8 = 2;

/// The first byte of a compact message.
pub(super) const COMPACT_ID: u8 = 0x82;

/// The version of the compact protocol.
pub(super) const COMPACT_VERSION: u8 = 1;

/// The first two bytes of a strict binary message.
pub(super) const STRICT_VERSION: [u8; 2] = [0x80, 0x01];

/// What a message is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    Call = 1,
    Reply = 2,
    Exception = 3,
    Oneway = 4,
}

impl Message {
    pub fn of(number: u8) -> Result<Self, Bad> {
        match number {
            1 => Ok(Self::Call),
            2 => Ok(Self::Reply),
            3 => Ok(Self::Exception),
            4 => Ok(Self::Oneway),
            _ => Err(Bad::Malformed("a kind of message that there is not")),
        }
    }
}

/// What a message begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header<'a> {
    pub name: &'a str,
    pub message: Message,
    /// Goes back with the answer.
    pub sequence: i32,
}

/// Why bytes cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Bad {
    /// They end too early.
    #[error("expected more bytes than there are")]
    Short,
    /// They are not Thrift.
    #[error("expected a message of Thrift, got {0}")]
    Malformed(&'static str),
    /// They nest too deep.
    #[error("expected structs and containers to nest at most {DEPTH_MAX} deep")]
    TooDeep,
    /// They say that there are more than a message may have.
    #[error("expected a message of at most {0} bytes")]
    TooLarge(usize),
}
