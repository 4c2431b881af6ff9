use super::*;
use crate::model::{
    AttachmentState, CatalogEntry, CatalogFormat, CatalogMember, Component, ReleaseEntry, RequestId,
};
use crate::plan::naming::{Options, Target, place};

fn image(reference: &str, problem: Option<&str>) -> ImageEntry {
    let reference: Reference = reference.parse().unwrap();
    ImageEntry {
        tag: reference.tag.clone(),
        root: problem.is_none().then(|| Digest::from_bytes([7; 32])),
        cosign: AttachmentState::NotAsked,
        source: reference.repository.clone(),
        problem: problem.map(str::to_owned),
        attached: Vec::new(),
        platforms: Vec::new(),
        referrers: AttachmentState::NotAsked,
        fetched_from: reference.repository.clone(),
        requested: reference,
        standalone: false,
    }
}

/// A release of two components, a catalog with two members, of which one is a component too, and
/// an image that belongs to neither.
pub(super) fn inventory() -> Inventory {
    let component = |name: &str| Component {
        name: name.to_owned(),
        image: format!("quay.io/okd/{name}:v1").parse().unwrap(),
    };
    let member = |written: &str| CatalogMember {
        image: written.parse().unwrap(),
        written: written.to_owned(),
        needed_by: Vec::new(),
    };
    let images = ["alone", "cli", "etcd", "index", "operator", "release"];
    let images = images.map(|name| image(&format!("quay.io/okd/{name}:v1"), None));
    Inventory {
        left_out: Vec::new(),
        ext: None,
        document: Inventory::TYPE.to_owned(),
        bases: Vec::new(),
        blobs: Vec::new(),
        chunks: Vec::new(),
        format: 1,
        images: images.into(),
        request: RequestId::new(Digest::from_bytes([0; 32])),
        catalogs: vec![CatalogEntry {
            image: "quay.io/okd/index:v1".parse().unwrap(),
            filter: None,
            format: CatalogFormat::FileBased,
            members: vec![
                member("quay.io/okd/etcd:v1"),
                member("quay.io/okd/operator:v1"),
            ],
            original: None,
            malformed: Vec::new(),
        }],
        releases: vec![ReleaseEntry {
            image: "quay.io/okd/release:v1".parse().unwrap(),
            version: "4.18.0".parse().unwrap(),
            keyrings: Vec::new(),
            unsigned: true,
            components: vec![component("cli"), component("etcd")],
            signatures: Vec::new(),
            architecture: "amd64".to_owned(),
        }],
        manifests: Vec::new(),
    }
}

pub(super) fn plan(inventory: &Inventory) -> ImportPlan {
    let target: Target = "m.lan/x".parse().unwrap();
    let placed = place(&wanted(inventory), &target, &Options::default()).unwrap();
    ImportPlan::new(inventory, placed.images(), &ArtifactSelection::All)
}

fn targets(plan: &ImportPlan) -> Vec<String> {
    let images = plan.images.iter();
    images
        .map(|image| image.placed.target().to_string())
        .collect()
}

#[test]
fn every_role_has_a_place_and_roots_know_their_members() {
    let mut inventory = inventory();
    inventory.images[1].standalone = true;
    let plan = plan(&inventory);
    assert_eq!(
        targets(&plan),
        [
            "m.lan/x/okd/alone:v1",
            "m.lan/x/okd/cli:v1",
            "m.lan/x:4.18.0-x86_64-cli",
            "m.lan/x:4.18.0-x86_64-etcd",
            "m.lan/x/okd-etcd:v1",
            "m.lan/x/okd-index:v1",
            "m.lan/x/okd-operator:v1",
            "m.lan/x:4.18.0-x86_64",
        ]
    );
    let roots: Vec<bool> = plan.images.iter().map(ImageUpload::is_root).collect();
    assert_eq!(
        roots,
        [false, false, false, false, false, true, false, true]
    );
    let groups: Vec<String> = plan
        .images
        .iter()
        .map(|image| image.member_of().map(ToString::to_string).collect())
        .collect();
    let (release, index) = ("quay.io/okd/release:v1", "quay.io/okd/index:v1");
    assert_eq!(groups, ["", "", release, release, index, "", index, ""]);
    assert_eq!(plan.incomplete, []);
}

