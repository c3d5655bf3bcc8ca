//! The HTTP faceplate alone, on one thread, over a caller that answers at once: what is left to
//! measure is the faceplate itself.
//!
//! ```sh
//! cargo run --release -p katamari-faceplate --example instant &
//! wrk -t1 -c64 -d5 -s post.lua http://127.0.0.1:PORT/call/echo/echo
//! ```

use dispatch::{Answer, Call, Caller, Numbers, Reply, Status, Trace};
use faceplate::http::Http;
use faceplate::{CASTS_MAX, Limits, Node, Observer, Settings};
use futures_util::future::{BoxFuture, ready};
use manager::ProgramStatus;
use pool::{NodeId, PoolId, WorkerId};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Gives each call its arguments back.
struct Echo;

impl Caller for Echo {
    fn call(&self, call: Call) -> BoxFuture<'_, Reply> {
        Box::pin(ready(Reply {
            number: call.number,
            pool: Some(PoolId(1)),
            worker: Some(WorkerId {
                node: NodeId(1),
                number: 1,
            }),
            program: None,
            queued: Duration::from_micros(5),
            ran: Duration::from_micros(20),
            deadline: None,
            idempotent: false,
            result: Ok(Answer::Whole(call.payload)),
        }))
    }
}

/// Sees nothing.
struct Blind;

impl Observer for Blind {
    fn pools(&self) -> BoxFuture<'_, Option<Status>> {
        Box::pin(ready(None))
    }

    fn programs(&self) -> BoxFuture<'_, Vec<ProgramStatus>> {
        Box::pin(ready(Vec::new()))
    }

    fn why(&self, _number: u64) -> BoxFuture<'_, Vec<Trace>> {
        Box::pin(ready(Vec::new()))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let numbers = Arc::new(Numbers::new(1));
    let node = Node::new(
        "instant",
        Arc::new(Echo),
        Arc::new(Blind),
        numbers,
        CASTS_MAX,
    );
    let stopped = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            eprintln!("cannot wait for Ctrl-C: {error}");
        }
    };
    let http = Arc::new(Http::new(Vec::new()));
    let settings = Settings::from(Limits::default());
    faceplate::serve(listener, http, Arc::new(node), settings, stopped).await
}
