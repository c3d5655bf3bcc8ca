//! Who a node is, so that others can check it: a key, and a certificate that binds it to its id.
//!
//! `authority` signs, `tls` uses. A node makes its key itself; only the public half travels.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use pool::NodeId;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::record::{Record, RecordError, certificates, load, private_key, save, write};

/// How long the certificate of a node is good, unless its cluster says otherwise.
pub const VALIDITY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// The file of an identity in a node's folder.
const FILE: &str = "identity.pem";

/// Most bytes of a cluster's id: it is one label of a DNS name, which may have 63.
const CLUSTER_MAX: usize = 40;

/// Most bytes of a node's name in its certificate's record.
const NAME_MAX: usize = 256;

/// Why something is no identity, or no authority.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The id of the cluster cannot stand in a certificate.
    #[error(
        "expected 1 to {CLUSTER_MAX} letters a-z, digits or inner hyphens as a cluster's id, got {0:?}"
    )]
    Cluster(String),
    /// The name of the node cannot stand in its record.
    #[error("expected at most {NAME_MAX} printable bytes as a node's name, got {0:?}")]
    Name(String),
    /// A public key is not one of ECDSA on P-256.
    #[error(
        "expected a public key on P-256, uncompressed, in 65 bytes, got {0} bytes of something else"
    )]
    PublicKey(usize),
    /// Certificate, key and what they are said to be for do not belong together.
    #[error(
        "certificate, key and name do not belong together: {0}; take the file from a backup, or join again"
    )]
    Mismatch(String),
    /// What was written down cannot be read, or not written down.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Making a key or a certificate failed.
    #[error("cannot make a key or a certificate: {0}")]
    Crypto(String),
}

impl IdentityError {
    pub(crate) fn mismatch(error: impl fmt::Display) -> Self {
        Self::Mismatch(error.to_string())
    }

    pub(crate) fn crypto(error: impl fmt::Display) -> Self {
        Self::Crypto(error.to_string())
    }
}

/// The name in a node's certificate, such as `node-7.blue.katamari`.
pub fn certificate_name(node: NodeId, cluster: &str) -> String {
    format!("node-{}.{cluster}.katamari", node.0)
}

pub(crate) fn check_cluster(cluster: &str) -> Result<(), IdentityError> {
    let is_good = (1..=CLUSTER_MAX).contains(&cluster.len())
        && cluster
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !cluster.starts_with('-')
        && !cluster.ends_with('-');
    if is_good {
        Ok(())
    } else {
        Err(IdentityError::Cluster(cluster.to_owned()))
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), IdentityError> {
    let is_good = name.len() <= NAME_MAX && !name.chars().any(char::is_control);
    if is_good {
        Ok(())
    } else {
        Err(IdentityError::Name(name.to_owned()))
    }
}

/// Whether a certificate is for `node` of `cluster`; says nothing of who signed it.
pub(crate) fn check_certificate(
    certificate: &CertificateDer<'_>,
    node: NodeId,
    cluster: &str,
) -> Result<(), String> {
    let name = ServerName::try_from(certificate_name(node, cluster)).map_err(|e| e.to_string())?;
    let parsed = ParsedCertificate::try_from(certificate).map_err(|e| e.to_string())?;
    rustls::client::verify_server_name(&parsed, &name).map_err(|e| e.to_string())
}

/// A node's key, before there is a certificate for it.
pub struct NodeKey(KeyPair);

impl NodeKey {
    /// A new one, of the system's randomness.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Crypto`] if the system has no randomness to give.
    pub fn generate() -> Result<Self, IdentityError> {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
            .map(Self)
            .map_err(IdentityError::crypto)
    }

    /// The public half, for [`crate::Authority::sign`].
    pub fn public(&self) -> &[u8] {
        self.0.der_bytes()
    }

    pub(crate) fn into_pair(self) -> KeyPair {
        self.0
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeKey")
    }
}

/// What an authority gives for a public key. Not secret: it travels to the node as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Which node it is for.
    pub node: NodeId,
    /// Of which cluster.
    pub cluster: String,
    /// The node's name, for people.
    pub name: String,
    /// When it was signed, in seconds of Unix time.
    pub issued_at: u64,
    /// Until when it is good, in seconds of Unix time.
    pub expires_at: u64,
    /// The node's certificate and the authority's, in PEM.
    pub chain: String,
}

