//! New certificates in time: a node asks when two thirds of its certificate's time are over, and a
//! master signs.
//!
//! ```text
//!   node                                   master
//!     new key pair
//!     Ask: public key ──── link ────> who asks is known by the link; not revoked? signs
//!     identity.pem, links <─ certificate ──┘
//! ```
//!
//! A node whose certificate has expired has no link to ask over: it joins again.

use super::state::State;
use anyhow::{Context, ensure};
use bytes::Bytes;
use cluster::member::{Member, Renewals};
use faceplate::clock::unix_now;
use pool::NodeId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use wire::{Authority, Certificate, Credentials, Identity, NodeKey};

/// How often to look: a certificate is good for a month, so a third of it leaves hundreds of looks.
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);

/// What a node asks for.
#[derive(Debug, Serialize, Deserialize)]
struct Ask {
    public_key: Vec<u8>,
}

/// Signs on a master.
pub struct Signer(pub Arc<Authority>);

impl Renewals for Signer {
    fn renew(&self, node: NodeId, name: &str, question: &[u8]) -> Result<Bytes, String> {
        let ask: Ask = serde_json::from_slice(question).map_err(|error| error.to_string())?;
        let (key, now) = (&ask.public_key, unix_now());
        let signed = self.0.sign(node, name, key, now, wire::VALIDITY);
        let signed = signed.map_err(|error| error.to_string())?;
        tracing::info!(node = node.0, "signed a new certificate");
        let answer = serde_json::to_vec(&signed).map_err(|error| error.to_string())?;
        Ok(answer.into())
    }
}

/// Keeps this node's certificate good.
pub struct Renewer {
    /// The way to the masters.
    pub member: Member,
    /// What links show.
    pub credentials: Credentials,
    /// Where it is kept.
    pub state: State,
}

impl Renewer {
    /// Looks every hour, for as long as the node is a member.
    pub async fn run(self) {
        let mut views = self.member.view();
        loop {
            let reached = views.wait_for(|view| !view.masters.is_empty());
            if reached.await.is_err() {
                return;
            }
            if let Err(error) = self.look(unix_now()).await {
                tracing::warn!("the certificate of this node was not renewed: {error:#}");
            }
            tokio::time::sleep(pause(getrandom::u32().unwrap_or(0))).await;
        }
    }

    /// Renews if it is time to, at `now` in seconds since 1970.
    async fn look(&self, now: u64) -> anyhow::Result<()> {
        let old = self.credentials.identity();
        if !old.is_renewal_due(now) {
            return Ok(());
        }
        let key = NodeKey::generate()?;
        let public_key = key.public().to_vec();
        let ask = serde_json::to_vec(&Ask { public_key })?;
        let answer = self.member.renew(ask).await;
        let answer = answer.map_err(anyhow::Error::msg)?;
        let certificate: Certificate = serde_json::from_slice(&answer)
            .context("the master's answer is not as expected; is it of another version?")?;
        let new = Identity::new(&key, certificate)?;
        ensure!(
            new.node() == old.node()
                && new.cluster() == old.cluster()
                && new.fingerprint() == old.fingerprint(),
            "expected a certificate for node {} of this cluster, got one for node {}",
            old.node().0,
            new.node().0
        );
        // A crash in between leaves the old certificate or the new one, both good.
        self.state.save_identity(&new)?;
        self.credentials.replace(new)?;
        tracing::info!("the certificate of this node was renewed");
        Ok(())
    }
}

