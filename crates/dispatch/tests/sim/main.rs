//! Whole clusters in turmoil's simulated network, on the real code of links, consensus, membership
//! and dispatch, with scripted workers and scripted faults. docs/testing.md says how to repeat one.
//!
//! `seeds` has the tests. A `scenario` is a list of faults made from a seed; `cluster` carries it
//! out on the processes of `host`, which join the parts as the binary does: `follow` does what the
//! cluster says, `fleet` and `worker` play a manager and its workers, `client` makes calls, `upload` their inputs. `ledger`
//! and `masters` note what all of them do, and whether it may be.

mod chance;
mod client;
mod cluster;
mod fleet;
mod follow;
mod health;
mod host;
mod ledger;
mod network;
#[path = "../../../cluster/tests/common/record.rs"]
mod record;
mod repeat;
mod scenario;
mod seeds;
mod upload;
mod worker;
