//! Masters in one process: over channels with scripted faults and a clock that jumps, and over a
//! real mesh in a simulated network.

mod cluster;
mod file;
mod hub;
#[path = "../common/record.rs"]
mod record;
mod scenario;
mod scripted;
mod seeds;
mod simulated;
