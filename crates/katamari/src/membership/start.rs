//! Starts this node's part in its cluster: links, consensus if it is a master, membership.
//!
//! A machine that is alone is a cluster of one: the same parts, without a network and with a log in
//! memory.

use super::alone::Alone;
use super::joining::welcome;
use super::renewal::{Renewer, Signer};
use super::state::State;
use super::{LINK_PORT, labels, node_name};
use crate::config::Config;
use anyhow::{Context, bail};
use cluster::consensus::{Consensus, Memory, MeshCarrier, Place, ProposeError, Settings, Timing};
use cluster::hard::{Change, ClusterId, Digest, Refusal, Roles};
use cluster::member::{Master, MasterSettings, Member, MemberSettings};
use cluster::soft::Report;
use pool::NodeId;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use tokio::task::JoinSet;
use wire::{
    Authority, Credentials, Joins, Me, Mesh, MeshEvents, MeshSettings, Network, Security, Service,
    Tcp,
};

/// The first node of a cluster, and the only one of a machine that is alone.
const FIRST: NodeId = NodeId(1);

/// This node's part in its cluster.
pub struct Membership {
    /// Which node it is.
    pub me: NodeId,
    /// What people call it.
    pub name: Arc<str>,
    /// What it is for.
    pub roles: Roles,
    /// Its links.
    pub mesh: Mesh,
    /// What it knows of the cluster, and how it changes it.
    pub member: Member,
    /// What it shows to other nodes; none on a machine that is alone.
    pub credentials: Option<Credentials>,
    /// Where it keeps what it must not forget; nowhere on a machine that is alone.
    pub state: Option<State>,
    /// Whether the cluster was founded just now, so that it has no programs yet.
    pub is_new: bool,
    master: Option<(Consensus, Master)>,
    /// What other nodes say to the dispatch loop, until that takes it.
    pub calls: Option<MeshEvents>,
    /// Newcomers that wait until this node can answer them.
    joins: Option<Joins>,
    /// Answers other nodes; ends with this.
    tasks: JoinSet<()>,
}

/// How the parts of a machine that is alone differ from those of a node.
struct Plan {
    me: NodeId,
    name: Arc<str>,
    cluster: String,
    roles: Roles,
    network: Arc<dyn Network>,
    listen: SocketAddr,
    security: Security,
    versions: RangeInclusive<u16>,
    /// Where consensus keeps its log, on masters.
    log: Option<Place>,
    masters: BTreeMap<NodeId, String>,
    /// What signs, on masters.
    authority: Option<Arc<Authority>>,
}

