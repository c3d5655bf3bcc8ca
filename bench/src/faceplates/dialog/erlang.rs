//! Erlang distribution, version 6: the handshake of a node, then calls of `gen_server` in the
//! pass-through form. Each connection is a node of its own name.

use anyhow::{Result, ensure};
use md5::Digest;
use term::etf::{self, Tags};
use term::{Atom, Term};

use super::{Dialog, Heard, unexpected};
use crate::faceplates::template::{NUMBER, Template, first_measured, measured};

/// What all nodes of the bench share.
pub const COOKIE: &str = "bench";

/// What the node can: all that OTP 25 asks for, and neither atom cache nor fragments, so that each
/// message comes whole and by itself.
const FLAGS: u64 = 0x4
    | 0x10
    | 0x80
    | 0x100
    | 0x200
    | 0x400
    | 0x800
    | 0x1_0000
    | 0x2_0000
    | 0x4_0000
    | 0x100_0000
    | 0x200_0000
    | 1 << 34
    | 1 << 36;

/// The type of all frames here.
const PASS_THROUGH: u8 = 112;

/// The operation that sends a message to a name.
const REG_SEND: i64 = 6;

/// What the challenge to the server is; it proves nothing that matters here.
const CHALLENGE: u32 = 1;

/// A node.
pub struct Erlang {
    name: String,
    request: Template,
    answer: Template,
    number: u64,
    step: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Status,
    Challenge,
    Proof,
    Connected,
}

impl Erlang {
    /// The node with this number.
    pub fn new(number: usize) -> Self {
        let name = format!("bench{number}@127.0.0.1");
        let request = Template::new(measured(&call(&name)));
        Self {
            name,
            request,
            // The last bytes of `{Tag, {ok, Number}}`.
            answer: Template::new(NUMBER),
            number: 0,
            step: Step::Status,
        }
    }

    fn shake(&mut self, message: &[u8], out: &mut Vec<u8>) -> Result<()> {
        match self.step {
            Step::Status => {
                ensure!(message == b"sok", "not let in: {}", message.escape_ascii());
                self.step = Step::Challenge;
            }
            Step::Challenge => {
                let challenge = message
                    .get(9..13)
                    .and_then(|bytes| bytes.first_chunk::<4>());
                let Some(challenge) = challenge else {
                    return Err(unexpected(b"a challenge", message));
                };
                let mut digest = md5::Md5::new();
                digest.update(COOKIE);
                digest.update(u32::from_be_bytes(*challenge).to_string());
                let proof: [u8; 16] = digest.finalize().into();
                put(out, &[b"r", &CHALLENGE.to_be_bytes()[..], &proof]);
                self.step = Step::Proof;
            }
            Step::Proof | Step::Connected => {
                ensure!(
                    message.first() == Some(&b'a'),
                    "expected the server's proof"
                );
                self.step = Step::Connected;
            }
        }
        Ok(())
    }
}

/// Parts of a message of the handshake, whose length takes 16 bits.
fn put(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let message = parts.concat();
    let length = u16::try_from(message.len()).expect("names of the bench are short");
    out.extend(length.to_be_bytes());
    out.extend(message);
}

/// `gen_server:call({katamari, Node}, {call, echo, echo, [Number]})`.
fn call(name: &str) -> Vec<u8> {
    let node = Atom::new(name).expect("names of the bench are short");
    let pid = || etf::pid(&node, 1, 0, 1);
    let reference = etf::reference(&node, 1, &[1, 2, 3]).expect("three words are some");
    let atom = Term::atom;
    let number = |number: i64| Term::integer(number.into());
    let control = vec![number(REG_SEND), pid(), atom(""), atom("katamari")];
    let arguments = Term::List(vec![Term::text(NUMBER)]);
    let request = vec![atom("call"), atom("echo"), atom("echo"), arguments];
    let message = vec![
        atom("$gen_call"),
        Term::pair(pid(), reference),
        Term::Tuple(request),
    ];
    let mut bytes = vec![PASS_THROUGH];
    for term in [control, message] {
        etf::encode_into(&mut bytes, &Term::Tuple(term), Tags::Modern).expect("they have tags");
    }
    bytes
}

impl Dialog for Erlang {
    fn open(&mut self, out: &mut Vec<u8>) -> bool {
        let name = self.name.as_bytes();
        let length = u16::try_from(name.len()).expect("names of the bench are short");
        let creation: u32 = 1;
        put(
            out,
            &[
                b"N",
                &FLAGS.to_be_bytes(),
                &creation.to_be_bytes(),
                &length.to_be_bytes(),
                name,
            ],
        );
        false
    }

    fn call(&mut self, number: u64, out: &mut Vec<u8>) {
        self.number = number;
        out.extend_from_slice(self.request.numbered(number));
    }

    fn hear(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Heard> {
        if self.step != Step::Connected {
            let Some((length, rest)) = input.split_first_chunk::<2>() else {
                return Ok(Heard::NotWhole);
            };
            let length = usize::from(u16::from_be_bytes(*length));
            let Some(message) = rest.get(..length) else {
                return Ok(Heard::NotWhole);
            };
            self.shake(message, out)?;
            return Ok(match self.step {
                Step::Connected => Heard::Ready(2 + length),
                _ => Heard::Passed(2 + length),
            });
        }
        let Some(frame) = first_measured(input) else {
            return Ok(Heard::NotWhole);
        };
        let taken = 4 + frame.len();
        if frame.is_empty() {
            // A sign of life.
            return Ok(Heard::Passed(taken));
        }
        let expected = self.answer.numbered(self.number);
        if !frame.ends_with(expected) {
            return Err(unexpected(expected, frame));
        }
        Ok(Heard::Answer(taken))
    }
}
