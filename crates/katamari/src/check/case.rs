//! A case: one promise of the protocol, checked on a process of its own.

use super::launch::Bench;
use super::verdict::Verdict;
use std::future::Future;
use std::pin::Pin;

/// What a case does: it starts the worker, talks to it, and judges.
pub type Run = for<'a> fn(&'a Bench) -> Pin<Box<dyn Future<Output = Verdict> + 'a>>;

/// One promise.
pub struct Case {
    /// In lower case, for `--json` and for talking about it.
    pub name: &'static str,
    /// The promise in words.
    pub promise: &'static str,
    /// How it is checked.
    pub run: Run,
}

/// Makes a table of cases: `function => "promise"`; the name is the function's.
macro_rules! cases {
    ($($run:ident => $promise:literal),* $(,)?) => {
        &[$($crate::check::case::Case {
            name: stringify!($run),
            promise: $promise,
            run: |bench| Box::pin($run(bench)),
        }),*]
    };
}
pub(super) use cases;
