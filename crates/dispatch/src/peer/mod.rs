//! What passes between the loops of two nodes: [`message`] has the vocabulary, [`relay`] sends
//! streams on, [`inputs`] those of requests.

pub(crate) mod inputs;
pub(crate) mod message;
pub(crate) mod relay;
