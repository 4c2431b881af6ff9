//! The environment that the pages assume: registries, and the images, releases and catalogs in
//! them.

use std::fs;

use serde_json::{Value, json};

use crate::import::Serve;
use crate::support::command::Airferry;
use crate::support::images::{Build, Image, index, publish};
use crate::support::releases::{IMAGE_REFERENCES, image_references, payload};

/// An account for which `registry.example.com` and `quay.io` are the same registry, and that may
/// write to another one.
pub struct Desk {
    pub account: Airferry,
    pub source: Serve,
    pub target: Serve,
}

impl Desk {
    pub fn new() -> Self {
        let account = Airferry::new();
        let (source, target) = (Serve::start(&account, &[]), Serve::start(&account, &[]));
        let settings = account.path(".config/containers/registries.conf");
        fs::create_dir_all(settings.parent().unwrap()).unwrap();
        let leads = ["registry.example.com", "quay.io"].map(|name| {
            let location = &source.host;
            format!(
                "[[registry]]\nprefix = \"{name}\"\nlocation = \"{location}\"\ninsecure = true\n"
            )
        });
        fs::write(settings, leads.concat()).unwrap();
        let desk = Self {
            account,
            source,
            target,
        };
        desk.publish_team();
        desk.publish_release();
        desk.publish_catalog();
        desk
    }

    pub fn push(&self, repository: &str, tag: Option<&str>, image: &Image) {
        publish::push(&self.source.host, repository, tag, image);
    }

    /// Publishes images of the same shapes as those of `scripts/demo-images`.
    fn publish_team(&self) {
        let shell = Build::docker("shell").layer(3000).image();
        self.push("team/shell", Some("1"), &shell);
        let amd64 = Build::oci("app").shared_layer("shell", 3000).layer(300);
        let arm64 = Build::oci("app").platform("linux/arm64").layer(300);
        let app = index([&amd64.image(), &arm64.image()]);
        self.push("team/app", Some("1.4"), &app);
        let payload = "application/vnd.dev.cosign.simplesigning.v1+json";
        let signature = Build::oci("signature").typed_file(payload, b"{\"critical\":{}}");
        self.push("team/app", Some(&app.cosign_tag("sig")), &signature.image());
        let docs = Build::oci("docs").layer(300).image();
        let sbom = Build::artifact("application/spdx+json").file(b"{\"name\":\"docs\"}");
        for tag in ["1.4-docs", "1.5"] {
            self.push("team/app", Some(tag), &docs);
        }
        self.push("team/app", None, &sbom.subject(&docs).image());
        let data = Build::oci("data").plain_layer(10 << 20).image();
        self.push("team/data", Some("2026-05"), &data);
    }

    /// Publishes `quay.io/okd/scos-release:4.18.0`, unsigned, with four components.
    fn publish_release(&self) {
        // An import reports components by digest: take the first seed whose digests have the page's
        // order.
        let names = ["installer", "machine-config-operator", "etcd", "cli"];
        let images = (0..1000)
            .map(|seed| {
                names.map(|name| Build::docker(&format!("{name} {seed}")).layer(3000).image())
            })
            .find(|images| images.is_sorted_by_key(Image::digest))
            .expect("one of 24 orders");
        let components = std::array::from_fn::<_, 4, _>(|index| {
            let (name, image) = (names[index], &images[index]);
            self.push("okd/content", Some(name), image);
            (name, format!("quay.io/okd/content@{}", image.digest()))
        });
        let listed = components
            .each_ref()
            .map(|(name, reference)| (*name, reference.as_str()));
        let references = image_references("4.18.0", &listed);
        let payload = payload("linux/amd64", &[(IMAGE_REFERENCES, &references)]);
        self.push("okd/scos-release", Some("4.18.0"), &payload);
    }

    /// Publishes `quay.io/ops/catalog:latest` with two versions of argocd and three of etcd.
    fn publish_catalog(&self) {
        let mut catalog = String::new();
        for (package, channel, versions) in [
            ("argocd", "alpha", &["1.0.0", "1.1.0"][..]),
            ("etcd", "stable", &["0.8.0", "0.9.0", "0.10.0"]),
        ] {
            let name = |version: &str| format!("{package}.v{version}");
            let mut entries = Vec::new();
            for version in versions {
                let image = |kind: &str, bytes: usize| {
                    let image = Build::oci(&format!("{package} {kind} {version}"));
                    let image = image.layer(bytes).image();
                    let repository = format!("ops/{package}-{kind}");
                    self.push(&repository, Some(version), &image);
                    format!("quay.io/{repository}@{}", image.digest())
                };
                let mut entry = json!({"name": name(version)});
                if let Some(before) = entries.last().map(|entry: &Value| entry["name"].clone()) {
                    entry["replaces"] = before;
                }
                entries.push(entry);
                let bundle = json!({
                    "schema": "olm.bundle", "package": package, "name": name(version),
                    "image": image("bundle", 1000),
                    "properties": [{
                        "type": "olm.package",
                        "value": {"packageName": package, "version": version},
                    }],
                    "relatedImages": [{"name": "operator", "image": image("operator", 900_000)}],
                });
                catalog.push_str(&bundle.to_string());
            }
            for document in [
                json!({"schema": "olm.package", "name": package, "defaultChannel": channel}),
                json!({
                    "schema": "olm.channel", "package": package, "name": channel,
                    "entries": entries,
                }),
            ] {
                catalog.push_str(&document.to_string());
            }
        }
        let index = Build::oci("catalog")
            .label(
                "operators.operatorframework.io.index.configs.v1",
                "/configs",
            )
            .layer(2000)
            .files(&[("configs/catalog.json", catalog.as_bytes())]);
        self.push("ops/catalog", Some("latest"), &index.image());
    }
}
