//! Filtered catalogs: an export carries a part of a catalog, in an image that it makes.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::site::{Site, assert_same, reads};
use crate::support::catalogs::{bundle, check, documents, layers, unpack};
use crate::support::docker_registry::DockerRegistry;
use crate::support::fake_registry::Reply;
use crate::support::images::{Build, Image, index};
use crate::support::stage;
use crate::support::stage::Stage;

const LABEL: &str = "operators.operatorframework.io.index.configs.v1";

/// `app` has two channels and needs `lib` below 2.0.0; no package needs `spare`.
fn catalog_files(host: &str) -> Vec<(String, String)> {
    let needs = json!({"type": "olm.package.required",
        "value": {"packageName": "lib", "versionRange": ">=1.0.0 <2.0.0"}});
    let app: Vec<Value> = vec![
        json!({"schema": "olm.package", "name": "app", "defaultChannel": "stable", "icon": {"base64data": "eA=="}}),
        json!({"schema": "olm.channel", "package": "app", "name": "stable", "entries": [
            {"name": "app.v1.0.0"},
            {"name": "app.v1.1.0", "replaces": "app.v1.0.0", "skipRange": "<1.1.0"},
            {"name": "app.v1.1.1"},
            {"name": "app.v1.2.0", "replaces": "app.v1.1.0", "skips": ["app.v1.1.1"]},
        ]}),
        json!({"schema": "olm.channel", "package": "app", "name": "fast", "entries": [{"name": "app.v2.0.0"}]}),
        json!({"schema": "olm.deprecations", "package": "app", "entries": [
            {"reference": {"schema": "olm.bundle", "name": "app.v1.0.0"}, "message": "old"},
            {"reference": {"schema": "olm.bundle", "name": "app.v1.1.0"}, "message": "older"},
        ]}),
        bundle(host, "app", "1.0.0", &[]),
        bundle(host, "app", "1.1.0", &[]),
        bundle(host, "app", "1.1.1", &[]),
        bundle(host, "app", "1.2.0", &[needs]),
        bundle(host, "app", "2.0.0", &[]),
    ];
    let lib = format!(
        "---\nschema: olm.package\nname: lib\ndefaultChannel: s\n---\nschema: olm.channel\n\
         package: lib\nname: s\nentries:\n- name: lib.v1.0.0\n- name: lib.v1.5.0\n  replaces: \
         lib.v1.0.0\n- name: lib.v2.0.0\n  replaces: lib.v1.5.0\n---\n{}\n---\n{}\n---\n{}\n",
        bundle(host, "lib", "1.0.0", &[]),
        bundle(host, "lib", "1.5.0", &[]),
        bundle(host, "lib", "2.0.0", &[]),
    );
    let spare = [
        json!({"schema": "olm.package", "name": "spare", "defaultChannel": "s"}),
        json!({"schema": "olm.channel", "package": "spare", "name": "s", "entries": [{"name": "spare.v1.0.0"}]}),
        bundle(host, "spare", "1.0.0", &[]),
    ];
    let lines = |documents: &[Value]| -> String {
        documents
            .iter()
            .map(|document| format!("{document:#}\n"))
            .collect()
    };
    let file = |path: &str, text: String| (format!("configs/{path}"), text);
    vec![
        file("app/a.json", lines(&app)),
        file("lib/index.yaml", lib),
        file("spare/catalog.json", lines(&spare)),
        file(
            "all.json",
            lines(&[json!({"schema": "x.example", "name": "for all"})]),
        ),
    ]
}

/// Builds the catalog's image for one platform.
fn catalog_image(host: &str, platform: &str) -> Image {
    let texts = catalog_files(host);
    let texts: Vec<(&str, &[u8])> = texts
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_bytes()))
        .collect();
    Build::oci("opm")
        .platform(platform)
        .setting("Labels", json!({LABEL: "/configs", "kept": "yes"}))
        .setting("Entrypoint", json!(["/bin/opm"]))
        .setting(
            "Cmd",
            json!(["serve", "/configs", "--cache-dir=/tmp/cache"]),
        )
        .layer(2000)
        .files(&texts)
        .files(&[("tmp/cache/digest", b"stale"), ("tmp/other", b"stays")])
        .image()
}

