//! What the pools of a node declare, for the commands that describe it.

use super::{NodeArgs, client};
use anyhow::bail;
use faceplate::contract::{Declared, Interface, interfaces};
use http::Method;
use pool::Description;
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Status<'a> {
    #[serde(borrow)]
    pools: Vec<&'a RawValue>,
}

/// What there is to a pool besides its description. They are read one after the other: flattened,
/// examples would not stay as they were written.
#[derive(Deserialize)]
struct Facts {
    programs: Vec<String>,
    weight: u32,
    #[serde(default)]
    shadow: bool,
}

/// The interfaces of that kind, or of all, without those that answer no calls.
pub async fn all(node: &NodeArgs, kind: Option<&str>) -> anyhow::Result<Vec<Interface>> {
    let path = match kind {
        // The nodes have this path, whatever kinds there are.
        None | Some("nodes") => "/status".to_owned(),
        Some(kind) => {
            manager::describe::check_name("kind", kind).map_err(anyhow::Error::msg)?;
            format!("/status/{kind}")
        }
    };
    let bytes = node.connect().await?.ask(Method::GET, &path).await?;
    let status: Status<'_> = client::parse(&bytes)?;
    let mut pools: Vec<(Description, u32)> = Vec::with_capacity(status.pools.len());
    for pool in status.pools {
        let json = pool.get().as_bytes();
        let facts: Facts = client::parse(json)?;
        if !facts.shadow && !facts.programs.is_empty() {
            pools.push((client::parse(json)?, facts.weight));
        }
    }
    let declared = pools.iter().map(|(description, weight)| Declared {
        description,
        weight: *weight,
    });
    let mut found = interfaces(declared);
    found.retain(|interface| kind.is_none_or(|kind| *interface.kind == *kind));
    if let (Some(kind), true) = (kind, found.is_empty()) {
        bail!("there is no pool of kind {kind}; `katamari status` lists them");
    }
    Ok(found)
}

/// The interface of that kind, or of the only one there is.
pub async fn interface(node: &NodeArgs, kind: Option<&str>) -> anyhow::Result<Interface> {
    let mut all = all(node, kind).await?;
    match (all.pop(), all.is_empty()) {
        (Some(one), true) => Ok(one),
        (None, _) => bail!("there are no pools; `katamari status` tells what the programs do"),
        (Some(last), false) => {
            all.push(last);
            let kinds: Vec<_> = all.iter().map(|interface| &*interface.kind).collect();
            bail!("expected a kind, one of {}", kinds.join(", "))
        }
    }
}
