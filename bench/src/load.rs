//! The two kinds of load. In a closed loop every connection sends its next call when the last one
//! is answered: it shows how fast a server can be. In an open loop calls come when they come,
//! whatever the server does, as they do from the world: it shows what happens when it cannot cope.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::arrivals::Arrival;
use crate::client::{Call, Client, Ended};
use crate::http::Request;
use crate::tally::{Outcome, Tally};

/// How long a call of a closed loop may take. Long, because nothing there should take long.
const CLOSED_PATIENCE: Duration = Duration::from_secs(10);

/// When a closed loop ends.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After this time; calls in flight then do not count.
    Time(Duration),
    /// After so many calls.
    Calls(u64),
}

/// What a closed loop found.
pub struct Closed {
    /// The calls.
    pub tally: Tally,
    /// From the first call to the last answer.
    pub elapsed: Duration,
}

/// Runs `connections` connections that each send one call after the other.
pub fn closed(
    address: SocketAddr,
    request: Request,
    connections: u64,
    until: Until,
) -> Result<Closed> {
    closed_in_turn(address, vec![request], connections, until)
}

/// The same with calls that send these requests in turn.
pub fn closed_in_turn(
    address: SocketAddr,
    requests: Vec<Request>,
    connections: u64,
    until: Until,
) -> Result<Closed> {
    let count = requests.len();
    let in_turn = |number: u64| usize::try_from(number).expect("64 bits") % count;
    let mut client = Client::new(address, requests, CLOSED_PATIENCE)?;
    let mut tally = Tally::default();
    let start = Instant::now();
    let (end, calls_max) = match until {
        Until::Time(length) => (start + length, u64::MAX),
        // The patience of each call bounds the whole.
        Until::Calls(calls) => (start + Duration::from_secs(24 * 3600), calls),
    };
    let mut started = connections.min(calls_max);
    for number in 0..started {
        client.start(Call {
            number,
            request: in_turn(number),
            meant_at: Instant::now(),
        });
    }
    let mut ended = Vec::new();
    while !client.is_done() {
        client.turn(end)?;
        client.take_ended(&mut ended);
        let now = Instant::now();
        if now >= end {
            break;
        }
        for call in ended.drain(..) {
            tally.add(call.outcome, call.latency);
            if started < calls_max {
                client.start(Call {
                    number: started,
                    request: in_turn(started),
                    meant_at: now,
                });
                started += 1;
            }
        }
    }
    Ok(Closed {
        tally,
        elapsed: start.elapsed(),
    })
}

/// What an open loop found.
pub struct Open {
    /// The calls, a tally for each request.
    pub tallies: Vec<Tally>,
    /// Answers that came before the last call was meant to start: what the server gave while it was
    /// under load, without what it still gave when no more calls came.
    pub answered_under_load: u64,
    /// How long the load lasted.
    pub elapsed: Duration,
}

