//! Requests of an import to the target: each once, and none that is unnecessary.

use super::*;

/// Images in repositories of their own on a shared base layer, and one image for two platforms.
pub(super) struct Fleet {
    images: Vec<(String, Image)>,
}

impl Fleet {
    pub(super) fn new() -> Self {
        let app = |number: usize| {
            let seed = format!("app {number}");
            let image = Build::oci(&seed).shared_layer("base", 4000).layer(300);
            (format!("app{number:02}"), image.image())
        };
        let mut images: Vec<_> = (0..20).map(app).collect();
        let arm = Build::oci("list").platform("linux/arm64").layer(200);
        let amd = Build::oci("list").shared_layer("base", 4000);
        images.push(("list".to_owned(), index([&amd.image(), &arm.image()])));
        Self { images }
    }

    pub(super) fn export(&self, stage: &Stage) -> std::path::PathBuf {
        let references: Vec<String> = self
            .images
            .iter()
            .map(|(name, image)| stage.publish(name, "v1", image))
            .collect();
        let references: Vec<&str> = references.iter().map(String::as_str).collect();
        stage.export("bundle", &references, &[])
    }

    pub(super) fn images(&self) -> impl Iterator<Item = (&str, &Image)> {
        self.images
            .iter()
            .map(|(name, image)| (name.as_str(), image))
    }

    fn tags(&self) -> usize {
        self.images.len()
    }

    pub(super) fn manifests(&self) -> usize {
        let parts = self.images.iter().map(|(_, image)| image.walk().len());
        parts.sum()
    }

    /// Returns the pairs of a repository and a blob, without duplicates.
    fn pairs(&self) -> BTreeSet<(&str, String)> {
        let parts = self.images.iter().flat_map(|(name, image)| {
            let blobs = image.walk().into_iter().flat_map(|part| &part.blobs);
            blobs.map(move |blob| (name.as_str(), blob.digest()))
        });
        parts.collect()
    }

    pub(super) fn blobs(&self) -> usize {
        let digests = self.pairs().into_iter().map(|(_, digest)| digest);
        digests.collect::<BTreeSet<_>>().len()
    }

    pub(super) fn bytes(&self) -> u64 {
        let blobs = self.images.iter().flat_map(|(_, image)| image.walk());
        let sizes: BTreeMap<String, u64> = blobs
            .flat_map(|part| &part.blobs)
            .map(|blob| (blob.digest(), blob.bytes.len() as u64))
            .collect();
        sizes.values().sum()
    }
}

#[test]
fn each_thing_is_sent_once_and_asked_for_once() {
    let stage = Stage::new();
    let fleet = Fleet::new();
    let bundle = fleet.export(&stage);
    let (tags, manifests) = (fleet.tags(), fleet.manifests());
    let (pairs, blobs) = (fleet.pairs().len(), fleet.blobs());
    for jobs in ["1", "8"] {
        let target = DockerRegistry::start();
        let proxy = Proxy::before(&target.host().to_string());
        let more = ["--jobs", jobs];
        stage.import(&bundle, &proxy.host(), &more).succeeds();
        let first = tally(&proxy.take());
        let expected = [
            // Each tag, before anything is sent.
            ("HEAD manifests", tags),
            // Sent once, the root by its tag; and read back.
            ("PUT manifests", manifests),
            ("GET manifests", manifests),
            // An upload or a mount for each repository, the bytes once.
            ("POST uploads", pairs),
            ("PUT uploads", blobs),
            // Each blob once before it is sent, and each pair once when it is read back.
            ("GET blobs", blobs + pairs),
        ];
        for (what, times) in expected {
            assert_eq!(first.get(what), Some(&times), "{what}: {first:?}");
        }
        // The requests that find out whether the target speaks TLS, and whether it is a registry.
        assert_eq!(first.get("GET other"), Some(&2), "{first:?}");
        assert_eq!(first.len(), expected.len() + 1, "{first:?}");

        stage.import(&bundle, &proxy.host(), &more).succeeds();
        let again = tally(&proxy.take());
        assert_eq!(again.get("HEAD manifests"), Some(&manifests), "{again:?}");
        assert_eq!(again.get("GET blobs"), Some(&pairs), "{again:?}");
        assert_eq!(again.get("GET other"), Some(&2), "{again:?}");
        assert_eq!(again.len(), 3, "{again:?}");
    }
}

