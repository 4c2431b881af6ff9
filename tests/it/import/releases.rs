//! Releases and catalogs: names, order, withheld roots, and objects for the cluster.

use std::path::PathBuf;

use airferry::model::{
    CatalogEntry, CatalogFormat, CatalogMember, Inventory, Keyring, ReleaseSignature,
};

use super::*;
use crate::support::amend::{amend, claim, release};
use crate::support::proxy::Fate;
use crate::support::releases::{IMAGE_REFERENCES, image_references, payload};

/// A payload of two components, and their references at the source.
struct Release {
    stage: Stage,
    payload: Image,
    cli: Image,
    etcd: Image,
    /// The release image by tag, and the components by digest.
    references: [String; 3],
}

impl Release {
    fn new() -> Self {
        Self::with(|_| Vec::new(), &[])
    }

    /// Makes a release with further components, and further manifests in its payload.
    fn with(more: impl Fn(&str) -> Vec<(String, String)>, manifests: &[(&str, &[u8])]) -> Self {
        let stage = Stage::new();
        let [cli, etcd] = ["cli", "etcd"].map(|seed| Build::docker(seed).layer(3000).image());
        let host = stage.source.host().to_string();
        let pinned = |image: &Image| {
            stage.publish("okd/content", "any", image);
            format!("{host}/okd/content@{}", image.digest())
        };
        let [of_cli, of_etcd] = [pinned(&cli), pinned(&etcd)];
        let more = more(&host);
        let mut components = vec![("cli", of_cli.as_str()), ("etcd", of_etcd.as_str())];
        components.extend(
            more.iter()
                .map(|(name, image)| (name.as_str(), image.as_str())),
        );
        let list = image_references("4.17.3", &components);
        let files = [&[(IMAGE_REFERENCES, list.as_slice())], manifests].concat();
        let payload = payload("linux/amd64", &files);
        let image = stage.publish("okd/release", "4.17.3", &payload);
        let references = [image, of_cli, of_etcd];
        Self {
            payload,
            cli,
            etcd,
            references,
            stage,
        }
    }

    fn add_to(&self, inventory: &mut Inventory) {
        let [image, cli, etcd] = &self.references;
        let components = [("cli", cli.as_str()), ("etcd", etcd.as_str())];
        inventory.releases = vec![release(image, "4.17.3", &components)];
    }

    fn bundle(&self) -> PathBuf {
        let references = self.references.each_ref().map(String::as_str);
        let bundle = self.stage.export("bundle", &references, &[]);
        amend(&self.stage, &bundle, |inventory| self.add_to(inventory));
        bundle
    }

    fn bundle_of(&self, change: impl FnOnce(&mut Inventory)) -> PathBuf {
        let bundle = self.bundle();
        amend(&self.stage, &bundle, change);
        bundle
    }
}

const UNSIGNED: &str = "--allow-unsigned-release";

