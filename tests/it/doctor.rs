//! `airferry doctor`, and exports and dry runs that know the far side: against Debian's
//! docker-registry, `airferry serve`, and servers that lie.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use tokio::runtime::Runtime;

use crate::import::Serve;
use crate::support::command::{Airferry, Outcome};
use crate::support::docker_registry::{DockerRegistry, Settings};
use crate::support::fake_registry::{Asked, FakeRegistry, Reply};
use crate::support::images::{Build, index};
use crate::support::stage::{Stage, files};

const INSECURE: &str = "--tls-verify=false";

fn doctor(account: &Airferry, args: &[&str]) -> Outcome {
    let fixed = ["doctor", INSECURE, "--retries", "0"];
    account.run(fixed.iter().chain(args))
}

/// Returns the verdict of a line of the report.
fn verdict(report: &Outcome, subject: &str) -> String {
    let report = report.json();
    let lines = report["lines"].as_array().unwrap();
    let line = lines.iter().find(|line| line["subject"] == subject);
    let line = line.unwrap_or_else(|| panic!("no line {subject:?} in {report:#}"));
    line["verdict"].as_str().unwrap().to_owned()
}

#[test]
fn a_look_at_a_target_writes_nothing() {
    let (account, registry) = (Airferry::new(), DockerRegistry::start());
    let to = format!("{}/lab", registry.host());
    let report = doctor(&account, &["--to", &to, "--output", "json"]).succeeds();
    assert_eq!(verdict(&report, "push"), "unknown");
    assert_eq!(verdict(&report, "referrers API"), "not");
    assert_eq!(
        report.json()["facts"],
        serde_json::json!({"referrers-api": false})
    );
    let repositories = registry.store().join("docker/registry/v2/repositories");
    assert!(!repositories.exists(), "something was written");
}

#[test]
fn a_probe_asks_first() {
    let (account, registry) = (Airferry::new(), DockerRegistry::start());
    let to = format!("{}/lab", registry.host());
    let asked = doctor(&account, &["--to", &to, "--probe-writes"]).fails_with(2);
    asked.stderr_has(&format!("{to}/airferry-doctor\n"));
    asked.stderr_has("add --yes");
    assert!(!registry.store().join("docker").exists());
}

#[test]
fn a_probe_of_distribution_finds_its_limits_and_removes_what_it_wrote() {
    let (account, registry) = (Airferry::new(), DockerRegistry::start());
    let to = format!("{}/lab", registry.host());
    let facts = account.path("target.toml");
    let shown = facts.to_str().unwrap();
    let args = [
        "--to",
        &to,
        "--probe-writes",
        "--yes",
        "--output",
        "json",
        "--facts",
        shown,
    ];
    let report = doctor(&account, &args).succeeds();
    let found = report.json();
    for (key, known) in [
        ("push", true),
        ("mount", true),
        ("upload-whole", true),
        ("upload-pieces", true),
        ("oci-manifest", true),
        ("docker-manifest", true),
        ("oci-index", true),
        ("docker-list", true),
        ("sparse-index", false),
        ("artifact", true),
        ("subject", true),
        ("referrers-api", false),
        ("tags-move", true),
        ("keeps-untagged", true),
    ] {
        assert_eq!(found["facts"][key], known, "{key}: {report}");
    }
    let left = found["leftovers"].as_array().unwrap();
    assert_eq!(left.len(), 1, "only empty repositories are left: {left:?}");
    let text = fs::read_to_string(&facts).unwrap();
    assert!(text.contains("sparse-index = false\n"), "{text}");
    assert!(
        !text.contains("127.0.0.1") && !text.contains("lab"),
        "{text}"
    );
    let more = [&args[..], &["--facts-names"]].concat();
    doctor(&account, &more).succeeds();
    let text = fs::read_to_string(&facts).unwrap();
    assert!(text.contains(&format!("target = \"{to}\"\n")), "{text}");
}

