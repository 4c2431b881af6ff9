use std::cell::RefCell;
use std::path::Path;

use clap::Parser;

use super::*;
use crate::progress::NoProgress;
use crate::registry::Credentials;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    registry: RegistryArgs,
}

fn args(line: &[&str]) -> RegistryArgs {
    let line = [&["x"], line].concat();
    Line::try_parse_from(line).unwrap().registry
}

/// A machine with its own files, in a temporary directory.
struct Machine {
    directory: tempfile::TempDir,
}

impl Machine {
    fn new(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        }
        Self { directory }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn environment(&self, more: &[(&str, &str)]) -> Environment {
        let mut variables = vec![
            ("HOME", self.directory.path().join("home")),
            ("XDG_RUNTIME_DIR", self.directory.path().join("run")),
        ];
        for (name, value) in more {
            variables.push((name, self.directory.path().join(value)));
        }
        let variables: Vec<(&str, &Path)> =
            variables.iter().map(|(n, v)| (*n, v.as_path())).collect();
        Environment::of(self.directory.path(), &variables)
    }

    fn options(&self, args: &RegistryArgs, more: &[(&str, &str)]) -> Result<ClientOptions, Error> {
        let warn = |warning: String| panic!("{warning}");
        args.options(&self.environment(more), &warn, Arc::new(NoProgress))
    }
}

