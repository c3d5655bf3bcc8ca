//! What passes between the loops of two nodes: [`message`] has the vocabulary, [`relay`] sends
//! streams on.

pub(crate) mod message;
pub(crate) mod relay;
