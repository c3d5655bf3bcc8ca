//! Terms from outside: random ones, hostile bytes, and those of a real Erlang.

mod codec;
mod erl;
mod hostile;
mod peer;
mod strategy;
mod target;
mod transcode;
