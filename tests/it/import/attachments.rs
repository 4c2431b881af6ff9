//! Signatures and other referrers on targets that refuse them, or refuse to list them.

use super::*;
use crate::support::proxy::Fate;

/// An image of Docker's types with a signature by tag and an SBOM with a subject, and a second
/// image without attachments.
struct Signed {
    stage: Stage,
    image: Image,
    signature: Image,
    sbom: Image,
    bundle: std::path::PathBuf,
}

impl Signed {
    fn new() -> Self {
        let stage = Stage::new();
        let source = stage.source.host().to_string();
        let image = Build::docker("app").layer(400).image();
        let signature = Build::oci("sig").typed_file(
            "application/vnd.dev.cosign.simplesigning.v1+json",
            b"{\"s\":1}",
        );
        let signature = signature.image();
        let sbom = Build::artifact("application/spdx+json").file(b"{\"sbom\":1}");
        let sbom = sbom.subject(&image).image();
        let references = [
            stage.publish("app", "v1", &image),
            stage.publish("other", "v1", &Build::docker("other").layer(300).image()),
        ];
        let tag = image.cosign_tag("sig");
        publish::push(&source, "app", Some(&tag), &signature);
        publish::push(&source, "app", None, &sbom);
        push_fallback(&source, "app", &image, &[&sbom]);
        let references: Vec<&str> = references.iter().map(String::as_str).collect();
        let bundle = stage.export("bundle", &references, &[]);
        Self {
            stage,
            image,
            signature,
            sbom,
            bundle,
        }
    }
}

/// Returns a proxy that refuses the signature of the image.
fn without_signatures(host: &str, image: &Image) -> Proxy {
    let proxy = Proxy::before(host);
    let tag = image.cosign_tag("sig");
    proxy.rule(move |method, target| match target.ends_with(&tag) {
        true if method == "PUT" => Fate::Answer(400, "MANIFEST_INVALID"),
        _ => Fate::Pass,
    });
    proxy
}

#[test]
fn a_refused_signature_costs_itself() {
    let signed = Signed::new();
    let (stage, bundle, image) = (&signed.stage, &signed.bundle, &signed.image);
    let tag = image.cosign_tag("sig");
    // Without `--attachments`, a refused signature fails the command, after all images were
    // imported.
    for (how, code) in [(None, 7), (Some("best-effort"), 0)] {
        let target = DockerRegistry::start();
        let host = target.host().to_string();
        let proxy = without_signatures(&host, image);
        let mut more = vec!["--output", "json"];
        more.extend(how.into_iter().flat_map(|how| ["--attachments", how]));
        let outcome = stage.import(bundle, &proxy.host(), &more).fails_with(code);
        assert_eq!(digest_at(&host, "app", "v1"), Some(image.digest()));
        assert!(digest_at(&host, "other", "v1").is_some());
        assert_eq!(digest_at(&host, "app", &tag), None);
        let expected = BTreeSet::from([signed.sbom.digest()]);
        assert_eq!(
            listed(&host, "app", image),
            expected,
            "the others are there"
        );
        let report = outcome.json();
        let refused = &report["images"][0]["refused_attachments"][0];
        assert_eq!(refused["digest"], signed.signature.digest(), "{report:#}");
        assert_eq!(refused["tags"][0], tag.as_str());
        assert_eq!(report["images"][0]["state"], "committed");
        if code == 7 {
            outcome
                .stderr_has(&tag)
                .stderr_has("--attachments=best-effort");
        }
    }
}

#[test]
fn an_image_that_needs_its_signature_is_not_visible_without() {
    let signed = Signed::new();
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let proxy = without_signatures(&host, &signed.image);
    let more = ["--attachments", "required"];
    let outcome = signed.stage.import(&signed.bundle, &proxy.host(), &more);
    outcome.fails_with(7).stderr_has("app:v1");
    assert_eq!(digest_at(&host, "app", "v1"), None);
    assert!(digest_at(&host, "other", "v1").is_some());
}

