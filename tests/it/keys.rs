//! Keys and signatures, made and checked by airferry and by the real `openssl`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::command::{Airferry, Outcome};
use crate::support::docker_registry::DockerRegistry;
use crate::support::images::{Build, publish::push};
use crate::support::media::{FileSystem, MIB, Medium};
use crate::support::tools::{require, run};

/// Runs openssl in the account's home.
fn openssl(airferry: &Airferry, args: &[&str]) -> String {
    let mut command = airferry.wrap(Command::new(require("openssl")));
    run(command.args(args))
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Returns the fingerprint that airferry shows, as plain hexadecimal digits.
fn shown(airferry: &Airferry, key: &str) -> String {
    let outcome = airferry.run(["keygen", "--show", key]).succeeds();
    outcome.stdout.split_whitespace().collect()
}

/// Returns the fingerprint that openssl computes.
fn computed(airferry: &Airferry, key: &str) -> String {
    let public = [
        "pkey", "-pubin", "-in", key, "-outform", "DER", "-out", "key.der",
    ];
    openssl(airferry, &public);
    let sum = openssl(airferry, &["dgst", "-sha256", "-r", "key.der"]);
    sum.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn keygen_makes_a_pair_that_openssl_reads() {
    let airferry = Airferry::new();
    let made = airferry
        .run(["keygen", "--out", "exporter", "--output", "json"])
        .succeeds();
    made.stderr_is("");
    let made = made.json();
    let fingerprint = computed(&airferry, "exporter.pub");
    assert_eq!(made["fingerprint"], format!("sha256:{fingerprint}"));
    assert_eq!(made["encrypted"], false);
    assert_eq!(shown(&airferry, "exporter.pub"), fingerprint);
    assert_eq!(shown(&airferry, "exporter.pem"), fingerprint);

    let mode = fs::metadata(airferry.path("exporter.pem")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    let public = openssl(&airferry, &["pkey", "-in", "exporter.pem", "-pubout"]);
    let written = fs::read_to_string(airferry.path("exporter.pub")).unwrap();
    assert_eq!(public, written);
}

#[test]
fn keygen_never_overwrites() {
    let airferry = Airferry::new();
    fs::write(airferry.path("exporter.pub"), "precious").unwrap();
    airferry
        .run(["keygen", "--out", "exporter"])
        .fails_with(2)
        .stderr_has("`exporter.pub` already");
    let kept = fs::read_to_string(airferry.path("exporter.pub")).unwrap();
    assert_eq!(kept, "precious");
    assert!(!airferry.path("exporter.pem").exists());
}

#[test]
fn openssl_opens_what_keygen_encrypted() {
    let airferry = Airferry::new();
    fs::write(airferry.path("pass"), "correct horse\n").unwrap();
    airferry
        .run(["keygen", "--out", "e", "--passphrase-file", "pass"])
        .succeeds()
        .hides("correct horse");
    let pem = fs::read_to_string(airferry.path("e.pem")).unwrap();
    assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    let open = ["pkey", "-in", "e.pem", "-passin", "file:pass", "-pubout"];
    let written = fs::read_to_string(airferry.path("e.pub")).unwrap();
    assert_eq!(openssl(&airferry, &open), written);
}

/// Signs a bundle that does not exist. The key is loaded first, so exit code 8 means that the key
/// was accepted.
fn sign_with(airferry: &Airferry, more: &[&str]) -> Outcome {
    airferry.run([&["sign", "no-bundle"], more].concat())
}

#[test]
fn keys_of_openssl_are_accepted() {
    let airferry = Airferry::new();
    openssl(
        &airferry,
        &["genpkey", "-algorithm", "ed25519", "-out", "plain.pem"],
    );
    chmod(&airferry.path("plain.pem"), 0o600);
    sign_with(&airferry, &["--key", "plain.pem"]).fails_with(8);

    fs::write(airferry.path("right"), "correct horse\n").unwrap();
    fs::write(airferry.path("wrong"), "battery staple\n").unwrap();
    let encrypt = [
        "pkcs8",
        "-topk8",
        "-in",
        "plain.pem",
        "-out",
        "locked.pem",
        "-passout",
        "file:right",
    ];
    openssl(&airferry, &encrypt);
    chmod(&airferry.path("locked.pem"), 0o600);
    let with = |file: &str| {
        sign_with(
            &airferry,
            &["--key", "locked.pem", "--passphrase-file", file],
        )
    };
    with("right").fails_with(8);
    with("wrong")
        .fails_with(2)
        .stderr_has("`locked.pem`")
        .stderr_has("The passphrase is wrong")
        .hides("battery staple");

    let mut command = airferry.command();
    command
        .args(["sign", "no-bundle", "--key", "locked.pem"])
        .env("AIRFERRY_PASSPHRASE", "correct horse");
    Outcome::of(command).fails_with(8).hides("correct horse");

    sign_with(&airferry, &["--key", "locked.pem"])
        .fails_with(2)
        .stderr_has("--passphrase-file");
}

#[test]
fn keys_that_are_of_no_use_are_named() {
    let airferry = Airferry::new();
    airferry.run(["keygen", "--out", "exporter"]).succeeds();
    openssl(&airferry, &["genrsa", "-out", "rsa.pem", "2048"]);
    fs::write(airferry.path("notes.txt"), "no key\n").unwrap();
    for (file, reason) in [
        ("rsa.pem", "RSA"),
        ("notes.txt", "no PEM block"),
        ("exporter.pub", "give the private key"),
        ("missing.pem", "missing.pem"),
    ] {
        if let Ok(metadata) = fs::metadata(airferry.path(file)) {
            assert!(metadata.is_file());
            chmod(&airferry.path(file), 0o600);
        }
        sign_with(&airferry, &["--key", file])
            .fails_with(2)
            .stderr_has(file)
            .stderr_has(reason);
    }
}

#[test]
fn a_private_key_that_others_can_read_is_refused() {
    let airferry = Airferry::new();
    airferry.run(["keygen", "--out", "exporter"]).succeeds();
    chmod(&airferry.path("exporter.pem"), 0o644);
    sign_with(&airferry, &["--key", "exporter.pem"])
        .fails_with(2)
        .stderr_has("Others can read")
        .stderr_has("chmod 600")
        .stderr_has("--key-permissions=warn");
    let warned = ["--key", "exporter.pem", "--key-permissions=warn"];
    sign_with(&airferry, &warned)
        .fails_with(8)
        .stderr_has("warning: Others can read");
}

#[test]
fn help_and_pages_are_made_for_every_shell_and_verb() {
    let airferry = Airferry::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        airferry
            .run(["completions", shell])
            .succeeds()
            .stdout_has("keygen");
    }
    airferry.run(["man", "--dir", "pages"]).succeeds();
    let page = fs::read_to_string(airferry.path("pages/airferry-keygen.1")).unwrap();
    assert!(page.contains("\n.SH EXAMPLES\n.nf\n"), "{page}");
    airferry.run(["man", "keygen"]).succeeds().stdout_is(&page);
    airferry
        .run(["man", "no-such-verb"])
        .fails_with(2)
        .stderr_has("`no-such-verb`");
}

/// An account with the keys of an exporter and a reviewer, and a small bundle.
struct Signed {
    airferry: Airferry,
}

impl Signed {
    fn new() -> Self {
        let airferry = Airferry::new();
        for name in ["exporter", "reviewer"] {
            airferry.run(["keygen", "--out", name]).succeeds();
        }
        let registry = DockerRegistry::start();
        let host = registry.host().to_string();
        let image = Build::oci("keys").layer(1000).image();
        push(&host, "team/app", Some("v1"), &image);
        let reference = format!("{host}/team/app:v1");
        airferry
            .run([
                "export",
                &reference,
                "--to",
                "bundle",
                "--key",
                "exporter.pem",
                "--tls-verify=false",
            ])
            .succeeds();
        Self { airferry }
    }

    /// Runs `sign`; returns the paths of the statement and of the signature.
    fn sign(&self, more: &[&str]) -> (String, String) {
        let call = [&["sign", "bundle", "--output", "json"], more].concat();
        let signed = self.airferry.run(call).succeeds().json();
        let file = |name: &str| signed[name].as_str().unwrap().to_owned();
        (file("statement"), file("signature"))
    }

    /// Checks a signature with openssl alone, as is possible without airferry.
    fn openssl_verifies(&self, public: &str, statement: &str, signature: &str) -> bool {
        let mut command = self.airferry.wrap(Command::new(require("openssl")));
        command.args(["pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin"]);
        command.args(["-in", statement, "-sigfile", signature]);
        command.output().unwrap().status.success()
    }
}

#[test]
fn openssl_verifies_what_was_signed() {
    let signed = Signed::new();
    let (statement, signature) = signed.sign(&[
        "--key",
        "reviewer.pem",
        "--role",
        "reviewer",
        "--comment",
        "audit 2026-117",
        "--expires",
        "2099-12-31T00:00:00Z",
    ]);
    assert!(signed.openssl_verifies("reviewer.pub", &statement, &signature));
    assert!(!signed.openssl_verifies("exporter.pub", &statement, &signature));
    let path = signed.airferry.path(&statement);
    let text = fs::read_to_string(&path).unwrap();
    for part in [
        "reviewer",
        "approve",
        "audit 2026-117",
        "2099-12-31T00:00:00Z",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    fs::write(&path, text.replace("approve", "reject")).unwrap();
    assert!(!signed.openssl_verifies("reviewer.pub", &statement, &signature));
}

#[test]
fn who_signs_without_a_role_is_the_exporter() {
    let signed = Signed::new();
    let verify = ["verify", "bundle", "--trust", "reviewer.pub"];
    signed.airferry.run(verify).fails_with(3);
    signed.sign(&["--key", "reviewer.pem", "--role", "reviewer"]);
    signed.airferry.run(verify).fails_with(3);
    signed.sign(&["--key", "reviewer.pem"]);
    signed.airferry.run(verify).succeeds();
}

#[test]
fn statements_can_stay_outside_of_the_bundle() {
    let signed = Signed::new();
    let before = fs::read_dir(signed.airferry.path("bundle/signatures")).unwrap();
    let before = before.count();
    let (statement, signature) = signed.sign(&["--key", "reviewer.pem", "--statements", "out"]);
    assert!(statement.starts_with("out/"), "{statement}");
    assert!(signed.openssl_verifies("reviewer.pub", &statement, &signature));
    let after = fs::read_dir(signed.airferry.path("bundle/signatures")).unwrap();
    assert_eq!(after.count(), before);
}

#[test]
fn a_command_signs_without_showing_its_key() {
    let signed = Signed::new();
    // openssl signs only a file, because it needs the length.
    let command = "cat > asked && openssl pkeyutl -sign -rawin -inkey reviewer.pem -in asked";
    let (statement, signature) = signed.sign(&[
        "--signer-command",
        command,
        "--signer-public",
        "reviewer.pub",
    ]);
    assert!(signed.openssl_verifies("reviewer.pub", &statement, &signature));

    // The key that signs is not the one that was named.
    let call = ["sign", "bundle", "--signer-command", command];
    let wrong = [&call[..], &["--signer-public", "exporter.pub"]].concat();
    signed.airferry.run(wrong).fails_with(2);
}

#[test]
fn a_key_that_came_with_the_bundle_proves_nothing() {
    let signed = Signed::new();
    let airferry = &signed.airferry;
    airferry
        .run(["verify", "bundle", "--trust", "exporter.pub"])
        .succeeds();
    airferry
        .run(["verify", "bundle", "--trust", "reviewer.pub"])
        .fails_with(3);
    airferry
        .run(["verify", "bundle", "--trust", "exporter.pem"])
        .fails_with(2)
        .stderr_has("this is the private key");

    fs::copy(
        airferry.path("exporter.pub"),
        airferry.path("bundle/exporter.pub"),
    )
    .unwrap();
    let call = ["verify", "bundle", "--trust", "bundle/exporter.pub"];
    airferry
        .run(call)
        .fails_with(2)
        .stderr_has("proves nothing")
        .stderr_has("--trust-fingerprint");
    let spoken = airferry
        .run(["keygen", "--show", "exporter.pub"])
        .succeeds();
    let told = [&call[..], &["--trust-fingerprint", &spoken.stdout]].concat();
    airferry.run(told).succeeds();
    let other = "0".repeat(64);
    let wrong = [&call[..], &["--trust-fingerprint", &other]].concat();
    airferry.run(wrong).fails_with(2).stderr_has(&other);
}

/// A key on the medium that carries the bundle, but outside the bundle's directory.
#[test]
fn a_key_on_the_bundles_medium_proves_nothing_either() {
    let signed = Signed::new();
    let airferry = &signed.airferry;
    for kind in FileSystem::REMOVABLE {
        let Some(medium) = Medium::fresh(kind, 64 * MIB) else {
            return;
        };
        let (bundle, key) = (
            medium.path().join("okd"),
            medium.path().join("exporter.pub"),
        );
        let mut copy = Command::new(require("cp"));
        copy.arg("-r").arg(airferry.path("bundle")).arg(&bundle);
        run(&mut copy);
        // Not `fs::copy`, which sets permissions.
        let text = fs::read(airferry.path("exporter.pub")).unwrap();
        fs::write(&key, text).unwrap();
        let verify = |key: &Path| {
            let mut command = airferry.command();
            command.arg("verify").arg(&bundle).arg("--trust").arg(key);
            Outcome::of(command)
        };
        verify(&key)
            .fails_with(2)
            .stderr_has("is on the bundle's medium");
        verify(&airferry.path("exporter.pub")).succeeds();
    }
}
