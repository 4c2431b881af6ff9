use std::cell::RefCell;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

struct Keys {
    directory: tempfile::TempDir,
}

impl Keys {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory }
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.directory.path().join(name);
        fs_err::write(&path, text).unwrap();
        fs_err::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// Loads a key; returns the result and the warnings.
    fn load(&self, args: &KeyArgs) -> (Result<Signer, Error>, Vec<String>) {
        let around = Environment::of(self.directory.path(), &[]);
        let warnings = RefCell::new(Vec::new());
        let result = args.load(&around, &|warning| {
            warnings.borrow_mut().push(warning.to_owned());
        });
        (result, warnings.into_inner())
    }
}

fn args(key: &Path) -> KeyArgs {
    KeyArgs {
        key: Some(key.to_owned()),
        passphrase: PassphraseArgs {
            passphrase_file: None,
        },
        key_permissions: KeyPermissions::Refuse,
        signer_command: None,
        signer_public: None,
    }
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[9; 32])
}

#[test]
fn permissions_are_checked() {
    let keys = Keys::new();
    let path = keys.file("k.pem", &key().to_pem().unwrap(), 0o640);
    let mut args = args(&path);
    let (refused, _) = keys.load(&args);
    let error = refused.unwrap_err();
    assert!(error.to_string().starts_with("Others can read"), "{error}");
    assert!(error.hints()[0].starts_with("chmod 600 "));

    args.key_permissions = KeyPermissions::Warn;
    let (loaded, warnings) = keys.load(&args);
    assert_eq!(loaded.unwrap().public(), &key().public());
    assert_eq!(warnings.len(), 1);

    args.key_permissions = KeyPermissions::Refuse;
    keys.file("k.pem", &key().to_pem().unwrap(), 0o600);
    let (loaded, warnings) = keys.load(&args);
    assert_eq!(loaded.unwrap().public(), &key().public());
    assert!(warnings.is_empty());
}

#[test]
fn encrypted_keys_open_with_the_passphrase_from_a_file() {
    let keys = Keys::new();
    let pem = key().to_encrypted_pem(b"right", &[3; 32]).unwrap();
    let path = keys.file("k.pem", &pem, 0o600);
    let mut args = args(&path);
    args.passphrase.passphrase_file = Some(keys.file("right", "right\n", 0o600));
    assert_eq!(keys.load(&args).0.unwrap().public(), &key().public());

    args.passphrase.passphrase_file = Some(keys.file("wrong", "wrong\n", 0o600));
    let error = keys.load(&args).0.unwrap_err();
    assert_eq!(error.class(), crate::error::Class::Usage);
    assert!(error.to_string().contains("k.pem"), "{error}");
    assert!(error.hints()[0].contains("passphrase"));
}

#[test]
fn what_is_no_private_key_is_named() {
    let keys = Keys::new();
    for (name, text, hint) in [
        (
            "exporter.pub",
            key().public().to_pem(),
            "give the private key",
        ),
        ("notes.txt", "hello".to_owned(), "airferry keygen"),
    ] {
        let path = keys.file(name, &text, 0o600);
        let error = keys.load(&args(&path)).0.unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        assert!(error.hints()[0].contains(hint), "{error:?}");
    }
    let error = keys.load(&args(Path::new("/nowhere"))).0.unwrap_err();
    assert_eq!(error.hints(), ["check the path"]);
}

#[test]
fn a_command_needs_its_public_key_alone() {
    let keys = Keys::new();
    let public = keys.file("token.pub", &key().public().to_pem(), 0o644);
    let args = KeyArgs {
        key: None,
        signer_command: Some("false".to_owned()),
        signer_public: Some(public),
        ..args(Path::new(""))
    };
    assert_eq!(keys.load(&args).0.unwrap().public(), &key().public());
}

#[test]
fn fingerprints_are_shown_of_either_half() {
    let keys = Keys::new();
    let private = keys.file("k.pem", &key().to_pem().unwrap(), 0o600);
    let public = keys.file("k.pub", &key().public().to_pem(), 0o644);
    assert_eq!(read_either(&private).unwrap(), key().public());
    assert_eq!(read_either(&public).unwrap(), key().public());
    let pem = key().to_encrypted_pem(b"x", &[3; 32]).unwrap();
    let encrypted = keys.file("e.pem", &pem, 0o600);
    let error = read_either(&encrypted).unwrap_err();
    assert!(error.to_string().contains("encrypted"), "{error}");
}