/// A node's key with its certificate.
pub struct Identity {
    certificate: Certificate,
    /// The node's and the authority's.
    chain: [CertificateDer<'static>; 2],
    key: PrivateKeyDer<'static>,
    key_pem: String,
}

impl Identity {
    /// Puts together what belongs together.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Mismatch`] if it does not: another key, another node, another cluster.
    pub fn new(key: &NodeKey, certificate: Certificate) -> Result<Self, IdentityError> {
        Self::checked(key.0.serialize_pem(), certificate)
    }

    fn checked(key_pem: String, certificate: Certificate) -> Result<Self, IdentityError> {
        check_cluster(&certificate.cluster)?;
        check_name(&certificate.name)?;
        let chain = certificates(&certificate.chain)?;
        let chain: [_; 2] = chain.try_into().map_err(|chain: Vec<_>| {
            IdentityError::Mismatch(format!("expected 2 certificates, got {}", chain.len()))
        })?;
        check_certificate(&chain[0], certificate.node, &certificate.cluster)
            .map_err(IdentityError::Mismatch)?;
        let key = private_key(&key_pem)?;
        // This compares the keys.
        CertifiedKey::from_der(chain.to_vec(), key.clone_key(), &default_provider())
            .map_err(IdentityError::mismatch)?;
        Ok(Self {
            certificate,
            chain,
            key,
            key_pem,
        })
    }

    /// Which node this is.
    pub fn node(&self) -> NodeId {
        self.certificate.node
    }

    /// Of which cluster.
    pub fn cluster(&self) -> &str {
        &self.certificate.cluster
    }

    /// The node's name when the certificate was signed.
    pub fn name(&self) -> &str {
        &self.certificate.name
    }

    /// Until when others accept it, in seconds of Unix time.
    pub fn expires_at(&self) -> u64 {
        self.certificate.expires_at
    }

    /// Whether it is time for a new one: two thirds of its time are over. `now` is in seconds of
    /// Unix time.
    pub fn is_renewal_due(&self, now: u64) -> bool {
        let Certificate {
            issued_at,
            expires_at,
            ..
        } = self.certificate;
        now >= issued_at + expires_at.saturating_sub(issued_at) / 3 * 2
    }

    /// The SHA-256 of the authority's certificate: what a join token names.
    pub fn fingerprint(&self) -> [u8; 32] {
        fingerprint(&self.chain[1])
    }

    /// Writes it to `identity.pem` in `folder`, for the owner alone.
    ///
    /// # Errors
    ///
    /// [`RecordError::File`].
    pub fn save(&self, folder: &Path) -> Result<(), IdentityError> {
        Ok(save(&folder.join(FILE), &self.to_pem())?)
    }

    /// Reads what [`Identity::save`] wrote.
    ///
    /// # Errors
    ///
    /// [`IdentityError`]; if there is no such file, a [`RecordError::File`] that says so.
    pub fn load(folder: &Path) -> Result<Self, IdentityError> {
        Self::from_pem(&load(&folder.join(FILE))?)
    }

    fn to_pem(&self) -> String {
        let Certificate {
            node,
            cluster,
            name,
            issued_at,
            expires_at,
            chain,
        } = &self.certificate;
        let fields: [(&str, &dyn fmt::Display); 5] = [
            ("node", &node.0),
            ("cluster", cluster),
            ("name", name),
            ("issued_at", issued_at),
            ("expires_at", expires_at),
        ];
        write(&fields, chain, &self.key_pem)
    }

    fn from_pem(text: &str) -> Result<Self, IdentityError> {
        let record = Record::read(text)?;
        let certificate = Certificate {
            node: NodeId(record.field("node")?),
            cluster: record.field("cluster")?,
            name: record.field("name")?,
            issued_at: record.field("issued_at")?,
            expires_at: record.field("expires_at")?,
            chain: record.chain.to_owned(),
        };
        Self::checked(record.key.to_owned(), certificate)
    }

    pub(crate) fn chain(&self) -> &[CertificateDer<'static>; 2] {
        &self.chain
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }
}

impl fmt::Debug for Identity {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity").field(&self.certificate).finish()
    }
}

/// The SHA-256 of a certificate.
pub(crate) fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    Sha256::digest(certificate).into()
}
