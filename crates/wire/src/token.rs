//! What a new node is given to join a cluster: where it leads, whom to trust, and a secret.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::identity::check_cluster;

/// What each token begins with, so that it is known when it is found somewhere.
const PREFIX: &str = "katamari-";

/// A join token. Its text is `katamari-CLUSTER-FINGERPRINT-SECRET`, the last two in hexadecimal.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// The id of the cluster.
    pub cluster: String,
    /// The SHA-256 of the certificate of the cluster's authority.
    pub fingerprint: [u8; 32],
    /// Random. Who knows it may join.
    pub secret: [u8; 32],
}

/// Why a text is no join token. The text itself is not repeated: it may be nearly one.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum BadToken {
    /// It is something else.
    #[error("expected a join token, katamari-CLUSTER-FINGERPRINT-SECRET, got something else")]
    Form,
    /// The cluster's id is none.
    #[error("expected a cluster's id after `katamari-` in the join token; copy all of it")]
    Cluster,
    /// One of the two long parts is damaged.
    #[error(
        "expected 64 hexadecimal digits as the {part} of the join token, got {length} characters; copy all of it"
    )]
    Part {
        /// `fingerprint` or `secret`.
        part: &'static str,
        /// How many there were.
        length: usize,
    },
}

impl JoinToken {
    /// What the cluster keeps of the token: the SHA-256 of its secret. Since that is random, a slow
    /// hash would protect nothing more.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret).into()
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}-", self.cluster)?;
        write_hex(f, &self.fingerprint)?;
        f.write_str("-")?;
        write_hex(f, &self.secret)
    }
}

impl fmt::Debug for JoinToken {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

impl FromStr for JoinToken {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let rest = text.trim().strip_prefix(PREFIX).ok_or(BadToken::Form)?;
        // From the end: a cluster's id may have hyphens.
        let mut parts = rest.rsplitn(3, '-');
        let (Some(secret), Some(fingerprint), Some(cluster)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return Err(BadToken::Form);
        };
        check_cluster(cluster).map_err(|_| BadToken::Cluster)?;
        Ok(Self {
            cluster: cluster.to_owned(),
            fingerprint: read_hex("fingerprint", fingerprint)?,
            secret: read_hex("secret", secret)?,
        })
    }
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn read_hex(part: &'static str, text: &str) -> Result<[u8; 32], BadToken> {
    let bad = || BadToken::Part {
        part,
        length: text.chars().count(),
    };
    let digit = |byte: u8| char::from(byte).to_digit(16).ok_or_else(bad);
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() {
        return Err(bad());
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let value = digit(digits[0])? * 16 + digit(digits[1])?;
        *byte = u8::try_from(value).expect("two digits");
    }
    Ok(bytes)
}
