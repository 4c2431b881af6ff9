//! TLS of the server.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use super::{ServeError, TlsIdentity};

/// The protocols that are offered, the preferred one first.
pub(super) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Makes an acceptor of TLS connections from a certificate and its key.
pub(super) fn acceptor(identity: &TlsIdentity) -> Result<TlsAcceptor, ServeError> {
    let refused = |what| move |source| ServeError::Tls { what, source };
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&identity.certificates)
        .collect::<Result<_, _>>()
        .map_err(|error| refused("certificate")(error.into()))?;
    if certificates.is_empty() {
        return Err(refused("certificate")("it holds no PEM certificate".into()));
    }
    let key = PrivateKeyDer::from_pem_slice(&identity.key)
        .map_err(|error| refused("key")(error.into()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refused("versions")(error.into()))?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|error| refused("certificate and key")(error.into()))?;
    config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
