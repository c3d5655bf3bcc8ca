//! JSON-RPC over WebSockets, on tokio-tungstenite.

use anyhow::Result;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

/// Any path is upgraded.
pub async fn serve(socket: TcpStream) -> Result<()> {
    let mut socket = tokio_tungstenite::accept_async(socket).await?;
    while let Some(message) = socket.next().await {
        if let Message::Text(text) = message? {
            let answer = String::from_utf8(super::json_rpc(text.as_bytes())?)?;
            socket.send(Message::text(answer)).await?;
        }
    }
    Ok(())
}
