use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

mod release;

/// Names images that were requested by themselves.
fn place(
    images: &[SourceImage],
    target: &Target,
    options: &Options,
) -> Result<Placement, NamingError> {
    let wanted: Vec<ImageToName> = images
        .iter()
        .map(|image| ImageToName {
            image: image.clone(),
            role: Role::Plain,
        })
        .collect();
    super::place(&wanted, target, options)
}

fn image(reference: &str, root: u8) -> SourceImage {
    let requested: Reference = reference.parse().unwrap();
    SourceImage {
        source: requested.repository.clone(),
        tag: requested.tag.clone(),
        root: requested.digest.unwrap_or(Digest::from_bytes([root; 32])),
        requested,
    }
}

fn options(profile: Profile, max_components: Option<&str>) -> Options {
    Options {
        listed: MappingFile::default(),
        profile: Some(profile),
        max_components: max_components.map(|text| text.parse().unwrap()),
        release: ReleaseOptions::default(),
    }
}

fn placed(reference: &str, to: &str, options: Options) -> Placed {
    let placement = place(&[image(reference, 7)], &to.parse().unwrap(), &options).unwrap();
    placement.images()[0].clone()
}

#[test]
fn plain_keeps_the_path_below_the_target() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let by_digest = format!("sha256-{}", "ab".repeat(32));
    for (source, to, expected) in [
        ("quay.io/a/b:1", "m.lan:8443", "m.lan:8443/a/b:1"),
        ("quay.io/a/b:1", "m.lan/x/y", "m.lan/x/y/a/b:1"),
        ("busybox:1", "m.lan/x", "m.lan/x/library/busybox:1"),
        ("quay.io/a/b", "m.lan", "m.lan/a/b:latest"),
        (
            "quay.io/a/b/c/d/e/f:1",
            "[::1]:5000",
            "[::1]:5000/a/b/c/d/e/f:1",
        ),
        (
            &format!("quay.io/a/b@{digest}"),
            "m.lan",
            &format!("m.lan/a/b:{by_digest}"),
        ),
        (&format!("quay.io/a/b:1@{digest}"), "m.lan", "m.lan/a/b:1"),
    ] {
        for profile in [Profile::Plain, Profile::OcMirror] {
            let placed = placed(source, to, options(profile, None));
            assert_eq!(placed.target().to_string(), expected);
            assert_eq!(placed.tag_is_own, !expected.contains("sha256-"));
        }
    }
}

#[test]
fn oc_joins_components_and_hashes_references() {
    let oc = |max| options(Profile::Oc, max);
    let pinned = format!("quay.io/okd/operator@sha256:{}", "2f".repeat(32));
    for (source, max, expected) in [
        (&pinned, None, "m.lan:8443/olm/okd-operator:5454f62"),
        (&pinned, Some("2"), "m.lan:8443/olm/okd-operator:5454f62"),
        (&pinned, Some("3"), "m.lan:8443/olm/okd/operator:5454f62"),
        (&pinned, Some("0"), "m.lan:8443/olm/okd/operator:5454f62"),
        (
            &pinned.replace('@', ":v1@"),
            None,
            "m.lan:8443/olm/okd-operator:v1",
        ),
    ] {
        let placed = placed(source, "m.lan:8443/olm", oc(max));
        assert_eq!(placed.target().to_string(), expected);
    }
    let bare = placed("docker.io/my/image", "reg", oc(None));
    assert_eq!(bare.target().to_string(), "reg/my/image:latest");
}

#[test]
fn all_collisions_are_listed_with_their_sources() {
    let images = [
        image("quay.io/a/b:1", 1),
        image("docker.io/a/b:1", 2),
        image("quay.io/a/b:2", 3),
        image("docker.io/a/b:2", 3),
        image("quay.io/x/y-z:1", 4),
        image("quay.io/x-y/z:1", 5),
        image("ghcr.io/x/y/z:1", 6),
    ];
    let to: Target = "m.lan/ns".parse().unwrap();
    let plain = place(&images, &to, &Options::default()).unwrap_err();
    assert_eq!(
        plain.to_string(),
        "Different images would get the same name on the target: \
         `docker.io/a/b:1` and `quay.io/a/b:1` as `m.lan/ns/a/b:1`"
    );
    assert_eq!(
        plain.hint().unwrap(),
        "Give one of them another name: `--mapping FILE` with a line `SOURCE=TARGET`"
    );
    let flat = place(&images, &to, &options(Profile::Plain, Some("2"))).unwrap_err();
    let NamingError::Collisions { collisions, .. } = &flat else {
        panic!("{flat}");
    };
    let names: Vec<String> = collisions.iter().map(|c| c.target.to_string()).collect();
    assert_eq!(names, ["m.lan/ns/a-b:1", "m.lan/ns/x-y-z:1"]);
    assert_eq!(collisions[1].sources.len(), 3);
    assert!(flat.hint().unwrap().contains("`--max-components`"));
}

