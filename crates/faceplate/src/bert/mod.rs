//! BERT-RPC 1.0: calls and casts as Erlang terms on a connection of their own, answered in the order
//! of the requests. `docs/protocol/bert-rpc.md` says what is read and written, and what Katamari
//! makes of each directive.
//!
//! `berp` cuts frames out of the connection, `request` reads their terms, `info` those that shape
//! the next request, `session` makes calls of them, `answer` writes what comes back, and `callback`
//! takes the results of casts to whom they were promised.

mod answer;
mod berp;
mod callback;
mod info;
mod request;
mod session;

use crate::conversation::{self, Manners};
use crate::faceplate::{Faceplate, Kind, Refusal};
use crate::server::Connection;
use crate::settings::Keys;
use berp::Berps;
use dispatch::{CallError, Code};
use futures_util::future::BoxFuture;
use session::Session;
use std::sync::{Arc, LazyLock};

/// Requests of one connection that wait for their answers.
const CALLS_MAX: usize = 100;

/// Services that may be called back: more than anyone writes into a file.
const CALLBACKS_MAX: usize = 100;

/// What a connection beyond the limit is told.
static FULL: LazyLock<Vec<u8>> =
    LazyLock::new(|| answer::failure(&CallError::new(Code::Busy, "too many connections"), None));

/// BERT-RPC 1.0.
#[derive(Debug)]
pub struct BertRpc {
    /// The services that results of casts may be sent to, as `host:port`.
    callbacks: Arc<[String]>,
}

impl BertRpc {
    /// As the configuration knows it.
    pub const KIND: Kind = Kind {
        name: "bert",
        port: 7484,
        read,
    };
}

fn read(keys: &mut dyn Keys) -> Option<Arc<dyn Faceplate>> {
    let callbacks = if keys.has("callbacks") {
        let what = "services such as [\"10.0.0.5:9000\"]";
        keys.texts("callbacks", what, CALLBACKS_MAX, &service)?
    } else {
        Vec::new()
    };
    Some(Arc::new(BertRpc {
        callbacks: callbacks.into(),
    }))
}

/// Whether a text is a host and a port.
fn service(text: &str) -> Result<(), String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse().is_ok_and(|port: u16| port > 0) => {
            Ok(())
        }
        _ => Err(format!(
            "expected a host and a port such as \"10.0.0.5:9000\", got {text:?}"
        )),
    }
}

impl Faceplate for BertRpc {
    fn refusal(&self, refusal: Refusal) -> &'static [u8] {
        match refusal {
            Refusal::Full => &FULL,
            Refusal::NotTls => &[],
        }
    }

    fn serve(self: Arc<Self>, connection: Connection) -> BoxFuture<'static, ()> {
        let framing = Berps::new(connection.desk.limits.body_max);
        let manners = Manners {
            calls_max: CALLS_MAX,
            in_order: true,
            half_close: false,
        };
        let mut session = Session::new(connection.desk.clone(), self.callbacks.clone());
        Box::pin(conversation::converse(
            connection,
            framing,
            manners,
            move |message| session.take(message),
        ))
    }
}
