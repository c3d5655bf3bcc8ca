//! BERT-RPC: terms behind their lengths.

use term::Term;
use term::etf::{Tags, encode};

use super::Measured;
use crate::faceplates::template::NUMBER;

/// A client.
pub fn new() -> Measured {
    let (atom, number) = (Term::atom, || Term::text(NUMBER));
    let arguments = Term::List(vec![number()]);
    let request = vec![atom("call"), atom("echo"), atom("echo"), arguments];
    let bytes = |term| encode(&term, Tags::Old).expect("atoms and binaries have old tags");
    Measured::new(
        &bytes(Term::Tuple(request)),
        &bytes(Term::pair(atom("reply"), number())),
    )
}
