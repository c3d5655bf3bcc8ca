//! A method that is a function of a pool: from the request to the call, and from its answer to
//! messages.

use super::body::{self, Body};
use super::frames::{self, Messages};
use super::methods::Method;
use super::status::Status;
use super::{arguments, result};
use crate::desk::{Desk, Target};
use crate::errors::too_many_casts;
use crate::exchange::{Answer, Pieces, Prepared};
use crate::guard::Principal;
use crate::receipt::Receipt;
use crate::wishes::Wishes;
use bytes::Bytes;
use dispatch::{CallError, Code};
use futures_util::stream::{StreamExt, unfold};
use http::request::Parts;
use http::{HeaderMap, Response};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;
use term::Payload;

/// Digits of a timeout, as gRPC has it.
const TIMEOUT_DIGITS_MAX: usize = 8;

/// Makes the call and answers with what it gives.
pub(super) async fn serve<B>(
    desk: &Arc<Desk>,
    principal: &Principal,
    method: Arc<Method>,
    parts: &Parts,
    incoming: B,
) -> Result<Response<Body>, Status>
where
    B: hyper::body::Body<Data = Bytes, Error: Display> + Unpin,
{
    let mut wishes = Wishes::of(&parts.headers)?;
    if let Some(timeout) = timeout(&parts.headers)? {
        wishes.within(timeout);
    }
    let details = wishes.take_details(&method.kind)?;
    let class = desk.permit(principal, &details, &wishes)?;
    let message = Messages::new(incoming, desk.clone(), desk.limits.body_max);
    let (payload, shape) = arguments::read(&method, message.only().await?)?;
    let target = Target {
        details,
        function: &method.function.name,
        payload,
        shape,
    };
    let call = desk.prepare(principal, class, target, &wishes);
    if wishes.cast {
        return cast(desk, call);
    }
    let reply = desk.call(call).await;
    let receipt = reply.receipt;
    let answered = match reply.result {
        Ok(Answer::Whole(payload)) => piece(&method, &payload).map(body::message),
        Ok(Answer::Stream(pieces)) if method.function.stream => {
            Ok(streamed(method, pieces, receipt))
        }
        Ok(Answer::Stream(_)) => {
            let message = "the function was declared to answer whole, but answers in pieces";
            Err(CallError::new(Code::Protocol, message).into())
        }
        Err(error) => Err(error.into()),
    };
    let mut response = answered.map_err(|status: Status| status.of(receipt))?;
    receipt.write(response.headers_mut());
    Ok(response)
}

/// The time that the client gives the call: up to eight digits and a unit.
fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get("grpc-timeout") else {
        return Ok(None);
    };
    let read = |text: &str| {
        let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number || digits.len() > TIMEOUT_DIGITS_MAX {
            return None;
        }
        let number: u64 = digits.parse().ok()?;
        Some(match unit {
            "H" => Duration::from_secs(number * 3_600),
            "M" => Duration::from_secs(number * 60),
            "S" => Duration::from_secs(number),
            "m" => Duration::from_millis(number),
            "u" => Duration::from_micros(number),
            "n" => Duration::from_nanos(number),
            _ => return None,
        })
    };
    match value.to_str().ok().and_then(read) {
        Some(timeout) => Ok(Some(timeout)),
        None => {
            let message =
                format!("grpc-timeout: expected up to 8 digits and a unit, got {value:?}");
            Err(CallError::new(Code::BadRequest, message).into())
        }
    }
}

/// A call that goes on without its client, which is answered with an empty message at once.
fn cast(desk: &Desk, prepared: Prepared) -> Result<Response<Body>, Status> {
    let receipt = Receipt::of_cast(prepared.call.number);
    desk.cast(prepared).map_err(|_| too_many_casts())?;
    let mut response = body::message(frames::wrap(&[])?);
    receipt.write(response.headers_mut());
    Ok(response)
}

fn piece(method: &Method, payload: &Payload) -> Result<Bytes, Status> {
    frames::wrap(&result::write(method, payload)?)
}

/// A message for each piece. Pieces are taken as the client reads; what is dropped unread cancels
/// the call.
fn streamed(method: Arc<Method>, pieces: Pieces, receipt: Receipt) -> Response<Body> {
    let frames = unfold(Some(pieces), move |pieces| {
        let method = method.clone();
        async move {
            let mut pieces = pieces?;
            let frame = match pieces.next().await? {
                Ok(payload) => piece(&method, &payload),
                Err(error) => Err(error.into()),
            };
            Some(match frame {
                Ok(frame) => (Ok(frame), Some(pieces)),
                Err(status) => (Err(status.of(receipt)), None),
            })
        }
    });
    body::messages(frames.boxed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_digits_and_a_unit() {
        let read = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", text.parse().expect("visible ASCII"));
            timeout(&headers).ok().flatten()
        };
        assert_eq!(read("250m"), Some(Duration::from_millis(250)));
        assert_eq!(
            read("99999999H"),
            Some(Duration::from_secs(359_999_996_400))
        );
        for wrong in ["", "5", "S", "5s", "-5S", "123456789n", "1é"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
