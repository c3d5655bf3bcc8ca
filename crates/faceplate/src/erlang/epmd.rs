//! Being known to epmd, Erlang's mapper of names to ports, for as long as the listener is open.

use super::Erlang;
use std::io;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Requests and answers, by the names of the protocol's documentation.
const ALIVE2_REQ: u8 = 120;
const ALIVE2_X_RESP: u8 = 118;
const ALIVE2_RESP: u8 = 121;

/// A node that is not to be seen by those that did not ask for it.
const HIDDEN: u8 = 72;

const TCP_IPV4: u8 = 0;

/// The protocol of OTP 23 and later.
const VERSION: u16 = 6;

/// An epmd that has taken the connection answers at once.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Until the next try. An epmd that starts again loses no more than this.
const PAUSE: Duration = Duration::from_secs(1);

/// Why the node is not known.
#[derive(Debug, Error)]
enum NotRegistered {
    #[error(
        "expected epmd, which tells nodes of Erlang each other's ports, at {epmd}: {error}; start \
         it with `epmd -daemon`, or say where it is with epmd = \"HOST:PORT\""
    )]
    Unreachable { epmd: String, error: io::Error },
    #[error("epmd at {epmd} did not answer; is it one?")]
    Silent { epmd: String },
    #[error("epmd at {epmd} has another node of the name {alive}; choose another with name = ...")]
    Taken { epmd: String, alive: String },
    #[error("expected an answer of epmd at {epmd}, got byte {got}")]
    Other { epmd: String, got: u8 },
}

/// Registers, and again whenever epmd has forgotten. Never ends by itself.
pub(super) async fn stay_registered(erlang: &Erlang, port: u16) {
    let mut reported = String::new();
    loop {
        match register(erlang, port).await {
            Ok(mut stream) => {
                tracing::info!(name = %erlang.name, epmd = erlang.epmd, "registered with epmd");
                reported.clear();
                // It says no more; when it ends, so does the registration.
                let mut rest = [0; 16];
                while stream.read(&mut rest).await.is_ok_and(|bytes| bytes > 0) {}
                tracing::warn!(name = %erlang.name, "epmd is gone; registering again");
            }
            Err(error) => {
                let message = error.to_string();
                // Once, and not each second.
                if message != reported {
                    tracing::error!(name = %erlang.name, "cannot register: {message}");
                    reported = message;
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A connection that is kept is a registration.
async fn register(erlang: &Erlang, port: u16) -> Result<TcpStream, NotRegistered> {
    let epmd = || erlang.epmd.clone();
    let asked = tokio::time::timeout(TIMEOUT, ask(erlang, port)).await;
    let (stream, tag, result) = match asked {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            return Err(NotRegistered::Unreachable {
                epmd: epmd(),
                error,
            });
        }
        Err(_) => return Err(NotRegistered::Silent { epmd: epmd() }),
    };
    match (tag, result) {
        (ALIVE2_X_RESP | ALIVE2_RESP, 0) => Ok(stream),
        (ALIVE2_X_RESP | ALIVE2_RESP, _) => Err(NotRegistered::Taken {
            epmd: epmd(),
            alive: erlang.alive().to_owned(),
        }),
        (got, _) => Err(NotRegistered::Other { epmd: epmd(), got }),
    }
}

/// Sends the request. Of the answer tag and result are read; what follows, the creation that epmd
/// proposes, is not needed.
async fn ask(erlang: &Erlang, port: u16) -> io::Result<(TcpStream, u8, u8)> {
    let mut stream = TcpStream::connect(&erlang.epmd).await?;
    stream.write_all(&request(erlang.alive(), port)).await?;
    let tag = stream.read_u8().await?;
    let result = stream.read_u8().await?;
    Ok((stream, tag, result))
}

/// `ALIVE2_REQ` behind its length, without extra bytes.
fn request(alive: &str, port: u16) -> Vec<u8> {
    let mut body = vec![ALIVE2_REQ];
    body.extend(port.to_be_bytes());
    body.extend([HIDDEN, TCP_IPV4]);
    body.extend(VERSION.to_be_bytes());
    body.extend(VERSION.to_be_bytes());
    let length = |bytes: usize| u16::try_from(bytes).expect("names are short").to_be_bytes();
    body.extend(length(alive.len()));
    body.extend_from_slice(alive.as_bytes());
    body.extend(length(0));
    [&length(body.len())[..], &body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_port_type_versions_and_name() {
        let expected = b"\0\x10\x78\x12\x34\x48\0\0\x06\0\x06\0\x03abc\0\0";
        assert_eq!(request("abc", 0x1234), expected);
    }
}
