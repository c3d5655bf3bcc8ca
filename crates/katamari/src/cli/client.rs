//! HTTP to a node, over its control socket or, by `network`, over TCP.

use super::style;
use anyhow::{Context, bail};
use bytes::Bytes;
use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

/// How long a node may take for what it has at hand. Calls have deadlines of their own.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to a node.
pub struct Client {
    /// What people know the node by.
    name: String,
    host: HeaderValue,
    authorization: Option<HeaderValue>,
    sender: SendRequest<Full<Bytes>>,
}

/// An error that the node answered with (RFC 9457, with Katamari's code and facts).
#[derive(Debug, Deserialize)]
pub struct Problem {
    /// One of the error codes.
    pub code: String,
    /// What was expected, what came, what to do.
    pub detail: String,
    /// The process that had the call.
    pub pid: Option<u32>,
    /// The last lines it wrote.
    #[serde(default)]
    pub stderr: Vec<String>,
    /// The short name of the error that the function raised.
    pub error_type: Option<String>,
    /// Where the function raised it.
    pub backtrace: Option<String>,
    /// When it may be worth to try again.
    pub retry_after_s: Option<u64>,
}

impl Client {
    /// Connects to the node behind a control socket.
    pub async fn connect(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let start = "start one with `katamari up`, or name its socket with --control PATH or \
                     KATAMARI_CONTROL";
        let stream = UnixStream::connect(path)
            .await
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => {
                    anyhow::anyhow!("no node runs here: there is no {shown}; {start}")
                }
                ErrorKind::ConnectionRefused => {
                    anyhow::anyhow!("no node runs here: the one that made {shown} is gone; {start}")
                }
                ErrorKind::PermissionDenied => {
                    anyhow::anyhow!("{shown} belongs to another user; run this as that user")
                }
                _ => anyhow::Error::from(error).context(format!("cannot connect to {shown}")),
            })?;
        Self::over(stream, shown.to_string(), "localhost", None).await
    }

    /// Speaks over a connection to the node of this name, which is also known as `host`.
    pub async fn over<S>(
        stream: S,
        name: String,
        host: &str,
        authorization: Option<HeaderValue>,
    ) -> anyhow::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let broken = || format!("the node behind {name} does not speak HTTP");
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.with_context(broken)?;
        // Its errors are those of the requests as well.
        tokio::spawn(connection);
        Ok(Self {
            host: HeaderValue::from_str(host).with_context(broken)?,
            name,
            authorization,
            sender,
        })
    }

    /// Sends a request and waits for the headers of the response.
    pub async fn send(
        &mut self,
        request: http::request::Builder,
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let mut request: Request<Full<Bytes>> = request.body(Full::new(body))?;
        let headers = request.headers_mut();
        headers.insert(HOST, self.host.clone());
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let response = self.sender.send_request(request).await;
        response.with_context(|| format!("the node behind {} broke off", self.name))
    }

    /// Asks for something that the node has at hand, as JSON. An error answer is an error.
    pub async fn ask(&mut self, method: Method, path: &str) -> anyhow::Result<Bytes> {
        self.ask_with(method, path, Bytes::new()).await
    }

    /// Asks the node to do something, such as `reload`, which is what only its operator may.
    pub async fn operate(&mut self, what: &str, question: Bytes) -> anyhow::Result<Bytes> {
        let path = format!("/operate/{what}");
        self.ask_with(Method::POST, &path, question).await
    }

    async fn ask_with(&mut self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Bytes> {
        let request = Request::builder().method(method).uri(path);
        let answer = async {
            let response = self.send(request, body).await?;
            let status = response.status();
            anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        let (status, bytes) = tokio::time::timeout(ANSWER_TIMEOUT, answer)
            .await
            .with_context(|| format!("the node did not answer within {ANSWER_TIMEOUT:?}"))??;
        if status.is_success() {
            return Ok(bytes);
        }
        bail!(problem(status, &bytes)?.detail)
    }
}

/// Reads an answer that came as JSON.
pub fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> anyhow::Result<T> {
    serde_json::from_slice(bytes)
        .context("the node's answer is not as expected; is it of another version?")
}

/// Reads the body of an error answer.
pub fn problem(status: StatusCode, bytes: &[u8]) -> anyhow::Result<Problem> {
    serde_json::from_slice(bytes).map_err(|_| {
        let text = String::from_utf8_lossy(bytes);
        let line = style::clean(text.lines().next().unwrap_or_default());
        anyhow::anyhow!("the node answered {status}: {line}")
    })
}
