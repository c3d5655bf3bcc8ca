//! What a node shows of itself: `/status` for people and programs, `/readyz` for load balancers.

use crate::errors::stopping;
use crate::http::body::Body;
use crate::http::problem::Problem;
use crate::http::router::json;
use crate::node::Node;
use crate::overview::{self, ClusterView, NodeState};
use dispatch::{Code, Counts, Status};
use http::{Response, StatusCode};
use manager::{ProgramState, ProgramStatus, plain_name};
use pool::{Description, Function, PoolView, is_apart};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Serialize)]
struct NodeView<'a> {
    node: &'a str,
    version: &'a str,
    uptime_s: f64,
    draining: bool,
    calls_in_flight: usize,
    /// Calls that wait for a program to be interrogated.
    calls_waiting_for_programs: usize,
    casts_in_flight: usize,
    connections: usize,
    pools: Vec<PoolEntry<'a>>,
    programs: Vec<ProgramStatus>,
    /// What came of shadow copies of the calls that came in here; without examples, which show
    /// what is in answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    shadows: Vec<ShadowEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<ClusterView>,
}

#[derive(Serialize)]
struct ShadowEntry {
    program: Arc<str>,
    version: u32,
    functions: BTreeMap<Arc<str>, Counts>,
}

#[derive(Serialize)]
struct PoolEntry<'a> {
    #[serde(flatten)]
    description: &'a Description,
    signatures: Vec<String>,
    programs: Vec<&'a str>,
    weight: u32,
    /// Whether it takes copies of calls alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    shadow: bool,
    workers: usize,
    slots: usize,
    free: usize,
    running: usize,
    waiting: WaitingEntry,
    queue_max: usize,
}

#[derive(Serialize)]
struct WaitingEntry {
    high: usize,
    normal: usize,
    low: usize,
    bytes: usize,
}

impl<'a> PoolEntry<'a> {
    fn of(pool: &'a PoolView) -> Self {
        let waiting = pool.waiting;
        Self {
            description: &pool.description,
            signatures: pool
                .description
                .functions
                .iter()
                .map(Function::signature)
                .collect(),
            programs: plain_names(&pool.programs),
            weight: pool.weight,
            shadow: is_shadow(pool),
            workers: live(pool),
            slots: pool.slots,
            free: pool.free,
            running: pool.running,
            waiting: WaitingEntry {
                high: waiting.high,
                normal: waiting.normal,
                low: waiting.low,
                bytes: waiting.bytes,
            },
            queue_max: pool.queue_max,
        }
    }
}

/// `GET /status`.
pub(crate) async fn show(node: &Node) -> Result<Response<Body>, Problem> {
    use std::sync::atomic::Ordering::Relaxed;
    let status = node.observer.pools().await.ok_or_else(stopping)?;
    let view = NodeView {
        node: &node.name,
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: node.started.elapsed().as_secs_f64(),
        draining: node.is_draining(),
        calls_in_flight: status.calls,
        calls_waiting_for_programs: status.lobby,
        casts_in_flight: node.traffic.casts.load(Relaxed),
        connections: node.traffic.connections.load(Relaxed),
        pools: status.pools.iter().map(PoolEntry::of).collect(),
        programs: node.observer.programs().await,
        shadows: shadows(node),
        cluster: node.observer.cluster().await,
    };
    json(StatusCode::OK, &view)
}

fn shadows(node: &Node) -> Vec<ShadowEntry> {
    let comparisons = node.observer.shadows().into_iter();
    let entries = comparisons.map(|comparison| ShadowEntry {
        program: comparison.program,
        version: comparison.version,
        functions: comparison.functions,
    });
    entries.collect()
}

/// Whether a pool is of a version that only shadows.
fn is_shadow(pool: &PoolView) -> bool {
    pool.programs.iter().any(|program| is_apart(program))
}

#[derive(Serialize)]
struct NodeEntry {
    name: Arc<str>,
    state: NodeState,
    /// Live workers.
    workers: usize,
}

/// `GET /status/nodes`: the nodes of the cluster, this one alone if there is none.
pub(crate) async fn show_nodes(node: &Node) -> Result<Response<Body>, Problem> {
    let nodes: Vec<NodeEntry> = match node.observer.cluster().await {
        Some(cluster) => {
            let nodes = cluster.nodes.into_iter();
            let entry = |node: overview::NodeView| NodeEntry {
                name: node.name,
                state: node.state,
                workers: node.report.map_or(0, |report| report.workers_live as usize),
            };
            nodes.map(entry).collect()
        }
        None => {
            let status = node.observer.pools().await.ok_or_else(stopping)?;
            let pools = status.pools.iter();
            vec![NodeEntry {
                name: node.name.as_str().into(),
                state: NodeState::Up,
                workers: pools.map(live).sum(),
            }]
        }
    };
    json(StatusCode::OK, &nodes)
}

