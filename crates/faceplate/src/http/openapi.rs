//! `GET /openapi.json`: what the caller may call now.

use super::body::Body;
use super::problem::Problem;
use super::router::json;
use crate::contract::openapi::{Paths, document};
use crate::desk::Desk;
use crate::guard::Principal;
use http::{Response, StatusCode};

/// Answers with the document. Kinds that a token is not for are left out.
pub(super) async fn show(desk: &Desk, principal: &Principal) -> Result<Response<Body>, Problem> {
    let node = &desk.node;
    let paths = node.catalogue.now().await?.form::<Paths>();
    let is_shown = |kind: &_| principal.knows(Some(kind));
    json(
        StatusCode::OK,
        &document(&paths, is_shown, &node.name, desk.is_closed()),
    )
}
