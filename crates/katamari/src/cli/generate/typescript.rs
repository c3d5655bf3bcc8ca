//! The TypeScript client.

use super::{Method, Names, doc, methods, quoted};
use faceplate::contract::Interface;
use faceplate::contract::names::{camel, identifier};
use pool::Type;
use std::fmt::Write;

const HEAD: &str = include_str!("client.ts");

/// Methods may be called as words of the language are.
const NAMES: Names = Names {
    identifier,
    keywords: "",
    taken: &["constructor", "url", "token", "send", "call", "stream"],
};

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
    let methods = methods(interface, &NAMES);
    let methods: Vec<_> = methods.iter().map(|it| written(kind, it)).collect();
    text + &methods.join("\n") + "}\n"
}

fn written(kind: &str, method: &Method<'_>) -> String {
    let Method { function, name, .. } = method;
    let mut text = String::new();
    let lines = doc(function, "@param args.", " ");
    if !lines.is_empty() {
        text.push_str("  /**\n");
        for line in lines {
            let line = line.replace("*/", "*\u{200b}/");
            let _ = writeln!(text, "   {}", format!("* {line}").trim_end());
        }
        text.push_str("   */\n");
    }
    let path = quoted(&format!("{kind}/{}", function.name));
    let (arguments, result) = (arguments(method), hint(&function.result));
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
fn arguments(method: &Method<'_>) -> String {
    let Some(fields) = &method.arguments else {
        return "args: Uint8Array".to_owned();
    };
    let field = |(_, parameter): &(String, &pool::Parameter)| {
        let mark = if parameter.required { "" } else { "?" };
        format!(
            "{}{mark}: {}",
            quoted(&parameter.name),
            hint(&parameter.r#type)
        )
    };
    let fields: Vec<_> = fields.iter().map(field).collect();
    let default = if method.function.required_count() == 0 {
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
