//! Reading JSON-RPC: what is a request, what is a notification, and what is neither.
//!
//! Values are only cut out, never built: an id goes back as it came, and arguments go on as they
//! came.

use super::answer::Failure;
use super::built_in::BuiltIn;
use crate::details;
use bytes::{BufMut, Bytes, BytesMut};
use dispatch::{CallError, Code};
use pool::Details;
use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Bytes of a body that one of its values may keep in memory.
const PINNED_MAX: usize = 64 * 1024;

/// Entries of a batch: they all run at once, so one client could fill every queue with one batch.
pub(crate) const BATCH_MAX: usize = 100;

/// A well-formed body.
#[derive(Debug)]
pub(crate) enum Message<'a> {
    Single(Entry<'a>),
    Batch(Vec<Entry<'a>>),
}

/// One object of a message.
pub(crate) type Entry<'a> = Result<Request<'a>, Invalid<'a>>;

/// A request, or a notification if it has no id.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    /// A string, a number or null, as it came.
    pub id: Option<&'a RawValue>,
    /// The member `katamari`: an object of wishes.
    pub wishes: Option<&'a RawValue>,
    method: Cow<'a, str>,
    /// An object or an array.
    params: Option<&'a RawValue>,
}

/// What is no request, and the id to say so under, if it has a good one.
#[derive(Debug)]
pub(crate) struct Invalid<'a> {
    pub id: Option<&'a RawValue>,
    pub failure: Failure,
}

/// Reads a body. An error here concerns all of it.
pub(crate) fn parse(body: &[u8]) -> Result<Message<'_>, Failure> {
    match body.trim_ascii_start().first() {
        Some(b'[') => {
            let entries: Entries<'_> = serde_json::from_slice(body).map_err(|error| {
                if error.is_data() {
                    Failure::invalid(&error)
                } else {
                    Failure::parse(&error)
                }
            })?;
            if entries.0.is_empty() {
                return Err(Failure::invalid("a batch without entries"));
            }
            let entries = entries.0.into_iter().map(|raw| entry(raw.get().as_bytes()));
            Ok(Message::Batch(entries.collect::<Result<_, _>>()?))
        }
        _ => entry(body).map(Message::Single),
    }
}

/// The id of a message that is one request, if it has a good one.
pub(crate) fn id(message: &[u8]) -> Option<&RawValue> {
    match parse(message) {
        Ok(Message::Single(Ok(request))) => request.id,
        Ok(Message::Single(Err(invalid))) => invalid.id,
        Ok(Message::Batch(_)) | Err(_) => None,
    }
}

/// Reads one object. An error here means that it is no JSON at all.
fn entry(json: &[u8]) -> Result<Entry<'_>, Failure> {
    match serde_json::from_slice::<Members<'_>>(json) {
        Ok(members) => Ok(members.check()),
        Err(error) if error.is_data() => {
            // The reader stopped at the first surprise. Is the rest JSON?
            serde_json::from_slice::<&RawValue>(json).map_err(|error| Failure::parse(&error))?;
            Ok(Err(Invalid {
                id: None,
                failure: Failure::invalid(&error),
            }))
        }
        Err(error) => Err(Failure::parse(&error)),
    }
}

/// The raw entries of a batch.
struct Entries<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EntriesVisitor)
    }
}

struct EntriesVisitor;

impl<'de> Visitor<'de> for EntriesVisitor {
    type Value = Entries<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of requests")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Entries<'de>, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = seq.next_element()? {
            if entries.len() == BATCH_MAX {
                return Err(A::Error::custom(format_args!(
                    "more than {BATCH_MAX} entries"
                )));
            }
            entries.push(entry);
        }
        Ok(Entries(entries))
    }
}

/// The members of a request object, unchecked.
#[derive(Default)]
struct Members<'a> {
    jsonrpc: Option<&'a RawValue>,
    method: Option<&'a RawValue>,
    params: Option<&'a RawValue>,
    id: Option<&'a RawValue>,
    katamari: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "lowercase")]
enum Member {
    Jsonrpc,
    Method,
    Params,
    Id,
    Katamari,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a request object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Members::default();
        while let Some(member) = map.next_key()? {
            let (name, place) = match member {
                Member::Jsonrpc => ("jsonrpc", &mut members.jsonrpc),
                Member::Method => ("method", &mut members.method),
                Member::Params => ("params", &mut members.params),
                Member::Id => ("id", &mut members.id),
                Member::Katamari => ("katamari", &mut members.katamari),
                Member::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if place.replace(map.next_value()?).is_some() {
                return Err(A::Error::duplicate_field(name));
            }
        }
        Ok(members)
    }
}

