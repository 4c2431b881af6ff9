//! Round trips with common client tools: skopeo and buildah, over HTTP and HTTPS.

use std::process::Command;

use airferry::serve::{Credentials, TlsIdentity};

use super::*;
use crate::support::tools::{outcome, require, run};

/// Defines multi-threaded tests: the server answers while the test waits for a program.
macro_rules! with_server {
    ($(fn $name:ident($store:ident) $body:block)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            let $store = tempfile::tempdir().unwrap();
            $body
        }
    )+};
}

fn skopeo(args: &[&str]) -> String {
    run(Command::new(require("skopeo")).args(args))
}

/// buildah with its own storage.
struct Buildah {
    home: tempfile::TempDir,
}

impl Buildah {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let context = home.path().join("context");
        std::fs::create_dir(&context).unwrap();
        std::fs::write(context.join("data"), noise(3_000_000)).unwrap();
        let recipe = "FROM scratch\nCOPY data /data\nCOPY Dockerfile /etc/about\n";
        std::fs::write(context.join("Dockerfile"), recipe).unwrap();
        Self { home }
    }

    fn run(&self, args: &[&str]) -> String {
        let mut command = Command::new(require("buildah"));
        command
            .args(["--storage-driver", "vfs", "--root"])
            .arg(self.home.path().join("root"))
            .arg("--runroot")
            .arg(self.home.path().join("runroot"))
            .args(args)
            .current_dir(self.home.path());
        run(&mut command)
    }
}

