//! The services that live now: made of what the pools declare, and made anew when that changes.

use super::descriptor;
use super::status::Status;
use crate::contract::proto::{self, Message, Schema};
use crate::contract::{Interface, answering, interfaces};
use crate::node::Node;
use dispatch::{CallError, Code, Detail};
use pool::{Description, Function, PoolView};
use prost::Message as _;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// For how long services that are known are taken to be so without another look: a look is a round
/// trip to the loop that decides about calls, and it need not be made for each.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// When to try again while programs start, which takes them seconds.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A function as a method.
#[derive(Debug)]
pub(super) struct Method {
    /// What it is a function of.
    pub kind: Arc<str>,
    /// Its declaration.
    pub function: Function,
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

impl Services {
    /// Of all kinds.
    pub fn of(interfaces: &[Interface]) -> Self {
        let mut services = Self::default();
        for interface in interfaces {
            services.add(interface);
        }
        services
    }

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

/// The services as they were when they were last looked at.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<Option<Look>>);

#[derive(Debug)]
struct Look {
    at: Instant,
    pools: Vec<Seen>,
    services: Arc<Services>,
}

/// What of a pool makes its kind's service.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    description: Arc<Description>,
    programs: Vec<Arc<str>>,
    weight: u32,
}

impl Seen {
    fn of(pool: &PoolView) -> Self {
        Self {
            description: pool.description.clone(),
            programs: pool.programs.clone(),
            weight: pool.weight,
        }
    }
}

impl Known {
    /// The method of a path. While programs start, one that is not known yet is no error of the
    /// client's: it may try again.
    pub async fn method(&self, node: &Node, path: &str) -> Result<Arc<Method>, Status> {
        if let Some(method) = self.recent(path) {
            return Ok(method);
        }
        let (services, starting) = self.look(node).await?;
        match services.methods.get(path) {
            Some(method) => Ok(method.clone()),
            None if starting => {
                let message = format!("no such method yet: {path}; programs are starting");
                let detail = Detail {
                    retry_after: Some(RETRY_AFTER),
                    ..Detail::default()
                };
                Err(CallError::new(Code::Busy, message).with(detail).into())
            }
            None => {
                let message = format!("no such method: {path}; reflection lists what there is");
                Err(CallError::new(Code::NoFunction, message).into())
            }
        }
    }

    /// The services that there are now.
    pub async fn services(&self, node: &Node) -> Result<Arc<Services>, CallError> {
        self.look(node).await.map(|(services, _)| services)
    }

    fn recent(&self, path: &str) -> Option<Arc<Method>> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = last
            .as_ref()
            .filter(|look| look.at.elapsed() < LOOK_INTERVAL);
        recent?.services.methods.get(path).cloned()
    }

    /// The services that there are now, and whether more may come when programs have started.
    async fn look(&self, node: &Node) -> Result<(Arc<Services>, bool), CallError> {
        let status = node.observer.pools().await;
        let status =
            status.ok_or_else(|| CallError::new(Code::Stopping, "the node is stopping"))?;
        let pools: Vec<_> = status.pools.iter().map(Seen::of).collect();
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let services = match last.take() {
            Some(look) if look.pools == pools => look.services,
            _ => Arc::new(Services::of(&interfaces(answering(&status.pools)))),
        };
        *last = Some(Look {
            at: Instant::now(),
            pools,
            services: services.clone(),
        });
        Ok((services, status.starting))
    }
}
