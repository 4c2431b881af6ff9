//! Release signatures. A signature that verifies reports the signed content, whatever else the
//! message contains.
// max_len: 2048
#![no_main]

use std::sync::LazyLock;

use airferry::content::release::Keyring;
use airferry::content::release::signature::{self, SignatureError};
use airferry::content::release::trust::ReleaseTrust;
use airferry::content::release::verification_config::{NamedKeyring, VerificationConfig};
use airferry::model::{Digest, Timestamp};

struct Given {
    release: Digest,
    config: VerificationConfig,
    trust: ReleaseTrust,
}

static GIVEN: LazyLock<Given> = LazyLock::new(|| {
    let keys = [
        include_bytes!("../../tests/vectors/release/alice.gpg").as_slice(),
        include_bytes!("../../tests/vectors/release/bob.gpg").as_slice(),
    ];
    let data = keys.concat();
    let keyring = Keyring::parse(&data).expect("the vectors");
    Given {
        release: include_str!("../../tests/vectors/release/digest.txt")
            .trim()
            .parse()
            .expect("the vectors"),
        trust: ReleaseTrust::pinning(keyring.fingerprints()),
        config: VerificationConfig {
            manifest: String::new(),
            keyrings: vec![NamedKeyring { name: "k".to_owned(), data, keyring }],
            stores: Vec::new(),
            unknown: Vec::new(),
        },
    }
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Given { release, config, trust } = &*GIVEN;
    let now = Timestamp(1_769_904_000);
    match signature::verify(release, config, trust, &[bytes.to_vec()], now) {
        Ok(verified) => {
            let [satisfied] = verified.keyrings.as_slice() else {
                panic!("one keyring was given");
            };
            assert_eq!(satisfied.reference, "registry.example.com/okd/release:1.0");
        }
        Err(error) => {
            assert!(!matches!(error, SignatureError::NotPinned { .. }));
            assert!(!error.to_string().contains(char::is_control));
        }
    }
});
