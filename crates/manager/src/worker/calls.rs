//! What a worker does with calls: takes them, passes on what comes back, stops them, loses them.

use super::running::{Incoming, Running, Stream};
use super::talk::Talk;
use super::{Phase, Report, Stage, Worker, nested};
use crate::dialect::{Broken, Nested, ToWorker};
use crate::program::OnDisconnect;
use crate::worker::port::{InputPort, StreamCredit};
use bytes::Bytes;
use dispatch::{Assigned, Assignment, CallError, Code, Detail, Input, Notice};
use pool::{CallId, SlotId, StopReason};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::Ordering;
use term::Payload;
use tokio::time::Instant;

impl Worker {
    pub(super) fn assign(&mut self, assignment: Assignment) {
        let Assignment { slot, epoch, calls } = assignment;
        // One that has withdrawn takes what was on its way then, but not under an old number.
        let takes = matches!(self.phase, Phase::Live | Phase::Retiring | Phase::Standby);
        if !takes || slot.worker != self.id || self.said_last {
            self.setup.notices.send(Notice::Refused { slot, epoch });
            return;
        }
        for call in calls {
            self.take(call, slot);
        }
        self.shown
            .running
            .store(self.running.len(), Ordering::Relaxed);
    }

    fn take(&mut self, assigned: Assigned, slot: SlotId) {
        let id = self.next_id;
        self.next_id += 1;
        let description = self.description.as_deref();
        let function = description.and_then(|known| known.function(&assigned.function));
        let streams = function.is_some_and(|function| function.stream);
        let mut running = Running::new(&assigned, slot, streams);
        running.input = assigned
            .input
            .as_ref()
            .and_then(|input| self.open(id, input));
        let message = ToWorker::Call {
            id,
            call: assigned.id.to_string(),
            function: assigned.function,
            timeout: assigned.deadline.saturating_duration_since(Instant::now()),
            key: assigned.key,
            class: assigned.class,
            payload: assigned.payload,
            input: assigned.input,
        };
        // Whoever is busy is not asked; the call's own deadline watches.
        self.ping_until = None;
        self.running.insert(id, running);
        if let Err(error) = self.say(&message) {
            self.end_call(id, Err(error), false);
        }
    }

    /// The call that an answer is for. Dialects with one call at a time need not say.
    fn answered(&self, id: Option<u64>) -> Result<u64, Broken> {
        let only = || self.running.keys().next().copied();
        match id.or_else(only) {
            Some(id) if self.running.contains_key(&id) => Ok(id),
            Some(id) => Err(Broken(format!(
                "answered call {id}, which it does not hold"
            ))),
            None => Err(Broken("answered though nobody had called".to_owned())),
        }
    }

    pub(super) fn reply(
        &mut self,
        id: Option<u64>,
        payload: Payload,
        last: bool,
    ) -> Result<(), Broken> {
        let id = self.answered(id)?;
        let streams = self.running.get(&id).is_some_and(|running| running.streams);
        if streams {
            let stream = self.stream_of(id);
            stream.last(payload.clone());
            stream.end(Ok(()));
        }
        let nothing = matches!(&payload, Payload::Json(json) if json.is_empty());
        let result = if nothing {
            Payload::Json(Bytes::from_static(b"null"))
        } else {
            payload
        };
        self.end_call(id, Ok(result), last);
        Ok(())
    }

    /// The stream of a call that the worker holds, begun if it has not been.
    fn stream_of(&mut self, id: u64) -> &mut Stream {
        let running = self
            .running
            .get_mut(&id)
            .expect("whoever asks has looked it up");
        let (slot, call) = (running.slot, running.call);
        running.stream.get_or_insert_with(|| {
            let inbox = self.own_inbox.clone();
            let (sender, pieces) = dispatch::stream(Box::new(StreamCredit { inbox, id }));
            self.setup
                .notices
                .send(Notice::Begun { slot, call, pieces });
            Stream::new(sender)
        })
    }

    pub(super) fn error(
        &mut self,
        id: Option<u64>,
        message: String,
        type_name: Option<String>,
        backtrace: Option<String>,
        last: bool,
    ) -> Result<(), Broken> {
        let id = self.answered(id)?;
        let detail = Detail {
            program: Some(self.program.name.clone()),
            pid: Some(self.process.pid()),
            type_name,
            backtrace,
            ..Detail::default()
        };
        let error = CallError::new(Code::WorkerError, message).with(detail);
        let running = self.running.get_mut(&id).expect("looked up above");
        if let Some(stream) = &mut running.stream {
            stream.end(Err(error.clone()));
        }
        self.end_call(id, Err(error), last);
        Ok(())
    }

