use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::ServerConfig;
use rustls::sign::SingleCertAndKey;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::model::Host;
use crate::registry::{CertificateStore, Client, ClientOptions, Error, HostCertificates};

/// A certificate with its key.
struct Made {
    der: CertificateDer<'static>,
    pem: String,
    key: KeyPair,
}

fn params() -> CertificateParams {
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, "127.0.0.1");
    params
}

/// Makes a certificate as `openssl req -x509` does: marked as a CA.
fn self_signed(mut params: CertificateParams) -> Made {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    plain(params)
}

fn plain(params: CertificateParams) -> Made {
    let key = KeyPair::generate().unwrap();
    let made = params.self_signed(&key).unwrap();
    Made {
        der: made.der().clone(),
        pem: made.pem(),
        key,
    }
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn authority(name: &str) -> Authority {
    let key = KeyPair::generate().unwrap();
    CertifiedIssuer::self_signed(authority_params(name), key).unwrap()
}

fn below(authority: &Authority, name: &str) -> Authority {
    let key = KeyPair::generate().unwrap();
    CertifiedIssuer::signed_by(authority_params(name), key, authority).unwrap()
}

fn leaf(authority: &Authority) -> Made {
    let key = KeyPair::generate().unwrap();
    let made = params().signed_by(&key, authority).unwrap();
    Made {
        der: made.der().clone(),
        pem: made.pem(),
        key,
    }
}

/// Starts a server with a certificate and any key that fits it. `answer` gets the head of a
/// request.
async fn serve(
    certificate: &CertificateDer<'static>,
    key: &KeyPair,
    answer: impl Fn(&str) -> String + Send + Sync + 'static,
) -> Host {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let key = provider().key_provider.load_private_key(key).unwrap();
    let key = CertifiedKey::new(vec![certificate.clone()], key);
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, answer) = (acceptor.clone(), Arc::clone(&answer));
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    return;
                };
                let mut head = vec![0; 4096];
                let read = stream.read(&mut head).await.unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..read]).into_owned();
                let _ = stream.write_all(answer(&head).as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    host.parse().unwrap()
}

fn reply(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n{body}"
    )
}

fn fine(_: &str) -> String {
    reply("200 OK", "", "{}")
}

/// Makes a client that trusts `given` certificates for one host.
fn client(host: &Host, given: &[&str]) -> Client {
    let mut certificates = CertificateStore::default();
    let own = HostCertificates {
        roots: given.iter().map(|pem| pem.as_bytes().to_vec()).collect(),
        ..HostCertificates::default()
    };
    certificates.hosts.insert(host.to_string(), own);
    Client::new(ClientOptions {
        certificates,
        ..ClientOptions::default()
    })
}

/// Pings a server that sends `certificate`, with a client that trusts `given`; returns the
/// problem and the hint.
async fn asked(certificate: &Made, given: &[&str]) -> Result<(), (TlsProblem, String)> {
    let host = serve(&certificate.der, &certificate.key, fine).await;
    match client(&host, given).ping(&host).await {
        Ok(_) => Ok(()),
        Err(error) => match &error {
            Error::Tls { source, .. } => {
                let problem = source.downcast_ref::<TlsProblem>().unwrap().clone();
                Err((problem, error.hint().unwrap()))
            }
            other => panic!("{other:?}"),
        },
    }
}

#[tokio::test]
async fn a_certificate_that_somebody_gave_for_the_host_is_trusted() {
    let own = self_signed(params());
    assert_eq!(asked(&own, &[&own.pem]).await, Ok(()));
    let no_authority = plain(params());
    assert_eq!(asked(&no_authority, &[&no_authority.pem]).await, Ok(()));
    let (root, other) = (authority("root"), self_signed(params()));
    let pinned = leaf(&root);
    assert_eq!(asked(&pinned, &[&other.pem, &pinned.pem]).await, Ok(()));
    // An intermediate CA is enough, as for Go's clients.
    let middle = below(&root, "middle");
    assert_eq!(asked(&leaf(&middle), &[&middle.pem()]).await, Ok(()));
}

/// Makes a certificate as `openssl req -x509 -CA` does: marked as a CA, signed by another one.
fn authority_below(authority: &Authority, mut params: CertificateParams) -> Made {
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let made = params.signed_by(&key, authority).unwrap();
    Made {
        der: made.der().clone(),
        pem: made.pem(),
        key,
    }
}

