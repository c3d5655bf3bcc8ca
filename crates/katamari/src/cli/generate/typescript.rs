//! The TypeScript client.

use super::{doc, quoted, takes_bytes};
use faceplate::contract::names::{Names, camel, identifier};
use faceplate::contract::{Declaration, Interface};
use pool::{Function, Type};
use std::fmt::Write;

const HEAD: &str = include_str!("client.ts");

/// Names that the client itself has.
const TAKEN: [&str; 6] = ["constructor", "url", "token", "send", "call", "stream"];

pub(super) fn write(interface: &Interface) -> String {
    let kind = &interface.kind;
    let mut text = format!(
        "/** A client of the kind {kind}, written by `katamari client typescript {kind}`. */\n\n{HEAD}"
    );
    let _ = write!(
        text,
        "\n/** The functions of the kind {kind}. */\nexport class {} extends Client {{\n",
        camel(kind)
    );
    let mut names = Names::default();
    for taken in TAKEN {
        names.unique(taken);
    }
    let methods = interface.functions.iter();
    let methods: Vec<_> = methods.map(|it| method(&mut names, kind, it)).collect();
    text + &methods.join("\n") + "}\n"
}

fn method(names: &mut Names, kind: &str, declaration: &Declaration) -> String {
    let function = &declaration.function;
    let name = names.unique(&identifier(&function.name));
    let mut text = String::new();
    let lines = doc(function, |name, doc| format!("@param args.{name} {doc}"));
    if !lines.is_empty() {
        text.push_str("  /**\n");
        for line in lines {
            let line = line.replace("*/", "*\u{200b}/");
            let _ = writeln!(text, "   {}", format!("* {line}").trim_end());
        }
        text.push_str("   */\n");
    }
    let path = quoted(&format!("{kind}/{}", function.name));
    let (arguments, result) = (arguments(function), hint(&function.result));
    let _ = if function.stream {
        let _ = writeln!(
            text,
            "  async *{name}({arguments}, options: Options = {{}}): AsyncGenerator<{result}, void> {{"
        );
        writeln!(
            text,
            "    for await (const piece of this.stream({path}, args, options)) yield piece as {result};\n  }}"
        )
    } else {
        let _ = writeln!(
            text,
            "  async {name}({arguments}, options: Options = {{}}): Promise<{result}> {{"
        );
        writeln!(
            text,
            "    return (await this.call({path}, args, options)) as {result};\n  }}"
        )
    };
    text
}

/// The first parameter of a method: all arguments as one object.
fn arguments(function: &Function) -> String {
    if takes_bytes(function) {
        return "args: Uint8Array".to_owned();
    }
    let field = |parameter: &pool::Parameter| {
        let mark = if parameter.required { "" } else { "?" };
        format!(
            "{}{mark}: {}",
            quoted(&parameter.name),
            hint(&parameter.r#type)
        )
    };
    let fields: Vec<_> = function.parameters.iter().map(field).collect();
    let default = if function.required_count() == 0 {
        " = {}"
    } else {
        ""
    };
    match fields.is_empty() {
        true => "args: Record<string, never> = {}".to_owned(),
        false => format!("args: {{ {} }}{default}", fields.join("; ")),
    }
}

fn hint(of: &Type) -> String {
    match of {
        Type::String => "string".to_owned(),
        Type::Integer | Type::Number => "number".to_owned(),
        Type::Boolean => "boolean".to_owned(),
        Type::Bytes => "Uint8Array".to_owned(),
        Type::Object => "Record<string, unknown>".to_owned(),
        Type::Any => "unknown".to_owned(),
        Type::Array(inner) => match **inner {
            Type::Optional(_) => format!("({})[]", hint(inner)),
            _ => format!("{}[]", hint(inner)),
        },
        Type::Map(inner) => format!("Record<string, {}>", hint(inner)),
        Type::Optional(inner) => format!("{} | null", hint(inner)),
    }
}
