//! Existing tags, sparse indexes, collisions, names, bases, incomplete bundles.

use super::*;
use crate::support::proxy::Fate;

fn app(seed: &str) -> Image {
    Build::oci(seed)
        .shared_layer("base", 4000)
        .layer(500)
        .image()
}

#[test]
fn tags_that_point_elsewhere_are_moved_only_forward() {
    let stage = Stage::new();
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let (one, two, stranger) = (app("one"), app("two"), app("stranger"));
    let reference = stage.publish("app", "v1", &one);
    let first = stage.export("first", &[&reference], &[]);
    stage.publish("app", "v1", &two);
    let base = first.to_str().unwrap();
    let second = stage.export("second", &[&reference], &["--base", base]);
    let whole = stage.export("whole", &[&reference], &[]);
    let now = || digest_at(&host, "app", "v1");

    stage.import(&first, &host, &[]).succeeds();
    assert_eq!(now(), Some(one.digest()));
    // No base of the bundle set this tag.
    for policy in ["forward", "error"] {
        let outcome = stage
            .import(&whole, &host, &["--existing-tags", policy])
            .fails_with(7);
        outcome
            .stderr_has("nothing was changed")
            .stderr_has("app:v1");
        assert_eq!(
            ask(&host, "HEAD", &format!("app/manifests/{}", two.digest())).status,
            404
        );
    }
    let out = stage.importer.path("out");
    let skip = ["--existing-tags", "skip", "--resources"];
    let skip = [&skip[..], &[out.to_str().unwrap()]].concat();
    stage
        .import(&whole, &host, &skip)
        .succeeds()
        .stdout_has("tag kept");
    assert_eq!(now(), Some(one.digest()));
    // The image is present by its digest; the tag belongs to another image and is not listed.
    let digest = two.digest();
    assert!(manifest_at(&host, "app", &digest).is_some());
    let mapping = fs::read_to_string(out.join("mapping.txt")).unwrap();
    let source = stage.source.host();
    assert_eq!(mapping, format!("{source}/app@{digest}={host}/app\n"));
    let written = files(&out);
    assert!(
        written.contains(&"apply/imageDigestMirrorSet.yaml".to_owned()),
        "{written:?}"
    );
    assert!(
        !written.contains(&"apply/imageTagMirrorSet.yaml".to_owned()),
        "{written:?}"
    );
    stage
        .import(&second, &host, &["--existing-tags", "error"])
        .fails_with(7);
    stage.import(&second, &host, &[]).succeeds();
    assert_eq!(now(), Some(two.digest()));
    publish::push(&host, "app", Some("v1"), &stranger);
    stage.import(&second, &host, &[]).fails_with(7);
    stage
        .import(&second, &host, &["--existing-tags", "overwrite"])
        .succeeds();
    assert_eq!(now(), Some(two.digest()));
}

#[test]
fn what_a_base_brought_is_found_or_named_before_anything_changes() {
    let stage = Stage::new();
    let (one, two) = (app("one"), app("two"));
    let reference = stage.publish("app", "v1", &one);
    let first = stage.export("first", &[&reference], &["--title", "April"]);
    let other = stage.publish("other", "v2", &two);
    let base = first.to_str().unwrap();
    let second = stage.export("second", &[&other], &["--base", base]);
    let report = stage.verify(&first, &["--output", "json"]).json();
    let id = report["bundle"]
        .as_str()
        .unwrap()
        .trim_start_matches("sha256:")
        .to_owned();

    let empty = DockerRegistry::start();
    let host = empty.host().to_string();
    let outcome = stage.import(&second, &host, &[]).fails_with(7);
    outcome
        .stderr_has(&id)
        .stderr_has("April")
        .stderr_has("nothing was changed");
    let catalog = ask(&host, "GET", "_catalog");
    assert!(
        catalog.text.contains("\"repositories\":[]"),
        "{}",
        catalog.text
    );

    // If another repository of the target has the blob, it is mounted.
    stage.import(&first, &host, &[]).succeeds();
    let proxy = Proxy::before(&host);
    stage.import(&second, &proxy.host(), &[]).succeeds();
    assert_whole(&host, "other", &two);
    let asked = proxy.take();
    assert!(
        asked.iter().any(|p| p.target.contains("mount=")),
        "{asked:?}"
    );
}