/// Pulls all of a tag; returns the digest and the media type of its manifest.
fn pulled(reference: &str) -> (String, String) {
    let directory = tempfile::tempdir().unwrap();
    let target = format!("dir:{}", directory.path().display());
    skopeo(&[
        "copy",
        "--all",
        "--preserve-digests",
        "--src-tls-verify=false",
        reference,
        &target,
    ]);
    let bytes = std::fs::read(directory.path().join("manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    (
        digest(&bytes),
        manifest["mediaType"]
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    )
}

fn layer_types(reference: &str) -> Vec<String> {
    let raw = skopeo(&["inspect", "--raw", "--tls-verify=false", reference]);
    let manifest: serde_json::Value = serde_json::from_str(&raw).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    let types = layers
        .iter()
        .map(|layer| layer["mediaType"].as_str().unwrap().to_owned());
    types.collect()
}

with_server! {
    fn images_of_every_format_go_in_and_out(store) {
        let registry = Registry::open(store.path()).await;
        let buildah = Buildah::new();
        buildah.run(&["bud", "--isolation", "chroot", "-q", "-t", "demo", "context"]);
        let base = format!("docker://{}/deep/er/demo", registry.address);
        let docker = format!("{base}:docker");
        let oci = format!("{base}:oci");
        let push = ["push", "-q", "--tls-verify=false", "--format"];
        buildah.run(&[&push[..], &["v2s2", "demo", &docker]].concat());
        buildah.run(&[&push[..], &["oci", "demo", &oci]].concat());
        let (_, docker_type) = pulled(&docker);
        assert_eq!(docker_type, "application/vnd.docker.distribution.manifest.v2+json");
        assert!(layer_types(&oci).iter().all(|kind| kind.ends_with("tar+gzip")));

        let zstd = format!("{base}:zstd");
        skopeo(&[
            "copy", "-q", "--format", "oci", "--dest-compress-format", "zstd",
            "--src-tls-verify=false", "--dest-tls-verify=false", &oci, &zstd,
        ]);
        let copy = format!("docker://{}/copy:1", registry.address);
        skopeo(&[
            "copy", "-q", "--preserve-digests",
            "--src-tls-verify=false", "--dest-tls-verify=false", &zstd, &copy,
        ]);
        assert_eq!(pulled(&zstd).0, pulled(&copy).0);
        let from = buildah.run(&["pull", "-q", "--tls-verify=false", &copy]);
        assert_eq!(from.trim().len(), 64);
        registry.stop().await;
    }

    fn an_image_for_several_platforms_stays_one(store) {
        let registry = Registry::open(store.path()).await;
        let buildah = Buildah::new();
        buildah.run(&[
            "bud", "--isolation", "chroot", "-q", "--manifest", "many",
            "--platform", "linux/amd64", "--platform", "linux/arm64", "context",
        ]);
        let base = format!("docker://{}/many", registry.address);
        let (pushed, copied) = (format!("{base}:1"), format!("{base}/copy:1"));
        buildah.run(&["manifest", "push", "-q", "--all", "--tls-verify=false", "many", &pushed]);
        skopeo(&[
            "copy", "-q", "--all", "--preserve-digests",
            "--src-tls-verify=false", "--dest-tls-verify=false", &pushed, &copied,
        ]);
        let raw = skopeo(&["inspect", "--raw", "--tls-verify=false", &copied]);
        let index: serde_json::Value = serde_json::from_str(&raw).unwrap();
        assert_eq!(index["manifests"].as_array().unwrap().len(), 2);
        assert_eq!(pulled(&pushed), pulled(&copied));
        registry.stop().await;
    }

    fn many_small_images_are_synced(store) {
        let registry = Registry::open(&store.path().join("from")).await;
        let target = Registry::open(&store.path().join("to")).await;
        // Compressed here, or skopeo would compress them and change the digests.
        let gzip = |bytes: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            std::io::Write::write_all(&mut encoder, bytes).unwrap();
            encoder.finish().unwrap()
        };
        let mut pushed = Vec::new();
        for number in 0..25 {
            let layer = gzip(&noise(600 + number));
            let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
            registry.push_blob("small", config).await;
            registry.push_blob("small", &layer).await;
            let mut manifest = image(config, &layer);
            manifest["layers"][0]["mediaType"] =
                "application/vnd.oci.image.layer.v1.tar+gzip".into();
            let bytes = manifest.to_string().into_bytes();
            let tag = format!("t{number:02}");
            let response = registry.put_manifest("small", &tag, OCI_MANIFEST, &bytes).await;
            assert_eq!(response.status(), StatusCode::CREATED);
            pushed.push((tag, bytes));
        }
        let (from, to) = (format!("{}/small", registry.address), target.address.to_string());
        skopeo(&[
            "sync", "--src", "docker", "--dest", "docker",
            "--src-tls-verify=false", "--dest-tls-verify=false", &from, &to,
        ]);
        for (tag, bytes) in pushed {
            let response = target.get(&format!("/v2/small/manifests/{tag}")).await;
            assert_eq!(response.bytes().await.unwrap(), bytes, "{tag}");
        }
        registry.stop().await;
        target.stop().await;
    }

    fn tls_and_a_password_satisfy_skopeo(store) {
        let pair = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificates = tempfile::tempdir().unwrap();
        std::fs::write(certificates.path().join("ca.crt"), pair.cert.pem()).unwrap();
        let mut options = ServeOptions::new(store.path());
        options.tls = Some(TlsIdentity {
            certificates: pair.cert.pem().into_bytes(),
            key: pair.signing_key.serialize_pem().into_bytes().into(),
        });
        options.credentials = Some(Credentials::parse("anna:right").unwrap());
        let registry = Registry::start(options).await;
        let buildah = Buildah::new();
        buildah.run(&["bud", "--isolation", "chroot", "-q", "-t", "demo", "context"]);
        let layout = buildah.home.path().join("layout");
        let local = format!("oci:{}:demo", layout.display());
        buildah.run(&["push", "-q", "demo", &local]);
        let remote = format!("docker://localhost:{}/demo:1", registry.address.port());
        let trusted = certificates.path().to_str().unwrap();
        let copy = |password: &str| {
            let mut command = Command::new(require("skopeo"));
            command.args(["copy", "-q", "--dest-cert-dir", trusted, "--dest-creds"]);
            outcome(command.arg(format!("anna:{password}")).args([&local, &remote]))
        };
        let wrong = copy("wrong");
        assert!(!wrong.status.success());
        let right = copy("right");
        assert!(right.status.success(), "{}", String::from_utf8_lossy(&right.stderr));
        let raw = skopeo(&[
            "inspect", "--raw", "--cert-dir", trusted, "--creds", "anna:right", &remote,
        ]);
        assert!(raw.contains("layers"));
        registry.stop().await;
    }
}