    /// Passes an outcome on and offers the slot again, if the worker is to go on.
    pub(super) fn end_call(&mut self, id: u64, result: Result<Payload, CallError>, last: bool) {
        let Some(running) = self.running.remove(&id) else {
            return;
        };
        let now = Instant::now();
        let slot = running.slot;
        let shown = &self.shown;
        shown.running.store(self.running.len(), Ordering::Relaxed);
        shown.calls.fetch_add(1, Ordering::Relaxed);
        self.setup
            .tally
            .count(result.is_err() || running.kill_at.is_some());
        if self.running.is_empty() {
            self.idle_since = now;
            self.busy_until = now;
        }
        if !self.proven {
            self.proven = true;
            self.report(Report::Proven);
        }
        if last {
            self.said_last = true;
            self.leave("said that it would exit");
        } else {
            self.look_at_limits_after_call();
        }
        let free = self.slot(slot.index);
        let epoch = (self.phase == Phase::Live).then(|| self.next_epoch(slot.index));
        let call = running.call;
        let offer = epoch.filter(|_| free == slot);
        self.setup.notices.send(Notice::Ended {
            slot,
            call,
            result,
            offer,
        });
        if let Some(epoch) = epoch
            && free != slot
        {
            self.setup
                .notices
                .send(Notice::Offered { slot: free, epoch });
        }
        self.update_stuck();
        self.end_if_done();
    }

    /// Takes no more calls, from now on.
    pub(super) fn leave(&mut self, why: &'static str) {
        if matches!(self.phase, Phase::Live | Phase::Standby) {
            self.phase = Phase::Retiring;
            self.shown.set(crate::status::WorkerState::Retiring);
            self.withdraw();
            self.report(Report::Leaving(Some(why)));
        }
    }

    pub(super) fn piece(&mut self, id: u64, payload: Payload) -> Result<(), Broken> {
        let id = self.answered(Some(id))?;
        if !self.running.get(&id).is_some_and(|running| running.streams) {
            return Err(Broken(
                "streamed the answer of a function announced without stream".to_owned(),
            ));
        }
        let stream = self.stream_of(id);
        stream.piece(payload).map_err(Broken)?;
        if let Some(bytes) = stream.due() {
            self.send(&ToWorker::Flow { id, bytes });
        }
        Ok(())
    }

    pub(super) fn credit(&mut self, id: u64, bytes: usize) {
        let stream = self
            .running
            .get_mut(&id)
            .and_then(|running| running.stream.as_mut());
        if let Some(bytes) = stream.and_then(|stream| stream.taken(bytes)) {
            self.send(&ToWorker::Flow { id, bytes });
        }
    }

    /// Lets the input of a call come here; one that is not sent over a pipe goes its own way.
    fn open(&self, id: u64, input: &Input) -> Option<Incoming> {
        if !matches!(self.talk, Talk::Pipes(_)) {
            return None;
        }
        let inbox = self.own_inbox.clone();
        Some(Incoming {
            grant: input.open(Box::new(InputPort { inbox, id })),
            content_type: input.content_type().cloned(),
        })
    }

    /// Passes a piece of an input on, or its end.
    pub(super) fn input(&mut self, id: u64, piece: Option<Bytes>) {
        let running = self.running.get_mut(&id);
        let Some(input) = running.and_then(|running| running.input.as_mut()) else {
            return;
        };
        // After a stop nothing comes any more, also of what was on its way.
        if input.grant.is_some() {
            let message = ToWorker::Input {
                id,
                content_type: input.content_type.take(),
                end: piece.is_none(),
                piece: piece.unwrap_or_default(),
            };
            self.send(&message);
        }
    }

    /// The worker asks for more of an input.
    pub(super) fn grant(&mut self, id: u64, bytes: usize) -> Result<(), Broken> {
        let Some(running) = self.running.get(&id) else {
            // It crossed the end of its call.
            return Ok(());
        };
        let Some(input) = &running.input else {
            return Err(Broken(format!(
                "granted {bytes} bytes to call {id}, which has no input"
            )));
        };
        match &input.grant {
            Some(grant) => grant
                .give(bytes)
                .map_err(|error| Broken(format!("granted {bytes} bytes: {error}"))),
            None => Ok(()),
        }
    }

    pub(super) fn nested(&mut self, nested: Nested) -> Result<(), Broken> {
        let (id, parent) = (nested.id, nested.parent);
        if self
            .running
            .values()
            .any(|running| running.nested.contains_key(&id))
        {
            return Err(Broken(format!(
                "made two nested calls with the number {id}"
            )));
        }
        let Some(running) = self.running.get_mut(&parent) else {
            let message = format!("made a nested call of call {parent}, which it does not hold");
            return Err(Broken(message));
        };
        match nested::admit(&nested, running, &self.program, &self.setup.cluster) {
            Ok(call) => {
                let task = nested::make(call, id, parent, &self.setup.cluster, &self.own_inbox);
                running.nested.insert(id, task);
            }
            Err(error) => self.send(&nested_error(id, error)),
        }
        Ok(())
    }

