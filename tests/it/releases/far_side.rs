//! From the source to the far side: a release that `--release` carried is verified, imported and
//! pulled.

use super::*;
use crate::support::docker_registry::DockerRegistry;
use crate::support::tools::run;

#[test]
fn a_signed_release_goes_all_the_way() {
    let scene = Scene::new();
    let payload = scene.payload("linux/amd64", "4.18.0");
    let reference = scene.publish("4.18.0", &payload);
    scene.sign(&payload.digest());
    scene
        .export("signed", &["--release", &reference])
        .succeeds();
    let bundle = scene.at("signed");
    let keys = scene.keys();
    let trusting = ["--release-keys", keys.to_str().unwrap()];
    scene
        .stage
        .verify(&bundle, &trusting)
        .succeeds()
        .stdout_has("4.18.0")
        .stdout_has("genuine, signed by");
    let target = DockerRegistry::start();
    let to = format!("{}/ocp4/openshift4", target.host());
    let out = scene.stage.importer.path("out");
    let resources = ["--resources", out.to_str().unwrap()];
    scene
        .stage
        .import(&bundle, &to, &resources)
        .fails_with(3)
        .stderr_has("--release-keys FILE");
    let more = [&trusting[..], &resources].concat();
    let done = scene.stage.import(&bundle, &to, &more).succeeds();
    done.stdout_has(": genuine, signed by")
        .stdout_has(&format!("Update image:  {to}:4.18.0-x86_64\n"));

    // The signature is the one that was made, under the name where clusters look for it.
    let hex = payload.digest().replace("sha256:", "");
    let file = out.join(format!("apply/signature-sha256-{}.json", &hex[..16]));
    done.stdout_has(&format!("oc apply -f {}/apply/\n", out.display()));
    let object: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert_eq!(object["metadata"]["name"], format!("sha256-{hex}"));
    assert_eq!(object["binaryData"].as_object().unwrap().len(), 1);
    let report: Value =
        serde_json::from_slice(&fs::read(out.join("import-report.json")).unwrap()).unwrap();
    assert_eq!(report["release_proofs"][0]["state"], "genuine");
    assert_eq!(report["releases"][0]["digest"], payload.digest());

    for tag in ["4.18.0-x86_64", "4.18.0-x86_64-cli", "4.18.0-x86_64-etcd"] {
        let copy = scene.stage.at(tag);
        run(std::process::Command::new("skopeo")
            .args(["copy", "--quiet", "--src-tls-verify=false"])
            .arg(format!("docker://{to}:{tag}"))
            .arg(format!("dir:{}", copy.display())));
    }
}