impl Membership {
    /// Starts what the configuration and the state folder say that this node is. Once it is back a
    /// founder has a founded cluster.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        let state = State::at(&config.node.state);
        if state.has_identity() {
            return Self::start_node(config, state).await;
        }
        if !config.cluster.masters.is_empty() {
            bail!(
                "the configuration names masters, but this machine is a node of no cluster: run \
                 `katamari init` on the first master, `katamari join` on the others"
            );
        }
        Self::start_alone(config).await
    }

    async fn start_alone(config: &Config) -> anyhow::Result<Self> {
        let mut id = [0; 16];
        getrandom::fill(&mut id).context("cannot draw random numbers")?;
        let cluster = ClusterId(id);
        let name: Arc<str> = node_name(&config.node).into();
        let plan = Plan {
            me: FIRST,
            name: name.clone(),
            cluster: cluster.to_string(),
            roles: Roles::ALL,
            network: Arc::new(Alone),
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            security: Security::Plain,
            versions: config.node.versions(),
            log: Some(Place::Memory(Memory::default())),
            masters: BTreeMap::new(),
            authority: None,
        };
        let mut alone = Self::start_parts(plan, None).await?;
        let found = Change::Found {
            cluster,
            name,
            address: format!("127.0.0.1:{LINK_PORT}").into(),
            roles: Roles::ALL,
            labels: labels(&config.node.labels),
            request: Digest::of(b""),
            timeout: config.cluster.timeout,
        };
        alone.found(vec![found]).await?;
        alone.is_new = true;
        Ok(alone)
    }

    async fn start_node(config: &Config, state: State) -> anyhow::Result<Self> {
        let identity = state.identity()?;
        let me = identity.node();
        let name: Arc<str> = identity.name().into();
        let cluster = identity.cluster().to_owned();
        let credentials = Credentials::new(identity)?;
        let authority = state.authority()?.map(Arc::new);
        let roles = config.node.roles;
        let is_master = roles.master && authority.is_some();
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, LINK_PORT));
        let plan = Plan {
            me,
            name,
            cluster,
            roles,
            network: Arc::new(Tcp),
            listen: config.node.listen.unwrap_or(any),
            security: Security::Tls(credentials.clone()),
            versions: config.node.versions(),
            log: is_master.then(|| Place::Folder(state.log())),
            masters: state.masters()?,
            authority: authority.clone(),
        };
        let mut node = Self::start_parts(plan, Some(state.clone())).await?;
        let renewer = Renewer {
            member: node.member.clone(),
            credentials: credentials.clone(),
            state: state.clone(),
        };
        node.tasks.spawn(renewer.run());
        node.credentials = Some(credentials);
        if let Some(changes) = state.founding()? {
            node.found(changes).await?;
            node.is_new = true;
        }
        let joins = node.joins.take();
        if let (Some(authority), Some(joins), Some((consensus, _))) =
            (authority, joins, &node.master)
        {
            let welcome = welcome(joins, authority, consensus.clone());
            node.tasks.spawn(welcome);
        }
        Ok(node)
    }

    async fn start_parts(plan: Plan, state: Option<State>) -> anyhow::Result<Self> {
        let incarnation = getrandom::u64().context("cannot draw a random number")?;
        let me = Me {
            node: plan.me,
            name: plan.name.clone(),
            incarnation,
            cluster: plan.cluster.into(),
        };
        let listener = plan.network.listen(plan.listen).await;
        let listener = listener.with_context(|| {
            format!(
                "cannot listen for other nodes on {}; stop what uses that port, or set [node] \
                 listen to another one",
                plan.listen
            )
        })?;
        let settings = MeshSettings {
            versions: plan.versions,
            seed: incarnation,
            ..MeshSettings::default()
        };
        let mesh = Mesh::start(me, plan.network, listener, plan.security, settings)?;
        // From the first moment: what comes early waits.
        let calls = mesh.subscribe(Service::Calls);
        let joins = plan.log.is_some().then(|| mesh.joins());
        let report = Report {
            roles: plan.roles,
            ..Report::default()
        };
        let member = Member::start(
            mesh.clone(),
            MemberSettings {
                me: plan.me,
                incarnation,
                masters: plan.masters,
                report,
            },
        );
        let mut tasks = JoinSet::new();
        let mut master = None;
        if let Some(place) = plan.log {
            let settings = Settings {
                me: plan.me,
                carrier: Arc::new(MeshCarrier(mesh.clone())),
                place,
                timing: Timing::default(),
            };
            let consensus = Consensus::start(settings).await?;
            tasks.spawn(consensus.serve_on(&mesh));
            let renewals = plan
                .authority
                .map(|authority| Arc::new(Signer(authority)) as _);
            let settings = MasterSettings {
                renewals,
                ..MasterSettings::of(&consensus)
            };
            let part = Master::start(&member, settings).await;
            master = Some((consensus, part));
        }
        Ok(Self {
            me: plan.me,
            name: plan.name,
            roles: plan.roles,
            mesh,
            member,
            credentials: None,
            state,
            is_new: false,
            calls: Some(calls),
            joins,
            master,
            tasks,
        })
    }

    /// Founds the cluster, unless it was founded before.
    async fn found(&self, changes: Vec<Change>) -> anyhow::Result<()> {
        let Some((consensus, _)) = &self.master else {
            bail!("the first node of a cluster must be a master: add \"master\" to [node] roles");
        };
        let hard = consensus.hard();
        for change in changes {
            if !matches!(change, Change::Found { .. }) {
                consensus.propose(change).await?;
            } else if !hard.borrow().is_founded() {
                match consensus.found(change).await {
                    // By an attempt that was interrupted.
                    Err(ProposeError::Refused(Refusal::Founded(_))) => {}
                    founded => drop(founded?),
                }
                // There is nobody else yet whom the leader would have to hear first.
                let level = *self.mesh.speaks().end();
                consensus.propose(Change::Raise(level)).await?;
            }
        }
        Ok(())
    }

    /// The cluster is founded, and has its first programs.
    pub fn founded(&mut self) -> anyhow::Result<()> {
        self.is_new = false;
        self.state.as_ref().map_or(Ok(()), State::founded)
    }

    /// Leaves in order: what this node wrote is on disk, and others see it go at once.
    pub async fn stop(mut self) {
        if let Some((consensus, master)) = self.master.take() {
            master.stop().await;
            consensus.stop().await;
        }
        self.tasks.shutdown().await;
        self.mesh.stop().await;
    }
}
