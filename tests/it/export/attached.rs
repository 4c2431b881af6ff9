//! Signatures and referrers: what a source lists, refuses to list, or cannot list at the moment.

use std::path::Path;

use serde_json::{Value, json};

use super::site::Site;
use crate::support::fake_registry::{Asked, Reply};
use crate::support::images::{Build, Image, index};

/// An image with a signature by tag and an SBOM with a subject.
struct Signed {
    image: Image,
    signature: Image,
    sbom: Image,
}

impl Signed {
    fn new() -> Self {
        let image = Build::oci("app").layer(KIB).image();
        let sbom = Build::artifact("application/spdx+json").file(b"{\"spdx\":1}");
        Self {
            sbom: sbom.subject(&image).image(),
            signature: Build::oci("cosign").layer(KIB).image(),
            image,
        }
    }

    /// Publishes the image and its signature, and returns the image's reference.
    fn put(&self, site: &Site) -> String {
        let tag = self.image.cosign_tag("sig");
        site.put("app", &tag, &self.signature);
        site.put("app", "v1", &self.image)
    }

    /// Publishes the SBOM so that the referrers API lists it.
    fn put_sbom(&self, site: &Site) {
        site.put("app", "elsewhere", &self.sbom);
        site.untag("app", "elsewhere");
        site.with_referrers();
    }
}

const KIB: usize = 1024;

fn lists(asked: &Asked) -> bool {
    asked.path().contains("/referrers/")
}

fn refuse_lists(site: &Site, reply: impl Fn() -> Reply + Send + 'static) {
    site.fault(move |asked| lists(asked).then(&reply));
}

/// Returns the first image as `inspect` describes it.
fn inspected(site: &Site, bundle: &Path) -> Value {
    let bundle = bundle.to_str().unwrap();
    let args = [
        "inspect",
        bundle,
        "--trust",
        "exporter.pub",
        "--output",
        "json",
    ];
    site.run(args).succeeds().json()["images"][0].clone()
}

#[test]
fn a_source_that_refuses_to_list_referrers_costs_no_image() {
    for status in [400, 401, 403, 405, 406, 501, 200] {
        let site = Site::new();
        let reference = Signed::new().put(&site);
        refuse_lists(&site, move || Reply::new(status).body("<html>no</html>"));
        let bundle = site.path("bundle");
        let outcome = site
            .export(&bundle, &[&reference, "--output", "json"])
            .succeeds();
        outcome.stderr_has("recorded as unknown");
        let done = outcome.json();
        assert_eq!(done["complete"], true, "{status}: {done:#}");
        assert_eq!(done["images"][0]["attached"], 1, "{status}");
        // The image and its signature: each list is requested once, whatever the answer.
        let asked = site.asked();
        assert_eq!(
            asked.iter().filter(|asked| lists(asked)).count(),
            2,
            "{status}"
        );
        let image = inspected(&site, &bundle);
        assert_eq!(image["cosign"], "carried", "{status}");
        assert_eq!(image["referrers"], "unknown", "{status}");
        site.verify(&bundle, &["--strict"]).succeeds();
        // The same answer again changes nothing.
        let again = site.export_json(&bundle, &[&reference], 0);
        assert_eq!(again["state"], "already-complete", "{status}");

        let required = site.path("required");
        let how = ["--attachments", "required"];
        let done = site.export_json(&required, &[&[reference.as_str()], &how[..]].concat(), 5);
        assert_eq!(done["complete"], false);
    }
}

#[test]
fn the_fallback_tag_stands_in_where_lists_are_refused() {
    let site = Site::new();
    let signed = Signed::new();
    let reference = signed.put(&site);
    site.put("app", &signed.image.fallback_tag(), &index([&signed.sbom]));
    refuse_lists(&site, || Reply::error(405, "UNSUPPORTED"));
    let bundle = site.path("bundle");
    let done = site.export_json(&bundle, &[&reference], 0);
    assert_eq!(done["images"][0]["attached"], 2, "{done:#}");
    assert_ne!(inspected(&site, &bundle)["referrers"], "absent");
}

