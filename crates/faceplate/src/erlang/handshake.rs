//! The handshake with a node that connects: names, flags, and the proof that both know the cookie.
//! Version 6, and the first message of version 5 that nodes of OTP 23 and 24 may still send.

use super::Erlang;
use std::io;
use std::sync::Arc;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes of a message: a name of 255 characters in UTF-8, and what stands around it.
const MESSAGE_MAX: usize = 1_100;

/// Bytes of a peer's name: 255 characters in UTF-8.
const NAME_MAX: usize = 1_020;

/// What a peer must take, since it is what we send; OTP 23 and later do. By the names of the
/// protocol's documentation, without their `DFLAG_`: EXTENDED_REFERENCES, FUN_TAGS, NEW_FUN_TAGS,
/// EXTENDED_PIDS_PORTS, EXPORT_PTR_TAG, BIT_BINARIES, NEW_FLOATS, UTF8_ATOMS, MAP_TAG, BIG_CREATION
/// and HANDSHAKE_23.
const NEEDED: u64 =
    0x4 | 0x10 | 0x80 | 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x2_0000 | 0x4_0000 | 0x100_0000;

/// MANDATORY_25_DIGEST: stands for all of the above.
const MANDATORY_25: u64 = 1 << 36;

/// What we take: the above with DIST_MONITOR, DIST_MONITOR_NAME, SMALL_ATOM_TAGS, UNLINK_ID,
/// SPAWN, on which `erpc` and `rpc` stand, and V4_NC. Left out are DIST_HDR_ATOM_CACHE and
/// FRAGMENTS, so that each message comes whole and by itself, and ALIAS, for we have none.
const OURS: u64 = NEEDED | MANDATORY_25 | 0x8 | 0x20 | 0x4000 | 0x200_0000 | 1 << 32 | 1 << 34;

/// NAME_ME: the peer has no name and wants one from us.
const NAME_ME: u64 = 1 << 33;

/// ALIAS: the peer takes messages to aliases of its processes.
const ALIAS: u64 = 1 << 35;

/// A node that has proven that it knows the cookie.
#[derive(Debug)]
pub(super) struct Peer {
    /// As it calls itself.
    pub name: Arc<str>,
    flags: u64,
}

impl Peer {
    /// Whether it takes messages to aliases.
    pub fn has_aliases(&self) -> bool {
        self.flags & ALIAS != 0
    }
}

/// Why a node is not let in.
#[derive(Debug, Error)]
pub(super) enum NotShaken {
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    #[error("expected {0} of the distribution protocol's handshake, got something else")]
    Malformed(&'static str),
    #[error("{0:?} is a node of OTP 22 or before; expected 23 or later (it lacks flags {1:#x})")]
    TooOld(Arc<str>, u64),
    #[error("{0:?} wants a name from us; start it with -name or -sname NAME")]
    Nameless(Arc<str>),
    #[error("{0:?} has another cookie; start it with -setcookie, or see ~/.erlang.cookie")]
    Cookie(Arc<str>),
}

/// What a node says first.
#[derive(Debug, PartialEq, Eq)]
struct Hello {
    flags: u64,
    name: Arc<str>,
    /// The high half of the flags comes later, as in version 5.
    is_old: bool,
}

/// Lets a node in that knows the cookie. Before a message stands its length: of 16 bits, and over TLS,
/// as `inet_tls_dist` of Erlang has it, of 32.
pub(super) async fn shake<S>(
    socket: &mut S,
    is_tls: bool,
    erlang: &Erlang,
) -> Result<Peer, NotShaken>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let hello = hello(&receive(socket, is_tls).await?)?;
    let Hello { name, is_old, .. } = hello;
    let mut flags = hello.flags;
    let refused = if flags & NAME_ME != 0 {
        Some(NotShaken::Nameless(name.clone()))
    } else if flags & NEEDED != NEEDED && flags & MANDATORY_25 == 0 {
        Some(NotShaken::TooOld(name.clone(), NEEDED & !flags))
    } else {
        None
    };
    if let Some(refused) = refused {
        send(socket, is_tls, b"snot_allowed").await?;
        return Err(refused);
    }
    send(socket, is_tls, b"sok").await?;
    let challenge = random();
    send(socket, is_tls, &challenge_message(erlang, challenge)).await?;
    if is_old {
        flags |= complement(&receive(socket, is_tls).await?)?;
    }
    let (theirs, digest) = reply(&receive(socket, is_tls).await?)?;
    if !erlang.cookie.is_proven(challenge, &digest) {
        return Err(NotShaken::Cookie(name));
    }
    let proof = erlang.cookie.digest(theirs);
    send(socket, is_tls, &[&b"a"[..], &proof].concat()).await?;
    Ok(Peer { name, flags })
}

