//! The authority of a cluster: it signs the certificates of its nodes.
//!
//! `katamari init` makes one; whoever may admit nodes keeps it.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use pool::NodeId;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SerialNumber, SignatureAlgorithm,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use sha2::{Digest, Sha256};

use crate::identity::{
    Certificate, IdentityError, NodeKey, certificate_name, check_cluster, check_name, fingerprint,
};
use crate::record::{Record, certificates, load, save, write};
use crate::tls::{roots_of, signature_algorithms};

/// The file of an authority in a node's folder.
const FILE: &str = "authority.pem";

/// How long an authority is good. Nothing replaces one, so it must outlive its cluster.
const AUTHORITY_VALIDITY: Duration = Duration::from_secs(50 * 365 * 24 * 60 * 60);

/// How long before it was signed a certificate is good: so far clocks may differ.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60 * 60);

/// An uncompressed point of P-256: 4, x, y.
const PUBLIC_KEY_BYTES: usize = 65;

/// A certificate authority for one cluster. Whoever has it can make nodes: keep it secret.
pub struct Authority {
    cluster: String,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
}

impl Authority {
    /// A new one for `cluster`, which is a label such as `blue-7`. `now` is in seconds of Unix time.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Cluster`] if the id cannot stand in certificates.
    pub fn new(cluster: &str, now: u64) -> Result<Self, IdentityError> {
        check_cluster(cluster)?;
        let key = NodeKey::generate()?.into_pair();
        let mut params = authority_params(cluster);
        set_validity(&mut params, now, AUTHORITY_VALIDITY);
        let certificate = params.self_signed(&key).map_err(IdentityError::crypto)?;
        Ok(Self {
            cluster: cluster.to_owned(),
            issuer: Issuer::new(params, key),
            certificate: certificate.der().clone(),
            certificate_pem: certificate.pem(),
        })
    }

    /// Of which cluster.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The SHA-256 of its certificate: what a join token names.
    pub fn fingerprint(&self) -> [u8; 32] {
        fingerprint(&self.certificate)
    }

    /// A certificate for `node`, whose key has the public half `public_key`, good until `validity`
    /// after `now`, which is in seconds of Unix time.
    ///
    /// # Errors
    ///
    /// [`IdentityError`], if name or key cannot be signed.
    pub fn sign(
        &self,
        node: NodeId,
        name: &str,
        public_key: &[u8],
        now: u64,
        validity: Duration,
    ) -> Result<Certificate, IdentityError> {
        check_name(name)?;
        if public_key.len() != PUBLIC_KEY_BYTES || public_key[0] != 4 {
            return Err(IdentityError::PublicKey(public_key.len()));
        }
        let dns_name = certificate_name(node, &self.cluster);
        let mut params =
            CertificateParams::new(vec![dns_name.clone()]).map_err(IdentityError::crypto)?;
        set_validity(&mut params, now, validity);
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, dns_name);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.use_authority_key_identifier_extension = true;
        // No two certificates have the same: a key is signed again only later.
        let serial = Sha256::new_with_prefix(public_key).chain_update(now.to_be_bytes());
        params.serial_number = Some(SerialNumber::from_slice(&serial.finalize()[..16]));
        let signed = params.signed_by(&PublicKey(public_key), &self.issuer);
        let signed = signed.map_err(IdentityError::crypto)?;
        Ok(Certificate {
            node,
            cluster: self.cluster.clone(),
            name: name.to_owned(),
            issued_at: now,
            expires_at: now + validity.as_secs(),
            chain: signed.pem() + &self.certificate_pem,
        })
    }

    /// All of it as text, key included.
    pub fn to_pem(&self) -> String {
        let key = self.issuer.key().serialize_pem();
        write(&[("cluster", &self.cluster)], &self.certificate_pem, &key)
    }

    /// What [`Authority::to_pem`] wrote.
    ///
    /// # Errors
    ///
    /// [`IdentityError`] if it is damaged, or its parts do not belong together.
    pub fn from_pem(text: &str) -> Result<Self, IdentityError> {
        let record = Record::read(text)?;
        let cluster: String = record.field("cluster")?;
        check_cluster(&cluster)?;
        let key = KeyPair::from_pem(record.key).map_err(IdentityError::crypto)?;
        let mut chain = certificates(record.chain)?;
        let certificate = match (chain.pop(), chain.pop()) {
            (Some(certificate), None) => certificate,
            _ => return Err(IdentityError::mismatch("expected 1 certificate")),
        };
        let issuer = Issuer::new(authority_params(&cluster), key);
        let certificate_pem = record.chain.to_owned();
        let authority = Self {
            cluster,
            issuer,
            certificate,
            certificate_pem,
        };
        authority.check()?;
        Ok(authority)
    }

    /// Writes it to `authority.pem` in `folder`, for the owner alone.
    ///
    /// # Errors
    ///
    /// [`crate::RecordError::File`].
    pub fn save(&self, folder: &Path) -> Result<(), IdentityError> {
        Ok(save(&folder.join(FILE), &self.to_pem())?)
    }

    /// Reads what [`Authority::save`] wrote.
    ///
    /// # Errors
    ///
    /// [`IdentityError`]; if there is no such file, a [`crate::RecordError::File`] that says so.
    pub fn load(folder: &Path) -> Result<Self, IdentityError> {
        Self::from_pem(&load(&folder.join(FILE))?)
    }

    /// Whether what the key signs is what the certificate vouches for: key, certificate and cluster
    /// may come from different files.
    fn check(&self) -> Result<(), IdentityError> {
        let now = AUTHORITY_PROBE_S;
        let key = NodeKey::generate()?;
        let probe = self.sign(NodeId(0), "", key.public(), now, CLOCKS_DIFFER)?;
        let probe = certificates(&probe.chain)?;
        let parsed = ParsedCertificate::try_from(&probe[0]).map_err(IdentityError::mismatch)?;
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &roots_of(self.certificate.clone()).map_err(IdentityError::mismatch)?,
            &[],
            UnixTime::since_unix_epoch(Duration::from_secs(now)),
            signature_algorithms(),
        )
        .map_err(IdentityError::mismatch)
    }
}

/// A time at which no clock stands, for a certificate that nobody else sees; that the authority's
/// own is not good then is not looked at: it is a trust anchor.
const AUTHORITY_PROBE_S: u64 = 1_000_000_000;

impl fmt::Debug for Authority {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

/// What follows from the cluster alone, so that an authority is read without parsing X.509.
fn authority_params(cluster: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, format!("katamari {cluster}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn set_validity(params: &mut CertificateParams, now: u64, validity: Duration) {
    let now = date_time_ymd(1970, 1, 1) + Duration::from_secs(now);
    params.not_before = now - CLOCKS_DIFFER;
    params.not_after = now + validity;
}

/// A key of which only the public half is here.
struct PublicKey<'a>(&'a [u8]);

impl PublicKeyData for PublicKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}