#[test]
fn a_source_that_does_not_answer_is_asked_again_by_the_same_command() {
    let site = Site::new();
    let signed = Signed::new();
    let reference = signed.put(&site);
    let bundle = site.path("bundle");
    let args = [reference.as_str(), "--retries", "0"];
    refuse_lists(&site, || Reply::new(503));
    for _ in 0..2 {
        let done = site.export_json(&bundle, &args, 6);
        assert_eq!(done["complete"], true, "{done:#}");
        assert_eq!(done["generation"], 1);
        assert_eq!(done["unanswered"], json!([reference]));
    }
    let image = inspected(&site, &bundle);
    assert_eq!(
        (&image["referrers"], &image["attached"]),
        (&json!("unknown"), &json!(1))
    );
    site.verify(&bundle, &["--strict"]).succeeds();

    // If no request is answered, the sealed bundle stays.
    site.fault(|_| Some(Reply::new(503)));
    let done = site.export_json(&bundle, &args, 6);
    assert_eq!(done["complete"], true, "{done:#}");

    site.heal();
    signed.put_sbom(&site);
    let done = site.export_json(&bundle, &args, 0);
    assert_eq!(
        (&done["generation"], &done["state"]),
        (&json!(2), &json!("sealed"))
    );
    let image = inspected(&site, &bundle);
    assert_eq!(
        (&image["referrers"], &image["attached"]),
        (&json!("carried"), &json!(2))
    );
    site.verify(&bundle, &["--strict"]).succeeds();
    let done = site.export_json(&bundle, &args, 0);
    assert_eq!(done["state"], "already-complete");
}

#[test]
fn none_is_recorded_only_when_the_registry_says_so() {
    let site = Site::new();
    let reference = Signed::new().put(&site);
    let bundle = site.path("bundle");
    refuse_lists(&site, || Reply::new(429));
    site.export_json(&bundle, &[&reference, "--retries", "0"], 6);
    site.heal();
    let done = site.export_json(&bundle, &[&reference, "--retries", "0"], 0);
    assert_eq!(done["generation"], 2, "{done:#}");
    assert_eq!(inspected(&site, &bundle)["referrers"], "absent");
    site.verify(&bundle, &["--strict"]).succeeds();
}

#[test]
fn an_artifact_that_cannot_be_had_costs_itself() {
    for (status, code) in [(404, 0), (503, 6)] {
        let site = Site::new();
        let signed = Signed::new();
        let reference = signed.put(&site);
        signed.put_sbom(&site);
        let digest = signed.sbom.digest();
        site.fault(move |asked| asked.path().ends_with(&digest).then(|| Reply::new(status)));
        let bundle = site.path("bundle");
        let done = site.export_json(&bundle, &[&reference, "--retries", "0"], code);
        assert_eq!(done["complete"], true, "{done:#}");
        let image = inspected(&site, &bundle);
        assert_eq!(
            (&image["referrers"], &image["attached"]),
            (&json!("unknown"), &json!(1))
        );
    }
}

/// Whatever the answer to a request for a list of referrers, all other requests keep their login.
#[test]
fn a_login_that_only_lists_ask_for_costs_no_image() {
    for (realm, code) in [("http://127.0.0.1:1/token", 6), ("/nowhere", 0)] {
        let site = Site::new();
        let reference = Signed::new().put(&site);
        refuse_lists(&site, move || {
            let challenge = format!("Bearer realm=\"{realm}\",service=\"s\"");
            Reply::new(401).header("www-authenticate", challenge)
        });
        let bundle = site.path("bundle");
        let done = site.export_json(&bundle, &[&reference, "--retries", "0"], code);
        assert_eq!(done["complete"], true, "{realm}: {done:#}");
        let image = inspected(&site, &bundle);
        assert_eq!(
            (&image["cosign"], &image["referrers"], &image["attached"]),
            (&json!("carried"), &json!("unknown"), &json!(1)),
            "{realm}"
        );
    }
}

#[test]
fn a_blob_of_an_artifact_that_cannot_be_had_costs_the_artifact() {
    for status in [401, 403, 404] {
        let site = Site::new();
        let signed = Signed::new();
        let reference = signed.put(&site);
        signed.put_sbom(&site);
        let blob = signed.signature.blobs.last().unwrap().digest();
        site.fault(move |asked| asked.path().ends_with(&blob).then(|| Reply::new(status)));
        let bundle = site.path("bundle");
        let outcome = site.export(&bundle, &[&reference, "--output", "json"]);
        outcome.succeeds().stderr_has(&signed.signature.digest());
        let image = inspected(&site, &bundle);
        assert_eq!(
            (&image["cosign"], &image["referrers"], &image["attached"]),
            (&json!("unknown"), &json!("carried"), &json!(1)),
            "{status}"
        );
        site.verify(&bundle, &["--strict"]).succeeds();
    }
}

