//! One end of the protocol: reads descriptor 3, writes descriptor 4, knows the running calls.
//!
//! There is no thread for reading. Whoever waits reads for everybody, one at a time: it has taken
//! the [`Reader`] out of the [`State`] meanwhile. The others who wait sleep until it tells them that
//! something changed. So a worker with one slot has one thread, and one with several slots takes a
//! call without handing it over. Who takes a call wakes one sleeper, which reads on, or takes the
//! next call and wakes another.
//!
//! Frames to be written are collected in `State::out`. Who finds nobody writing writes all of them,
//! and what others add meanwhile. An answer may stay there while its thread goes on with the next
//! call, but only if a sleeper was woken that has not come yet: it writes first of all. So several
//! answers go out with one system call, and none waits for a function.

use crate::error::{Broken, CallError, Cancelled};
use crate::frame::{FRAME_MAX_DEFAULT, Frame, Reader, TooLarge, frame_of, write_all};
use crate::input::Inlet;
use crate::payload::Payload;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that a stream may send before the first credit, unless the welcome says otherwise.
const STREAM_CREDIT_DEFAULT: i64 = 256 * 1024;

/// No call waits for years, and a later instant would overflow the clock.
pub(crate) const TIMEOUT_MS_MAX: u64 = 1_000_000_000_000;

/// A buffer that has grown beyond this is given back when it is empty.
const KEPT_MAX: usize = 1024 * 1024;

/// A call as it came.
pub(crate) struct Arrived {
    pub id: u64,
    pub call: String,
    pub function: String,
    pub key: Option<String>,
    pub class: String,
    pub deadline: Instant,
    pub arguments: Payload,
}

/// What has been heard about a call since it came.
struct Watched {
    cancelled: Option<String>,
    credit: i64,
    inlet: Inlet,
}

/// The conversation with the manager.
pub(crate) struct Connection {
    from_manager: BorrowedFd<'static>,
    to_manager: BorrowedFd<'static>,
    frame_max: AtomicUsize,
    state: Mutex<State>,
    /// Threads without a call sleep here.
    idle: Condvar,
    /// Threads in a call that wait for credit, input or a nested answer sleep here.
    changed: Condvar,
}

struct State {
    /// None while a thread reads.
    reader: Option<Reader>,
    idle_asleep: usize,
    changed_asleep: usize,
    /// An idle thread was woken and has not come yet.
    waking: bool,
    welcomed: bool,
    quitting: bool,
    /// Descriptor 3 is at its end, or the manager cannot be talked to any more.
    ended: bool,
    broken: Option<String>,
    stream_credit: i64,
    waiting: VecDeque<Arrived>,
    calls: BTreeMap<u64, Watched>,
    nested: BTreeMap<u64, Option<Frame>>,
    next_nested: u64,
    /// Frames that nobody has begun to write, and a buffer to take turns with.
    out: Vec<u8>,
    spare: Vec<u8>,
    writing: bool,
}

type Guard<'a> = MutexGuard<'a, State>;

