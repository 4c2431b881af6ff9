//! Release signatures: gathered from stores, and verified with the keys that releases name.

use std::path::Path;
use std::time::Duration;

use airferry::content::release::Keyring;
use airferry::content::release::signature::SignatureError;
use airferry::content::release::trust::ReleaseTrust;
use airferry::content::release::verification_config::{NamedKeyring, VerificationConfig};
use airferry::model::{Digest, Timestamp};
use airferry::ops::release::signatures::{SignedRelease, Store, verify_release};
use airferry::ops::{Class, Error};
use airferry::registry::{Client, ClientOptions, RetryPolicy};

use crate::support::fake_registry::{FakeRegistry, Reply};

/// 2026-02-01T00:00:00Z, when the vectors' keys are in the state that their names say.
const NOW: Timestamp = Timestamp(1_769_904_000);

fn vector(name: &str) -> Vec<u8> {
    std::fs::read(Path::new("tests/vectors/release").join(name)).unwrap()
}

fn release() -> Digest {
    let text = String::from_utf8(vector("digest.txt")).unwrap();
    text.trim().parse().unwrap()
}

/// A payload that wants alice's signature and bob's.
fn config(names: &[&str]) -> VerificationConfig {
    let entry = |name: &&str| NamedKeyring {
        name: format!("verifier-public-key-{name}"),
        keyring: Keyring::parse(&vector(&format!("{name}.gpg"))).unwrap(),
    };
    VerificationConfig {
        manifest: "0000_90_keys.yaml".to_owned(),
        keyrings: names.iter().map(entry).collect(),
        stores: Vec::new(),
        unknown: Vec::new(),
    }
}

fn trust() -> ReleaseTrust {
    let pinned = [vector("alice.gpg"), vector("bob.gpg")].concat();
    ReleaseTrust::from_file(&pinned).unwrap()
}

async fn verify(stores: &[Store], config: &VerificationConfig) -> Result<SignedRelease, Error> {
    let client = Client::new(ClientOptions {
        retry: RetryPolicy {
            attempts: 2,
            base: Duration::from_millis(1),
            cap: Duration::from_millis(1),
            retry_after_cap: Duration::from_millis(1),
        },
        ..ClientOptions::default()
    });
    verify_release(&client, stores, &release(), config, &trust(), NOW).await
}

/// A web store with these signatures, below `/store`.
async fn web(signatures: &[&str]) -> FakeRegistry {
    let signatures: Vec<_> = signatures.iter().map(|name| vector(name)).collect();
    let below = format!("/store/sha256={}/signature-", release().hex());
    FakeRegistry::start(move |asked, _| {
        let number: Option<usize> = asked
            .target
            .strip_prefix(&below)
            .and_then(|number| number.parse().ok());
        match number.and_then(|number| signatures.get(number - 1)) {
            Some(bytes) => Reply::new(200).body(bytes.clone()),
            None => Reply::new(404),
        }
    })
    .await
}

fn store(server: &FakeRegistry) -> Store {
    Store::named(&format!("http://{}/store/", server.host()))
}

/// Nobody listens there: the port was given up just now.
async fn unreachable() -> Store {
    let server = FakeRegistry::start(|_, _| Reply::hang_up()).await;
    store(&server)
}

fn cause(error: &Error) -> Option<&SignatureError> {
    std::error::Error::source(error)?.downcast_ref()
}

#[tokio::test]
async fn a_store_is_read_until_it_has_no_more() {
    let server = web(&["carol.sig", "good.sig", "good-zlib.sig"]).await;
    let found = verify(&[store(&server)], &config(&["alice"]))
        .await
        .unwrap();
    assert_eq!(found.verified.keyrings[0].signature, 2);
    let expected = ["carol.sig", "good.sig", "good-zlib.sig"].map(vector);
    assert_eq!(found.signatures, expected);
    let hex = release().hex();
    let asked = [1, 2, 3, 4].map(|n| format!("GET /store/sha256={hex}/signature-{n}"));
    assert_eq!(server.lines(), asked);
}

#[tokio::test]
async fn no_more_than_nine_are_asked_for() {
    let server = web(&["carol.sig"; 12]).await;
    let error = verify(&[store(&server)], &config(&["alice"]))
        .await
        .unwrap_err();
    assert_eq!(error.class(), Class::NotAuthenticated);
    assert_eq!(server.lines().len(), 9);
}

