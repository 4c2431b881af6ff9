//! The kinds of content in registries: each is carried whole.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use airferry::model::BlobPlace;

use super::site::{Site, reads, size};
use crate::support::fake_registry::Reply;
use crate::support::forge::{forge_with, key_of};
use crate::support::images::{Build, docker_list, index, many};

const KIB: usize = 1 << 10;

/// With one request at a time, a distant line would be idle most of the time.
#[test]
fn blobs_are_fetched_before_their_turn() {
    let site = Site::new();
    let layers = [3 << 19, 2 << 20, 3 << 20];
    let build = layers
        .iter()
        .fold(Build::oci("ahead"), |build, &size| build.plain_layer(size));
    let image = build.image();
    let reference = site.put("ahead", "v1", &image);
    let blobs: Vec<(String, bytes::Bytes)> = image
        .blobs
        .iter()
        .filter(|blob| blob.bytes.len() > 1 << 20)
        .map(|blob| (blob.digest(), bytes::Bytes::from(blob.bytes.clone())))
        .collect();
    assert_eq!(blobs.len(), layers.len());
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    // No answer ever ends, so no blob is ever complete and the next one's turn never comes.
    site.fault(move |asked| {
        let (digest, bytes) = blobs.iter().find(|(digest, _)| reads(asked, digest))?;
        let _ = tell.lock().unwrap().send(digest.clone());
        Some(Reply::range(asked, bytes).stall_after(1000))
    });
    let mut child = site.start(&site.path("bundle"), &[&reference]);
    let asked = layers.map(|_| told.recv_timeout(Duration::from_secs(300)).unwrap());
    child.kill().unwrap();
    child.wait().unwrap();
    let distinct: BTreeSet<_> = asked.iter().collect();
    assert_eq!(distinct.len(), layers.len(), "{asked:?}");
}

#[test]
fn every_kind_of_content_is_carried_and_verifies() {
    let site = Site::new();
    let schema2 = Build::docker("schema2")
        .layer(40 * KIB)
        .empty_layer()
        .image();
    let oci = Build::oci("oci")
        .layer(8 * KIB)
        .zstd_layer(9 * KIB)
        .plain_layer(10 * KIB)
        .image();
    let arm = Build::oci("oci")
        .platform("linux/arm64/v8")
        .layer(KIB)
        .image();
    let nested = index([&index([&oci, &arm]), &arm]);
    let list = docker_list([&schema2]);
    let shared = Build::oci("third").shared_layer("oci", 8 * KIB).image();
    let references = [
        site.put("a/schema2", "v1", &schema2),
        site.put("a/list", "v1", &list),
        site.put("b/nested", "v1", &nested),
        site.put("deep/er/shared", "v1", &shared),
    ];
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    let bundle = site.path("bundle");
    let planned = site.export_json(&bundle, &[&references[..], &["--dry-run"]].concat(), 0);
    assert!(!bundle.exists(), "a dry run makes nothing");

    let done = site.export_json(&bundle, &references, 0);

    assert_eq!(done["complete"], true);
    assert_eq!(done["bytes_on_medium"], size(&bundle));
    assert_eq!(planned["bytes_on_medium"], done["bytes_on_medium"]);
    assert_eq!(planned["manifests"], 7);
    // Images share blobs; each counts once.
    let distinct: BTreeSet<String> = [&nested, &list, &shared]
        .iter()
        .flat_map(|image| image.walk())
        .flat_map(|image| image.blobs.iter().map(|blob| blob.digest()))
        .collect();
    assert_eq!(done["carried"]["count"], distinct.len());
    site.verify(&bundle, &["--strict"]).succeeds();
}

#[test]
fn what_belongs_to_an_image_comes_with_it() {
    for api in [true, false] {
        let site = Site::new();
        let image = Build::oci("app").layer(KIB).image();
        let sbom = Build::artifact("application/spdx+json")
            .file(b"{\"spdx\":1}")
            .subject(&image)
            .image();
        let signature = Build::oci("cosign").layer(KIB).image();
        let reference = site.put("app", "v1", &image);
        site.put("app", &image.cosign_tag("sig"), &signature);
        if api {
            site.put("app", "elsewhere", &sbom);
            site.untag("app", "elsewhere");
            site.with_referrers();
        } else {
            site.put("app", &image.fallback_tag(), &index([&sbom]));
        }
        let bundle = site.path("bundle");
        let done = site.export_json(&bundle, &[&reference], 0);
        assert_eq!(done["images"][0]["attached"], 2, "api: {api}, {done:#}");
        site.verify(&bundle, &["--strict"]).succeeds();

        let bare = site.path("bare");
        let done = site.export_json(&bare, &[&reference, "--no-attachments"], 0);
        assert_eq!(done["images"][0]["attached"], 0);
        assert_eq!(done["manifests"], 1);
    }
}

