//! HTTP over the control socket of a node.

use anyhow::{Context, bail};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;

/// How long a node may take for what it has at hand. Calls have deadlines of their own.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to a node.
pub struct Client {
    path: PathBuf,
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
        let broken = || format!("the node behind {shown} does not speak HTTP");
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.with_context(broken)?;
        // Its errors are those of the requests as well.
        tokio::spawn(connection);
        Ok(Self {
            path: path.to_owned(),
            sender,
        })
    }

    /// Sends a request and waits for the headers of the response.
    pub async fn send(
        &mut self,
        request: http::request::Builder,
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let request: Request<Full<Bytes>> =
            request.header("host", "localhost").body(Full::new(body))?;
        let response = self.sender.send_request(request).await;
        response.with_context(|| format!("the node behind {} broke off", self.path.display()))
    }

    /// Asks for something that the node has at hand, as JSON. An error answer is an error.
    pub async fn ask(&mut self, method: Method, path: &str) -> anyhow::Result<Bytes> {
        let request = Request::builder().method(method).uri(path);
        let answer = async {
            let response = self.send(request, Bytes::new()).await?;
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
    parse(bytes).with_context(|| format!("the node answered {status}"))
}