#[test]
fn sources_may_share_a_repository_and_a_digest_may_share_a_tag() {
    let images = [
        image("quay.io/a/b:1", 1),
        image("docker.io/a/b:2", 2),
        image("docker.io/a/b:1", 1),
    ];
    let placement = place(&images, &"m.lan".parse().unwrap(), &Options::default()).unwrap();
    let names: Vec<String> = placement
        .images()
        .iter()
        .map(|p| p.target().to_string())
        .collect();
    assert_eq!(names, ["m.lan/a/b:1", "m.lan/a/b:2", "m.lan/a/b:1"]);
}

#[test]
fn names_that_become_too_long_are_all_named() {
    let fits = "a".repeat(252);
    let long = "b".repeat(253);
    let images = [
        image(&format!("quay.io/{fits}:1"), 1),
        image(&format!("quay.io/{long}:1"), 1),
        image(&format!("quay.io/c{long}:1"), 1),
    ];
    let to: Target = "m.lan/ns".parse().unwrap();
    assert!(place(&images[..1], &to, &Options::default()).is_ok());
    let error = place(&images, &to, &Options::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "Names on the target are longer than 255 bytes: `quay.io/{long}:1` (256 bytes); \
             `quay.io/c{long}:1` (257 bytes)"
        )
    );
}

/// The image `repo:13` at a digest made of one byte.
fn pinned(repository: &str, byte: u8) -> SourceImage {
    image(
        &format!("{repository}:13@{}", Digest::from_bytes([byte; 32])),
        0,
    )
}

fn tags(images: &[SourceImage], options: &Options) -> Vec<(String, bool)> {
    let placement = place(images, &"m.lan/x".parse().unwrap(), options).unwrap();
    let images = placement.images().iter();
    images
        .map(|placed| (placed.tag.to_string(), placed.tag_is_own))
        .collect()
}

#[test]
fn a_tag_that_is_pinned_to_several_digests_is_kept_by_one_of_them() {
    let (a, b, c) = (
        pinned("quay.io/ops/db", 1),
        pinned("quay.io/ops/db", 2),
        pinned("quay.io/ops/db", 3),
    );
    let by_digest = |image: &SourceImage, profile| match profile {
        Profile::Oc => fnv_tag(&image.source.pinned(image.root).to_string()),
        _ => digest_tag(&image.root),
    };
    for profile in [Profile::Plain, Profile::Oc, Profile::OcMirror] {
        let options = options(profile, None);
        let own = ("13".to_owned(), true);
        let made = |image| (by_digest(image, profile).unwrap().to_string(), false);
        // The lowest digest gets the tag, whatever the order.
        let images = [c.clone(), a.clone(), b.clone()];
        assert_eq!(tags(&images, &options), [made(&c), own.clone(), made(&b)]);
        // The tag itself was resolved to the second image.
        let images = [a.clone(), image("quay.io/ops/db:13", 2), b.clone()];
        assert_eq!(
            tags(&images, &options),
            [made(&a), own.clone(), own.clone()]
        );
        // The tag itself was resolved to a third image.
        let images = [a.clone(), image("quay.io/ops/db:13", 9)];
        assert_eq!(tags(&images, &options), [made(&a), own.clone()]);
    }
}

