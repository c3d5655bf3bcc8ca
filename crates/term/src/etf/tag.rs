//! The tags of the external term format, by the names that its documentation gives them.

/// Before every term that stands by itself.
pub const VERSION: u8 = 131;

/// A term compressed by zlib; only right after the version.
pub const COMPRESSED: u8 = 80;

pub const NEW_FLOAT: u8 = 70;
pub const BIT_BINARY: u8 = 77;
pub const NEW_PID: u8 = 88;
pub const NEW_PORT: u8 = 89;
pub const NEWER_REFERENCE: u8 = 90;
pub const SMALL_INTEGER: u8 = 97;
pub const INTEGER: u8 = 98;
pub const FLOAT: u8 = 99;
pub const ATOM: u8 = 100;
pub const REFERENCE: u8 = 101;
pub const PORT: u8 = 102;
pub const PID: u8 = 103;
pub const SMALL_TUPLE: u8 = 104;
pub const LARGE_TUPLE: u8 = 105;
pub const NIL: u8 = 106;
pub const STRING: u8 = 107;
pub const LIST: u8 = 108;
pub const BINARY: u8 = 109;
pub const SMALL_BIG: u8 = 110;
pub const LARGE_BIG: u8 = 111;
pub const NEW_FUN: u8 = 112;
pub const EXPORT: u8 = 113;
pub const NEW_REFERENCE: u8 = 114;
pub const SMALL_ATOM: u8 = 115;
pub const MAP: u8 = 116;
pub const ATOM_UTF8: u8 = 118;
pub const SMALL_ATOM_UTF8: u8 = 119;
pub const V4_PORT: u8 = 120;

/// Bytes of the text in a [`FLOAT`], filled up with zeros.
pub const FLOAT_TEXT: usize = 31;

/// What a tag that is not read here is called, for messages.
pub fn left_out(tag: u8) -> &'static str {
    match tag {
        68 | 69 => "a distribution header",
        82 => "a reference to the atom cache of a distribution header",
        117 => "a function of the form that ended with OTP 23",
        121 => "a term in the local form of one node",
        VERSION => "a second version byte",
        COMPRESSED => "a compressed term inside another",
        _ => "an unknown tag",
    }
}
