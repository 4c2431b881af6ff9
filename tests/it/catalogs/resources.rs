//! `airferry cluster-resources --catalog`.

use std::fs;

use super::{CATALOG, Shop, index_image};
use crate::support::command::Outcome;
use crate::support::stage::files;

/// Returns a catalog that names one image by tag and one by digest, on hosts that do not exist.
fn catalog() -> String {
    let digest = format!("sha256:{}", "2f".repeat(32));
    CATALOG
        .replace(
            "{host}/bar/operator:v1.10.0",
            &format!("b.invalid/x/bar/operator@{digest}"),
        )
        .replace("{host}", "a.invalid")
}

fn write(shop: &Shop, more: &[&str]) -> Outcome {
    let mut command = shop.airferry.command();
    command.args(["cluster-resources", "--catalog", &shop.index()]);
    command.args([
        "--to",
        "mirror.invalid:8443/olm",
        "--profile",
        "oc",
        "--resources",
    ]);
    command
        .arg(shop.airferry.path("out"))
        .args(["--tls-verify=false"])
        .args(more);
    Outcome::of(command)
}

#[test]
fn the_files_are_those_of_oc_and_nobody_else_is_contacted() {
    let shop = Shop::with(&index_image(&[("configs/bar.yaml", catalog().as_bytes())]).image());
    write(&shop, &[]).succeeds();
    let out = shop.airferry.path("out");
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    assert_eq!(
        files(&out),
        [
            "airferry.sha256",
            "apply/catalogSource.yaml",
            "apply/imageDigestMirrorSet.yaml",
            "apply/imageTagMirrorSet.yaml",
            "before-4.13/imageContentSourcePolicy.yaml",
            "if-installed/clusterCatalog.yaml",
            "mapping.txt",
        ]
    );
    let (index, digest) = (shop.index(), format!("sha256:{}", "2f".repeat(32)));
    let mut mapping = [
        format!("{index}=mirror.invalid:8443/olm/ops-index:v1"),
        "a.invalid/bar/bundle:v1.0.0=mirror.invalid:8443/olm/bar-bundle:v1.0.0".to_owned(),
        "a.invalid/bar/bundle:v1.10.0=mirror.invalid:8443/olm/bar-bundle:v1.10.0".to_owned(),
        "a.invalid/bar/operator:v1.0.0=mirror.invalid:8443/olm/bar-operator:v1.0.0".to_owned(),
        format!(
            "b.invalid/x/bar/operator@{digest}=mirror.invalid:8443/olm/x-bar-operator:1c49efb1"
        ),
    ];
    mapping.sort();
    let mapped: Vec<String> = read("mapping.txt").lines().map(str::to_owned).collect();
    assert_eq!(mapped, mapping);
    assert_eq!(
        read("apply/imageDigestMirrorSet.yaml"),
        "---\n\
         apiVersion: config.openshift.io/v1\n\
         kind: ImageDigestMirrorSet\n\
         metadata:\n\
         \x20 labels:\n\
         \x20   operators.openshift.org/catalog: \"true\"\n\
         \x20 name: ops-index-v1-e609d063ca\n\
         spec:\n\
         \x20 imageDigestMirrors:\n\
         \x20 - mirrors:\n\
         \x20   - mirror.invalid:8443/olm/x-bar-operator\n\
         \x20   source: b.invalid/x/bar/operator\n"
    );
    assert!(
        read("apply/catalogSource.yaml")
            .contains("  image: mirror.invalid:8443/olm/ops-index:v1\n")
    );
}

#[test]
fn a_file_without_entries_is_empty_and_names_that_collide_are_refused() {
    let by_tag = CATALOG.replace("{host}", "a.invalid");
    let shop = Shop::with(&index_image(&[("configs/bar.yaml", by_tag.as_bytes())]).image());
    write(&shop, &[]).succeeds();
    let out = shop.airferry.path("out");
    assert_eq!(
        fs::read(out.join("before-4.13/imageContentSourcePolicy.yaml")).unwrap(),
        b""
    );
    let twice = by_tag.replace(
        "a.invalid/bar/operator:v1.0.0",
        "b.invalid/bar/operator:v1.10.0",
    );
    shop.push(
        "ops/index",
        &index_image(&[("configs/bar.yaml", twice.as_bytes())]).image(),
    );
    let error = write(&shop, &[]).fails_with(2);
    error.stderr_has("would get the same name on the target");
    error.stderr_has("mirror.invalid:8443/olm/bar-operator:v1.10.0");
}

