//! gRPC on tonic, with what its generator would write for this one method.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::task::{Context, Poll};

use anyhow::Result;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::body::Body as HttpBody;
use prost::Message;
use tokio::net::TcpListener;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::Grpc;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};
use tower_service::Service;

/// The request.
#[derive(Clone, PartialEq, Message)]
struct EchoRequest {
    #[prost(message, optional, tag = "1")]
    value: Option<prost_types::Value>,
}

/// The answer.
#[derive(Clone, PartialEq, Message)]
struct EchoResponse {
    #[prost(message, optional, tag = "1")]
    result: Option<prost_types::Value>,
}

/// Serves until the process is killed.
pub async fn serve(listener: TcpListener) -> Result<()> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Server::builder()
        .serve_with_incoming(Echo, incoming)
        .await?;
    Ok(())
}

/// The service.
#[derive(Clone)]
struct Echo;

impl<B> Service<hyper::Request<B>> for Echo
where
    B: HttpBody<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send>
        + Send
        + 'static,
{
    type Response = hyper::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: hyper::Request<B>) -> Self::Future {
        Box::pin(async move {
            if request.uri().path() != "/katamari.echo.Echo/Echo" {
                return Ok(Status::unimplemented("no such method").into_http());
            }
            Ok(Grpc::new(Prost::default()).unary(Answer, request).await)
        })
    }
}

/// The method.
struct Answer;

impl Service<Request<EchoRequest>> for Answer {
    type Response = Response<EchoResponse>;
    type Error = Status;
    type Future = Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<EchoRequest>) -> Self::Future {
        let result = request.into_inner().value;
        ready(Ok(Response::new(EchoResponse { result })))
    }
}

/// Messages of prost, as in the crate tonic-prost.
struct Prost<In, Out>(PhantomData<(In, Out)>);

impl<In, Out> Default for Prost<In, Out> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<In, Out> Codec for Prost<In, Out>
where
    In: Message + Default + 'static,
    Out: Message + 'static,
{
    type Encode = Out;
    type Decode = In;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self::default()
    }

    fn decoder(&mut self) -> Self {
        Self::default()
    }
}

impl<In, Out: Message> Encoder for Prost<In, Out> {
    type Item = Out;
    type Error = Status;

    fn encode(&mut self, item: Out, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        item.encode(into)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

impl<In: Message + Default, Out> Decoder for Prost<In, Out> {
    type Item = In;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<In>, Status> {
        let message = In::decode(from).map_err(|error| Status::internal(error.to_string()))?;
        Ok(Some(message))
    }
}
