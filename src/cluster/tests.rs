use std::collections::BTreeSet;

use super::*;
use crate::model::{ByteSize, Digest, Reference};
use crate::plan::naming::{self, ImageToName, Role, SourceImage, place};

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/vectors/cluster/",
            $name
        ))
    };
}

mod release;

fn repository(text: &str) -> Repository {
    text.parse().unwrap()
}

fn mirror(source: &str, mirrors: &[&str]) -> Mirror {
    Mirror {
        source: repository(source),
        mirrors: mirrors.iter().map(|text| repository(text)).collect(),
    }
}

fn plain(digests: Vec<Mirror>, tags: Vec<Mirror>) -> Content {
    Content {
        plain: Mirrors { digests, tags },
        ..Content::default()
    }
}

/// A release, its content by digest, and an image by tag, placed on the target.
fn placed_content() -> Content {
    let root = Digest::from_bytes([0xab; 32]);
    let image = |reference: String| {
        let requested: Reference = reference.parse().unwrap();
        let image = SourceImage {
            source: requested.repository.clone(),
            tag: requested.tag.clone(),
            root,
            requested,
        };
        let role = Role::Plain;
        ImageToName { image, role }
    };
    let images = [
        image(format!("quay.io/okd/scos-release:4.18.0@{root}")),
        image("docker.io/busybox:1.37".to_owned()),
        image(format!("quay.io/okd/scos-content@{root}")),
    ];
    let to = "mirror.lan:8443/okd".parse().unwrap();
    let placement = place(&images, &to, &naming::Options::default()).unwrap();
    let images: Vec<ClusterImage<'_>> = placement.images().iter().map(ClusterImage::new).collect();
    Content::of(
        &release::inventory(Vec::new()),
        &images,
        &naming::Options::default(),
    )
}

/// The content of the golden files: as above, with a second mirror and without the release's tag.
fn content() -> Content {
    let mut content = placed_content();
    content
        .plain
        .tags
        .retain(|mirror| mirror.source.host.as_str() == "docker.io");
    content.plain.digests.push(mirror(
        "quay.io/okd/scos-release",
        &[
            "spare.lan/okd/scos-release",
            "mirror.lan:8443/okd/okd/scos-release",
        ],
    ));
    content
}

fn text(content: &Content, options: &Options, name: &str) -> String {
    let rendered = render(content, options).unwrap();
    let file = rendered.files.into_iter().find(|file| file.name == name);
    file.map(|file| file.text).unwrap_or_default()
}

#[test]
fn all_files_are_written_exactly_so() {
    let rendered = render(&content(), &Options::default()).unwrap();
    let expected = [
        (
            "apply/imageDigestMirrorSet.yaml",
            golden!("imageDigestMirrorSet.yaml"),
        ),
        (
            "apply/imageTagMirrorSet.yaml",
            golden!("imageTagMirrorSet.yaml"),
        ),
        (
            "before-4.13/imageContentSourcePolicy.yaml",
            golden!("imageContentSourcePolicy.yaml"),
        ),
        (
            "install-config-imageContentSources.yaml",
            golden!("install-config-imageContentSources.yaml"),
        ),
        (
            "install-config-imageDigestSources.yaml",
            golden!("install-config-imageDigestSources.yaml"),
        ),
        ("mapping.txt", golden!("mapping.txt")),
    ];
    let files: Vec<(&str, &str)> = rendered
        .files
        .iter()
        .map(|file| (file.name.as_str(), file.text.as_str()))
        .collect();
    assert_eq!(files, expected);
    assert_eq!(rendered.warnings, []);
}

