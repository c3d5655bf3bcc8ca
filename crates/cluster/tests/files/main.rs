//! Files of programs over real links, in one process: nodes fetch, serve, go away and lie.

#![allow(missing_docs, reason = "a test binary has no API")]

mod fetching;
mod store;
mod town;