#[tokio::test]
async fn stores_complement_each_other_and_are_asked_no_more_than_needed() {
    let alice = web(&["good.sig"]).await;
    let both = web(&["good.sig", "good-subkey.sig"]).await;
    let idle = web(&[]).await;
    let stores = [store(&alice), store(&both), store(&idle)];
    let found = verify(&stores, &config(&["alice", "bob"])).await.unwrap();
    assert_eq!(
        found.signatures,
        ["good.sig", "good-subkey.sig"].map(vector)
    );
    assert_eq!(idle.lines().len(), 0);
}

#[tokio::test]
async fn a_failing_store_is_passed_over_and_named_in_the_end() {
    let denied = FakeRegistry::start(|_, _| Reply::new(403)).await;
    let large = FakeRegistry::start(|_, _| Reply::new(200).body(vec![0; 51 << 10])).await;
    let good = web(&["good.sig"]).await;
    let stores = [store(&denied), store(&large), unreachable().await];
    let all = [stores.as_slice(), &[store(&good)]].concat();
    assert!(verify(&all, &config(&["alice"])).await.is_ok());
    let error = verify(&stores, &config(&["alice"])).await.unwrap_err();
    assert_eq!(error.class(), Class::NotAuthenticated);
    assert!(matches!(
        cause(&error),
        Some(SignatureError::NoSignature { .. })
    ));
    let hints = error.hints().join("\n");
    for expected in ["status 403", "longer than 51200 bytes", "Cannot reach"] {
        assert!(hints.contains(expected), "{hints}");
    }
}

#[tokio::test]
async fn a_network_that_is_down_does_not_make_a_release_unsigned() {
    let stores = [unreachable().await, unreachable().await];
    let error = verify(&stores, &config(&["alice"])).await.unwrap_err();
    assert_eq!(error.class(), Class::Network);
    // One that answers decides.
    let empty = web(&[]).await;
    let stores = [unreachable().await, store(&empty)];
    let error = verify(&stores, &config(&["alice"])).await.unwrap_err();
    assert_eq!(error.class(), Class::NotAuthenticated);
    let error = verify(&[], &config(&["alice"])).await.unwrap_err();
    assert_eq!(error.class(), Class::Usage);
}

#[tokio::test]
async fn nobody_is_asked_about_keys_that_are_not_trusted() {
    let server = web(&["carol.sig"]).await;
    let error = verify(&[store(&server)], &config(&["carol"]))
        .await
        .unwrap_err();
    assert!(matches!(
        cause(&error),
        Some(SignatureError::NotPinned { .. })
    ));
    assert_eq!(server.lines().len(), 0);
}

#[tokio::test]
async fn a_directory_is_a_store_too() {
    let directory = tempfile::tempdir().unwrap();
    let below = directory.path().join(format!("sha256={}", release().hex()));
    std::fs::create_dir(&below).unwrap();
    std::fs::write(below.join("signature-1"), vector("good.sig")).unwrap();
    let path = directory.path().to_str().unwrap();
    for name in [path.to_owned(), format!("file://{path}")] {
        let found = verify(&[Store::named(&name)], &config(&["alice"])).await;
        assert_eq!(found.unwrap().signatures, [vector("good.sig")]);
    }
    std::fs::write(below.join("signature-1"), vec![0; 51 << 10]).unwrap();
    let error = verify(&[Store::named(path)], &config(&["alice"])).await;
    assert!(error.unwrap_err().hints()[0].contains("51200 bytes"));
    let nowhere = [Store::named("/nonexistent/store")];
    let error = verify(&nowhere, &config(&["alice"])).await.unwrap_err();
    assert!(matches!(
        cause(&error),
        Some(SignatureError::NoSignature { .. })
    ));
}

/// What OKD really publishes.
#[test]
#[ignore = "needs the shared directory: scripts/check-shared.d/release-keys runs it"]
fn okd_keys_are_read_and_pinned() {
    let shared = std::env::var_os("SHARED").expect("SHARED names the shared directory");
    let file = "data/release/okd-release-verification-configmap.yaml";
    let bytes = std::fs::read(Path::new(&shared).join(file)).unwrap();
    let config = VerificationConfig::find([(file, bytes.as_slice())]);
    let config = config.unwrap().expect("a verification ConfigMap");
    let [entry] = config.keyrings.as_slice() else {
        panic!("{} keyrings", config.keyrings.len());
    };
    let trust = ReleaseTrust::built_in();
    let keys = entry.keyring.fingerprints();
    let names: Vec<_> = keys.map(|key| trust.name(&key)).collect();
    let expected = [1, 2, 3, 4].map(|n| format!("OpenShift CI key {n}"));
    assert_eq!(names, expected.each_ref().map(|name| Some(name.as_str())));
    assert_eq!(entry.keyring.unusable, 0);
    assert_eq!(config.stores.len(), 1);
}
