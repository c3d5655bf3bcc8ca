//! The methods that every node answers by itself, as faceplates of the first Katamari did: what there
//! is to be called, and how much of it.

use crate::contract::answers;
use crate::desk::Desk;
use crate::guard::Principal;
use dispatch::{CallError, Code};
use pool::{Details, NodeId, PoolView};
use serde_json::{Map, Value, json};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BuiltIn {
    /// The functions of all pools that match, or of all there are.
    AvailableMethods,
    /// The details of all pools.
    ListAvailableConfigurations,
    /// The details of the pool that a call of these details would go to.
    ConfigurationForDetails,
    /// The nodes that have workers of that pool.
    NodesInPool,
    /// How many live workers it has.
    CountWorkersInPool,
}

impl BuiltIn {
    /// The built-in method of that name.
    pub fn of(method: &str) -> Option<Self> {
        Some(match method {
            "available_methods" => Self::AvailableMethods,
            "list_available_configurations" => Self::ListAvailableConfigurations,
            "configuration_for_details" => Self::ConfigurationForDetails,
            "nodes_in_pool" => Self::NodesInPool,
            "count_workers_in_pool" => Self::CountWorkersInPool,
            _ => return None,
        })
    }

    /// What it answers to this client. The pools that it may not call do not exist for it.
    pub async fn answer(
        self,
        desk: &Desk,
        principal: &Principal,
        wanted: Option<&Details>,
    ) -> Result<Vec<u8>, CallError> {
        let node = &desk.node;
        principal.look(&node.guard)?;
        let status = node.observer.pools().await;
        let mut pools = status.map(|status| status.pools).unwrap_or_default();
        pools.retain(|pool| {
            answers(pool) && principal.knows(pool.description.details.kind.as_ref())
        });
        let answer = match self {
            Self::AvailableMethods => {
                pools.retain(|pool| wanted.is_none_or(|wanted| score(pool, wanted) > 0));
                let functions = pools.iter().flat_map(|pool| &pool.description.functions);
                let names: BTreeSet<&str> = functions.map(|function| &*function.name).collect();
                json!(names)
            }
            Self::ListAvailableConfigurations => pools.iter().map(details_of).collect(),
            Self::ConfigurationForDetails => details_of(best(&pools, wanted)?),
            Self::NodesInPool => {
                let nodes = best(&pools, wanted)?.workers.keys();
                let name = |id: &NodeId| match node.observer.other_node(*id) {
                    Some(name) => name.to_string(),
                    None => node.name.clone(),
                };
                nodes.map(name).collect()
            }
            Self::CountWorkersInPool => {
                json!(best(&pools, wanted)?.workers.values().sum::<usize>())
            }
        };
        Ok(answer.to_string().into_bytes())
    }
}

fn score(pool: &PoolView, wanted: &Details) -> i32 {
    pool.description.details.score(wanted)
}

/// The details of a pool as callers write them, so that they can be asked for again.
fn details_of(pool: &PoolView) -> Value {
    let details = &pool.description.details;
    let mut members: Map<String, Value> = details
        .versions
        .iter()
        .map(|(key, version)| (key.to_string(), json!(version)))
        .collect();
    members.insert("kind".to_owned(), json!(details.kind));
    members.insert("tags".to_owned(), json!(details.tags));
    members.insert("roles".to_owned(), json!(details.roles));
    members.into()
}

/// The pool that serves such calls best; of equals that of the greater weight.
fn best<'a>(pools: &'a [PoolView], wanted: Option<&Details>) -> Result<&'a PoolView, CallError> {
    let Some(wanted) = wanted else {
        let message = "expected details in params, such as {\"details\": {\"kind\": \"parse\"}}";
        return Err(CallError::new(Code::BadArguments, message));
    };
    let matching = pools.iter().filter(|pool| score(pool, wanted) > 0);
    let best = matching.min_by_key(|pool| Reverse((score(pool, wanted), pool.weight)));
    best.ok_or_else(|| CallError::new(Code::NoPool, "no pool matches these details"))
}