#[test]
fn a_probe_of_serve_lists_what_stays() {
    let account = Airferry::new();
    let serve = Serve::start(&account, &["--accept-sparse"]);
    let args = ["--to", &serve.host, "--probe-writes", "--yes"];
    let report = doctor(&account, &args).succeeds();
    report.stdout_has("ok      sparse indexes\n");
    report.stdout_has("ok      referrers API\n");
    // It has no way to remove anything.
    report.stdout_has("left on the target: 9 manifests in ");
}

#[test]
fn a_read_only_registry_takes_no_push() {
    let account = Airferry::new();
    let registry = DockerRegistry::start_with(Settings {
        read_only: true,
        ..Settings::default()
    });
    let to = format!("{}/lab", registry.host());
    let report = doctor(&account, &["--to", &to, "--probe-writes", "--yes"]).fails_with(7);
    report
        .stdout_has("FAILED  push: ")
        .stderr_has("Not ready: push");
}

#[test]
fn what_a_liar_accepts_and_does_not_have_counts_as_refused() {
    let runtime = Runtime::new().unwrap();
    let liar = runtime.block_on(FakeRegistry::start(|asked, _| match asked.method {
        Method::POST => Reply::new(202).header("location", "/v2/u/blobs/uploads/1"),
        Method::PATCH => Reply::new(202).header("location", "/v2/u/blobs/uploads/1"),
        Method::PUT => Reply::new(201),
        _ => Reply::error(404, "NAME_UNKNOWN"),
    }));
    let account = Airferry::new();
    let to = format!("{}/lab", liar.host());
    let args = ["--to", &to, "--probe-writes", "--yes", "--output", "json"];
    let report = doctor(&account, &args).fails_with(7);
    for subject in [
        "upload of 32 MiB in one request",
        "mount between repositories",
        "OCI manifests",
        "sparse indexes",
        "manifests with a subject",
        "referrers API",
    ] {
        assert_eq!(verdict(&report, subject), "not", "{subject}: {report}");
    }
    assert_eq!(verdict(&report, "tags can move"), "unknown");
    report.hides("\u{1b}");
}

