//! One tag of a source that is pinned to two digests: both images arrive, one has the tag.

use super::*;

fn app(seed: &str) -> Image {
    Build::oci(seed).layer(500).image()
}

/// Two images under one tag of a source, each pinned by digest; the smaller digest is first.
struct Pinned {
    stage: Stage,
    images: [Image; 2],
    references: [String; 2],
}

impl Pinned {
    fn new() -> Self {
        let stage = Stage::new();
        let mut images = [app("old"), app("new")];
        images.sort_by_key(Image::digest);
        let references = images.each_ref().map(|image| {
            let tagged = stage.publish("ops/db", "13", image);
            format!("{tagged}@{}", image.digest())
        });
        Self {
            stage,
            images,
            references,
        }
    }

    fn export(&self, name: &str, more: &[&str]) -> (std::path::PathBuf, Outcome) {
        let [one, two] = self.references.each_ref().map(String::as_str);
        let outcome = self
            .stage
            .try_export(name, &[&[one, two], more].concat(), &[]);
        (self.stage.at(name), outcome)
    }
}

#[test]
fn both_arrive_in_every_profile_and_a_second_run_has_nothing_to_do() {
    let pinned = Pinned::new();
    let [least, other] = &pinned.images;
    let (bundle, outcome) = pinned.export("bundle", &[]);
    let outcome = outcome.succeeds();
    outcome.stderr_has("names 2 digests");
    outcome.stderr_has(&format!("{} gets the tag", least.digest()));
    let dry = pinned.stage.at("dry");
    let [one, two] = pinned.references.each_ref().map(String::as_str);
    let dry = pinned
        .stage
        .try_export(dry.to_str().unwrap(), &[one, two], &["--dry-run"]);
    dry.succeeds().stderr_has("names 2 digests");

    let target = DockerRegistry::start();
    let host = target.host().to_string();
    for profile in ["plain", "oc", "oc-mirror"] {
        let to = format!("{host}/{profile}");
        let out = pinned.stage.importer.path(profile);
        let out = out.to_str().unwrap();
        let more = ["--profile", profile, "--resources", out];
        let outcome = pinned.stage.import(&bundle, &to, &more).succeeds();
        outcome.stderr_has(&format!("{} has the tag", least.digest()));
        let repository = match profile {
            "oc" => "oc/ops-db".to_owned(),
            _ => format!("{profile}/ops/db"),
        };
        assert_eq!(
            digest_at(&host, &repository, "13"),
            Some(least.digest()),
            "{profile}"
        );
        for image in &pinned.images {
            assert_whole(&host, &repository, image);
        }
        let mapping = fs::read_to_string(format!("{out}/mapping.txt")).unwrap();
        let line = mapping
            .lines()
            .find(|line| line.contains(&other.digest()))
            .unwrap();
        let (_, tag) = line.rsplit_once(':').unwrap();
        assert_eq!(
            digest_at(&host, &repository, tag),
            Some(other.digest()),
            "{line}"
        );
        if profile != "oc" {
            assert_eq!(tag, other.fallback_tag(), "{profile}");
        }
        let again = [&more[..], &["--output", "json"]].concat();
        let again = pinned.stage.import(&bundle, &to, &again).succeeds();
        assert_eq!(again.json()["bytes_uploaded"], 0, "{profile}");
        // The written mapping is accepted as input.
        let chosen = ["--mapping", &format!("{out}/mapping.txt")];
        pinned.stage.import(&bundle, &to, &chosen).succeeds();
    }
}

#[test]
fn the_tag_itself_keeps_its_image_and_moves_only_to_what_the_bundle_has_pinned() {
    let pinned = Pinned::new();
    let [least, other] = &pinned.images;
    let source = pinned.stage.source.host().to_string();
    // The tag now points to the image with the greater digest.
    let tagged = pinned.stage.publish("ops/db", "13", other);
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let now = || digest_at(&host, "ops/db", "13");

    let (first, outcome) = pinned.export("first", &[]);
    outcome.succeeds();
    pinned.stage.import(&first, &host, &[]).succeeds();
    assert_eq!(now(), Some(least.digest()));

    let (second, outcome) = pinned.export("second", &[&tagged]);
    outcome.succeeds();
    pinned.stage.import(&second, &host, &[]).succeeds();
    assert_eq!(now(), Some(other.digest()));
    for image in &pinned.images {
        assert_whole(&host, "ops/db", image);
        let own = digest_at(&host, "ops/db", &image.fallback_tag());
        assert_eq!(own, Some(image.digest()), "each has a tag of its digest");
    }

    let third = app("third");
    pinned.stage.publish("ops/db", "13", &third);
    let third = format!("{source}/ops/db:13@{}", third.digest());
    let base = ["--base", second.to_str().unwrap()];
    let increment = pinned.stage.export("increment", &[&third], &base);
    pinned.stage.import(&increment, &host, &[]).succeeds();
}

#[test]
fn unpacked_trees_have_both() {
    let pinned = Pinned::new();
    let (bundle, outcome) = pinned.export("bundle", &[]);
    outcome.succeeds();
    for layout in ["v2", "oci"] {
        let out = pinned.stage.importer.path(layout);
        let mut command = pinned.stage.importer.command();
        command.arg("unpack").arg(&bundle).arg("--to").arg(&out);
        command.arg("--trust").arg(pinned.stage.trusted());
        Outcome::of({
            command.args(["--as", layout]);
            command
        })
        .succeeds();
        let [least, other] = pinned.images.each_ref().map(Image::digest);
        if layout == "v2" {
            let manifests = out.join("v2/ops/db/manifests");
            let link = fs::read_link(manifests.join("13")).unwrap();
            assert_eq!(link, Path::new(&least));
            assert!(manifests.join(other).exists());
        } else {
            let index = fs::read_to_string(out.join("index.json")).unwrap();
            assert!(index.contains(&least) && index.contains(&other), "{index}");
        }
    }
}

#[test]
fn names_that_an_import_will_refuse_are_told_at_the_export() {
    let stage = Stage::new();
    let references = [
        stage.publish("a/b/c", "v1", &app("one")),
        stage.publish("a/b-c", "v1", &app("two")),
    ];
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    let outcome = stage.try_export("bundle", &references, &["--output", "json"]);
    let outcome = outcome.succeeds();
    outcome.stderr_has("with `--profile oc` will refuse this bundle");
    // Conflicts are errors only for the profile that is named.
    let named = |profile| stage.try_export("named", &references, &["--profile", profile]);
    named("oc").fails_with(2).stderr_has("TARGET/a-b-c:v1");
    assert!(!stage.at("named").join("manifest.cbor").exists());
    named("plain").succeeds();
    let naming = outcome.json()["naming"].to_string();
    assert!(naming.contains("TARGET/a-b-c:v1"), "{naming}");
    assert!(!naming.contains("profile plain"), "{naming}");
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let to = format!("{host}/to");
    let outcome = stage.import(&stage.at("bundle"), &to, &["--profile", "oc"]);
    outcome.fails_with(2);
}
