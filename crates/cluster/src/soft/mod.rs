//! Soft state: what a master knows of the nodes that live. Announced, never stored. Pure.
//!
//! `report` is what nodes say of themselves, [`Soft`] what a master makes of it. The shell in
//! `member` feeds it what comes over links and the time, and passes on what it gives out. A master
//! that starts knows nothing and is told everything: each node reports in full when its link comes
//! up, and after that, with each beacon, what changed.

mod report;
mod state;

pub use report::{
    Announcement, BEACON, Capacity, Delta, Load, News, OrderNumber, ProgramReport, Report, SILENCE,
};
pub use state::{Event, Node, Output, Soft, Why};
