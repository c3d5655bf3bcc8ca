//! A schema as the descriptor that clients read with reflection: the same model that `katamari idl
//! proto` prints.

use crate::contract::proto::{Field, Label, Message, Method, Schema, Value};
use prost_types::field_descriptor_proto::{Label as Times, Type};
use prost_types::source_code_info::Location;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, MessageOptions, MethodDescriptorProto, OneofDescriptorProto,
    ServiceDescriptorProto, SourceCodeInfo,
};

/// The file of `google.protobuf.Value` and `Struct`.
pub(super) const STRUCT: &str = "google/protobuf/struct.proto";

const VALUE_NAME: &str = ".google.protobuf.Value";

/// The descriptor of a schema.
pub(super) fn of(schema: &Schema) -> FileDescriptorProto {
    let mut fields = schema.messages.iter().flat_map(|message| &message.fields);
    let imports = fields.any(|field| matches!(field.value, Value::Any | Value::Struct));
    let prefix = format!(".{}", schema.package);
    let message = |message| message_of(&prefix, message);
    let method = |method: &Method| method_of(&prefix, method);
    let service = ServiceDescriptorProto {
        name: Some(schema.service.clone()),
        method: schema.methods.iter().map(method).collect(),
        options: None,
    };
    FileDescriptorProto {
        name: Some(format!("{}.proto", schema.package.replace('.', "/"))),
        package: Some(schema.package.clone()),
        dependency: imports.then(|| STRUCT.to_owned()).into_iter().collect(),
        message_type: schema.messages.iter().map(message).collect(),
        service: vec![service],
        source_code_info: Some(comments(schema)),
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    }
}

fn method_of(prefix: &str, method: &Method) -> MethodDescriptorProto {
    MethodDescriptorProto {
        name: Some(method.name.clone()),
        input_type: Some(format!("{prefix}.{}", method.request)),
        output_type: Some(format!("{prefix}.{}", method.response)),
        server_streaming: method.stream.then_some(true),
        ..MethodDescriptorProto::default()
    }
}

fn message_of(prefix: &str, message: &Message) -> DescriptorProto {
    let mut descriptor = DescriptorProto {
        name: Some(message.name.clone()),
        ..DescriptorProto::default()
    };
    let scope = format!("{prefix}.{}", message.name);
    for field in &message.fields {
        let mut described = field_of(prefix, field);
        match field.label {
            Label::Plain => {}
            Label::Repeated => described.set_label(Times::Repeated),
            Label::Map => {
                let entry = entry_of(prefix, field);
                described.set_label(Times::Repeated);
                described.set_type(Type::Message);
                described.type_name = Some(format!("{scope}.{}", entry.name()));
                descriptor.nested_type.push(entry);
            }
            // What `optional` is in descriptors: the only member of a choice.
            Label::Optional => {
                described.proto3_optional = Some(true);
                described.oneof_index = i32::try_from(descriptor.oneof_decl.len()).ok();
                descriptor
                    .oneof_decl
                    .push(choice(&format!("_{}", field.name)));
            }
        }
        descriptor.field.push(described);
    }
    descriptor
}

