//! `--mapping`: images that the operator chose one by one, and their names.

use std::fs;
use std::path::PathBuf;

use super::export::stage;
use super::index_image;
use crate::support::command::Outcome;
use crate::support::docker_registry::DockerRegistry;
use crate::support::images::publish::send;
use crate::support::images::{Build, publish};
use crate::support::stage::Stage;

/// Writes a mapping file, and returns its path.
fn mapping(stage: &Stage, lines: &[String]) -> String {
    let path = stage.at("mapping.txt");
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Runs `cluster-resources` for a bundle; returns the outcome and the directory of the files.
fn resources(
    stage: &Stage,
    bundle: &std::path::Path,
    to: &str,
    more: &[&str],
) -> (Outcome, PathBuf) {
    let out = stage.at("out");
    let _ = fs::remove_dir_all(&out);
    let mut command = stage.importer.command();
    command
        .arg("cluster-resources")
        .arg(bundle)
        .args(["--to", to]);
    command.arg("--trust").arg(stage.trusted());
    command.arg("--resources").arg(&out).args(more);
    (Outcome::of(command), out)
}

#[test]
fn an_export_takes_the_listed_members_and_knows_all_of_them() {
    let (stage, index) = stage();
    let host = stage.source.host().to_string();
    let export = |lines: &[String]| {
        let file = mapping(&stage, lines);
        stage.try_export("bundle", &[], &["--catalog", &index, "--mapping", &file])
    };
    let line = |source: &str| format!("{host}/{source}=m.lan/x/{source}");
    let unknown = export(&[line("foo/bundle:v0.1.0"), line("foo/bundle:v9")]);
    let unknown = unknown.fails_with(2);
    unknown.stderr_has("The mapping lists images that nothing here names:");
    unknown.stderr_has(&format!("- {host}/foo/bundle:v9"));
    // An empty list is refused: it may come from a search that found nothing.
    for empty in [&[][..], &["# nothing".to_owned()]] {
        export(empty).fails_with(2).stderr_has("It lists no image");
    }
    assert!(!stage.at("bundle").join("export.plan").exists());

    let two = [line("foo/bundle:v0.1.0"), line("bar/bundle:v1.0.0")];
    let done = export(&two).succeeds();
    done.stdout_has("with 2 images")
        .stdout_has("2 of 5 images, as listed in a mapping");
    let mut inspect = stage.importer.command();
    inspect.arg("inspect").arg(stage.at("bundle"));
    inspect.args(["--output", "json"]);
    let inspected = Outcome::of(inspect).succeeds();
    assert_eq!(inspected.json()["images"].as_array().unwrap().len(), 3);
}

#[test]
fn an_import_gives_the_listed_names_and_tells_of_tags_that_change() {
    let (stage, index) = stage();
    let source = stage.source.host().to_string();
    let bundle = stage.export("bundle", &[], &["--catalog", &index]);
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let (renamed, kept) = ("bar/operator:v1.0.0", "bar/operator:v1.10.0");
    let lines = [
        format!("{source}/{renamed}={host}/own/op:renamed"),
        format!("{source}/{kept}={host}/own/other:v1.10.0"),
    ];
    let file = mapping(&stage, &lines);
    let out = stage.at("resources");
    let args = ["--mapping", &file, "--resources", out.to_str().unwrap()];
    let done = stage
        .import(&bundle, &format!("{host}/olm"), &args)
        .succeeds();
    done.stdout_has(&format!("{source}/{renamed} -> {host}/own/op:renamed"));
    let warning = format!(
        "Clusters cannot pull `{source}/{renamed}` by its tag: on the mirror it is \
         `{host}/own/op:renamed`"
    );
    done.stderr_has(&warning);
    assert_eq!(done.stderr.matches("by its tag").count(), 1, "{done}");
    let tags = |name: &str| send(&host, "GET", &format!("/v2/own/{name}/tags/list"), "", b"").text;
    assert!(tags("op").contains("[\"renamed\"]"), "{}", tags("op"));
    assert!(tags("other").contains("[\"v1.10.0\"]"), "{}", tags("other"));
    let itms = fs::read_to_string(out.join("apply/imageTagMirrorSet.yaml")).unwrap();
    assert!(itms.contains(&format!("{host}/own/other\n")), "{itms}");
    assert!(!itms.contains("own/op\n"), "{itms}");

    // A dry run warns as well, and so does `cluster-resources`.
    let args = ["--mapping", &file, "--dry-run"];
    let dry = stage
        .import(&bundle, &format!("{host}/olm"), &args)
        .succeeds();
    dry.stderr_has(&warning);
    let (written, out) = resources(
        &stage,
        &bundle,
        &format!("{host}/olm"),
        &["--mapping", &file],
    );
    written.succeeds().stderr_has(&warning);
    let written = fs::read_to_string(out.join("mapping.txt")).unwrap();
    assert!(written.contains(&lines[0]), "{written}");
}

#[test]
fn an_import_refuses_names_for_images_that_the_bundle_does_not_have() {
    let (stage, index) = stage();
    let source = stage.source.host().to_string();
    let bundle = stage.export("bundle", &[], &["--catalog", &index]);
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let typo = format!("{source}/bar/oprator:v1.0.0");
    let file = mapping(&stage, &[format!("{typo}={host}/own/op:v1.0.0")]);
    let refused = stage
        .import(&bundle, &host, &["--mapping", &file])
        .fails_with(2);
    refused.stderr_has("The mapping lists images that the bundle does not have:");
    refused.stderr_has(&typo);
    let catalog = send(&host, "GET", "/v2/_catalog", "", b"");
    assert!(catalog.text.contains("\"repositories\":[]"));
    resources(&stage, &bundle, &host, &["--mapping", &file])
        .0
        .fails_with(2);

    let mut command = stage.importer.command();
    command.args(["cluster-resources", "--catalog", &index, "--to", &host]);
    command.arg("--resources").arg(stage.at("ahead"));
    command.args(["--mapping", &file, "--tls-verify=false"]);
    let ahead = Outcome::of(command).fails_with(2);
    ahead
        .stderr_has("images that the catalog does not name")
        .stderr_has(&typo);
    let elsewhere = mapping(&stage, &[format!("{index}=m.invalid/own/index:v1")]);
    let elsewhere = stage
        .import(&bundle, &host, &["--mapping", &elsewhere])
        .fails_with(2);
    elsewhere
        .stderr_has("The mapping file gives")
        .stderr_has("m.invalid");
}

/// A catalog names an image by tag, and by digest the image to which the tag pointed before. Both
/// cannot have one name. A mapping separates them, and then the old image must not be found by the
/// tag.
#[test]
fn what_a_tag_meant_before_is_not_found_by_the_tag() {
    let stage = Stage::new();
    let host = stage.source.host().to_string();
    let image = |seed: &str| Build::oci(seed).layer(300).image();
    let (before, now) = (image("before"), image("now"));
    publish::push(&host, "tt/x", Some("old"), &before);
    publish::push(&host, "tt/x", Some("v1"), &now);
    let old = format!("{host}/tt/x:v1@{}", before.digest());
    let catalog = super::FOO.replace("{host}/foo/bundle:v0.1.0", &old);
    let second = catalog
        .replace("foo", "fuu")
        .replace(&old, &format!("{host}/tt/x:v1"));
    let files: &[(&str, &[u8])] = &[
        ("configs/a.json", catalog.as_bytes()),
        ("configs/b.json", second.as_bytes()),
    ];
    let index = stage.publish("ops/index", "v1", &index_image(files).image());
    let bundle = stage.export("bundle", &[], &["--catalog", &index]);
    // The tag goes to the image that is requested by tag alone.
    let (written, _) = resources(&stage, &bundle, "m.lan/tb", &[]);
    written.succeeds().stderr_has(&format!(
        "`{host}/tt/x:v1` is pinned to several digests: {} has the tag on the target",
        now.digest()
    ));

    let file = mapping(&stage, &[format!("{host}/tt/x:v1=m.lan/tb/tt-x:other")]);
    let (written, out) = resources(&stage, &bundle, "m.lan/tb", &["--mapping", &file]);
    written.succeeds().stderr_has("Clusters cannot pull");
    let itms = fs::read_to_string(out.join("apply/imageTagMirrorSet.yaml")).unwrap_or_default();
    assert!(!itms.contains("tt/x"), "{itms}");
}
