//! Workers of dialect `classic`, which the first Katamari had: what every one of them must do.

use super::case::{Case, cases};
use super::launch::{Bench, Launched, PATIENCE, QUIET, Read};
use super::verdict::{Trouble, Verdict, expect, unexpected};
use super::worker::describe;
use bytes::{Bytes, BytesMut};
use manager::describe::parse_hello;
use manager::dialect::{Broken, Classic, Codec, FromWorker, ToWorker};
use term::Term;
use term::etf::{self, Limits};
use tokio::time::Instant;

/// `{call, [there_is_no_such_method, json]}`, behind its length, in tags of 2008.
const UNKNOWN_CALL: &[u8] =
    b"\0\0\0\x31\x83h\x02d\0\x04calll\0\0\0\x02d\0\x17there_is_no_such_methodd\0\x04jsonj";

/// The case without which no other makes sense.
pub const INTERROGATION: &[Case] = cases! {
    interrogation => "answers api and config in time, within the limits of the protocol",
};

/// The others.
pub const CASES: &[Case] = cases! {
    ping => "answers each ping with a pong",
    single_bytes => "understands a message that comes byte by byte",
    several_messages => "understands several messages that come at once",
    unknown_method => "answers a call of a method that it does not have with one error, and lives on",
    quit => "ends when told to quit",
};

/// A worker that has introduced itself.
struct Worker {
    launched: Launched,
    codec: Classic,
}

async fn start(bench: &Bench) -> Verdict<Worker> {
    let mut codec = Classic::default();
    let launched = bench.launch(codec.manners())?;
    let mut asked = BytesMut::new();
    codec.open(&mut asked);
    launched.write(asked.freeze());
    let mut worker = Worker { launched, codec };
    let expected = "answers to api and config";
    match worker
        .receive(expected, Instant::now() + bench.start_max)
        .await?
    {
        FromWorker::Hello { description, .. } => {
            parse_hello(description.bytes()).map_err(Trouble::Failed)?;
            Ok(worker)
        }
        other => unexpected(expected, describe(&other)),
    }
}

impl Worker {
    fn encoded(&mut self, message: &ToWorker) -> Bytes {
        let mut out = BytesMut::new();
        let written = self.codec.encode(message, &mut out);
        written.expect("pings and quits can always be written");
        out.freeze()
    }

    /// Waits for a message.
    async fn receive(&mut self, expected: &str, until: Instant) -> Verdict<FromWorker> {
        loop {
            let message = self.codec.decode(&mut self.launched.read);
            match message.map_err(|Broken(what)| Trouble::Failed(what))? {
                Some(message) => return Ok(message),
                None => self.read(expected, until).await?,
            }
        }
    }

    async fn read(&mut self, expected: &str, until: Instant) -> Verdict {
        match self.launched.read_more(until).await {
            Read::Some => Ok(()),
            Read::End => {
                let end = self.launched.end_for_people().await;
                unexpected(expected, format_args!("the end of descriptor 4; {end}"))
            }
            Read::Late => unexpected(expected, "nothing in time"),
        }
    }

    async fn pong(&mut self) -> Verdict {
        match self.receive("pong", Instant::now() + PATIENCE).await? {
            FromWorker::Pong => Ok(()),
            other => unexpected("pong", describe(&other)),
        }
    }

    async fn ping(&mut self) -> Verdict {
        let ping = self.encoded(&ToWorker::Ping);
        self.launched.write(ping);
        self.pong().await
    }

    async fn silence(&mut self) -> Verdict {
        match self.launched.read_more(Instant::now() + QUIET).await {
            Read::Late if self.launched.read.is_empty() => Ok(()),
            Read::End => {
                let end = self.launched.end_for_people().await;
                unexpected("silence", format_args!("the end of descriptor 4; {end}"))
            }
            _ => unexpected("silence", format_args!("{:?}", self.launched.read)),
        }
    }
}

async fn interrogation(bench: &Bench) -> Verdict {
    start(bench).await?.silence().await
}

async fn ping(bench: &Bench) -> Verdict {
    let mut worker = start(bench).await?;
    worker.ping().await?;
    worker.ping().await?;
    worker.silence().await
}

async fn single_bytes(bench: &Bench) -> Verdict {
    let mut worker = start(bench).await?;
    let ping = worker.encoded(&ToWorker::Ping);
    worker.launched.write_byte_by_byte(ping);
    worker.pong().await?;
    worker.ping().await
}

async fn several_messages(bench: &Bench) -> Verdict {
    let mut worker = start(bench).await?;
    let ping = worker.encoded(&ToWorker::Ping);
    worker.launched.write(ping.repeat(5));
    for _ in 0..5 {
        worker.pong().await?;
    }
    worker.silence().await
}

async fn unknown_method(bench: &Bench) -> Verdict {
    let mut worker = start(bench).await?;
    worker.launched.write(UNKNOWN_CALL);
    let expected = "{error, Text}";
    let until = Instant::now() + PATIENCE;
    let read = loop {
        let read = &mut worker.launched.read;
        if let Some(prefix) = read.first_chunk::<4>() {
            let length = u32::from_be_bytes(*prefix) as usize;
            if read.len() >= 4 + length {
                break read.split_to(4 + length);
            }
        }
        worker.read(expected, until).await?;
    };
    let answer = etf::decode(&read.freeze().slice(4..), &Limits::default());
    let answer = answer.map_err(|error| Trouble::Failed(error.to_string()))?;
    let is_error = match &answer {
        Term::Tuple(said) | Term::List(said) => said.len() == 2 && said[0].is_atom("error"),
        _ => false,
    };
    expect(is_error, expected, answer.describe())?;
    worker.ping().await?;
    worker.silence().await
}

async fn quit(bench: &Bench) -> Verdict {
    let mut worker = start(bench).await?;
    let quit = worker.encoded(&ToWorker::Quit);
    worker.launched.write(quit);
    worker.launched.exit().await?;
    Ok(())
}
