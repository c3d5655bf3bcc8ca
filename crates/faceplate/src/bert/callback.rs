//! Results of casts on their way to whom the client has named: a BERT-RPC cast to a service that
//! the configuration allows.

use super::request::options;
use super::{answer, berp};
use crate::exchange::{Answer, Reply};
use bytes::Bytes;
use dispatch::{CallError, Code};
use std::io;
use std::time::Duration;
use term::Term;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// For connecting, sending and the answer together: who is called back should be at hand.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of the answer to a callback: `{noreply}`, or an error with its backtrace.
const ANSWER_MAX: usize = 64 * 1024;

/// `{info, callback, [{service, Service}, {mfa, Module, Function, Arguments}]}`.
#[derive(Debug)]
pub(super) struct Callback {
    /// Where it goes, as the client has written it.
    pub service: String,
    module: Term,
    function: Term,
    /// Those before the result.
    arguments: Vec<Term>,
}

impl Callback {
    /// Reads the options of the directive.
    pub fn read(said: &Term) -> Result<Self, CallError> {
        let bad = || {
            let message = "callback: expected [{service, <<\"HOST:PORT\">>}, {mfa, Module, \
                           Function, Arguments}] in terms of BERT";
            CallError::new(Code::BadRequest, message)
        };
        let (mut service, mut target) = (None, None);
        for (name, values) in options(said) {
            match (name.as_str(), &values[..]) {
                ("service", [value]) => service = value.to_text(),
                ("mfa", [module, function, arguments]) => {
                    let is_named = module.to_text().is_some() && function.to_text().is_some();
                    let arguments = arguments.elements().filter(|_| is_named).ok_or_else(bad)?;
                    target = Some((module.clone(), function.clone(), arguments.to_vec()));
                }
                _ => {}
            }
        }
        let (Some(service), Some((module, function, arguments))) = (service, target) else {
            return Err(bad());
        };
        let callback = Self {
            service,
            module,
            function,
            arguments,
        };
        // What cannot be sent on is refused now, while somebody listens.
        answer::berp(&callback.cast(Term::atom("ok"))).map_err(|_| bad())?;
        Ok(callback)
    }

    fn cast(&self, result: Term) -> Term {
        let mut arguments = self.arguments.clone();
        arguments.push(result);
        Term::Tuple(vec![
            Term::atom("cast"),
            self.module.clone(),
            self.function.clone(),
            Term::List(arguments),
        ])
    }

    /// Sends the answer of a cast on; nothing, if it is an error: those of casts are nobody's.
    /// Streams are collected up to `bytes_max`.
    pub async fn deliver(self, reply: Reply, bytes_max: usize) {
        let service = self.service.clone();
        let result = match reply.result {
            Ok(Answer::Whole(payload)) => answer::term_of(&payload),
            Ok(Answer::Stream(pieces)) => answer::collect(pieces, bytes_max).await,
            Err(error) => Err(error),
        };
        let sent = match result.and_then(|result| answer::berp(&self.cast(result))) {
            Ok(bytes) => tokio::time::timeout(TIMEOUT, send(&service, &bytes)).await,
            Err(error) => {
                tracing::debug!(%service, %error, "a cast has no result to call back with");
                return;
            }
        };
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%service, %error, "a callback failed"),
            Err(_) => tracing::warn!(%service, "a callback was not taken within {TIMEOUT:?}"),
        }
    }
}

/// Sends a cast, and reads what is said to it.
async fn send(service: &str, bytes: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect(service).await?;
    stream.write_all(bytes).await?;
    let length = stream.read_u32().await? as usize;
    if length > ANSWER_MAX {
        let message = format!("expected an answer of at most {ANSWER_MAX} bytes, got {length}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer).await?;
    match refused(&answer.into()) {
        Some(why) => Err(io::Error::other(why)),
        None => Ok(()),
    }
}

/// Why a cast was not taken, as its answer says; none if it was.
fn refused(answer: &Bytes) -> Option<String> {
    let term = match berp::read(answer, ANSWER_MAX) {
        Ok(term) => term,
        Err(error) => return Some(error.to_string()),
    };
    let words = term.elements().unwrap_or_default();
    let first = words.first().and_then(Term::to_text);
    match (first.as_deref(), words) {
        (Some("noreply" | "reply"), _) => None,
        // `{error, {Type, Code, Class, Detail, Backtrace}}`; Ernie has a list inside.
        (Some("error"), [_, error]) => match error.elements() {
            Some([_, _, _, detail, ..]) => {
                Some(detail.to_text().unwrap_or_else(|| detail.describe()))
            }
            _ => Some(error.to_text().unwrap_or_else(|| error.describe())),
        },
        _ => Some(format!("expected {{noreply}}, got {}", term.describe())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use term::etf::{Tags, encode};

    fn answer(term: &Term) -> Option<String> {
        refused(&encode(term, Tags::Old).expect("old tags have it").into())
    }

    #[test]
    fn errors_of_services_are_understood_as_tuples_and_as_lists() {
        let noreply = Term::Tuple(vec![Term::atom("noreply")]);
        assert_eq!(answer(&noreply), None);
        let inner = vec![
            Term::atom("server"),
            Term::Integer(1),
            Term::text("BERTError"),
            Term::text("no such module"),
            Term::List(vec![]),
        ];
        for error in [Term::Tuple(inner.clone()), Term::List(inner)] {
            let told = answer(&Term::pair(Term::atom("error"), error));
            assert_eq!(told.as_deref(), Some("no such module"));
        }
        assert!(answer(&Term::atom("yes")).is_some());
        assert!(refused(&Bytes::from_static(b"HTTP")).is_some());
    }
}