#[test]
fn a_blob_of_a_base_that_cannot_be_mounted_is_named_with_a_way_on() {
    let stage = Stage::new();
    let reference = stage.publish("app", "v1", &app("one"));
    let first = stage.export("first", &[&reference], &[]);
    let other = stage.publish("other", "v2", &app("two"));
    let base = first.to_str().unwrap();
    let second = stage.export("second", &[&other], &["--base", base]);
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    stage.import(&first, &host, &[]).succeeds();
    let proxy = Proxy::before(&host);
    proxy.rule(|_, target| match target.contains("mount=") {
        true => Fate::Answer(403, "DENIED"),
        false => Fate::Pass,
    });
    let failed = stage.import(&second, &proxy.host(), &[]).fails_with(7);
    failed
        .stderr_has("is left out of this bundle, because a base carried it")
        .stderr_has("or export again without --base");
}

#[test]
fn a_sparse_index_is_refused_or_replaced_by_its_platform() {
    let stage = Stage::new();
    let arm = Build::oci("list")
        .platform("linux/arm64")
        .layer(200)
        .image();
    let amd = Build::oci("list").layer(200).image();
    let list = index([&amd, &arm]);
    let sparse = stage.publish("list", "v1", &list);
    let plain = stage.publish("plain", "v1", &app("plain"));
    let bundle = stage.export("bundle", &[&sparse, &plain], &["--platform", "linux/amd64"]);
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let out = stage.importer.path("out");
    let out = out.to_str().unwrap();
    let outcome = stage
        .import(&bundle, &host, &["--resources", out])
        .fails_with(7);
    outcome.stderr_has("list:v1");
    assert_eq!(digest_at(&host, "list", "v1"), None);
    assert!(
        digest_at(&host, "plain", "v1").is_some(),
        "the other one is there"
    );
    let mapping = fs::read_to_string(format!("{out}/mapping.txt")).unwrap();
    assert!(
        mapping.contains("plain") && !mapping.contains("list"),
        "{mapping}"
    );

    let more = ["--sparse-index", "platform-manifest", "--resources", out];
    stage
        .import(&bundle, &host, &more)
        .succeeds()
        .stdout_has("one platform only");
    assert_eq!(digest_at(&host, "list", "v1"), Some(amd.digest()));
    let mirrors = fs::read_to_string(format!("{out}/mapping.txt")).unwrap();
    assert!(!mirrors.contains("list"), "{mirrors}");
    // Again: nothing is sent, and the tag already points to the platform's manifest.
    let outcome = stage.import(&bundle, &host, &[&more[..], &["--output", "json"]].concat());
    assert_eq!(outcome.succeeds().json()["bytes_uploaded"], 0);

    // If the target accepts sparse indexes, the digest is kept.
    let serve = Serve::start(&stage.importer, &["--accept-sparse"]);
    stage.import(&bundle, &serve.host, &[]).succeeds();
    assert_eq!(digest_at(&serve.host, "list", "v1"), Some(list.digest()));
}

#[test]
fn names_collide_or_are_joined_as_asked() {
    let stage = Stage::new();
    let references = [
        stage.publish("a/b/c", "v1", &app("one")),
        stage.publish("a/b-c", "v1", &app("two")),
    ];
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    let bundle = stage.export("bundle", &references, &[]);
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let flat = ["--max-components", "2"];
    let outcome = stage.import(&bundle, &host, &flat).fails_with(2);
    outcome.stderr_has("a/b-c");
    let catalog = ask(&host, "GET", "_catalog");
    assert!(
        catalog.text.contains("\"repositories\":[]"),
        "{}",
        catalog.text
    );
    let deep = stage.export("deep", &references[..1], &[]);
    stage
        .import(&deep, &format!("{host}/org"), &flat)
        .succeeds();
    assert!(digest_at(&host, "org/a-b-c", "v1").is_some());
}

#[test]
fn an_incomplete_bundle_is_imported_only_when_told() {
    let stage = Stage::new();
    let there = stage.publish("there", "v1", &app("there"));
    let missing = format!("{}/missing:v1", stage.source.host());
    stage
        .try_export("bundle", &[&there, &missing], &[])
        .fails_with(5);
    let bundle = stage.at("bundle");
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    stage
        .import(&bundle, &host, &[])
        .fails_with(5)
        .stderr_has("--allow-incomplete");
    assert_eq!(digest_at(&host, "there", "v1"), None);
    let outcome = stage.import(&bundle, &host, &["--allow-incomplete"]);
    outcome.succeeds().stdout_has("missing:v1");
    assert!(digest_at(&host, "there", "v1").is_some());
}