#[test]
fn foreign_layers_are_reported_and_carried_only_when_asked() {
    let site = Site::new();
    let image = Build::docker("windows")
        .layer(KIB)
        .foreign_layer(KIB, "https://example.com/base")
        .image();
    let foreign = image.blobs.last().unwrap();
    let reference = site.put("windows", "v1", &image);

    let bundle = site.path("left");
    let done = site.export_json(&bundle, &[&reference], 0);
    assert_eq!(
        done["foreign"][foreign.digest()],
        serde_json::json!(["https://example.com/base"])
    );
    site.verify(&bundle, &[]).succeeds();
    let key = key_of(&site.path("exporter.pem"));
    for wrong in [
        &[][..],
        &["https://example.org/"],
        &["https://example.com/base", "x"],
    ] {
        forge_with(&key, &bundle, |inventory, _| {
            for blob in &mut inventory.blobs {
                if let BlobPlace::Foreign { urls } = &mut blob.place {
                    *urls = wrong.iter().map(|url| (*url).to_owned()).collect();
                }
            }
        });
        site.verify(&bundle, &[]).fails_with(4).stdout_has("URLs");
    }
    assert!(
        !site
            .asked()
            .iter()
            .any(|asked| super::site::reads(asked, &foreign.digest()))
    );

    let carry = ["--foreign-layers", "carry"];
    let bundle = site.path("lacking");
    site.export_json(&bundle, &[&[reference.as_str()], &carry[..]].concat(), 5);
    site.put_blob(&foreign.digest(), foreign.bytes.clone().into());
    let bundle = site.path("carried");
    let done = site.export_json(&bundle, &[&[reference.as_str()], &carry[..]].concat(), 0);
    assert_eq!(done["foreign"], serde_json::json!({}));
    assert_eq!(done["carried"]["count"], 3);
    site.verify(&bundle, &[]).succeeds();
}

#[test]
fn a_platform_filter_keeps_the_index_and_its_digest() {
    let site = Site::new();
    let amd = Build::oci("multi").layer(KIB).image();
    let arm = Build::oci("multi")
        .platform("linux/arm64")
        .layer(KIB)
        .image();
    let multi = index([&amd, &arm]);
    let reference = site.put("multi", "v1", &multi);
    let bundle = site.path("bundle");
    let done = site.export_json(&bundle, &[&reference, "--platform", "linux/arm64"], 0);
    assert_eq!(done["images"][0]["digest"], multi.digest());
    assert_eq!(done["manifests"], 2);
    let digest = amd.digest();
    assert!(
        !site
            .asked()
            .iter()
            .any(|asked| asked.path().ends_with(&digest))
    );
    site.verify(&bundle, &["--strict"]).succeeds();

    let none = site.path("none");
    let failed = site.export_json(&none, &[&reference, "--platform", "linux/s390x"], 5);
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("linux/amd64, linux/arm64"), "{message}");
}

#[test]
fn two_hundred_tiny_images_fit_in_one_bundle() {
    let site = Site::new();
    let list: String = many("tiny", 200)
        .iter()
        .enumerate()
        .map(|(number, image)| site.put(&format!("tiny/{number}"), "v1", image) + "\n")
        .collect();
    let file = site.path("images.txt");
    std::fs::write(&file, format!("# all of them\n{list}")).unwrap();
    let begun = std::time::Instant::now();
    let bundle = site.path("bundle");
    let done = site.export_json(&bundle, &["--images-from", "images.txt"], 0);
    eprintln!("200 images were exported in {:?}", begun.elapsed());
    assert_eq!(done["images"].as_array().unwrap().len(), 200);
    assert_eq!(done["carried"]["count"], 400);
    assert_eq!(done["bytes_on_medium"], size(&bundle));
    site.verify(&bundle, &["--strict"]).succeeds();
}

/// Clients and readers of bundles refuse a child that differs from its descriptor in the index.
#[test]
fn an_index_that_says_something_wrong_of_its_child_is_not_carried() {
    let child = Build::oci("child").layer(1000).image();
    let good = index([&child]);
    let text = String::from_utf8(good.bytes.clone()).unwrap();
    let length = child.bytes.len();
    let list = "application/vnd.docker.distribution.manifest.list.v2+json";
    for wrong in [
        text.replace(
            &format!("\"size\":{length}"),
            &format!("\"size\":{}", length + 1),
        ),
        text.replace(child.media_type, list),
    ] {
        assert_ne!(wrong, text);
        let site = Site::new();
        let mut list = good.clone();
        list.bytes = wrong.into_bytes();
        let reference = site.put("app", "v1", &list);
        let other = site.put("app", "v2", &child);
        let bundle = site.path("bundle");
        let done = site.export_json(&bundle, &[&reference, &other], 5);
        assert!(done.to_string().contains("describes its child"), "{done:#}");
        site.verify(&bundle, &["--strict", "--allow-incomplete"])
            .succeeds();
    }
}
