//! An interface as protobuf and gRPC see it: messages, fields and methods, and their text.
//! docs/contract.md has the mapping.

use super::names::{Names, camel, comment, identifier};
use super::{Declaration, Interface};
use pool::Type;
use std::fmt::{self, Write};
use std::sync::Arc;

/// One `.proto` file: a service and its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// `katamari.KIND`.
    pub package: String,
    /// The service's name.
    pub service: String,
    /// Its methods, in the order of the functions' names.
    pub methods: Vec<Method>,
    /// Requests and responses, then those that wrap lists, maps and what may be null.
    pub messages: Vec<Message>,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Method {
    /// Its name in the service.
    pub name: String,
    /// Its name in calls.
    pub function: Arc<str>,
    /// What it does, for people.
    pub doc: Arc<str>,
    /// The message of its arguments.
    pub request: String,
    /// The message of its result, or of each piece.
    pub response: String,
    /// Whether it answers in pieces.
    pub stream: bool,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its name in the package.
    pub name: String,
    /// Its fields, numbered from 1.
    pub fields: Vec<Field>,
}

/// A field of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its name in the message.
    pub name: String,
    /// The parameter that it carries; `result` in a response.
    pub source: Arc<str>,
    /// Its number, from 1.
    pub number: u32,
    /// What it means, for people.
    pub doc: Arc<str>,
    /// How often its value occurs.
    pub label: Label,
    /// What its value is, or each of its values.
    pub value: Value,
    /// The declared type that it carries.
    pub r#type: Type,
}

/// How often the value of a field occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// Once.
    Plain,
    /// Once, or it is absent: null, or not given.
    Optional,
    /// Any number of times.
    Repeated,
    /// Any number of times, with a text as key each.
    Map,
}

/// What the value of a field is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `string`
    String,
    /// `int64`
    Int64,
    /// `double`
    Double,
    /// `bool`
    Bool,
    /// `bytes`
    Bytes,
    /// `google.protobuf.Value`
    Any,
    /// `google.protobuf.Struct`
    Struct,
    /// A message of this file.
    Message(String),
}

impl Schema {
    /// The schema of an interface.
    pub fn of(interface: &Interface) -> Self {
        let mut names = Names::default();
        let service = names.unique(&camel(&interface.kind));
        let mut schema = Self {
            package: format!("katamari.{}", identifier(&interface.kind)),
            service,
            methods: Vec::new(),
            messages: Vec::new(),
        };
        let mut builder = Builder {
            names,
            wrappers: Vec::new(),
        };
        let mut method_names = Names::default();
        for declaration in &interface.functions {
            let name = method_names.unique(&camel(&declaration.function.name));
            let (method, messages) = builder.method(name, declaration);
            schema.methods.push(method);
            schema.messages.extend(messages);
        }
        let wrappers = builder.wrappers.into_iter().map(|(_, message)| message);
        schema.messages.extend(wrappers);
        schema
    }

    /// The message of that name.
    pub fn message(&self, name: &str) -> Option<&Message> {
        self.messages.iter().find(|message| message.name == name)
    }
}

/// Collects the messages that wrap what cannot stand by itself.
struct Builder {
    names: Names,
    wrappers: Vec<(Type, Message)>,
}