/// Publishes all images that the catalog names, and the catalog itself; returns its reference.
fn publish(host: &str, put: impl Fn(&str, &str, &Image) -> String) -> String {
    for (package, versions) in [
        ("app", &["1.0.0", "1.1.0", "1.1.1", "1.2.0", "2.0.0"][..]),
        ("lib", &["1.0.0", "1.5.0", "2.0.0"]),
        ("spare", &["1.0.0"]),
    ] {
        for version in versions {
            for role in ["bundle", "op"] {
                let image = Build::oci(&format!("{package} {role} {version}"))
                    .layer(300)
                    .image();
                put(&format!("{package}/{role}"), &format!("v{version}"), &image);
            }
        }
    }
    let (amd64, arm64) = (
        catalog_image(host, "linux/amd64"),
        catalog_image(host, "linux/arm64"),
    );
    put("olm/catalog", "v1", &index([&amd64, &arm64]))
}

fn names(list: &Value) -> Vec<&str> {
    let list = list.as_array().expect("a list");
    list.iter()
        .map(|item| item["name"].as_str().expect("a name"))
        .collect()
}

/// Returns the references of all images except the catalog, without the host.
fn members(outcome: &Value, host: &str) -> Vec<String> {
    let images = outcome["images"].as_array().expect("images").iter();
    let references = images.map(|image| image["reference"].as_str().expect("a reference"));
    let mut names: Vec<String> = references
        .map(|reference| {
            reference
                .trim_start_matches(host)
                .trim_matches('/')
                .to_owned()
        })
        .filter(|name| name != "olm/catalog:v1")
        .collect();
    names.sort();
    names
}

fn digest_of_catalog(outcome: &Value) -> String {
    outcome["catalogs"][0]["digest"]
        .as_str()
        .expect("a digest")
        .to_owned()
}

/// Carries a filtered catalog from a registry through a bundle to another registry.
#[test]
fn a_part_of_a_catalog_crosses_and_is_a_catalog() {
    let stage = Stage::new();
    let host = stage.source.host().to_string();
    let reference = publish(&host, |repository, tag, image| {
        stage.publish(repository, tag, image)
    });
    let original = index([
        &catalog_image(&host, "linux/amd64"),
        &catalog_image(&host, "linux/arm64"),
    ]);
    let operator = "app:stable>=1.1.0<=1.2.0";
    let more = [
        "--catalog",
        &reference,
        "--operator",
        operator,
        "--resolve-dependencies",
        "--output",
        "json",
    ];
    let foretold = [&more[..], &["--dry-run"]].concat();
    let foretold = stage.try_export("one", &[], &foretold).succeeds().json();
    assert!(!stage.at("one").exists());
    let outcome = stage.try_export("one", &[], &more).succeeds().json();
    let root = digest_of_catalog(&outcome);
    assert_eq!(digest_of_catalog(&foretold), root);
    assert_eq!(foretold["bytes_on_medium"], outcome["bytes_on_medium"]);
    assert_ne!(root, original.digest());
    assert!(!stage.at("one").join("export.made").exists());
    stage.try_export("two", &[], &more).succeeds();
    let documents_of = |name: &str| fs::read(stage.at(name).join("inventory.cbor")).unwrap();
    assert!(documents_of("one") == documents_of("two"));
    stage.verify(&stage.at("one"), &["--strict"]).succeeds();

    let catalog = &outcome["catalogs"][0];
    assert_eq!(catalog["original"], original.digest());
    assert_eq!(
        catalog["filter"],
        "app stable 1.1.0..1.2.0; with what they require"
    );
    assert_eq!(names(&catalog["packages"]), ["app", "lib"]);
    let bundles = &catalog["packages"][0]["bundles"];
    assert_eq!(names(bundles), ["app.v1.1.0", "app.v1.1.1", "app.v1.2.0"]);
    assert_eq!(bundles[0]["reasons"], json!(["in 1.1.0..1.2.0 of stable"]));
    let lib = &catalog["packages"][1]["bundles"];
    assert_eq!(names(lib), ["lib.v1.5.0"]);
    assert_eq!(
        lib[0]["reasons"],
        json!(["required by app.v1.2.0 (olm.package.required lib >=1.0.0 <2.0.0)"])
    );
    assert_eq!(
        members(&outcome, &host),
        [
            "app/bundle:v1.1.0",
            "app/bundle:v1.1.1",
            "app/bundle:v1.2.0",
            "app/op:v1.1.0",
            "app/op:v1.1.1",
            "app/op:v1.2.0",
            "lib/bundle:v1.5.0",
            "lib/op:v1.5.0",
        ]
    );

    let target = DockerRegistry::start();
    let to = format!("{}/mirror", target.host());
    stage
        .import(&stage.at("one"), &to, &["--profile", "plain"])
        .succeeds();
    let blob =
        |digest: &str| fs::read(target.blob_file(digest.strip_prefix("sha256:").unwrap())).unwrap();
    let made: Value = serde_json::from_slice(&blob(&root)).unwrap();
    let base = "org.opencontainers.image.base.digest";
    assert_eq!(made["annotations"][base], original.digest());
    let children = made["manifests"].as_array().unwrap();
    assert_eq!(children.len(), 2);
    for (child, source) in children.iter().zip(&original.children) {
        assert_eq!(child["platform"]["os"], "linux");
        check_platform(
            &blob(child["digest"].as_str().unwrap()),
            source,
            &host,
            &blob,
        );
    }
}

