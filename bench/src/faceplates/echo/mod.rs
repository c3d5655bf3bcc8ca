//! `katamari-bench echo-server`: servers that answer a call with its argument and do nothing else,
//! each on the library that the faceplate stands on. One thread serves all connections, as in a
//! node.

mod bert;
mod grpc;
mod http;
mod lines;
mod thrift;
mod websocket;

use std::future::Future;
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::{TcpListener, TcpStream};

use super::Protocol;

/// What to serve.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// What is spoken.
    #[arg(value_enum)]
    protocol: Protocol,
    /// Where.
    #[arg(long)]
    listen: SocketAddr,
}

/// Serves until it is killed.
pub fn run(arguments: &Arguments) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    runtime.block_on(async {
        let listener = TcpListener::bind(arguments.listen)
            .await
            .with_context(|| format!("cannot listen at {}", arguments.listen))?;
        match arguments.protocol {
            Protocol::Call => accept(listener, http::call).await,
            Protocol::Route => accept(listener, http::route).await,
            Protocol::RpcHttp => accept(listener, http::json_rpc).await,
            Protocol::RpcWebsocket => accept(listener, websocket::serve).await,
            Protocol::RpcTcp => accept(listener, lines::json_rpc).await,
            Protocol::Tcp => accept(listener, lines::raw).await,
            Protocol::Bert => accept(listener, bert::serve).await,
            Protocol::Thrift => accept(listener, thrift::serve).await,
            Protocol::Grpc => grpc::serve(listener).await,
            Protocol::Erlang => {
                bail!("expected another protocol: a node of Erlang serves this one")
            }
        }
    })
}

/// Serves each connection in a task.
async fn accept<Serving>(listener: TcpListener, serve: fn(TcpStream) -> Serving) -> Result<()>
where
    Serving: Future<Output = Result<()>> + Send + 'static,
{
    loop {
        let (socket, _) = listener.accept().await.context("cannot accept")?;
        socket.set_nodelay(true)?;
        tokio::spawn(async move {
            if let Err(error) = serve(socket).await {
                eprintln!("a connection broke off: {error:#}");
            }
        });
    }
}

/// The arguments of a call.
#[derive(Deserialize)]
struct Echo<'a> {
    #[serde(borrow)]
    value: &'a RawValue,
}

/// The result of a call with these arguments.
fn echo(arguments: &[u8]) -> Result<&[u8]> {
    let echo: Echo<'_> = serde_json::from_slice(arguments).context("expected a value")?;
    Ok(echo.value.get().as_bytes())
}

/// A JSON-RPC request.
#[derive(Deserialize)]
struct Request<'a> {
    method: &'a str,
    #[serde(borrow)]
    params: Echo<'a>,
    #[serde(borrow)]
    id: &'a RawValue,
}

/// The answer to a JSON-RPC request.
fn json_rpc(message: &[u8]) -> Result<Vec<u8>> {
    let request: Request<'_> = serde_json::from_slice(message).context("expected a request")?;
    if request.method != "echo.echo" {
        bail!("no such method: {}", request.method);
    }
    let (value, id) = (request.params.value.get(), request.id.get());
    Ok(format!(r#"{{"jsonrpc":"2.0","result":{value},"id":{id}}}"#).into_bytes())
}
