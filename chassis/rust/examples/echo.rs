//! A worker that does nothing but answer, for measuring what calls cost: kind `echo`, function
//! `echo(value: any)`. Its argument is the number of slots, 8 without one.

use katamari_worker::{Call, Function, RawValue, Result, Worker};
use std::process::ExitCode;

#[derive(serde::Deserialize)]
struct Echo {
    value: Box<RawValue>,
}

fn echo(_: &Call, arguments: Echo) -> Result<Box<RawValue>> {
    Ok(arguments.value)
}

fn main() -> ExitCode {
    let slots = std::env::args().nth(1);
    let slots = slots.map_or(8, |slots| slots.parse().expect("a number of slots"));
    Worker::new("echo")
        .slots(slots)
        .function(
            Function::new("echo").doc("Returns the value.").idempotent(),
            echo,
        )
        .run()
}
