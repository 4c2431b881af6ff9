//! Features of real sites: private certificate authorities, clients with certificates, proxies,
//! credential helpers, sticks of all kinds, and finally podman.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::*;
use crate::support::authority::Authority;
use crate::support::docker_registry::Settings;
use crate::support::forward_proxy::ForwardProxy;
use crate::support::media::FileSystem;
use crate::support::tools::{require, run};

/// Exports a bundle with one image, `team/app:v1`.
fn bundle(stage: &Stage) -> (PathBuf, Image) {
    let image = Build::docker("app").layer(5000).image();
    let reference = stage.publish("team/app", "v1", &image);
    (stage.export("bundle", &[&reference], &[]), image)
}

/// Makes a directory for `--cert-dir`.
fn certificates(stage: &Stage, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let directory = stage.importer.path(name);
    fs::create_dir(&directory).unwrap();
    for (name, text) in files {
        fs::write(directory.join(name), text).unwrap();
    }
    directory
}

/// Returns the manifest of a tag, as skopeo reads it from a registry with TLS.
fn inspected(reference: &str, certificates: &Path) -> String {
    let mut skopeo = Command::new(require("skopeo"));
    skopeo.args(["inspect", "--raw", "--cert-dir"]);
    skopeo.arg(certificates).arg(reference);
    run(&mut skopeo)
}

#[test]
fn a_private_authority_is_accepted_and_a_stranger_is_not() {
    let stage = Stage::new();
    let (bundle, image) = bundle(&stage);
    let authority = Authority::new("the site's");
    let target = DockerRegistry::start_tls(Settings::default(), &authority);
    let host = target.host().to_string();
    let right = certificates(&stage, "right", &[("ca.crt", &authority.pem())]);
    let stranger = Authority::new("a stranger's").pem();
    let wrong = certificates(&stage, "wrong", &[("ca.crt", &stranger)]);
    let import = |more: &[&str]| {
        let mut command = stage.import_command_over_tls(&bundle, &host, more);
        command.args(["--retries", "0"]);
        Outcome::of(command)
    };
    for more in [&[][..], &["--cert-dir", wrong.to_str().unwrap()]] {
        let outcome = import(more).fails_with(7);
        outcome
            .stderr_has(&host)
            .stderr_has("CN=the site's")
            .stderr_has("is not trusted here");
        outcome.stderr_has("--cert-dir");
        assert_eq!(outcome.stderr.matches("error:").count(), 1, "{outcome}");
    }
    import(&["--cert-dir", right.to_str().unwrap()]).succeeds();
    let reference = format!("docker://{host}/team/app:v1");
    assert_eq!(inspected(&reference, &right).into_bytes(), image.bytes);

    // podman's place is read too: certs.d of the account.
    let known = stage.importer.path(".config/containers/certs.d");
    fs::create_dir_all(known.join(&host)).unwrap();
    fs::copy(right.join("ca.crt"), known.join(&host).join("ca.crt")).unwrap();
    import(&[]).succeeds();
}

#[test]
fn a_client_certificate_is_shown_to_who_asks_for_it() {
    let stage = Stage::new();
    let (bundle, image) = bundle(&stage);
    let authority = Authority::new("the site's");
    let settings = Settings {
        client_certificates: true,
        ..Settings::default()
    };
    let target = DockerRegistry::start_tls(settings, &authority);
    let host = target.host().to_string();
    let pem = authority.pem();
    let client = authority.client("importer");
    let nobody = certificates(&stage, "nobody", &[("ca.crt", &pem)]);
    let ours = [
        ("ca.crt", pem.as_str()),
        ("client.cert", &client.certificate),
        ("client.key", &client.key),
    ];
    let ours = certificates(&stage, "ours", &ours);
    let import = |directory: &Path| {
        let more = ["--retries", "0", "--cert-dir", directory.to_str().unwrap()];
        Outcome::of(stage.import_command_over_tls(&bundle, &host, &more))
    };
    // The server closes the connection; its alert may arrive before, or not at all.
    import(&nobody).fails_with(7).stderr_has("cannot be used");
    import(&ours).succeeds().hides("PRIVATE KEY");
    let reference = format!("docker://{host}/team/app:v1");
    assert_eq!(inspected(&reference, &ours).into_bytes(), image.bytes);
}

