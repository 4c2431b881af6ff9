//! Releases and catalogs.

use super::super::place;
use super::*;

fn release(image: &str, architecture: &str) -> ReleaseName {
    ReleaseName {
        image: image.parse().unwrap(),
        version: "4.17.3".parse().unwrap(),
        architecture: architecture.to_owned(),
    }
}

fn root(image: &str, architecture: &str) -> ImageToName {
    ImageToName {
        image: super::image(image, 1),
        role: Role::Release(release(image, architecture)),
    }
}

fn component(of: &ImageToName, name: &str, digest: u8) -> ImageToName {
    let Role::Release(release) = &of.role else {
        panic!("{:?}", of.role);
    };
    let digest = Digest::from_bytes([digest; 32]);
    ImageToName {
        image: super::image(&format!("quay.io/okd/scos-content@{digest}"), 0),
        role: Role::Component {
            release: release.clone(),
            name: name.to_owned(),
        },
    }
}

fn member(written: &str) -> ImageToName {
    ImageToName {
        image: super::image(written, 3),
        role: Role::Member {
            catalog: "quay.io/olm/index:v1".parse().unwrap(),
            written: written.to_owned(),
        },
    }
}

fn names(images: &[ImageToName], to: &str, options: &Options) -> Vec<String> {
    let placement = place(images, &to.parse().unwrap(), options).unwrap();
    let images = placement.images().iter();
    images.map(|placed| placed.target().to_string()).collect()
}

#[test]
fn oc_puts_a_release_into_one_repository() {
    let root = root("quay.io/okd/scos-release:4.17.3", "amd64");
    let images = [root.clone(), component(&root, "cli", 2)];
    let mut options = Options::default();
    let to = "m.lan:8443/ocp4/openshift4";
    assert_eq!(
        names(&images, to, &options),
        [
            "m.lan:8443/ocp4/openshift4:4.17.3-x86_64",
            "m.lan:8443/ocp4/openshift4:4.17.3-x86_64-cli"
        ]
    );
    options.max_components = Some(MaxComponents::OC_DEFAULT);
    assert_eq!(
        names(&images, "m.lan/a/b/c", &options)[1],
        "m.lan/a/b/c:4.17.3-x86_64-cli",
        "the path is the person's own choice"
    );
    options.release.repository = Some("okd/releases".parse().unwrap());
    options.release.tags = ReleaseTags::Pre47;
    assert_eq!(
        names(&images, to, &options),
        [
            "m.lan:8443/okd/releases:4.17.3",
            "m.lan:8443/okd/releases:4.17.3-cli"
        ]
    );
    options.release.image = Some("m.lan:8443/okd/images".parse().unwrap());
    assert_eq!(
        names(&images, to, &options),
        [
            "m.lan:8443/okd/images:4.17.3",
            "m.lan:8443/okd/releases:4.17.3-cli"
        ]
    );
    options.release.tag = Some("now".parse().unwrap());
    assert_eq!(names(&images, to, &options)[0], "m.lan:8443/okd/images:now");
}

#[test]
fn architectures_have_the_names_of_oc() {
    for (architecture, expected) in [
        ("amd64", "x86_64"),
        ("arm64", "aarch64"),
        ("ppc64le", "ppc64le"),
        ("s390x", "s390x"),
        ("multi", "multi"),
    ] {
        let root = root("quay.io/okd/scos-release:4.17.3", architecture);
        assert_eq!(
            names(&[root], "m.lan/a", &Options::default()),
            [format!("m.lan/a:4.17.3-{expected}")]
        );
    }
}

#[test]
fn a_release_needs_a_repository_on_the_target() {
    let root = root("quay.io/okd/scos-release:4.17.3", "amd64");
    let content = component(&root, "cli", 2);
    let bare: Target = "m.lan:8443".parse().unwrap();
    let options = Options::default();
    for images in [vec![root.clone()], vec![content.clone()]] {
        let error = place(&images, &bare, &options).unwrap_err();
        assert!(
            matches!(error, NamingError::NoReleaseRepository { .. }),
            "{error}"
        );
        assert!(
            error
                .hint()
                .unwrap()
                .contains("`--to-release-repository PATH`")
        );
    }
    let like_oc_mirror = super::options(Profile::OcMirror, None);
    assert!(place(std::slice::from_ref(&root), &bare, &like_oc_mirror).is_ok());

    let mut elsewhere = Options::default();
    elsewhere.release.image = Some("other.lan/a".parse().unwrap());
    let error = place(&[root], &"m.lan/a".parse().unwrap(), &elsewhere).unwrap_err();
    assert!(error.to_string().contains("`other.lan`"), "{error}");
}