#[test]
fn a_list_without_an_end_is_given_up() {
    let site = Site::new();
    let image = Build::oci("app").layer(KIB).image();
    let reference = site.put("app", "v1", &image);
    site.fault(|asked| {
        let number = asked.target.split("n=").nth(1).unwrap_or("0");
        let next = number.parse::<u32>().unwrap_or(0) + 1;
        let link = format!("<{}?n={next}>; rel=\"next\"", asked.path());
        let page = Reply::new(200).body("{\"schemaVersion\":2,\"manifests\":[]}");
        lists(asked).then(|| page.header("link", link))
    });
    let bundle = site.path("bundle");
    site.export_json(&bundle, &[&reference], 0);
    assert_eq!(inspected(&site, &bundle)["referrers"], "unknown");
    assert!(site.asked().len() < 100);
}

#[test]
fn a_source_that_knows_no_such_tags_is_not_asked_again() {
    let site = Site::new();
    let signed = Signed::new();
    let reference = signed.put(&site);
    let tag = signed.image.cosign_tag("sig");
    site.fault(move |asked| asked.path().ends_with(&tag).then(|| Reply::new(501)));
    let bundle = site.path("bundle");
    let done = site.export_json(&bundle, &[&reference, "--retries", "0"], 0);
    assert_eq!(done["complete"], true, "{done:#}");
    assert_eq!(inspected(&site, &bundle)["cosign"], "unknown");
}

/// Publishes an index as buildx writes it: an image for each platform, each with an attestation.
fn attested(site: &Site, with_subject: bool) -> (String, Vec<Image>) {
    let mut entries = Vec::new();
    let mut images = Vec::new();
    for architecture in ["amd64", "arm64"] {
        let image = Build::oci(architecture).platform(&format!("linux/{architecture}"));
        let image = image.layer(KIB).image();
        let mut attestation =
            Build::artifact("application/vnd.docker.attestation.manifest.v1+json")
                .file(image.digest().as_bytes());
        if with_subject {
            attestation = attestation.subject(&image);
        }
        let attestation = attestation.image();
        entries.push(json!({
            "mediaType": attestation.media_type,
            "digest": attestation.digest(),
            "size": attestation.bytes.len(),
            "platform": { "os": "unknown", "architecture": "unknown" },
            "annotations": {
                "vnd.docker.reference.digest": image.digest(),
                "vnd.docker.reference.type": "attestation-manifest",
            },
        }));
        entries.push(json!({
            "mediaType": image.media_type,
            "digest": image.digest(),
            "size": image.bytes.len(),
            "platform": { "os": "linux", "architecture": architecture },
        }));
        for part in [&image, &attestation] {
            site.put("built", &part.digest(), part);
        }
        images.extend([image, attestation]);
    }
    let media_type = "application/vnd.oci.image.index.v1+json";
    let document = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": entries });
    site.put_manifest("built", "v1", media_type, document.to_string().as_bytes());
    (format!("{}/built:v1", site.host()), images)
}

#[test]
fn attestations_travel_with_the_platform_that_they_describe() {
    for with_subject in [false, true] {
        let site = Site::new();
        let (reference, _) = attested(&site, with_subject);
        let bundle = site.path("one");
        let done = site.export_json(&bundle, &[&reference, "--platform", "linux/arm64"], 0);
        // The index, one image, its attestation.
        assert_eq!(done["manifests"], 3, "{done:#}");
        assert_eq!(
            inspected(&site, &bundle)["sparse"],
            true,
            "the other platform is left out"
        );
        site.verify(&bundle, &["--strict"]).succeeds();

        let bundle = site.path("both");
        let both = ["--platform", "linux/arm64,linux/amd64"];
        let outcome = site.export(&bundle, &[&[reference.as_str()], &both[..]].concat());
        assert!(!outcome.succeeds().stderr.contains("sparse"));
        assert_eq!(inspected(&site, &bundle)["sparse"], false);
        site.verify(&bundle, &["--strict"]).succeeds();
    }
}
