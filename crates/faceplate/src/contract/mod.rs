//! What the live pools declare, as schemas for people and programs: OpenAPI, protobuf, Thrift.
//!
//! [`interfaces`] makes one [`Interface`] of the pools of a kind; `openapi` describes it for HTTP,
//! [`proto`] and [`thrift`] in their own languages. All three are pure: the same declarations give
//! the same text, on every node. docs/contract.md has the mappings. `catalogue` looks at the pools
//! for all protocols, and keeps what they made of what it saw.

pub mod names;
pub mod proto;
pub mod thrift;

pub(crate) mod catalogue;
pub(crate) mod openapi;

use pool::{Description, Function, PoolView, is_apart};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The functions of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Interface {
    /// The kind.
    pub kind: Arc<str>,
    /// Its functions, by name.
    pub functions: Vec<Declaration>,
    /// Whether all its pools take Erlang's terms as they are.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub terms: bool,
}

/// A function of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Declaration {
    /// As it is declared, or as most calls see it where pools differ.
    #[serde(flatten)]
    pub function: Arc<Function>,
    /// Whether another pool of the kind declares it otherwise, or has it not.
    pub varies: bool,
}

/// What a pool declares.
#[derive(Debug, Clone, Copy)]
pub struct Declared<'a> {
    /// Its details and functions.
    pub description: &'a Description,
    /// Its share among pools that match equally well.
    pub weight: u32,
}

/// Whether a pool answers calls: something feeds it, and it is no version that only shadows.
pub(crate) fn answers(pool: &PoolView) -> bool {
    !pool.programs.is_empty() && !pool.programs.iter().any(|program| is_apart(program))
}

/// The interfaces of all kinds, by name. Where pools of one kind declare a function differently,
/// that of the greatest weight counts, and among equals that of the greatest versions.
pub fn interfaces<'a>(pools: impl IntoIterator<Item = Declared<'a>>) -> Vec<Interface> {
    let mut kinds: BTreeMap<&Arc<str>, Vec<Declared<'a>>> = BTreeMap::new();
    for pool in pools {
        if let Some(kind) = &pool.description.details.kind {
            kinds.entry(kind).or_default().push(pool);
        }
    }
    let interface = |(kind, mut pools): (&Arc<str>, Vec<Declared<'a>>)| {
        pools.sort_by(|a, b| {
            let rank = |pool: &Declared<'a>| (pool.weight, &pool.description.details.versions);
            rank(b).cmp(&rank(a))
        });
        Interface {
            kind: kind.clone(),
            functions: merged(&pools),
            terms: pools.iter().all(|pool| pool.description.terms),
        }
    };
    kinds.into_iter().map(interface).collect()
}

/// The functions of pools of one kind, the first of which counts.
fn merged(pools: &[Declared<'_>]) -> Vec<Declaration> {
    let mut functions: BTreeMap<&Arc<str>, (&Function, usize)> = BTreeMap::new();
    for function in pools.iter().flat_map(|pool| &pool.description.functions) {
        let (first, alike) = functions.entry(&function.name).or_insert((function, 0));
        *alike += usize::from(*first == function);
    }
    let declaration = |(function, alike): (&Function, usize)| Declaration {
        function: Arc::new(function.clone()),
        varies: alike != pools.len(),
    };
    functions.into_values().map(declaration).collect()
}

#[cfg(test)]
mod tests;
