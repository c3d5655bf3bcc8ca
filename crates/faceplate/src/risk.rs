//! What there is to fear where other machines can connect.

use std::net::SocketAddr;

/// What may happen where other machines can connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Risk {
    /// No token is asked for.
    AnyoneCanCall,
    /// Tokens are asked for, but nothing is encrypted.
    AnyoneCanRead,
}

impl Risk {
    /// Both.
    pub const ALL: [Self; 2] = [Self::AnyoneCanCall, Self::AnyoneCanRead];

    /// What there is to fear from listening at an address.
    pub fn of(listen: SocketAddr, wants_tokens: bool, has_tls: bool) -> Option<Self> {
        if listen.ip().to_canonical().is_loopback() {
            None
        } else if !wants_tokens {
            Some(Self::AnyoneCanCall)
        } else if !has_tls {
            Some(Self::AnyoneCanRead)
        } else {
            None
        }
    }

    /// How it is said yes to.
    pub fn words(self) -> &'static str {
        match self {
            Self::AnyoneCanCall => "anyone who reaches this port can call",
            Self::AnyoneCanRead => "anyone on the way can read calls and tokens",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_beyond_loopback_there_is_a_risk() {
        for fine in [
            "127.0.0.1:7480",
            "127.8.9.10:0",
            "[::1]:7480",
            "[::ffff:127.0.0.1]:1",
        ] {
            let address = fine.parse().expect("an address");
            assert_eq!(Risk::of(address, false, false), None, "{fine}");
        }
        for open in [
            "0.0.0.0:7480",
            "[::]:7480",
            "10.0.0.1:7480",
            "[::ffff:10.0.0.1]:1",
        ] {
            let risk = |tokens, tls| Risk::of(open.parse().expect("an address"), tokens, tls);
            assert_eq!(risk(false, false), Some(Risk::AnyoneCanCall), "{open}");
            assert_eq!(risk(false, true), Some(Risk::AnyoneCanCall), "{open}");
            assert_eq!(risk(true, false), Some(Risk::AnyoneCanRead), "{open}");
            assert_eq!(risk(true, true), None, "{open}");
        }
    }
}