#[test]
fn half_a_release_stays_away_and_half_a_catalog_does_not() {
    let mut inventory = inventory();
    inventory.images[2] = image("quay.io/okd/etcd:v1", Some("404"));
    let plan = plan(&inventory);
    let targets = targets(&plan);
    assert!(
        !targets.contains(&"m.lan/x:4.18.0-x86_64".to_owned()),
        "{targets:?}"
    );
    assert!(targets.contains(&"m.lan/x:4.18.0-x86_64-cli".to_owned()));
    assert!(targets.contains(&"m.lan/x/okd-index:v1".to_owned()));
    let left_out: Vec<String> = plan
        .incomplete
        .iter()
        .map(|(reference, problem)| format!("{reference}: {problem}"))
        .collect();
    assert_eq!(
        left_out,
        [
            "quay.io/okd/etcd:v1: 404",
            "quay.io/okd/release:v1: 1 image of this release is missing from the bundle"
        ]
    );
    for group in plan.groups.values() {
        assert_eq!(group.missing.len(), 1, "{group:?}");
    }
}

/// Builds a manifest with a subject and children; its other fields do not matter here.
fn manifest(
    byte: u8,
    subject: Option<u8>,
    children: &[u8],
    omitted: &[u8],
) -> crate::model::ManifestEntry {
    let digests = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| Digest::from_bytes([*byte; 32]))
            .collect()
    };
    crate::model::ManifestEntry {
        blobs: Vec::new(),
        digest: Digest::from_bytes([byte; 32]),
        extent: crate::model::Extent {
            chunk: 1_u32.try_into().unwrap(),
            offset: 0,
            stored: 1,
            decoded: 1,
        },
        omitted: digests(omitted),
        subject: subject.map(|byte| Digest::from_bytes([byte; 32])),
        children: digests(children),
        platform: None,
        media_type: crate::model::MediaType::new(crate::model::MediaType::OCI_MANIFEST),
    }
}

fn attachment(root: u8, subject: u8) -> crate::model::Attachment {
    crate::model::Attachment {
        by: crate::model::AttachedBy::Referrers,
        tag: None,
        root: Digest::from_bytes([root; 32]),
        subject: Digest::from_bytes([subject; 32]),
    }
}

/// An index (7) lists an attestation (2) before the image (4) that it describes. A second
/// attestation (3) was left out of the index and is attached to the image; an artifact (1) is
/// attached to that.
#[test]
fn what_is_referred_to_and_listed_goes_up_first() {
    let mut inventory = inventory();
    inventory.images = vec![image("quay.io/okd/alone:v1", None)];
    inventory.catalogs.clear();
    inventory.releases.clear();
    inventory.images[0].attached = vec![attachment(1, 3), attachment(3, 4)];
    inventory.manifests = vec![
        manifest(1, Some(3), &[], &[]),
        manifest(2, Some(4), &[], &[]),
        manifest(3, Some(4), &[], &[]),
        manifest(4, None, &[], &[]),
        manifest(7, None, &[2, 4], &[3]),
    ];
    let bytes = |digests: &[Digest]| -> Vec<u8> {
        digests.iter().map(|digest| digest.as_bytes()[0]).collect()
    };
    let plan = plan(&inventory);
    let planned = &plan.images[0];
    assert_eq!(bytes(&planned.manifests), [4, 3, 2, 7]);
    let roots: Vec<Digest> = planned
        .attached
        .iter()
        .map(|artifact| artifact.root)
        .collect();
    assert_eq!(bytes(&roots), [3, 1]);
    assert!(planned.is_attached(&roots[0]));

    let target: Target = "m.lan/x".parse().unwrap();
    let placed = place(&wanted(&inventory), &target, &Options::default()).unwrap();
    let none = ImportPlan::new(&inventory, placed.images(), &ArtifactSelection::None);
    assert_eq!(bytes(&none.images[0].manifests), [4, 2, 7]);
    assert_eq!(bytes(&none.images[0].unsent), [1, 3]);
    let without = ArtifactSelection::Without(BTreeSet::from([Digest::from_bytes([1; 32])]));
    let without = ImportPlan::new(&inventory, placed.images(), &without);
    assert_eq!(without.images[0].attached.len(), 1);
}

/// Manifests that refer to each other in a cycle are pushed in some order.
#[test]
fn circles_of_subjects_end() {
    let mut inventory = inventory();
    inventory.images = vec![image("quay.io/okd/alone:v1", None)];
    inventory.images[0].attached = vec![attachment(1, 2), attachment(2, 1)];
    inventory.catalogs.clear();
    inventory.releases.clear();
    inventory.manifests = vec![
        manifest(1, Some(2), &[], &[]),
        manifest(2, Some(1), &[], &[]),
        manifest(7, Some(1), &[], &[]),
    ];
    let plan = plan(&inventory);
    assert_eq!(plan.images[0].attached.len(), 2);
}
