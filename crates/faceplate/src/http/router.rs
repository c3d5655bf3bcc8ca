//! Which request goes where. The same routes serve TCP and the control socket; the socket has a few
//! more.

use super::body::{self, Body};
use super::incoming::Incoming;
use super::problem::Problem;
use super::routes::is_own;
use super::websocket::{self, Upgrade};
use super::{Door, call, door, openapi};
use crate::control::Operator;
use crate::desk::Desk;
use crate::guard::Principal;
use crate::{jsonrpc, metrics, status, thrift, why};
use bytes::Bytes;
use dispatch::{CallError, Code};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode, request::Parts};
use serde::Serialize;
use std::net::IpAddr;
use std::sync::Arc;

const INDEX: &str = "\
Katamari rolls any program into a reliable, distributed API.

POST /call/KIND/FUNCTION   one call: arguments in, result out
POST /rpc                  JSON-RPC 2.0
GET  /rpc                  the same over a WebSocket
POST /thrift               Thrift, one message
GET  /status               pools, programs and workers, JSON
GET  /status/nodes         the nodes of the cluster
GET  /status/KIND          the pools of a kind
GET  /status/KIND/MIN      the same; 500 while fewer than MIN workers live
GET  /metrics              for Prometheus
GET  /openapi.json         the functions that can be called, OpenAPI 3.1
GET  /healthz              200 while this process serves
GET  /readyz               200 when every pool has a live worker
";

/// What the requests of a connection need.
pub(crate) struct Router {
    pub desk: Arc<Desk>,
    pub door: Arc<Door>,
    /// Where they come from.
    pub peer: Option<IpAddr>,
    /// Where a request leaves the connection if it is to become another one.
    pub upgrade: Upgrade,
}

impl Router {
    /// Answers one request.
    pub async fn serve(&self, request: Request<hyper::body::Incoming>) -> Response<Body> {
        let _busy = self.desk.presence.busy();
        self.desk.presence.has_head();
        self.desk.greet();
        let (mut parts, body) = request.into_parts();
        let body = Incoming::new(body, &parts.headers, &self.desk.presence);
        match self.route(&mut parts, body).await {
            Ok(response) => response,
            Err(problem) => problem.into_response(None),
        }
    }

    async fn route(&self, parts: &mut Parts, body: Incoming) -> Result<Response<Body>, Problem> {
        if parts.uri.path() == "/rpc" && websocket::is_asked_for(&parts.headers) {
            if let Door::Network(network) = &*self.door {
                door::admit(parts, &network.hosts, &self.desk)?;
                if network.only_routes {
                    return Err(no_such_path("/rpc"));
                }
            }
            allow(parts, &[Method::GET], "GET, POST")?;
            return websocket::accept(parts, &self.upgrade);
        }
        let parts = &*parts;
        let path = parts.uri.path();
        let principal = self.admit(parts, path)?;
        let mut body = body;
        if let Door::Network(network) = &*self.door {
            let is_health = matches!(path, "/healthz" | "/readyz");
            let routes = &network.routes;
            let is_own = !network.only_routes && (routes.is_empty() || is_own(path));
            if !is_health && !is_own {
                let routed = routes.serve(&self.desk, &principal, self.peer, parts, body);
                match routed.await {
                    Ok(answered) => return answered,
                    Err(_) if network.only_routes => return Err(no_such_path(path)),
                    Err(unread) => body = unread,
                }
            }
            door::check_content_type(parts)?;
        }
        if let Some(target) = path.strip_prefix("/call/") {
            allow(parts, &[Method::POST], "POST")?;
            return call::serve(&self.desk, &principal, parts, target, body).await;
        }
        if let Some(what) = path.strip_prefix("/operate/")
            && let Door::Control { operator } = &*self.door
        {
            allow(parts, &[Method::POST], "POST")?;
            return self.operate(&**operator, parts, what, body).await;
        }
        if path == "/rpc" {
            allow(parts, &[Method::POST], "POST")?;
            return jsonrpc::http::serve(&self.desk, &principal, parts, body).await;
        }
        if path == "/thrift" {
            allow(parts, &[Method::POST], "POST")?;
            return thrift::http::serve(&self.desk, &principal, parts, body).await;
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
        let body = body::read(body, &self.desk).await?;
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
        let Door::Network(network) = &*self.door else {
            return Ok(Principal::default());
        };
        door::admit(parts, &network.hosts, &self.desk)?;
        if self.desk.is_closed() && !matches!(path, "/healthz" | "/readyz") {
            Ok(self.desk.admit_request(&parts.headers)?)
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
        let guard = &self.desk.node.guard;
        let get = || allow(parts, &[Method::GET, Method::HEAD], "GET, HEAD");
        match (path, &*self.door) {
            ("/", _) => get().map(|()| text("text/plain; charset=utf-8", INDEX)),
            ("/healthz", _) => get().map(|()| text("text/plain; charset=utf-8", "ok\n")),
            ("/readyz", _) => {
                get()?;
                status::ready(&self.desk.node).await
            }
            ("/status", _) => {
                get()?;
                principal.observe(guard)?;
                status::show(&self.desk.node).await
            }
            (path, _) if path.starts_with("/status/") => {
                get()?;
                principal.observe(guard)?;
                match &path["/status/".len()..] {
                    "nodes" => status::show_nodes(&self.desk.node).await,
                    target => status::show_kind(&self.desk.node, target).await,
                }
            }
            ("/metrics", _) => {
                get()?;
                principal.observe(guard)?;
                let exposition = metrics::scrape(&self.desk.node).await;
                Ok(text(metrics::CONTENT_TYPE, exposition))
            }
            ("/openapi.json", _) => {
                get()?;
                principal.look(guard)?;
                openapi::show(&self.desk, principal).await
            }
            (path, door) if path.starts_with("/why/") && tells_stories(door, principal) => {
                get()?;
                principal.observe(guard)?;
                why::show(&self.desk.node, &path["/why/".len()..]).await
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
