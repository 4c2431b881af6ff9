//! The certificates that the operator gave for a host, used as CAs for servers.
//!
//! The TLS library accepts any certificate as a trust anchor and reads only its name, its key and
//! its name constraints. So a server's own certificate, given in order to be trusted as it is,
//! could sign for any host. Therefore only a certificate that may sign others counts as a CA here
//! (`Facts::unfit_to_sign`). It may be an intermediate CA, as for Go's clients.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};

use super::certificate::{Facts, Signed};

/// The CAs that the operator gave for a host.
#[derive(Debug)]
pub(super) struct SiteAuthorities(Vec<SiteAuthority>);

#[derive(Debug)]
struct SiteAuthority {
    facts: Facts,
    verifier: Arc<WebPkiServerVerifier>,
}

impl SiteAuthorities {
    pub(super) fn new(given: &[CertificateDer<'static>], provider: &Arc<CryptoProvider>) -> Self {
        let authority = |certificate: &CertificateDer<'static>| {
            let facts = Facts::read(certificate)?;
            let mut store = RootCertStore::empty();
            store.add(certificate.clone()).ok()?;
            let provider = Arc::clone(provider);
            let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider);
            let verifier = builder.build().ok()?;
            Some(SiteAuthority { facts, verifier })
        };
        Self(given.iter().filter_map(authority).collect())
    }

    /// Checks a server's certificate against these CAs.
    ///
    /// # Errors
    ///
    /// The reason for refusing it; `None` if none of these CAs has signed it.
    pub(super) fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), Option<rustls::Error>> {
        let mut refused = None;
        for authority in &self.0 {
            if authority.facts.unfit_to_sign(now.as_secs()).is_some() {
                continue;
            }
            // The library does not check the path length of a trust anchor, so it is enforced
            // here by the number of intermediates. A server sends them in the order in which they
            // sign.
            let most = authority.facts.path_length.unwrap_or(usize::MAX);
            let between = intermediates.get(..most).unwrap_or(intermediates);
            let verifier = &authority.verifier;
            match verifier.verify_server_cert(end_entity, between, name, &[], now) {
                Ok(_) => return Ok(()),
                Err(error) => {
                    let unknown = CertificateError::UnknownIssuer.into();
                    refused = refused.or(Some(error).filter(|error| *error != unknown));
                }
            }
        }
        Err(refused)
    }

    /// Returns the reason why the certificate given for an issuer must not sign others at a time.
    pub(super) fn unfit(&self, issuer_der: &[u8], now: UnixTime) -> Option<String> {
        let of_issuer = |authority: &&SiteAuthority| authority.facts.subject_der == issuer_der;
        let mut found = self.0.iter().filter(of_issuer);
        found.find_map(|authority| authority.facts.unfit_to_sign(now.as_secs()))
    }
}

/// True if one of the CAs directly signed a server's certificate that is itself marked as a CA
/// (CA:TRUE). `openssl req -x509 -CA` makes such certificates, and Go's and OpenSSL's clients
/// accept them; the TLS library refuses them before it checks a signature. The caller checks
/// names, dates and purpose of the server's certificate. A CA with name constraints does not
/// count, because its constraints are not evaluated here.
pub(super) fn is_signed_directly_by_ca<'a>(
    mut authorities: impl Iterator<Item = &'a CertificateDer<'static>>,
    end_entity: &CertificateDer<'_>,
    now: UnixTime,
    provider: &CryptoProvider,
) -> bool {
    let Some(facts) = Facts::read(end_entity).filter(Facts::is_marked_ca) else {
        return false;
    };
    let Some(signed) = Signed::read(end_entity) else {
        return false;
    };
    authorities.any(|authority| {
        let may_sign = Facts::read(authority).is_some_and(|issuer| {
            issuer.subject_der == facts.issuer_der
                && issuer.unfit_to_sign(now.as_secs()).is_none()
                && !issuer.has_name_constraints
        });
        may_sign && has_signed(authority, &signed, provider)
    })
}

