//! How many small calls a link moves in a second, over TLS on loopback: the loops of two nodes, each
//! on a thread of its own, and workers that answer at once. `cargo bench -p katamari-dispatch`.

use dispatch::{
    Answer, Assignment, Call, Caller, Dispatcher, Limits, Notice, Notices, Refused, Slots,
};
use pool::{
    CallId, Description, Details, Epoch, Function, Introduction, NodeId, Program, SlotId,
    StopReason, WorkerId,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use term::{Payload, Shape};
use tokio::runtime::Runtime;
use wire::{
    Authority, Credentials, Identity, Me, Mesh, MeshSettings, Network, NodeKey, Security, Service,
    Tcp,
};

/// Calls in flight, and slots to run them.
const IN_FLIGHT: u16 = 256;

/// How long each of the runs takes.
const LENGTH: Duration = Duration::from_secs(3);

/// Runs; the spread is shown.
const RUNS: usize = 5;

/// Any moment at which the certificates are good.
const VALIDITY: Duration = Duration::from_secs(365 * 24 * 3600);

/// A worker that answers with its arguments, at once.
struct Echo {
    notices: Notices,
    epoch: AtomicU64,
}

impl Slots for Echo {
    fn assign(&self, assignment: Assignment) -> Result<(), Refused> {
        let epoch = Epoch(self.epoch.fetch_add(1, Ordering::Relaxed));
        for call in assignment.calls {
            self.notices.send(Notice::Ended {
                slot: assignment.slot,
                call: call.id,
                result: Ok(call.payload),
                offer: Some(epoch),
            });
        }
        Ok(())
    }

    fn stop(&self, _: CallId, _: StopReason) {}
}

/// One node: its links and the handles of its loop.
struct Node {
    mesh: Mesh,
    dispatcher: Dispatcher,
    notices: Notices,
}

async fn node(id: u32, dispatches: bool, authority: &Authority, now: u64) -> Node {
    let id = NodeId(id);
    let name = format!("n{}", id.0);
    let key = NodeKey::generate().expect("the system has randomness");
    let certificate = authority.sign(id, &name, key.public(), now, VALIDITY);
    let identity = Identity::new(&key, certificate.expect("the name is good"));
    let credentials = Credentials::new(identity.expect("they belong together"));
    let me = Me {
        node: id,
        name: name.into(),
        incarnation: 1,
        cluster: authority.cluster().into(),
    };
    let network: Arc<dyn Network> = Arc::new(Tcp);
    let any = "127.0.0.1:0".parse().expect("an address");
    let listener = network.listen(any).await.expect("a free port");
    let security = Security::Tls(credentials.expect("TLS can use it"));
    let mesh = Mesh::start(me, network, listener, security, MeshSettings::default());
    let mesh = mesh.expect("the listener is on loopback");
    let limits = Limits {
        timeout: Duration::from_secs(10),
        lobby_max: 1_000,
        lobby_bytes_max: 1 << 20,
    };
    let (event_loop, dispatcher, notices) = dispatch::new(id, &limits);
    let links = mesh.subscribe(Service::Calls);
    tokio::spawn(event_loop.linked(links, dispatches).run());
    Node {
        mesh,
        dispatcher,
        notices,
    }
}

fn program() -> Program {
    Program {
        name: "echo".into(),
        weight: 1,
        timeout: Duration::from_secs(10),
        queue_max: 1_000,
        queue_bytes_max: 1 << 20,
    }
}

fn introduce(notices: &Notices) {
    let worker = WorkerId {
        node: NodeId(1),
        number: 1,
    };
    let description = Description {
        details: Details::of_kind("echo"),
        terms: false,
        functions: vec![Function {
            name: "echo".into(),
            doc: "".into(),
            idempotent: true,
            stream: false,
            input: false,
            parameters: Vec::new(),
            result: pool::Type::Any,
            examples: Vec::new(),
        }],
    };
    notices.send(Notice::Introduced {
        introduction: Introduction {
            worker,
            program: "echo".into(),
            description: Arc::new(description),
            slots: IN_FLIGHT,
            batch_max: 1,
        },
        program: program(),
        pid: 1,
        slots: Box::new(Echo {
            notices: notices.clone(),
            epoch: AtomicU64::new(2),
        }),
    });
    for index in 0..IN_FLIGHT {
        let slot = SlotId { worker, index };
        let epoch = Epoch(1);
        notices.send(Notice::Offered { slot, epoch });
    }
}

/// Calls a second.
async fn run(dispatcher: &Dispatcher, numbers: &AtomicU64) -> f64 {
    let began = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    let end = began + LENGTH;
    for _ in 0..IN_FLIGHT {
        let dispatcher = dispatcher.clone();
        // The callers share nothing but the count.
        let first = numbers.fetch_add(1 << 32, Ordering::Relaxed);
        callers.spawn(async move {
            let mut made = 0;
            while Instant::now() < end {
                made += 1;
                let payload = Payload::Json("[]".into());
                let shape = Shape::Positional(0);
                let details = Details::of_kind("echo");
                let call = Call::new(first + made, details, "echo", payload, shape);
                let reply = dispatcher.call(call).await;
                assert!(
                    matches!(reply.result, Ok(Answer::Whole(_))),
                    "expected an answer, got {reply:?}"
                );
            }
            made
        });
    }
    let mut made = 0;
    while let Some(count) = callers.join_next().await {
        made += count.expect("callers do not panic");
    }
    #[allow(clippy::cast_precision_loss, reason = "a count of seconds' calls")]
    let made = made as f64;
    made / began.elapsed().as_secs_f64()
}

fn runtime() -> Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

fn main() {
    #[allow(clippy::disallowed_methods, reason = "certificates have dates")]
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("it is after 1970")
        .as_secs();
    let authority = Authority::new("bench", now).expect("a good name");
    let authority = Arc::new(authority);
    let (tell, address) = std::sync::mpsc::channel();
    let signer = authority.clone();
    // The manager's node; it ends with the process.
    std::thread::spawn(move || {
        runtime().block_on(async {
            let manager = node(1, false, &signer, now).await;
            manager.notices.send(Notice::Program(program()));
            introduce(&manager.notices);
            tell.send(manager.mesh.address()).expect("main listens");
            std::future::pending::<()>().await;
        });
    });
    let address = address.recv().expect("the manager starts").to_string();
    runtime().block_on(async {
        let face = node(2, true, &authority, now).await;
        face.notices.send(Notice::Program(program()));
        face.mesh.want(BTreeMap::from([(NodeId(1), address)]));
        let numbers = AtomicU64::new(1);
        let mut rates = Vec::new();
        for _ in 0..RUNS {
            rates.push(run(&face.dispatcher, &numbers).await);
        }
        rates.sort_by(f64::total_cmp);
        println!(
            "calls over one link with TLS, {IN_FLIGHT} in flight: {:.0} a second ({:.0}..{:.0}), median of {RUNS}",
            rates[RUNS / 2],
            rates[0],
            rates[RUNS - 1]
        );
        face.mesh.stop().await;
    });
}
