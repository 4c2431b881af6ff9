//! The keys with which releases really ask to be verified.

use std::path::Path;

use airferry::content::release::trust::ReleaseTrust;
use airferry::content::release::verification_config::VerificationConfig;

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