#[test]
fn a_release_is_one_repository_and_its_own_image_comes_last() {
    let site = Release::new();
    let bundle = site.bundle();
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let proxy = Proxy::before(&host);
    let to = format!("{}/ocp4/openshift4", proxy.host());
    let out = site.stage.importer.path("out");
    let resources = ["--resources", out.to_str().unwrap()];

    site.stage
        .import(&bundle, &to, &[])
        .fails_with(3)
        .stderr_has("unsigned")
        .stderr_has(UNSIGNED);
    site.stage
        .import(&bundle, &proxy.host(), &[UNSIGNED])
        .fails_with(2)
        .stderr_has("--to-release-repository PATH");
    assert_eq!(proxy.take().len(), 0, "nobody was asked");

    let dry = site.stage.import(&bundle, &to, &[UNSIGNED, "--dry-run"]);
    let done = site
        .stage
        .import(&bundle, &to, &[&[UNSIGNED], &resources[..]].concat());
    let done = done.succeeds();
    let source = site.stage.source.host();
    let sections = format!(
        "\nSuccess\n\
         Update image:  {to}:4.17.3-x86_64\n\
         Mirror prefix: {to}\n\n\
         To use the new mirrored repository to install, add the following section to the \
         install-config.yaml:\n\n\
         imageContentSources:\n\
         - mirrors:\n  - {to}\n  source: {source}/okd/content\n\
         - mirrors:\n  - {to}\n  source: {source}/okd/release\n\n\n\
         To use the new mirrored repository for upgrades, use the following to create an \
         ImageContentSourcePolicy:\n\n"
    );
    done.stdout_has(&sections);
    dry.succeeds().stdout_has(&sections);
    done.stdout_has(&format!("oc apply -f {}/apply/\n", out.display()));
    done.stdout_has("drains the nodes");
    done.stdout_has(&format!("--from {to}:4.17.3-x86_64 "));

    let path = "ocp4/openshift4";
    for (tag, image) in [
        ("4.17.3-x86_64", &site.payload),
        ("4.17.3-x86_64-cli", &site.cli),
        ("4.17.3-x86_64-etcd", &site.etcd),
    ] {
        assert_eq!(digest_at(&host, path, tag), Some(image.digest()), "{tag}");
        assert_whole(&host, path, image);
    }
    let puts: Vec<String> = proxy
        .take()
        .into_iter()
        .filter(|passed| passed.method == "PUT" && passed.target.contains("/manifests/"))
        .map(|passed| passed.target)
        .collect();
    assert_eq!(puts.len(), 3, "{puts:?}");
    assert!(puts[2].ends_with("/4.17.3-x86_64"), "{puts:?}");
    let catalog = ask(&host, "GET", "_catalog");
    assert!(
        catalog.text.contains("[\"ocp4/openshift4\"]"),
        "{}",
        catalog.text
    );
    let written = files(&out);
    for name in [
        "apply/imageDigestMirrorSet.yaml",
        "install-config-imageDigestSources.yaml",
    ] {
        assert!(written.contains(&name.to_owned()), "{written:?}");
    }
    let report: Value =
        serde_json::from_slice(&fs::read(out.join("import-report.json")).unwrap()).unwrap();
    assert_eq!(report["releases"][0]["state"], "committed");
    assert_eq!(report["release_proofs"][0]["state"], "unsigned");
}

#[test]
fn a_component_that_fails_keeps_the_release_away() {
    let site = Release::new();
    let bundle = site.bundle();
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let proxy = Proxy::before(&host);
    let to = format!("{}/ocp4/openshift4", proxy.host());
    // In the query of an upload the colon of a digest is escaped.
    let refused = site.cli.blobs[1].digest().replace("sha256:", "");
    proxy.rule(move |method, target| match target.contains(&refused) {
        true if method == "PUT" => Fate::Answer(403, "DENIED"),
        _ => Fate::Pass,
    });
    let out = site.stage.importer.path("out");
    let more = [
        UNSIGNED,
        "--retries",
        "0",
        "--resources",
        out.to_str().unwrap(),
    ];
    let outcome = site.stage.import(&bundle, &to, &more).fails_with(7);
    outcome
        .stderr_has("an image of its release failed")
        .stderr_has("/okd/content@");
    assert!(!outcome.stdout.contains("Success"), "{outcome}");
    let path = "ocp4/openshift4";
    assert_eq!(digest_at(&host, path, "4.17.3-x86_64"), None);
    assert_eq!(digest_at(&host, path, &site.payload.digest()), None);
    assert_eq!(digest_at(&host, path, "4.17.3-x86_64-cli"), None);
    assert!(digest_at(&host, path, "4.17.3-x86_64-etcd").is_some());
    assert_eq!(
        files(&out),
        ["airferry.sha256", "import-report.json", "mapping.txt"]
    );

    proxy.rule(|_, _| Fate::Pass);
    site.stage
        .import(&bundle, &to, &more)
        .succeeds()
        .stdout_has("Success");
    assert!(digest_at(&host, path, "4.17.3-x86_64").is_some());
}

