//! `POST /rpc`: JSON-RPC 2.0, with batches and notifications. `docs/protocol/jsonrpc.md` says what
//! Katamari adds to it.
//!
//! `request` reads, `answer` writes; values pass between them as the bytes they came in.

mod answer;
mod request;

use crate::body::{self, Body};
use crate::call::{APPLICATION_JSON, json_arguments};
use crate::guard::Principal;
use crate::node::see_through;
use crate::problem::Problem;
use crate::receipt::Receipt;
use crate::router::Router;
use crate::wishes::Wishes;
use answer::{Budget, Failure};
use bytes::Bytes;
use dispatch::{Call, CallError, Code};
use futures_util::future::join_all;
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode, request::Parts};
use hyper::body::Incoming;
use request::{Entry, Message, Request};

/// Answers one message.
pub(crate) async fn serve(
    router: &Router,
    principal: &Principal,
    parts: &Parts,
    incoming: Incoming,
) -> Result<Response<Body>, Problem> {
    let wishes = Wishes::of(&parts.headers)?;
    if wishes.cast {
        let message = "katamari-cast: expected a notification instead, a request without id";
        return Err(Problem::new(Code::BadRequest, message));
    }
    let body = body::read(incoming, router).await?;
    let budget = Budget::new(router.limits.body_max);
    let connection = Exchange {
        router,
        principal,
        wishes: &wishes,
        body: &body,
        budget: &budget,
    };
    let (answer, receipt) = match request::parse(&body) {
        Ok(Message::Single(entry)) => connection.single(&entry).await,
        Ok(Message::Batch(entries)) => (connection.batch(&entries).await, None),
        Err(failure) => (Some(answer::failure(None, &failure)), None),
    };
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

/// One HTTP request with what its entries share.
struct Exchange<'a> {
    router: &'a Router,
    principal: &'a Principal,
    wishes: &'a Wishes,
    body: &'a Bytes,
    budget: &'a Budget,
}

impl Exchange<'_> {
    /// Answers every entry, all at once, in the order of the batch.
    async fn batch(&self, entries: &[Entry<'_>]) -> Option<Vec<u8>> {
        let answers = join_all(entries.iter().map(|entry| self.single(entry))).await;
        let answers = answers
            .into_iter()
            .filter_map(|(answer, _)| answer)
            .collect::<Vec<_>>();
        (!answers.is_empty()).then(|| answer::array(&answers))
    }

    /// Answers one entry, unless it is a notification.
    async fn single(&self, entry: &Entry<'_>) -> (Option<Vec<u8>>, Option<Receipt>) {
        let request = match entry {
            Ok(request) => request,
            Err(invalid) => return (Some(answer::failure(invalid.id, &invalid.failure)), None),
        };
        let call = self.call(request);
        let Some(id) = request.id else {
            // What is wrong with a notification is not told: nobody listens.
            if let Ok(call) = call {
                return (None, self.notify(call).await);
            }
            return (None, None);
        };
        let reply = match call {
            Ok(call) => self.router.node.caller.call(call).await,
            Err(error) => {
                return (
                    Some(answer::failure(Some(id), &Failure::of(error, None))),
                    None,
                );
            }
        };
        let receipt = Receipt::of(&reply);
        let answer = match answer::result(reply, self.budget).await {
            Ok(result) => answer::success(id, &result),
            Err(error) => answer::failure(Some(id), &Failure::of(error, Some(&receipt))),
        };
        (Some(answer), Some(receipt))
    }

    /// A notification is a cast. If too many casts are in flight it is called like a request, so
    /// that it goes on while its client waits, and none is lost without a word.
    async fn notify(&self, call: Call) -> Option<Receipt> {
        let receipt = Receipt::of_cast(call.number);
        match self.router.node.cast(call) {
            Ok(()) => Some(receipt),
            Err(call) => {
                let reply = self.router.node.caller.call(*call).await;
                Some(see_through(reply).await)
            }
        }
    }

    fn call(&self, request: &Request<'_>) -> Result<Call, CallError> {
        let (details, function, arguments) =
            request.target(self.wishes.details.as_ref(), self.body)?;
        let node = &*self.router.node;
        let class = self
            .principal
            .call(&node.guard, &details, self.wishes.class)?;
        let (payload, shape) = json_arguments(arguments)?;
        let number = node.numbers.next();
        let mut call = Call::new(number, details, function, payload, shape);
        self.wishes.apply(&mut call, class);
        self.principal.trace(number);
        Ok(call)
    }
}
