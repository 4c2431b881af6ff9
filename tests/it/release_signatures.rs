//! Release signatures: fetched from stores, and verified with the keys that releases name.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use airferry::content::release::Keyring;
use airferry::content::release::judgement::{Signed, Subject};
use airferry::content::release::signature::SignatureError;
use airferry::content::release::trust::ReleaseTrust;
use airferry::content::release::verification_config::{NamedKeyring, VerificationConfig};
use airferry::encoding::time::render_time;
use airferry::error::{Class, Error};
use airferry::model::{Digest, Timestamp};
use airferry::ops::Context;
use airferry::ops::release::signatures::Store;
use airferry::ops::release::{Accepted, Release, Verification};
use airferry::progress::NoProgress;
use airferry::registry::{Client, ClientOptions, RetryPolicy};

use crate::support::fake_registry::{FakeRegistry, Reply};

/// 2026-02-01T00:00:00Z: at this time the vectors' keys are in the state that their names say.
const NOW: Timestamp = Timestamp(1_769_904_000);

fn vector(name: &str) -> Vec<u8> {
    std::fs::read(Path::new("tests/vectors/release").join(name)).unwrap()
}

fn release() -> Digest {
    let text = String::from_utf8(vector("digest.txt")).unwrap();
    text.trim().parse().unwrap()
}

/// Returns the configuration of a payload that requires a signature by each of these keys.
fn config(names: &[&str]) -> VerificationConfig {
    let entry = |name: &&str| NamedKeyring {
        name: format!("verifier-public-key-{name}"),
        data: vector(&format!("{name}.gpg")),
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

async fn verify(stores: &[Store], config: &VerificationConfig) -> Result<Signed, Error> {
    match judge(stores, config, false).await? {
        Accepted::Signed(mut signed) => Ok(signed.remove(0)),
        Accepted::Unsigned(why) => panic!("accepted though {why}"),
    }
}

async fn judge(
    stores: &[Store],
    config: &VerificationConfig,
    allow_unsigned: bool,
) -> Result<Accepted, Error> {
    let verification = Verification {
        trust: trust(),
        stores: stores.to_vec(),
        allow_unsigned,
        client: Client::new(ClientOptions {
            retry: RetryPolicy {
                attempts: 2,
                base: Duration::from_millis(1),
                cap: Duration::from_millis(1),
                retry_after_cap: Duration::from_millis(1),
            },
            ..ClientOptions::default()
        }),
        now: NOW,
    };
    let name = "quay.io/okd/release:1".parse().unwrap();
    let release = Release {
        name: &name,
        subject: Subject {
            root: release(),
            images: Vec::new(),
        },
        config: Some(config),
        carried: None,
    };
    let context = Context::new(Arc::new(NoProgress));
    verification.verify(&release, &context).await
}

/// Starts a web store with these signatures below `/store`.
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

/// Returns a store at a port that was just closed, where nothing listens.
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
    assert_eq!(found.messages, expected);
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
    assert_eq!(found.messages, ["good.sig", "good-subkey.sig"].map(vector));
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
    // If one store answers, its answer decides.
    let empty = web(&[]).await;
    let stores = [unreachable().await, store(&empty)];
    let error = verify(&stores, &config(&["alice"])).await.unwrap_err();
    assert_eq!(error.class(), Class::NotAuthenticated);
    // No store at all counts as empty stores.
    let error = verify(&[], &config(&["alice"])).await.unwrap_err();
    assert_eq!(error.class(), Class::NotAuthenticated);
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
        assert_eq!(found.unwrap().messages, [vector("good.sig")]);
    }
    std::fs::write(below.join("signature-1"), vec![0; 51 << 10]).unwrap();
    let error = verify(&[Store::named(path)], &config(&["alice"])).await;
    assert!(error.unwrap_err().hints()[0].contains("51200 bytes"));
    let nowhere = [Store::named("/nonexistent/store")];
    let error = verify(&nowhere, &config(&["alice"])).await.unwrap_err();
    assert!(error.to_string().contains("no store has a signature"));
}

