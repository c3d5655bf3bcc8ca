//! How a machine becomes a node: what it asks, and how a master answers.
//!
//! ```text
//!   newcomer                                master                         leader
//!     key pair, join token
//!     Request ──── TLS, authority known ────> AddNode ───────────────────> node id
//!     identity <── Welcome: certificate ───── signs the public key <──────┘
//! ```

use super::state::State;
use anyhow::{Context, bail};
use bytes::Bytes;
use cluster::consensus::Consensus;
use cluster::hard::{Applied, Change, Digest, Hard, Labels, Roles};
use faceplate::clock::unix_now;
use pool::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use wire::{
    Authority, Certificate, HandshakeError, Identity, Join, JoinToken, Joins, Network, NodeKey,
    Trust,
};

/// How long a newcomer tries where no master is there yet.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pause between two attempts.
const AGAIN: Duration = Duration::from_millis(200);

/// What a newcomer says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub struct Request {
    secret: [u8; 32],
    name: Arc<str>,
    address: Arc<str>,
    roles: Roles,
    labels: Labels,
    public_key: Vec<u8>,
}

/// What a node of the cluster gives it.
#[derive(Debug, Serialize, Deserialize)]
struct Welcome {
    certificate: Certificate,
    /// Where the masters are.
    masters: BTreeMap<NodeId, String>,
    /// The authority in PEM, for a master.
    authority: Option<String>,
}

/// What the newcomer is to be.
#[derive(Debug)]
pub struct Newcomer {
    /// What people call it.
    pub name: String,
    /// `host:port` at which others reach it.
    pub address: String,
    /// What it is for.
    pub roles: Roles,
    /// What placement may ask for.
    pub labels: Labels,
    /// The versions of the link protocol that it will speak.
    pub versions: RangeInclusive<u16>,
}

/// Asks the masters, one after the other, and keeps what the first that can answers.
pub async fn enroll(
    state: &State,
    network: &dyn Network,
    masters: &[String],
    token: &JoinToken,
    newcomer: Newcomer,
) -> anyhow::Result<NodeId> {
    let key = NodeKey::generate()?;
    let request = Request {
        secret: token.secret,
        name: newcomer.name.into(),
        address: newcomer.address.into(),
        roles: newcomer.roles,
        labels: newcomer.labels,
        public_key: key.public().to_vec(),
    };
    let message = serde_json::to_vec(&request)?;
    let began = Instant::now();
    loop {
        let mut problems = Vec::new();
        let mut is_absent = true;
        for master in masters {
            let trust = Trust::Fingerprint(token.fingerprint);
            match wire::join(network, master, trust, &newcomer.versions, &message).await {
                Ok(answer) => return keep(state, &key, &answer),
                Err(error) => {
                    is_absent &= matches!(error, HandshakeError::Io(_));
                    problems.push(format!("{master}: {error}"));
                }
            }
        }
        if !is_absent || began.elapsed() > PATIENCE {
            bail!("no master let this machine in\n  {}", problems.join("\n  "));
        }
        // It may be about to start, as this machine is.
        tokio::time::sleep(AGAIN).await;
    }
}

fn keep(state: &State, key: &NodeKey, answer: &[u8]) -> anyhow::Result<NodeId> {
    let welcome: Welcome = serde_json::from_slice(answer)
        .context("the master's answer is not as expected; is it of another version?")?;
    let identity = Identity::new(key, welcome.certificate)?;
    state.create()?;
    // Left by an attempt to make a cluster of its own.
    state.founded()?;
    state.save_masters(&welcome.masters)?;
    if let Some(pem) = welcome.authority {
        state.save_authority(&Authority::from_pem(&pem)?)?;
    }
    // Last: a folder with an identity is a node.
    state.save_identity(&identity)?;
    Ok(identity.node())
}

/// Answers newcomers for as long as the mesh lasts.
pub async fn welcome(mut joins: Joins, authority: Arc<Authority>, consensus: Consensus) {
    while let Some(join) = joins.recv().await {
        let (authority, consensus) = (authority.clone(), consensus.clone());
        tokio::spawn(async move { answer(join, &authority, &consensus).await });
    }
}

async fn answer(join: Join, authority: &Authority, consensus: &Consensus) {
    let from = join.address;
    match admit(&join.message, authority, consensus).await {
        Ok((node, welcome)) => {
            tracing::info!(node = node.0, %from, "a machine has joined");
            join.answer(welcome);
        }
        Err(error) => {
            tracing::warn!(%from, "a machine was not let in: {error:#}");
            join.refuse(&format!("{error:#}"));
        }
    }
}

async fn admit(
    message: &[u8],
    authority: &Authority,
    consensus: &Consensus,
) -> anyhow::Result<(NodeId, Bytes)> {
    let request: Request = serde_json::from_slice(message)
        .context("expected the request of a newcomer; is it of another version?")?;
    let now = unix_now();
    let secret = Digest::of(&request.secret);
    // A stranger must not fill the masters' log.
    let is_invited = |hard: &Hard| {
        hard.join_tokens
            .values()
            .any(|token| token.secret == secret)
    };
    if !is_invited(&consensus.hard().borrow()) {
        bail!("expected a join token of this cluster, got another; ask a master for a new one");
    }
    let change = Change::AddNode {
        name: request.name.clone(),
        address: request.address,
        roles: request.roles,
        labels: request.labels,
        request: Digest::of(&request.public_key),
        secret,
        now_unix_s: now,
    };
    let Applied { node, .. } = consensus.propose(change).await?;
    let node = node.expect("adding a node makes one");
    if request.roles.master {
        consensus.propose(Change::AddMaster(node)).await?;
    }
    let certificate = authority.sign(
        node,
        &request.name,
        &request.public_key,
        now,
        wire::VALIDITY,
    )?;
    let welcome = Welcome {
        certificate,
        masters: masters_of(&consensus.hard().borrow()),
        authority: request.roles.master.then(|| authority.to_pem()),
    };
    Ok((node, serde_json::to_vec(&welcome)?.into()))
}

/// Where the masters are, as `host:port`.
pub fn masters_of(hard: &Hard) -> BTreeMap<NodeId, String> {
    let masters = hard.masters.iter();
    masters
        .filter_map(|node| Some((*node, hard.member(*node)?.address.to_string())))
        .collect()
}
