//! TLS 1.3 between nodes: both ends show certificates of the same authority.
//!
//! `security` uses [`Credentials`] for links; `join` uses [`joining`], for the one connection that
//! a process makes before it has an identity.

use std::fmt;
use std::sync::{Arc, Mutex};

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, UnixTime};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};

use crate::identity::{Identity, IdentityError, fingerprint};

/// The identity that links show and the authority that they trust. Cheap to clone: all clones
/// change together when the identity is renewed.
#[derive(Clone)]
pub struct Credentials(Arc<Mutex<Arc<Prepared>>>);

/// An identity, and what TLS makes of it.
pub(crate) struct Prepared {
    identity: Arc<Identity>,
    pub server: Arc<ServerConfig>,
    pub client: Arc<ClientConfig>,
}

impl Credentials {
    /// Those of `identity`, which trusts the authority that signed it.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Mismatch`] if TLS cannot use it.
    pub fn new(identity: Identity) -> Result<Self, IdentityError> {
        Ok(Self(Arc::new(Mutex::new(Arc::new(Prepared::new(
            identity,
        )?)))))
    }

    /// From now on new connections show `identity`; those there are stay.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Mismatch`] if TLS cannot use it; nothing changes then.
    pub fn replace(&self, identity: Identity) -> Result<(), IdentityError> {
        let prepared = Arc::new(Prepared::new(identity)?);
        *self.0.lock().expect("nothing panics while it holds this") = prepared;
        Ok(())
    }

    /// The identity of new connections.
    pub fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.prepared().identity)
    }

    pub(crate) fn prepared(&self) -> Arc<Prepared> {
        Arc::clone(&self.0.lock().expect("nothing panics while it holds this"))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials")
            .field(&self.identity())
            .finish()
    }
}

impl Prepared {
    fn new(identity: Identity) -> Result<Self, IdentityError> {
        let chain = identity.chain();
        let roots = Arc::new(roots_of(chain[1].clone()).map_err(IdentityError::mismatch)?);
        // A process without a certificate may come to join; `mesh` serves it nothing else.
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), provider())
            .allow_unauthenticated()
            .build()
            .map_err(IdentityError::mismatch)?;
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .and_then(|builder| {
                let builder = builder.with_client_cert_verifier(clients);
                builder.with_single_cert(chain.to_vec(), identity.key())
            })
            .map_err(IdentityError::mismatch)?;
        // A session that is resumed would outlive the certificate that it was begun with.
        server.send_tls13_tickets = 0;
        let mut client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .and_then(|builder| {
                let builder = builder.with_root_certificates(roots);
                builder.with_client_auth_cert(chain.to_vec(), identity.key())
            })
            .map_err(IdentityError::mismatch)?;
        client.resumption = Resumption::disabled();
        let (server, client) = (Arc::new(server), Arc::new(client));
        Ok(Self {
            identity: Arc::new(identity),
            server,
            client,
        })
    }
}

/// The configuration of a process that knows nothing of the cluster but its authority's
/// fingerprint.
pub(crate) fn joining(authority: [u8; 32]) -> ClientConfig {
    let verifier = Arc::new(OfAuthority {
        authority,
        provider: provider(),
    });
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("ring has suites of TLS 1.3");
    let mut config = builder
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

pub(crate) fn signature_algorithms() -> &'static [&'static dyn SignatureVerificationAlgorithm] {
    default_provider().signature_verification_algorithms.all
}

/// Trust in one authority alone.
pub(crate) fn roots_of(authority: CertificateDer<'static>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority)?;
    Ok(roots)
}

/// Accepts any node of the authority with this fingerprint, whose certificate a node shows beside
/// its own.
#[derive(Debug)]
struct OfAuthority {
    authority: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for OfAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let is_meant = |shown: &&CertificateDer<'_>| fingerprint(shown) == self.authority;
        let authority = intermediates.iter().find(is_meant);
        let authority = authority.ok_or(CertificateError::UnknownIssuer)?;
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &ParsedCertificate::try_from(end_entity)?,
            &roots_of(authority.clone().into_owned())?,
            &[],
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