    pub(super) fn bad_nested(&mut self, id: u64, why: String) {
        self.send(&nested_error(id, CallError::new(Code::BadRequest, why)));
    }

    pub(super) fn nested_done(&mut self, id: u64, parent: u64, result: Result<Payload, CallError>) {
        let Some(running) = self.running.get_mut(&parent) else {
            return;
        };
        if running.nested.remove(&id).is_none() {
            return;
        }
        match result {
            Ok(payload) => {
                let answer = ToWorker::NestedAnswer { id, payload };
                if let Err(error) = self.say(&answer) {
                    self.send(&nested_error(id, error));
                }
            }
            Err(error) => self.send(&nested_error(id, error)),
        }
    }

    /// The answer to a call is no longer wanted.
    pub(super) fn stop(&mut self, call: CallId, why: StopReason) {
        let now = Instant::now();
        let Some((&id, running)) = self.running.iter_mut().find(|(_, r)| r.call == call) else {
            return;
        };
        running.is_left = true;
        if let Some(input) = &mut running.input {
            input.grant = None;
        }
        let left_at = running.deadline;
        let overruns = match why {
            StopReason::Deadline => true,
            StopReason::ClientLeft => self.program.on_disconnect == OnDisconnect::Kill,
        };
        if overruns {
            let patience = self.program.timeouts.stop;
            let kill_at = if self.manners.hears_cancels {
                now + patience
            } else {
                now
            };
            let kill_at = *running.kill_at.get_or_insert(kill_at);
            if let Some(stream) = &mut running.stream {
                let message = "the deadline passed while the answer streamed";
                stream.end(Err(CallError::new(Code::Deadline, message)));
            }
            self.wake_by(kill_at);
        } else {
            self.wake_by(left_at);
        }
        let reason = match why {
            StopReason::Deadline => "deadline",
            StopReason::ClientLeft => "client_left",
        };
        if !self.manners.cancels_at_once {
            self.send(&ToWorker::Cancel { id, reason });
        } else if overruns {
            self.send(&ToWorker::Cancel { id, reason });
            let message = "the call was cancelled, and the connection that it had closed";
            self.end_call(id, Err(CallError::new(Code::Cancelled, message)), false);
        }
        self.update_stuck();
    }

    /// Tells the supervisor when all slots are held by calls that nobody waits for any more.
    fn update_stuck(&mut self) {
        let overrun = self
            .running
            .values()
            .filter(|running| running.kill_at.is_some())
            .count();
        let stuck = overrun > 0 && overrun == self.slots.len();
        if stuck != self.stuck {
            self.stuck = stuck;
            self.report(Report::Stuck(stuck));
        }
    }

    /// Ends a worker that did not stop a call in time.
    pub(super) fn check_overruns(&mut self, now: Instant) {
        let is_late = |running: &&Running| running.late_at().is_some_and(|at| now >= at);
        let late = self.running.values().find(is_late);
        if let Some(call) = late.map(|running| running.call) {
            self.stop(call, StopReason::Deadline);
        }
        let due = |running: &&Running| running.kill_at.is_some_and(|at| now >= at);
        let Some(running) = self.running.values().find(due) else {
            return;
        };
        let problem = format!("did not stop call {} in time, so it is ended", running.call);
        self.fail(problem, false);
        self.end_by(Stage::Terminated);
    }

    /// Answers for the calls that died with the process.
    pub(super) fn lose_calls(&mut self, how: &str, status: Option<ExitStatus>) {
        let stderr = self.tail.lines();
        for (_, mut running) in std::mem::take(&mut self.running) {
            let because = match &self.problem {
                Some((problem, _)) if problem != how => format!(" ({problem})"),
                _ => String::new(),
            };
            let (program, pid) = (&self.program.name, self.process.pid());
            let message = format!(
                "worker {pid} of program {program:?} {how} while it ran call {}{because}",
                running.call
            );
            let code = if self.broken {
                Code::Protocol
            } else {
                Code::WorkerDied
            };
            let detail = Detail {
                program: Some(program.clone()),
                pid: Some(pid),
                status: status.and_then(|status| status.code()),
                signal: status.and_then(|status| status.signal()),
                stderr: stderr.clone(),
                worker: Some(self.id),
                poisonous: self.over_memory,
                ..Detail::default()
            };
            let error = CallError::new(code, message).with(detail);
            if let Some(stream) = &mut running.stream {
                stream.end(Err(error.clone()));
            }
            let slot = running.slot;
            self.setup.tally.count(true);
            self.setup.notices.send(Notice::Lost {
                slot,
                call: running.call,
                error,
            });
        }
    }
}

fn nested_error(id: u64, error: CallError) -> ToWorker {
    ToWorker::NestedError {
        id,
        code: error.code,
        message: error.message,
    }
}
