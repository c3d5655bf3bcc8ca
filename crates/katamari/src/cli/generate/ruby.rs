//! The Ruby client.

use super::{Method, Names, doc, methods, quoted};
use faceplate::contract::Interface;
use faceplate::contract::names::{camel, identifier};
use pool::Type;
use std::fmt::Write;

const HEAD: &str = include_str!("client.rb");

/// Of the names that are taken, some are those that every object needs.
const NAMES: Names = Names {
    identifier: lower,
    keywords: " BEGIN END __ENCODING__ __FILE__ __LINE__ alias and begin break case class def \
defined do else elsif end ensure false for if in module next nil not or redo rescue retry return self \
super then true undef unless until when while yield block ",
    taken: &[
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
    ],
};

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
    for method in methods(interface, &NAMES) {
        text.push('\n');
        text.push_str(&written(&method));
    }
    text.push_str("end\n");
    text
}

fn written(method: &Method<'_>) -> String {
    let Method {
        function,
        name,
        arguments,
    } = method;
    let mut text = String::new();
    for line in doc(function, "", ": ") {
        let _ = writeln!(text, "  {}", format!("# {line}").trim_end());
    }
    let (mut parameters, arguments) = match arguments.as_deref() {
        None => {
            text.push_str("  # @param data [String] the bytes\n");
            (vec!["data".to_owned()], "data".to_owned())
        }
        Some([]) => (Vec::new(), "{}".to_owned()),
        Some(fields) => {
            let mut parameters = Vec::new();
            for (field, parameter) in fields {
                let default = if parameter.required { "" } else { " UNSET" };
                let _ = writeln!(text, "  # @param {field} [{}]", hint(&parameter.r#type));
                parameters.push(format!("{field}:{default}"));
            }
            let given = fields.iter();
            let given = given.map(|(field, it)| format!("{} => {field}", quoted(&it.name)));
            (
                parameters,
                format!("{{ {} }}", given.collect::<Vec<_>>().join(", ")),
            )
        }
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
