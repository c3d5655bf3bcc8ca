//! The binary `katamari`: [`cli`] reads the command line, [`config`] the configuration, [`up`]
//! assembles a node from the crates below, [`membership`] makes it part of a cluster, [`files`] are
//! what programs ship, [`check`] tests workers.

mod check;
mod cli;
mod config;
mod files;
mod log;
mod membership;
mod up;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
