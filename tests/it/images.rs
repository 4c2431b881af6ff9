//! The images that the tests make, as other programs read them.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::command::{Airferry, Outcome};
use crate::support::images::{Build, Image, digest_of, docker_list, index, many, publish};
use crate::support::real_part;

/// Builds one image of each kind that the builder can make.
fn assorted() -> Vec<(&'static str, Image)> {
    let small = Build::oci("small").layer(1000).image();
    let arm = Build::oci("small").platform("linux/arm64/v8");
    let arm = arm.layer(1000).image();
    let layers = Build::oci("layers").layer(100_000).zstd_layer(5000);
    let layers = layers.plain_layer(3000).empty_layer().image();
    let docker = Build::docker("docker").layer(2000).empty_layer().image();
    let pair = index([&small, &arm]);
    let sbom = Build::artifact("application/spdx+json").file(b"{}");
    vec![
        ("layers", layers),
        ("list", docker_list([&docker])),
        ("nested", index([&pair, &docker])),
        ("sbom", sbom.subject(&pair).image()),
        ("pair", pair),
        ("docker", docker),
    ]
}

#[test]
fn the_same_calls_give_the_same_bytes() {
    let digests = |images: Vec<(&str, Image)>| -> Vec<String> {
        images.iter().map(|(_, image)| image.digest()).collect()
    };
    assert_eq!(digests(assorted()), digests(assorted()));
    let mut tiny: Vec<String> = many("tiny", 50).iter().map(Image::digest).collect();
    tiny.sort();
    tiny.dedup();
    assert_eq!(tiny.len(), 50);
    let shares = |seed| Build::oci(seed).shared_layer("base", 500).image();
    let (one, two) = (shares("one"), shares("two"));
    assert_eq!(one.blobs[1].digest(), two.blobs[1].digest());
    assert_ne!(one.digest(), two.digest());
}

#[test]
fn foreign_layers_are_named_and_not_stored() {
    let url = "https://layers.example/1";
    let image = Build::docker("windows")
        .layer(10)
        .foreign_layer(10, url)
        .image();
    let manifest: serde_json::Value = serde_json::from_slice(&image.bytes).unwrap();
    assert_eq!(manifest["layers"][1]["urls"][0], url);
    let airferry = Airferry::new();
    publish::oci_layout(airferry.home(), [("foreign", &image)]);
    let blobs = fs::read_dir(airferry.path("blobs/sha256")).unwrap();
    // The manifest, the configuration and one layer.
    assert_eq!(blobs.count(), 3);
}

/// The layers that skopeo decompresses have the digests that the configuration names.
#[test]
fn skopeo_reads_the_layouts() {
    if real_part::required("skopeo").is_none() {
        return;
    }
    let airferry = Airferry::new();
    let mut images = assorted();
    images.retain(|(_, image)| image.media_type.starts_with("application/vnd.oci."));
    let layout = airferry.path("layout");
    publish::oci_layout(&layout, images.iter().map(|(name, image)| (*name, image)));
    for (name, image) in &images {
        let source = format!("oci:{}:{name}", layout.display());
        let raw = skopeo(&airferry, &["inspect", "--raw", &source]);
        assert_eq!(raw.stdout.as_bytes(), image.bytes, "{name}");
        if image.children.is_empty() && *name != "sbom" {
            let copy = format!("dir:{}", airferry.path(name).display());
            skopeo(&airferry, &["copy", "--dest-decompress", &source, &copy]);
            assert_eq!(
                decompressed(&airferry.path(name)),
                diff_ids(image),
                "{name}"
            );
        }
    }
}

/// Returns the digests of the layers that skopeo decompressed into a directory.
fn decompressed(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    let contents = entries.map(|entry| fs::read(entry.unwrap().path()).unwrap());
    contents
        .filter(|bytes| bytes.len() % 512 == 0)
        .map(|bytes| digest_of(&bytes))
        .collect()
}

/// Returns the digests of the decompressed layers that the configuration names.
fn diff_ids(image: &Image) -> BTreeSet<String> {
    let config: serde_json::Value = serde_json::from_slice(&image.blobs[0].bytes).unwrap();
    let ids = config["rootfs"]["diff_ids"].as_array().unwrap();
    ids.iter()
        .map(|id| id.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_registry_takes_the_pushes() {
    let Some(registry) = Registry::start() else {
        return;
    };
    let airferry = Airferry::new();
    for (name, image) in assorted() {
        publish::push(&registry.address, "team/app", Some(name), &image);
        let source = format!("docker://{}/team/app:{name}", registry.address);
        let raw = skopeo(
            &airferry,
            &["inspect", "--tls-verify=false", "--raw", &source],
        );
        assert_eq!(raw.stdout.as_bytes(), image.bytes, "{name}");
    }
}

fn skopeo(airferry: &Airferry, args: &[&str]) -> Outcome {
    let mut command = Command::new("skopeo");
    command.arg("--insecure-policy").args(args);
    Outcome::of(airferry.wrap(command)).succeeds()
}

/// A registry for this module, killed when it is dropped.
struct Registry {
    process: Child,
    address: String,
    _home: Airferry,
}

impl Registry {
    fn start() -> Option<Self> {
        real_part::required("docker-registry")?;
        let home = Airferry::new();
        let config = "{version: 0.1, log: {level: info}, http: {addr: '127.0.0.1:0'}, \
                      storage: {filesystem: {rootdirectory: store}}}";
        fs::write(home.path("config.yml"), config).unwrap();
        let mut command = Command::new("docker-registry");
        command.args([Path::new("serve"), &home.path("config.yml")]);
        let mut command = home.wrap(command);
        let mut process = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = log.find_map(|line| {
            let line = line.ok()?;
            let (_, rest) = line.split_once("listening on ")?;
            let end = rest.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit());
            Some(rest[..end.unwrap_or(rest.len())].to_owned())
        });
        // Read on, or the registry blocks on a full pipe.
        std::thread::spawn(move || log.for_each(drop));
        let address = address.expect("the registry says where it listens");
        Some(Self {
            process,
            address,
            _home: home,
        })
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
