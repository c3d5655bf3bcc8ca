//! This machine as a node of a cluster: its [`State`] folder, how it joins, and programs as the
//! cluster keeps them.

mod alone;
pub mod difference;
mod itself;
mod joining;
pub mod operations;
mod renewal;
mod spec;
mod start;
mod state;

pub use itself::Itself;
pub use joining::{Newcomer, enroll, masters_of};
pub use spec::{Decoded, can_run, check_level, decode, files_of, have_news, labels, ship};
pub use start::Membership;
pub use state::State;

use crate::config;

/// The level that a cluster needs before programs may ship files, or be of dialects that builds of
/// link protocol 1 do not know.
pub const NEWS_LEVEL: u16 = cluster::files::VERSION;

/// Where nodes listen for links unless told otherwise.
pub const LINK_PORT: u16 = 7400;

/// What people call this node: its host name unless the configuration says otherwise.
pub fn node_name(node: &config::Node) -> String {
    let host = || {
        rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned()
    };
    node.name.clone().unwrap_or_else(host)
}
