//! Killed exports of a release: the facts found out about the release are kept.

use std::fs;
use std::time::Duration;

use crate::export::site::Site;
use crate::resume::stall;
use crate::support::images::Build;
use crate::support::releases::{
    IMAGE_REFERENCES, Signer, image_references, payload, publish_signature,
};

#[test]
fn a_killed_export_goes_on_without_asking_about_the_release_again() {
    let site = Site::new();
    let signer = Signer::new("releases");
    let (keys, store) = (site.path("keys.asc"), site.path("store"));
    fs::write(&keys, signer.public_key()).unwrap();
    let cli = Build::docker("cli").layer(6 << 20).image();
    site.put("okd/content", "cli", &cli);
    let pinned = format!("{}/okd/content@{}", site.host(), cli.digest());
    let references = image_references("4.1.0", &[("cli", &pinned)]);
    let config_map = signer.config_map(&format!("file://{}", store.display()));
    let keys_path = "release-manifests/0000_90_keys_configmap.yaml";
    let image = payload(
        "linux/amd64",
        &[(IMAGE_REFERENCES, &references), (keys_path, &config_map)],
    );
    publish_signature(&store, &image.digest(), 1, &signer.sign(&image.digest()));
    let reference = site.put("okd/release", "v1", &image);
    let args = [
        "--release",
        &reference,
        "--release-keys",
        keys.to_str().unwrap(),
    ];

    let bundle = site.path("bundle");
    let layer = cli.blobs.last().unwrap().digest();
    let told = stall(&site, layer, 1 << 20);
    let mut child = site.start(&bundle, &args);
    told.recv_timeout(Duration::from_secs(120)).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    site.heal();

    // None of this can be requested again: the signature is gone, and the tag points to another
    // image.
    fs::remove_dir_all(&store).unwrap();
    site.put(
        "okd/release",
        "v1",
        &Build::docker("other").layer(64).image(),
    );
    let done = site.export_json(&bundle, &args, 0);
    assert_eq!(done["state"], "sealed");
    assert_eq!(done["complete"], true);
    let release = &done["releases"][0];
    assert_eq!(release["version"], "4.1.0");
    assert_eq!(release["signed_over"], "release");
    let images = done["images"].as_array().unwrap();
    let root = |image: &&serde_json::Value| image["reference"] == reference.as_str();
    assert_eq!(images.iter().find(root).unwrap()["digest"], image.digest());
    let trusting = ["--strict", "--release-keys", keys.to_str().unwrap()];
    site.verify(&bundle, &trusting).succeeds();
}
