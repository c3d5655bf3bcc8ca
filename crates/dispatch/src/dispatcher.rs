//! The handles of the loop: [`Dispatcher`] for those who call, [`Notices`] for those who run
//! workers.

use crate::call::{Answer, Call, Caller, Reply};
use crate::error::{CallError, Code};
use crate::history::Trace;
use crate::shell::Loop;
use crate::slots::Notice;
use crate::tally::Tally;
use pool::{CallId, Lobby, NodeId, PoolView};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The bounds of one dispatcher.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a call may wait and run where no program says otherwise.
    pub timeout: Duration,
    /// Calls that may wait for programs to start.
    pub lobby_max: usize,
    /// Bytes of arguments that may wait for programs to start.
    pub lobby_bytes_max: usize,
}

/// What comes to the loop.
#[derive(Debug)]
pub(crate) enum Message {
    Call(Box<Call>, oneshot::Sender<Reply>),
    Cancel(CallId),
    Notice(Notice),
    Status(oneshot::Sender<Status>),
    Why(u64, oneshot::Sender<Vec<Trace>>),
    Drain(oneshot::Sender<()>),
    Served(Arc<str>, oneshot::Sender<()>),
}

/// What the loop shows of itself.
#[derive(Debug, Clone)]
pub struct Status {
    /// Every pool.
    pub pools: Vec<PoolView>,
    /// Calls that wait for programs to start.
    pub lobby: usize,
    /// Whether some program has yet to be interrogated.
    pub starting: bool,
    /// Calls that wait or run.
    pub calls: usize,
    /// What became of calls so far.
    pub tallies: Vec<Tally>,
}

/// The loop of a node and its handles. Nothing happens until [`Loop::run`] is polled. The channel between
/// has no bound of its own, since the loop empties it at once and calls wait in the core's queues,
/// which are bounded; faceplates bound their connections.
pub fn new(here: NodeId, limits: &Limits) -> (Loop, Dispatcher, Notices) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let lobby = Lobby {
        timeout: limits.timeout,
        queue_max: limits.lobby_max,
        queue_bytes_max: limits.lobby_bytes_max,
    };
    let dispatcher = Dispatcher {
        sender: sender.clone(),
    };
    (
        Loop::new(here, lobby, receiver),
        dispatcher,
        Notices { sender },
    )
}

/// Makes calls on the pools of one loop. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Dispatcher {
    sender: mpsc::UnboundedSender<Message>,
}

impl Caller for Dispatcher {
    fn call(&self, call: Call) -> Pin<Box<dyn Future<Output = Reply> + Send + '_>> {
        let (number, id) = (call.number, call.id());
        if let Err(excess) = call.check_limits() {
            let error = CallError::new(Code::BadRequest, excess);
            return Box::pin(std::future::ready(Reply::unanswered(number, error)));
        }
        let (sender, receiver) = oneshot::channel();
        let leave = || Leave {
            id,
            sender: Some(self.sender.clone()),
        };
        let input = call.input.clone();
        let sent = self.sender.send(Message::Call(Box::new(call), sender));
        if let Some(input) = input {
            input.cancel_on_break(leave());
        }
        let leave = leave();
        Box::pin(async move {
            let reply = match sent {
                Ok(()) => receiver.await.ok(),
                Err(_) => None,
            };
            let stopping = || CallError::new(Code::Stopping, "the node is stopping");
            let mut reply = reply.unwrap_or_else(|| Reply::unanswered(number, stopping()));
            if let Ok(Answer::Stream(pieces)) = &mut reply.result {
                pieces.cancel_on_drop(leave);
            } else {
                leave.disarm();
            }
            reply
        })
    }
}

impl Dispatcher {
    /// The pools, and what became of calls. None once the loop has ended, as below.
    pub async fn status(&self) -> Option<Status> {
        self.ask(Message::Status).await
    }

    /// The attempts at a call, oldest first; empty if it is not known or no longer remembered.
    pub async fn why(&self, number: u64) -> Option<Vec<Trace>> {
        self.ask(|answer| Message::Why(number, answer)).await
    }

    /// Turns new calls away and comes back when no call waits or runs any more. Nested calls of
    /// those that still run are taken.
    pub async fn drain(&self) {
        self.ask(Message::Drain).await;
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> Message) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        self.sender.send(question(sender)).ok()?;
        receiver.await.ok()
    }
}

/// Tells the loop what happens to workers. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Notices {
    sender: mpsc::UnboundedSender<Message>,
}

impl Notices {
    /// Passes one notice on. Notices of one sender arrive in their order.
    pub fn send(&self, notice: Notice) {
        // Without a loop there is nobody left to tell.
        let _ = self.sender.send(Message::Notice(notice));
    }

    /// Closes the pools that only a removed program feeds, and comes back when no call waits in them
    /// any more.
    pub async fn served(&self, program: Arc<str>) {
        let (sender, receiver) = oneshot::channel();
        if self.sender.send(Message::Served(program, sender)).is_ok() {
            // An error means that the loop has ended, and with it every queue.
            let _ = receiver.await;
        }
    }
}

/// Cancels its call when it is dropped, unless disarmed.
#[derive(Debug)]
pub(crate) struct Leave {
    id: CallId,
    sender: Option<mpsc::UnboundedSender<Message>>,
}

impl Leave {
    pub fn disarm(mut self) {
        self.sender = None;
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        if let Some(sender) = &self.sender {
            // Without a loop there is nothing left to cancel.
            let _ = sender.send(Message::Cancel(self.id));
        }
    }
}
