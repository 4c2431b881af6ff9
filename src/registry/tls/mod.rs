//! TLS settings for one host: the trusted certificates, and the client certificate to send.
//!
//! This module uses certificates and the TLS library. It must not depend on HTTP or on the
//! registry client: problems with a certificate are values that errors carry.
//!
//! The platform's verifier decides first, then the certificates that the operator gave for the
//! host, used as CAs (`site_authorities`). A server's certificate that both refuse is trusted in
//! two more cases. First, if it is, byte for byte, among those that the operator gave for this
//! host or that the system trusts: the usual self-signed certificate is marked as a CA (CA:TRUE),
//! which the verifiers do not accept from a server. Second, if it is marked as a CA and one of
//! those CAs signed it directly. In both cases names, dates and purpose are checked too, and the
//! handshake proves that the server has the key.

mod certificate;
mod problem;
mod site_authorities;

use std::error::Error as StdError;
use std::sync::Arc;
#[cfg(all(unix, not(target_vendor = "apple")))]
use std::sync::OnceLock;

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore,
    SignatureScheme,
};
use rustls_platform_verifier::Verifier;
use zeroize::Zeroizing;

use self::certificate::{Facts, certificates_in};
pub use self::problem::TlsProblem;
use self::site_authorities::SiteAuthorities;

/// A client certificate with its private key, as PEM.
pub type ClientPair = (Vec<u8>, Zeroizing<Vec<u8>>);

/// Checks that a file of CA certificates has one that the TLS library can parse.
///
/// # Errors
///
/// When no certificate in it can be parsed; the text is a clause about the file.
pub fn check_authorities(file: &[u8]) -> Result<(), String> {
    match usable(file).is_empty() {
        true => Err("it contains no certificate that can be parsed".to_owned()),
        false => Ok(()),
    }
}

/// Checks that a client certificate and its private key can be used.
///
/// # Errors
///
/// The reason why they cannot be used, as a clause.
pub fn check_client(certificate: &[u8], key: &[u8]) -> Result<(), String> {
    certified(certificate, key, &provider()).map(drop)
}

/// Returns the TLS settings for a host.
///
/// # Errors
///
/// When a client certificate cannot be used.
pub(super) fn config<'a>(
    authorities: impl Iterator<Item = &'a Vec<u8>>,
    clients: &[ClientPair],
) -> Result<ClientConfig, Box<dyn StdError + Send + Sync>> {
    let provider = provider();
    let given = authorities.flat_map(|file| usable(file)).collect();
    let verifier = Arc::new(SiteVerifier::new(given, &provider, trusted_by_the_system));
    let mut keys = Vec::with_capacity(clients.len());
    for (certificate, key) in clients {
        keys.push(Arc::new(certified(certificate, key, &provider)?));
    }
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    Ok(match keys.is_empty() {
        true => config.with_no_client_auth(),
        false => config.with_client_cert_resolver(Arc::new(Identities(keys))),
    })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Returns the certificates of a file that the TLS library can parse.
fn usable(file: &[u8]) -> Vec<CertificateDer<'static>> {
    let mut found = certificates_in(file);
    found.retain(|certificate| RootCertStore::empty().add(certificate.clone()).is_ok());
    found
}

fn certified(
    certificate: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let chain = certificates_in(certificate);
    if chain.is_empty() {
        return Err("it contains no certificate that can be parsed".to_owned());
    }
    // The parser's own message might quote the key, so it is dropped.
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| "its key is not an unencrypted private key in PEM".to_owned())?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => "its key belongs to another certificate".to_owned(),
        _ => "its key is of a kind that is not supported".to_owned(),
    })
}

/// The operator's client certificates for one host. Sends the first whose signature scheme the
/// server supports and whose issuer the server names. If there is none, it sends the first with a
/// supported scheme, since some servers name only a CA above the issuer.
#[derive(Debug)]
struct Identities(Vec<Arc<CertifiedKey>>);

impl ResolvesClientCert for Identities {
    fn resolve(
        &self,
        authorities: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(schemes).is_some();
        let is_named = |key: &&Arc<CertifiedKey>| {
            key.cert.iter().any(|certificate| {
                let facts = Facts::read(certificate);
                facts.is_some_and(|facts| authorities.contains(&facts.issuer_der.as_slice()))
            })
        };
        let mut usable = self.0.iter().filter(fits);
        let first = usable.clone().next();
        usable.find(is_named).or(first).cloned()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Returns the certificates in the system's store, which is read at the first call. On other
/// systems this list is empty, because the platform's verifier decides about a server's own
/// certificate.
#[cfg(all(unix, not(target_vendor = "apple")))]
fn trusted_by_the_system() -> &'static [CertificateDer<'static>] {
    static FOUND: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    FOUND.get_or_init(|| rustls_native_certs::load_native_certs().certs)
}

#[cfg(not(all(unix, not(target_vendor = "apple"))))]
fn trusted_by_the_system() -> &'static [CertificateDer<'static>] {
    &[]
}

