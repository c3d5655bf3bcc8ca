//! What hard state may hold. Every master keeps all of it in memory and sends all of it to a master
//! that lags, so each kind of entry has an end.

use std::time::Duration;

/// Nodes that are not revoked: what one leader can hear beacons from.
pub const NODES_MAX: usize = 10_000;
/// Revoked nodes remembered by name and key; of more, the oldest are forgotten. Their ids stay used.
pub const REVOKED_MAX: usize = 10_000;
/// Masters: each more makes every change slower, and seven survive the loss of three.
pub const MASTERS_MAX: usize = 7;
/// Programs.
pub const PROGRAMS_MAX: usize = 1_000;
/// Versions kept of a program, for going back.
pub const VERSIONS_MAX: usize = 10;
/// Versions of a program that run at a time: the old and the new.
pub const SHARES_MAX: usize = 2;
/// The greatest weight of a share, so that sums stay far from overflow.
pub const WEIGHT_MAX: u32 = 1_000_000;
/// Bytes of the reason why a version was taken back: a line or two of a worker's last words.
pub const WHY_BYTES_MAX: usize = 1_000;
/// Workers of a program, spares included.
pub const WORKERS_MAX: u32 = 100_000;
/// Bytes of a version's spec.
pub const SPEC_BYTES_MAX: usize = 1 << 20;
/// Bytes of the specs of one change: it must fit into one frame of a link with room to spare.
pub const CHANGE_BYTES_MAX: usize = 4 << 20;
/// Bytes of all specs kept: a snapshot is made and sent in one piece.
pub const SPECS_BYTES_MAX: usize = 16 << 20;
/// Tokens, of each kind.
pub const TOKENS_MAX: usize = 1_000;
/// Kinds of one access token: all tokens together must leave room for the specs in one frame.
pub const KINDS_MAX: usize = 32;
/// Calls a second of an access token, and at once: more than a node can take.
pub const RATE_MAX: u32 = 1_000_000;
/// Labels of a node, and constraints of a program.
pub const LABELS_MAX: usize = 32;
/// Bytes of a name, a label, a value of a label.
pub const NAME_BYTES_MAX: usize = 200;
/// Bytes of `host:port`: a host name has at most 253.
pub const ADDRESS_BYTES_MAX: usize = 260;
/// Bytes of a command that a node must be able to run: a path on Linux.
pub const COMMAND_BYTES_MAX: usize = 4_096;
/// The longest timeout of a call: a day is a job, not a call.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