#[test]
fn oc_mirror_has_names_of_its_own() {
    let options = super::options(Profile::OcMirror, None);
    let tagged = root("quay.io/ocp/release:4.17.3-x86_64", "amd64");
    assert_eq!(
        names(
            &[tagged.clone(), component(&tagged, "cli", 2)],
            "m.lan/d",
            &options
        ),
        [
            "m.lan/d/openshift/release-images:4.17.3-x86_64",
            "m.lan/d/openshift/release:4.17.3-x86_64-cli"
        ]
    );
    let digest = Digest::from_bytes([9; 32]);
    let pinned = root(&format!("quay.io/ocp/release@{digest}"), "amd64");
    assert_eq!(
        names(
            &[pinned.clone(), component(&pinned, "cli", 2)],
            "m.lan",
            &options
        ),
        [
            "m.lan/openshift/release-images:4.17.3-x86_64",
            "m.lan/openshift/release:4.17.3-x86_64-cli"
        ]
    );
    let by_digest = member(&format!("quay.io/a/b/c@{digest}"));
    assert_eq!(
        names(&[member("quay.io/a/b:v1"), by_digest], "m.lan", &options),
        [
            "m.lan/a/b:v1".to_owned(),
            format!("m.lan/a/b/c:sha256-{}", digest.hex())
        ]
    );
}

#[test]
fn plain_habits_hold_for_everything_when_asked_for() {
    let options = super::options(Profile::Plain, None);
    let root = root("quay.io/okd/scos-release:4.17.3", "amd64");
    let names = names(
        &[root.clone(), component(&root, "cli", 2)],
        "m.lan",
        &options,
    );
    assert_eq!(names[0], "m.lan/okd/scos-release:4.17.3");
    assert_eq!(
        names[1],
        format!("m.lan/okd/scos-content:sha256-{}", "02".repeat(32))
    );
}

#[test]
fn members_of_a_catalog_are_named_after_the_text_in_it() {
    let digest = format!("sha256:{}", "2f".repeat(32));
    let options = Options::default();
    for (written, expected) in [
        (
            format!("quay.io/okd/operator@{digest}"),
            "m.lan/olm/okd-operator:5454f62",
        ),
        (
            format!("quay.io/okd/operator:v2@{digest}"),
            "m.lan/olm/okd-operator:v2",
        ),
        (
            "quay.io/okd/operator:v1".to_owned(),
            "m.lan/olm/okd-operator:v1",
        ),
        (
            "quay.io/okd/operator".to_owned(),
            "m.lan/olm/okd-operator:latest",
        ),
    ] {
        assert_eq!(
            names(&[member(&written)], "m.lan/olm", &options),
            [expected]
        );
    }
    // The tag depends on the text as written, not on the full form of a short reference.
    let mut short = member(&format!("docker.io/operator@{digest}"));
    let text = tags::fnv_tag(&format!("docker.io/operator@{digest}")).unwrap();
    assert_eq!(
        names(std::slice::from_ref(&short), "m.lan/olm", &options),
        [format!("m.lan/olm/library-operator:{text}")]
    );
    short.role = Role::Catalog;
    let full = tags::fnv_tag(&format!("docker.io/library/operator@{digest}")).unwrap();
    assert_eq!(
        names(&[short], "m.lan/olm", &options),
        [format!("m.lan/olm/library-operator:{full}")]
    );
}

#[test]
fn an_image_has_one_place_for_each_of_its_names() {
    let root = root("quay.io/okd/scos-release:4.17.3", "amd64");
    let alone = ImageToName {
        role: Role::Plain,
        ..root.clone()
    };
    let images = [
        alone,
        root,
        member("quay.io/a/b:v1"),
        member("quay.io/a/b:v1"),
    ];
    let to: Target = "m.lan/x".parse().unwrap();
    let placement = place(&images, &to, &Options::default()).unwrap();
    let placed: Vec<(String, usize)> = placement
        .images()
        .iter()
        .map(|placed| (placed.target().to_string(), placed.roles.len()))
        .collect();
    assert_eq!(
        placed,
        [
            ("m.lan/x/okd/scos-release:4.17.3".to_owned(), 1),
            ("m.lan/x:4.17.3-x86_64".to_owned(), 1),
            ("m.lan/x/a-b:v1".to_owned(), 1)
        ]
    );
    let plain = place(&images, &to, &super::options(Profile::Plain, None)).unwrap();
    assert_eq!(plain.images().len(), 2);
    assert_eq!(plain.images()[0].roles.len(), 2);
}

#[test]
fn two_releases_never_share_a_tag() {
    let one = root("quay.io/okd/scos-release:4.17.3", "amd64");
    let mut other = root("quay.io/ocp/release:x", "amd64");
    other.image.root = Digest::from_bytes([2; 32]);
    let to: Target = "m.lan/x".parse().unwrap();
    let error = place(&[one.clone(), other.clone()], &to, &Options::default()).unwrap_err();
    assert!(
        error.to_string().contains("as `m.lan/x:4.17.3-x86_64`"),
        "{error}"
    );
    other.image.root = one.image.root;
    assert!(place(&[one, other], &to, &Options::default()).is_ok());
}