fn field_of(prefix: &str, field: &Field) -> FieldDescriptorProto {
    let number = i32::try_from(field.number).expect("a function has at most 100 parameters");
    let (r#type, name) = match &field.value {
        Value::String => (Type::String, None),
        Value::Int64 => (Type::Int64, None),
        Value::Double => (Type::Double, None),
        Value::Bool => (Type::Bool, None),
        Value::Bytes => (Type::Bytes, None),
        Value::Any => (Type::Message, Some(VALUE_NAME.to_owned())),
        Value::Struct => (Type::Message, Some(".google.protobuf.Struct".to_owned())),
        Value::Message(name) => (Type::Message, Some(format!("{prefix}.{name}"))),
    };
    let mut described = plain(&field.name, number, r#type);
    described.type_name = name;
    described
}

/// The message of an entry of a map, named as compilers name it.
fn entry_of(prefix: &str, field: &Field) -> DescriptorProto {
    let capital = |part: &str| {
        let mut letters = part.chars();
        let first = letters.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    };
    let name: String = field.name.split('_').map(capital).collect();
    let mut value = field_of(prefix, field);
    value.name = Some("value".to_owned());
    value.json_name = Some("value".to_owned());
    value.number = Some(2);
    entry(&format!("{name}Entry"), value)
}

fn entry(name: &str, value: FieldDescriptorProto) -> DescriptorProto {
    DescriptorProto {
        name: Some(name.to_owned()),
        field: vec![plain("key", 1, Type::String), value],
        options: Some(MessageOptions {
            map_entry: Some(true),
            ..MessageOptions::default()
        }),
        ..DescriptorProto::default()
    }
}

/// A field that occurs once.
pub(super) fn plain(name: &str, number: i32, r#type: Type) -> FieldDescriptorProto {
    let mut field = FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        json_name: Some(json_name(name)),
        ..FieldDescriptorProto::default()
    };
    field.set_label(Times::Optional);
    field.set_type(r#type);
    field
}

/// `max_length` as `maxLength`: what follows an underscore is a capital.
fn json_name(name: &str) -> String {
    let mut after_underscore = false;
    let letter = |letter: char| {
        let raised = std::mem::replace(&mut after_underscore, letter == '_');
        match letter {
            '_' => None,
            letter if raised => Some(letter.to_ascii_uppercase()),
            letter => Some(letter),
        }
    };
    name.chars().filter_map(letter).collect()
}

fn choice(name: &str) -> OneofDescriptorProto {
    OneofDescriptorProto {
        name: Some(name.to_owned()),
        options: None,
    }
}

/// What is said about methods and fields, where compilers put it.
fn comments(schema: &Schema) -> SourceCodeInfo {
    // The fields of a FileDescriptorProto are numbered: 4 its messages, 6 its services; in these,
    // 2 is fields and methods.
    let methods = schema.methods.iter().zip(0..);
    let methods = methods.map(|(method, at)| (vec![6, 0, 2, at], &method.doc));
    let messages = schema.messages.iter().zip(0..);
    let fields = messages.flat_map(|(message, at)| {
        let fields = message.fields.iter().zip(0..);
        fields.map(move |(field, index)| (vec![4, at, 2, index], &field.doc))
    });
    let said = methods.chain(fields).filter(|(_, doc)| !doc.is_empty());
    let location = said.map(|(path, doc)| Location {
        path,
        span: vec![0, 0, 0],
        leading_comments: Some(
            doc.trim()
                .lines()
                .map(|line| format!(" {line}\n"))
                .collect(),
        ),
        ..Location::default()
    });
    SourceCodeInfo {
        location: location.collect(),
    }
}

/// `google/protobuf/struct.proto`, which not every client has.
pub(super) fn structs() -> FileDescriptorProto {
    let of = |name: &str, number, r#type, type_name: &str| FieldDescriptorProto {
        type_name: Some(format!(".google.protobuf.{type_name}")),
        ..plain(name, number, r#type)
    };
    let mut fields = of("fields", 1, Type::Message, "Struct.FieldsEntry");
    fields.set_label(Times::Repeated);
    let mut values = of("values", 1, Type::Message, "Value");
    values.set_label(Times::Repeated);
    let mut kinds = vec![
        of("null_value", 1, Type::Enum, "NullValue"),
        plain("number_value", 2, Type::Double),
        plain("string_value", 3, Type::String),
        plain("bool_value", 4, Type::Bool),
        of("struct_value", 5, Type::Message, "Struct"),
        of("list_value", 6, Type::Message, "ListValue"),
    ];
    for kind in &mut kinds {
        kind.oneof_index = Some(0);
    }
    let message = |name: &str, field| DescriptorProto {
        name: Some(name.to_owned()),
        field,
        ..DescriptorProto::default()
    };
    let structure = DescriptorProto {
        nested_type: vec![entry("FieldsEntry", of("value", 2, Type::Message, "Value"))],
        ..message("Struct", vec![fields])
    };
    let value = DescriptorProto {
        oneof_decl: vec![choice("kind")],
        ..message("Value", kinds)
    };
    FileDescriptorProto {
        name: Some(STRUCT.to_owned()),
        package: Some("google.protobuf".to_owned()),
        message_type: vec![structure, value, message("ListValue", vec![values])],
        enum_type: vec![enumeration("NullValue", &["NULL_VALUE"])],
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    }
}

/// An enumeration, numbered from 0.
pub(super) fn enumeration(name: &str, values: &[&str]) -> EnumDescriptorProto {
    let value = |(name, number): (&&str, i32)| EnumValueDescriptorProto {
        name: Some((*name).to_owned()),
        number: Some(number),
        options: None,
    };
    EnumDescriptorProto {
        name: Some(name.to_owned()),
        value: values.iter().zip(0..).map(value).collect(),
        ..EnumDescriptorProto::default()
    }
}

/// The whole names of all that a file defines.
pub(super) fn symbols(file: &FileDescriptorProto) -> Vec<String> {
    let package = file.package();
    let mut symbols = Vec::new();
    for message in &file.message_type {
        add_message(package, message, &mut symbols);
    }
    for service in &file.service {
        let name = format!("{package}.{}", service.name());
        let methods = service.method.iter();
        symbols.extend(methods.map(|method| format!("{name}.{}", method.name())));
        symbols.push(name);
    }
    let enums = file.enum_type.iter();
    symbols.extend(enums.map(|known| format!("{package}.{}", known.name())));
    symbols
}

fn add_message(scope: &str, message: &DescriptorProto, symbols: &mut Vec<String>) {
    let name = format!("{scope}.{}", message.name());
    for nested in &message.nested_type {
        add_message(&name, nested, symbols);
    }
    let fields = message.field.iter();
    symbols.extend(fields.map(|field| format!("{name}.{}", field.name())));
    symbols.push(name);
}
