//! Each faceplate under load, for the scenarios `faceplates` and `idle`: what clients say
//! ([`dialog`]), their connections ([`crowd`]), servers to compare with ([`echo`]), and how either
//! side is started ([`side`]).

pub mod crowd;
mod dialog;
pub mod echo;
pub mod erl;
pub mod side;
mod template;

use clap::ValueEnum;

/// The ways in, most of which are a faceplate of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// HTTP: `POST /call/KIND/FUNCTION`.
    Call,
    /// HTTP: a route of one's own.
    Route,
    /// JSON-RPC in the body of a request.
    RpcHttp,
    /// JSON-RPC over a WebSocket.
    RpcWebsocket,
    /// JSON-RPC over TCP, a line for each message.
    RpcTcp,
    /// Raw TCP, a line for each message.
    Tcp,
    /// gRPC, unary.
    Grpc,
    /// Thrift, framed, binary, the generic service.
    Thrift,
    /// BERT-RPC.
    Bert,
    /// Erlang distribution.
    Erlang,
}

impl Protocol {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Call => "HTTP /call",
            Self::Route => "HTTP route",
            Self::RpcHttp => "JSON-RPC, HTTP",
            Self::RpcWebsocket => "JSON-RPC, WebSocket",
            Self::RpcTcp => "JSON-RPC, TCP",
            Self::Tcp => "raw TCP",
            Self::Grpc => "gRPC",
            Self::Thrift => "Thrift",
            Self::Bert => "BERT-RPC",
            Self::Erlang => "Erlang",
        }
    }

    /// What the server to compare with is made of.
    pub fn peer_name(self) -> &'static str {
        match self {
            Self::Call | Self::Route | Self::RpcHttp => "hyper",
            Self::RpcWebsocket => "tokio-tungstenite",
            Self::RpcTcp | Self::Tcp => "tokio",
            Self::Grpc => "tonic",
            Self::Thrift => "tokio, the thrift crate",
            Self::Bert => "tokio, katamari-term",
            Self::Erlang => "a gen_server in erl",
        }
    }

    /// The faceplate that serves it: its table in the configuration.
    pub fn faceplate(self) -> &'static str {
        match self {
            Self::Call | Self::Route | Self::RpcHttp | Self::RpcWebsocket => "http",
            Self::RpcTcp => "jsonrpc",
            Self::Tcp => "tcp",
            Self::Grpc => "grpc",
            Self::Thrift => "thrift",
            Self::Bert => "bert",
            Self::Erlang => "erlang",
        }
    }
}
