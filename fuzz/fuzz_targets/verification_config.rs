//! Verification ConfigMaps, keyrings and files of trusted keys.
// max_len: 8192
#![no_main]

use airferry::content::release::Keyring;
use airferry::content::release::signature;
use airferry::content::release::trust::ReleaseTrust;
use airferry::content::release::verification_config::{NamedKeyring, VerificationConfig};
use airferry::model::{Digest, Timestamp};

const SIGNATURE: &[u8] = include_bytes!("../../tests/vectors/release/good-subkey.sig");

/// Verifies a signature of another release under every key, which must fail.
fn judge(config: &VerificationConfig) {
    let keys = config.keyrings.iter().flat_map(|entry| entry.keyring.fingerprints());
    let trust = ReleaseTrust::pinning(keys);
    let release = Digest::from_bytes([0; 32]);
    let now = Timestamp(1_769_904_000);
    let judged = signature::verify(&release, config, &trust, &[SIGNATURE.to_vec()], now);
    let error = judged.expect_err("another release was signed");
    assert!(!error.to_string().contains(char::is_control));
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    match VerificationConfig::find([("m.yaml", bytes)]) {
        Ok(None) => {}
        Ok(Some(config)) => {
            assert!(!config.keyrings.is_empty());
            judge(&config);
        }
        Err(error) => assert!(!error.to_string().contains(char::is_control)),
    }
    if let Ok(trust) = ReleaseTrust::from_file(bytes) {
        assert!(trust.fingerprints().next().is_some());
    }
    if let Ok(keyring) = Keyring::parse(bytes) {
        let (name, data) = ("k".to_owned(), bytes.to_vec());
        let entry = NamedKeyring { name, data, keyring };
        judge(&VerificationConfig {
            manifest: String::new(),
            keyrings: vec![entry],
            stores: Vec::new(),
            unknown: Vec::new(),
        });
    }
});
