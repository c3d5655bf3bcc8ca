//! `GET /openapi.json`: what the caller may call now, made anew from the live pools.

use super::body::Body;
use super::problem::Problem;
use super::router::json;
use crate::contract::{self, answering, interfaces};
use crate::desk::Desk;
use crate::guard::Principal;
use dispatch::{CallError, Code};
use http::{Response, StatusCode};

/// Answers with the document. Kinds that a token is not for are left out.
pub(super) async fn show(desk: &Desk, principal: &Principal) -> Result<Response<Body>, Problem> {
    let node = &desk.node;
    let status = node.observer.pools().await;
    let status = status.ok_or_else(|| CallError::new(Code::Stopping, "the node is stopping"))?;
    let mut interfaces = interfaces(answering(&status.pools));
    interfaces.retain(|interface| principal.knows(Some(&interface.kind)));
    let document = contract::openapi::document(&interfaces, &node.name, desk.is_closed());
    json(StatusCode::OK, &document)
}