#[test]
fn proxies_of_the_environment_are_used_and_spared() {
    let stage = Stage::new();
    let (bundle, image) = bundle(&stage);
    let authority = Authority::new("the site's");
    let target = DockerRegistry::start_tls(Settings::default(), &authority);
    let host = target.host();
    let directory = certificates(&stage, "certificates", &[("ca.crt", &authority.pem())]);
    let directory_text = directory.to_str().unwrap();
    let more = ["--cert-dir", directory_text, "--retries", "0"];
    let import = |to: &str, variables: &[(&str, &str)]| {
        let mut command = stage.import_command_over_tls(&bundle, to, &more);
        command.envs(variables.iter().copied());
        Outcome::of(command)
    };
    // Only the proxy can resolve this name.
    let proxy = ForwardProxy::to(&host.to_string());
    let name = "registry.test:5000";
    import(name, &[("https_proxy", &proxy.url())]).succeeds();
    let asked = proxy.asked();
    assert!(!asked.is_empty());
    assert!(
        asked
            .iter()
            .all(|line| line == "CONNECT registry.test:5000"),
        "{asked:?}"
    );
    let reference = format!("docker://{host}/team/app:v1");
    assert_eq!(inspected(&reference, &directory).into_bytes(), image.bytes);

    // Loopback is contacted without the proxy, as by Go's clients.
    let spared = ForwardProxy::to("127.0.0.1:1");
    let url = spared.url();
    import(&host.to_string(), &[("HTTPS_PROXY", url.as_str())]).succeeds();
    assert_eq!(spared.asked(), [""; 0]);
    // So are the hosts in NO_PROXY; this name does not resolve.
    for no_proxy in ["*.test", ".test", "registry.test:5000", "registry.test"] {
        let variables = [("HTTPS_PROXY", url.as_str()), ("NO_PROXY", no_proxy)];
        let outcome = import(name, &variables).fails_with(7);
        outcome.hides("through the proxy");
        assert_eq!(spared.asked(), [""; 0], "{no_proxy}");
    }
    let variables = [
        ("HTTPS_PROXY", url.as_str()),
        ("NO_PROXY", "registry.test:1,*.registry.test"),
    ];
    import(name, &variables).fails_with(7);
    assert_ne!(spared.asked(), [""; 0]);
}

#[test]
fn plain_http_goes_through_its_proxy_too() {
    let stage = Stage::new();
    let (bundle, image) = bundle(&stage);
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let proxy = ForwardProxy::to(&host);
    let mut import = stage.import_command(&bundle, "registry.test:5000", &[]);
    import.env("http_proxy", proxy.url());
    Outcome::of(import).succeeds();
    assert_whole(&host, "team/app", &image);
    let asked = proxy.asked();
    let upload = "PUT http://registry.test:5000/v2/team/app/manifests/v1";
    assert!(asked.iter().any(|line| line == upload), "{asked:?}");
}