#[tokio::test]
async fn a_server_may_show_an_authoritys_certificate_that_a_given_one_signed() {
    let root = authority("root");
    let server = authority_below(&root, params());
    assert_eq!(asked(&server, &[&root.pem()]).await, Ok(()));
    // Names, dates and purpose are checked, and so is the signature.
    let mut elsewhere = params();
    elsewhere.subject_alt_names = vec![rcgen::SanType::DnsName("r.lan".try_into().unwrap())];
    let mut old = params();
    old.not_after = rcgen::date_time_ymd(2021, 3, 4);
    let mut for_clients = params();
    for_clients.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    for changed in [elsewhere, old, for_clients] {
        let server = authority_below(&root, changed);
        assert!(asked(&server, &[&root.pem()]).await.is_err());
    }
    let namesake = authority("root");
    assert!(asked(&server, &[&namesake.pem()]).await.is_err());
    // A CA that must not sign others, or limits their names, is refused.
    let refused: [fn(&mut CertificateParams); 3] = [
        |params| params.is_ca = IsCa::ExplicitNoCa,
        |params| params.not_after = rcgen::date_time_ymd(2021, 3, 4),
        |params| {
            params.name_constraints = Some(rcgen::NameConstraints {
                permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName("r.lan".to_owned())],
                excluded_subtrees: Vec::new(),
            });
        },
    ];
    for change in refused {
        let mut unfit = authority_params("root");
        change(&mut unfit);
        let unfit = CertifiedIssuer::self_signed(unfit, KeyPair::generate().unwrap()).unwrap();
        let server = authority_below(&unfit, params());
        assert!(asked(&server, &[&unfit.pem()]).await.is_err());
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_gave_is_refused_with_what_is_missing() {
    let (own, other) = (self_signed(params()), self_signed(params()));
    let (problem, hint) = asked(&own, &[]).await.unwrap_err();
    assert!(
        matches!(problem, TlsProblem::SelfSigned { given: 0, .. }),
        "{problem:?}"
    );
    assert!(hint.contains("--cert-dir"), "{hint}");
    // The hint does not repeat what the operator did already.
    let (problem, hint) = asked(&own, &[&other.pem]).await.unwrap_err();
    assert!(
        matches!(problem, TlsProblem::SelfSigned { given: 1, .. }),
        "{problem:?}"
    );
    assert!(hint.contains("another certificate now"), "{hint}");
    let (root, stranger) = (authority("the root"), authority("stranger"));
    let foreign = stranger.pem();
    for given in [&[][..], &[foreign.as_str()]] {
        let (problem, _) = asked(&leaf(&root), given).await.unwrap_err();
        let TlsProblem::UnknownIssuer {
            issuer,
            given: count,
        } = problem
        else {
            panic!("{problem:?}");
        };
        assert_eq!(count, given.len());
        assert!(issuer.contains("CN=the root"), "{issuer}");
    }
    // A certificate given for one host is not trusted for another.
    let host = serve(&own.der, &own.key, fine).await;
    let elsewhere = client(&"r.lan:5000".parse().unwrap(), &[&own.pem]);
    let refused = elsewhere.ping(&host).await.unwrap_err();
    assert!(matches!(refused, Error::Tls { .. }), "{refused:?}");
}

#[tokio::test]
async fn names_dates_and_purpose_count_for_a_given_certificate_too() {
    let with = |change: &dyn Fn(&mut CertificateParams)| {
        let mut params = params();
        change(&mut params);
        self_signed(params)
    };
    for (certificate, words) in [
        (
            with(&|params| params.not_after = rcgen::date_time_ymd(2021, 3, 4)),
            "expired on 2021-03-04 00:00 UTC",
        ),
        (
            with(&|params| params.not_before = rcgen::date_time_ymd(2130, 1, 2)),
            "not valid before 2130-01-02 00:00 UTC",
        ),
        (
            with(&|params| {
                let name = "r.lan".to_owned().try_into().unwrap();
                params.subject_alt_names = vec![rcgen::SanType::DnsName(name)];
            }),
            "not for `127.0.0.1`, but for `r.lan`",
        ),
        (
            with(&|params| params.subject_alt_names.clear()),
            "names no host",
        ),
        (
            with(&|params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            }),
            "not for servers",
        ),
    ] {
        let (problem, hint) = asked(&certificate, &[&certificate.pem]).await.unwrap_err();
        let text = problem.to_string();
        assert!(text.contains(words), "{words}: {text}");
        assert!(!hint.contains("--cert-dir"), "{text}: {hint}");
    }
}

#[tokio::test]
async fn a_given_certificate_of_a_server_signs_for_nobody() {
    let mut own = authority_params("registry-a");
    own.is_ca = IsCa::ExplicitNoCa;
    let own = Authority::self_signed(own, KeyPair::generate().unwrap()).unwrap();
    let (problem, _) = asked(&leaf(&own), &[&own.pem()]).await.unwrap_err();
    let text = problem.to_string();
    assert!(text.contains("CA:TRUE is missing"), "{text}");
}

fn judged(verifier: &SiteVerifier, made: &Made) -> Result<(), rustls::Error> {
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let verified = verifier.verify_server_cert(&made.der, &[], &name, &[], UnixTime::now());
    verified.map(drop)
}

