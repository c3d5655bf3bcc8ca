//! `POST /rpc`.

use super::answer;
use crate::desk::Desk;
use crate::guard::Principal;
use crate::http::body::{self, Body};
use crate::http::call::APPLICATION_JSON;
use crate::http::incoming::Incoming;
use crate::http::problem::Problem;
use crate::receipt::Receipt;
use crate::wishes::Wishes;
use dispatch::Code;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode, request::Parts};

/// Answers one message.
pub(crate) async fn serve(
    desk: &Desk,
    principal: &Principal,
    parts: &Parts,
    incoming: Incoming,
) -> Result<Response<Body>, Problem> {
    let wishes = Wishes::of(&parts.headers)?;
    if wishes.cast {
        let message = "katamari-cast: expected a notification instead, a request without id";
        return Err(Problem::new(Code::BadRequest, message));
    }
    let body = body::read(incoming, desk).await?;
    let (answer, receipt) = answer(desk, principal, &wishes, &body).await;
    Ok(respond(answer, receipt))
}

fn respond(answer: Option<Vec<u8>>, receipt: Option<Receipt>) -> Response<Body> {
    let mut response = match answer {
        Some(answer) => {
            let mut response = Response::new(Body::whole(answer));
            response
                .headers_mut()
                .insert(CONTENT_TYPE, APPLICATION_JSON);
            response
        }
        None => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        }
    };
    if let Some(receipt) = receipt {
        receipt.write(response.headers_mut());
    }
    response
}
