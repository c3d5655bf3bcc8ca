//! The Ruby client.

use super::{doc, quoted, takes_bytes};
use faceplate::contract::names::{Names, camel, identifier};
use faceplate::contract::{Declaration, Interface};
use pool::Type;
use std::fmt::Write;

const HEAD: &str = include_str!("client.rb");

const KEYWORDS: &str = " BEGIN END __ENCODING__ __FILE__ __LINE__ alias and begin break case class \
def defined do else elsif end ensure false for if in module next nil not or redo rescue retry return \
self super then true undef unless until when while yield block ";

/// Names that the client itself has, and those that every object needs.
const TAKEN: [&str; 16] = [
    "with_options",
    "initialize",
    "request",
    "call",
    "stream",
    "events",
    "dup",
    "tap",
    "class",
    "send",
    "method",
    "methods",
    "hash",
    "freeze",
    "raise",
    "enum_for",
];

pub(super) fn write(interface: &Interface) -> String {
    let kind = &interface.kind;
    let mut text =
        format!("# A client of the kind {kind}, written by `katamari client ruby {kind}`.\n");
    // The magic comment must come before any code, and may come behind other comments.
    text.push_str(HEAD);
    let _ = write!(
        text,
        "\n# The functions of the kind {kind}.\nclass {} < KatamariClient\n  KIND = {}\n",
        camel(kind),
        quoted(kind)
    );
    let mut names = Names::default();
    for taken in TAKEN {
        names.unique(taken);
    }
    for declaration in &interface.functions {
        text.push('\n');
        text.push_str(&method(&mut names, declaration));
    }
    text.push_str("end\n");
    text
}

fn method(names: &mut Names, declaration: &Declaration) -> String {
    let function = &declaration.function;
    let name = names.unique(&free(lower(&function.name)));
    let mut text = String::new();
    for line in doc(function, |name, doc| format!("{name}: {doc}")) {
        let _ = writeln!(text, "  {}", format!("# {line}").trim_end());
    }
    let (mut parameters, arguments) = if takes_bytes(function) {
        text.push_str("  # @param data [String] the bytes\n");
        (vec!["data".to_owned()], "data".to_owned())
    } else {
        let mut fields = Names::default();
        let (mut parameters, mut arguments) = (Vec::new(), Vec::new());
        for parameter in &function.parameters {
            let field = fields.unique(&free(lower(&parameter.name)));
            let default = if parameter.required { "" } else { " UNSET" };
            let _ = writeln!(text, "  # @param {field} [{}]", hint(&parameter.r#type));
            parameters.push(format!("{field}:{default}"));
            arguments.push(format!("{} => {field}", quoted(&parameter.name)));
        }
        let arguments = if arguments.is_empty() {
            "{}".to_owned()
        } else {
            format!("{{ {} }}", arguments.join(", "))
        };
        (parameters, arguments)
    };
    let result = hint(&function.result);
    let quoted = quoted(&function.name);
    let run = if function.stream {
        parameters.push("&block".to_owned());
        let _ = writeln!(
            text,
            "  # @return [Enumerator<{result}>] unless there is a block"
        );
        format!("stream({quoted}, {arguments}, &block)")
    } else {
        let _ = writeln!(text, "  # @return [{result}]");
        format!("call({quoted}, {arguments})")
    };
    let parameters = parameters.join(", ");
    let _ = write!(text, "  def {name}({parameters})\n    {run}\n  end\n");
    text
}

/// An identifier that is no constant.
fn lower(name: &str) -> String {
    let name = identifier(name);
    let (first, rest) = name.split_at(1);
    first.to_ascii_lowercase() + rest
}

fn free(name: String) -> String {
    if KEYWORDS.contains(&format!(" {name} ")) {
        name + "_"
    } else {
        name
    }
}

fn hint(of: &Type) -> String {
    match of {
        Type::String | Type::Bytes => "String".to_owned(),
        Type::Integer => "Integer".to_owned(),
        Type::Number => "Numeric".to_owned(),
        Type::Boolean => "Boolean".to_owned(),
        Type::Object => "Hash".to_owned(),
        Type::Any => "Object".to_owned(),
        Type::Array(inner) => format!("Array<{}>", hint(inner)),
        Type::Map(inner) => format!("Hash{{String => {}}}", hint(inner)),
        Type::Optional(inner) => format!("{}, nil", hint(inner)),
    }
}
