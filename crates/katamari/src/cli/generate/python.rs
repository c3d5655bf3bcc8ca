//! The Python client.

use super::{doc, quoted, takes_bytes};
use faceplate::contract::names::{Names, camel, identifier};
use faceplate::contract::{Declaration, Interface};
use pool::Type;
use std::fmt::Write;

const HEAD: &str = include_str!("client.py");

const KEYWORDS: &str = " False None True and as assert async await break class continue def del elif \
else except finally for from global if import in is lambda nonlocal not or pass raise return try \
while with yield self ";

/// Names that the client itself has.
const TAKEN: [&str; 1] = ["with_options"];

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
    let mut names = Names::default();
    for taken in TAKEN {
        names.unique(taken);
    }
    for declaration in &interface.functions {
        text.push('\n');
        text.push_str(&method(&mut names, declaration));
    }
    text
}

fn method(names: &mut Names, declaration: &Declaration) -> String {
    let function = &declaration.function;
    let name = names.unique(&free(identifier(&function.name)));
    let result = hint(&function.result);
    let (verb, result) = match function.stream {
        true => ("_stream", format!("Iterator[{result}]")),
        false => ("_call", result),
    };
    let (parameters, arguments) = if takes_bytes(function) {
        ("self, data: bytes".to_owned(), "data".to_owned())
    } else {
        let mut fields = Names::default();
        let (mut parameters, mut arguments) = ("self".to_owned(), Vec::new());
        for parameter in &function.parameters {
            let field = fields.unique(&free(identifier(&parameter.name)));
            let default = if parameter.required { "" } else { " = _UNSET" };
            let _ = write!(
                parameters,
                ", {field}: {}{default}",
                hint(&parameter.r#type)
            );
            arguments.push(format!("{}: {field}", quoted(&parameter.name)));
        }
        (parameters, format!("{{{}}}", arguments.join(", ")))
    };
    let mut text = format!("    def {name}({parameters}) -> {result}:\n");
    let lines = doc(function, |name, doc| format!("{name}: {doc}"));
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

fn free(name: String) -> String {
    if KEYWORDS.contains(&format!(" {name} ")) {
        name + "_"
    } else {
        name
    }
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