#[test]
fn attachments_stay_behind_when_asked() {
    let signed = Signed::new();
    let (stage, bundle, image) = (&signed.stage, &signed.bundle, &signed.image);
    let tag = image.cosign_tag("sig");
    let blobs = |image: &Image| image.blobs.last().unwrap().digest();
    let has =
        |host: &str, digest: &str| ask(host, "HEAD", &format!("app/blobs/{digest}")).status == 200;

    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let none = ["--attachments", "none"];
    stage
        .import(bundle, &host, &none)
        .succeeds()
        .stdout_has("not sent, as asked: 2");
    assert_eq!(digest_at(&host, "app", "v1"), Some(image.digest()));
    assert_eq!(digest_at(&host, "app", &tag), None);
    assert_eq!(listed(&host, "app", image), BTreeSet::new());
    for artifact in [&signed.signature, &signed.sbom] {
        assert!(
            !has(&host, &blobs(artifact)),
            "its blobs are not sent either"
        );
    }

    let target = DockerRegistry::start();
    let host = target.host().to_string();
    stage
        .import(bundle, &host, &["--remove-signatures"])
        .succeeds();
    assert_eq!(digest_at(&host, "app", &tag), None);
    assert!(!has(&host, &blobs(&signed.signature)));
    let expected = BTreeSet::from([signed.sbom.digest()]);
    assert_eq!(listed(&host, "app", image), expected);
    // A later import can still send them.
    stage.import(bundle, &host, &[]).succeeds();
    assert_eq!(
        digest_at(&host, "app", &tag),
        Some(signed.signature.digest())
    );
}

/// Blobs that only a signature needs may be absent, if the base was imported without signatures.
#[test]
fn a_base_without_its_signatures_does_not_stop_the_next_import() {
    let signed = Signed::new();
    let (stage, bundle, image) = (&signed.stage, &signed.bundle, &signed.image);
    let source = stage.source.host();
    let next = stage.publish("next", "v1", &Build::docker("next").layer(300).image());
    let base = ["--base", bundle.to_str().unwrap()];
    let second = stage.export("second", &[&format!("{source}/app:v1"), &next], &base);
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let none = ["--attachments", "none"];
    stage.import(bundle, &host, &none).succeeds();
    let required = ["--attachments", "required"];
    stage
        .import(&second, &host, &required)
        .fails_with(7)
        .stderr_has("nothing was changed");
    let outcome = stage.import(&second, &host, &[]).fails_with(7);
    outcome.stderr_has(&image.cosign_tag("sig"));
    assert!(digest_at(&host, "next", "v1").is_some());
    stage.import(&second, &host, &none).succeeds();
    // An import of the whole base sends them.
    stage.import(bundle, &host, &[]).succeeds();
    stage.import(&second, &host, &[]).succeeds();
}

/// Each repository is asked only once whether it lists referrers, however many manifests it has.
#[test]
fn a_target_that_does_not_list_referrers_has_the_fallback_tag() {
    let stage = Stage::new();
    let source = stage.source.host().to_string();
    let mut references = Vec::new();
    let mut pairs = Vec::new();
    for name in ["one", "two", "three"] {
        let image = Build::oci(name).layer(200).image();
        let sbom = Build::artifact("application/spdx+json").file(name.as_bytes());
        let sbom = sbom.subject(&image).image();
        references.push(stage.publish("app", name, &image));
        publish::push(&source, "app", None, &sbom);
        push_fallback(&source, "app", &image, &[&sbom]);
        pairs.push((image, sbom));
    }
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    let bundle = stage.export("bundle", &references, &[]);
    for status in [400, 401, 403, 404, 405, 406, 501] {
        let target = DockerRegistry::start();
        let host = target.host().to_string();
        let proxy = Proxy::before(&host);
        proxy.rule(move |_, target| match target.contains("/referrers/") {
            true => Fate::Answer(status, "UNSUPPORTED"),
            false => Fate::Pass,
        });
        stage.import(&bundle, &proxy.host(), &[]).succeeds();
        let asked = proxy.take();
        let asked = asked.iter().filter(|p| p.target.contains("/referrers/"));
        assert_eq!(asked.count(), 1, "{status}");
        for (image, sbom) in &pairs {
            let expected = BTreeSet::from([sbom.digest()]);
            assert_eq!(listed(&host, "app", image), expected, "{status}");
        }
        let outcome = stage.import(&bundle, &proxy.host(), &["--output", "json"]);
        assert_eq!(outcome.succeeds().json()["bytes_uploaded"], 0, "{status}");
        let changes = proxy.take();
        let changes = changes
            .iter()
            .filter(|p| !matches!(p.method.as_str(), "GET" | "HEAD"));
        assert_eq!(changes.count(), 0, "{status}");
    }
}
