//! Memory that an export takes, however much it carries.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::site::{Site, reads};
use crate::support::fake_registry::Reply;
use crate::support::images::{digest_of, noise};

const MIB: usize = 1 << 20;

/// Number of layers, of 100 MiB each: enough for all lanes.
const LAYERS: usize = 10;

/// Returns the peak of a process's resident set size, in KiB.
fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Kills an export in the middle of several lanes; measures its peak and that of the continued run.
#[test]
fn a_gibibyte_in_four_lanes_takes_little_memory_and_continues() {
    let site = Site::new();
    let all = Bytes::from(noise("memory", (100 + LAYERS) * MIB));
    let mut layers = Vec::new();
    for number in 0..LAYERS {
        let layer = all.slice(number * MIB..(number + 100) * MIB);
        let digest = digest_of(&layer);
        layers.push(json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar",
            "digest": digest,
            "size": layer.len(),
        }));
        site.put_blob(&digest, layer);
    }
    let config = Bytes::from_static(b"{}");
    site.put_blob(&digest_of(&config), config.clone());
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": digest_of(&config),
            "size": config.len(),
        },
        "layers": layers,
    });
    site.put_manifest("large", "v1", media_type, manifest.to_string().as_bytes());
    let image = format!("{}/large:v1", site.host());
    let args = [&*image, "--chunk-size", "64MiB"];
    let to = site.path("bundle");

    // The last layer never ends; the others have been fetched by then, or are being fetched.
    let stuck = layers[LAYERS - 1]["digest"].as_str().unwrap().to_owned();
    let whole = site.blob(&stuck);
    let (tell, told) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    site.fault(move |asked| {
        reads(asked, &stuck).then(|| {
            let _ = tell.lock().unwrap().send(());
            Reply::range(asked, &whole).stall_after(10 * MIB)
        })
    });
    let mut child = site.start(&to, &args);
    told.recv_timeout(Duration::from_secs(300)).unwrap();
    let first = peak(child.id()).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    site.heal();

    let mut child = site.start(&to, &args);
    let mut second = 0;
    let status = loop {
        second = second.max(peak(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(0));
    eprintln!("peak: {first} KiB until the kill, {second} KiB afterwards");
    assert!(first.max(second) < 200 * 1024);
    let chunks = fs::read_dir(to.join("chunks")).unwrap().count();
    assert!(chunks >= 16, "{chunks} chunks");
    site.verify(&to, &["--strict"]).succeeds();
}