#[test]
fn a_servers_own_certificate_in_the_systems_store_is_trusted() {
    static SYSTEM: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    let (own, pinned) = (self_signed(params()), leaf(&authority("root")));
    let mut elsewhere = params();
    elsewhere.subject_alt_names.clear();
    let elsewhere = self_signed(elsewhere);
    let known = [&own, &pinned, &elsewhere].map(|made| made.der.clone());
    SYSTEM.set(known.to_vec()).unwrap();
    let verifier = SiteVerifier::new(Vec::new(), &provider(), || SYSTEM.get().unwrap());
    assert_eq!(judged(&verifier, &own), Ok(()));
    assert_eq!(judged(&verifier, &pinned), Ok(()));
    assert!(judged(&verifier, &elsewhere).is_err());
    assert!(judged(&verifier, &self_signed(params())).is_err());
}

#[test]
fn a_system_without_authorities_needs_those_that_are_given() {
    let root = authority("root");
    let verifier = |given| {
        let mut verifier = SiteVerifier::new(given, &provider(), || &[]);
        verifier.platform = None;
        verifier
    };
    assert_eq!(
        judged(&verifier(vec![root.der().clone()]), &leaf(&root)),
        Ok(())
    );
    let refused = judged(&verifier(Vec::new()), &leaf(&root)).unwrap_err();
    assert!(
        format!("{refused:?}").contains("NoAuthorities"),
        "{refused:?}"
    );
    let (own, other) = (self_signed(params()), self_signed(params()));
    let given = verifier(vec![own.der.clone()]);
    assert_eq!(judged(&given, &own), Ok(()));
    assert!(judged(&given, &other).is_err());
}

#[tokio::test]
async fn a_server_without_the_key_of_a_given_certificate_is_refused() {
    let own = self_signed(params());
    let host = serve(&own.der, &KeyPair::generate().unwrap(), fine).await;
    let refused = client(&host, &[&own.pem]).ping(&host).await;
    assert!(matches!(refused, Err(Error::Tls { .. })), "{refused:?}");
}

#[tokio::test]
async fn where_the_registry_leads_its_certificates_count() {
    let authority = authority("the site's");
    let (registry, other) = (leaf(&authority), leaf(&authority));
    let second = serve(&other.der, &other.key, |_| {
        reply("200 OK", "", r#"{"token":"T"}"#)
    })
    .await;
    let redirects = format!("Location: https://{second}/storage\r\n");
    let challenges = format!("WWW-Authenticate: Bearer realm=\"https://{second}/t\"\r\n");
    let storage = move |_: &str| reply("307 Temporary Redirect", &redirects, "");
    let tokens = move |head: &str| match head.to_ascii_lowercase().contains("bearer t") {
        true => fine(head),
        false => reply("401 Unauthorized", &challenges, ""),
    };
    let first = serve(&registry.der, &registry.key, storage).await;
    let ping = client(&first, &[&authority.pem()]).ping(&first).await;
    assert!(ping.is_ok(), "{ping:?}");
    let first = serve(&registry.der, &registry.key, tokens).await;
    let trusting = client(&first, &[&authority.pem()]);
    let ping = trusting.ping(&first).await;
    assert!(ping.is_ok(), "{ping:?}");
    // The other host is not trusted when it is asked directly.
    let refused = trusting.ping(&second).await;
    assert!(matches!(refused, Err(Error::Tls { .. })), "{refused:?}");
}

#[test]
fn files_that_cannot_be_used_say_why() {
    let (own, other) = (plain(params()), plain(params()));
    let (pem, key) = (own.pem.as_bytes(), own.key.serialize_pem());
    assert_eq!(check_authorities(pem), Ok(()));
    assert!(check_authorities(key.as_bytes()).is_err());
    assert_eq!(check_client(pem, key.as_bytes()), Ok(()));
    let foreign = other.key.serialize_pem();
    let refused = check_client(pem, foreign.as_bytes()).unwrap_err();
    assert!(refused.contains("another certificate"), "{refused}");
    for (certificate, key) in [(&b""[..], key.as_bytes()), (pem, b"no key")] {
        assert!(check_client(certificate, key).is_err());
    }
}

#[test]
fn the_certificate_is_shown_whose_issuer_the_server_names() {
    let (one, two) = (authority("one"), authority("two"));
    let pairs = [leaf(&one), leaf(&two)].map(|made| {
        let key = made.key.serialize_pem();
        Arc::new(certified(made.pem.as_bytes(), key.as_bytes(), &provider()).unwrap())
    });
    let issuer = Facts::read(&pairs[1].cert[0]).unwrap().issuer_der;
    let identities = Identities(pairs.to_vec());
    let schemes = [SignatureScheme::ECDSA_NISTP256_SHA256];
    let shown = |authorities: &[&[u8]]| identities.resolve(authorities, &schemes).unwrap();
    assert!(Arc::ptr_eq(&shown(&[&issuer]), &pairs[1]));
    assert!(Arc::ptr_eq(&shown(&[]), &pairs[0]));
    assert!(Arc::ptr_eq(&shown(&[b"somebody"]), &pairs[0]));
    assert!(
        identities
            .resolve(&[], &[SignatureScheme::RSA_PSS_SHA256])
            .is_none()
    );
}
