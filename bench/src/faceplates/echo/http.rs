//! HTTP/1.1 on hyper.

use std::convert::Infallible;

use anyhow::{Context, Result, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// `POST /call/echo/echo`.
pub async fn call(socket: TcpStream) -> Result<()> {
    serve(socket, async |request: Request<Incoming>| {
        if request.uri().path() != "/call/echo/echo" {
            bail!("no such path");
        }
        let body = request.into_body().collect().await?.to_bytes();
        Ok(body.slice_ref(super::echo(&body)?))
    })
    .await
}

/// `GET /echo/{value}`.
pub async fn route(socket: TcpStream) -> Result<()> {
    serve(socket, async |request: Request<Incoming>| {
        let value = request.uri().path().strip_prefix("/echo/");
        let value = value.context("no such path")?;
        Ok(serde_json::to_vec(value)?.into())
    })
    .await
}

/// `POST /rpc`.
pub async fn json_rpc(socket: TcpStream) -> Result<()> {
    serve(socket, async |request: Request<Incoming>| {
        if request.uri().path() != "/rpc" {
            bail!("no such path");
        }
        let body = request.into_body().collect().await?.to_bytes();
        Ok(super::json_rpc(&body)?.into())
    })
    .await
}

async fn serve(
    socket: TcpStream,
    answer: impl AsyncFn(Request<Incoming>) -> Result<Bytes>,
) -> Result<()> {
    let service = service_fn(async |request| {
        let response = match answer(request).await {
            Ok(body) => {
                let mut response = Response::new(Full::new(body));
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(CONTENT_TYPE, json);
                response
            }
            Err(error) => {
                let mut response = Response::new(Full::new(error.to_string().into()));
                *response.status_mut() = StatusCode::BAD_REQUEST;
                response
            }
        };
        Ok::<_, Infallible>(response)
    });
    http1::Builder::new()
        .serve_connection(TokioIo::new(socket), service)
        .await
        .context("hyper")
}