#[test]
fn half_a_release_is_never_committed_and_half_a_catalog_is() {
    let gone = |host: &str| format!("{host}/okd/content@sha256:{}", "0".repeat(64));
    let site = Release::with(|host| vec![("gone".to_owned(), gone(host))], &[]);
    let gone = gone(&site.stage.source.host().to_string());
    let index = Build::docker("index").layer(500).image();
    let index = site.stage.publish("olm/index", "v1", &index);
    let [image, cli, etcd] = &site.references;
    let references = [image.as_str(), cli, etcd, &index, &gone];
    site.stage
        .try_export("half", &references, &[])
        .fails_with(5);
    let bundle = site.stage.at("half");
    amend(&site.stage, &bundle, |inventory| {
        let components = [
            ("cli", cli.as_str()),
            ("etcd", etcd.as_str()),
            ("gone", &gone),
        ];
        inventory.releases = vec![release(image, "4.17.3", &components)];
        let mut members = [&gone, etcd].map(|written| CatalogMember {
            image: written.parse().unwrap(),
            written: written.clone(),
            needed_by: Vec::new(),
        });
        members.sort();
        inventory.catalogs = vec![CatalogEntry {
            image: index.parse().unwrap(),
            filter: None,
            format: CatalogFormat::FileBased,
            members: members.into(),
            original: None,
            malformed: Vec::new(),
        }];
    });
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let to = format!("{host}/okd");
    let out = site.stage.importer.path("out");
    site.stage.import(&bundle, &to, &[UNSIGNED]).fails_with(5);
    let more = [
        UNSIGNED,
        "--allow-incomplete",
        "--resources",
        out.to_str().unwrap(),
    ];
    // The images that the bundle has are imported, but not the release.
    let done = site.stage.import(&bundle, &to, &more).fails_with(5);
    done.stdout_has("1 image of this release is missing from the bundle")
        .stdout_has(&format!("catalog {index}: {to}/olm-index:v1"))
        .stdout_has(&format!("  missing: {gone}"));
    assert_eq!(digest_at(&host, "okd", "4.17.3-x86_64"), None);
    assert!(digest_at(&host, "okd", "4.17.3-x86_64-cli").is_some());
    assert!(digest_at(&host, "okd/olm-index", "v1").is_some());
    let source = fs::read_to_string(out.join("apply/catalogSource.yaml")).unwrap();
    assert!(
        source.contains(&format!("  image: {to}/olm-index@sha256:")),
        "{source}"
    );
    let policies = fs::read_to_string(out.join("apply/imageDigestMirrorSet.yaml")).unwrap();
    assert!(policies.contains("  name: olm-index-v1-"), "{policies}");
    assert!(!policies.contains("airferry-release-"), "{policies}");
}

#[test]
fn a_signature_that_is_not_good_is_never_waived() {
    let keys = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/release");
    let keyring = fs::read(keys.join("alice.asc")).unwrap();
    let config_map = serde_json::json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "annotations": { "release.openshift.io/verification-config-map": "" } },
        "data": { "verifier-public-key-alice": String::from_utf8(keyring.clone()).unwrap() },
    });
    let config_map = config_map.to_string();
    let manifest = ("release-manifests/keys.yaml", config_map.as_bytes());
    let site = Release::with(|_| Vec::new(), &[manifest]);
    let bundle = site.bundle_of(|inventory| {
        site.add_to(inventory);
        inventory.releases[0].keyrings = vec![Keyring {
            data: keyring.clone(),
            name: "verifier-public-key-alice".to_owned(),
        }];
    });
    let signed = |signature: &dyn Fn(&Inventory) -> ReleaseSignature| {
        amend(&site.stage, &bundle, |inventory| {
            site.add_to(inventory);
            let signature = signature(inventory);
            let release = &mut inventory.releases[0];
            release.unsigned = false;
            release.keyrings = vec![Keyring {
                data: keyring.clone(),
                name: "verifier-public-key-alice".to_owned(),
            }];
            release.signatures = vec![signature];
        });
    };
    let target = DockerRegistry::start();
    let to = format!("{}/okd", target.host());
    let alice = keys.join("alice.asc");
    let trusting = ["--release-keys", alice.to_str().unwrap()];
    let image = &site.references[0];
    let other = fs::read(keys.join("good.sig")).unwrap();
    let claims: [&dyn Fn(&Inventory) -> ReleaseSignature; 2] = [
        &|inventory| claim(inventory, image),
        // A good signature over another release.
        &|inventory| ReleaseSignature {
            message: other.clone(),
            ..claim(inventory, image)
        },
    ];
    for claim in claims {
        signed(claim);
        let more = [&trusting[..], &[UNSIGNED]].concat();
        site.stage
            .import(&bundle, &to, &more)
            .fails_with(3)
            .stderr_has("4.17.3");
        site.stage
            .verify(&bundle, &trusting)
            .fails_with(3)
            .stdout_has("NOT GENUINE");
        // The built-in keys have not signed it.
        site.stage
            .import(&bundle, &to, &[UNSIGNED])
            .fails_with(3)
            .stderr_has("--release-keys FILE");
        site.stage
            .verify(&bundle, &[])
            .fails_with(3)
            .stdout_has("signed by unknown keys");
    }
    let catalog = ask(&target.host().to_string(), "GET", "_catalog");
    assert!(
        catalog.text.contains("\"repositories\":[]"),
        "{}",
        catalog.text
    );
}

