//! What a worker is spoken to through: frames or lines on pipes, or HTTP. Writing without waiting,
//! and taking what a dead one left.

use super::http::{self, Http, Said};
use super::port::{Inbox, Message};
use super::{LAST_LINES, Phase, READ_SIZE, Setup, Worker};
use crate::dialect::{self, Broken, Codec, FromWorker, Manners, ToWorker, Unfit};
use crate::process::{self, Pipes, Process};
use crate::program::Dialect;
use bytes::BytesMut;
use dispatch::{CallError, Code, Detail, Notice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use term::Payload;
use tokio::io::AsyncWrite;
use tokio::net::unix::pipe;
use tokio::time::Instant;

/// Bytes that a pipe can hold, by the kernel's default limit.
const PIPE_MAX: usize = 1024 * 1024;

/// How long the end of a process may take to be seen after a connection to it broke: with it comes
/// how it ended, which says more.
const BREAK_GRACE: Duration = Duration::from_millis(250);

/// What a worker is spoken to through.
pub(super) enum Talk {
    Pipes(Box<dyn Codec>),
    Http(Box<Http>),
}

/// The manager's ends of what was begun with a process.
pub(super) struct Talking {
    pub talk: Talk,
    pub to_worker: Option<pipe::Sender>,
    pub from_worker: Option<pipe::Receiver>,
    pub stdout: Option<pipe::Receiver>,
    pub stderr: pipe::Receiver,
}

/// Starts the process of a worker, with what its dialect needs.
pub(super) fn begin(setup: &Setup, inbox: &Inbox) -> Result<(Process, Talking), String> {
    let (name, settings) = (&setup.program.name, &setup.program.process);
    if let Dialect::Http(dialect) = &settings.dialect {
        let (settings, http) = http::prepare(dialect, settings, inbox.clone())?;
        let protocol = dialect::http::manners(dialect.slots).protocol;
        let (process, [stdout, stderr]) =
            process::start_apart(name, &settings, protocol, &setup.sentinel)?;
        let talking = Talking {
            talk: Talk::Http(Box::new(http)),
            to_worker: None,
            from_worker: None,
            stdout: Some(stdout),
            stderr,
        };
        return Ok((process, talking));
    }
    let codec = dialect::codec(&settings.dialect).expect("only these are spoken over pipes");
    let (process, pipes) = process::start(name, settings, codec.manners(), &setup.sentinel)?;
    let Pipes {
        to_worker,
        from_worker,
        stdout,
        stderr,
    } = pipes;
    let talking = Talking {
        talk: Talk::Pipes(codec),
        to_worker: Some(to_worker),
        from_worker: Some(from_worker),
        stdout,
        stderr,
    };
    Ok((process, talking))
}

impl Talk {
    pub fn manners(&self) -> Manners {
        match self {
            Self::Pipes(codec) => codec.manners(),
            Self::Http(http) => http.manners(),
        }
    }

    /// Begins the conversation, if it is the manager who does.
    pub fn open(&mut self, out: &mut BytesMut) {
        if let Self::Pipes(codec) = self {
            codec.open(out);
        }
    }

    pub fn decode(&mut self, read: &mut BytesMut) -> Result<Option<FromWorker>, Broken> {
        match self {
            Self::Pipes(codec) => codec.decode(read),
            Self::Http(_) => Ok(None),
        }
    }
}

impl Worker {
    /// Says something that needs no answer if it cannot be said.
    pub(super) fn send(&mut self, message: &ToWorker) {
        // Only arguments and nested answers can be unfit, and they do not come this way.
        let _ = self.say(message);
    }

    /// Says a message, which is written when nothing more is to be said at once. The error is the
    /// answer to a call that the dialect cannot carry.
    pub(super) fn say(&mut self, message: &ToWorker) -> Result<(), CallError> {
        match &mut self.talk {
            Talk::Pipes(codec) => codec.encode(message, &mut self.write).map_err(unsendable),
            Talk::Http(http) => http.say(message),
        }
    }

    /// Deals with what was heard from a program that serves HTTP.
    pub(super) fn heard(&mut self, said: Said) -> Result<(), Broken> {
        match said {
            Said::Well if matches!(self.phase, Phase::Starting { .. }) => {
                if let Dialect::Http(http) = &self.program.process.dialect {
                    let (description, slots) = (http.description.clone(), http.slots);
                    self.interrogated(description, slots);
                }
            }
            Said::Well => self.ping_until = None,
            Said::Unwell(why) => {
                if let Talk::Http(http) = &mut self.talk {
                    http.problem = Some(why);
                }
            }
            Said::Piece { id, payload } if self.running.contains_key(&id) => {
                self.piece(id, payload)?;
            }
            Said::Done {
                id,
                result,
                connection,
            } => {
                if let Talk::Http(http) = &mut self.talk {
                    http.ended(id, connection);
                }
                self.answered_over_http(id, result)?;
            }
            Said::Broke { id, why } => {
                let until = Instant::now() + BREAK_GRACE;
                if let Some(running) = self.running.get_mut(&id) {
                    running.broke = Some((why, until));
                    self.wake_by(until);
                }
            }
            // Of a call that was cancelled meanwhile.
            Said::Piece { .. } => {}
        }
        Ok(())
    }

    fn answered_over_http(
        &mut self,
        id: u64,
        result: Result<Payload, CallError>,
    ) -> Result<(), Broken> {
        if !self.running.contains_key(&id) {
            return Ok(());
        }
        match result {
            Ok(payload) => self.reply(Some(id), payload, false),
            Err(error) => {
                let detail = Detail {
                    program: Some(self.program.name.clone()),
                    pid: Some(self.process.pid()),
                    ..error.detail.map_or_else(Detail::default, |detail| *detail)
                };
                let error = CallError::new(error.code, error.message).with(detail);
                self.end_call(id, Err(error), false);
                Ok(())
            }
        }
    }

    /// Answers calls whose connections broke though the process lives on.
    pub(super) fn check_broken(&mut self, now: Instant) {
        let due = |(id, running): (&u64, &super::Running)| {
            let (why, until) = running.broke.as_ref()?;
            (now >= *until).then(|| (*id, why.clone()))
        };
        let due: Vec<_> = self.running.iter().filter_map(due).collect();
        for (id, why) in due {
            let (program, pid) = (self.program.name.clone(), self.process.pid());
            let message = format!("worker {pid} of program {program:?} did not answer: {why}");
            let detail = Detail {
                program: Some(program),
                pid: Some(pid),
                stderr: self.tail.lines(),
                worker: Some(self.id),
                ..Detail::default()
            };
            let error = CallError::new(Code::WorkerDied, message).with(detail);
            if let Some(running) = self.running.get_mut(&id)
                && let Some(stream) = &mut running.stream
            {
                stream.end(Err(error.clone()));
            }
            if let Talk::Http(http) = &mut self.talk {
                http.ended(id, None);
            }
            // Another attempt avoids the worker that failed; this one goes on as another.
            let comes_back = self.phase == Phase::Live;
            self.demote();
            self.end_call(id, Err(error), false);
            if comes_back {
                self.promote();
            }
        }
    }

    /// Takes what was answered over HTTP before the process ended.
    pub(super) async fn hear_rest(&mut self) {
        let Talk::Http(http) = &mut self.talk else {
            return;
        };
        http.settle(LAST_LINES).await;
        while let Ok(message) = self.inbox.try_recv() {
            match message {
                // A broken stream is answered for with all other calls.
                Message::Http(said) => drop(self.heard(said)),
                Message::Assign(assignment) => {
                    let (slot, epoch) = (assignment.slot, assignment.epoch);
                    self.setup.notices.send(Notice::Refused { slot, epoch });
                }
                _ => {}
            }
        }
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(to_worker) = &mut self.to_worker else {
            self.write.clear();
            return Poll::Ready(());
        };
        match Pin::new(to_worker).poll_write(cx, &self.write) {
            Poll::Ready(Ok(count)) => {
                drop(self.write.split_to(count));
                Poll::Ready(())
            }
            Poll::Ready(Err(_)) => {
                self.write.clear();
                Poll::Ready(())
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// What the process wrote before it ended counts, as far as a pipe can hold it: a process that
    /// escaped from the group may write for ever.
    pub(super) fn read_rest(&mut self) {
        let mut left = PIPE_MAX;
        while left > 0 && !self.broken {
            let Some(from_worker) = &self.from_worker else {
                return;
            };
            self.read.reserve(READ_SIZE);
            match from_worker.try_read_buf(&mut self.read) {
                Ok(count @ 1..) => {
                    left = left.saturating_sub(count);
                    if let Err(Broken(what)) = self.receive() {
                        self.broken = true;
                        self.fail(format!("broke the protocol: {what}"), true);
                    }
                }
                _ => return,
            }
        }
    }
}

fn unsendable(unfit: Unfit) -> CallError {
    let code = match unfit {
        Unfit::TooLarge { .. } | Unfit::HeaderTooLarge { .. } => Code::TooLarge,
        Unfit::NotJson | Unfit::Arguments(_) => Code::BadArguments,
    };
    CallError::new(code, unfit.to_string())
}