#[derive(Serialize)]
struct KindEntry<'a> {
    kind: &'a str,
    /// Live workers.
    workers: usize,
    /// How many there must be for load balancers to send calls here.
    #[serde(skip_serializing_if = "Option::is_none")]
    workers_min: Option<usize>,
    pools: Vec<PoolEntry<'a>>,
}

/// `GET /status/KIND` and `GET /status/KIND/MIN`: the pools of a kind. With fewer live workers than
/// the minimum the status is 500, for load balancers.
pub(crate) async fn show_kind(node: &Node, target: &str) -> Result<Response<Body>, Problem> {
    let (kind, workers_min) = match target.split_once('/') {
        None => (target, None),
        Some((kind, min)) => {
            let digits_only = min.bytes().all(|byte| byte.is_ascii_digit());
            let number = min.parse().ok().filter(|_| digits_only);
            let wrong = || {
                let message = format!("expected /status/KIND/MIN with a whole number, got {min:?}");
                Problem::new(Code::BadRequest, message)
            };
            (kind, Some(number.ok_or_else(wrong)?))
        }
    };
    let status = node.observer.pools().await.ok_or_else(stopping)?;
    let of_kind = |pool: &&PoolView| pool.description.details.kind.as_deref() == Some(kind);
    let pools: Vec<_> = status.pools.iter().filter(of_kind).collect();
    if pools.is_empty() && workers_min.is_none() {
        let message = format!("there is no pool of kind {kind}; GET /status lists them");
        return Err(Problem::new(Code::NoPool, message));
    }
    let workers = pools.iter().map(|pool| live(pool)).sum();
    let code = match workers_min {
        Some(min) if workers < min => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::OK,
    };
    let entry = KindEntry {
        kind,
        workers,
        workers_min,
        pools: pools.into_iter().map(PoolEntry::of).collect(),
    };
    json(code, &entry)
}

/// The live workers of a pool.
fn live(pool: &PoolView) -> usize {
    pool.workers.values().sum()
}

#[derive(Serialize)]
struct Readiness {
    ready: bool,
    /// What is missing; empty if nothing is.
    reasons: Vec<String>,
}

/// `GET /readyz`: whether clients may be sent here.
pub(crate) async fn ready(node: &Node) -> Result<Response<Body>, Problem> {
    let reasons = reasons_of(node).await;
    let ready = reasons.is_empty();
    let code = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    json(code, &Readiness { ready, reasons })
}

/// The same for protocols that have no place for reasons.
pub(crate) async fn is_ready(node: &Node) -> bool {
    reasons_of(node).await.is_empty()
}

async fn reasons_of(node: &Node) -> Vec<String> {
    let status = node.observer.pools().await;
    let programs = node.observer.programs().await;
    reasons(node.is_draining(), status.as_ref(), &programs)
}

/// Live workers count, not idle ones: a busy pool is healthy.
fn reasons(draining: bool, status: Option<&Status>, programs: &[ProgramStatus]) -> Vec<String> {
    let mut reasons = Vec::new();
    if draining {
        reasons.push("the node is draining".to_owned());
    }
    let Some(status) = status else {
        reasons.push("the node is stopping".to_owned());
        return reasons;
    };
    let starting = programs
        .iter()
        .filter(|program| program.state == ProgramState::Starting);
    reasons.extend(starting.map(|program| format!("program {} is starting", program.name)));
    let fetching = programs
        .iter()
        .filter(|program| program.state == ProgramState::Fetching);
    reasons.extend(fetching.map(|program| format!("program {} fetches its files", program.name)));
    let looping = programs
        .iter()
        .filter(|program| program.state == ProgramState::CrashLooping);
    reasons.extend(looping.map(|program| format!("program {} is crash-looping", program.name)));
    if status.starting && reasons.is_empty() {
        reasons.push("a program is starting".to_owned());
    }
    // A pool that nothing feeds any more only finishes its last calls.
    let fed = status.pools.iter().filter(|pool| !pool.programs.is_empty());
    for pool in fed.filter(|pool| pool.slots == 0 && !is_shadow(pool)) {
        let kind = pool
            .description
            .details
            .kind
            .as_deref()
            .unwrap_or("without kind");
        let programs = plain_names(&pool.programs).join(", ");
        reasons.push(format!("pool {kind} of {programs} has no live worker"));
    }
    reasons
}

/// The programs that feed a pool, each once: of one that is rolled out two versions may.
fn plain_names(programs: &[Arc<str>]) -> Vec<&str> {
    let mut names: Vec<&str> = programs.iter().map(|name| plain_name(name)).collect();
    names.sort_unstable();
    names.dedup();
    names
}
