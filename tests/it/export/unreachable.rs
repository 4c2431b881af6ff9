//! Registries and proxies that do not answer: the error messages and hints.

use std::net::TcpListener;

use super::site::Site;
use crate::support::command::Outcome;
use crate::support::images::Build;

/// Returns a `127.0.0.1:port` where nothing listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn a_proxy_that_is_down_is_named() {
    let site = Site::new();
    let image = site.put("app", "v1", &Build::oci("app").layer(100).image());
    let proxy = nobody();
    for (variable, scheme) in [
        ("http_proxy", "http"),
        ("ALL_PROXY", "http"),
        ("all_proxy", "socks5h"),
    ] {
        let to = site.path("bundle");
        let more = ["registry.test/app:v1", "--retries", "0"];
        let mut command = site.export_command(&to, &more);
        command.env(variable, format!("{scheme}://user:hunter2@{proxy}"));
        let outcome = Outcome::of(command).fails_with(6);
        outcome
            .stderr_has(&format!("through the proxy `{scheme}://{proxy}"))
            .stderr_has("hint: check that the proxy is running")
            .hides("hunter2")
            .hides("does not speak TLS");
    }
    // Loopback needs no proxy.
    let to = site.path("bundle");
    let mut command = site.export_command(&to, &[&image]);
    command.env("http_proxy", format!("http://{proxy}"));
    command.env("HTTPS_PROXY", "ftp://proxy.lan");
    let outcome = Outcome::of(command).succeeds();
    outcome.stderr_has("HTTPS_PROXY is not the URL of a proxy");
}

#[test]
fn a_registry_that_is_down_is_named_with_both_attempts() {
    let site = Site::new();
    let host = nobody();
    let image = format!("{host}/app:v1");
    let to = site.path("bundle");
    let outcome = site.export(&to, &[&image, "--retries", "0"]).fails_with(6);
    outcome
        .stderr_has(&format!("https://{host}/"))
        .stderr_has(&format!("http://{host}/"))
        .stderr_has("answers neither over TLS")
        .stderr_has("hint: check host name and port");
}

/// Hundreds of images may be on a host that is down: the retries are reported for one of them only.
#[test]
fn a_host_that_is_down_is_told_of_once_and_not_for_every_image() {
    let site = Site::new();
    let there = site.put("there", "v1", &Build::oci("there").layer(100).image());
    let host = nobody();
    let images: Vec<String> = (0..100).map(|n| format!("{host}/app:v{n}")).collect();
    let mut more: Vec<&str> = images.iter().map(String::as_str).collect();
    more.extend([there.as_str(), "--retries", "3", "--progress", "lines"]);
    let command = site.export_command(&site.path("bundle"), &more);
    let outcome = Outcome::of(command).fails_with(5);
    let retries = outcome.stderr.matches("(attempt ").count();
    assert_eq!(retries, 3, "{outcome}");
    outcome.stderr_has(&format!(
        "  - 100 images of {host}: Registry `{host}` answers neither"
    ));
    let reasons = outcome.stderr.matches("answers neither over TLS").count();
    assert!(reasons < 10, "{outcome}");
}
