//! A genuine signature in a bundle that describes the release wrongly: the description is compared
//! with the release.

use airferry::model::Inventory;

use super::*;
use crate::support::amend::amend;
use crate::support::docker_registry::DockerRegistry;
use crate::support::images::docker_list;

/// A change of an inventory that makes it false.
type Lie = fn(&mut Inventory);

impl Scene {
    /// Exports a bundle with a signed release.
    fn signed_bundle(&self) -> PathBuf {
        let payload = self.payload("linux/amd64", "4.17.2");
        let reference = self.publish("4.17.2", &payload);
        self.sign(&payload.digest());
        self.export("bundle", &["--release", &reference]).succeeds();
        self.at("bundle")
    }

    /// Asserts that every command that acts on a release in a bundle refuses it.
    fn all_refuse(&self, bundle: &Path, code: i32, why: &str) {
        let keys = self.keys();
        let trusting = [
            "--release-keys",
            keys.to_str().unwrap(),
            "--allow-unsigned-release",
        ];
        self.stage
            .verify(bundle, &trusting)
            .fails_with(code)
            .stdout_has(why);
        let import = self.stage.import(bundle, "127.0.0.1:9/okd", &trusting);
        import.fails_with(code).stderr_has(why);
        for command in ["unpack", "cluster-resources"] {
            let failed = self.act(command, bundle, &trusting);
            failed.fails_with(code).stderr_has(why);
        }
    }

    /// Runs `unpack --as oc-release` or `cluster-resources`.
    fn act(&self, name: &str, bundle: &Path, more: &[&str]) -> Outcome {
        let mut command = self.stage.importer.command();
        command.arg(name).arg(bundle);
        command.arg("--trust").arg(self.stage.trusted());
        let to = self.at(&format!("{name}-out"));
        match name {
            "unpack" => command.args(["--as", "oc-release", "--to"]).arg(&to),
            _ => command.args(["--to", "m.lan/okd", "--resources"]).arg(&to),
        };
        command.args(more);
        let outcome = Outcome::of(command);
        let _ = fs::remove_dir_all(to);
        outcome
    }
}

#[test]
fn a_release_is_what_the_bundle_calls_it() {
    let scene = Scene::new();
    let bundle = scene.signed_bundle();
    let keys = scene.keys();
    let trusting = ["--release-keys", keys.to_str().unwrap()];
    scene.stage.verify(&bundle, &trusting).succeeds();
    for name in ["unpack", "cluster-resources"] {
        scene.act(name, &bundle, &trusting).succeeds();
        scene
            .act(name, &bundle, &[])
            .fails_with(3)
            .stderr_has("--release-keys");
    }
    let lies: [(Lie, &str); 4] = [
        (
            |inventory| inventory.releases[0].version = "4.18.9".parse().unwrap(),
            "states the version 4.18.9, but the release image has 4.17.2",
        ),
        (
            |inventory| inventory.releases[0].architecture = "arm64".to_owned(),
            "but the release image is for amd64",
        ),
        (
            |inventory| drop(inventory.releases[0].components.remove(0)),
            "the component cli differs",
        ),
        (
            |inventory| {
                let keyring = &mut inventory.releases[0].keyrings[0];
                keyring.data = [keyring.data.as_slice(), b"\n"].concat();
            },
            "the signing keys differ",
        ),
    ];
    for (number, (lie, why)) in lies.into_iter().enumerate() {
        let lying = scene.stage.copy(&bundle, &format!("lie-{number}"));
        amend(&scene.stage, &lying, lie);
        scene.all_refuse(&lying, 3, why);
    }
    // A program extracted from it would name another version.
    let lying = scene.at("lie-0");
    let trusted = scene.stage.trusted();
    let mut command = scene.stage.importer.command();
    command.args(["release", "extract", "--command", "oc", "--from"]);
    command.arg(&lying).arg("--to").arg(scene.at("bin"));
    command.arg("--trust").arg(trusted).args(trusting);
    Outcome::of(command).fails_with(3).stderr_has("NOT GENUINE");
    scene.nothing_at("bin");
}

#[test]
fn an_unsigned_release_is_relabelled_as_little() {
    let scene = Scene::new();
    let reference = scene.publish("v1", &scene.payload("linux/amd64", "4.17.2"));
    let unsigned = ["--release", &reference, "--allow-unsigned-release"];
    scene.export("bundle", &unsigned).succeeds();
    let bundle = scene.at("bundle");
    amend(&scene.stage, &bundle, |inventory| {
        inventory.releases[0].version = "4.18.9".parse().unwrap();
    });
    scene.all_refuse(&bundle, 3, "states the version 4.18.9");
}

#[test]
fn platforms_of_the_inventory_prove_nothing() {
    let scene = Scene::new();
    let (amd, arm) = (
        scene.payload("linux/amd64", "4.17.2"),
        scene.payload("linux/arm64", "4.17.2"),
    );
    let reference = scene.publish("multi", &docker_list([&amd, &arm]));
    scene.sign(&amd.digest());
    scene.sign(&arm.digest());
    scene
        .export("bundle", &["--release", &reference])
        .succeeds();
    let bundle = scene.at("bundle");
    let keys = scene.keys();
    let trusting = ["--release-keys", keys.to_str().unwrap()];
    scene.stage.verify(&bundle, &trusting).succeeds();
    // One image is not signed, and its platform is that of an attestation.
    let arm = arm.digest().parse().unwrap();
    amend(&scene.stage, &bundle, |inventory| {
        inventory.releases[0].signatures.retain(|s| s.over != arm);
        let mut manifests = inventory.manifests.iter_mut();
        let row = manifests.find(|row| row.digest == arm).unwrap();
        row.platform = Some("unknown/unknown".parse().unwrap());
    });
    scene.all_refuse(&bundle, 3, &arm.to_string());
}

