use super::*;

mod fixtures;
use fixtures::*;

/// `openssl pkey -pubout -outform DER | sha256sum` for the fixtures' key.
const FINGERPRINT: &str = "9773cf10978c519314b66cdcd3bd3219b5fbfd5200d88ec7fafc7c109f15b8cd";
/// `openssl pkeyutl -sign -rawin` of `hello` with the fixtures' key.
const SIGNATURE: &str = "bd9737b75db57a36f9329bbbf8cb4807382405084daf3d004ed5d6de2564ce1a\
     9b89a904e0344450b10751f1eaa66263056290b5474eff2484aebf3a66906600";

fn plain(file: &str) -> Result<SigningKey, KeyError> {
    match parse_private(file.as_bytes())? {
        PrivateKey::Plain(key) => Ok(key),
        PrivateKey::Encrypted(_) => panic!("encrypted"),
    }
}

fn opened(file: &str, passphrase: &str) -> Result<SigningKey, KeyError> {
    match parse_private(file.as_bytes())? {
        PrivateKey::Encrypted(key) => key.open(passphrase.as_bytes()),
        PrivateKey::Plain(_) => panic!("not encrypted"),
    }
}

#[test]
fn keys_that_openssl_wrote_are_read() {
    let public = parse_public(PUBLIC_FILE.as_bytes()).unwrap();
    assert_eq!(public.fingerprint().hex(), FINGERPRINT);
    assert_eq!(public.to_pem(), PUBLIC_FILE);
    for file in [PLAIN_FILE, WITH_PUBLIC] {
        assert_eq!(plain(file).unwrap().public(), public);
    }
    for file in [AES256, TOPK8, SCRYPT] {
        assert_eq!(opened(file, "x").unwrap().public(), public);
        assert_eq!(opened(file, "y").unwrap_err(), KeyError::Passphrase);
    }
    assert_eq!(*plain(PLAIN_FILE).unwrap().to_pem().unwrap(), PLAIN_FILE);
}

#[test]
fn signatures_agree_with_openssl() {
    let key = plain(PLAIN_FILE).unwrap();
    assert_eq!(hex::encode(key.sign(b"hello")), SIGNATURE);
    let signature = hex::decode(SIGNATURE).unwrap();
    let public = key.public();
    assert_eq!(public.verify(b"hello", &signature), Ok(()));
    assert_eq!(
        public.verify(b"hallo", &signature),
        Err(SignatureError::Mismatch)
    );
    let short = public.verify(b"hello", &signature[..63]);
    assert_eq!(short, Err(SignatureError::Length { length: 63 }));
    for at in 0..64 {
        let mut other = signature.clone();
        other[at] ^= 1;
        assert!(public.verify(b"hello", &other).is_err(), "byte {at}");
    }
}

