//! How Katamari and the servers to compare with are started.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Protocol;
use super::crowd::Crowd;
use super::dialog::COOKIE;
use super::erl;
use crate::peers::{Places, free_address};
use crate::server::{Address, Launch, Server};

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// An echo server.
    Peer,
    /// Katamari, with the Rust echo worker.
    Katamari,
}

/// A server that answers.
pub struct Running {
    /// Its processes.
    pub server: Server,
    /// Where it takes calls.
    pub address: SocketAddr,
    /// The epmd that knows it, if it is one for Erlang.
    pub epmd: Option<SocketAddr>,
}

impl Side {
    /// Starts a server and waits until it answers.
    pub fn start(self, protocol: Protocol, places: &Places) -> Result<Running> {
        let folder = tempfile::Builder::new()
            .prefix("katamari-bench-")
            .tempdir()?;
        let ready_file = folder.path().join("ready");
        let epmd = match protocol {
            Protocol::Erlang => Some(free_address()?),
            _ => None,
        };
        let mut commands: Vec<Command> = epmd.into_iter().map(erl::epmd).collect();
        let (mut command, address) = match self {
            Self::Katamari => {
                let file = match protocol {
                    Protocol::Erlang => "faceplate-erlang",
                    _ => "faceplates",
                };
                let mut command = places.katamari_up(file, &ready_file)?;
                let echo = places.echo_worker();
                ensure!(
                    echo.exists(),
                    "{} is missing; run cargo build --release -p katamari-worker --example echo",
                    echo.display()
                );
                command
                    .env("BENCH_ECHO", echo)
                    .env("BENCH_COOKIE", COOKIE)
                    .env("BENCH_FOLDER", folder.path());
                (command, Address::InFile(ready_file))
            }
            Self::Peer if protocol == Protocol::Erlang => {
                let command = erl::echo_node(places);
                // Found through epmd, as the other side is.
                (command, Address::Fixed(epmd.context("an epmd")?))
            }
            Self::Peer => {
                let address = free_address()?;
                let own = std::env::current_exe().context("no path of our own")?;
                let mut command = Command::new(own);
                command.arg("echo-server").arg(name(protocol));
                command.arg("--listen").arg(address.to_string());
                (command, Address::Fixed(address))
            }
        };
        if let Some(epmd) = epmd {
            command.env("ERL_EPMD_PORT", epmd.port().to_string());
        }
        commands.push(command);
        let launch = Launch {
            commands,
            address,
            keep_alive: true,
            headers: Vec::new(),
            folder,
        };
        let by_erl = self == Self::Peer && protocol == Protocol::Erlang;
        let answers = |address| match by_erl {
            // The client waits for it.
            true => Ok(()),
            false => Crowd::new(protocol, address).and_then(|mut crowd| crowd.grow(1)),
        };
        let (server, address) = Server::begin(launch, protocol.faceplate(), answers)?;
        Ok(Running {
            server,
            address,
            epmd,
        })
    }
}

fn name(protocol: Protocol) -> String {
    use clap::ValueEnum;
    let value = protocol.to_possible_value().expect("none is skipped");
    value.get_name().to_owned()
}
