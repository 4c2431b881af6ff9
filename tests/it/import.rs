//! `airferry import`, into Debian's docker-registry and into our own registry.

mod attachments;
mod faults;
mod names;
mod pinned;
mod releases;
mod requests;
mod resources;
mod resume;
mod shards;
mod site;
mod unseen;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::support::command::{Airferry, Outcome};
use crate::support::docker_registry::DockerRegistry;
use crate::support::images::publish::{Answer, send};
use crate::support::images::{Build, Image, digest_of, docker_list, index, publish};
use crate::support::media::{MIB, Medium};
use crate::support::netns::Namespace;
use crate::support::proxy::{Passed, Proxy};
use crate::support::stage::{Stage, files};

/// `airferry serve` with a store of its own, killed when it is dropped.
pub(crate) struct Serve {
    child: Child,
    pub(crate) host: String,
    _store: tempfile::TempDir,
}

impl Serve {
    pub(crate) fn start(account: &Airferry, more: &[&str]) -> Self {
        let store = tempfile::tempdir().unwrap();
        let mut child = account
            .command()
            .args(["serve", "--quiet", "--listen", "127.0.0.1:0", "--store"])
            .arg(store.path())
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.as_mut().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let (_, host) = line.trim_end().split_once("://").expect("an address");
        let host = host.to_owned();
        Self {
            child,
            host,
            _store: store,
        }
    }
}

impl Drop for Serve {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a GET or HEAD request to a registry's API.
pub(crate) fn ask(host: &str, method: &str, path: &str) -> Answer {
    let accept = "application/json";
    send(host, method, &format!("/v2/{path}"), accept, b"")
}

/// Returns the digest behind a tag; `None` if there is no such tag. Any media type is accepted.
pub(crate) fn digest_at(host: &str, repository: &str, tag: &str) -> Option<String> {
    let body = manifest_at(host, repository, tag)?;
    Some(digest_of(body.as_bytes()))
}

/// Returns the text of a manifest, fetched as skopeo would fetch it.
pub(crate) fn manifest_at(host: &str, repository: &str, tag: &str) -> Option<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(host).unwrap();
    write!(
        stream,
        "GET /v2/{repository}/manifests/{tag} HTTP/1.0\r\nHost: {host}\r\n\
         Accept: application/vnd.oci.image.index.v1+json\r\n\
         Accept: application/vnd.oci.image.manifest.v1+json\r\n\
         Accept: application/vnd.docker.distribution.manifest.v2+json\r\n\
         Accept: application/vnd.docker.distribution.manifest.list.v2+json\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    match head.split(' ').nth(1).unwrap() {
        "200" => Some(body.to_owned()),
        "404" => None,
        other => panic!("{other}: {answer}"),
    }
}

/// Asserts that an image is whole in a repository: the bytes of each manifest, the length of each
/// blob.
#[track_caller]
pub(crate) fn assert_whole(host: &str, repository: &str, image: &Image) {
    for part in image.walk() {
        let found = manifest_at(host, repository, &part.digest());
        assert_eq!(found.map(String::into_bytes), Some(part.bytes.clone()));
        for blob in part.blobs.iter().filter(|blob| blob.urls.is_empty()) {
            let digest = blob.digest();
            let answer = ask(host, "HEAD", &format!("{repository}/blobs/{digest}"));
            assert_eq!(answer.status, 200, "{repository} {digest}");
            let length = blob.bytes.len().to_string();
            assert_eq!(answer.header("content-length"), Some(length.as_str()));
        }
    }
}

/// Counts the requests by method and kind: `PUT manifests`, `GET blobs` and so on.
fn tally(passed: &[Passed]) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for passed in passed {
        let kinds = ["uploads", "blobs", "manifests", "referrers"];
        let kind = kinds.iter().find(|kind| {
            let needle = format!("/{kind}/");
            passed.target.contains(&needle)
        });
        let kind = kind.copied().unwrap_or("other");
        *tally
            .entry(format!("{} {kind}", passed.method))
            .or_default() += 1;
    }
    tally
}

/// Images of all kinds that a registry may have to hold.
struct Everything {
    schema2: Image,
    oci: Image,
    list: Image,
    nested: Image,
    zstd: Image,
    empty: Image,
    sbom: Image,
    signature: Image,
}

