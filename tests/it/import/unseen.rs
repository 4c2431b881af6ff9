//! Targets that do not show what does not exist: requests to a repository that does not exist are
//! answered with 401 or 403, and the repository is created when an account that may do so requests
//! a token to push. Quay does this.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::Method;
use tokio::runtime::Runtime;

use super::*;
use crate::support::fake_registry::{Asked, FakeRegistry, Reply};

/// `robot:hunter2`.
const ROBOT: &str = "Basic cm9ib3Q6aHVudGVyMg==";

/// An in-memory registry with one account.
#[derive(Default)]
struct Robots {
    may_push: bool,
    /// True if it takes passwords itself and has no tokens.
    basic: bool,
    repositories: BTreeSet<String>,
    made: BTreeSet<String>,
    /// The rights of each token: repository and action.
    tokens: Vec<BTreeSet<(String, String)>>,
    /// Scopes that were requested.
    asked_for: Vec<String>,
    /// Answer of the token service to every request about `m/new`.
    no_token: Option<(u16, &'static str)>,
    /// Answer of `m/new` to every read of a manifest.
    no_tag: Option<u16>,
    /// The token service that is named when a list of referrers is requested.
    lists_realm: Option<&'static str>,
    /// True if a manifest is deleted with its last tag, as on Quay and zot.
    forgets: bool,
    /// The registry's words to every GET that is not allowed.
    words: Option<&'static str>,
    /// Answer to every request to begin an upload: status and message.
    no_upload: Option<(u16, &'static str)>,
    /// Requests to begin an upload.
    begun: usize,
    /// True if no manifest may be put under a tag made of a digest.
    refuses_digest_tags: bool,
    manifests: BTreeMap<(String, String), (String, Bytes)>,
    blobs: BTreeMap<String, Bytes>,
}

impl Robots {
    fn answer(&mut self, asked: &Asked) -> Reply {
        if asked.path() == "/token" {
            return self.token(asked);
        }
        let path = asked.path().strip_prefix("/v2/").unwrap_or_default();
        let kinds = ["/manifests/", "/blobs/", "/referrers/", "/tags/"];
        let split = |kind: &&'static str| Some((path.split_once(*kind)?, *kind));
        let Some(((repository, rest), kind)) = kinds.iter().find_map(split) else {
            return Reply::new(404);
        };
        if let (Some(realm), "/referrers/") = (self.lists_realm, kind) {
            let challenge = format!("Bearer realm=\"{realm}\",service=\"s\"");
            return Reply::new(401).header("www-authenticate", challenge);
        }
        let reads = matches!(asked.method, Method::GET | Method::HEAD);
        if let (Some(status), true, "m/new") = (self.no_tag, reads, repository)
            && kind == "/manifests/"
        {
            return Reply::new(status);
        }
        let action = if reads { "pull" } else { "push" };
        if !self.allows(asked, repository, action) {
            let host = asked.header("host").unwrap();
            let challenge = match self.basic {
                true => "Basic realm=\"r\"".to_owned(),
                false => format!("Bearer realm=\"http://{host}/token\",service=\"s\""),
            };
            let refusal = match reads {
                true if asked.method == Method::GET && self.words.is_some() => {
                    let words = self.words.unwrap();
                    Reply::new(401).body(format!(
                        r#"{{"errors":[{{"code":"UNAUTHORIZED","message":"{words}"}}]}}"#
                    ))
                }
                true => Reply::new(401),
                false => Reply::error(401, "UNAUTHORIZED"),
            };
            return refusal.header("www-authenticate", challenge);
        }
        self.content(asked, repository, kind, rest)
    }

    fn token(&mut self, asked: &Asked) -> Reply {
        if asked.header("authorization") != Some(ROBOT) {
            return Reply::error(401, "UNAUTHORIZED");
        }
        let url = url::Url::parse(&format!("http://r{}", asked.target)).unwrap();
        let mut allowed = BTreeSet::new();
        for (_, scope) in url.query_pairs().filter(|(key, _)| key == "scope") {
            self.asked_for.push(scope.to_string());
            let [_, repository, actions] = scope.split(':').collect::<Vec<_>>()[..] else {
                panic!("{scope}");
            };
            let wants_push = actions.split(',').any(|action| action == "push");
            if let (Some((status, code)), "m/new") = (self.no_token, repository) {
                return Reply::error(status, code);
            }
            if self.may_push && wants_push && self.repositories.insert(repository.to_owned()) {
                self.made.insert(repository.to_owned());
            }
            for action in actions.split(',') {
                if self.repositories.contains(repository) && (self.may_push || action == "pull") {
                    allowed.insert((repository.to_owned(), action.to_owned()));
                }
            }
        }
        self.tokens.push(allowed);
        let name = self.tokens.len() - 1;
        Reply::new(200).body(format!(r#"{{"token":"{name}","expires_in":300}}"#))
    }

    fn allows(&mut self, asked: &Asked, repository: &str, action: &str) -> bool {
        let Some(header) = asked.header("authorization") else {
            return false;
        };
        if self.basic {
            let known = header == ROBOT;
            if known && self.may_push && action == "push" {
                self.repositories.insert(repository.to_owned());
            }
            let there = self.repositories.contains(repository);
            return known && there && (self.may_push || action == "pull");
        }
        let token: Option<usize> = header.strip_prefix("Bearer ").and_then(|t| t.parse().ok());
        let wanted = (repository.to_owned(), action.to_owned());
        token.is_some_and(|token| self.tokens[token].contains(&wanted))
    }

    fn content(&mut self, asked: &Asked, repository: &str, kind: &str, rest: &str) -> Reply {
        let key = (repository.to_owned(), rest.to_owned());
        match (kind, asked.method.as_str()) {
            ("/blobs/", "POST") if self.no_upload.is_some() => {
                self.begun += 1;
                let (status, message) = self.no_upload.unwrap();
                Reply::new(status).body(format!(
                    r#"{{"errors":[{{"code":"DENIED","message":"{message}"}}]}}"#
                ))
            }
            ("/blobs/", "POST") => match self.blobs.keys().find(|d| mounts(asked, d)) {
                Some(_) => Reply::new(201),
                None => {
                    Reply::new(202).header("location", format!("/v2/{repository}/blobs/uploads/1"))
                }
            },
            ("/blobs/", "PUT") => {
                let digest = digest_of(&asked.body);
                self.blobs.insert(digest, asked.body.clone().into());
                Reply::new(201)
            }
            ("/blobs/", _) => match self.blobs.get(rest) {
                Some(blob) => Reply::range(asked, blob),
                None => Reply::error(404, "BLOB_UNKNOWN"),
            },
            ("/manifests/", "PUT") => {
                let entry = (
                    asked.header("content-type").unwrap().to_owned(),
                    Bytes::from(asked.body.clone()),
                );
                if self.refuses_digest_tags && rest.starts_with("sha256-") {
                    return Reply::error(403, "DENIED");
                }
                let by_digest = (repository.to_owned(), digest_of(&asked.body));
                self.manifests.insert(by_digest.clone(), entry.clone());
                let before = self.manifests.insert(key, entry);
                if let Some((_, before)) = before.filter(|_| self.forgets) {
                    let old = (repository.to_owned(), digest_of(&before));
                    let mut tags = self
                        .manifests
                        .iter()
                        .filter(|((at, name), _)| at == repository && !name.starts_with("sha256:"));
                    if old != by_digest && tags.all(|(_, (_, bytes))| *bytes != before) {
                        self.manifests.remove(&old);
                    }
                }
                Reply::new(201)
            }
            ("/manifests/", method) => match self.manifests.get(&key) {
                Some((media_type, bytes)) => {
                    let reply = Reply::new(200)
                        .header("content-type", media_type)
                        .header("docker-content-digest", digest_of(bytes));
                    match method {
                        "HEAD" => reply,
                        _ => reply.body(bytes.clone()),
                    }
                }
                None => Reply::error(404, "MANIFEST_UNKNOWN"),
            },
            ("/tags/", _) => Reply::new(200).body(r#"{"tags":[]}"#),
            _ => Reply::error(404, "NOT_FOUND"),
        }
    }
}

/// Returns true if a request asks to mount the blob.
fn mounts(asked: &Asked, digest: &str) -> bool {
    let wanted = format!("mount={}", digest.replace(':', "%3A"));
    asked.target.contains(&wanted)
}

struct Target {
    registry: FakeRegistry,
    robots: Arc<Mutex<Robots>>,
    // The server's tasks run in it, so it must be dropped last.
    _runtime: Runtime,
}

impl Target {
    fn start(robots: Robots) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let robots = Arc::new(Mutex::new(robots));
        let shared = Arc::clone(&robots);
        let answer = move |asked: &Asked, _| shared.lock().unwrap().answer(asked);
        Self {
            registry: runtime.block_on(FakeRegistry::start(answer)),
            robots,
            _runtime: runtime,
        }
    }

    fn import(&self, stage: &Stage, bundle: &Path, password: &str, more: &[&str]) -> Outcome {
        let encoded = base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            format!("robot:{password}"),
        );
        let host = self.registry.host().to_string();
        let document = serde_json::json!({ "auths": { &host: { "auth": encoded } } });
        let file = stage.importer.path("auth.json");
        fs::write(&file, document.to_string()).unwrap();
        let mut all = vec!["--authfile", file.to_str().unwrap(), "--retries", "1"];
        all.extend(more);
        stage.import(bundle, &format!("{host}/m"), &all)
    }

    fn has(&self, repository: &str, name: &str) -> bool {
        let robots = self.robots.lock().unwrap();
        let key = (repository.to_owned(), name.to_owned());
        robots.manifests.contains_key(&key)
    }

    fn made(&self) -> Vec<String> {
        self.robots.lock().unwrap().made.iter().cloned().collect()
    }

    fn tags(&self) -> usize {
        let robots = self.robots.lock().unwrap();
        let tags = robots.manifests.keys().filter(|(_, name)| name == "v1");
        tags.count()
    }

    fn asked_to_push(&self) -> Vec<String> {
        let robots = self.robots.lock().unwrap();
        let scopes = robots
            .asked_for
            .iter()
            .filter(|scope| scope.contains("push"));
        let scopes: BTreeSet<String> = scopes.cloned().collect();
        scopes.into_iter().collect()
    }
}

/// Exports a bundle of `new` and `old`, which share a layer.
fn two(stage: &Stage) -> std::path::PathBuf {
    let references = ["new", "old"].map(|name| {
        let image = Build::oci(name)
            .shared_layer("both", 3000)
            .layer(500)
            .image();
        stage.publish(name, "v1", &image)
    });
    stage.export("bundle", &[&references[0], &references[1]], &[])
}

fn robots(may_push: bool, repositories: &[&str]) -> Robots {
    Robots {
        may_push,
        repositories: repositories.iter().map(|&name| name.to_owned()).collect(),
        ..Robots::default()
    }
}

#[test]
fn repositories_that_are_not_there_are_made_by_writing_and_by_nothing_else() {
    let stage = Stage::new();
    let bundle = two(&stage);
    let target = Target::start(robots(true, &["m/old"]));
    let dry = target
        .import(&stage, &bundle, "hunter2", &["--dry-run"])
        .succeeds();
    dry.stderr_has("m/new")
        .stderr_has("does not exist, or this account may not read");
    // It asks for the right to push where that creates nothing.
    assert_eq!(target.asked_to_push(), ["repository:m/old:pull,push"]);
    assert_eq!((target.made().len(), target.tags()), (0, 0));
    target.robots.lock().unwrap().asked_for.clear();
    target.import(&stage, &bundle, "hunter2", &[]).succeeds();
    assert_eq!(target.made(), ["m/new"]);
    assert_eq!(target.tags(), 2);
    // Existing content is found again, with the right to pull alone.
    target.robots.lock().unwrap().asked_for.clear();
    let again = target
        .import(&stage, &bundle, "hunter2", &["--output", "json"])
        .succeeds();
    assert_eq!(again.json()["bytes_uploaded"], 0);
    assert_eq!(target.asked_to_push(), [""; 0]);
}

#[test]
fn one_of_several_importers_makes_repositories_too() {
    let stage = Stage::new();
    let bundle = two(&stage);
    let target = Target::start(robots(true, &[]));
    for shard in ["1/2", "2/2"] {
        target
            .import(&stage, &bundle, "hunter2", &["--shard", shard])
            .succeeds();
    }
    assert_eq!(target.tags(), 0);
    target.import(&stage, &bundle, "hunter2", &[]).succeeds();
    assert_eq!(target.tags(), 2);
}

#[test]
fn registries_without_tokens_are_written_to_as_well() {
    let stage = Stage::new();
    let bundle = two(&stage);
    let target = Target::start(Robots {
        basic: true,
        ..robots(true, &["m/old"])
    });
    target
        .import(&stage, &bundle, "hunter2", &["--dry-run"])
        .succeeds();
    target.import(&stage, &bundle, "hunter2", &[]).succeeds();
    assert_eq!(target.tags(), 2);
}

#[test]
fn an_account_that_may_not_push_is_told_so() {
    let stage = Stage::new();
    let bundle = two(&stage);
    let target = Target::start(robots(false, &["m/old"]));
    let refused = target.import(&stage, &bundle, "hunter2", &[]).fails_with(7);
    refused.stderr_has("may not push to").stderr_has("/m/new");
    refused.hides("rejects the credentials");
    assert_eq!((target.made().len(), target.tags()), (0, 0));
    let wrong = target.import(&stage, &bundle, "hunter3", &[]).fails_with(7);
    wrong.stderr_has("rejects the credentials");
    let dry = target.import(&stage, &bundle, "hunter3", &["--dry-run"]);
    dry.fails_with(7);
}

/// A tag that was hidden before is not moved away from its image.
#[test]
fn a_tag_that_shows_only_when_something_was_written_is_left() {
    let stage = Stage::new();
    let bundle = two(&stage);
    let other = (
        "application/vnd.oci.image.index.v1+json".to_owned(),
        Bytes::from_static(br#"{"schemaVersion":2,"manifests":[]}"#),
    );
    let mut hides = robots(true, &[]);
    let key = ("m/new".to_owned(), "v1".to_owned());
    hides.manifests.insert(key.clone(), other.clone());
    let target = Target::start(hides);
    let refused = target.import(&stage, &bundle, "hunter2", &[]).fails_with(7);
    refused.stderr_has("could see only after the upload");
    assert_eq!(target.robots.lock().unwrap().manifests[&key], other);
    let mut hides = robots(true, &[]);
    hides.manifests.insert(key.clone(), other.clone());
    let target = Target::start(hides);
    let overwrite = ["--existing-tags", "overwrite"];
    target
        .import(&stage, &bundle, "hunter2", &overwrite)
        .succeeds();
    assert_ne!(target.robots.lock().unwrap().manifests[&key], other);
}

#[test]
fn a_tag_that_shows_only_when_something_was_written_is_kept_when_asked() {
    let stage = Stage::new();
    let bundle = two(&stage);
    let other = (
        "application/vnd.oci.image.index.v1+json".to_owned(),
        Bytes::from_static(br#"{"schemaVersion":2,"manifests":[]}"#),
    );
    let mut hides = robots(true, &[]);
    let key = ("m/new".to_owned(), "v1".to_owned());
    hides.manifests.insert(key.clone(), other.clone());
    let target = Target::start(hides);
    let how = ["--existing-tags", "skip", "--output", "json"];
    let report = target
        .import(&stage, &bundle, "hunter2", &how)
        .succeeds()
        .json();
    assert_eq!(report["images"][0]["state"], "tag-kept", "{report:#}");
    let robots = target.robots.lock().unwrap();
    assert_eq!(robots.manifests[&key], other);
    // The image itself is present by its digest.
    let digest = report["images"][0]["digest"].as_str().unwrap().to_owned();
    assert!(robots.manifests.contains_key(&("m/new".to_owned(), digest)));
}

/// A token service that accepts the password but refuses one repository.
#[test]
fn a_repository_that_gets_no_token_costs_its_image() {
    let stage = Stage::new();
    let bundle = two(&stage);
    for (status, code) in [
        (400, "NAME_INVALID"),
        (401, "UNAUTHORIZED"),
        (403, "DENIED"),
        (404, "NAME_UNKNOWN"),
    ] {
        let target = Target::start(Robots {
            no_token: Some((status, code)),
            ..robots(true, &[])
        });
        let refused = target.import(&stage, &bundle, "hunter2", &[]).fails_with(7);
        refused.stderr_has("m/new").stderr_has("1 of 2 images");
        refused.hides("rejects the credentials");
        assert_eq!(
            (target.made(), target.tags()),
            (vec!["m/old".to_owned()], 1)
        );
        if status == 400 {
            refused.stderr_has("--max-components");
        }
        let wrong = target.import(&stage, &bundle, "hunter3", &[]).fails_with(7);
        wrong.stderr_has("rejects the credentials");
    }
}

#[test]
fn a_tag_that_the_target_does_not_tell_of_costs_its_image() {
    let stage = Stage::new();
    let bundle = two(&stage);
    for status in [400, 405, 406, 409, 410, 500] {
        let target = Target::start(Robots {
            no_tag: Some(status),
            ..robots(true, &["m/new", "m/old"])
        });
        let dry = target.import(&stage, &bundle, "hunter2", &["--dry-run"]);
        dry.fails_with(7).stderr_has("1 of 2 images");
        assert_eq!(target.tags(), 0, "{status}");
        let refused = target.import(&stage, &bundle, "hunter2", &[]).fails_with(7);
        refused.stderr_has("m/new").stderr_has("1 of 2 images");
        assert_eq!(target.tags(), 1, "{status}");
    }
}

/// If lists of referrers need a login that is impossible, the fallback tag is written.
#[test]
fn a_login_that_only_lists_ask_for_costs_nothing() {
    let stage = Stage::new();
    let source = stage.source.host().to_string();
    let image = Build::oci("app").layer(300).image();
    let sbom = Build::artifact("application/spdx+json").file(b"{\"sbom\":1}");
    let sbom = sbom.subject(&image).image();
    let reference = stage.publish("app", "v1", &image);
    publish::push(&source, "app", None, &sbom);
    push_fallback(&source, "app", &image, &[&sbom]);
    let bundle = stage.export("bundle", &[&reference], &[]);
    for realm in ["http://127.0.0.1:1/token", "/nowhere"] {
        let target = Target::start(Robots {
            lists_realm: Some(realm),
            ..robots(true, &[])
        });
        target.import(&stage, &bundle, "hunter2", &[]).succeeds();
        let robots = target.robots.lock().unwrap();
        let list = ("m/app".to_owned(), image.fallback_tag());
        assert!(robots.manifests.contains_key(&list), "{realm}");
    }
}

/// Blobs of a base that the target hides count as absent: the import names the bundle that is
/// needed.
#[test]
fn blobs_of_a_base_that_are_not_shown_count_as_absent() {
    let stage = Stage::new();
    let one = Build::oci("one").shared_layer("both", 3000).image();
    let two = Build::oci("two").shared_layer("both", 3000).image();
    let first = stage.publish("one", "v1", &one);
    let base = stage.export("base", &[&first], &[]);
    let second = stage.publish("two", "v1", &two);
    let next = stage.export("next", &[&second], &["--base", base.to_str().unwrap()]);
    let target = Target::start(robots(true, &[]));
    let early = target.import(&stage, &next, "hunter2", &[]).fails_with(7);
    early.stderr_has("import the bundle");
    assert_eq!(target.made(), [""; 0]);
    target.import(&stage, &base, "hunter2", &[]).succeeds();
    target.import(&stage, &next, "hunter2", &[]).succeeds();
    assert_eq!(target.tags(), 2);
}

/// Registries that delete a manifest with its last tag: pods that name the old image by its digest
/// keep it.
#[test]
fn an_image_that_loses_its_tag_stays_for_the_pods_that_name_its_digest() {
    let stage = Stage::new();
    let [old, new] = ["old", "new"].map(|seed| Build::oci(seed).layer(500).image());
    let reference = stage.publish("app", "v1", &old);
    let first = stage.export("first", &[&reference], &[]);
    stage.publish("app", "v1", &new);
    let second = stage.export(
        "second",
        &[&reference],
        &["--base", first.to_str().unwrap()],
    );
    let whole = stage.export("whole", &[&reference], &[]);
    let digest = old.digest();
    let tag = digest.replace(':', "-");
    let target = || {
        let target = Target::start(Robots {
            forgets: true,
            ..robots(true, &["m/app"])
        });
        target.import(&stage, &first, "hunter2", &[]).succeeds();
        target
    };

    let moved = target();
    let dry = moved.import(&stage, &second, "hunter2", &["--dry-run"]);
    let line = format!(
        "replaces {digest}, kept as {}/m/app:{tag}",
        moved.registry.host()
    );
    dry.succeeds().stdout_has(&line);
    assert!(!moved.has("m/app", &tag));
    let done = moved
        .import(&stage, &second, "hunter2", &["--output", "json"])
        .succeeds();
    let replaced = &done.json()["images"][0]["replaced"];
    assert_eq!(replaced["digest"], digest.as_str());
    let kept = format!("{}/m/app:{tag}", moved.registry.host());
    assert_eq!(replaced["kept_as"], kept.as_str());
    assert!(moved.has("m/app", &digest) && moved.has("m/app", &tag));
    assert!(moved.has("m/app", &new.digest()));
    let again = moved.import(&stage, &second, "hunter2", &[]).succeeds();
    again.hides("replaces");

    // A tag that no base set: only on request, and never without a word.
    let overwrite = ["--existing-tags", "overwrite"];
    let lost = target();
    let done = lost
        .import(&stage, &whole, "hunter2", &overwrite)
        .succeeds();
    done.stdout_has(&format!("replaces {digest}, which"))
        .stdout_has("--keep-replaced");
    assert!(!lost.has("m/app", &digest));
    let asked = target();
    let keep = [&overwrite[..], &["--keep-replaced"]].concat();
    asked.import(&stage, &whole, "hunter2", &keep).succeeds();
    assert!(asked.has("m/app", &digest) && asked.has("m/app", &tag));

    // The tag does not move if the old image cannot be kept, unless that is accepted.
    let refusing = target();
    refusing.robots.lock().unwrap().refuses_digest_tags = true;
    let refused = refusing
        .import(&stage, &second, "hunter2", &[])
        .fails_with(7);
    refused
        .stderr_has(&format!("its tag points to {digest}"))
        .stderr_has("--keep-replaced=no moves the tag anyway");
    assert!(refusing.has("m/app", &digest));
    let accepted = ["--keep-replaced=no"];
    refusing
        .import(&stage, &second, "hunter2", &accepted)
        .succeeds();
    assert!(!refusing.has("m/app", &digest));
    assert!(refusing.has("m/app", &new.digest()));
}

/// A quota or maintenance concerns all images: the target is asked once. A refusal that may concern
/// one repository is asked for each.
#[test]
fn a_refusal_of_the_whole_target_is_asked_once() {
    let stage = Stage::new();
    let names: Vec<String> = (0..12).map(|number| format!("app{number}")).collect();
    let references: Vec<String> = names
        .iter()
        .map(|name| stage.publish(name, "v1", &Build::oci(name).layer(500).layer(600).image()))
        .collect();
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    let bundle = stage.export("bundle", &references, &[]);
    let repositories: Vec<String> = names.iter().map(|name| format!("m/{name}")).collect();
    let repositories: Vec<&str> = repositories.iter().map(String::as_str).collect();
    for (status, message, once) in [
        (403, "the quota of project m is used up", true),
        (403, "the registry is in read-only mode", true),
        (403, "requested access to the resource is denied", false),
    ] {
        let target = Target::start(Robots {
            no_upload: Some((status, message)),
            ..robots(true, &repositories)
        });
        let refused = target.import(&stage, &bundle, "hunter2", &[]).fails_with(7);
        refused.stderr_has("12 of 12 images").stderr_has(message);
        let begun = target.robots.lock().unwrap().begun;
        match once {
            true => assert_eq!(begun, 1, "{message}"),
            false => assert!(begun >= names.len(), "{message}: {begun}"),
        }
    }
}

/// The reason for a refused HEAD comes with the answer to GET.
#[test]
fn the_words_about_a_hidden_repository_reach_the_person() {
    let stage = Stage::new();
    let bundle = two(&stage);
    let target = Target::start(Robots {
        words: Some("project m not found"),
        ..robots(false, &[])
    });
    let dry = target.import(&stage, &bundle, "hunter2", &["--dry-run"]);
    dry.succeeds()
        .stderr_has("do not exist, or this account may not read them")
        .stderr_has("401 UNAUTHORIZED: project m not found");
}

/// Without the state directory a later run cannot continue inside a blob; nothing else is lost.
#[test]
fn a_state_directory_that_cannot_be_used_costs_only_resumption() {
    let stage = Stage::new();
    let image = Build::oci("app").layer(500).image();
    let reference = stage.publish("app", "v1", &image);
    let bundle = stage.export("bundle", &[&reference], &[]);
    let file = stage.importer.path("file");
    fs::write(&file, "").unwrap();
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    for (variable, value) in [("XDG_STATE_HOME", Some(&file)), ("HOME", None)] {
        let mut command = stage.import_command(&bundle, &host, &[]);
        command.env_remove("XDG_STATE_HOME").env_remove(variable);
        if let Some(value) = value {
            command.env(variable, value);
        }
        let done = Outcome::of(command).succeeds();
        done.stderr_has("the state directory cannot be used");
    }
    assert_whole(&host, "app", &image);
}
