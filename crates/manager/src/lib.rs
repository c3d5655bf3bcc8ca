//! Starting, interrogating, supervising, limiting and stopping worker processes.
//!
//! ```text
//! Manager ──> Supervisor (one a program) ──> Worker (one a process) ──> process, pipes, pumps
//!                 │ asks the pure Fleet           │ speaks a dialect
//!                 │ what to do                    │ tells the dispatcher in Notices
//! ```
//!
//! Start reading at [`Manager`], then `fleet` for the decisions and `worker` for the life of one
//! process. What workers speak is in [`dialect`].

pub mod describe;
pub mod dialect;
mod fleet;
mod log;
mod manager;
mod memory;
pub mod process;
mod program;
pub mod sentinel;
mod status;
mod supervisor;
mod worker;

pub use manager::{Changes, Manager};
pub use program::{Dialect, Limits, OnDisconnect, Process, Program, Timeouts, User, plain_name};
pub use sentinel::Sentinel;
pub use status::{ProgramState, ProgramStatus, WorkerState, WorkerStatus};