#[test]
fn profiles_and_flags_decide_names() {
    let site = Release::new();
    let bundle = site.bundle();
    let [_, cli, etcd] = &site.references;
    let mapping = |to: &str, more: &[&str]| {
        let out = site.stage.importer.path("names");
        let _ = fs::remove_dir_all(&out);
        let mut command = site.stage.importer.command();
        command
            .arg("cluster-resources")
            .arg(&bundle)
            .args(["--to", to]);
        command.arg("--trust").arg(site.stage.trusted());
        command
            .arg("--resources")
            .arg(&out)
            .arg(UNSIGNED)
            .args(more);
        Outcome::of(command).succeeds();
        fs::read_to_string(out.join("mapping.txt")).unwrap()
    };
    let expect = |payload: &str, prefix: &str| {
        let mut lines = [
            format!("{}={payload}\n", site.references[0]),
            format!("{cli}={prefix}-cli\n"),
            format!("{etcd}={prefix}-etcd\n"),
        ];
        lines.sort();
        lines.concat()
    };
    assert_eq!(
        mapping("m.lan/a/b/c", &["--max-components", "2"]),
        expect("m.lan/a/b/c:4.17.3-x86_64", "m.lan/a/b/c:4.17.3-x86_64")
    );
    let more = [
        "--to-release-repository",
        "r/s",
        "--release-tags",
        "pre-4.7",
    ];
    assert_eq!(
        mapping("m.lan", &more),
        expect("m.lan/r/s:4.17.3", "m.lan/r/s:4.17.3")
    );
    let more = ["--to-release-image", "m.lan/images:now"];
    assert_eq!(
        mapping("m.lan/a", &more),
        expect("m.lan/images:now", "m.lan/a:4.17.3-x86_64")
    );
    assert_eq!(
        mapping("m.lan", &["--profile", "oc-mirror"]),
        expect(
            "m.lan/openshift/release-images:4.17.3",
            "m.lan/openshift/release:4.17.3"
        )
    );
    let plain = mapping("m.lan", &["--profile", "plain"]);
    assert!(plain.contains("=m.lan/okd/release:4.17.3\n"), "{plain}");
    assert!(plain.contains("=m.lan/okd/content:sha256-"), "{plain}");
}

#[test]
fn instructions_and_update_services_are_written_as_asked() {
    let site = Release::new();
    let bundle = site.bundle();
    let target = DockerRegistry::start();
    let to = format!("{}/okd", target.host());
    let import = |more: &[&str]| {
        let more = [&[UNSIGNED], more].concat();
        site.stage.import(&bundle, &to, &more).succeeds()
    };
    let printed = |kind: &str| import(&["--dry-run", "--print-mirror-instructions", kind]).stdout;
    let (icsp, idms, none) = (printed("icsp"), printed("idms"), printed("none"));
    assert!(icsp.contains("kind: ImageContentSourcePolicy"), "{icsp}");
    assert!(idms.contains("kind: ImageDigestMirrorSet"), "{idms}");
    assert!(!idms.contains("ImageContentSourcePolicy"), "{idms}");
    assert!(!none.contains("kind:"), "{none}");

    let out = site.stage.importer.path("out");
    let resources = ["--resources", out.to_str().unwrap()];
    let service = [
        "--update-service",
        "--graph-data-image",
        "m.lan/graph@sha256:1",
    ];
    let refused = [&[UNSIGNED][..], &resources, &service].concat();
    site.stage.import(&bundle, &to, &refused).fails_with(2);
    let graph = format!("m.lan/graph@sha256:{}", "1a".repeat(32));
    let service = ["--update-service", "--graph-data-image", &graph];
    import(&[&resources[..], &service].concat());
    let text = fs::read_to_string(out.join("if-installed/updateService.yaml")).unwrap();
    assert!(text.contains(&format!("releases: {to}\n")), "{text}");
    assert!(
        text.contains(&format!("graphDataImage: {graph}\n")),
        "{text}"
    );
}