#[test]
fn keys_that_came_with_the_bundle_prove_nothing() {
    let scene = Scene::new();
    let bundle = scene.signed_bundle();
    let inside = bundle.join("keys.asc");
    fs::copy(scene.keys(), &inside).unwrap();
    let keys = ["--release-keys", inside.to_str().unwrap()];
    scene.stage.verify(&bundle, &keys).fails_with(2);
    scene
        .stage
        .import(&bundle, "127.0.0.1:9/okd", &keys)
        .fails_with(2)
        .stderr_has("prove nothing");
    for name in ["unpack", "cluster-resources"] {
        scene.act(name, &bundle, &keys).fails_with(2);
    }
    let mut command = scene.stage.importer.command();
    command.args(["release", "extract", "--command", "oc", "--from"]);
    command.arg(&bundle).arg("--to").arg(scene.at("bin"));
    command.arg("--trust").arg(scene.stage.trusted()).args(keys);
    Outcome::of(command)
        .fails_with(2)
        .stderr_has("prove nothing");
}

/// A base carried the layers, so the release can be compared with its description only on the
/// target, where the layers are.
#[test]
fn without_layers_nothing_is_called_genuine() {
    let scene = Scene::new();
    let bundle = scene.signed_bundle();
    let base = bundle.to_str().unwrap();
    let trusted = scene.stage.trusted();
    let again = scene.stage.source.host().to_string();
    let release = format!("{again}/okd/release:4.17.2");
    let increment = [
        "--release",
        &release,
        "--base",
        base,
        "--base-trust",
        trusted.to_str().unwrap(),
    ];
    scene.export("increment", &increment).succeeds();
    let keys = scene.keys();
    let trusting = ["--release-keys", keys.to_str().unwrap()];
    let honest = scene.at("increment");
    let lying = scene.stage.copy(&honest, "lying");
    amend(&scene.stage, &lying, |inventory| {
        inventory.releases[0].version = "4.18.9".parse().unwrap();
    });
    for increment in [&honest, &lying] {
        let outcome = scene.stage.verify(increment, &trusting).succeeds();
        outcome.stdout_has("not compared").hides("genuine");
        let strict = [&trusting[..], &["--strict"]].concat();
        scene.stage.verify(increment, &strict).fails_with(3);
    }
    let target = DockerRegistry::start();
    let to = format!("{}/okd", target.host());
    scene.stage.import(&bundle, &to, &trusting).succeeds();
    scene
        .stage
        .import(&lying, &to, &trusting)
        .fails_with(3)
        .stderr_has("states the version 4.18.9, but the release image has 4.17.2");
    let json = [&trusting[..], &["--output", "json"]].concat();
    let report = scene.stage.import(&honest, &to, &json).succeeds().json();
    assert_eq!(report["release_proofs"][0]["state"], "genuine", "{report}");
    assert_eq!(report["release_proofs"][0]["compared"], true, "{report}");
}

#[test]
fn an_unsigned_release_that_is_not_compared_is_called_so() {
    let scene = Scene::new();
    let reference = scene.publish("v1", &scene.payload("linux/amd64", "4.17.2"));
    let unsigned = ["--release", &reference, "--allow-unsigned-release"];
    scene.export("bundle", &unsigned).succeeds();
    let base = scene.at("bundle");
    let trusted = scene.stage.trusted();
    let bases = [
        "--base",
        base.to_str().unwrap(),
        "--base-trust",
        trusted.to_str().unwrap(),
    ];
    scene
        .export("increment", &[&unsigned[..], &bases].concat())
        .succeeds();
    let honest = scene.at("increment");
    let lying = scene.stage.copy(&honest, "lying");
    amend(&scene.stage, &lying, |inventory| {
        inventory.releases[0].version = "4.18.9".parse().unwrap();
    });
    for increment in [&honest, &lying] {
        scene
            .stage
            .verify(increment, &["--allow-unsigned-release"])
            .succeeds()
            .stdout_has("UNSIGNED; not compared");
        // Accepting an unsigned release does not accept one that was not compared.
        let strict = ["--allow-unsigned-release", "--strict"];
        scene
            .stage
            .verify(increment, &strict)
            .fails_with(3)
            .stdout_has("unsigned, and not compared")
            .stderr_has("could not be compared with its image");
    }
}

#[test]
fn verify_says_what_import_refuses() {
    let scene = Scene::new();
    let bundle = scene.signed_bundle();
    scene
        .stage
        .verify(&bundle, &[])
        .fails_with(3)
        .stdout_has("signed by unknown keys");
    let reference = scene.publish("v1", &scene.payload("linux/amd64", "4.17.3"));
    let unsigned = ["--release", &reference, "--allow-unsigned-release"];
    scene.export("unsigned", &unsigned).succeeds();
    let bundle = scene.at("unsigned");
    let flag = ["--allow-unsigned-release"];
    scene
        .stage
        .verify(&bundle, &[])
        .fails_with(3)
        .stdout_has("UNSIGNED");
    scene.stage.verify(&bundle, &flag).succeeds();
}
