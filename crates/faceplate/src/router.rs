//! Which request goes where. The same routes serve TCP and the control socket; the socket has a few
//! more.

use crate::body::{self, Bodies, Body};
use crate::call;
use crate::control::Operator;
use crate::door;
use crate::guard::{Principal, TokenPolicy};
use crate::jsonrpc;
use crate::limits::HttpLimits;
use crate::metrics;
use crate::node::Node;
use crate::problem::Problem;
use crate::status;
use crate::tls::Tls;
use crate::why;
use bytes::Bytes;
use dispatch::{CallError, Code};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode, request::Parts};
use hyper::body::Incoming;
use serde::Serialize;
use std::sync::Arc;

const INDEX: &str = "\
Katamari rolls any program into a reliable, distributed API.

POST /call/KIND/FUNCTION   one call: arguments in, result out
POST /rpc                  JSON-RPC 2.0
GET  /status               pools, programs and workers, JSON
GET  /metrics              for Prometheus
GET  /healthz              200 while this process serves
GET  /readyz               200 when every pool has a live worker
";

/// All that the connections of one listener share.
pub(crate) struct Router {
    pub node: Arc<Node>,
    pub limits: HttpLimits,
    pub door: Door,
    pub bodies: Bodies,
}

/// Where requests come from.
pub(crate) enum Door {
    /// From the network.
    Tcp(Entrance),
    /// From the control socket: whoever can open it may do everything.
    Control { operator: Arc<dyn Operator> },
}

/// A door to the network.
pub(crate) struct Entrance {
    /// The address listened on.
    pub name: String,
    /// Names, without ports, that it may be reached by.
    pub hosts: Vec<String>,
    pub tokens: TokenPolicy,
    pub tls: Option<Arc<Tls>>,
}

impl Router {
    /// What decrypts connections, if they are encrypted.
    pub fn tls(&self) -> Option<&Arc<Tls>> {
        match &self.door {
            Door::Tcp(entrance) => entrance.tls.as_ref(),
            Door::Control { .. } => None,
        }
    }

    /// Answers one request.
    pub async fn serve(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        match self.route(&parts, body).await {
            Ok(response) => response,
            Err(problem) => problem.into_response(None),
        }
    }

    async fn route(&self, parts: &Parts, body: Incoming) -> Result<Response<Body>, Problem> {
        let path = parts.uri.path();
        let principal = self.admit(parts, path)?;
        if let Some(target) = path.strip_prefix("/call/") {
            allow(parts, &[Method::POST], "POST")?;
            return call::serve(self, &principal, parts, target, body).await;
        }
        if let Some(what) = path.strip_prefix("/operate/")
            && let Door::Control { operator } = &self.door
        {
            allow(parts, &[Method::POST], "POST")?;
            return self.operate(&**operator, parts, what, body).await;
        }
        if path == "/rpc" {
            allow(parts, &[Method::POST], "POST")?;
            return jsonrpc::serve(self, &principal, parts, body).await;
        }
        self.route_others(&principal, parts, path).await
    }

    /// Does what the command line asks of a node.
    async fn operate(
        &self,
        operator: &dyn Operator,
        parts: &Parts,
        what: &str,
        body: Incoming,
    ) -> Result<Response<Body>, Problem> {
        let body = body::read(body, self).await?;
        let Some(operation) = operator.operate(what, body) else {
            return Err(no_such_path(parts.uri.path()));
        };
        match operation.await {
            Ok(answer) => Ok(text("application/json", answer)),
            Err(why) => Err(CallError::new(Code::BadRequest, why).into()),
        }
    }

    /// Finds out who makes a request. Load balancers may ask for health and readiness as anyone.
    fn admit(&self, parts: &Parts, path: &str) -> Result<Principal, Problem> {
        let Door::Tcp(entrance) = &self.door else {
            return Ok(Principal::default());
        };
        door::admit(parts, entrance)?;
        let guard = &self.node.guard;
        if guard.is_closed(entrance.tokens) && !matches!(path, "/healthz" | "/readyz") {
            Ok(guard.admit(&parts.headers)?)
        } else {
            Ok(Principal::default())
        }
    }

    async fn route_others(
        &self,
        principal: &Principal,
        parts: &Parts,
        path: &str,
    ) -> Result<Response<Body>, Problem> {
        let guard = &self.node.guard;
        let get = || allow(parts, &[Method::GET, Method::HEAD], "GET, HEAD");
        match (path, &self.door) {
            ("/", _) => get().map(|()| text("text/plain; charset=utf-8", INDEX)),
            ("/healthz", _) => get().map(|()| text("text/plain; charset=utf-8", "ok\n")),
            ("/readyz", _) => {
                get()?;
                status::ready(&self.node).await
            }
            ("/status", _) => {
                get()?;
                principal.observe(guard)?;
                status::show(&self.node).await
            }
            ("/metrics", _) => {
                get()?;
                principal.observe(guard)?;
                let exposition = metrics::scrape(&self.node).await;
                Ok(text(metrics::CONTENT_TYPE, exposition))
            }
            (path, door) if path.starts_with("/why/") && tells_stories(door, principal) => {
                get()?;
                principal.observe(guard)?;
                why::show(&self.node, &path["/why/".len()..]).await
            }
            _ => Err(no_such_path(path)),
        }
    }
}

fn no_such_path(path: &str) -> Problem {
    Problem::with_status(
        StatusCode::NOT_FOUND,
        Code::BadRequest,
        format!("there is no {path}; GET / lists what there is"),
    )
}

/// Whether the stories of calls are told: to the operator, and to holders of tokens that may observe.
/// Without tokens the network is not told whose calls were made.
fn tells_stories(door: &Door, principal: &Principal) -> bool {
    matches!(door, Door::Control { .. }) || principal.is_known()
}

fn allow(parts: &Parts, methods: &[Method], names: &'static str) -> Result<(), Problem> {
    if methods.contains(&parts.method) {
        Ok(())
    } else {
        Err(Problem::method(names))
    }
}

/// A response in a fixed content type.
fn text(content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Body::whole(body));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A value as a JSON response.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Result<Response<Body>, Problem> {
    let bytes = serde_json::to_vec(value).expect("plain structs with text keys are JSON");
    let mut response = text(term::JSON, bytes);
    *response.status_mut() = status;
    Ok(response)
}
