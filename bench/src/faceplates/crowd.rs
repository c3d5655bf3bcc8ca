//! The connections of clients to one server: one thread, one epoll, raw sockets, as in
//! [`client`](crate::client), but for any protocol, in a closed loop, and for many connections that
//! say nothing.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, sockopt};

use super::Protocol;
use super::dialog::{self, Dialog, Heard};
use crate::load::Closed;
use crate::tally::{Outcome, Tally};

/// Connections that are opened at a time: fewer than a listener's backlog, and than may wait in a
/// pool's queue.
const OPENING_MAX: usize = 64;

/// How long nothing may come while something is expected.
const PATIENCE: Duration = Duration::from_secs(10);

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 256;

/// Bytes read at once; all answers in the bench are shorter.
const READ_BYTES: usize = 16 * 1024;

/// What a connection is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is being made, or shakes hands.
    Opening,
    /// It says nothing.
    Idle,
    /// A call is on its way since then.
    Calling(Instant),
}

struct Connection {
    socket: OwnedFd,
    dialog: Box<dyn Dialog>,
    state: State,
    /// What the kernel would not take yet, usually because the connection is still being made.
    unsent: Vec<u8>,
    /// The beginning of something that came in parts.
    received: Vec<u8>,
}

/// Connections to one server, which makes no mistakes: anything but the right answer is an error.
pub struct Crowd {
    protocol: Protocol,
    server: SocketAddr,
    epoll: OwnedFd,
    connections: Vec<Connection>,
    /// Those that became idle in the last turn, and how long their calls took.
    idle: Vec<(usize, Option<Duration>)>,
    next_number: u64,
    buffer: Box<[u8]>,
    out: Vec<u8>,
}

