//! TLS settings for one host: what is trusted, and which certificate a client shows.
//!
//! This room knows certificates and the TLS library. It knows nothing of HTTP, of registries and of
//! who asks: problems with a certificate are values that errors carry.
//!
//! The platform's verifier decides first, then the certificates that the person gave for the host,
//! as authorities (`site_authorities`). What both refuse is trusted all the same when the server's
//! own certificate is, byte for byte, among those that the person gave for this host or that the
//! system trusts: the usual self-signed certificate says that it is an authority (CA:TRUE), which
//! the verifiers do not take from a server. So is a certificate that says this and that one of
//! those authorities signed. Names, dates and purpose are checked for both too, and the handshake
//! proves that the server has the key.

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

/// A certificate with its private key, as PEM.
pub type ClientPair = (Vec<u8>, Zeroizing<Vec<u8>>);

/// What a file with authorities cannot be used for.
///
/// # Errors
///
/// When no certificate can be read in it, in a clause about the file.
pub fn check_authorities(file: &[u8]) -> Result<(), String> {
    match usable(file).is_empty() {
        true => Err("it has no certificate that can be read".to_owned()),
        false => Ok(()),
    }
}

/// Whether a client's certificate and its private key can be used.
///
/// # Errors
///
/// What is wrong with them, in a clause.
pub fn check_client(certificate: &[u8], key: &[u8]) -> Result<(), String> {
    certified(certificate, key, &provider()).map(drop)
}

/// The settings for a host.
///
/// # Errors
///
/// When a client's certificate cannot be used.
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

/// The certificates of a file that the TLS library understands.
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
        return Err("it has no certificate that can be read".to_owned());
    }
    // The parser's own words might quote the key.
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| "its key is no private key in PEM without a passphrase".to_owned())?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => "its key belongs to another certificate".to_owned(),
        _ => "its key is of a kind that is not supported".to_owned(),
    })
}

/// The person's certificates for one host. The first is shown that the server can check and whose
/// issuer it names; without such a one the first that it can check, since some servers name only
/// the authority above the issuer.
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

/// The certificates in the system's store, read when they are first asked for. On other systems
/// the platform's verifier judges a server's own certificate itself.
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
    /// `None`: the system has no certificates that it trusts.
    platform: Option<Verifier>,
    authorities: SiteAuthorities,
    /// What the person gave for the host.
    given: Vec<CertificateDer<'static>>,
    /// What the system has.
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

    /// Whether the server's own certificate is one that the person or the system has, or is signed
    /// by one of them as authorities sign servers.
    fn is_trusted_itself(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
        let mut trusted = self.given.iter().chain((self.system)());
        let signers = trusted.clone();
        trusted.any(|known| known == certificate)
            || site_authorities::sign_themselves(signers, certificate, now, &self.provider)
    }

    /// Checks what the TLS library does not, of a certificate that is trusted itself.
    fn verify_fit(
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
        if self.is_trusted_itself(end_entity, now) {
            match self.verify_fit(end_entity, server_name, now) {
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