#[derive(Debug)]
struct SiteVerifier {
    /// `None` if the system has no trusted certificates.
    platform: Option<Verifier>,
    authorities: SiteAuthorities,
    /// Certificates that the operator gave for the host.
    given: Vec<CertificateDer<'static>>,
    /// Returns the certificates that the system trusts.
    system: fn() -> &'static [CertificateDer<'static>],
    provider: Arc<CryptoProvider>,
}

impl SiteVerifier {
    fn new(
        given: Vec<CertificateDer<'static>>,
        provider: &Arc<CryptoProvider>,
        system: fn() -> &'static [CertificateDer<'static>],
    ) -> Self {
        Self {
            platform: Verifier::new(Arc::clone(provider)).ok(),
            authorities: SiteAuthorities::new(&given, provider),
            given,
            system,
            provider: Arc::clone(provider),
        }
    }

    /// True if the server's own certificate is one that the operator gave or the system trusts,
    /// or if one of those signed it directly as a CA.
    fn is_pinned_or_ca_signed(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
        let mut trusted = self.given.iter().chain((self.system)());
        let signers = trusted.clone();
        trusted.any(|known| known == certificate)
            || site_authorities::is_signed_directly_by_ca(signers, certificate, now, &self.provider)
    }

    /// Checks the dates, purpose and names of a certificate that is trusted itself, which the TLS
    /// library refused and therefore did not check.
    fn verify_dates_purpose_name(
        &self,
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let facts = Facts::read(certificate).ok_or(CertificateError::BadEncoding)?;
        if now.as_secs() < facts.not_before {
            return Err(CertificateError::NotValidYet.into());
        }
        if now.as_secs() > facts.not_after {
            return Err(CertificateError::Expired.into());
        }
        if !facts.is_for_servers {
            return Err(CertificateError::InvalidPurpose.into());
        }
        let parsed = ParsedCertificate::try_from(certificate)?;
        rustls::client::verify_server_name(&parsed, name)
    }
}

impl ServerCertVerifier for SiteVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let unknown = || CertificateError::UnknownIssuer.into();
        let verified = self.platform.as_ref().map_or_else(
            || Err(unknown()),
            |platform| {
                let ocsp = ocsp_response;
                platform.verify_server_cert(end_entity, intermediates, server_name, ocsp, now)
            },
        );
        let Err(mut error) = verified else {
            return verified;
        };
        let authorities = &self.authorities;
        match authorities.verify(end_entity, intermediates, server_name, now) {
            Ok(()) => return Ok(ServerCertVerified::assertion()),
            Err(Some(reason)) => error = reason,
            Err(None) => {}
        }
        if self.is_pinned_or_ca_signed(end_entity, now) {
            match self.verify_dates_purpose_name(end_entity, server_name, now) {
                Ok(()) => return Ok(ServerCertVerified::assertion()),
                Err(reason) => error = reason,
            }
        }
        let rustls::Error::InvalidCertificate(reason) = error else {
            return Err(error);
        };
        let facts = Facts::read(end_entity);
        let name = server_name.to_str();
        let issuer = facts.as_ref().map(|facts| facts.issuer_der.clone());
        let given = self.given.len();
        let problem = match TlsProblem::new(reason, facts, &name, now, given) {
            TlsProblem::UnknownIssuer { issuer: shown, .. } => {
                let unfit = issuer.and_then(|issuer| authorities.unfit(&issuer, now));
                match unfit {
                    Some(reason) => TlsProblem::UnfitAuthority {
                        issuer: shown,
                        reason,
                    },
                    None if given == 0 && self.platform.is_none() => {
                        TlsProblem::NoAuthorities { issuer: shown }
                    }
                    None => TlsProblem::UnknownIssuer {
                        issuer: shown,
                        given,
                    },
                }
            }
            problem => problem,
        };
        Err(CertificateError::Other(OtherError(Arc::new(problem))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = &self.provider.signature_verification_algorithms;
        known.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
