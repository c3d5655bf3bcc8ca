//! BERT-RPC on tokio and Katamari's own terms: no well-kept library in Rust speaks it.

use anyhow::{Result, bail};
use bytes::Bytes;
use term::Term;
use term::etf::{Limits, Tags, decode, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::faceplates::template::measured;

/// `{call, echo, echo, [Value]}` is answered `{reply, Value}`.
pub async fn serve(socket: TcpStream) -> Result<()> {
    let mut socket = BufReader::new(socket);
    loop {
        let length = socket.read_u32().await?;
        let mut message = vec![0; usize::try_from(length)?];
        socket.read_exact(&mut message).await?;
        let reply = Term::pair(Term::atom("reply"), value(&message.into())?);
        let answer = measured(&encode(&reply, Tags::Old)?);
        socket.write_all(&answer).await?;
    }
}

fn value(message: &Bytes) -> Result<Term> {
    let Term::Tuple(parts) = decode(message, &Limits::default())? else {
        bail!("expected a tuple");
    };
    let Ok([call, module, function, Term::List(arguments)]) = <[Term; 4]>::try_from(parts) else {
        bail!("expected a call with a list of arguments");
    };
    if !(call.is_atom("call") && module.is_atom("echo") && function.is_atom("echo")) {
        bail!("no such function");
    }
    let Ok([value]) = <[Term; 1]>::try_from(arguments) else {
        bail!("expected one argument");
    };
    Ok(value)
}