#[test]
fn a_credential_helper_logs_in() {
    // bcrypt of the password, cost 5.
    const LINE: &str = "user:$2b$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n";
    const HELPER: &str = "#!/bin/sh\n\
        read -r server\n\
        printf '%s %s\\n' \"$1\" \"$server\" >>\"$HOME/asked\"\n\
        printf '{\"ServerURL\":\"%s\",\"Username\":\"user\",\"Secret\":\"hunter2\"}' \"$server\"\n";
    let stage = Stage::new();
    let (bundle, _) = bundle(&stage);
    let target = DockerRegistry::start_with(Settings {
        htpasswd: Some(LINE),
        ..Settings::default()
    });
    let host = target.host().to_string();
    let directory = stage.importer.path("bin");
    fs::create_dir(&directory).unwrap();
    let helper = directory.join("docker-credential-fake");
    fs::write(&helper, HELPER).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let auth = stage.importer.path("auth.json");
    let document = serde_json::json!({ "credHelpers": { &host: "fake" } });
    fs::write(&auth, document.to_string()).unwrap();
    let import = |path: &std::ffi::OsStr| {
        let more = ["--authfile", auth.to_str().unwrap()];
        let mut command = stage.import_command(&bundle, &host, &more);
        command.env("PATH", path);
        Outcome::of(command)
    };
    let usual = std::env::var_os("PATH").unwrap_or_default();
    let missing = import(&usual).fails_with(7);
    missing.stderr_has("docker-credential-fake");
    let mut path = directory.into_os_string();
    path.push(":");
    path.push(&usual);
    let outcome = import(&path).succeeds();
    outcome.hides("hunter2");
    let asked = fs::read_to_string(stage.importer.path("asked")).unwrap();
    assert_eq!(asked, format!("get {host}\n"));
}

#[test]
fn sticks_of_every_kind_are_read_write_protected_or_not() {
    for kind in [FileSystem::Fat32, FileSystem::Ntfs] {
        let Some(mut stick) = Medium::fresh(kind, 64 * MIB) else {
            return;
        };
        let stage = Stage::new();
        let image = Build::oci("app").layer(200_000).image();
        let reference = stage.publish("team/app", "v1", &image);
        let on_stick = stick.path().join("okd");
        let mut export = stage.exporter.command();
        export.arg("export").arg(&reference).arg("--to");
        export.arg(&on_stick).arg("--key");
        export.arg(stage.exporter.path("exporter.pem"));
        export.args(["--tls-verify=false", "--quiet"]);
        Outcome::of(export).succeeds();
        let there = files(&on_stick);
        for read_only in [true, false] {
            match read_only {
                true => stick.insert_read_only(),
                false => stick.insert(),
            }
            let target = DockerRegistry::start();
            let host = target.host().to_string();
            stage.import(&on_stick, &host, &[]).succeeds();
            assert_whole(&host, "team/app", &image);
            // No file is left on the medium either.
            assert_eq!(files(&on_stick), there, "{kind:?}");
        }
        stick.assert_sound();
    }
}

#[test]
fn podman_pulls_what_was_imported() {
    let podman = require("podman");
    let stage = Stage::new();
    let arm = Build::oci("list").platform("linux/arm64").layer(200);
    let list = index([&Build::oci("list").layer(200).image(), &arm.image()]);
    let zstd = Build::oci("zstd").zstd_layer(3000).image();
    let references = [
        stage.publish("team/list", "v1", &list),
        stage.publish("team/zstd", "v1", &zstd),
        stage.publish("team/app", "v1", &Build::docker("app").layer(5000).image()),
    ];
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    let bundle = stage.export("bundle", &references, &[]);
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    stage.import(&bundle, &host, &[]).succeeds();
    let storage = tempfile::tempdir().unwrap();
    let pull = |reference: &str| {
        let mut command = stage.importer.wrap(Command::new(&podman));
        command.args(["--storage-driver", "vfs", "--cgroup-manager", "cgroupfs"]);
        command.arg("--root").arg(storage.path().join("root"));
        command.arg("--runroot").arg(storage.path().join("run"));
        command.args(["pull", "--quiet", "--tls-verify=false", reference]);
        Outcome::of(command)
    };
    for name in ["list", "zstd", "app"] {
        let outcome = pull(&format!("{host}/team/{name}:v1")).succeeds();
        assert_eq!(outcome.stdout.trim().len(), 64, "{outcome}");
    }
    // By digest, as a cluster pulls it.
    pull(&format!("{host}/team/list@{}", list.digest())).succeeds();
    pull(&format!("{host}/team/nothing:v1")).fails_with(125);
}
