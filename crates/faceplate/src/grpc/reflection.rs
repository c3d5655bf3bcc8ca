//! `grpc.reflection.v1` and `v1alpha`, which differ in their names alone: clients ask what there is,
//! and need no generated code.

use super::body::Frames;
use super::descriptor::structs;
use super::frames::{Messages, wrap};
use super::health;
use super::methods::{self, File, Services};
use super::status::Status;
use crate::desk::Desk;
use crate::errors::{grpc_number, stopping};
use crate::guard::Principal;
use crate::server::Closing;
use bytes::Bytes;
use dispatch::{CallError, Code};
use futures_util::stream::{StreamExt, unfold};
use hyper::body::Body;
use prost::{Message, Oneof};
use std::fmt::Display;
use std::sync::{Arc, LazyLock};

/// Bytes of a question, which is a name.
pub(super) const QUESTION_MAX: usize = 16 * 1024;

/// The files that are there whatever workers live.
static OWN: LazyLock<[File; 2]> =
    LazyLock::new(|| [File::new(&health::file()), File::new(&structs())]);

#[derive(Clone, PartialEq, Message)]
struct Question {
    #[prost(string, tag = "1")]
    host: String,
    #[prost(oneof = "Ask", tags = "3, 4, 5, 6, 7")]
    ask: Option<Ask>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Ask {
    #[prost(string, tag = "3")]
    FileByFilename(String),
    #[prost(string, tag = "4")]
    FileContainingSymbol(String),
    /// There are no extensions here.
    #[prost(bytes = "vec", tag = "5")]
    FileContainingExtension(Vec<u8>),
    #[prost(string, tag = "6")]
    AllExtensionNumbersOfType(String),
    #[prost(string, tag = "7")]
    ListServices(String),
}

#[derive(Clone, PartialEq, Message)]
struct Answer {
    #[prost(string, tag = "1")]
    valid_host: String,
    #[prost(message, optional, tag = "2")]
    original_request: Option<Question>,
    #[prost(oneof = "Told", tags = "4, 6, 7")]
    told: Option<Told>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Told {
    #[prost(message, tag = "4")]
    Files(Files),
    #[prost(message, tag = "6")]
    Services(Names),
    #[prost(message, tag = "7")]
    Error(Failure),
}

#[derive(Clone, PartialEq, Message)]
struct Files {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file_descriptor_proto: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct Names {
    #[prost(message, repeated, tag = "1")]
    service: Vec<Name>,
}

#[derive(Clone, PartialEq, Message)]
struct Name {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Failure {
    #[prost(int32, tag = "1")]
    error_code: i32,
    #[prost(string, tag = "2")]
    error_message: String,
}

/// Answers questions as they come, until the client has asked its last or the node leaves.
pub(super) fn answer<B>(desk: Arc<Desk>, principal: Principal, closing: Closing, body: B) -> Frames
where
    B: Body<Data = Bytes, Error: Display> + Send + Unpin + 'static,
{
    let questions = Messages::new(body, desk.clone(), QUESTION_MAX);
    let answers = unfold(Some((questions, closing)), move |state| {
        let (desk, principal) = (desk.clone(), principal.clone());
        async move {
            let (mut questions, mut closing) = state?;
            let question = tokio::select! {
                question = questions.next() => question,
                _ = closing.begun() => Err(stopping().into()),
            };
            let frame = match question {
                Ok(None) => return None,
                Ok(Some(question)) => one(&desk, &principal, question).await,
                Err(status) => Err(status),
            };
            let state = frame.is_ok().then_some((questions, closing));
            Some((frame, state))
        }
    });
    answers.boxed()
}

async fn one(desk: &Desk, principal: &Principal, question: Bytes) -> Result<Bytes, Status> {
    let question = Question::decode(question).map_err(|error| {
        let message = format!("expected a question of reflection: {error}");
        CallError::new(Code::BadRequest, message)
    })?;
    principal.look(&desk.node.guard)?;
    let services = methods::services(&desk.node).await?;
    let answer = Answer {
        valid_host: question.host.clone(),
        told: question
            .ask
            .as_ref()
            .map(|ask| tell(&services, principal, ask)),
        original_request: Some(question),
    };
    wrap(&answer.encode_to_vec())
}

fn tell(services: &Services, principal: &Principal, ask: &Ask) -> Told {
    let known = services.all.iter();
    let known = known.filter(|service| principal.knows(Some(&service.kind)));
    let mut files = known.clone().map(|service| &service.file).chain(&*OWN);
    let (found, asked) = match ask {
        Ask::ListServices(_) => {
            let names = known.map(|service| service.name.as_str());
            let name = |name: &str| Name {
                name: name.to_owned(),
            };
            let service = names.chain([health::SERVICE]).map(name).collect();
            return Told::Services(Names { service });
        }
        Ask::FileByFilename(name) => (files.find(|file| file.name == *name), name.as_str()),
        Ask::FileContainingSymbol(symbol) => (
            files.find(|file| file.symbols.contains(symbol)),
            symbol.as_str(),
        ),
        Ask::FileContainingExtension(_) => (None, "extensions"),
        Ask::AllExtensionNumbersOfType(name) => (None, name.as_str()),
    };
    match found {
        Some(file) => Told::Files(Files {
            file_descriptor_proto: vec![file.bytes.clone()],
        }),
        None => Told::Error(Failure {
            error_code: grpc_number(Code::NoPool).into(),
            error_message: format!("not found: {asked}"),
        }),
    }
}