/// Returns a registry with tokens that grant no push, and one repository if `exists`.
fn stingy(exists: bool) -> impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static {
    move |asked, _| {
        let host = asked.header("host").unwrap();
        if asked.path() == "/token" {
            let access =
                r#"{"access":[{"type":"repository","name":"lab/app","actions":["pull"]}]}"#;
            let token = format!("e30.{}.x", URL_SAFE_NO_PAD.encode(access));
            return Reply::new(200).body(format!(r#"{{"token":"{token}"}}"#));
        }
        if asked.header("authorization").is_none() && asked.path().starts_with("/v2/") {
            let realm = format!("Bearer realm=\"http://{host}/token\",service=\"s\"");
            return Reply::error(401, "UNAUTHORIZED").header("www-authenticate", realm);
        }
        match asked.path() {
            "/v2/_catalog" if exists => Reply::new(200).body(r#"{"repositories":["lab/app"]}"#),
            "/v2/_catalog" => Reply::new(200).body(r#"{"repositories":[]}"#),
            "/v2/lab/app/tags/list" if exists => {
                Reply::new(200).body(r#"{"name":"lab/app","tags":["old"]}"#)
            }
            _ => Reply::error(404, "NAME_UNKNOWN"),
        }
    }
}

#[test]
fn a_token_without_push_is_found_without_writing() {
    let runtime = Runtime::new().unwrap();
    let registry = runtime.block_on(FakeRegistry::start(stingy(true)));
    let account = Airferry::new();
    let to = format!("{}/lab", registry.host());
    let report = doctor(&account, &["--to", &to]).fails_with(7);
    report.stdout_has("FAILED  push: the token does not grant it for ");
    let reads = |asked: &Asked| matches!(asked.method, Method::GET | Method::HEAD);
    assert!(registry.asked().iter().all(reads));
}

/// Quay creates a repository when a token to push into it is requested.
#[test]
fn no_token_to_push_is_requested_for_what_does_not_exist() {
    let runtime = Runtime::new().unwrap();
    let registry = runtime.block_on(FakeRegistry::start(stingy(false)));
    let account = Airferry::new();
    let to = format!("{}/lab", registry.host());
    let report = doctor(&account, &["--to", &to]).succeeds();
    report.stdout_has("unknown push: not asked, because that may create a repository");
    assert!(registry.lines().iter().all(|line| !line.contains("push")));
}

#[test]
fn a_dry_run_finds_a_token_without_push() {
    let stage = Stage::new();
    let image = Build::oci("app").plain_layer(1000).image();
    let reference = stage.publish("app", "v1", &image);
    let bundle = stage.export("b", &[&reference], &[]);
    let runtime = Runtime::new().unwrap();
    for (exists, code) in [(true, 7), (false, 0)] {
        let registry = runtime.block_on(FakeRegistry::start(stingy(exists)));
        let to = format!("{}/lab", registry.host());
        let dry = stage.import(&bundle, &to, &["--dry-run"]).fails_with(code);
        if exists {
            dry.stderr_has("this account may not push to ");
        }
        let asks_for_push = registry.lines().iter().any(|line| line.contains("push"));
        assert_eq!(asks_for_push, exists);
        let reads = |asked: &Asked| matches!(asked.method, Method::GET | Method::HEAD);
        assert!(registry.asked().iter().all(reads));
    }
}

#[test]
fn an_unusable_target_is_one_finding() {
    let account = Airferry::new();
    let facts = account.path("target.toml");
    let given = ["--to", "127.0.0.1:1/lab", "--facts", "target.toml"];
    fs::write(&facts, "a private key").unwrap();
    doctor(&account, &given)
        .fails_with(2)
        .stderr_has("is not a file of facts");
    fs::write(&facts, "format = \"airferry-target-v1\"\n").unwrap();
    let report = doctor(&account, &given).fails_with(7);
    report.stdout_has("FAILED  target 127.0.0.1:1: ");
    report.stdout_has("facts not written");
    assert_eq!(
        fs::read_to_string(&facts).unwrap(),
        "format = \"airferry-target-v1\"\n"
    );
    report.stderr_has("Not ready: target 127.0.0.1:1");
}

#[test]
fn this_machine_is_checked() {
    use std::os::unix::fs::PermissionsExt as _;

    let account = Airferry::new();
    account.run(["keygen", "--out", "exporter"]).succeeds();
    let medium = account.path("stick");
    fs::create_dir(&medium).unwrap();
    let all = [
        "--key",
        "exporter.pem",
        "--trust",
        "exporter.pub",
        "--medium",
        "stick",
    ];
    let well = doctor(&account, &[&all[..], &["--write-test"]].concat()).succeeds();
    for line in [
        "ok      --key exporter.pem: private, ",
        "ok      --trust exporter.pub: public, ",
        "ok      medium stick: ",
        "ok      medium stick: write test: ",
        "Next: nothing to mend here",
    ] {
        well.stdout_has(line);
    }
    assert!(files(&medium).is_empty());
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(account.path("exporter.pem"), open).unwrap();
    let report = doctor(&account, &all).fails_with(2);
    report.stdout_has("FAILED  --key exporter.pem: Others can read the private key");
    report.stdout_has("-> chmod 600 exporter.pem");
    doctor(&account, &["--trust", "exporter.pem"])
        .fails_with(2)
        .stdout_has("this is the private key");
    doctor(&account, &["--medium", "missing"]).fails_with(8);
    doctor(&account, &["--medium", "/media/no-such-stick"])
        .fails_with(8)
        .stdout_has("-> plug the medium in and mount it");
}

#[test]
fn proxies_are_shown_without_their_passwords() {
    let account = Airferry::new();
    let mut command = account.command();
    command
        .args(["doctor"])
        .env("HTTPS_PROXY", "http://me:hunter2@proxy.example.com:3128")
        .env("SSL_CERT_FILE", "/no/such/file");
    let report = Outcome::of(command).succeeds();
    report.hides("hunter2");
    report.stdout_has("HTTPS_PROXY=http://proxy.example.com:3128/");
    report.stdout_has("SSL_CERT_FILE names `/no/such/file`, which is not there");
}

#[test]
fn sources_are_asked_once_each() {
    let stage = Stage::new();
    let image = Build::oci("app").plain_layer(1000).image();
    let reference = stage.publish("app", "v1", &image);
    let account = Airferry::new();
    doctor(&account, &[&reference])
        .succeeds()
        .stdout_has(&format!("ok      source {reference}: "));
    let missing = format!("{}-none", reference);
    doctor(&account, &[&missing])
        .fails_with(5)
        .stdout_has(&format!("FAILED  source {missing}: not there"));
    doctor(&account, &["127.0.0.1:1/app:v1"]).fails_with(6);
}

/// Writes a file of facts.
fn facts(stage: &Stage, rest: &str) -> String {
    let path = stage.at("target.toml");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, format!("format = \"airferry-target-v1\"\n{rest}")).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn an_export_is_planned_against_facts_and_carries_the_same() {
    let stage = Stage::new();
    let amd64 = Build::oci("app").plain_layer(1000).image();
    let arm64 = Build::oci("app")
        .platform("linux/arm64")
        .plain_layer(2000)
        .image();
    let arm = Build::oci("app")
        .platform("linux/s390x")
        .plain_layer(3000)
        .image();
    let reference = stage.publish("team/deep/app", "v1", &index([&amd64, &arm64, &arm]));
    let wanted = [reference.as_str()];
    let one = ["--platform", "linux/amd64", "--output", "json"];
    let plain = stage.try_export("plain", &wanted, &one).succeeds();
    assert!(plain.json().get("targets").is_none());

    let file = facts(
        &stage,
        "sparse-index = false\nmax-components = 2\npush = false\n",
    );
    let with = [&one[..], &["--for", &file]].concat();
    let warned = stage.try_export("warned", &wanted, &with).succeeds();
    warned.stderr_has("import with `--max-components 2`");
    warned.stderr_has("import with `--sparse-index=platform-manifest`");
    warned.stderr_has("the account could not push there");
    assert_eq!(warned.json()["bundle"], plain.json()["bundle"]);
    let notes = warned.json()["targets"][0]["notes"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(notes, 3);
    // The bundle is complete, and the facts have changed since.
    let file = facts(&stage, "max-layer-bytes = 10\n");
    stage.try_export("warned", &wanted, &with).succeeds();

    let refused = stage.try_export("refused", &wanted, &["--for", &file]);
    let refused = refused.fails_with(2);
    refused.stderr_has("the target takes layers of at most");
    assert!(!stage.at("refused").join("manifest.cbor").exists());
    let file = facts(&stage, "sparse-index = false\n");
    let two = [
        "--platform",
        "linux/amd64,linux/arm64",
        "--for",
        &file,
        "--dry-run",
    ];
    let refused = stage.try_export("two", &wanted, &two).fails_with(2);
    refused.stderr_has("the target refuses the sparse index (--platform) of 1 image");
}

#[test]
fn artifacts_and_types_that_a_target_refuses_are_found() {
    let stage = Stage::new();
    let chart = Build::artifact("application/vnd.cncf.helm.config.v1+json")
        .file(b"chart")
        .image();
    let docker = Build::docker("app").layer(1000).image();
    let chart = stage.publish("chart", "v1", &chart);
    let docker = stage.publish("docker", "v1", &docker);
    for (rest, reason) in [
        (
            "artifact = false\n",
            "the target takes images only, no artifacts: 1 image",
        ),
        (
            "docker-manifest = false\n",
            "the target does not take application/vnd.docker.",
        ),
    ] {
        let file = facts(&stage, rest);
        let args = ["--for", &file, "--dry-run"];
        let refused = stage.try_export("b", &[&chart, &docker], &args);
        refused.fails_with(2).stderr_has(reason);
    }
}

#[test]
fn a_file_of_facts_is_read_strictly() {
    let stage = Stage::new();
    let file = facts(&stage, "# odd\nsparse-indexes = true\n");
    let refused = stage.try_export("b", &["127.0.0.1:1/app:v1"], &["--for", &file]);
    refused
        .fails_with(2)
        .stderr_has("line 3: unknown key `sparse-indexes`");
}
