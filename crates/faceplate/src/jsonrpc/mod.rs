//! JSON-RPC 2.0, with batches and notifications, over HTTP (`http`) and over a connection of its own
//! (`tcp`). `docs/protocol/jsonrpc.md` says what Katamari adds to it.
//!
//! `request` reads, `answer` writes; values pass between them as the bytes they came in.

pub(crate) mod http;

mod answer;
mod built_in;
mod request;
mod session;
mod tcp;

pub(crate) use session::{CALLS_MAX, Session};
pub use tcp::JsonRpc;

use crate::arguments::of_json;
use crate::desk::{Desk, Target};
use crate::exchange::Prepared;
use crate::guard::Principal;
use crate::receipt::Receipt;
use crate::wishes::Wishes;
use answer::{Budget, Failure};
use built_in::BuiltIn;
use bytes::Bytes;
use dispatch::CallError;
use futures_util::future::join_all;
use request::{Entry, Message, Request};
use serde_json::value::RawValue;

/// Answers one message: a request, a notification or a batch. Nothing comes back if it has nothing
/// but notifications; a receipt comes with a single request.
async fn answer(
    desk: &Desk,
    principal: &Principal,
    wishes: &Wishes,
    body: &Bytes,
) -> (Option<Vec<u8>>, Option<Receipt>) {
    let exchange = Exchange {
        desk,
        principal,
        wishes,
        body,
        budget: &Budget::new(desk.limits.body_max),
    };
    match request::parse(body) {
        Ok(Message::Single(entry)) => exchange.single(&entry).await,
        Ok(Message::Batch(entries)) => (exchange.batch(&entries).await, None),
        Err(failure) => (Some(answer::failure(None, &failure)), None),
    }
}

/// One message with what its entries share.
struct Exchange<'a> {
    desk: &'a Desk,
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
        if let (Some(id), Some(built_in)) = (request.id, request.built_in()) {
            return (Some(self.built_in(id, built_in, request).await), None);
        }
        let call = self.call(request);
        let Some(id) = request.id else {
            // What is wrong with a notification is not told: nobody listens.
            if let Ok(call) = call {
                return (None, self.notify(call).await);
            }
            return (None, None);
        };
        let reply = match call {
            Ok(call) => self.desk.call(call).await,
            Err(error) => {
                return (
                    Some(answer::failure(Some(id), &Failure::of(error, None))),
                    None,
                );
            }
        };
        let receipt = reply.receipt;
        let answer = match answer::result(reply, self.budget).await {
            Ok(result) => answer::success(id, &result),
            Err(error) => answer::failure(Some(id), &Failure::of(error, Some(&receipt))),
        };
        (Some(answer), Some(receipt))
    }

    /// Answers a request that no worker is troubled with.
    async fn built_in(&self, id: &RawValue, asked: BuiltIn, request: &Request<'_>) -> Vec<u8> {
        let answered = match request.details(self.wishes.details.as_ref()) {
            Ok(details) => {
                let (desk, principal) = (self.desk, self.principal);
                asked.answer(desk, principal, details.as_ref()).await
            }
            Err(error) => Err(error),
        };
        match answered {
            Ok(result) => answer::success(id, &result),
            Err(error) => answer::failure(Some(id), &Failure::of(error, None)),
        }
    }

    /// A notification is a cast. If too many casts are in flight it is called like a request, so
    /// that it goes on while its client waits, and none is lost without a word.
    async fn notify(&self, prepared: Prepared) -> Option<Receipt> {
        let receipt = Receipt::of_cast(prepared.call.number);
        match self.desk.cast(prepared) {
            Ok(()) => Some(receipt),
            Err(prepared) => {
                let reply = self.desk.call(*prepared).await;
                Some(reply.see_through().await)
            }
        }
    }

    fn call(&self, request: &Request<'_>) -> Result<Prepared, CallError> {
        let own;
        let wishes = match request.wishes {
            None => self.wishes,
            Some(members) => {
                own = self.wishes.with(members.get())?;
                &own
            }
        };
        let (details, function, arguments) = request.target(wishes.details.as_ref(), self.body)?;
        let class = self.desk.permit(self.principal, &details, wishes)?;
        let (payload, shape) = of_json(arguments)?;
        let target = Target {
            details,
            function,
            payload,
            shape,
        };
        Ok(self.desk.prepare(self.principal, class, target, wishes))
    }
}
