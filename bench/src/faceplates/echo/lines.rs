//! Lines on tokio: raw TCP, and JSON-RPC over TCP.

use anyhow::Result;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Arguments in, result out.
pub async fn raw(socket: TcpStream) -> Result<()> {
    serve(socket, |line| Ok(super::echo(line)?.to_vec())).await
}

/// JSON-RPC.
pub async fn json_rpc(socket: TcpStream) -> Result<()> {
    serve(socket, super::json_rpc).await
}

async fn serve(socket: TcpStream, answer: fn(&[u8]) -> Result<Vec<u8>>) -> Result<()> {
    let mut socket = BufReader::new(socket);
    let mut line = Vec::new();
    while socket.read_until(b'\n', &mut line).await? > 0 {
        let mut answer = answer(&line)?;
        answer.push(b'\n');
        socket.write_all(&answer).await?;
        line.clear();
    }
    Ok(())
}