#[tokio::test]
async fn only_absence_is_waived() {
    let empty = web(&[]).await;
    let accepted = judge(&[store(&empty)], &config(&["alice"]), true).await;
    assert!(matches!(accepted, Ok(Accepted::Unsigned(_))));
    // carol's key is not pinned, and there is no signature by it.
    let accepted = judge(&[store(&empty)], &config(&["carol"]), true).await;
    assert!(matches!(accepted, Ok(Accepted::Unsigned(_))));
    let carol = web(&["carol.sig"]).await;
    for (stores, names, class) in [
        (vec![store(&carol)], ["alice"], Class::NotAuthenticated),
        (vec![store(&carol)], ["carol"], Class::NotAuthenticated),
        (vec![unreachable().await], ["alice"], Class::Network),
        (
            vec![store(&empty), unreachable().await],
            ["alice"],
            Class::NotAuthenticated,
        ),
    ] {
        let error = judge(&stores, &config(&names), true).await.unwrap_err();
        assert_eq!(error.class(), class, "{stores:?}");
    }
}

/// The ConfigMap that OKD really publishes.
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
    let able: Vec<_> = entry
        .keyring
        .keys
        .iter()
        .map(|key| key.can_sign(NOW))
        .collect();
    assert_eq!(able, [false, false, false, true], "the others have expired");
    let ends = entry.keyring.keys.iter().map(|key| key.expires(NOW));
    let ends: Vec<_> = ends.map(|end| render_time(end.unwrap()).unwrap()).collect();
    let days: Vec<_> = ends.iter().map(|end| &end[..10]).collect();
    assert_eq!(
        days,
        ["2021-04-21", "2023-04-27", "2025-03-29", "2027-03-31"]
    );
    assert_eq!(config.stores.len(), 1);
}

/// The files that OCP really publishes: a ConfigMap with a key twice, and a signature by Red Hat.
#[tokio::test]
#[ignore = "needs the shared directory: scripts/check-shared.d/release-keys runs it"]
async fn ocp_keys_are_read_and_a_real_signature_verifies() {
    let shared = std::env::var_os("SHARED").expect("SHARED names the shared directory");
    let data = Path::new(&shared).join("data/release");
    let file = "ocp-release-verification-configmap.yaml";
    let bytes = std::fs::read(data.join(file)).unwrap();
    let config = VerificationConfig::find([(file, bytes.as_slice())]);
    let config = config.unwrap().expect("a verification ConfigMap");
    let signed: Digest = "sha256:0da6316466d60a3a4535d5fed3589feb0391989982fba59d47d4c729912d6363"
        .parse()
        .unwrap();
    let store = tempfile::tempdir().unwrap();
    let directory = store.path().join(format!("sha256={}", signed.hex()));
    std::fs::create_dir(&directory).unwrap();
    let from = data.join("ocp-4.15.0-x86_64.signature-1");
    std::fs::copy(from, directory.join("signature-1")).unwrap();
    let verification = Verification {
        trust: ReleaseTrust::built_in(),
        stores: vec![Store::named(store.path().to_str().unwrap())],
        allow_unsigned: false,
        client: Client::new(ClientOptions::default()),
        now: NOW,
    };
    let name = "quay.io/openshift-release-dev/ocp-release:4.15.0-x86_64"
        .parse()
        .unwrap();
    let judged = |root| {
        let release = Release {
            name: &name,
            subject: Subject {
                root,
                images: Vec::new(),
            },
            config: Some(&config),
            carried: None,
        };
        let verification = &verification;
        async move {
            let context = Context::new(Arc::new(NoProgress));
            verification.verify(&release, &context).await
        }
    };
    assert!(matches!(judged(signed).await, Ok(Accepted::Signed(_))));
    assert!(judged(Digest::from_bytes([1; 32])).await.is_err());
}
