//! The binary `katamari`: [`cli`] reads the command line, [`config`] the configuration, [`up`]
//! assembles a node from the crates below, [`check`] tests workers.

mod check;
mod cli;
mod config;
mod log;
mod up;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
