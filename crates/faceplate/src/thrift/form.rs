//! Which values of Thrift stand for which values of JSON: as a union that can be any of them, or as
//! a function declares it. `arguments` reads them, `result` writes them.

use super::codec::Kind;
use crate::contract::thrift::{Struct, Value};

/// The fields of the union `Value` in docs/protocol/katamari.thrift.
pub(super) mod union {
    pub const NULL: i16 = 1;
    pub const BOOLEAN: i16 = 2;
    pub const INTEGER: i16 = 3;
    pub const NUMBER: i16 = 4;
    pub const TEXT: i16 = 5;
    pub const OCTETS: i16 = 6;
    pub const ITEMS: i16 = 7;
    pub const MEMBERS: i16 = 8;
}

/// The only field of a struct that wraps what may be null.
pub(super) const WRAPPED_ID: i16 = 1;

/// How a value is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form<'a> {
    /// The union `Value`.
    Union,
    /// As it is declared, in a file with these structs.
    Declared(&'a Value, &'a [Struct]),
}

/// A string that holds one value of JSON.
pub(super) const JSON: Form<'static> = Form::Declared(&Value::Json, &[]);

impl<'a> Form<'a> {
    pub fn kind(self) -> Kind {
        match self {
            Self::Union => Kind::Struct,
            Self::Declared(value, _) => match value {
                Value::String | Value::Binary | Value::Json => Kind::Text,
                Value::I64 => Kind::I64,
                Value::Double => Kind::Double,
                Value::Bool => Kind::Bool,
                Value::List(_) => Kind::List,
                Value::Map(_) => Kind::Map,
                Value::Struct(_) => Kind::Struct,
            },
        }
    }

    /// The form of another value of the same file.
    pub fn with(self, value: &'a Value) -> Self {
        match self {
            Self::Union => Self::Union,
            Self::Declared(_, structs) => Self::Declared(value, structs),
        }
    }

    /// What may be null here, if this is a struct for that.
    pub fn wrapped(self) -> Option<Self> {
        let Self::Declared(Value::Struct(name), structs) = self else {
            return None;
        };
        let found = structs.iter().find(|structure| structure.name == *name);
        let field = found.and_then(|structure| structure.fields.first());
        field.map(|field| self.with(&field.value))
    }

    /// What the elements of a list are, or the values of a map.
    pub fn inner(self) -> Option<Self> {
        match self {
            Self::Declared(Value::List(inner) | Value::Map(inner), _) => Some(self.with(inner)),
            _ => None,
        }
    }
}
