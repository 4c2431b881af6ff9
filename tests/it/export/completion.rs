//! Completing an incomplete bundle while faults occur again.

use serde_json::{Value, json};

use super::site::{Site, files, reads};
use crate::support::fake_registry::Reply;
use crate::support::images::{Build, digest_of};

const MIB: usize = 1 << 20;

fn problem_of(done: &Value, repository: &str) -> String {
    let images = done["images"].as_array().unwrap();
    let named = |image: &&Value| image["reference"].as_str().unwrap().contains(repository);
    let image = images.iter().find(named).unwrap();
    image["problem"].as_str().unwrap_or_default().to_owned()
}

/// A manifest that gives a wrong size for a layer of the bundle affects only its own image.
#[test]
fn a_new_manifest_that_gives_a_sealed_blob_another_size_costs_its_image() {
    let site = Site::new();
    let good = Build::oci("good").layer(5000).image();
    let bad = Build::oci("bad")
        .layer(900)
        .annotation("later", "yes")
        .image();
    let references = [
        site.put("good", "v1", &good),
        format!("{}/bad:v1", site.host()),
        format!("{}/late:v1", site.host()),
    ];
    let args: Vec<&str> = references.iter().map(String::as_str).collect();
    let bundle = site.path("bundle");
    site.export_json(&bundle, &args, 5);

    let mut manifest: Value = serde_json::from_slice(&bad.bytes).unwrap();
    let layer = &good.blobs[1];
    manifest["layers"] = json!([{
        "mediaType": layer.media_type,
        "digest": layer.digest(),
        "size": layer.bytes.len() + 1,
    }]);
    site.put("bad", "v0", &bad);
    site.put_manifest("bad", "v1", bad.media_type, manifest.to_string().as_bytes());

    // No missing image can be fetched: the bundle stays as it is.
    let before = files(&bundle);
    let done = site.export_json(&bundle, &args, 5);
    let said = problem_of(&done, "/bad:");
    assert!(said.contains(&layer.digest()), "{said}");
    assert_eq!(done["generation"], 1);
    assert!(files(&bundle) == before);

    // Another image can be fetched: the wrong manifest affects only its own image.
    site.put("late", "v1", &Build::oci("late").layer(800).image());
    let done = site.export_json(&bundle, &args, 5);
    assert_eq!(done["generation"], 2);
    assert_eq!(problem_of(&done, "/late:"), "");
    assert!(problem_of(&done, "/bad:").contains(&layer.digest()));
    site.verify(&bundle, &["--strict", "--allow-incomplete"])
        .succeeds();
    // The wrong manifest is not in the bundle.
    let lie = digest_of(manifest.to_string().as_bytes());
    let inspect = site.run(["inspect".as_ref(), bundle.as_os_str()]);
    inspect.succeeds().hides(&lie);
}

/// The completion began and was interrupted; then the blob that it was to fetch is gone again.
#[test]
fn an_interrupted_completion_that_gains_nothing_leaves_the_generation_before() {
    let site = Site::new();
    let good = Build::oci("good").layer(5000).image();
    let bad = Build::oci("bad").plain_layer(6 * MIB).image();
    let references = [site.put("good", "v1", &good), site.put("bad", "v1", &bad)];
    let mut args: Vec<&str> = references.iter().map(String::as_str).collect();
    args.extend(["--retries", "0", "--chunk-size", "4MiB"]);
    let bundle = site.path("bundle");
    let digest = bad.blobs[1].digest();
    let gone = |site: &Site| {
        let digest = digest.clone();
        site.fault(move |asked| reads(asked, &digest).then(|| Reply::error(404, "BLOB_UNKNOWN")));
    };
    gone(&site);
    let first = site.export_json(&bundle, &args, 5);
    let before = files(&bundle);

    let (broken, blob) = (digest.clone(), site.blob(&digest));
    site.fault(move |asked| {
        reads(asked, &broken).then(|| match asked.range_start() {
            0 => Reply::range(asked, &blob).cut_after(5 * MIB),
            _ => Reply::hang_up(),
        })
    });
    site.export(&bundle, &args).fails_with(6);
    assert!(bundle.join("export.plan").exists());
    assert!(files(&bundle).len() > before.len());

    gone(&site);
    let again = site.export_json(&bundle, &args, 5);
    assert_eq!(again["state"], "still-incomplete");
    assert_eq!(again["bundle"], first["bundle"]);
    assert!(files(&bundle) == before);
    site.verify(&bundle, &["--strict", "--allow-incomplete"])
        .succeeds();

    site.heal();
    let done = site.export_json(&bundle, &args, 0);
    assert_eq!(done["generation"], 2);
    site.verify(&bundle, &["--strict"]).succeeds();
}

/// A problem is printed once, at the end; while the export runs it is only counted.
#[test]
fn every_problem_is_printed_once() {
    let site = Site::new();
    let good = Build::oci("good").layer(500).image();
    let bad = Build::oci("bad").layer(900).image();
    let digest = bad.blobs[1].digest();
    let missing = format!("{}/missing:v1", site.host());
    let references = [
        site.put("good", "v1", &good),
        site.put("bad", "v1", &bad),
        missing,
    ];
    let args: Vec<&str> = references.iter().map(String::as_str).collect();
    let broken = digest.clone();
    site.fault(move |asked| reads(asked, &broken).then(|| Reply::error(404, "BLOB_UNKNOWN")));
    let outcome = site.export(&site.path("bundle"), &args).fails_with(5);
    outcome
        .stderr_has("warning: 1 of 3 images is missing")
        .stderr_has("error: 2 of 3 images are missing:");
    assert_eq!(
        outcome.stderr.matches(&*references[2]).count(),
        1,
        "{outcome}"
    );
    assert_eq!(
        outcome.stderr.matches(&format!("{digest}: ")).count(),
        1,
        "{outcome}"
    );
    outcome.stdout_has(&format!("{}  -  missing\n", references[2]));
}