fn auth(user: &str) -> String {
    format!(r#"{{"auths": {{"r.example": {{"username": "{user}", "password": "p"}}}}}}"#)
}

async fn user(credentials: &Credentials, host: &str) -> Option<String> {
    let found = credentials.lookup(&host.parse().unwrap(), None).await;
    match found.unwrap()? {
        crate::registry::Credential::Password { username, .. } => Some(username),
        _ => None,
    }
}

#[test]
fn rates_are_sizes_without_a_name() {
    for (text, expected) in [
        ("2MiB", Ok(2 << 20)),
        ("500kB/s", Ok(500_000)),
        (" 1.5MB", Ok(1_500_000)),
        ("fat32", Err("500kB")),
        ("abc", Err("500kB")),
        ("", Err("500kB")),
        ("1023", Err("at least 1 KiB")),
    ] {
        match (parse_rate(text), expected) {
            (Ok(rate), Ok(expected)) => assert_eq!(rate.get(), expected, "{text}"),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{text}: {error}"),
            (parsed, _) => panic!("{text}: {parsed:?}"),
        }
    }
}

#[test]
fn tls_verify_takes_all_forms() {
    for (line, expected) in [
        (&[][..], None),
        (&["--tls-verify"], Some(true)),
        (&["--tls-verify=true"], Some(true)),
        (&["--tls-verify=false"], Some(false)),
    ] {
        assert_eq!(args(line).tls_verify, expected, "{line:?}");
    }
    // A value must be attached with `=`, so that a positional argument is never taken for it.
    assert!(Line::try_parse_from(["x", "--tls-verify", "false"]).is_err());
}

#[test]
fn retries_are_attempts_but_one() {
    let machine = Machine::new(&[]);
    let attempts = |line: &[&str]| {
        let options = machine.options(&args(line), &[]).unwrap();
        options.retry.attempts
    };
    assert_eq!(attempts(&[]), RetryPolicy::default().attempts);
    assert_eq!(attempts(&["--retries", "0"]), 1);
    assert_eq!(attempts(&["--retries", "4294967295"]), u32::MAX);
}

#[tokio::test]
async fn the_first_auth_file_with_an_entry_decides() {
    let machine = Machine::new(&[
        ("named.json", "{}"),
        ("variable.json", &auth("variable")),
        ("run/containers/auth.json", &auth("runtime")),
        ("home/.config/containers/auth.json", &auth("config")),
        ("home/.docker/config.json", &auth("docker")),
    ]);
    let none = args(&[]);
    let named = args(&["--authfile", &machine.path("named.json")]);
    let variable = [("REGISTRY_AUTH_FILE", "variable.json")];
    for (args, more, gone, expected) in [
        // As in skopeo, the variable is ignored if the flag is given.
        (&named, &variable[..], "", "runtime"),
        (&none, &variable, "", "variable"),
        (&none, &[], "", "runtime"),
        (&none, &[], "run/containers/auth.json", "config"),
        (&none, &[], "home/.config/containers/auth.json", "docker"),
    ] {
        if !gone.is_empty() {
            fs_err::remove_file(machine.path(gone)).unwrap();
        }
        let options = machine.options(args, more).unwrap();
        let found = user(&options.credentials, "r.example").await;
        assert_eq!(found.as_deref(), Some(expected));
    }
}

#[tokio::test]
async fn an_auth_file_that_is_no_text_somewhere_is_read() {
    let text = auth("user").replace(
        r#"{"auths": {"#,
        r#"{"auths": {"x.lan": {"email": "j?r", "auth": "dTpw"}, "y.lan": {"username": "j?r", "password": "p"}, "#,
    );
    let machine = Machine::new(&[]);
    let bytes: Vec<u8> = text
        .bytes()
        .map(|b| if b == b'?' { 0xe9 } else { b })
        .collect();
    fs_err::write(machine.path("a.json"), bytes).unwrap();
    let line = args(&["--authfile", &machine.path("a.json")]);
    let credentials = machine.options(&line, &[]).unwrap().credentials;
    assert_eq!(
        user(&credentials, "r.example").await.as_deref(),
        Some("user")
    );
    assert_eq!(user(&credentials, "x.lan").await.as_deref(), Some("u"));
    // A user name that is not valid UTF-8 is not sent.
    let broken = credentials.lookup(&"y.lan".parse().unwrap(), None).await;
    assert!(broken.unwrap_err().to_string().contains("y.lan"));
}

#[test]
fn a_named_auth_file_must_be_there() {
    let machine = Machine::new(&[]);
    let error = machine
        .options(&args(&["-a", "/nowhere/auth.json"]), &[])
        .unwrap_err();
    assert_eq!(error.to_string(), "There is no file `/nowhere/auth.json`");
    let variable = [("REGISTRY_AUTH_FILE", "missing.json")];
    let error = machine.options(&args(&[]), &variable).unwrap_err();
    assert!(error.hints()[0].contains("REGISTRY_AUTH_FILE"));
}

#[test]
fn broken_auth_files_are_named_without_their_content() {
    let machine = Machine::new(&[("bad.json", r#"{"auths": "hunter2"}"#)]);
    let error = machine
        .options(&args(&["-a", &machine.path("bad.json")]), &[])
        .unwrap_err();
    let text = crate::error::chain(&error);
    assert!(
        text.contains("bad.json") && !text.contains("hunter2"),
        "{text}"
    );
}

fn mirror(location: &str, prefix: &str) -> String {
    format!("[[registry]]\nprefix = '{prefix}'\nlocation = '{location}'\n")
}

#[test]
fn drop_ins_override_the_main_file() {
    let main = mirror("a.example", "quay.io") + &mirror("b.example", "gcr.io");
    let machine = Machine::new(&[
        ("etc/containers/registries.conf", &main),
        (
            "etc/containers/registries.conf.d/1.conf",
            &mirror("c.example", "quay.io"),
        ),
        ("etc/containers/registries.conf.d/2.conf.bak", "no TOML"),
        ("other.conf", &mirror("d.example", "quay.io")),
    ]);
    let expected = mirror("c.example", "quay.io") + &mirror("b.example", "gcr.io");
    let found = machine.options(&args(&[]), &[]).unwrap().mirrors;
    assert_eq!(
        format!("{found:?}"),
        format!("{:?}", Mirrors::parse(&expected).unwrap())
    );

    let named = args(&["--registries-conf", &machine.path("other.conf")]);
    let found = machine.options(&named, &[]).unwrap().mirrors;
    assert_eq!(
        found,
        Mirrors::parse(&mirror("d.example", "quay.io")).unwrap()
    );

    fs_err::create_dir_all(machine.path("home/.config/containers")).unwrap();
    let own = machine.path("home/.config/containers/registries.conf");
    fs_err::write(&own, "[[registry]]\n").unwrap();
    let error = machine.options(&args(&[]), &[]).unwrap_err();
    let text = crate::error::chain(&error);
    assert!(
        text.contains("home/.config") && text.contains("number 1"),
        "{text}"
    );

    // The machine's drop-in files do not apply to the user's own file; the user's do.
    fs_err::write(&own, mirror("e.example", "quay.io")).unwrap();
    let found = machine.options(&args(&[]), &[]).unwrap().mirrors;
    let expected = Mirrors::parse(&mirror("e.example", "quay.io")).unwrap();
    assert_eq!(found, expected);
    let drop_ins = machine.path("home/.config/containers/registries.conf.d");
    fs_err::create_dir_all(&drop_ins).unwrap();
    let more = "credential-helpers = ['x']\n";
    fs_err::write(Path::new(&drop_ins).join("1.conf"), more).unwrap();
    let found = machine.options(&args(&[]), &[]).unwrap().mirrors;
    assert_eq!(found.credential_helpers().unwrap(), ["x"]);
    let version_1 = "[registries.block]\nregistries = ['x.lan']\n";
    fs_err::write(Path::new(&drop_ins).join("2.conf"), version_1).unwrap();
    let error = machine.options(&args(&[]), &[]).unwrap_err();
    assert!(error.to_string().contains("2.conf"), "{error}");
}

#[tokio::test]
async fn a_login_without_a_session_directory_is_found() {
    let machine = Machine::new(&[
        ("run/containers/1234/auth.json", &auth("sudo")),
        ("home/.dockercfg", r#"{"r.example": {"auth": "b2xkOng="}}"#),
    ]);
    // An empty variable counts as not set.
    let none = [("XDG_RUNTIME_DIR", "")];
    let environment = |machine: &Machine| {
        let home = machine.directory.path().join("home");
        Environment::of(
            machine.directory.path(),
            &[("HOME", &home), (none[0].0, Path::new(""))],
        )
    };
    let warn = |warning: String| panic!("{warning}");
    let options = |machine: &Machine| {
        let found = args(&[]).options(&environment(machine), &warn, Arc::new(NoProgress));
        found.unwrap().credentials
    };
    let found = user(&options(&machine), "r.example").await;
    assert_eq!(found.as_deref(), Some("sudo"));
    fs_err::remove_file(machine.path("run/containers/1234/auth.json")).unwrap();
    let found = user(&options(&machine), "r.example").await;
    assert_eq!(found.as_deref(), Some("old"));
}

#[tokio::test]
async fn a_broken_file_in_a_usual_place_costs_that_file() {
    let machine = Machine::new(&[
        ("run/containers/auth.json", r#"{"auths": "hunter2"}"#),
        ("home/.docker/config.json", &auth("docker")),
    ]);
    let warnings = RefCell::new(Vec::new());
    let warn = |warning: String| warnings.borrow_mut().push(warning);
    let options = args(&[]).options(&machine.environment(&[]), &warn, Arc::new(NoProgress));
    let found = user(&options.unwrap().credentials, "r.example").await;
    assert_eq!(found.as_deref(), Some("docker"));
    let warnings = warnings.into_inner();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].contains("run/containers/auth.json"),
        "{warnings:?}"
    );
    assert!(!warnings[0].contains("hunter2"), "{warnings:?}");
}

/// Makes a certificate and its key, as PEM.
fn made() -> (String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["r.example".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    (certificate, key.serialize_pem())
}

#[test]
fn certificates_are_read_by_host_and_for_all() {
    let (first, _) = made();
    let (own, own_key) = made();
    let machine = Machine::new(&[
        ("etc/containers/certs.d/R.example:5000/ca.crt", &first),
        ("etc/docker/certs.d/r.example:5000/ca.crt", &own),
        ("etc/docker/certs.d/s.example/me.cert", &own),
        ("etc/docker/certs.d/s.example/me.key", &own_key),
        ("own/ca.crt", &own),
        ("own/client.cert", &own),
        ("own/client.key", &own_key),
        ("own/readme.txt", "not a certificate"),
        ("empty/readme", ""),
        ("half/client.cert", &own),
        ("junk/ca.crt", "junk"),
    ]);
    let with = |name: &str| args(&["--cert-dir", &machine.path(name)]);
    let found = machine.options(&with("own"), &[]).unwrap().certificates;
    assert_eq!(found.hosts["r.example:5000"].roots, [first.into_bytes()]);
    let (certificate, key) = found.hosts["s.example"].clients[0].clone();
    assert_eq!(
        (certificate, &**key),
        (own.clone().into_bytes(), own_key.as_bytes())
    );
    assert_eq!(found.roots, [own.clone().into_bytes()]);
    assert_eq!(found.clients[0].0, own.into_bytes());
    for bad in ["empty", "half", "junk", "missing"] {
        assert!(machine.options(&with(bad), &[]).is_err(), "{bad}");
    }
}

#[test]
fn a_file_that_cannot_be_used_costs_that_file() {
    let (good, key) = made();
    let (other, _) = made();
    let files = [
        ("a.crt", "junk"),
        ("b.crt", &good),
        ("c.cert", &other),
        ("c.key", &key),
        ("d.cert", &good),
        ("d.key", &key),
        ("e.cert", &good),
        ("f.key", &key),
    ];
    let mut all = Vec::new();
    for directory in ["own", "etc/docker/certs.d/r.example"] {
        all.extend(files.map(|(name, text)| (format!("{directory}/{name}"), text)));
    }
    let all: Vec<(&str, &str)> = all
        .iter()
        .map(|(name, text)| (name.as_str(), *text))
        .collect();
    let machine = Machine::new(&all);
    // A directory in place of a file cannot be read either.
    fs_err::create_dir(machine.path("own/g.crt")).unwrap();
    let warnings = RefCell::new(Vec::new());
    let warn = |warning: String| warnings.borrow_mut().push(warning);
    let line = args(&["--cert-dir", &machine.path("own")]);
    let options = line.options(&machine.environment(&[]), &warn, Arc::new(NoProgress));
    let found = options.unwrap().certificates;
    assert_eq!((found.roots.len(), found.clients.len()), (1, 1));
    let warnings = warnings.into_inner();
    for name in ["a.crt", "c.cert", "e.cert", "f.key", "g.crt"] {
        assert!(
            warnings.iter().any(|warning| warning.contains(name)),
            "{name}: {warnings:?}"
        );
    }
    assert_eq!(warnings.len(), 5);
    // Problems with the files of one host are reported when that host is contacted.
    let own = &found.hosts["r.example"];
    assert_eq!(
        (own.roots.len(), own.clients.len(), own.problems.len()),
        (1, 1, 4)
    );
}
