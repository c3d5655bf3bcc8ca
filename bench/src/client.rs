//! The load generator's end of the connections: one thread, one epoll, no allocation per call.
//!
//! It reads and writes raw sockets, because a general HTTP client costs more per call than the
//! servers under test and shares their processors. A connection carries one call at a time. Of idle
//! connections the last used is taken first, as common clients do; when none is idle a new one is
//! made.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, sockopt};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};

use crate::http::{self, Request};
use crate::tally::Outcome;

/// Events taken from the kernel at once.
const EVENTS_MAX: usize = 256;

/// Bytes read at once; all answers in the bench are shorter.
const READ_BYTES: usize = 16 * 1024;

/// What epoll says when it is the timer; no connection has this token.
const TIMER_TOKEN: u64 = u64::MAX;

/// A call that is being made.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// The number it carries, unlike that of all other calls of the client.
    pub number: u64,
    /// Which of the client's requests it sends.
    pub request: usize,
    /// When it was meant to start: its latency and its patience count from here.
    pub meant_at: Instant,
}

/// A call that is over.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// Which one.
    pub call: Call,
    /// How it ended.
    pub outcome: Outcome,
    /// How long after it was meant to start.
    pub latency: Duration,
}

struct Connection {
    socket: OwnedFd,
    token: u64,
    call: Option<Call>,
    /// What the kernel would not take yet, usually because the connection is still being made.
    unsent: Vec<u8>,
    /// The beginning of an answer that came in parts.
    received: Vec<u8>,
}

/// All connections to one server, and the calls on them.
pub struct Client {
    address: SocketAddr,
    requests: Vec<Request>,
    patience: Duration,
    epoll: OwnedFd,
    timer: OwnedFd,
    timer_at: Option<Instant>,
    connections: Vec<Option<Connection>>,
    connections_made: u64,
    vacant: Vec<usize>,
    idle: Vec<usize>,
    /// When calls are given up, oldest first. Calls that ended earlier are dropped when they come
    /// to the front.
    give_up: VecDeque<(Instant, u64, u64)>,
    in_flight: usize,
    ended: Vec<Ended>,
    /// What calls without an answer were told: their number, and status and body.
    told: Vec<(u64, String)>,
    told_max: usize,
    buffer: Box<[u8]>,
}

