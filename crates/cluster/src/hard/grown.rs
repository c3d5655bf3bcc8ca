//! Records that grow: how builds of different ages read what each other wrote.
//!
//! A record that travels or is stored whole, [`Hard`] or a patch, is postcard, and only ever grows at
//! its end. What was appended since version 1 of the link protocol is left out of what serde derives
//! ([`appended`]) and stands behind it: builds that do not know it ignore it, and where it is missing,
//! because such a build wrote the record, it is as it was before there was such a thing. Decision 0018
//! has the rules.

use super::Hard;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A record that may have grown since the build that wrote it.
pub trait Grown: Sized {
    /// The record as bytes.
    fn encode(&self) -> Vec<u8>;

    /// What a build of any age encoded.
    ///
    /// # Errors
    ///
    /// What is wrong with the bytes.
    fn decode(bytes: &[u8]) -> Result<Self, postcard::Error>;
}

impl Grown for Hard {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = begin(self);
        // Below level 2 a record is byte for byte what builds of version 1 write.
        if self.level > 1 {
            append(&mut bytes, &self.level);
            append(&mut bytes, &self.unserved);
            append(&mut bytes, &self.shadows);
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        let (mut hard, rest): (Self, _) = postcard::take_from_bytes(bytes)?;
        let mut rest = Rest(rest);
        hard.level = rest.next()?.unwrap_or(u16::from(hard.is_founded()));
        hard.unserved = rest.next()?.unwrap_or_default();
        hard.shadows = rest.next()?.unwrap_or_default();
        Ok(hard)
    }
}

/// The bytes of a record as version 1 has it.
pub fn begin<T: Serialize>(record: &T) -> Vec<u8> {
    postcard::to_stdvec(record).expect("records have nothing that cannot be encoded")
}

/// Appends a field.
pub fn append<T: Serialize>(bytes: &mut Vec<u8>, field: &T) {
    let appended = postcard::to_extend(field, std::mem::take(bytes));
    *bytes = appended.expect("records have nothing that cannot be encoded");
}

/// What stands behind the record as version 1 has it.
pub struct Rest<'a>(pub &'a [u8]);

impl Rest<'_> {
    /// The next appended field; none if whoever wrote the record did not know it.
    pub fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, postcard::Error> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (field, rest) = postcard::take_from_bytes(self.0)?;
        self.0 = rest;
        Ok(Some(field))
    }
}

/// An appended field, for `#[serde(default, with = "grown::appended")]`: in JSON it stands under its
/// name, in postcard nowhere, for [`Grown`] puts it behind the record.
pub mod appended {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// Writes nothing, unless people can read it.
    pub fn serialize<T: Serialize, S: Serializer>(field: &T, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            field.serialize(to)
        } else {
            to.serialize_unit()
        }
    }

    /// Reads nothing, unless people can read it.
    pub fn deserialize<'de, T, D>(from: D) -> Result<T, D::Error>
    where
        T: Deserialize<'de> + Default,
        D: Deserializer<'de>,
    {
        if from.is_human_readable() {
            T::deserialize(from)
        } else {
            Ok(T::default())
        }
    }
}