impl Everything {
    fn new() -> Self {
        let oci = Build::oci("oci").layer(3000).shared_layer("base", 5000);
        let arm = Build::docker("list").platform("linux/arm64").layer(200);
        let list = docker_list([&Build::docker("list").layer(200).image(), &arm.image()]);
        let deep = Build::oci("deep").shared_layer("base", 5000).image();
        let nested = index([&index([&deep]), &Build::oci("flat").layer(10).image()]);
        let oci = oci.image();
        let sbom = Build::artifact("application/spdx+json").file(b"{\"sbom\":1}");
        let signature = Build::oci("sig").typed_file(
            "application/vnd.dev.cosign.simplesigning.v1+json",
            b"{\"s\":1}",
        );
        Self {
            schema2: Build::docker("schema2").layer(3000).image(),
            zstd: Build::oci("zstd").zstd_layer(3000).image(),
            empty: Build::artifact("application/x-empty").file(b"").image(),
            sbom: sbom.subject(&oci).image(),
            signature: signature.image(),
            oci,
            list,
            nested,
        }
    }

    fn roots(&self) -> [(&'static str, &Image); 6] {
        [
            ("team/schema2", &self.schema2),
            ("team/oci", &self.oci),
            ("team/list", &self.list),
            ("deep/er/nested", &self.nested),
            ("zstd", &self.zstd),
            ("empty", &self.empty),
        ]
    }

    /// Publishes all of them at the source; returns the references to export.
    fn publish(&self, stage: &Stage) -> Vec<String> {
        let host = stage.source.host().to_string();
        let references = self
            .roots()
            .map(|(repository, image)| stage.publish(repository, "v1", image));
        publish::push(&host, "team/oci", None, &self.sbom);
        push_fallback(&host, "team/oci", &self.oci, &[&self.sbom]);
        let tag = self.oci.cosign_tag("sig");
        publish::push(&host, "team/oci", Some(&tag), &self.signature);
        references.to_vec()
    }
}

/// Writes the fallback index of a subject.
fn push_fallback(host: &str, repository: &str, subject: &Image, artifacts: &[&Image]) {
    let entries: Vec<Value> = artifacts
        .iter()
        .map(|artifact| {
            serde_json::json!({
                "mediaType": artifact.media_type,
                "digest": artifact.digest(),
                "size": artifact.bytes.len(),
                "artifactType": "application/spdx+json",
            })
        })
        .collect();
    let media_type = "application/vnd.oci.image.index.v1+json";
    let document = serde_json::json!({
        "schemaVersion": 2, "mediaType": media_type, "manifests": entries,
    });
    let tag = subject.fallback_tag();
    publish::push_manifest(
        host,
        repository,
        &tag,
        media_type,
        document.to_string().as_bytes(),
    );
}

/// Returns the digests that a fallback index lists.
fn listed(host: &str, repository: &str, subject: &Image) -> BTreeSet<String> {
    let Some(text) = manifest_at(host, repository, &subject.fallback_tag()) else {
        return BTreeSet::new();
    };
    let document: Value = serde_json::from_str(&text).unwrap();
    let entries = document["manifests"].as_array().unwrap();
    entries
        .iter()
        .map(|entry| entry["digest"].as_str().unwrap().to_owned())
        .collect()
}

fn exported(stage: &Stage, everything: &Everything) -> std::path::PathBuf {
    let references = everything.publish(stage);
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    stage.export("bundle", &references, &[])
}

#[test]
fn everything_arrives_under_its_own_digest_and_a_second_run_sends_nothing() {
    let stage = Stage::new();
    let everything = Everything::new();
    let bundle = exported(&stage, &everything);
    let distribution = DockerRegistry::start();
    let serve = Serve::start(&stage.importer, &[]);
    for host in [distribution.host().to_string(), serve.host.clone()] {
        let proxy = Proxy::before(&host);
        let to = format!("{}/lab", proxy.host());
        stage.import(&bundle, &to, &["--dry-run"]).succeeds();
        let asked = proxy.take();
        assert!(
            asked
                .iter()
                .all(|p| matches!(p.method.as_str(), "GET" | "HEAD")),
            "{asked:?}"
        );

        stage.import(&bundle, &to, &[]).succeeds();
        for (repository, image) in everything.roots() {
            let repository = format!("lab/{repository}");
            assert_eq!(
                digest_at(&host, &repository, "v1"),
                Some(image.digest()),
                "{repository}"
            );
            assert_whole(&host, &repository, image);
        }
        assert_whole(&host, "lab/team/oci", &everything.sbom);
        let tag = everything.oci.cosign_tag("sig");
        assert_eq!(
            digest_at(&host, "lab/team/oci", &tag),
            Some(everything.signature.digest())
        );
        // One blob in two repositories is sent once and mounted once.
        let asked = proxy.take();
        let mounts = asked
            .iter()
            .filter(|passed| passed.target.contains("mount="));
        let blobs: BTreeSet<String> = everything
            .roots()
            .iter()
            .map(|(_, image)| *image)
            .chain([&everything.sbom, &everything.signature])
            .flat_map(Image::walk)
            .flat_map(|image| image.blobs.iter().map(|blob| blob.digest()))
            .collect();
        assert!(mounts.count() >= 1, "{asked:?}");
        let sent = asked
            .iter()
            .filter(|p| p.method == "PUT" && p.target.contains("/uploads/"));
        assert_eq!(sent.count(), blobs.len(), "{asked:?}");

        let outcome = stage.import(&bundle, &to, &["--output", "json"]).succeeds();
        assert_eq!(outcome.json()["bytes_uploaded"], 0);
        let asked = proxy.take();
        let changes = asked
            .iter()
            .filter(|p| !matches!(p.method.as_str(), "GET" | "HEAD"));
        assert_eq!(changes.count(), 0, "{asked:?}");
        let tally = tally(&asked);
        let pairs: BTreeSet<(String, String)> = everything
            .roots()
            .iter()
            .map(|(repository, image)| (*repository, *image))
            .chain([
                ("team/oci", &everything.sbom),
                ("team/oci", &everything.signature),
            ])
            .flat_map(|(repository, image)| {
                let parts = image.walk().into_iter().cloned().collect::<Vec<_>>();
                parts.into_iter().flat_map(move |part| {
                    let blobs: Vec<_> = part
                        .blobs
                        .iter()
                        .map(|blob| (repository.to_owned(), blob.digest()))
                        .collect();
                    blobs
                })
            })
            .collect();
        assert_eq!(tally["GET blobs"], pairs.len(), "{tally:?}");
    }
    let host = distribution.host().to_string();
    let expected = BTreeSet::from([everything.sbom.digest()]);
    assert_eq!(listed(&host, "lab/team/oci", &everything.oci), expected);
}

#[test]
fn lists_of_attachments_are_united_with_what_is_there() {
    let stage = Stage::new();
    let everything = Everything::new();
    let bundle = exported(&stage, &everything);
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let theirs = Build::artifact("application/x-theirs")
        .file(b"theirs")
        .subject(&everything.oci)
        .image();
    let their_signature = Build::oci("their sig")
        .typed_file(
            "application/vnd.dev.cosign.simplesigning.v1+json",
            b"{\"t\":1}",
        )
        .image();
    publish::push(&host, "team/oci", None, &theirs);
    push_fallback(&host, "team/oci", &everything.oci, &[&theirs]);
    let tag = everything.oci.cosign_tag("sig");
    publish::push(&host, "team/oci", Some(&tag), &their_signature);

    stage.import(&bundle, &host, &[]).succeeds();
    let both = BTreeSet::from([theirs.digest(), everything.sbom.digest()]);
    assert_eq!(listed(&host, "team/oci", &everything.oci), both);
    let united: Value =
        serde_json::from_str(&manifest_at(&host, "team/oci", &tag).unwrap()).unwrap();
    let layers: BTreeSet<&str> = united["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|l| l["digest"].as_str().unwrap())
        .collect();
    let wanted = [&their_signature, &everything.signature].map(|s| s.blobs[1].digest());
    assert_eq!(layers, wanted.iter().map(String::as_str).collect());
    let outcome = stage
        .import(&bundle, &host, &["--output", "json"])
        .succeeds();
    assert_eq!(outcome.json()["bytes_uploaded"], 0);
    assert_eq!(listed(&host, "team/oci", &everything.oci), both);
}

#[test]
fn cluster_resources_are_what_import_wrote() {
    let stage = Stage::new();
    let bundle = exported(&stage, &Everything::new());
    let target = DockerRegistry::start();
    let to = format!("{}/lab", target.host());
    let out = |name: &str| stage.importer.path(name);
    let (first, second, third) = (out("first"), out("second"), out("third"));
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    stage
        .import(&bundle, &to, &["--resources", &text(&first)])
        .succeeds();
    stage
        .import(&bundle, &to, &["--resources", &text(&second)])
        .succeeds();
    let mut again = stage.importer.command();
    again
        .arg("cluster-resources")
        .arg(&bundle)
        .args(["--to", &to, "--trust"]);
    again.arg(stage.trusted()).arg("--resources").arg(&third);
    Outcome::of(again).succeeds();
    let written = files(&first);
    assert!(
        written.contains(&"import-report.json".to_owned()),
        "{written:?}"
    );
    assert!(written.len() >= 5, "{written:?}");
    for file in written.iter().filter(|file| *file != "import-report.json") {
        let wanted = fs::read_to_string(first.join(file)).unwrap();
        assert_eq!(
            fs::read_to_string(second.join(file)).unwrap(),
            wanted,
            "{file}"
        );
        assert_eq!(
            fs::read_to_string(third.join(file)).unwrap(),
            wanted,
            "{file}"
        );
    }
    let report = fs::read_to_string(first.join("import-report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["images"].as_array().unwrap().len(), 6);
}

#[test]
fn works_from_a_read_only_stick_in_a_network_that_has_the_registry_alone() {
    let Some(mut stick) = Medium::exfat(64 * MIB) else {
        return;
    };
    let Some(network) = Namespace::linked() else {
        return;
    };
    let stage = Stage::new();
    let image = Build::oci("app").layer(200_000).image();
    let reference = stage.publish("team/app", "v1", &image);
    let on_stick = stick.path().join("okd");
    let mut export = stage.exporter.command();
    export
        .arg("export")
        .arg(&reference)
        .arg("--to")
        .arg(&on_stick);
    export.arg("--key").arg(stage.exporter.path("exporter.pem"));
    export.args(["--tls-verify=false", "--quiet"]);
    Outcome::of(export).succeeds();
    fs::copy(stage.trusted(), stick.path().join("exporter.pub")).unwrap();
    stick.insert_read_only();

    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let reachable = Proxy::listening(&format!("{}:0", network.host()), &host);
    let import = stage.import_command(&on_stick, &reachable.host(), &[]);
    Outcome::of(network.enter(&import)).succeeds();
    assert_whole(&host, "team/app", &image);

    // A key that came on the stick proves nothing, unless its fingerprint came by another way.
    let mut verify = stage.importer.command();
    verify.arg("verify").arg(&on_stick).arg("--trust");
    verify.arg(stick.path().join("exporter.pub"));
    let outcome = Outcome::of(verify).fails_with(2);
    outcome.stderr_has("proves nothing");
    let report = stage
        .verify(&on_stick, &["--output", "json"])
        .succeeds()
        .json();
    let fingerprint = report["signers"][0]["key"].as_str().unwrap();
    let mut verify = stage.importer.command();
    verify.arg("verify").arg(&on_stick).arg("--trust");
    verify.arg(stick.path().join("exporter.pub"));
    verify.args(["--trust-fingerprint", fingerprint]);
    Outcome::of(verify).succeeds();
}

#[test]
fn credentials_are_shown_nowhere_and_state_is_private() {
    use std::os::unix::fs::PermissionsExt as _;
    // bcrypt of the password, cost 5.
    const LINE: &str = "user:$2b$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n";
    let password = "hunter2";
    let stage = Stage::new();
    let target = DockerRegistry::start_with(crate::support::docker_registry::Settings {
        secret: Some("a secret for tests"),
        htpasswd: Some(LINE),
        ..Default::default()
    });
    let host = target.host().to_string();
    let image = Build::oci("app").layer(2000).image();
    let reference = stage.publish("app", "v1", &image);
    let bundle = stage.export("bundle", &[&reference], &[]);
    let encoded = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(format!("user:{password}"))
    };
    let refused = stage.import(&bundle, &host, &[]).fails_with(7);
    refused.stderr_has(&host);
    let auth = stage.importer.path("auth.json");
    let write = |secret: &str| {
        let document = serde_json::json!({ "auths": { &host: { "auth": secret } } });
        fs::write(&auth, document.to_string()).unwrap();
    };
    write(&encoded.replace('Z', "Y"));
    let wrong = stage.import(&bundle, &host, &["--authfile", auth.to_str().unwrap()]);
    assert_eq!(wrong.code, Some(7), "{wrong}");
    refused
        .stderr_has("no credentials were found")
        .stderr_has("podman login");
    wrong
        .stderr_has("rejects the credentials")
        .stderr_has("podman login");
    write(&encoded);
    let out = stage.importer.path("out");
    let mut fine = stage.importer.command();
    fine.arg("import").arg(&bundle).args(["--to", &host]);
    fine.args(["--tls-verify=false", "--progress", "json"]);
    fine.arg("--trust").arg(stage.trusted());
    fine.arg("--authfile").arg(&auth);
    fine.arg("--resources").arg(&out);
    let fine = Outcome::of(fine).succeeds();
    for outcome in [&refused, &wrong, &fine] {
        outcome.hides(password).hides(&encoded);
    }
    for file in files(stage.importer.home()) {
        let path = stage.importer.path(&file);
        if path == auth {
            continue;
        }
        let content = String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        assert!(
            !content.contains(password) && !content.contains(&encoded),
            "{file}"
        );
        if file.contains(".local/state/") {
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&path) & 0o077, 0, "{file}");
            assert_eq!(mode(path.parent().unwrap()), 0o700, "{file}");
        }
    }
}