impl Builder {
    fn method(&mut self, name: String, declaration: &Declaration) -> (Method, [Message; 2]) {
        let function = &declaration.function;
        let request = self.names.unique(&format!("{name}Request"));
        let response = self.names.unique(&format!("{name}Response"));
        let mut field_names = Names::default();
        let fields = function.parameters.iter().zip(1..);
        let fields = fields.map(|(parameter, number)| {
            let (label, value) = self.field(&parameter.r#type, parameter.required);
            Field {
                name: field_names.unique(&identifier(&parameter.name)),
                source: parameter.name.clone(),
                number,
                doc: parameter.doc.clone(),
                label,
                value,
                r#type: parameter.r#type.clone(),
            }
        });
        let arguments = Message {
            name: request.clone(),
            fields: fields.collect(),
        };
        let result = Message {
            name: response.clone(),
            fields: vec![self.only("result", &function.result)],
        };
        let method = Method {
            name,
            function: function.name.clone(),
            doc: function.doc.clone(),
            request,
            response,
            stream: function.stream,
        };
        (method, [arguments, result])
    }

    /// The one field of a message.
    fn only(&mut self, name: &str, of: &Type) -> Field {
        let (label, value) = self.field(of, true);
        Field {
            name: name.to_owned(),
            source: name.into(),
            number: 1,
            doc: "".into(),
            label,
            value,
            r#type: of.clone(),
        }
    }

    /// How a field holds a type. Lists and maps have no presence of their own, so that those that
    /// may be absent are wrapped.
    fn field(&mut self, of: &Type, required: bool) -> (Label, Value) {
        let (inner, nullable) = of.required();
        match (inner, nullable || !required) {
            (Type::Array(element), false) => (Label::Repeated, self.value(element)),
            (Type::Map(element), false) => (Label::Map, self.value(element)),
            // A Value can be null, but one that is not given differs from it.
            (Type::Any, _) if required => (Label::Plain, Value::Any),
            (inner, false) => (Label::Plain, self.value(inner)),
            (inner, true) => (Label::Optional, self.value(inner)),
        }
    }

    /// A value by itself, as an element of a list or a map.
    fn value(&mut self, of: &Type) -> Value {
        match of {
            Type::String => Value::String,
            Type::Integer => Value::Int64,
            Type::Number => Value::Double,
            Type::Boolean => Value::Bool,
            Type::Bytes => Value::Bytes,
            Type::Any => Value::Any,
            Type::Object => Value::Struct,
            Type::Optional(inner) if **inner == Type::Any => Value::Any,
            Type::Array(_) => self.wrapper(of, "items"),
            Type::Map(_) => self.wrapper(of, "entries"),
            Type::Optional(_) => self.wrapper(of, "value"),
        }
    }

    fn wrapper(&mut self, of: &Type, field: &str) -> Value {
        let known = self.wrappers.iter().find(|(known, _)| known == of);
        if let Some((_, message)) = known {
            return Value::Message(message.name.clone());
        }
        let fields = vec![self.only(field, of)];
        let name = self.names.unique(&wrapper_name(of));
        let message = Message {
            name: name.clone(),
            fields,
        };
        self.wrappers.push((of.clone(), message));
        Value::Message(name)
    }
}

/// `[{integer}]` as `ListOfMapOfInteger`.
fn wrapper_name(of: &Type) -> String {
    match of {
        Type::Array(inner) => format!("ListOf{}", wrapper_name(inner)),
        Type::Map(inner) => format!("MapOf{}", wrapper_name(inner)),
        Type::Optional(inner) => format!("Optional{}", wrapper_name(inner)),
        word => camel(&word.to_string()),
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String => "string",
            Self::Int64 => "int64",
            Self::Double => "double",
            Self::Bool => "bool",
            Self::Bytes => "bytes",
            Self::Any => "google.protobuf.Value",
            Self::Struct => "google.protobuf.Struct",
            Self::Message(name) => name,
        })
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = &self.value;
        match self.label {
            Label::Plain => write!(f, "{value}"),
            Label::Optional => write!(f, "optional {value}"),
            Label::Repeated => write!(f, "repeated {value}"),
            Label::Map => write!(f, "map<string, {value}>"),
        }?;
        write!(f, " {} = {};", self.name, self.number)
    }
}

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "syntax = \"proto3\";\n\npackage {};", self.package)?;
        let mut values = self.messages.iter().flat_map(|message| &message.fields);
        if values.any(|field| matches!(field.value, Value::Any | Value::Struct)) {
            writeln!(f, "\nimport \"google/protobuf/struct.proto\";")?;
        }
        writeln!(f, "\nservice {} {{", self.service)?;
        for method in &self.methods {
            f.write_str(&comment("  ", "//", &method.doc))?;
            let stream = if method.stream { "stream " } else { "" };
            writeln!(
                f,
                "  rpc {}({}) returns ({stream}{});",
                method.name, method.request, method.response
            )?;
        }
        f.write_str("}\n")?;
        for message in &self.messages {
            writeln!(f, "\nmessage {} {{", message.name)?;
            for field in &message.fields {
                f.write_str(&comment("  ", "//", &field.doc))?;
                writeln!(f, "  {field}")?;
            }
            f.write_char('}')?;
            f.write_char('\n')?;
        }
        Ok(())
    }
}