fn has_signed(
    authority: &CertificateDer<'_>,
    signed: &Signed<'_>,
    provider: &CryptoProvider,
) -> bool {
    let Ok(authority) = webpki::EndEntityCert::try_from(authority) else {
        return false;
    };
    let known = provider.signature_verification_algorithms.all.iter();
    known
        .filter(|known| known.signature_alg_id().as_ref() == signed.algorithm)
        .any(|known| {
            let (content, signature) = (signed.content, signed.signature);
            authority
                .verify_signature(*known, content, signature)
                .is_ok()
        })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType,
        ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, date_time_ymd,
    };

    use super::*;

    type Issuer = CertifiedIssuer<'static, KeyPair>;

    /// A time in 2026, in seconds since 1970.
    const NOW: u64 = 1_780_000_000;

    fn key() -> KeyPair {
        KeyPair::generate().unwrap()
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    fn leaf(issuer: &Issuer) -> CertificateDer<'static> {
        let mut params = params("server");
        params.is_ca = IsCa::ExplicitNoCa;
        params.signed_by(&key(), issuer).unwrap().der().clone()
    }

    fn verify(
        given: &Issuer,
        end_entity: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
    ) -> Result<(), Option<rustls::Error>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let authorities = SiteAuthorities::new(&[given.der().clone()], &provider);
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW));
        authorities.verify(end_entity, between, &name, now)
    }

    #[test]
    fn a_certificate_that_may_not_sign_is_no_authority() {
        type Change = fn(&mut CertificateParams);
        let changes: [(Change, Option<&str>); 11] = [
            (|_| {}, None),
            (
                |params| params.key_usages = vec![KeyUsagePurpose::KeyCertSign],
                None,
            ),
            (
                |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
                None,
            ),
            (
                |params| params.is_ca = IsCa::ExplicitNoCa,
                Some("CA:TRUE is missing"),
            ),
            (
                |params| params.is_ca = IsCa::NoCa,
                Some("CA:TRUE is missing"),
            ),
            (
                |params| params.key_usages = vec![KeyUsagePurpose::DigitalSignature],
                Some("keyCertSign"),
            ),
            (
                |params| params.key_usages = vec![KeyUsagePurpose::CrlSign],
                Some("keyCertSign"),
            ),
            (
                |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth],
                Some("extended key usage"),
            ),
            (
                |params| params.not_after = date_time_ymd(2021, 3, 4),
                Some("expired on 2021-03-04"),
            ),
            (
                |params| params.not_before = date_time_ymd(2130, 1, 2),
                Some("not valid before 2130-01-02"),
            ),
            (
                |params| {
                    let mut unknown = CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0]);
                    unknown.set_criticality(true);
                    params.custom_extensions = vec![unknown];
                },
                // The library refuses it as a trust anchor.
                Some(""),
            ),
        ];
        for (index, (change, refused)) in changes.into_iter().enumerate() {
            let mut given = params("given");
            change(&mut given);
            let issuer = Issuer::self_signed(given, key()).unwrap();
            let verified = verify(&issuer, &leaf(&issuer), &[]);
            assert_eq!(verified.is_ok(), refused.is_none(), "{index}: {verified:?}");
            let facts = Facts::read(issuer.der()).unwrap();
            let reason = facts.unfit_to_sign(NOW);
            assert_eq!(reason.is_none(), refused.is_none(), "{index}: {reason:?}");
            let (reason, words) = (reason.unwrap_or_default(), refused.unwrap_or_default());
            assert!(reason.contains(words), "{index}: {reason}");
        }
    }

    #[test]
    fn no_more_authorities_stand_between_than_the_given_one_allows() {
        for (most, allowed) in [(0, [true, false, false]), (1, [true, true, false])] {
            let mut given = params("given");
            given.is_ca = IsCa::Ca(BasicConstraints::Constrained(most));
            let root = Issuer::self_signed(given, key()).unwrap();
            let first = Issuer::signed_by(params("first"), key(), &root).unwrap();
            let second = Issuer::signed_by(params("second"), key(), &first).unwrap();
            let between = [second.der().clone(), first.der().clone()];
            for (depth, issuer) in [&root, &first, &second].into_iter().enumerate() {
                let sent = &between[2 - depth..];
                let verified = verify(&root, &leaf(issuer), sent);
                assert_eq!(verified.is_ok(), allowed[depth], "{most} {depth}");
            }
        }
    }
}