impl Connection {
    pub fn new(from_manager: BorrowedFd<'static>, to_manager: BorrowedFd<'static>) -> Self {
        Self {
            from_manager,
            to_manager,
            frame_max: AtomicUsize::new(FRAME_MAX_DEFAULT),
            state: Mutex::new(State {
                reader: Some(Reader::new(from_manager)),
                idle_asleep: 0,
                changed_asleep: 0,
                waking: false,
                welcomed: false,
                quitting: false,
                ended: false,
                broken: None,
                stream_credit: STREAM_CREDIT_DEFAULT,
                waiting: VecDeque::new(),
                calls: BTreeMap::new(),
                nested: BTreeMap::new(),
                next_nested: 0,
                out: Vec::new(),
                spare: Vec::new(),
                writing: false,
            }),
            idle: Condvar::new(),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> Guard<'_> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The greatest length of a frame.
    pub fn frame_max(&self) -> usize {
        self.frame_max.load(Ordering::Relaxed)
    }

    /// How the manager has broken the protocol, if it has.
    pub fn broken(&self) -> Option<String> {
        self.lock().broken.clone()
    }

    /// Sends the hello and waits for the welcome. False if the manager wants no worker any more.
    pub fn introduce(&self, hello: Vec<u8>) -> bool {
        self.send(hello);
        let ready = |state: &State| state.welcomed || state.quitting;
        self.wait(self.lock(), ready).welcomed
    }

    /// Waits for a call. None if the worker is to end and has no call left to begin.
    pub fn next_call(&self) -> Option<Arrived> {
        let mut state = self.lock();
        loop {
            if let Some(call) = state.waiting.pop_front() {
                self.hand_over(&mut state);
                return Some(call);
            }
            if !state.out.is_empty() && !state.writing {
                // Others may have changed anything meanwhile.
                state = self.flush(state);
                continue;
            }
            if state.quitting {
                self.hand_over(&mut state);
                return None;
            }
            state = match state.reader.take() {
                Some(reader) => self.read(state, reader),
                None => {
                    state.idle_asleep += 1;
                    state = wait_on(&self.idle, state);
                    state.idle_asleep -= 1;
                    state.waking = false;
                    self.flush(state)
                }
            };
        }
    }

    /// Ends a call with its answer. A cancel or credit that crosses it finds nothing.
    pub fn finish(&self, id: u64, answer: Vec<u8>) {
        let mut state = self.lock();
        state.calls.remove(&id);
        state.add(answer);
        // The top of this file says why it may stay there otherwise.
        if !state.waking || state.waiting.is_empty() {
            drop(self.flush(state));
        }
    }

    /// Why a call is cancelled, if it is. Looks at what has arrived, but does not wait.
    pub fn cancelled(&self, id: u64) -> Option<String> {
        let mut state = self.lock();
        if state.cancel_of(id).is_none() {
            state = self.poll(state);
        }
        state.cancel_of(id)
    }

    /// Waits until a streamed reply has credit, and uses up as much of it.
    pub fn use_credit(&self, id: u64, size: usize) -> Result<(), Cancelled> {
        let size = i64::try_from(size).expect("a piece fits into memory");
        let state = self.poll(self.lock());
        let taken = self.take_from(state, id, |it| it.credit > 0, |it| it.credit -= size);
        taken.map(|(_, ())| ())
    }

    /// Waits for a piece of the call's input. None at the end.
    pub fn next_piece(&self, id: u64) -> Result<Option<Vec<u8>>, Cancelled> {
        let mut state = self.poll(self.lock());
        state.grant(id, self.frame_max());
        let state = self.flush(state);
        let taken = self.take_from(state, id, |it| it.inlet.is_ready(), |it| it.inlet.take());
        let (mut state, piece) = taken?;
        state.grant(id, self.frame_max());
        drop(self.flush(state));
        Ok(piece)
    }

    /// The content type of the call's input, as far as it is known.
    pub fn input_type(&self, id: u64) -> Option<String> {
        let state = self.lock();
        state.calls.get(&id)?.inlet.content_type()
    }

    /// Writes a frame.
    pub fn send(&self, frame: Vec<u8>) {
        let mut state = self.lock();
        state.add(frame);
        drop(self.flush(state));
    }

    /// Calls the cluster and waits for the answer; `header` is that of `N` but for its `id`.
    pub fn ask(&self, header: &impl Serialize, arguments: &Payload) -> Result<Payload, CallError> {
        let gone = || CallError::new("stopping", "the manager has closed the connection");
        let mut state = self.lock();
        if state.ended {
            return Err(gone());
        }
        let id = state.next_nested;
        state.next_nested += 1;
        state.nested.insert(id, None);
        drop(state);
        let header = WithId {
            id,
            content_type: arguments.content_type(),
            header,
        };
        match frame_of(b'N', &header, arguments.as_slice(), self.frame_max()) {
            Ok(frame) => self.send(frame),
            Err(TooLarge(message)) => {
                self.lock().nested.remove(&id);
                return Err(CallError::new("too_large", message));
            }
        }
        let answered = |state: &State| state.nested.get(&id).is_some_and(Option::is_some);
        let mut state = self.wait(self.lock(), answered);
        let answer = state.nested.remove(&id).flatten();
        drop(state);
        let Frame {
            letter,
            header,
            payload,
        } = answer.ok_or_else(gone)?;
        if letter == b'A' {
            return Ok(Payload::new(payload, header.content_type));
        }
        let code = header.code.unwrap_or_default();
        Err(CallError::new(&code, header.message.unwrap_or_default()))
    }

    /// Waits until a call has what it needs, and takes that.
    fn take_from<'a, T>(
        &'a self,
        state: Guard<'a>,
        id: u64,
        ready: impl Fn(&Watched) -> bool,
        take: impl FnOnce(&mut Watched) -> T,
    ) -> Result<(Guard<'a>, T), Cancelled> {
        let mut state = self.wait(state, |state| {
            let watched = state.calls.get(&id);
            watched.is_none_or(|it| ready(it) || it.cancelled.is_some())
        });
        let reason = match state.calls.get_mut(&id) {
            Some(Watched {
                cancelled: Some(reason),
                ..
            }) => reason.clone(),
            Some(watched) if ready(watched) => {
                let taken = take(watched);
                return Ok((state, taken));
            }
            // At the end of descriptor 3 nothing can come either.
            _ => "shutdown".to_owned(),
        };
        Err(Cancelled { reason })
    }

    /// Waits until it is so or descriptor 3 has ended, and reads if nobody does.
    fn wait<'a>(&'a self, mut state: Guard<'a>, ready: impl Fn(&State) -> bool) -> Guard<'a> {
        while !ready(&state) && !state.ended {
            state = match state.reader.take() {
                Some(reader) => {
                    let mut state = self.read(state, reader);
                    if !state.waiting.is_empty() {
                        self.wake_idle(&mut state);
                    }
                    state
                }
                None => {
                    state.changed_asleep += 1;
                    state = wait_on(&self.changed, state);
                    state.changed_asleep -= 1;
                    state
                }
            };
        }
        self.hand_over(&mut state);
        state
    }

    /// Somebody must read, and somebody must take each call that waits: one sleeper is woken, which
    /// does the same when it goes on. To wake all would cost a switch for each slot and call.
    fn hand_over(&self, state: &mut State) {
        if state.reader.is_none() && state.waiting.is_empty() {
            return;
        }
        if state.idle_asleep > 0 {
            self.wake_idle(state);
        } else if state.reader.is_some() && state.changed_asleep > 0 {
            self.changed.notify_all();
        }
    }

    fn wake_idle(&self, state: &mut State) {
        if state.idle_asleep > 0 && !state.waking {
            state.waking = true;
            self.idle.notify_one();
        }
    }

    /// Takes in what has arrived, without waiting. If another thread reads there is no need to.
    fn poll<'a>(&'a self, mut state: Guard<'a>) -> Guard<'a> {
        while !state.ended
            && state.reader.is_some()
            && readable(self.from_manager)
            && let Some(reader) = state.reader.take()
        {
            state = self.read(state, reader);
            // While this thread read, another may have gone to sleep that would have.
            self.hand_over(&mut state);
        }
        state
    }

    /// Reads once, and acts on every frame that is complete.
    fn read<'a>(&'a self, state: Guard<'a>, mut reader: Reader) -> Guard<'a> {
        drop(state);
        let mut frames = Vec::new();
        let outcome = receive(&mut reader, &mut frames);
        let mut state = self.lock();
        state.reader = Some(reader);
        let outcome = frames
            .into_iter()
            .try_for_each(|frame| self.take(&mut state, frame))
            .and(outcome);
        match outcome {
            Ok(true) => return self.flush(state),
            Ok(false) => {}
            Err(Broken(what)) => {
                state.waiting.clear();
                state.broken = Some(what);
            }
        }
        state.ended = true;
        state.quitting = true;
        self.idle.notify_all();
        self.changed.notify_all();
        self.flush(state)
    }

    fn take(&self, state: &mut State, frame: Frame) -> Result<(), Broken> {
        match frame.letter {
            b'C' => return state.take_call(frame),
            b'P' => {
                let pong = frame_of(b'O', &BTreeMap::<(), ()>::new(), b"", self.frame_max());
                state.add(pong.map_err(|TooLarge(message)| Broken(message))?);
                return Ok(());
            }
            b'W' => {
                if let Some(frame_max) = frame.header.frame_max {
                    self.frame_max.store(frame_max, Ordering::Relaxed);
                }
                state.stream_credit = frame.header.stream_credit.unwrap_or(state.stream_credit);
                state.welcomed = true;
                return Ok(());
            }
            b'Q' => {
                state.quitting = true;
                self.idle.notify_all();
                return Ok(());
            }
            b'F' => {
                let id = frame.header.id()?;
                if let Some(watched) = state.calls.get_mut(&id) {
                    let bytes = frame.header.bytes.unwrap_or_default();
                    watched.credit = watched.credit.saturating_add(bytes);
                }
            }
            b'I' => {
                let Frame {
                    header, payload, ..
                } = frame;
                if let Some(watched) = state.calls.get_mut(&header.id()?) {
                    let end = header.end.unwrap_or_default();
                    watched.inlet.push(payload, header.content_type, end);
                }
            }
            b'X' => {
                let id = frame.header.id()?;
                if let Some(watched) = state.calls.get_mut(&id) {
                    watched.cancelled = Some(frame.header.reason.unwrap_or_default());
                }
            }
            b'A' | b'B' => {
                // If it is not there, its parent has ended meanwhile.
                if let Some(answer) = state.nested.get_mut(&frame.header.id()?) {
                    *answer = Some(frame);
                }
            }
            other => {
                let letter = char::from(other);
                return Err(Broken(format!("a frame of the unknown type {letter:?}")));
            }
        }
        if state.changed_asleep > 0 {
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Writes what is to be written, unless another thread does so anyway.
    fn flush<'a>(&'a self, mut state: Guard<'a>) -> Guard<'a> {
        if state.writing {
            return state;
        }
        while !state.out.is_empty() {
            state.writing = true;
            let spare = mem::take(&mut state.spare);
            let mut frames = mem::replace(&mut state.out, spare);
            drop(state);
            let written = write_all(self.to_manager, &frames);
            state = self.lock();
            state.writing = false;
            if frames.capacity() <= KEPT_MAX {
                frames.clear();
                state.spare = frames;
            }
            if let Err(error) = written {
                // The manager is gone, as at the end of descriptor 3; anything else is a bug.
                if error != Errno::PIPE {
                    state.broken = Some(format!("descriptor 4: {error}"));
                }
                state.out.clear();
                state.ended = true;
                state.quitting = true;
                self.idle.notify_all();
                self.changed.notify_all();
            }
        }
        state
    }
}

impl State {
    fn cancel_of(&self, id: u64) -> Option<String> {
        self.calls.get(&id).and_then(|it| it.cancelled.clone())
    }

    fn add(&mut self, frame: Vec<u8>) {
        if self.out.is_empty() {
            self.out = frame;
        } else {
            self.out.extend_from_slice(&frame);
        }
    }

    /// Asks for more of the call's input, if it is the time.
    fn grant(&mut self, id: u64, frame_max: usize) {
        #[derive(Serialize)]
        struct Grant {
            id: u64,
            bytes: i64,
        }
        let Some(bytes) = self.calls.get_mut(&id).and_then(|it| it.inlet.grant()) else {
            return;
        };
        let frame = frame_of(b'G', &Grant { id, bytes }, b"", frame_max);
        // Any frame is larger than this one.
        self.add(frame.unwrap_or_else(|TooLarge(message)| panic!("{message}")));
    }

    fn take_call(&mut self, frame: Frame) -> Result<(), Broken> {
        let header = frame.header;
        let id = header.id()?;
        let (Some(timeout_ms), Some(function)) = (header.timeout_ms, header.function) else {
            let what = "a call without `timeout_ms` or `function`";
            return Err(Broken(what.to_owned()));
        };
        let timeout = Duration::from_millis(timeout_ms.min(TIMEOUT_MS_MAX));
        let watched = Watched {
            cancelled: None,
            credit: self.stream_credit,
            inlet: Inlet::new(header.input.unwrap_or_default(), self.stream_credit),
        };
        self.calls.insert(id, watched);
        self.waiting.push_back(Arrived {
            id,
            call: header.call.unwrap_or_default(),
            function,
            key: header.key,
            class: header.class.unwrap_or_default(),
            deadline: Instant::now() + timeout,
            arguments: Payload::new(frame.payload, header.content_type),
        });
        Ok(())
    }
}

/// The header of a nested call.
#[derive(Serialize)]
struct WithId<'a, T> {
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'a str>,
    #[serde(flatten)]
    header: &'a T,
}

/// Reads once. False at the end.
fn receive(reader: &mut Reader, frames: &mut Vec<Frame>) -> Result<bool, Broken> {
    let more = reader.fill()?;
    while let Some(frame) = reader.take()? {
        frames.push(frame);
    }
    Ok(more)
}

/// Whether a read would not wait, be it because of the end.
fn readable(descriptor: BorrowedFd<'_>) -> bool {
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut descriptors = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
    matches!(poll(&mut descriptors, Some(&at_once)), Ok(1..))
}

fn wait_on<'a>(condition: &Condvar, state: Guard<'a>) -> Guard<'a> {
    condition
        .wait(state)
        .unwrap_or_else(PoisonError::into_inner)
}