impl Crowd {
    /// No connections yet.
    pub fn new(protocol: Protocol, server: SocketAddr) -> Result<Self> {
        Ok(Self {
            protocol,
            server,
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC).context("no epoll")?,
            connections: Vec::new(),
            idle: Vec::new(),
            next_number: 0,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            out: Vec::new(),
        })
    }

    /// Opens so many more connections. Each shakes hands, and makes one call.
    pub fn grow(&mut self, count: usize) -> Result<()> {
        let (mut to_open, mut opening) = (count, 0);
        while to_open + opening > 0 {
            while to_open > 0 && opening < OPENING_MAX {
                self.connect().context("cannot connect")?;
                to_open -= 1;
                opening += 1;
            }
            for (index, latency) in self.turn(Instant::now() + PATIENCE)? {
                match latency {
                    Some(_) => opening -= 1,
                    None => self.call(index)?,
                }
            }
        }
        Ok(())
    }

    /// Lets the first `active` connections make one call after the other for that time.
    pub fn load(&mut self, active: usize, length: Duration) -> Result<Closed> {
        let mut tally = Tally::default();
        let start = Instant::now();
        for index in 0..active {
            self.call(index)?;
        }
        let mut calling = active;
        while calling > 0 {
            let mut idle = self.turn(Instant::now() + PATIENCE)?;
            let under_load = start.elapsed() < length;
            for (index, latency) in idle.drain(..) {
                if !under_load {
                    calling -= 1;
                    continue;
                }
                if let Some(latency) = latency {
                    tally.add(Outcome::Answered, latency);
                }
                self.call(index)?;
            }
            // It has room, which the next turn uses again.
            self.idle = idle;
        }
        Ok(Closed {
            tally,
            elapsed: length,
        })
    }

    /// Lets each connection make one call: all must still be there.
    pub fn call_each(&mut self) -> Result<()> {
        for from in (0..self.connections.len()).step_by(OPENING_MAX) {
            let to = self.connections.len().min(from + OPENING_MAX);
            for index in from..to {
                self.call(index)?;
            }
            let mut calling = to - from;
            while calling > 0 {
                calling -= self.turn(Instant::now() + PATIENCE)?.len();
            }
        }
        Ok(())
    }

    fn connect(&mut self) -> Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let family = AddressFamily::INET;
        let socket =
            rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        match rustix::net::connect(&socket, &self.server) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let index = self.connections.len();
        let data = epoll::EventData::new_u64(u64::try_from(index).expect("a small number"));
        let interest = epoll::EventFlags::IN
            | epoll::EventFlags::OUT
            | epoll::EventFlags::RDHUP
            | epoll::EventFlags::ET;
        epoll::add(&self.epoll, &socket, data, interest)?;
        let mut dialog = dialog::of(self.protocol, self.server, index);
        let mut unsent = Vec::new();
        if dialog.open(&mut unsent) {
            self.idle.push((index, None));
        }
        self.connections.push(Connection {
            socket,
            dialog,
            state: State::Opening,
            unsent,
            received: Vec::new(),
        });
        Ok(())
    }

    fn call(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        self.out.clear();
        connection.dialog.call(self.next_number, &mut self.out);
        connection.state = State::Calling(Instant::now());
        self.next_number += 1;
        connection.send(&self.out)
    }

    /// Waits until something comes, does what is to be done then, and tells which connections have
    /// become idle.
    fn turn(&mut self, until: Instant) -> Result<Vec<(usize, Option<Duration>)>> {
        let nothing = epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        };
        let mut events = [nothing; EVENTS_MAX];
        // Connections without a handshake are idle from the start.
        while self.idle.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "nothing came for {PATIENCE:?}");
            let left = Timespec::try_from(left).context("a time too far away")?;
            let count = match epoll::wait(&self.epoll, events.as_mut_slice(), Some(&left)) {
                Ok(count) => count,
                Err(Errno::INTR) => 0,
                Err(error) => return Err(error).context("cannot wait for events"),
            };
            for event in &events[..count] {
                let (data, flags) = (event.data, event.flags);
                let index = usize::try_from(data.u64()).expect("it was an index");
                self.on_event(index, flags)?;
            }
        }
        Ok(std::mem::take(&mut self.idle))
    }

    fn on_event(&mut self, index: usize, flags: epoll::EventFlags) -> Result<()> {
        let connection = &mut self.connections[index];
        if flags.contains(epoll::EventFlags::OUT) && !connection.unsent.is_empty() {
            let unsent = std::mem::take(&mut connection.unsent);
            connection.send(&unsent)?;
        }
        let ends = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        if flags.intersects(epoll::EventFlags::IN | ends) {
            self.receive(index, flags.intersects(ends))?;
        }
        Ok(())
    }

    /// Reads what is there. With `ends` the other side has closed, so it reads to the end.
    fn receive(&mut self, index: usize, ends: bool) -> Result<()> {
        let connection = &mut self.connections[index];
        loop {
            let buffer = &mut *self.buffer;
            let count = match rustix::net::recv(&connection.socket, buffer, RecvFlags::empty()) {
                Ok((count, _)) => count,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error).context("a connection broke"),
            };
            if count == 0 {
                bail!(
                    "the server closed a connection that was {:?}",
                    connection.state
                );
            }
            let came = if connection.received.is_empty() {
                &self.buffer[..count]
            } else {
                connection.received.extend_from_slice(&self.buffer[..count]);
                &connection.received
            };
            self.out.clear();
            let mut taken = 0;
            while taken < came.len() {
                let heard = connection.dialog.hear(&came[taken..], &mut self.out)?;
                match (heard, connection.state) {
                    (Heard::NotWhole, _) => break,
                    (Heard::Passed(bytes), _) => taken += bytes,
                    (Heard::Ready(bytes), State::Opening) => {
                        taken += bytes;
                        connection.state = State::Idle;
                        self.idle.push((index, None));
                    }
                    (Heard::Answer(bytes), State::Calling(since)) => {
                        taken += bytes;
                        connection.state = State::Idle;
                        self.idle.push((index, Some(since.elapsed())));
                    }
                    (heard, state) => bail!("{heard:?} came on a connection that was {state:?}"),
                }
            }
            if connection.received.is_empty() {
                connection
                    .received
                    .extend_from_slice(&self.buffer[taken..count]);
            } else {
                connection.received.drain(..taken);
            }
            if !self.out.is_empty() {
                connection.send(&self.out)?;
            }
            // A short read has emptied the socket: the kernel will tell when there is more.
            if count < READ_BYTES && !ends {
                return Ok(());
            }
        }
    }
}

impl Connection {
    /// Sends, behind what could not be sent before.
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        if !self.unsent.is_empty() {
            self.unsent.extend_from_slice(bytes);
            return Ok(());
        }
        let sent = match rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => sent,
            Err(Errno::AGAIN) => 0,
            Err(error) => return Err(error).context("cannot send"),
        };
        self.unsent.extend_from_slice(&bytes[sent..]);
        Ok(())
    }
}