#[test]
fn options_show_in_the_objects() {
    let labels = [
        ("operators.openshift.org/catalog", "true"),
        ("example.com/line", "4.18"),
    ];
    let never = Options {
        policy: Some(MirrorSourcePolicy::NeverContactSource),
        scope: Scope::Namespace,
        name: Some("okd-4.18".parse().unwrap()),
        labels: labels
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        ..Options::default()
    };
    assert_eq!(
        text(&content(), &never, "apply/imageDigestMirrorSet.yaml"),
        golden!("imageDigestMirrorSet-never-contact.yaml")
    );
    let icsp = text(
        &content(),
        &never,
        "before-4.13/imageContentSourcePolicy.yaml",
    );
    assert!(!icsp.contains("mirrorSourcePolicy"), "{icsp}");
    let allow = Options {
        policy: Some(MirrorSourcePolicy::AllowContactingSource),
        scope: Scope::Registry,
        ..Options::default()
    };
    assert_eq!(
        text(&content(), &allow, "apply/imageTagMirrorSet.yaml"),
        golden!("imageTagMirrorSet-allow-contact.yaml")
    );
}

/// The `source=mirror,mirror` pairs of the digest entries.
fn pairs(content: &Content, scope: Scope) -> Vec<String> {
    let (mirrors, _) = expressible::valid_mirrors([&content.plain]);
    widen::entries(&mirrors[0].digests, &mirrors, scope)
        .iter()
        .map(|entry| format!("{}={}", entry.source, entry.mirrors.join(",")))
        .collect()
}

#[test]
fn an_entry_is_wide_only_where_all_below_went_the_same_way() {
    let same = [
        mirror("quay.io/a/b", &["m.lan/n/a/b", "s.lan/a/b"]),
        mirror("quay.io/a/c/d", &["m.lan/n/a/c/d", "s.lan/a/c/d"]),
    ];
    let of = |digests: &[Mirror], tags: &[Mirror]| plain(digests.to_vec(), tags.to_vec());
    let alone = of(&same, &[]);
    assert_eq!(
        pairs(&alone, Scope::Namespace),
        [
            "quay.io/a=m.lan/n/a,s.lan/a",
            "quay.io/a/c=m.lan/n/a/c,s.lan/a/c"
        ]
    );
    assert_eq!(pairs(&alone, Scope::Registry), ["quay.io=m.lan/n,s.lan"]);

    // Each of these has another mirror than its neighbours; some by tag only, some at the namespace
    // itself.
    for odd in [
        mirror("quay.io/a/c/e", &["m.lan/n/a-c-e", "s.lan/a/c/e"]),
        mirror("quay.io/a/c/e", &["m.lan/n/a/c/e"]),
        mirror("quay.io/a/c/e", &["s.lan/a/c/e", "m.lan/n/a/c/e"]),
        mirror("quay.io/a/c/e", &["m.lan/n/a/c/e", "x.lan/a/c/e"]),
        mirror("quay.io/a/c", &["elsewhere.lan/c"]),
        mirror("quay.io/a/c/e", &[]),
    ] {
        let content = of(&same, &[odd]);
        let narrow = pairs(&content, Scope::Repository);
        assert_eq!(pairs(&content, Scope::Namespace), narrow);
        assert_eq!(pairs(&content, Scope::Registry), narrow);
    }

    // A neighbour is not below, and a repository directly below the host has no namespace.
    let neighbours = [same.as_slice(), &[mirror("quay.io/ab", &["m.lan/x"])]].concat();
    assert_eq!(
        pairs(&of(&neighbours, &[]), Scope::Namespace),
        [
            "quay.io/a=m.lan/n/a,s.lan/a",
            "quay.io/a/c=m.lan/n/a/c,s.lan/a/c",
            "quay.io/ab=m.lan/x"
        ]
    );
    let shallow = of(&[mirror("quay.io/a", &["m.lan/a"])], &[]);
    assert_eq!(pairs(&shallow, Scope::Namespace), ["quay.io/a=m.lan/a"]);
    assert_eq!(pairs(&shallow, Scope::Registry), ["quay.io=m.lan"]);
}

#[test]
fn only_images_that_keep_their_tag_are_found_by_tag() {
    let content = placed_content();
    let sources = |mirrors: &[Mirror]| -> Vec<String> {
        mirrors.iter().map(|m| m.source.to_string()).collect()
    };
    let release = "quay.io/okd/scos-release";
    let busybox = "docker.io/library/busybox";
    assert_eq!(sources(&content.plain.tags), [release, busybox]);
    assert_eq!(
        sources(&content.plain.digests),
        [release, busybox, "quay.io/okd/scos-content"]
    );
}