/// From half of the usual pause to one and a half, so that nodes that joined together do not ask
/// together.
fn pause(random: u32) -> Duration {
    LOOK_EVERY.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::membership::Membership;
    use cluster::hard::{Change, ClusterId, Digest, JoinToken, Roles};
    use std::collections::BTreeMap;
    use std::net::TcpListener;
    use std::path::Path;
    use tempfile::TempDir;

    /// Longer than anything here takes, unless it hangs.
    const PATIENCE: Duration = Duration::from_secs(20);

    const DAY_S: u64 = 24 * 60 * 60;

    fn config(folder: &Path, node: &str) -> Config {
        let file = folder.join("katamari.toml");
        std::fs::write(&file, format!("[node]\n{node}")).expect("the folder can be written");
        Config::load(&file).expect("the file is good")
    }

    /// Makes an identity that was signed at `issued_at` for `validity_s`, and keeps it.
    fn identity(
        state: &State,
        authority: &Authority,
        node: u32,
        (issued_at, validity_s): (u64, u64),
    ) {
        let key = NodeKey::generate().expect("a key");
        let validity = Duration::from_secs(validity_s);
        let certificate = authority.sign(NodeId(node), "n", key.public(), issued_at, validity);
        let identity = Identity::new(&key, certificate.expect("signs")).expect("they fit");
        state
            .save_identity(&identity)
            .expect("the folder can be written");
    }

    /// Node 1, a master, and node 2, a manager whose certificate was signed as `signed` says.
    async fn two_nodes(folder: &TempDir, signed: (u64, u64)) -> [Membership; 2] {
        let (now, id) = (unix_now(), ClusterId([7; 16]));
        let authority = Authority::new(&id.to_string(), now).expect("an authority");
        let folders = ["first", "second"].map(|name| folder.path().join(name));
        for folder in &folders {
            std::fs::create_dir(folder).expect("a folder");
        }
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let at = free.expect("the system has a free port").to_string();
        let first = config(&folders[0], &format!("listen = {at:?}"));
        let second = "listen = \"127.0.0.1:0\"\nroles = [\"manager\"]";
        let second = config(&folders[1], second);
        let (secret, labels) = (Digest::of(b"secret"), BTreeMap::new());
        let changes = [
            Change::Found {
                cluster: id,
                name: "first".into(),
                address: at.as_str().into(),
                roles: Roles::ALL,
                labels: BTreeMap::new(),
                request: Digest::of(b"first"),
                timeout: Duration::from_secs(1),
            },
            Change::PutJoinToken {
                name: "join".into(),
                token: JoinToken {
                    secret,
                    roles: Roles::ALL,
                    expires_unix_s: now + 9,
                },
                now_unix_s: now,
            },
            Change::AddNode {
                name: "second".into(),
                address: "127.0.0.1:1".into(),
                roles: second.node.roles,
                labels,
                request: Digest::of(b"second"),
                secret,
                now_unix_s: now,
            },
        ];
        let states = [&first, &second].map(|config| State::at(&config.node.state));
        for state in &states {
            state.create().expect("the folder can be written");
        }
        states[0]
            .save_founding(&changes)
            .expect("the folder can be written");
        states[0]
            .save_authority(&authority)
            .expect("the folder can be written");
        identity(&states[0], &authority, 1, (now, 30 * DAY_S));
        identity(&states[1], &authority, 2, signed);
        let masters = BTreeMap::from([(NodeId(1), at)]);
        states[1]
            .save_masters(&masters)
            .expect("the folder can be written");
        let first = Membership::start(&first).await.expect("the master starts");
        let second = Membership::start(&second)
            .await
            .expect("the manager starts");
        [first, second]
    }

    async fn sees_master(node: &Membership) {
        let mut views = node.member.view();
        let seen = views.wait_for(|view| !view.masters.is_empty());
        let seen = tokio::time::timeout(PATIENCE, seen).await;
        seen.expect("it reaches the master")
            .expect("it is a member");
    }

    fn expiry(node: &Membership) -> u64 {
        let credentials = node.credentials.as_ref().expect("it is a node");
        credentials.identity().expires_at()
    }

    #[tokio::test]
    async fn a_certificate_that_runs_out_is_renewed_and_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let now = unix_now();
        // Forty of sixty minutes are two thirds.
        let [first, second] = two_nodes(&folder, (now - 3_000, 3_600)).await;
        let old = expiry(&first);
        let renewed = async {
            while expiry(&second) < now + 29 * DAY_S {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, renewed)
            .await
            .expect("it is renewed");
        assert_eq!(expiry(&first), old, "that of the master is good for long");
        let state = second.state.as_ref().expect("it is a node");
        let kept = state.identity().expect("it is kept");
        assert_eq!(
            (kept.node(), kept.expires_at()),
            (NodeId(2), expiry(&second))
        );
        assert_eq!(kept.name(), "second", "as the cluster calls it");
        second.stop().await;
        first.stop().await;
    }

    #[tokio::test]
    async fn a_certificate_is_renewed_in_its_last_third_and_not_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let now = unix_now();
        let [first, second] = two_nodes(&folder, (now, 3 * DAY_S)).await;
        sees_master(&second).await;
        let renewer = Renewer {
            member: second.member.clone(),
            credentials: second.credentials.clone().expect("it is a node"),
            state: second.state.clone().expect("it is a node"),
        };
        renewer
            .look(now + DAY_S)
            .await
            .expect("nothing is to be done");
        assert_eq!(expiry(&second), now + 3 * DAY_S);
        renewer
            .look(now + 2 * DAY_S)
            .await
            .expect("the master signs");
        assert!(expiry(&second) >= now + 30 * DAY_S);
        let revoked = first.member.propose(Change::RevokeNode(NodeId(2))).await;
        revoked.expect("the master agrees with itself");
        let refused = renewer.look(now + 60 * DAY_S).await;
        assert!(refused.is_err(), "it was revoked");
        second.stop().await;
        first.stop().await;
    }

    #[test]
    fn looks_are_spread_around_an_hour() {
        let minutes = |random| pause(random).as_secs() / 60;
        assert_eq!([minutes(0), minutes(u32::MAX)], [30, 90]);
    }
}