/// Compares a platform's image with the original.
#[track_caller]
fn check_platform(manifest: &[u8], source: &Image, host: &str, blob: &dyn Fn(&str) -> Vec<u8>) {
    let said: Value = serde_json::from_slice(manifest).unwrap();
    let before: Value = serde_json::from_slice(&source.bytes).unwrap();
    let kept = before["layers"].as_array().unwrap();
    assert_eq!(said["layers"].as_array().unwrap()[..3], kept[..]);
    assert_eq!(
        said["annotations"]["org.opencontainers.image.base.name"],
        format!("{host}/olm/catalog:v1")
    );
    let config: Value =
        serde_json::from_slice(&blob(said["config"]["digest"].as_str().unwrap())).unwrap();
    assert_eq!(config["config"]["Entrypoint"], json!(["/bin/opm"]));
    assert_eq!(config["config"]["Cmd"], json!(["serve", "/configs"]));
    assert_eq!(config["config"]["Labels"]["kept"], "yes");
    assert_eq!(config["config"]["Labels"][LABEL], "/configs");
    assert_eq!(config["rootfs"]["diff_ids"].as_array().unwrap().len(), 5);

    let tree = unpack(&layers(manifest, blob));
    let configs: Vec<&String> = tree
        .keys()
        .filter(|path| path.starts_with("configs/"))
        .collect();
    assert_eq!(
        configs,
        [
            "configs/app/catalog.json",
            "configs/catalog.json",
            "configs/lib/catalog.json"
        ]
    );
    assert!(!tree.contains_key("tmp/cache/digest"));
    assert_eq!(tree["tmp/other"], b"stays");
    let documents = documents(&tree, "configs");
    check(&documents);
    // Documents that are kept are unchanged.
    let mut originals: Vec<Value> = Vec::new();
    for (path, text) in catalog_files(host) {
        if path.ends_with(".json") {
            let stream = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
            originals.extend(stream.map(Result::unwrap));
        }
    }
    originals.extend([bundle(host, "lib", "1.5.0", &[])]);
    let bundles = documents.iter().filter(|d| d["schema"] == "olm.bundle");
    assert_eq!(bundles.clone().count(), 4);
    let others = documents
        .iter()
        .filter(|d| d["schema"] == "x.example" || d["name"] == "app");
    assert_eq!(others.clone().count(), 2);
    for document in bundles.chain(others) {
        assert!(originals.contains(document), "{document}");
    }
    let of = |schema: &str| documents.iter().find(|d| d["schema"] == schema).unwrap();
    assert_eq!(
        of("olm.channel")["entries"],
        json!([
            {"name": "app.v1.1.0", "replaces": "app.v1.0.0", "skipRange": "<1.1.0"},
            {"name": "app.v1.1.1"},
            {"name": "app.v1.2.0", "replaces": "app.v1.1.0", "skips": ["app.v1.1.1"]},
        ])
    );
    assert_eq!(
        of("olm.deprecations")["entries"].as_array().unwrap().len(),
        1
    );
}