#[test]
fn our_own_files_are_read_back() {
    let key = SigningKey::from_seed(&[7; 32]);
    let encrypted = key.to_encrypted_pem(b"correct horse", &[9; 32]).unwrap();
    assert!(encrypted.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
    assert_eq!(
        opened(&encrypted, "correct horse").unwrap().public(),
        key.public()
    );
    assert_eq!(
        opened(&encrypted, "battery").unwrap_err(),
        KeyError::Passphrase
    );
    assert_eq!(
        plain(&key.to_pem().unwrap()).unwrap().public(),
        key.public()
    );
    let public = key.public();
    assert_eq!(parse_public(public.to_pem().as_bytes()).unwrap(), public);
}

#[test]
fn text_around_and_windows_line_ends_do_no_harm() {
    let text = format!("Our key, 2026.\n\n{}\nKeep it safe.\n", PUBLIC_FILE);
    assert!(parse_public(text.as_bytes()).is_ok());
    assert!(parse_public(text.replace('\n', "\r\n").as_bytes()).is_ok());
}

#[test]
fn other_files_are_called_what_they_are() {
    let private = |file: &str| parse_private(file.as_bytes()).map(|_| ()).unwrap_err();
    let public = |file: &str| parse_public(file.as_bytes()).unwrap_err();
    let rsa = || KeyError::OtherAlgorithm {
        algorithm: "RSA".to_owned(),
    };
    assert_eq!(public(RSA_PUBLIC), rsa());
    assert!(public(EC_PUBLIC).to_string().contains("ECDSA"));
    assert!(private(EC_PRIVATE).to_string().contains("ECDSA"));
    assert!(public(X25519_PUBLIC).to_string().contains("X25519"));
    assert!(
        private(EC_TRADITIONAL)
            .to_string()
            .contains("`EC PRIVATE KEY`")
    );
    assert_eq!(public(PLAIN_FILE), KeyError::PrivateGiven);
    assert_eq!(public(AES256), KeyError::PrivateGiven);
    assert_eq!(private(PUBLIC_FILE), KeyError::PublicGiven);
    assert_eq!(private(""), KeyError::NoPem);
    assert_eq!(public("not a key"), KeyError::NoPem);
    assert_eq!(
        public("\u{feff}x -----BEGIN PUBLIC KEY-----"),
        KeyError::NoPem
    );
    let twice = format!("{PUBLIC_FILE}{PUBLIC_FILE}");
    assert_eq!(public(&twice), KeyError::Several { count: 2 });
    let both = format!("{PLAIN_FILE}{PUBLIC_FILE}");
    assert_eq!(private(&both), KeyError::Several { count: 2 });
    let cut = &PUBLIC_FILE[..PUBLIC_FILE.len() - 10];
    assert!(matches!(public(cut), KeyError::Damaged { .. }));
    let flipped = PUBLIC_FILE.replace("MCow", "MC!w");
    assert!(matches!(public(&flipped), KeyError::Damaged { .. }));
    let flipped = PUBLIC_FILE.replace("MCow", "MCox");
    assert!(matches!(public(&flipped), KeyError::Malformed { .. }));
    assert!(matches!(
        private(WITH_OTHER_PUBLIC),
        KeyError::Malformed { .. }
    ));
    assert_eq!(public(&"x".repeat(65537)), KeyError::TooLong);
    assert_eq!(opened(PBES1, "x").unwrap_err(), KeyError::Scheme);
    assert_eq!(opened(HMAC_SHA1, "x").unwrap_err(), KeyError::Scheme);
}

#[test]
fn weak_public_keys_are_refused() {
    let mut identity = [0; 32];
    identity[0] = 1;
    // The identity in two other encodings: with p + 1 for 1, and with the sign bit set for zero.
    let mut unreduced = [0xff; 32];
    (unreduced[0], unreduced[31]) = (0xee, 0x7f);
    let mut minus_zero = identity;
    minus_zero[31] = 0x80;
    // y = 3 + p: a point of large order, but not in its only encoding.
    let mut other_form = [0xff; 32];
    (other_form[0], other_form[31]) = (0xf0, 0x7f);
    let mut three = [0; 32];
    three[0] = 3;
    for weak in [
        identity, [0; 32], unreduced, minus_zero, other_form, [0xff; 32],
    ] {
        assert_eq!(
            VerifyingKey::from_bytes(&weak),
            Err(KeyError::Weak),
            "{weak:?}"
        );
    }
    assert!(VerifyingKey::from_bytes(&three).is_ok());
}

#[test]
fn secrets_stay_out_of_debug() {
    let key = plain(PLAIN_FILE).unwrap();
    assert_eq!(format!("{key:?}"), format!("SigningKey({FINGERPRINT})"));
    let file = parse_private(AES256.as_bytes()).unwrap();
    assert_eq!(format!("{file:?}"), "Encrypted(EncryptedKey(..))");
}

#[test]
fn fingerprints_are_read_aloud_in_groups() {
    let text = spoken(KeyFingerprint::from_hex(FINGERPRINT).unwrap().as_bytes());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(
        lines
            .iter()
            .all(|line| line.len() == 19 && line.split(' ').count() == 4)
    );
    assert_eq!(text.replace([' ', '\n'], ""), FINGERPRINT);
}