#[test]
fn a_dry_run_says_how_much_there_is_to_send() {
    let stage = Stage::new();
    let fleet = Fleet::new();
    let bundle = fleet.export(&stage);
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let dry = ["--dry-run", "--output", "json"];
    let forecast = || {
        let report = stage.import(&bundle, &host, &dry).succeeds().json();
        let number = |key: &str| report[key].as_u64().unwrap();
        (number("bytes_to_upload"), number("bytes_there"))
    };
    let (to_upload, there) = forecast();
    assert_eq!(to_upload, fleet.bytes());
    let report = stage.import(&bundle, &host, &["--output", "json"]);
    let report = report.succeeds().json();
    // The forecast was right.
    assert_eq!(report["bytes_uploaded"].as_u64(), Some(to_upload));
    assert_eq!(report["bytes_reused"].as_u64(), Some(there));
    assert!(report.get("bytes_to_upload").is_none(), "{report}");
    assert_eq!(forecast(), (0, to_upload + there));
    stage
        .import(&bundle, &host, &["--dry-run"])
        .succeeds()
        .stdout_has("0 B would be sent");
}

/// Returns for each phase the number of items that it announced, and that it finished.
fn counted(stderr: &str) -> BTreeMap<String, (u64, u64)> {
    let mut counted: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for line in stderr.lines() {
        let Ok(event) = serde_json::from_str::<Value>(line) else {
            continue;
        };
        let phase = event["phase"].as_str().unwrap_or_default();
        match event["event"].as_str() {
            Some("phase-started") => {
                let items = event["items"].as_u64().unwrap();
                counted.entry(phase.to_owned()).or_default().0 += items;
            }
            Some("item-finished") => counted.entry(phase.to_owned()).or_default().1 += 1,
            _ => {}
        }
    }
    counted
}

#[test]
fn every_phase_counts_to_its_end() {
    let stage = Stage::new();
    let fleet = Fleet::new();
    let bundle = fleet.export(&stage);
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let run = |more: &[&str]| {
        let mut command = stage.importer.command();
        command.arg("import").arg(&bundle).args(["--to", &host]);
        command.arg("--trust").arg(stage.trusted());
        command.args(["--tls-verify=false", "--progress", "json"]);
        counted(
            &Outcome::of({
                command.args(more);
                command
            })
            .succeeds()
            .stderr,
        )
    };
    let pairs = fleet.pairs().len() as u64;
    let (tags, manifests) = (fleet.tags() as u64, fleet.manifests() as u64);
    let first = run(&[]);
    assert_eq!(first["probe"], (tags, tags), "{first:?}");
    assert_eq!(first["upload"], (pairs, pairs), "{first:?}");
    let put = manifests + pairs;
    assert_eq!(first["read-back"], (put, put), "{first:?}");
    let again = run(&[]);
    assert_eq!(again["upload"], (pairs, pairs), "{again:?}");
    assert_eq!(again.get("read-back"), None, "{again:?}");
    let dry = run(&["--dry-run"]);
    assert_eq!(dry["probe"], (tags + pairs, tags + pairs), "{dry:?}");
}

/// The base was never imported: the target is asked once for each blob in each repository that
/// needs it, and once whether each repository exists. All missing blobs are reported.
#[test]
fn a_base_that_is_not_there_costs_one_question_for_each_blob() {
    let stage = Stage::new();
    let fleet = Fleet::new();
    let first = fleet.export(&stage);
    let references: Vec<String> = fleet
        .images
        .iter()
        .map(|(name, image)| stage.publish(&format!("again/{name}"), "v2", image))
        .collect();
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    let base = first.to_str().unwrap();
    let second = stage.export("second", &references, &["--base", base]);
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let proxy = Proxy::before(&host);
    let outcome = stage.import(&second, &proxy.host(), &[]).fails_with(7);
    let blobs = fleet.blobs();
    outcome
        .stderr_has(&format!("{blobs} blobs ("))
        .stderr_has("nothing was changed");
    outcome.stderr_has(&format!("and {} more", blobs - 3));
    let asked = proxy.take();
    let pairs = fleet.pairs().len();
    let tally = tally(&asked);
    assert_eq!(tally["GET blobs"], pairs, "{tally:?}");
    assert_eq!(tally["HEAD manifests"], fleet.tags(), "{tally:?}");
    let lists = asked.iter().filter(|p| p.target.contains("/tags/list"));
    // The repositories of the base's images, and those of this bundle's.
    assert_eq!(lists.count(), 2 * fleet.tags(), "{tally:?}");

    // If the base is present, its blobs are found in its repositories and mounted.
    stage.import(&first, &host, &[]).succeeds();
    let report = stage.import(&second, &proxy.host(), &["--output", "json"]);
    assert_eq!(report.succeeds().json()["bytes_uploaded"], 0);
    let mounts = proxy.take();
    let mounts = mounts.iter().filter(|p| p.target.contains("mount="));
    assert_eq!(mounts.count(), pairs);
}