/// Makes a site with the catalog.
fn site() -> (Site, String) {
    let site = Site::new();
    let reference = publish(&site.host(), |repository, tag, image| {
        site.put(repository, tag, image)
    });
    (site, reference)
}

/// Returns the digest of an image's only layer.
fn layer_of(seed: &str) -> String {
    Build::oci(seed).layer(300).image().blobs[1].digest()
}

/// Returns the arguments for one operator of a catalog, without retries.
fn app_of(reference: &str) -> [&str; 6] {
    [
        "--catalog",
        reference,
        "--operator",
        "app",
        "--retries",
        "0",
    ]
}

#[test]
fn what_was_made_waits_beside_the_plan() {
    let (site, reference) = site();
    let args = app_of(&reference);
    let whole = site.path("whole");
    site.export(&whole, &args).succeeds();

    // The first blob that is written cannot be fetched: no blob of the catalog is in a chunk yet.
    let bundle = site.path("bundle");
    let first = layer_of("app bundle 1.2.0");
    let broken = first.clone();
    site.fault(move |asked| reads(asked, &broken).then(Reply::hang_up));
    site.export(&bundle, &args).fails_with(6);
    let made = |bundle: &Path| -> Vec<String> {
        let files = stage::files(bundle).into_iter();
        files
            .filter(|path| path.starts_with("export.made/"))
            .collect()
    };
    assert_eq!(made(&bundle).len(), 4, "{:?}", made(&bundle));
    site.verify(&bundle, &[]).fails_with(5);

    // The catalog is made once: the continued run does not read the original catalog again.
    let asked = site.asked().len();
    let config = catalog_image(&site.host(), "linux/amd64").blobs[2].digest();
    site.heal();
    site.export(&bundle, &args).succeeds();
    let blobs = site.asked().split_off(asked);
    let again = blobs.iter().filter(|asked| reads(asked, &config)).count();
    assert_eq!(
        again, 1,
        "the original's layer travels, and is not read for its documents"
    );
    assert_same(&whole, &bundle);
    site.verify(&bundle, &["--strict"]).succeeds();
}

#[test]
fn what_was_made_is_not_believed() {
    let (site, reference) = site();
    let args = app_of(&reference);
    let bundle = site.path("bundle");
    let first = layer_of("app bundle 1.2.0");
    site.fault(move |asked| reads(asked, &first).then(Reply::hang_up));
    site.export(&bundle, &args).fails_with(6);
    site.heal();
    let made = stage::files(&bundle)
        .into_iter()
        .find(|path| path.starts_with("export.made/"))
        .unwrap();
    let mut bytes = fs::read(bundle.join(&made)).unwrap();
    bytes[20] ^= 1;
    fs::write(bundle.join(&made), &bytes).unwrap();
    site.export(&bundle, &args).fails_with(8).stderr_has(&made);
    fs::remove_file(bundle.join(&made)).unwrap();
    site.export(&bundle, &args).fails_with(8).stderr_has(&made);
    let again = [&args[..], &["--replan"]].concat();
    site.export(&bundle, &again).succeeds();
    assert!(!bundle.join("export.made").exists());
    site.verify(&bundle, &["--strict"]).succeeds();
}

