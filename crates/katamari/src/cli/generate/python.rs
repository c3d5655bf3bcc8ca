//! The Python client.

use super::{Method, Names, doc, methods, quoted};
use faceplate::contract::Interface;
use faceplate::contract::names::{camel, identifier};
use pool::Type;
use std::fmt::Write;

const HEAD: &str = include_str!("client.py");

const NAMES: Names = Names {
    identifier,
    keywords: " False None True and as assert async await break class continue def del elif else \
except finally for from global if import in is lambda nonlocal not or pass raise return try while \
with yield self ",
    taken: &["with_options"],
};

pub(super) fn write(interface: &Interface) -> String {
    let kind = &interface.kind;
    let mut text = format!(
        "\"\"\"A client of the kind {kind}, written by `katamari client python {kind}`.\"\"\"\n\n{HEAD}"
    );
    let _ = write!(
        text,
        "\n\nclass {}(_Client):\n    \"\"\"The functions of the kind {kind}.\"\"\"\n\n    _kind = {}\n",
        camel(kind),
        quoted(kind)
    );
    for method in methods(interface, &NAMES) {
        text.push('\n');
        text.push_str(&written(&method));
    }
    text
}

fn written(method: &Method<'_>) -> String {
    let Method {
        function,
        name,
        arguments,
    } = method;
    let result = hint(&function.result);
    let (verb, result) = match function.stream {
        true => ("_stream", format!("Iterator[{result}]")),
        false => ("_call", result),
    };
    let (parameters, arguments) = match arguments {
        None => ("self, data: bytes".to_owned(), "data".to_owned()),
        Some(fields) => {
            let mut parameters = "self".to_owned();
            for (field, parameter) in fields {
                let default = if parameter.required { "" } else { " = _UNSET" };
                let hint = hint(&parameter.r#type);
                let _ = write!(parameters, ", {field}: {hint}{default}");
            }
            let given = fields.iter();
            let given = given.map(|(field, it)| format!("{}: {field}", quoted(&it.name)));
            (
                parameters,
                format!("{{{}}}", given.collect::<Vec<_>>().join(", ")),
            )
        }
    };
    let mut text = format!("    def {name}({parameters}) -> {result}:\n");
    let lines = doc(function, "", ": ");
    if !lines.is_empty() {
        let lines = lines.join("\n        ").replace('\\', "\\\\");
        let lines = lines.replace("\"\"\"", "\\\"\\\"\\\"");
        let last = if lines.ends_with('"') { " " } else { "" };
        let _ = writeln!(text, "        \"\"\"{lines}{last}\"\"\"");
    }
    let function = quoted(&function.name);
    let _ = writeln!(text, "        return self.{verb}({function}, {arguments})");
    text
}

fn hint(of: &Type) -> String {
    match of {
        Type::String => "str".to_owned(),
        Type::Integer => "int".to_owned(),
        Type::Number => "float".to_owned(),
        Type::Boolean => "bool".to_owned(),
        Type::Bytes => "bytes".to_owned(),
        Type::Object => "Dict[str, Any]".to_owned(),
        Type::Any => "Any".to_owned(),
        Type::Array(inner) => format!("List[{}]", hint(inner)),
        Type::Map(inner) => format!("Dict[str, {}]", hint(inner)),
        Type::Optional(inner) => format!("Optional[{}]", hint(inner)),
    }
}
