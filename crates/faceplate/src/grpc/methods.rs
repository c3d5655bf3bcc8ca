//! The services that live now, made of what the pools declare.

use super::descriptor;
use super::status::Status;
use crate::contract::Interface;
use crate::contract::catalogue::Form;
use crate::contract::proto::{self, Message, Schema};
use crate::errors::busy;
use crate::node::Node;
use dispatch::{CallError, Code};
use pool::Function;
use prost::Message as _;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A function as a method.
#[derive(Debug)]
pub(super) struct Method {
    /// What it is a function of.
    pub kind: Arc<str>,
    /// Its declaration.
    pub function: Arc<Function>,
    /// The file that it is in.
    pub schema: Arc<Schema>,
    /// Its messages' places in that file.
    request: usize,
    response: usize,
}

impl Method {
    /// The message of its arguments, a field for each parameter.
    pub fn request(&self) -> &Message {
        &self.schema.messages[self.request]
    }

    /// The message of its result, or of a piece: one field.
    pub fn response(&self) -> &Message {
        &self.schema.messages[self.response]
    }
}

/// The service of a kind, with its file.
#[derive(Debug)]
pub(super) struct Service {
    /// The kind.
    pub kind: Arc<str>,
    /// Its whole name: `katamari.greet.Greet`.
    pub name: String,
    /// Its file.
    pub file: File,
}

/// A file of descriptors, for clients that ask what there is.
#[derive(Debug)]
pub(super) struct File {
    /// Its name.
    pub name: String,
    /// All that it defines, by whole names.
    pub symbols: Vec<String>,
    /// A `FileDescriptorProto`.
    pub bytes: Vec<u8>,
}

impl File {
    /// Of a descriptor.
    pub fn new(file: &prost_types::FileDescriptorProto) -> Self {
        Self {
            name: file.name().to_owned(),
            symbols: descriptor::symbols(file),
            bytes: file.encode_to_vec(),
        }
    }
}

/// All services at a time.
#[derive(Debug, Default)]
pub(super) struct Services {
    /// By kind.
    pub all: Vec<Service>,
    /// By path: `/katamari.greet.Greet/Hello`.
    pub methods: BTreeMap<String, Arc<Method>>,
}

impl Form for Services {
    fn of(interfaces: &[Interface]) -> Self {
        let mut services = Self::default();
        for interface in interfaces {
            services.add(interface);
        }
        services
    }
}

impl Services {
    fn add(&mut self, interface: &Interface) {
        let schema = Arc::new(Schema::of(interface));
        let name = format!("{}.{}", schema.package, schema.service);
        if let Some(first) = self.all.iter().find(|service| service.name == name) {
            let (kind, first) = (&interface.kind, &first.kind);
            tracing::warn!(%kind, %first, "two kinds have one name in gRPC: only the first is served");
            return;
        }
        let declarations = interface.functions.iter();
        for (method, declaration) in schema.methods.iter().zip(declarations) {
            let path = format!("/{name}/{}", method.name);
            let method = Method {
                kind: interface.kind.clone(),
                function: declaration.function.clone(),
                request: place(&schema, &method.request),
                response: place(&schema, &method.response),
                schema: schema.clone(),
            };
            self.methods.insert(path, Arc::new(method));
        }
        self.all.push(Service {
            kind: interface.kind.clone(),
            file: File::new(&descriptor::of(&schema)),
            name,
        });
    }
}

fn place(schema: &proto::Schema, name: &str) -> usize {
    let place = schema
        .messages
        .iter()
        .position(|message| message.name == name);
    place.expect("a schema has the messages of its methods")
}

/// The method of a path. While programs start, one that is not known yet is no error of the
/// client's: it may try again.
pub(super) async fn find(node: &Node, path: &str) -> Result<Arc<Method>, Status> {
    let (found, look) = node
        .catalogue
        .find(|all| all.form::<Services>().methods.get(path).cloned())
        .await?;
    found.ok_or_else(|| {
        let error = if look.starting {
            busy(format!("no such method yet: {path}; programs are starting"))
        } else {
            let message = format!("no such method: {path}; reflection lists what there is");
            CallError::new(Code::NoFunction, message)
        };
        error.into()
    })
}

/// The services that there are now.
pub(super) async fn services(node: &Node) -> Result<Arc<Services>, CallError> {
    Ok(node.catalogue.now().await?.form())
}