#[test]
fn a_shared_tag_is_told_with_all_its_digests() {
    let images = [pinned("quay.io/ops/db", 2), pinned("quay.io/ops/db", 1)];
    let to: Target = "m.lan".parse().unwrap();
    let placement = place(&images, &to, &options(Profile::Oc, None)).unwrap();
    let shared = shared_tags(placement.images());
    let [shared] = shared.as_slice() else {
        panic!("{shared:?}");
    };
    let (one, two) = (images[1].root, images[0].root);
    let made = placement.images()[0].target();
    assert_eq!(
        shared.to_string(),
        format!(
            "`quay.io/ops/db:13` is pinned to several digests: {one} has the tag on the target, {two} is `{made}`"
        )
    );
    assert!(
        shared.summary().contains("names 2 digests"),
        "{}",
        shared.summary()
    );
    assert_eq!(placement.images()[0].kept_by, Some(one));
}

#[test]
fn what_a_mapping_says_comes_first_and_two_sources_still_collide() {
    let (a, b) = (pinned("quay.io/ops/db", 1), pinned("quay.io/ops/db", 2));
    let mut options = options(Profile::Plain, None);
    let other = pinned("ghcr.io/ops/db", 3);
    let to: Target = "m.lan/x".parse().unwrap();
    let error = place(&[a.clone(), b.clone(), other], &to, &options).unwrap_err();
    let NamingError::Collisions { collisions, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(collisions[0].sources.len(), 2, "{error}");
    let line = format!("{}=m.lan/x/ops/db:13", b.source.pinned(b.root));
    options.listed = MappingFile::parse(&line).unwrap();
    let made = digest_tag(&a.root).unwrap().to_string();
    assert_eq!(
        tags(&[a.clone(), b.clone()], &options),
        [(made, false), ("13".to_owned(), true)]
    );
    // The mapping of `oc` gives the tag to both images.
    let both = format!("{}=m.lan/x/ops/db:13\n{line}", a.source.pinned(a.root));
    options.listed = MappingFile::parse(&both).unwrap();
    let made = digest_tag(&b.root).unwrap().to_string();
    assert_eq!(
        tags(&[a, b], &options),
        [("13".to_owned(), true), (made, false)]
    );
}

prop_compose! {
    /// Generates few distinct names, so that collisions are common.
    fn any_image()(
        host in "(quay|ghcr)\\.io",
        path in "[ab]([/-][ab]){0,3}",
        tag in proptest::option::of("v[12]"),
        root in 1u8..4,
        pinned in any::<bool>(),
    ) -> SourceImage {
        let source: Repository = format!("{host}/{path}").parse().unwrap();
        let root = Digest::from_bytes([root; 32]);
        let tag: Option<Tag> = tag.map(|tag| tag.parse().unwrap());
        let digest = pinned.then_some(root);
        let requested = Reference { repository: source.clone(), tag: tag.clone(), digest };
        SourceImage { source, tag, root, requested }
    }
}

fn any_options() -> impl Strategy<Value = Options> {
    (
        prop_oneof![
            Just(Profile::Plain),
            Just(Profile::Oc),
            Just(Profile::OcMirror)
        ],
        proptest::option::of(prop_oneof![Just("0"), Just("2"), Just("3")]),
    )
        .prop_map(|(profile, max)| options(profile, max))
}

proptest! {
    /// A name on the target never has two contents: the placement avoids it or is refused. It is
    /// refused only if images of two sources collide, or if a tag requested without a digest has
    /// two digests.
    #[test]
    fn one_name_means_one_digest(
        images in proptest::collection::btree_set(any_image(), 0..6),
        options in any_options(),
        to in "m\\.lan(:5000)?(/n){0,3}",
    ) {
        let to: Target = to.parse().unwrap();
        let images: Vec<SourceImage> = images.into_iter().collect();
        match place(&images, &to, &options) {
            Ok(placement) => {
                let mut owners: BTreeMap<Reference, Digest> = BTreeMap::new();
                for one in placement.images() {
                    let owner = *owners.entry(one.target()).or_insert(one.image.root);
                    prop_assert_eq!(owner, one.image.root);
                }
                prop_assert_eq!(placement.images().len(), images.len());
            }
            Err(NamingError::Collisions { collisions, .. }) => {
                for collision in collisions {
                    let repositories: BTreeSet<&Repository> =
                        collision.sources.iter().map(|source| &source.repository).collect();
                    let moving = collision.sources.iter().filter(|s| s.digest.is_none());
                    prop_assert!(repositories.len() > 1 || moving.count() > 0);
                }
            }
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        }
    }

    /// With paths of any depth, different paths and tags of one registry get different names.
    #[test]
    fn plain_names_are_injective_on_one_registry(a in any_image(), b in any_image()) {
        let to: Target = "m.lan/ns".parse().unwrap();
        let name = |image: &SourceImage| {
            let alone = place(std::slice::from_ref(image), &to, &Options::default()).unwrap();
            alone.images()[0].target()
        };
        if name(&a) == name(&b) {
            prop_assert_eq!(&a.source.path, &b.source.path);
            prop_assert_eq!(&a.tag, &b.tag);
        }
    }

    #[test]
    fn the_order_of_images_does_not_matter(
        images in proptest::collection::btree_set(any_image(), 0..6),
        options in any_options(),
    ) {
        let to: Target = "m.lan/ns".parse().unwrap();
        let reversed: Vec<SourceImage> = images.iter().rev().cloned().collect();
        let images: Vec<SourceImage> = images.into_iter().collect();
        let forward = place(&images, &to, &options);
        let backward = place(&reversed, &to, &options).map(|mut placement| {
            placement.placed.reverse();
            placement
        });
        prop_assert_eq!(forward, backward);
    }
}

/// Returns the names that a mapping gives to images: pairs of the image's source and target,
/// sorted.
fn mapped_names(mapping: &str, references: &[&str]) -> Vec<(String, String)> {
    let options = Options {
        listed: MappingFile::parse(mapping).unwrap(),
        ..Options::default()
    };
    let images: Vec<SourceImage> = references.iter().map(|text| image(text, 7)).collect();
    let placement = place(&images, &"m.lan".parse().unwrap(), &options).unwrap();
    let names = placement.images().iter().map(|placed| {
        let tag = placed.image.tag.as_ref().map(ToString::to_string);
        (tag.unwrap_or_default(), placed.target().to_string())
    });
    let mut names: Vec<(String, String)> = names.collect();
    names.sort();
    names
}

#[test]
fn a_mapping_may_give_an_image_several_names() {
    let digest = format!("sha256:{}", "ab".repeat(32));
    let pair = |tag: &str, name: &str| (tag.to_owned(), format!("m.lan/{name}"));
    let line = |names: &[&str]| -> String {
        let lines = names
            .iter()
            .map(|name| format!("quay.io/a/b@{digest}=m.lan/{name}\n"));
        lines.collect()
    };
    let (one, two) = (
        format!("quay.io/a/b:1@{digest}"),
        format!("quay.io/a/b:2@{digest}"),
    );
    // A single image gets all names.
    assert_eq!(
        mapped_names(&line(&["b:1", "c:2"]), &[&one]),
        [pair("1", "b:1"), pair("1", "c:2")]
    );
    // One digest under two tags: each image gets the name that has its tag.
    assert_eq!(
        mapped_names(&line(&["b:1", "b:2"]), &[&one, &two]),
        [pair("1", "b:1"), pair("2", "b:2")]
    );
    // Both images get a name with another tag.
    assert_eq!(
        mapped_names(&line(&["b:1", "b:2", "b:3"]), &[&one, &two]),
        [
            pair("1", "b:1"),
            pair("1", "b:3"),
            pair("2", "b:2"),
            pair("2", "b:3")
        ]
    );
    // Clusters find the image by its own tag, whatever its other names.
    let listed = "quay.io/a/b:1=m.lan/x:9\nquay.io/a/b:1=m.lan/x:1\nquay.io/a/c:1=m.lan/x:8\n";
    let options = Options {
        listed: MappingFile::parse(listed).unwrap(),
        ..Options::default()
    };
    let images = ["quay.io/a/b:1", "quay.io/a/c:1"].map(|text| image(text, 7));
    let placement = place(&images, &"m.lan".parse().unwrap(), &options).unwrap();
    let retagged = placement.images().iter().map(Placed::is_retagged);
    assert_eq!(Vec::from_iter(retagged), [false, false, true]);
    // No image is left without a name.
    assert_eq!(
        mapped_names(&line(&["b:2"]), &[&one, &two]),
        [pair("1", "b:2"), pair("2", "b:2")]
    );
}