impl Client {
    /// A client of the server at `address` that sends these requests and gives up a call after
    /// `patience`.
    pub fn new(address: SocketAddr, requests: Vec<Request>, patience: Duration) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("no epoll")?;
        // A timer of its own, because the timeout of epoll counts in whole milliseconds.
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)
            .context("no timer descriptor")?;
        let data = epoll::EventData::new_u64(TIMER_TOKEN);
        epoll::add(
            &epoll,
            &timer,
            data,
            epoll::EventFlags::IN | epoll::EventFlags::ET,
        )?;
        Ok(Self {
            address,
            requests,
            patience,
            epoll,
            timer,
            timer_at: None,
            connections: Vec::new(),
            connections_made: 0,
            vacant: Vec::new(),
            idle: Vec::new(),
            give_up: VecDeque::new(),
            in_flight: 0,
            ended: Vec::new(),
            told: Vec::new(),
            told_max: 0,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
        })
    }

    /// Whether all calls that were started have ended and been taken.
    pub fn is_done(&self) -> bool {
        self.in_flight == 0 && self.ended.is_empty()
    }

    /// Moves the calls that ended since the last time into `into`.
    pub fn take_ended(&mut self, into: &mut Vec<Ended>) {
        into.append(&mut self.ended);
    }

    /// Keeps what the first `told_max` calls without an answer are told.
    pub fn keep_told(mut self, told_max: usize) -> Self {
        self.told_max = told_max;
        self
    }

    /// What calls without an answer were told: their number, and status and body.
    pub fn into_told(self) -> Vec<(u64, String)> {
        self.told
    }

    /// Starts a call on an idle connection or a new one.
    pub fn start(&mut self, call: Call) {
        self.in_flight += 1;
        let index = match self.idle.pop() {
            Some(index) => index,
            None => match self.connect() {
                Ok(index) => index,
                Err(_) => return self.end(call, Outcome::Broken),
            },
        };
        let connection = self.connections[index]
            .as_mut()
            .expect("idle and new ones are there");
        connection.call = Some(call);
        self.give_up
            .push_back((call.meant_at + self.patience, connection.token, call.number));
        let bytes = self.requests[call.request].numbered(call.number);
        let sent = match rustix::net::send(&connection.socket, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => sent,
            Err(Errno::AGAIN) => 0,
            Err(_) => return self.drop_connection(index, Outcome::Broken),
        };
        connection.unsent.extend_from_slice(&bytes[sent..]);
    }

    /// Waits until something happens on a connection, a call ends, or `until` has come, and does
    /// what is to be done then.
    pub fn turn(&mut self, until: Instant) -> Result<()> {
        while let Some(&(at, token, number)) = self.give_up.front() {
            let index = index_of(token);
            if !self.carries(index, token, number) {
                self.give_up.pop_front();
            } else if at <= Instant::now() {
                self.give_up.pop_front();
                self.drop_connection(index, Outcome::GivenUp);
            } else {
                break;
            }
        }
        let until = self
            .give_up
            .front()
            .map_or(until, |&(at, _, _)| at.min(until));
        self.set_timer(until)?;
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // Some calls end without an event: when they are given up, or fail at the start.
        let at_once = !self.ended.is_empty() || until <= Instant::now();
        let timeout = at_once.then_some(&now);
        let nothing = epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: TIMER_EVENT,
        };
        let mut events = [nothing; EVENTS_MAX];
        let count = match epoll::wait(&self.epoll, events.as_mut_slice(), timeout) {
            Ok(count) => count,
            Err(Errno::INTR) => 0,
            Err(error) => return Err(error).context("cannot wait for events"),
        };
        for event in &events[..count] {
            let (data, flags) = (event.data, event.flags);
            self.on_event(data.u64(), flags);
        }
        Ok(())
    }

    fn set_timer(&mut self, at: Instant) -> Result<()> {
        if self.timer_at == Some(at) {
            return Ok(());
        }
        // Zero would disarm the timer.
        let left = at
            .saturating_duration_since(Instant::now())
            .max(Duration::from_nanos(1));
        let never = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let left = Timespec::try_from(left).context("a time too far away")?;
        let value = Itimerspec {
            it_interval: never,
            it_value: left,
        };
        rustix::time::timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &value)?;
        self.timer_at = Some(at);
        Ok(())
    }

    fn connect(&mut self) -> rustix::io::Result<usize> {
        let family = match self.address {
            SocketAddr::V4(_) => AddressFamily::INET,
            SocketAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        match rustix::net::connect(&socket, &self.address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error),
        }
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        // A token is never used twice, so an event of a closed connection finds nobody.
        self.connections_made += 1;
        let token = self.connections_made << 32 | u64::try_from(index).expect("a small number");
        let interest = epoll::EventFlags::IN
            | epoll::EventFlags::OUT
            | epoll::EventFlags::RDHUP
            | epoll::EventFlags::ET;
        epoll::add(
            &self.epoll,
            &socket,
            epoll::EventData::new_u64(token),
            interest,
        )?;
        let (unsent, received) = (Vec::new(), Vec::new());
        self.connections[index] = Some(Connection {
            socket,
            token,
            call: None,
            unsent,
            received,
        });
        Ok(index)
    }

    fn carries(&self, index: usize, token: u64, number: u64) -> bool {
        let connection = self.connections.get(index).and_then(Option::as_ref);
        connection.is_some_and(|connection| {
            connection.token == token && connection.call.is_some_and(|call| call.number == number)
        })
    }

    fn on_event(&mut self, token: u64, flags: epoll::EventFlags) {
        if token == TIMER_TOKEN {
            self.timer_at = None;
            return;
        }
        let index = index_of(token);
        let Some(connection) = self.connections[index].as_mut() else {
            return;
        };
        if connection.token != token {
            return;
        }
        if !connection.unsent.is_empty() && flags.contains(epoll::EventFlags::OUT) {
            let sent =
                rustix::net::send(&connection.socket, &connection.unsent, SendFlags::NOSIGNAL);
            match sent {
                Ok(sent) => drop(connection.unsent.drain(..sent)),
                Err(Errno::AGAIN) => {}
                Err(_) => return self.drop_connection(index, Outcome::Broken),
            }
        }
        let ends = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        if flags.intersects(epoll::EventFlags::IN | ends) {
            self.receive(index, flags.intersects(ends));
        }
    }

    /// Reads what is there. With `ends` the other side has closed, so it reads to the end.
    fn receive(&mut self, index: usize, ends: bool) {
        loop {
            let Some(connection) = self.connections[index].as_mut() else {
                return;
            };
            let buffer = &mut *self.buffer;
            let count = match rustix::net::recv(&connection.socket, buffer, RecvFlags::empty()) {
                Ok((count, _)) => count,
                Err(Errno::AGAIN) => return,
                Err(_) => return self.drop_connection(index, Outcome::Broken),
            };
            let Some(call) = connection.call else {
                // An idle connection that speaks or ends is of no more use.
                return self.drop_connection(index, Outcome::Broken);
            };
            let ended = count == 0;
            let bytes = if connection.received.is_empty() {
                &self.buffer[..count]
            } else {
                connection.received.extend_from_slice(&self.buffer[..count]);
                &connection.received
            };
            match http::parse(bytes, ended) {
                Ok(Some(response)) => {
                    let request = &self.requests[call.request];
                    let outcome = match response.status {
                        200 if request.is_answered_by(&response.body, call.number) => {
                            Outcome::Answered
                        }
                        200 => Outcome::Wrong,
                        429 | 503 => Outcome::Refused,
                        _ => Outcome::Failed,
                    };
                    if outcome != Outcome::Answered && self.told.len() < self.told_max {
                        let body = String::from_utf8_lossy(&response.body);
                        let told = format!("{} {body}", response.status);
                        self.told.push((call.number, told));
                    }
                    let keep = response.keep_alive && !request.close();
                    if ended || !keep {
                        return self.drop_connection(index, outcome);
                    }
                    connection.received.clear();
                    connection.call = None;
                    self.idle.push(index);
                    self.end(call, outcome);
                }
                Ok(None) if !ended => {
                    if connection.received.is_empty() {
                        connection.received.extend_from_slice(&self.buffer[..count]);
                    }
                }
                Ok(None) | Err(http::Malformed) => {
                    return self.drop_connection(index, Outcome::Broken);
                }
            }
            // A short read has emptied the socket: the kernel will tell when there is more.
            if count < READ_BYTES && !ends {
                return;
            }
        }
    }

    /// Closes a connection; if it carries a call, that ends so.
    fn drop_connection(&mut self, index: usize, outcome: Outcome) {
        let Some(connection) = self.connections[index].take() else {
            return;
        };
        self.vacant.push(index);
        match connection.call {
            Some(call) => self.end(call, outcome),
            None => self.idle.retain(|&idle| idle != index),
        }
    }

    fn end(&mut self, call: Call, outcome: Outcome) {
        self.in_flight -= 1;
        self.ended.push(Ended {
            call,
            outcome,
            latency: call.meant_at.elapsed(),
        });
    }
}

const TIMER_EVENT: epoll::EventData = epoll::EventData::new_u64(TIMER_TOKEN);

fn index_of(token: u64) -> usize {
    usize::try_from(token & u64::from(u32::MAX)).expect("32 bits fit")
}