#[test]
fn a_bundle_with_a_made_image_is_completed() {
    let (site, reference) = site();
    let args = ["--catalog", &reference, "--operator", "app"];
    let bundle = site.path("bundle");
    let base = catalog_image(&site.host(), "linux/arm64").blobs[1].digest();
    let plan = bundle.join("export.plan");
    site.fault(move |asked| {
        let gone = plan.exists() && reads(asked, &base);
        gone.then(|| Reply::error(404, "BLOB_UNKNOWN"))
    });
    let first = site.export_json(&bundle, &args, 5);
    assert_eq!(first["generation"], 1);
    let again = site.export_json(&bundle, &args, 5);
    assert_eq!(again["state"], "still-incomplete");
    site.heal();
    let second = site.export_json(&bundle, &args, 0);
    assert_eq!(second["generation"], 2);
    assert_eq!(digest_of_catalog(&first), digest_of_catalog(&second));
    site.verify(&bundle, &["--strict"]).succeeds();
    // No tag has moved: the tag never pointed to the filtered catalog.
    let third = site.export_json(&bundle, &args, 0);
    assert_eq!(third["state"], "already-complete");
    assert_eq!(third["moved_tags"], Value::Null);
}

#[test]
fn whatever_keeps_everything_keeps_the_original() {
    let (site, reference) = site();
    let original = index([
        &catalog_image(&site.host(), "linux/amd64"),
        &catalog_image(&site.host(), "linux/arm64"),
    ]);
    let everything = [
        "--operator",
        "app",
        "--operator",
        "lib",
        "--operator",
        "spare",
        "--catalog-full",
    ];
    for more in [&[][..], &everything] {
        let args = [&["--catalog", &reference, "--dry-run"], more].concat();
        let outcome = site.export_json(&site.path("never"), &args, 0);
        assert_eq!(digest_of_catalog(&outcome), original.digest());
        assert_eq!(outcome["catalogs"][0]["filter"], Value::Null);
    }
    let args = ["--catalog", &reference, "--dry-run", "--heads-only"];
    let outcome = site.export_json(&site.path("never"), &args, 0);
    assert_ne!(digest_of_catalog(&outcome), original.digest());
    assert_eq!(members(&outcome, &site.host()).len(), 8);
    // Only the requested platforms are made.
    let args = [&args[..], &["--platform", "linux/arm64"]].concat();
    let one = site.export_json(&site.path("never"), &args, 0);
    assert_ne!(digest_of_catalog(&outcome), digest_of_catalog(&one));
    assert_eq!(one["manifests"], 8 + 2);
}

#[test]
fn a_configuration_says_the_same() {
    let (site, reference) = site();
    let config = format!(
        "kind: ImageSetConfiguration\napiVersion: mirror.openshift.io/v2alpha1\nmirror:\n  \
         operators:\n  - catalog: {reference}\n    packages:\n    - name: app\n      \
         defaultChannel: fast\n      channels:\n      - name: fast\n"
    );
    fs::write(site.path("set.yaml"), config).unwrap();
    let by_file = ["--catalog-config", "set.yaml", "--dry-run"];
    let by_file = site.export_json(&site.path("never"), &by_file, 0);
    let by_flags = [
        "--catalog",
        &reference,
        "--operator",
        "app:fast",
        "--default-channel",
        "app=fast",
        "--dry-run",
    ];
    let by_flags = site.export_json(&site.path("never"), &by_flags, 0);
    assert_eq!(by_file["catalogs"], by_flags["catalogs"]);
    assert_eq!(
        by_file["catalogs"][0]["packages"][0]["default_channel"],
        "fast"
    );
}

#[test]
fn what_cannot_be_filtered_is_said() {
    let (site, reference) = site();
    let sqlite = Build::oci("sqlite")
        .setting(
            "Labels",
            json!({"operators.operatorframework.io.index.database.v1": "/index.db"}),
        )
        .files(&[("index.db", b"SQLite format 3\0")])
        .image();
    let sqlite = site.put("olm/old", "v1", &sqlite);
    let refused = |args: &[&str], said: &str| {
        site.export(&site.path("never"), args)
            .fails_with(2)
            .stderr_has(said);
        assert!(!site.path("never").exists());
    };
    let wrong = ["--dry-run", "--catalog", &reference, "--operator"];
    refused(&[&wrong[..], &["nothing"]].concat(), "no package `nothing`");
    refused(
        &[&wrong[..], &["app:slow"]].concat(),
        "it has `fast`, `stable`",
    );
    refused(
        &[&wrong[..], &["app:fast"]].concat(),
        "the default channel `stable`",
    );
    refused(
        &[&wrong[..], &["app>1.0.0"]].concat(),
        "NAME:CHANNEL>=VERSION<=VERSION",
    );
    refused(&["--dry-run", "--operator", "app"], "--catalog");
    refused(
        &["--dry-run", "--catalog", &sqlite, "--operator", "app"],
        "is a sqlite database, which cannot be filtered",
    );
    refused(
        &[
            "--dry-run",
            &reference,
            "--catalog",
            &reference,
            "--operator",
            "app",
        ],
        "is requested both unfiltered and as a filtered catalog",
    );
}