/// A number that cannot be foretold.
pub(super) fn random() -> u32 {
    getrandom::u32().expect("the system has random numbers")
}

async fn receive(
    socket: &mut (impl AsyncRead + Unpin),
    is_tls: bool,
) -> Result<Vec<u8>, NotShaken> {
    let length = if is_tls {
        socket.read_u32().await?
    } else {
        socket.read_u16().await?.into()
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > MESSAGE_MAX {
        return Err(NotShaken::Malformed("a short message"));
    }
    let mut message = vec![0; length];
    socket.read_exact(&mut message).await?;
    Ok(message)
}

async fn send(
    socket: &mut (impl AsyncWrite + Unpin),
    is_tls: bool,
    message: &[u8],
) -> io::Result<()> {
    let length = u16::try_from(message.len()).expect("ours are short");
    let high: &[u8] = if is_tls { &[0, 0] } else { &[] };
    socket
        .write_all(&[high, &length.to_be_bytes(), message].concat())
        .await?;
    socket.flush().await
}

/// `send_name`, in the form of version 6 or of version 5.
fn hello(message: &[u8]) -> Result<Hello, NotShaken> {
    let malformed = NotShaken::Malformed("the name");
    let (flags, name, is_old) = match message {
        [b'N', rest @ ..] => {
            let Some((flags, rest)) = rest.split_first_chunk::<8>() else {
                return Err(malformed);
            };
            // The creation stands between: identifiers of theirs carry it themselves.
            let Some((length, rest)) = rest.get(4..).and_then(<[u8]>::split_first_chunk::<2>)
            else {
                return Err(malformed);
            };
            let name = rest.get(..u16::from_be_bytes(*length).into());
            (u64::from_be_bytes(*flags), name, false)
        }
        [b'n', 0, 5, a, b, c, d, name @ ..] => {
            let flags = u32::from_be_bytes([*a, *b, *c, *d]);
            (flags.into(), Some(name), true)
        }
        _ => return Err(malformed),
    };
    let name = name.and_then(|name| std::str::from_utf8(name).ok());
    match name {
        Some(name) if (1..=NAME_MAX).contains(&name.len()) => Ok(Hello {
            flags,
            name: name.into(),
            is_old,
        }),
        _ => Err(malformed),
    }
}

/// Our flags, the challenge, our creation and our name.
fn challenge_message(erlang: &Erlang, challenge: u32) -> Vec<u8> {
    let name = erlang.name.as_str().as_bytes();
    let mut message = vec![b'N'];
    message.extend(OURS.to_be_bytes());
    message.extend(challenge.to_be_bytes());
    message.extend(erlang.creation().to_be_bytes());
    let length = u16::try_from(name.len()).expect("the configuration limits it");
    message.extend(length.to_be_bytes());
    message.extend_from_slice(name);
    message
}

/// The high half of the flags, in its place.
fn complement(message: &[u8]) -> Result<u64, NotShaken> {
    match message {
        [b'c', a, b, c, d, _, _, _, _] => Ok(u64::from(u32::from_be_bytes([*a, *b, *c, *d])) << 32),
        _ => Err(NotShaken::Malformed("the complement")),
    }
}

/// The peer's challenge, and its answer to ours.
fn reply(message: &[u8]) -> Result<(u32, [u8; 16]), NotShaken> {
    let parts = message.strip_prefix(b"r");
    let parts = parts.and_then(<[u8]>::split_first_chunk::<4>);
    match parts.map(|(challenge, digest)| (challenge, <[u8; 16]>::try_from(digest))) {
        Some((challenge, Ok(digest))) => Ok((u32::from_be_bytes(*challenge), digest)),
        _ => Err(NotShaken::Malformed("the reply to the challenge")),
    }
}