/// Text that is borrowed unless it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Members<'a> {
    fn check(self) -> Entry<'a> {
        let text = |raw: &'a RawValue| serde_json::from_str::<Text<'a>>(raw.get()).ok();
        let id_is_good = self.id.is_none_or(|id| match id.get().as_bytes().first() {
            // Half a surrogate pair is within the grammar, but no text that could be sent back.
            Some(b'"') => text(id).is_some(),
            first => matches!(first, Some(b'-' | b'0'..=b'9' | b'n')),
        });
        let id = self.id.filter(|_| id_is_good);
        let invalid = |why: &str| {
            Err(Invalid {
                id,
                failure: Failure::invalid(why),
            })
        };
        if !id_is_good {
            return invalid("expected id to be a string, a number or null");
        }
        if self
            .jsonrpc
            .and_then(text)
            .is_none_or(|version| version.0 != "2.0")
        {
            return invalid("expected jsonrpc to be \"2.0\"");
        }
        let Some(method) = self.method.and_then(text) else {
            return invalid("expected method to be a string");
        };
        if let Some(params) = self.params
            && !matches!(params.get().as_bytes().first(), Some(b'{' | b'['))
        {
            return invalid("expected params to be an object or an array");
        }
        Ok(Request {
            id,
            wishes: self.katamari,
            method: method.0,
            params: self.params,
        })
    }
}

impl Request<'_> {
    /// The method that the node answers by itself, if this asks for one.
    pub fn built_in(&self) -> Option<BuiltIn> {
        BuiltIn::of(&self.method)
    }

    /// The details in the params, or else those of the header.
    pub fn details(&self, header: Option<&Details>) -> Result<Option<Details>, CallError> {
        let inside = match self.params {
            Some(params) if params.get().starts_with('{') => Arguments::split(params)?,
            _ => None,
        };
        let inside = inside.map(|(details, _)| details);
        Ok(inside.or_else(|| header.cloned()))
    }

    /// What is called: details, function, arguments. `kind.function` names the kind; a bare
    /// function takes its details from `params.details`, or else from the header.
    pub fn target(
        &self,
        header: Option<&Details>,
        body: &Bytes,
    ) -> Result<(Details, &str, Bytes), CallError> {
        if let Some((kind, function)) = self.method.split_once('.') {
            let mut details = header.cloned().unwrap_or_default();
            details.kind = Some(kind.into());
            let arguments = self.params.map_or(Bytes::new(), |params| cut(body, params));
            return Ok((details, function, arguments));
        }
        let inside = match self.params {
            Some(params) if params.get().starts_with('{') => Arguments::split(params)?,
            _ => None,
        };
        let (details, arguments) = match (inside, header) {
            (Some(inside), _) => inside,
            (None, Some(header)) => (
                header.clone(),
                self.params.map_or(Bytes::new(), |params| cut(body, params)),
            ),
            (None, None) => {
                let message = "expected method to be \"kind.function\", or details in params";
                return Err(CallError::new(Code::NoFunction, message));
            }
        };
        Ok((details, &self.method, arguments))
    }
}

/// The bytes of a value inside the body: without a copy, unless that would keep much more of the
/// body in memory than the value counts in a queue.
fn cut(body: &Bytes, value: &RawValue) -> Bytes {
    let bytes = value.get().as_bytes();
    if body.len() > PINNED_MAX && bytes.len() < body.len() / 2 {
        Bytes::copy_from_slice(bytes)
    } else {
        body.slice_ref(bytes)
    }
}

/// The members of `params` where details are among them.
struct Arguments<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Arguments<'a> {
    /// Takes the details out of params; none if there are none.
    fn split(params: &'a RawValue) -> Result<Option<(Details, Bytes)>, CallError> {
        let bad = |why: String| CallError::new(Code::BadArguments, format!("details: {why}"));
        let members: Self =
            serde_json::from_str(params.get()).map_err(|error| bad(error.to_string()))?;
        let mut details = None;
        let mut rest = BytesMut::with_capacity(params.get().len());
        rest.put_u8(b'{');
        for (name, value) in &members.0 {
            if name == "details" {
                let parsed = details::parse(value.get().as_bytes()).map_err(bad)?;
                if details.replace(parsed).is_some() {
                    return Err(bad("given twice".to_owned()));
                }
                continue;
            }
            if rest.len() > 1 {
                rest.put_u8(b',');
            }
            let name = serde_json::to_string(name).expect("text is JSON");
            rest.put_slice(name.as_bytes());
            rest.put_u8(b':');
            rest.put_slice(value.get().as_bytes());
        }
        rest.put_u8(b'}');
        Ok(details.map(|details| (details, rest.freeze())))
    }
}

impl<'de> Deserialize<'de> for Arguments<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ArgumentsVisitor)
    }
}

struct ArgumentsVisitor;

impl<'de> Visitor<'de> for ArgumentsVisitor {
    type Value = Arguments<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of named arguments")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Arguments<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some((Text(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(Arguments(members))
    }
}
