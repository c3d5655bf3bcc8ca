//! `GET /openapi.json`: what the caller may call now, made anew from the live pools.

use super::body::Body;
use super::problem::Problem;
use super::router::json;
use crate::contract;
use crate::desk::Desk;
use crate::guard::Principal;
use http::{Response, StatusCode};

/// Answers with the document. Kinds that a token is not for are left out.
pub(super) async fn show(desk: &Desk, principal: &Principal) -> Result<Response<Body>, Problem> {
    let node = &desk.node;
    let mut interfaces = node.catalogue.now().await?.interfaces.clone();
    interfaces.retain(|interface| principal.knows(Some(&interface.kind)));
    let document = contract::openapi::document(&interfaces, &node.name, desk.is_closed());
    json(StatusCode::OK, &document)
}
