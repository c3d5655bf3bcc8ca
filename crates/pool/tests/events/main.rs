//! The pool core as lists of events: one file for an event or a theme, to be read as the
//! specification of how a call travels.

mod ahead;
mod apart;
mod batch;
mod call;
mod cancel;
mod deadline;
mod lobby;
mod lost;
mod nested;
mod offer;
mod refused;
mod reload;
mod routing;
mod shared;
mod support;
mod turn;
mod wants;
mod withdraw;
