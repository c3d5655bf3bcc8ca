//! An interface as Thrift sees it: structs, a service with one exception, and their text.
//! docs/contract.md has the mapping.

use super::Interface;
use super::names::{Names, camel, comment, identifier, unreserved};
use pool::{Function, Type};
use std::fmt::{self, Write};
use std::sync::Arc;

/// The id of the argument that holds what may be left out or be null. No function has as many
/// parameters, so that it is the same however many are added.
pub const OPTIONS_ID: i16 = 101;

/// What Thrift 0.17 refuses as a name, in any of the languages that it generates.
const RESERVED: &str = " BEGIN END __CLASS__ __DIR__ __FILE__ __FUNCTION__ __LINE__ __METHOD__ \
__NAMESPACE__ abstract alias and args as assert async begin binary bool break byte case catch class \
clone const continue cpp_include cpp_type declare def default del delete do double dynamic elif \
else elseif elsif end enddeclare endfor endforeach endif endswitch endwhile ensure enum except \
exception exec extends false finally float for foreach from function global goto i16 i32 i64 i8 if \
implements import in include inline instanceof interface is lambda list map module namespace \
native new next nil not oneway optional or package pass print private protected public raise redo \
reference register required rescue retry return self senum service set sizeof slist static string \
struct super switch synchronized then this throw throws transient true try typedef undef union \
unless unsigned until use uuid var virtual void volatile when while with xor xsd_all xsd_attrs \
xsd_nillable xsd_optional yield ";

/// One `.thrift` file: a service and its structs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// `katamari.KIND`.
    pub namespace: String,
    /// The service's name.
    pub service: String,
    /// Its methods, in the order of the functions' names.
    pub methods: Vec<Method>,
    /// What wraps a value that may be null, then the options of methods.
    pub structs: Vec<Struct>,
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
    /// Parameters that must be given and are never null, and behind them the options, if any.
    pub arguments: Vec<Field>,
    /// What it returns; a list of pieces if it streams.
    pub result: Value,
    /// The declared type of the result, or of a piece.
    pub r#type: Type,
    /// Whether it answers in pieces, which Thrift sees as a whole.
    pub stream: bool,
}

/// A struct, all of whose fields are optional.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Struct {
    /// Its name in the file.
    pub name: String,
    /// Its fields.
    pub fields: Vec<Field>,
}

/// A field of a struct, or an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Its id: the parameter's place in the declaration, from 1, or [`OPTIONS_ID`].
    pub id: i16,
    /// Its name.
    pub name: String,
    /// The parameter that it carries; empty for the options and within a wrapper.
    pub source: Arc<str>,
    /// What it means, for people.
    pub doc: Arc<str>,
    /// What it holds.
    pub value: Value,
    /// The declared type that it carries; `object` for the options.
    pub r#type: Type,
    /// Whether a call must give the parameter; if it is absent and must be given, it is null.
    pub required: bool,
}

/// What a field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `string`
    String,
    /// `i64`
    I64,
    /// `double`
    Double,
    /// `bool`
    Bool,
    /// `binary`
    Binary,
    /// `Json`: a string with one JSON value.
    Json,
    /// `list<T>`
    List(Box<Value>),
    /// `map<string, T>`
    Map(Box<Value>),
    /// A struct of this file.
    Struct(String),
}

impl Schema {
    /// The schema of an interface.
    pub fn of(interface: &Interface) -> Self {
        let mut names = Names::with(&["Json", "KatamariError"]);
        let service = names.unique(&free(camel(&interface.kind)));
        let mut builder = Builder {
            names,
            wrappers: Vec::new(),
            options: Vec::new(),
        };
        let mut method_names = Names::default();
        let mut methods = Vec::new();
        for declaration in &interface.functions {
            let function = &declaration.function;
            let name = method_names.unique(&free(identifier(&function.name)));
            methods.push(builder.method(name, function));
        }
        let wrappers = builder.wrappers.into_iter().map(|(_, wrapper)| wrapper);
        Self {
            namespace: format!("katamari.{}", free(identifier(&interface.kind))),
            service,
            methods,
            structs: wrappers.chain(builder.options).collect(),
        }
    }

    /// The struct of that name.
    pub fn structure(&self, name: &str) -> Option<&Struct> {
        self.structs.iter().find(|structure| structure.name == name)
    }
}

/// The name, unless Thrift has a use of its own for it.
fn free(name: String) -> String {
    unreserved(name, RESERVED)
}

/// Collects the structs that hold what may be absent.
struct Builder {
    names: Names,
    wrappers: Vec<(Type, Struct)>,
    options: Vec<Struct>,
}

