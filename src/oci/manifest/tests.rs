use proptest::prelude::*;

use super::*;

const D1: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
const D2: &str = "sha256:2222222222222222222222222222222222222222222222222222222222222222";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";

fn desc(media_type: &str, digest: &str, extra: &str) -> String {
    format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":3{extra}}}"#)
}

fn image(head: &str, config_type: &str, extra: &str) -> String {
    let config = desc(config_type, D1, "");
    let layer = desc("application/vnd.oci.image.layer.v1.tar+gzip", D2, "");
    format!(r#"{{{head}"config":{config},"layers":[{layer},{layer}]{extra}}}"#)
}

fn parse_text(text: &str) -> Result<OciDocument, OciError> {
    parse(text.as_bytes(), None)
}

#[test]
fn images_give_config_then_layers() {
    let document = parse_text(&image(r#""schemaVersion":2,"#, CONFIG, "")).unwrap();
    assert_eq!(document.media_type.as_str(), MediaType::OCI_MANIFEST);
    assert_eq!(document.facts.kind, ManifestKind::Image);
    let digests: Vec<String> = document
        .facts
        .blobs
        .iter()
        .map(|d| d.digest.to_string())
        .collect();
    assert_eq!(digests, [D1, D2, D2]);
    assert_eq!(document.facts.artifact_type.as_deref(), Some(CONFIG));
    assert_eq!(document.facts.subject, None);
}

#[test]
fn the_media_type_is_the_documents_then_the_registrys_then_guessed() {
    let v2 = r#""schemaVersion":2,"#;
    let typed = |t: &str| format!(r#""schemaVersion":2,"mediaType":"{t}","#);
    let list = format!(r#"{{{v2}"manifests":[]}}"#);
    for (text, declared, expected) in [
        (image(v2, CONFIG, ""), None, MediaType::OCI_MANIFEST),
        (
            image(v2, "application/x-helm", ""),
            None,
            MediaType::OCI_MANIFEST,
        ),
        (
            image(v2, DOCKER_CONFIG, ""),
            None,
            MediaType::DOCKER_MANIFEST,
        ),
        (
            image(v2, DOCKER_CONFIG, ""),
            Some(MediaType::OCI_MANIFEST),
            MediaType::OCI_MANIFEST,
        ),
        (
            image(v2, DOCKER_CONFIG, ""),
            Some("text/plain"),
            MediaType::DOCKER_MANIFEST,
        ),
        (
            image(&typed(MediaType::DOCKER_MANIFEST), CONFIG, ""),
            Some(MediaType::OCI_MANIFEST),
            MediaType::DOCKER_MANIFEST,
        ),
        (list.clone(), None, MediaType::OCI_INDEX),
        (list, Some(MediaType::DOCKER_LIST), MediaType::DOCKER_LIST),
    ] {
        let declared = declared.map(MediaType::new);
        let document = parse(text.as_bytes(), declared.as_ref()).unwrap();
        assert_eq!(document.media_type.as_str(), expected, "{text}");
    }
}

#[test]
fn indexes_give_children_with_platforms() {
    let child = |platform: &str| {
        desc(
            MediaType::OCI_MANIFEST,
            D1,
            &format!(r#","platform":{platform},"data":"e30=""#),
        )
    };
    let text = format!(
        r#"{{"schemaVersion":2,"artifactType":"a/b","annotations":{{"x":[[[]]]}},"subject":{},"manifests":[{},{},{},{}]}}"#,
        desc(MediaType::OCI_MANIFEST, D2, ""),
        child(r#"{"os":"linux","architecture":"arm64","variant":"v8","os.version":"1"}"#),
        child(r#"{"os":"unknown","architecture":"unknown","variant":""}"#),
        child(r#"{"os":"","architecture":"x"}"#),
        child("null"),
    );
    let facts = parse_text(&text).unwrap().facts;
    assert_eq!(facts.kind, ManifestKind::Index);
    let platforms: Vec<Option<String>> = facts
        .children
        .iter()
        .map(|child| child.platform.as_ref().map(ToString::to_string))
        .collect();
    let expected = [Some("linux/arm64/v8"), Some("unknown/unknown"), None, None];
    assert_eq!(platforms, expected.map(|p| p.map(str::to_owned)));
    assert_eq!(facts.subject.unwrap().digest.to_string(), D2);
    assert_eq!(facts.artifact_type.as_deref(), Some("a/b"));
}

#[test]
fn nesting_is_counted_outside_of_texts() {
    let deep = |levels: usize, before: &str| {
        let value = format!(r#"{}{before}1{}"#, "[".repeat(levels), "]".repeat(levels));
        let text = image(r#""schemaVersion":2,"#, CONFIG, &format!(r#","x":{value}"#));
        parse_text(&text).is_ok()
    };
    // The document is the first level.
    assert!(deep(511, ""));
    assert!(!deep(512, ""));
    assert!(deep(510, r#""[[[\"[[[","#));
}

#[test]
fn foreign_layers_keep_their_urls() {
    let foreign = desc(
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        D2,
        r#","urls":["https://example.com/x"]"#,
    );
    let text = format!(
        r#"{{"schemaVersion":2,"config":{},"layers":[{foreign}]}}"#,
        desc(DOCKER_CONFIG, D1, "")
    );
    let facts = parse_text(&text).unwrap().facts;
    assert_eq!(facts.blobs[1].urls, ["https://example.com/x"]);
    assert!(facts.blobs[1].media_type.is_foreign_layer());
}

#[test]
fn null_lists_are_empty_as_go_writes_them() {
    let config = desc(CONFIG, D1, "");
    let text = format!(r#"{{"schemaVersion":2,"config":{config},"layers":null,"subject":null}}"#);
    assert_eq!(parse_text(&text).unwrap().facts.blobs.len(), 1);
    let text = r#"{"schemaVersion":2,"manifests":null}"#;
    assert_eq!(parse_text(text).unwrap().facts.kind, ManifestKind::Index);
}

#[test]
fn what_cannot_be_carried_or_has_two_readings_is_refused() {
    let v2 = r#""schemaVersion":2,"#;
    let layers = |layer: &str| {
        let config = desc(CONFIG, D1, "");
        format!(r#"{{{v2}"config":{config},"layers":[{layer}]}}"#)
    };
    let index_of = |more: &str| {
        let child = desc(MediaType::OCI_MANIFEST, D1, &format!(",{more}"));
        format!(r#"{{{v2}"manifests":[{child}]}}"#)
    };
    let sha512 = format!("sha512:{}", "0".repeat(128));
    let size = |size: &str| {
        layers(&format!(
            r#"{{"mediaType":"a/b","digest":"{D1}","size":{size}}}"#
        ))
    };
    let long = format!("{}{}", image(v2, CONFIG, ""), " ".repeat(4 << 20));
    for (text, needle) in [
        ("".to_owned(), "not a JSON object"),
        ("[]".to_owned(), "not a JSON object"),
        ("{}x".to_owned(), "not a JSON object"),
        ("{}".to_owned(), "has no `mediaType` or `schemaVersion: 2`"),
        (long, "more than the 4194304"),
        (
            r#"{"schemaVersion":1,"fsLayers":[]}"#.to_owned(),
            "schema 1",
        ),
        (
            format!(r#"{{"mediaType":"{}"}}"#, MediaType::DOCKER_SCHEMA1),
            "schema 1",
        ),
        (
            format!(r#"{{{v2}"mediaType":"a/b\n"}}"#),
            r"media type `a/b\n`",
        ),
        (format!(r#"{{{v2}"layers":[]}}"#), "no `config`"),
        (
            format!(r#"{{{v2}"config":{}}}"#, desc(CONFIG, D1, "")),
            "no `layers`",
        ),
        (
            format!(r#"{{{v2}"mediaType":"{}"}}"#, MediaType::OCI_INDEX),
            "no `manifests`",
        ),
        (
            image(v2, CONFIG, r#","manifests":[]"#),
            "like an index, and",
        ),
        (
            format!(r#"{{{v2}"layers":null,"manifests":[]}}"#),
            "like an index, and",
        ),
        (
            format!(r#"{{{v2}"config":null,"manifests":[]}}"#),
            "like an index, and",
        ),
        (
            image(v2, CONFIG, r#","fsLayers":[]"#),
            "like Docker schema 1",
        ),
        (
            index_of(r#""platform":{"os":"a","os":"b","architecture":"c"}"#),
            "`manifests[0].platform.os` twice",
        ),
        (
            index_of(r#""platform":{"OS":"a","architecture":"c"}"#),
            "`manifests[0].platform.os` in another case",
        ),
        (
            index_of(r#""annotations":{},"annotations":{}"#),
            "`manifests[0].annotations` twice",
        ),
        (
            index_of(&format!(
                r#""annotations":{{"vnd.docker.reference.digest":"{D1}","vnd.docker.reference.digest":"{D2}"}}"#
            )),
            "`manifests[0].annotations.vnd.docker.reference.digest` twice",
        ),
        (
            image(
                v2,
                CONFIG,
                &format!(r#","x":{}1{}"#, "[".repeat(512), "]".repeat(512)),
            ),
            "deeper than 512 levels",
        ),
        (image(v2, CONFIG, r#","layers":[]"#), "`layers` twice"),
        (image(v2, CONFIG, r#","layer\u0073":[]"#), "`layers` twice"),
        (image(v2, CONFIG, r#","LAYERS":[]"#), "`layers` twice"),
        (
            image(v2, CONFIG, r#","\u017fubject":null"#),
            "`subject` in another case",
        ),
        (
            image(v2, CONFIG, r#","MediaType":"x""#),
            "`mediaType` in another case",
        ),
        (
            layers(&desc("a/b", D1, r#","Digest":"x""#)),
            "`layers[0].digest` twice",
        ),
        (
            layers(&desc("a/b", &sha512, "")),
            "`layers[0].digest` is not a supported digest",
        ),
        (
            layers(&desc("a/b", "sha256:00", "")),
            "`layers[0].digest` is not a supported digest",
        ),
        (
            layers(&desc("", D1, "")),
            "`layers[0].mediaType` is empty, too long",
        ),
        (
            layers(&desc(r"a\u202eb", D1, "")),
            "`layers[0].mediaType` is empty, too long",
        ),
        (
            layers(&desc("a/b", D1, r#","urls":["a\nb"]"#)),
            "`layers[0].urls` is empty, too long",
        ),
        (
            layers(&desc("a/b", D1, r#","urls":"x""#)),
            "`layers[0].urls` has the wrong type",
        ),
        (
            layers(r#"{"mediaType":"a/b","size":1}"#),
            "no `layers[0].digest`",
        ),
        (layers("1"), "`layers` has the wrong type"),
        (size("-1"), "`layers[0].size` has the wrong type"),
        (size("1.5"), "`layers[0].size` has the wrong type"),
        (size("1e2"), "`layers[0].size` has the wrong type"),
        (size("\"1\""), "`layers[0].size` has the wrong type"),
        (
            size("18446744073709551616"),
            "`layers[0].size` has the wrong type",
        ),
        (size("null"), "no `layers[0].size`"),
    ] {
        let error = parse_text(&text).unwrap_err().to_string();
        assert!(
            error.contains(needle),
            "{error}: {}",
            text.get(..300).unwrap_or(&text)
        );
    }
}

#[test]
fn another_algorithm_is_named_by_the_cause() {
    let text = image(r#""schemaVersion":2,"#, CONFIG, "").replace(D1, "sha512:00");
    let error = parse_text(&text).unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        cause.contains("`sha512:00` is not a `sha256:` digest"),
        "{cause}"
    );
}

#[test]
fn configs_name_platforms() {
    let platform = |text: &str| config_platform(text.as_bytes()).map(|p| p.to_string());
    assert_eq!(
        platform(r#"{"architecture":"arm","os":"linux","variant":"v7","rootfs":{}}"#).as_deref(),
        Some("linux/arm/v7")
    );
    assert_eq!(platform("{}"), None);
    assert_eq!(platform("not json"), None);
    assert_eq!(platform(r#"{"architecture":"a/../b","os":"linux"}"#), None);
}

proptest! {
    #[test]
    fn mutated_documents_never_panic(at in 0usize..400, byte in any::<u8>(), cut in 0usize..400) {
        let mut bytes = image(r#""schemaVersion":2,"#, CONFIG, "").into_bytes();
        if let Some(slot) = bytes.get_mut(at) {
            *slot = byte;
        }
        let _ = parse(&bytes, None);
        bytes.truncate(cut);
        prop_assert!(parse(&bytes, None).is_err());
    }
}
