//! `POST /call/KIND/FUNCTION`: arguments in, bare result out.

use super::body::{self, Body};
use super::given::{self, Given};
use super::incoming::Incoming;
use super::problem::Problem;
use super::stream;
use super::upload::{self, Reader};
use crate::arguments::of_json;
use crate::desk::{Desk, Target};
use crate::errors::too_many_casts;
use crate::exchange::{Answer, Prepared, Reply};
use crate::guard::Principal;
use crate::receipt::Receipt;
use crate::wishes::Wishes;
use bytes::Bytes;
use dispatch::{CallError, Code};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response, StatusCode, request::Parts};
use term::{JSON, Payload, Shape};

pub(crate) const APPLICATION_JSON: HeaderValue = HeaderValue::from_static(JSON);

/// Answers one call. `target` is the path behind `/call/`.
pub(super) async fn serve(
    desk: &Desk,
    principal: &Principal,
    parts: &Parts,
    target: &str,
    incoming: Incoming,
) -> Result<Response<Body>, Problem> {
    let mut wishes = Wishes::of(&parts.headers)?;
    let (kind, function) = split(target)?;
    let details = wishes.take_details(kind)?;
    let class = desk.permit(principal, &details, &wishes)?;
    let reader = Reader {
        details: &details,
        function,
        whole_max: 0,
        has_head: false,
        is_cast: wishes.cast,
    };
    let input = match given::is_arguments(&parts.headers) {
        true => Err(incoming),
        false => upload::read_by(reader, desk, &parts.headers, incoming).await?,
    };
    let (input, (payload, shape)) = match input {
        Ok(input) => {
            let mut given = Given::default();
            given.query(parts.uri.query().unwrap_or_default().as_bytes())?;
            let arguments = given.to(desk, kind, function, &Bytes::new()).await?;
            (Some(input), of_json(arguments)?)
        }
        Err(body) => {
            let bytes = body::read(body, desk).await?;
            (None, arguments(&parts.headers, bytes)?)
        }
    };
    let target = Target {
        details,
        function,
        payload,
        shape,
    };
    let mut call = desk.prepare(principal, class, target, &wishes);
    call.call.input = input;
    if wishes.cast {
        return cast(desk, call);
    }
    let reply = desk.call(call).await;
    respond(reply).await
}

fn split(target: &str) -> Result<(&str, &str), Problem> {
    match target.split_once('/') {
        Some((kind, function))
            if !kind.is_empty() && !function.is_empty() && !function.contains('/') =>
        {
            Ok((kind, function))
        }
        _ => Err(Problem::with_status(
            StatusCode::NOT_FOUND,
            Code::BadRequest,
            "expected /call/KIND/FUNCTION",
        )),
    }
}

/// The body as a payload, and which arguments it gives. Without a content type, as only the control
/// socket lets it through, it is JSON.
fn arguments(headers: &HeaderMap, bytes: Bytes) -> Result<(Payload, Shape), Problem> {
    let payload = match headers.get(CONTENT_TYPE) {
        None => Payload::Json(bytes),
        Some(value) if *value == JSON => Payload::Json(bytes),
        Some(value) => {
            let text = value.to_str().map_err(|_| {
                Problem::new(Code::BadRequest, "content-type: expected visible ASCII")
            })?;
            Payload::new(text, bytes)
        }
    };
    match payload {
        Payload::Json(bytes) => of_json(bytes).map_err(Problem::from),
        opaque => Ok((opaque, Shape::Opaque)),
    }
}

pub(super) fn cast(desk: &Desk, prepared: Prepared) -> Result<Response<Body>, Problem> {
    let receipt = Receipt::of_cast(prepared.call.number);
    desk.cast(prepared).map_err(|_| too_many_casts())?;
    let mut response = Response::new(Body::whole(format!("{{\"id\":\"{}\"}}", receipt.id())));
    *response.status_mut() = StatusCode::ACCEPTED;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, APPLICATION_JSON);
    receipt.write(response.headers_mut());
    Ok(response)
}

pub(super) async fn respond(reply: Reply) -> Result<Response<Body>, Problem> {
    let receipt = reply.receipt;
    let answered = match reply.result {
        Ok(Answer::Whole(payload)) => whole(payload, &receipt),
        Ok(Answer::Stream(pieces)) => stream::respond(pieces, receipt).await,
        Err(error) => Err(error),
    };
    Ok(answered.unwrap_or_else(|error| Problem::from(error).into_response(Some(&receipt))))
}

fn whole(payload: Payload, receipt: &Receipt) -> Result<Response<Body>, CallError> {
    let content_type = match &payload {
        Payload::Json(_) => APPLICATION_JSON,
        other => stream::content_type(other)?,
    };
    let bytes = match payload {
        Payload::Json(bytes) | Payload::Etf(bytes) | Payload::Bytes { bytes, .. } => bytes,
    };
    let mut response = Response::new(Body::whole(bytes));
    let headers = response.headers_mut();
    headers.reserve(4);
    headers.insert(CONTENT_TYPE, content_type);
    receipt.write(headers);
    Ok(response)
}
