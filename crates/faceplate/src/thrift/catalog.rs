//! What the functions of live pools declare, kept for a moment: it is asked for with each call.

use crate::contract::thrift::{Method, Schema};
use crate::contract::{answering, interfaces};
use crate::node::Node;
use dispatch::{CallError, Code, Detail};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How old it may be: a change of types is noticed about as soon as it is rolled out.
const AGE_MAX: Duration = Duration::from_secs(1);

/// When it may be worth to ask again for what programs that start may have.
const RETRY_AFTER: Duration = Duration::from_secs(1);

type Schemas = BTreeMap<Arc<str>, Arc<Schema>>;

/// What was seen last.
#[derive(Default)]
pub(crate) struct Catalog(Mutex<Option<(Instant, Arc<Schemas>)>>);

/// What was seen is no setting of the faceplate that holds it.
impl fmt::Debug for Catalog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Catalog").finish_non_exhaustive()
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

impl Catalog {
    /// The function of that name in the service of a kind. It is looked for anew before it is said
    /// that there is none.
    pub(super) async fn find(
        &self,
        node: &Node,
        kind: &str,
        name: &str,
    ) -> Result<Found, CallError> {
        let kept = self.kept();
        if let Some(found) = kept.and_then(|schemas| look(&schemas, kind, name)) {
            return Ok(found);
        }
        let status = node.observer.pools().await;
        let status =
            status.ok_or_else(|| CallError::new(Code::Stopping, "the node is stopping"))?;
        let schema = |interface| -> Arc<Schema> { Arc::new(Schema::of(&interface)) };
        let schemas: Schemas = interfaces(answering(&status.pools))
            .into_iter()
            .map(|interface| (interface.kind.clone(), schema(interface)))
            .collect();
        let schemas = Arc::new(schemas);
        let found = look(&schemas, kind, name);
        let knows_kind = schemas.contains_key(kind);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), schemas));
        match found {
            Some(found) => Ok(found),
            None if knows_kind => {
                let message = format!("pools of kind {kind} have no function {name}");
                Err(CallError::new(Code::NoFunction, message))
            }
            None if status.starting => {
                let message = format!("a program is starting that may be of kind {kind}");
                Err(CallError::new(Code::Busy, message).with(Detail {
                    retry_after: Some(RETRY_AFTER),
                    ..Detail::default()
                }))
            }
            None => {
                let message = format!("there is no pool of kind {kind}");
                Err(CallError::new(Code::NoPool, message))
            }
        }
    }

    fn kept(&self) -> Option<Arc<Schemas>> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, schemas) = kept.as_ref()?;
        (since.elapsed() < AGE_MAX).then(|| schemas.clone())
    }
}

fn look(schemas: &Schemas, kind: &str, name: &str) -> Option<Found> {
    let schema = schemas.get(kind)?;
    let index = schema
        .methods
        .iter()
        .position(|method| method.name == name)?;
    Some(Found {
        schema: schema.clone(),
        index,
    })
}