impl Builder {
    fn method(&mut self, name: String, function: &Function) -> Method {
        let mut field_names = Names::default();
        let (mut arguments, mut options) = (Vec::new(), Vec::new());
        for (parameter, id) in function.parameters.iter().zip(1..) {
            let (inner, nullable) = parameter.r#type.required();
            let field = Field {
                id,
                name: field_names.unique(&free(identifier(&parameter.name))),
                source: parameter.name.clone(),
                doc: parameter.doc.clone(),
                value: self.value(inner),
                r#type: parameter.r#type.clone(),
                required: parameter.required,
            };
            if nullable || !parameter.required {
                options.push(field);
            } else {
                arguments.push(field);
            }
        }
        if !options.is_empty() {
            let options_name = self.names.unique(&format!("{}Options", camel(&name)));
            arguments.push(Field {
                id: OPTIONS_ID,
                name: field_names.unique("options"),
                source: "".into(),
                doc: "".into(),
                value: Value::Struct(options_name.clone()),
                r#type: Type::Object,
                required: true,
            });
            self.options.push(Struct {
                name: options_name,
                fields: options,
            });
        }
        let result = self.value(&function.result);
        Method {
            name,
            function: function.name.clone(),
            doc: function.doc.clone(),
            arguments,
            result: if function.stream {
                Value::List(Box::new(result))
            } else {
                result
            },
            r#type: function.result.clone(),
            stream: function.stream,
        }
    }

    fn value(&mut self, of: &Type) -> Value {
        match of {
            Type::String => Value::String,
            Type::Integer => Value::I64,
            Type::Number => Value::Double,
            Type::Boolean => Value::Bool,
            Type::Bytes => Value::Binary,
            Type::Object | Type::Any => Value::Json,
            Type::Optional(inner) if **inner == Type::Any => Value::Json,
            Type::Array(inner) => Value::List(Box::new(self.value(inner))),
            Type::Map(inner) => Value::Map(Box::new(self.value(inner))),
            Type::Optional(inner) => self.wrapper(inner),
        }
    }

    /// A struct whose only field is absent for null.
    fn wrapper(&mut self, of: &Type) -> Value {
        let known = self.wrappers.iter().find(|(known, _)| known == of);
        if let Some((_, wrapper)) = known {
            return Value::Struct(wrapper.name.clone());
        }
        let field = Field {
            id: 1,
            name: "value".to_owned(),
            source: "".into(),
            doc: "".into(),
            value: self.value(of),
            r#type: Type::Optional(Arc::new(of.clone())),
            required: true,
        };
        let name = self.names.unique(&format!("Optional{}", word(of)));
        let wrapper = Struct {
            name: name.clone(),
            fields: vec![field],
        };
        self.wrappers.push((of.clone(), wrapper));
        Value::Struct(name)
    }
}

/// `[{integer}]` as `ListOfMapOfInteger`.
fn word(of: &Type) -> String {
    match of {
        Type::Array(inner) => format!("ListOf{}", word(inner)),
        Type::Map(inner) => format!("MapOf{}", word(inner)),
        Type::Optional(inner) => format!("Optional{}", word(inner)),
        plain => camel(&plain.to_string()),
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String => f.write_str("string"),
            Self::I64 => f.write_str("i64"),
            Self::Double => f.write_str("double"),
            Self::Bool => f.write_str("bool"),
            Self::Binary => f.write_str("binary"),
            Self::Json => f.write_str("Json"),
            Self::List(inner) => write!(f, "list<{inner}>"),
            Self::Map(inner) => write!(f, "map<string, {inner}>"),
            Self::Struct(name) => f.write_str(name),
        }
    }
}

const COMMON: &str = "
/** One JSON value. */
typedef string Json

/** What went wrong; the codes are those of Katamari. */
exception KatamariError {
  1: required string code,
  2: required string message,
  /** The call's, for `katamari why`. */
  3: optional string id,
  /** Of an error that the function raised: its short name, and where it was raised. */
  4: optional string error_type,
  5: optional string backtrace,
  /** When it may be worth to try again. */
  6: optional i64 retry_after_s,
}
";

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "namespace * {}", self.namespace)?;
        f.write_str(COMMON)?;
        for structure in &self.structs {
            writeln!(f, "\nstruct {} {{", structure.name)?;
            for field in &structure.fields {
                f.write_str(&comment("  ", "//", &field.doc))?;
                writeln!(
                    f,
                    "  {}: optional {} {},",
                    field.id, field.value, field.name
                )?;
            }
            f.write_str("}\n")?;
        }
        writeln!(f, "\nservice {} {{", self.service)?;
        for method in &self.methods {
            f.write_str(&comment("  ", "//", &method.doc))?;
            writeln!(f, "  {} {}(", method.result, method.name)?;
            for field in &method.arguments {
                f.write_str(&comment("    ", "//", &field.doc))?;
                writeln!(f, "    {}: {} {},", field.id, field.value, field.name)?;
            }
            writeln!(f, "  ) throws (1: KatamariError error),")?;
        }
        f.write_char('}')?;
        f.write_char('\n')
    }
}
