//! The exchange as lists of events, one file for an idea, to be read as the specification of how
//! dispatchers share slots; then whatever happens, in whatever order, with real cores as
//! dispatchers: `network` is the world of these, `properties` and `scale` what they promise.

mod ahead;
mod leave;
mod network;
mod promise;
mod properties;
mod release;
mod scale;
mod share;
mod support;
mod wants;
mod withdraw;
