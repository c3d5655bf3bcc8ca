//! What the functions of live pools are to Thrift.

use crate::contract::Interface;
use crate::contract::catalogue::Form;
use crate::contract::thrift::{Method, Schema};
use crate::errors::busy;
use crate::node::Node;
use dispatch::{CallError, Code};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The services of all kinds.
struct Schemas(BTreeMap<Arc<str>, Arc<Schema>>);

impl Form for Schemas {
    fn of(interfaces: &[Interface]) -> Self {
        let schema =
            |interface: &Interface| (interface.kind.clone(), Arc::new(Schema::of(interface)));
        Self(interfaces.iter().map(schema).collect())
    }
}

/// A function as Thrift sees it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub schema: Arc<Schema>,
    index: usize,
}

impl Found {
    pub fn method(&self) -> &Method {
        &self.schema.methods[self.index]
    }
}

/// The function of that name in the service of a kind.
pub(super) async fn find(node: &Node, kind: &str, name: &str) -> Result<Found, CallError> {
    let (found, look) = node
        .catalogue
        .find(|all| all.form::<Schemas>().find(kind, name))
        .await?;
    found.ok_or_else(|| {
        if look.declarations.interface(kind).is_some() {
            let message = format!("pools of kind {kind} have no function {name}");
            CallError::new(Code::NoFunction, message)
        } else if look.starting {
            busy(format!("a program is starting that may be of kind {kind}"))
        } else {
            CallError::new(Code::NoPool, format!("there is no pool of kind {kind}"))
        }
    })
}

impl Schemas {
    fn find(&self, kind: &str, name: &str) -> Option<Found> {
        let schema = self.0.get(kind)?;
        let mut methods = schema.methods.iter();
        let index = methods.position(|method| method.name == name)?;
        Some(Found {
            schema: schema.clone(),
            index,
        })
    }
}