#[test]
fn what_the_grammar_cannot_say_is_reported() {
    let content = plain(
        vec![
            mirror("[::1]:5000/z", &["m.lan/z"]),
            mirror("[::1]:5000/a", &["m.lan/a"]),
            mirror("quay.io/a/b", &["[fd00::1]/a/b", "m.lan/a/b"]),
            mirror("quay.io/a/c", &["[fd00::1]/a/c"]),
            mirror("quay.io/a/d", &[]),
        ],
        Vec::new(),
    );
    let rendered = render(&content, &Options::default()).unwrap();
    let warnings: Vec<String> = rendered.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "Mirror policies cannot name the source registry `[::1]:5000` (IPv6 addresses and \
             underscores do not fit the grammar), left out for `[::1]:5000/a`, `[::1]:5000/z`",
            "Mirror policies cannot name the mirror registry `[fd00::1]` (IPv6 addresses and \
             underscores do not fit the grammar), left out for `quay.io/a/b`, `quay.io/a/c`",
            "No entry was written for `quay.io/a/d`: it has no mirror",
        ]
    );
    assert_eq!(
        pairs(&content, Scope::Repository),
        ["quay.io/a/b=m.lan/a/b"]
    );
    for file in &rendered.files {
        assert!(!file.text.contains('['), "{}", file.text);
    }
}

#[test]
fn sources_are_sorted_as_text() {
    let content = plain(
        vec![
            mirror("a.io/x", &["m.lan/x"]),
            mirror("a.io-b/x", &["m.lan/y"]),
        ],
        Vec::new(),
    );
    assert_eq!(
        pairs(&content, Scope::Repository),
        ["a.io-b/x=m.lan/y", "a.io/x=m.lan/x"]
    );
}

#[test]
fn nothing_mirrored_means_no_files() {
    let rendered = render(&Content::default(), &Options::default()).unwrap();
    assert_eq!(rendered.files, []);
}

#[test]
fn the_order_of_content_does_not_matter() {
    let mut reversed = content();
    // Mirrors of one source keep the order in which they were given, so those stay in place.
    reversed
        .plain
        .digests
        .sort_by(|a, b| b.source.cmp(&a.source));
    reversed.mapping.reverse();
    assert_ne!(reversed, content());
    let options = Options::default();
    assert_eq!(render(&reversed, &options), render(&content(), &options));
}

#[test]
fn objects_stay_below_their_limit_and_lose_nothing() {
    let path = |index: usize| format!("namespace-{index}/repository-with-a-long-name-{index}");
    let digests: Vec<Mirror> = (0..1500)
        .map(|index| {
            let to = format!("mirror.lan:8443/olm/{}", path(index));
            mirror(&format!("registry.redhat.io/{}", path(index)), &[&to])
        })
        .collect();
    let content = plain(digests, Vec::new());
    let limit = 64 * 1024;
    let options = Options {
        object_size: ByteSize(limit).try_into().unwrap(),
        policy: Some(MirrorSourcePolicy::NeverContactSource),
        ..Options::default()
    };
    for file in [
        "apply/imageDigestMirrorSet.yaml",
        "before-4.13/imageContentSourcePolicy.yaml",
    ] {
        let text = text(&content, &options, file);
        let objects: Vec<&str> = text.split("---\n").skip(1).collect();
        assert!(objects.len() > 3);
        let name = |object: &&str| object.lines().nth(3).map(str::to_owned);
        let names: BTreeSet<Option<String>> = objects.iter().map(name).collect();
        assert_eq!(names.len(), objects.len());
        for object in &objects {
            assert!(object.len() as u64 <= limit);
            // Each object is well filled, so the estimate of an entry's length is not far off.
            assert!(object.len() as u64 > limit / 2, "{}", object.len());
            assert!(object.contains("  name: airferry-"));
        }
        assert_eq!(text.matches("source: ").count(), 1500);
    }
}
