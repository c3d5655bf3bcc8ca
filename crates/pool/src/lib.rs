//! Which slot gets which call, and when: the pure core of Katamari.
//!
//! No I/O, no clock, no randomness: [`Core::handle`] takes an [`Event`] and the time and gives back
//! [`Command`]s. The `dispatch` crate runs it for real; tests and simulations run it as a list of
//! events. Start reading at [`Event`] and [`Command`], then [`Core`].
//!
//! ```text
//!   Call ──> route: which pool? ──> free slot? ── yes ──> Assign
//!              │ none                   │ no
//!              ├─> lobby, while         └─> queue ── Offer ──> Assign
//!              │   programs start            │
//!              └─> Reject                    └── deadline ──> Reject
//! ```

mod ahead;
mod apart;
mod api;
mod choose;
mod core;
mod demand;
mod details;
mod event;
mod examples;
pub mod exchange;
mod fit;
mod ids;
mod invariants;
mod queue;
mod route;
mod supply;
mod turn;
mod types;
mod view;
mod wants;

pub use apart::{APART, is_apart};
pub use api::{Description, Function, Misfit, Parameter};
pub use choose::stable_hash;
pub use core::{Core, Lobby};
pub use details::{Details, LABELS_MAX, NAME_MAX, VERSION_MAX};
pub use event::{
    Avoid, Call, Calls, Class, Command, Event, Introduction, Program, Rejection, StopReason,
    Withdrawal,
};
pub use examples::{Example, Json};
pub use fit::WrongType;
pub use ids::{CallId, Epoch, NodeId, PoolId, SlotId, Time, WorkerId};
pub use types::{BadType, Type};
pub use view::{PoolView, Waiting};
pub use wants::PoolWant;