/// Without a referrers API, the list of referrers has the tag `sha256-<hex>`.
#[test]
fn an_image_without_tag_is_named_by_its_digest_beside_its_referrers() {
    let stage = Stage::new();
    let image = app("pinned");
    let sbom = Build::artifact("application/spdx+json").file(b"{}");
    let sbom = sbom.subject(&image).image();
    let source = stage.source.host().to_string();
    stage.publish("app", "v1", &image);
    publish::push(&source, "app", None, &sbom);
    push_fallback(&source, "app", &image, &[&sbom]);
    let pinned = format!("{source}/app@{}", image.digest());
    let bundle = stage.export("bundle", &[&pinned], &[]);

    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let tag = image.fallback_tag();
    let proxy = Proxy::before(&host);
    let out = stage.importer.path("out");
    for round in 0..2 {
        let more = ["--resources", out.to_str().unwrap()];
        stage
            .import(&bundle, &proxy.host(), &more)
            .succeeds()
            .stdout_has("-root");
        let asked = proxy.take();
        let changes = asked
            .iter()
            .any(|p| !matches!(p.method.as_str(), "GET" | "HEAD"));
        assert_eq!(changes, round == 0, "{asked:?}");
        let mapping = fs::read_to_string(out.join("mapping.txt")).unwrap();
        assert!(mapping.trim_end().ends_with("-root"), "{mapping}");
        let root = digest_at(&host, "app", &format!("{tag}-root"));
        assert_eq!(root, Some(image.digest()));
        let expected = BTreeSet::from([sbom.digest()]);
        assert_eq!(listed(&host, "app", &image), expected);
    }
    let serve = Serve::start(&stage.importer, &[]);
    stage.import(&bundle, &serve.host, &[]).succeeds();
    assert_eq!(digest_at(&serve.host, "app", &tag), Some(image.digest()));
    let referrers = ask(
        &serve.host,
        "GET",
        &format!("app/referrers/{}", image.digest()),
    );
    assert!(
        referrers.text.contains(&sbom.digest()),
        "{}",
        referrers.text
    );
}

/// The same image under several tags and repositories, and requested by digest too.
#[test]
fn one_image_under_several_names_is_sent_once() {
    let stage = Stage::new();
    let image = app("same");
    let references = [
        stage.publish("one", "v1", &image),
        stage.publish("one", "v2", &image),
        stage.publish("two", "v1", &image),
        format!("{}/one@{}", stage.source.host(), image.digest()),
    ];
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    let bundle = stage.export("bundle", &references, &[]);
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let proxy = Proxy::before(&host);
    stage.import(&bundle, &proxy.host(), &[]).succeeds();
    let own = image.fallback_tag();
    for (repository, tag) in [("one", "v1"), ("one", "v2"), ("two", "v1"), ("one", &own)] {
        assert_eq!(
            digest_at(&host, repository, tag),
            Some(image.digest()),
            "{tag}"
        );
    }
    let asked = proxy.take();
    let sent = asked
        .iter()
        .filter(|p| p.method == "PUT" && p.target.contains("/uploads/"));
    assert_eq!(sent.count(), image.blobs.len(), "{asked:?}");
    let probes = asked
        .iter()
        .filter(|p| p.method == "GET" && p.target.contains("/blobs/"));
    // Each blob once before it is sent, and once in each of two repositories when it is read back.
    assert_eq!(probes.count(), image.blobs.len() * 3, "{asked:?}");
}

/// If an image was imported without its attachments, its tag becomes that of their list.
#[test]
fn an_images_tag_is_not_lost_to_the_list_of_its_referrers() {
    let stage = Stage::new();
    let image = index([&app("one"), &app("two")]);
    let sbom = Build::artifact("application/spdx+json").file(b"{}");
    let sbom = sbom.subject(&image).image();
    let source = stage.source.host().to_string();
    stage.publish("app", "v1", &image);
    let pinned = format!("{source}/app@{}", image.digest());
    let plain = stage.export("plain", &[&pinned], &[]);
    publish::push(&source, "app", None, &sbom);
    push_fallback(&source, "app", &image, &[&sbom]);
    let attached = stage.export("attached", &[&pinned], &[]);

    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let tag = image.fallback_tag();
    stage.import(&plain, &host, &[]).succeeds();
    assert_eq!(digest_at(&host, "app", &tag), Some(image.digest()));
    stage.import(&attached, &host, &[]).succeeds();
    let root = digest_at(&host, "app", &format!("{tag}-root"));
    assert_eq!(root, Some(image.digest()));
    let expected = BTreeSet::from([sbom.digest()]);
    assert_eq!(listed(&host, "app", &image), expected);

    // A manifest that is no list of referrers is not replaced by one.
    let other = DockerRegistry::start();
    let host = other.host().to_string();
    let stranger = app("stranger");
    publish::push(&host, "app", Some(&tag), &stranger);
    stage
        .import(&attached, &host, &[])
        .fails_with(7)
        .stderr_has(&tag);
    assert_eq!(digest_at(&host, "app", &tag), Some(stranger.digest()));
}