fn read(shop: &Shop, name: &str) -> String {
    fs::read_to_string(shop.airferry.path("out").join(name)).unwrap()
}

#[test]
fn a_scope_that_cannot_be_had_is_told() {
    let by_tag = CATALOG.replace("{host}", "a.invalid");
    let shop = Shop::with(&index_image(&[("configs/bar.yaml", by_tag.as_bytes())]).image());
    for scope in ["registry", "namespace"] {
        let outcome = write(&shop, &["--scope", scope]).succeeds();
        outcome.stderr_has(&format!(
            "No {scope}-wide entry for `a.invalid/bar/bundle`, `a.invalid/bar/operator`"
        ));
        assert!(
            read(&shop, "apply/imageTagMirrorSet.yaml").contains("source: a.invalid/bar/bundle\n")
        );
    }
    let wide = write(&shop, &["--scope", "registry", "--max-components", "0"]).succeeds();
    assert_eq!(wide.stderr, "");
    assert!(read(&shop, "apply/imageTagMirrorSet.yaml").contains("source: a.invalid\n"));
}

#[test]
fn policies_are_named_split_and_worded_as_asked() {
    let members: String = (0..600)
        .map(|number| {
            format!("- {{name: n{number}, image: \"b.invalid/some/image-{number}@sha256:{number:064x}\"}}\n")
        })
        .collect();
    let catalog = format!("{}{members}", CATALOG.replace("{host}", "a.invalid"));
    let shop = Shop::with(&index_image(&[("configs/bar.yaml", catalog.as_bytes())]).image());
    write(&shop, &[]).succeeds();
    let objects = |name: &str| read(&shop, name).matches("\nkind: ").count();
    assert_eq!(objects("apply/imageDigestMirrorSet.yaml"), 1);
    write(&shop, &["--max-object-size", "20000"])
        .fails_with(2)
        .stderr_has("from 65536 to 250000 bytes");
    let more = [
        "--max-object-size",
        "65536",
        "--resource-name",
        "site",
        "--mirror-source-policy",
        "never-contact-source",
    ];
    write(&shop, &more).succeeds();
    assert!(objects("apply/imageDigestMirrorSet.yaml") > 1);
    for document in read(&shop, "apply/imageDigestMirrorSet.yaml").split("---\n") {
        assert!(document.len() <= 65536, "{}", document.len());
    }
    let idms = read(&shop, "apply/imageDigestMirrorSet.yaml");
    assert!(
        idms.contains("  name: site-ops-index-v1-0\n"),
        "{}",
        &idms[..400]
    );
    assert_eq!(
        idms.matches("mirrorSourcePolicy: NeverContactSource")
            .count(),
        600
    );
    let icsp = read(&shop, "before-4.13/imageContentSourcePolicy.yaml");
    assert!(!icsp.contains("mirrorSourcePolicy"), "it cannot say so");
}

#[test]
fn names_of_catalogs_are_chosen_or_follow_from_the_catalog_alone() {
    let catalog = CATALOG.replace("{host}", "a.invalid");
    let shop = Shop::with(&index_image(&[("configs/bar.yaml", catalog.as_bytes())]).image());
    let of = |directory: &str, file: &str| {
        let text = read(&shop, &format!("{directory}/{file}.yaml"));
        let name = text.lines().find_map(|line| line.strip_prefix("  name: "));
        name.unwrap().to_owned()
    };
    let source = || of("apply", "catalogSource");
    let cluster = || of("if-installed", "clusterCatalog");
    write(&shop, &[]).succeeds();
    assert_eq!(source(), "ops-index-v1");
    write(&shop, &["--catalog-source-name", "operators"]).succeeds();
    assert_eq!([source(), cluster()], ["operators", "operators"]);
    assert!(of("apply", "imageTagMirrorSet").starts_with("operators-"));
    let by_name = format!("{}=mine", shop.index());
    write(&shop, &["--catalog-source-name", &by_name]).succeeds();
    assert_eq!(source(), "mine");
    write(&shop, &["--resource-name", "site"]).succeeds();
    assert_eq!(
        [source(), cluster()],
        ["site-ops-index-v1", "site-ops-index-v1"]
    );
    write(
        &shop,
        &["--catalog-source-name", "quay.io/nobody/index:v1=x"],
    )
    .fails_with(2)
    .stderr_has(&format!("`{}`", shop.index()));
    for bad in ["9x", "A", "a.b", "x-", ""] {
        write(&shop, &["--catalog-source-name", bad]).fails_with(2);
    }
}
