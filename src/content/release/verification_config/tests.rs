use super::*;

const KEY: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/vectors/release/alice.asc"
));
const BINARY_KEY: &[u8] = include_bytes!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/vectors/release/alice.gpg"
));

/// A ConfigMap with these lines of data, and a keyring.
fn config_map(data: &str) -> String {
    let key: String = KEY.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "# A comment\napiVersion: v1\ndata:\n{data}  verifier-public-key-ci: |\n{key}\
         kind: ConfigMap\nmetadata:\n  annotations:\n    {ANNOTATION}: \"\"\n  \
         creationTimestamp: null\n  name: release-verification\n"
    )
}

fn find(manifests: &[(&str, &str)]) -> Result<Option<VerificationConfig>, VerificationConfigError> {
    VerificationConfig::find(
        manifests
            .iter()
            .map(|(name, text)| (*name, text.as_bytes())),
    )
}

#[test]
fn keyrings_stores_and_the_rest_are_told_apart() {
    let text = config_map(
        "  store-b: https://b.example.com/signatures/\n  store-a: file:///var/signatures\n  \
         release-repository-default: quay.io/okd/scos-release\n",
    );
    let config = find(&[("0000_90_keys.yaml", &text)]).unwrap().unwrap();
    assert_eq!(config.manifest, "0000_90_keys.yaml");
    let stores: Vec<_> = config
        .stores
        .iter()
        .map(|store| (store.name.as_str(), store.url.as_str()))
        .collect();
    assert_eq!(
        stores,
        [
            ("store-a", "file:///var/signatures"),
            ("store-b", "https://b.example.com/signatures/")
        ]
    );
    assert_eq!(config.unknown, ["release-repository-default"]);
    assert_eq!(config.keyrings.len(), 1);
    assert_eq!(config.keyrings[0].name, "verifier-public-key-ci");
    assert_eq!(config.keyrings[0].keyring.keys.len(), 1);
}

#[test]
fn of_a_key_twice_the_last_counts_as_for_the_cluster() {
    let text = config_map(
        "  store-a: https://a.example.com/\n  store-a: https://b.example.com/\n  note: null\n",
    );
    let text = format!("{text}  namespace: one\n  namespace: one\n");
    let config = find(&[("0000_90_keys.yaml", &text)]).unwrap().unwrap();
    let stores: Vec<_> = config
        .stores
        .iter()
        .map(|store| store.url.as_str())
        .collect();
    assert_eq!(stores, ["https://b.example.com/"]);
    let marked = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert!(find(&[("0000_90_keys.yaml", &marked)]).unwrap().is_some());
    let number = config_map("  store-a: 1\n");
    assert!(find(&[("0000_90_keys.yaml", &number)]).is_err());
}

#[test]
fn armored_and_binary_keyrings_are_read_as_by_the_cluster() {
    let twice = [KEY, "some words\n", KEY].concat();
    let json = serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"annotations": {ANNOTATION: ""}},
        "data": {"verifier-public-key-a": &twice},
        "binaryData": {"verifier-public-key-b": STANDARD.encode(BINARY_KEY)},
    });
    let config = find(&[("a.json", &json.to_string())]).unwrap().unwrap();
    let keys: Vec<_> = config
        .keyrings
        .iter()
        .map(|entry| entry.keyring.keys.len())
        .collect();
    // Of several armored blocks, the cluster's reader takes the first one.
    assert_eq!(keys, [1, 1]);
    assert_eq!(config.keyrings[0].keyring.unusable, 1);
    assert_eq!(Keyring::parse(twice.as_bytes()).unwrap().keys.len(), 2);
}

#[test]
fn keys_that_the_cluster_does_not_take_do_not_count() {
    let ed25519: &[u8] = include_bytes!(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/vectors/release/bob.gpg"
    ));
    assert_eq!(Keyring::parse(ed25519).unwrap().keys.len(), 1);
    let alone = Keyring::of_payload(ed25519).unwrap_err();
    assert!(alone.to_string().contains("RSA"), "{alone}");
    let both = Keyring::of_payload(&[BINARY_KEY, ed25519].concat()).unwrap();
    assert_eq!((both.keys.len(), both.unusable), (1, 1));
}

#[test]
fn the_first_config_map_with_the_annotation_counts() {
    let plain = format!("apiVersion: v1\nkind: ConfigMap\ndata: {{note: {ANNOTATION}}}\n");
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{annotations: {{{ANNOTATION}: \"\"}}}}\n"
    );
    let several = format!("{plain}---\n{secret}---\n{}", config_map(""));
    let later = config_map("  store-later: https://later.example.com\n");
    let config = find(&[
        ("0.yaml", "not: [yaml"),
        ("1.yaml", &several),
        ("2.yaml", &later),
    ]);
    let config = config.unwrap().unwrap();
    assert_eq!(
        (config.manifest.as_str(), config.stores.len()),
        ("1.yaml", 0)
    );
    assert!(
        find(&[("1.yaml", &plain), ("2.yaml", "")])
            .unwrap()
            .is_none()
    );
}

#[test]
fn what_cannot_be_used_is_refused() {
    type Fault = fn(&VerificationConfigError) -> bool;
    let store = |url: &str| config_map(&format!("  store-x: \"{url}\"\n"));
    let annotated = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{annotations: {{{ANNOTATION}: \"\"}}}}\n"
    );
    let faults: [(String, Fault); 9] = [
        (annotated.clone(), |error| {
            matches!(error, VerificationConfigError::NoKeyring { .. })
        }),
        (format!("{annotated}data: [1]\n"), |error| {
            matches!(error, VerificationConfigError::Shape { .. })
        }),
        (format!("{annotated}data: {{\n"), |error| {
            matches!(error, VerificationConfigError::Yaml { .. })
                && error.to_string().contains("the release's signing keys")
        }),
        (
            format!("{annotated}binaryData: {{verifier-public-key-x: \"*\"}}\n"),
            |error| matches!(error, VerificationConfigError::Base64 { .. }),
        ),
        (
            format!("{annotated}data: {{verifier-public-key-x: hello}}\n"),
            |error| matches!(error, VerificationConfigError::Keyring { .. }),
        ),
        (store("ftp://x.example.com/"), |error| {
            matches!(error, VerificationConfigError::Store { .. })
        }),
        (store("https://me:secret@x.example.com/"), |error| {
            matches!(error, VerificationConfigError::Store { .. })
                && !error.to_string().contains("secret")
        }),
        (store("https://x.example.com/?a=b"), |error| {
            matches!(error, VerificationConfigError::Store { .. })
        }),
        (store("x.example.com"), |error| {
            matches!(error, VerificationConfigError::Store { .. })
        }),
    ];
    for (text, expected) in faults {
        let error = find(&[("m.yaml", &text)]).unwrap_err();
        assert!(expected(&error), "{text}\n{error:?}");
    }
}