/// Sends a call for every arrival, at its time, and gives each one up after `patience`.
pub fn open(
    address: SocketAddr,
    requests: Vec<Request>,
    arrivals: &[Arrival],
    patience: Duration,
) -> Result<Open> {
    let elapsed = arrivals.last().map_or(Duration::ZERO, |last| last.at);
    let tallies = vec![Tally::default(); requests.len()];
    let mut found = Open {
        tallies,
        answered_under_load: 0,
        elapsed,
    };
    let mut client = Client::new(address, requests, patience)?;
    let mut ended = Vec::new();
    let mut coming = (0..).zip(arrivals).peekable();
    let start = Instant::now();
    while coming.peek().is_some() || !client.is_done() {
        while let Some((number, arrival)) =
            coming.next_if(|(_, arrival)| start + arrival.at <= Instant::now())
        {
            let meant_at = start + arrival.at;
            client.start(Call {
                number,
                request: arrival.request,
                meant_at,
            });
        }
        let next = coming.peek().map(|(_, arrival)| start + arrival.at);
        client.turn(next.unwrap_or_else(|| Instant::now() + patience))?;
        client.take_ended(&mut ended);
        for Ended {
            call,
            outcome,
            latency,
        } in ended.drain(..)
        {
            found.tallies[call.request].add(outcome, latency);
            let under_load = call.meant_at + latency <= start + elapsed;
            found.answered_under_load += u64::from(under_load && outcome == Outcome::Answered);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::*;

    /// Serves connections until the test ends, each in a thread, by `serve`.
    fn listen(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                socket.set_nodelay(true).unwrap();
                let serve = serve.clone();
                thread::spawn(move || serve(socket));
            }
        });
        address
    }

    /// Reads one request and gives back its value with the quotes; `None` at the end.
    fn read_value(socket: &mut TcpStream) -> Option<String> {
        let mut text = String::new();
        while !text.ends_with('}') {
            let mut buffer = [0; 4096];
            let count = socket.read(&mut buffer).unwrap_or(0);
            if count == 0 {
                return None;
            }
            text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        Some(
            body.trim_start_matches("{\"value\":")
                .trim_end_matches('}')
                .to_owned(),
        )
    }

    fn write_answer(socket: &mut TcpStream, status: &str, body: &str) {
        // In two parts, as a network may deliver it.
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(format!("\r\n{body}").as_bytes()).unwrap();
    }

    fn echo(mut socket: TcpStream) {
        while let Some(value) = read_value(&mut socket) {
            write_answer(&mut socket, "200 OK", &value);
        }
    }

    fn request(address: SocketAddr, close: bool) -> Request {
        Request::new(address, "/", &[], "", close)
    }

    fn arrivals(count: u64) -> Vec<Arrival> {
        (0..count)
            .map(|ms| Arrival {
                at: Duration::from_millis(ms),
                request: 0,
            })
            .collect()
    }

    #[test]
    fn a_closed_loop_makes_the_calls_it_was_asked_for() {
        for close in [false, true] {
            let address = listen(echo);
            let run = closed(address, request(address, close), 4, Until::Calls(100)).unwrap();
            assert_eq!(run.tally.count(Outcome::Answered), 100, "close: {close}");
            assert_eq!(run.tally.lost(), 0);
        }
    }

    #[test]
    fn a_closed_loop_ends_in_time_even_if_nobody_answers() {
        let address = listen(|mut socket| while read_value(&mut socket).is_some() {});
        let length = Duration::from_millis(100);
        let run = closed(address, request(address, false), 4, Until::Time(length)).unwrap();
        assert!(run.elapsed >= length);
        assert_eq!(run.tally.count(Outcome::Answered) + run.tally.lost(), 0);
    }

    #[test]
    fn an_open_loop_sends_every_arrival() {
        let address = listen(echo);
        let requests = vec![request(address, false)];
        let run = open(address, requests, &arrivals(50), Duration::from_secs(10)).unwrap();
        assert_eq!(run.tallies[0].count(Outcome::Answered), 50);
        assert!(run.answered_under_load <= 50);
    }

    #[test]
    fn calls_without_an_answer_are_given_up() {
        let address = listen(|mut socket| while read_value(&mut socket).is_some() {});
        let patience = Duration::from_millis(100);
        let run = open(
            address,
            vec![request(address, false)],
            &arrivals(10),
            patience,
        )
        .unwrap();
        assert_eq!(run.tallies[0].count(Outcome::GivenUp), 10);
        let (soonest_ms, _) = run.tallies[0].lost_range_ms();
        assert!(soonest_ms >= 99.0, "{soonest_ms}");
    }

    #[test]
    fn every_end_of_a_call_has_its_outcome() {
        let outcome = |serve: fn(TcpStream)| {
            let address = listen(serve);
            let requests = vec![request(address, false)];
            let run = open(address, requests, &arrivals(1), Duration::from_secs(10)).unwrap();
            [
                Outcome::Refused,
                Outcome::Failed,
                Outcome::Wrong,
                Outcome::Broken,
            ]
            .into_iter()
            .find(|&outcome| run.tallies[0].count(outcome) == 1)
        };
        fn answer(mut socket: TcpStream, status: &str, body: &str) {
            read_value(&mut socket).unwrap();
            write_answer(&mut socket, status, body);
        }
        assert_eq!(
            outcome(|socket| answer(socket, "503 Busy", "")),
            Some(Outcome::Refused)
        );
        assert_eq!(
            outcome(|socket| answer(socket, "502 Bad", "")),
            Some(Outcome::Failed)
        );
        assert_eq!(
            outcome(|socket| answer(socket, "200 OK", "1")),
            Some(Outcome::Wrong)
        );
        assert_eq!(outcome(drop), Some(Outcome::Broken));
    }

    #[test]
    fn nobody_there_is_a_broken_call() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let requests = vec![request(address, false)];
        let run = open(address, requests, &arrivals(3), Duration::from_secs(10)).unwrap();
        assert_eq!(run.tallies[0].count(Outcome::Broken), 3);
    }
}