/// A refusal with 401 or 403 is reported as a matter of credentials, whatever was requested.
#[test]
fn a_source_that_refuses_is_a_matter_of_credentials() {
    let (site, reference) = site();
    let plain = format!("{}/app/op:v1.0.0", site.host());
    for status in [401, 403] {
        site.fault(move |asked| {
            let is_document = asked.path().contains("/manifests/");
            is_document.then(|| Reply::error(status, "DENIED"))
        });
        let catalog = ["--catalog", reference.as_str()];
        for (asked, hint) in [
            (&catalog[..], "hint: log in with `podman login"),
            (&[plain.as_str()], "--platform and the credentials"),
        ] {
            let outcome = site.export(&site.path("never"), asked).fails_with(5);
            outcome.stderr_has(hint).hides("when the network is back");
        }
    }
}

/// Bundles refer to files that the directory of a filtered catalog does not have.
#[test]
fn manifests_in_files_of_their_own_come_into_the_documents() {
    let stage = Stage::new();
    let host = stage.source.host().to_string();
    for role in ["bundle", "op"] {
        let image = Build::oci(role).layer(300).image();
        stage.publish(&format!("app/{role}"), "v1.0.0", &image);
    }
    let refers = json!({"type": "olm.bundle.object", "value": {"ref": "objects/csv.yaml"}});
    let text: String = [
        json!({"schema": "olm.package", "name": "app", "defaultChannel": "s"}),
        json!({"schema": "olm.channel", "package": "app", "name": "s", "entries": [{"name": "app.v1.0.0"}]}),
        bundle(&host, "app", "1.0.0", &[refers]),
        json!({"schema": "olm.package", "name": "spare", "defaultChannel": "s"}),
        json!({"schema": "olm.channel", "package": "spare", "name": "s", "entries": [{"name": "spare.v1.0.0"}]}),
        bundle(&host, "spare", "1.0.0", &[]),
    ]
    .iter()
    .map(|document| format!("{document}\n"))
    .collect();
    let files: &[(&str, &[u8])] = &[
        ("configs/.indexignore", b"  objects/ \n"),
        ("configs/app/catalog.json", text.as_bytes()),
        (
            "configs/app/objects/csv.yaml",
            b"kind: ClusterServiceVersion\n",
        ),
    ];
    let image = Build::oci("opm")
        .label(LABEL, "/configs")
        .files(files)
        .image();
    let reference = stage.publish("olm/catalog", "v1", &image);
    let args = [
        "--catalog",
        &reference,
        "--operator",
        "app",
        "--output",
        "json",
    ];
    let outcome = stage.try_export("one", &[], &args).succeeds().json();
    let target = DockerRegistry::start();
    let to = format!("{}/mirror", target.host());
    stage
        .import(&stage.at("one"), &to, &["--profile", "plain"])
        .succeeds();
    let blob =
        |digest: &str| fs::read(target.blob_file(digest.strip_prefix("sha256:").unwrap())).unwrap();
    let tree = unpack(&layers(&blob(&digest_of_catalog(&outcome)), blob));
    assert!(!tree.contains_key("configs/app/objects/csv.yaml"));
    let kept = documents(&tree, "configs");
    let kept = kept.iter().find(|d| d["schema"] == "olm.bundle").unwrap();
    let mut properties = kept["properties"].as_array().unwrap().iter();
    let object = properties.find(|p| p["type"] == "olm.bundle.object");
    let data = "a2luZDogQ2x1c3RlclNlcnZpY2VWZXJzaW9uCg==";
    assert_eq!(object.unwrap()["value"], json!({"data": data}));
}
