//! The rules of the profiles for paths and tags.

use std::borrow::Cow;

use super::tags::{digest_tag, fnv_tag};
use super::{ImageToName, NamingError, Options, Profile, ReleaseTags, Role, SourceImage, Target};
use crate::model::{Host, NameError, Reference, Repository, RepositoryPath, Tag};

/// Path of release images below the target, as in oc-mirror (docs/oc-compatibility.md, section
/// 5.4).
const RELEASE_IMAGES: [&str; 2] = ["openshift", "release-images"];

/// Path of the components of releases below the target, as in oc-mirror.
const RELEASE_CONTENT: [&str; 2] = ["openshift", "release"];

/// Returns the names that a mapping gives to an image; none if it does not list the image.
pub(super) fn listed<'a>(
    image: &SourceImage,
    target: &Target,
    options: &'a Options,
) -> Result<Vec<&'a Reference>, NamingError> {
    let source = image.asked();
    let listed: Vec<&Reference> = options.listed.targets(&source).collect();
    match listed
        .iter()
        .find(|name| name.repository.host != target.host)
    {
        Some(elsewhere) => Err(NamingError::ListedElsewhere {
            image: Box::new(source),
            host: elsewhere.repository.host.clone(),
            target: target.host.clone(),
        }),
        None => Ok(listed),
    }
}

/// Returns the path of an image on the target's registry, as text: it may be too long.
pub(super) fn path(
    wanted: &ImageToName,
    target: &Target,
    options: &Options,
) -> Result<String, NamingError> {
    let limit = options.components(&wanted.role);
    let below = |path: &[&str]| limit.join(target.components().chain(path.iter().copied()));
    if let (Role::Release(_), Some(image)) = (&wanted.role, &options.release.image) {
        return match image.host == target.host {
            true => Ok(image.path.to_string()),
            false => Err(NamingError::OtherRegistry {
                target: target.host.clone(),
                host: image.host.clone(),
            }),
        };
    }
    Ok(match (&wanted.role, options.profile_of(&wanted.role)) {
        (Role::Release(_) | Role::Component { .. }, Profile::Oc) => {
            let own = options.release.repository.as_ref();
            let path = own.or(target.namespace.as_ref());
            let path = path.ok_or_else(|| NamingError::NoReleaseRepository {
                target: target.host.clone(),
            })?;
            path.to_string()
        }
        (Role::Release(_), Profile::OcMirror) => below(&RELEASE_IMAGES),
        (Role::Component { .. }, Profile::OcMirror) => below(&RELEASE_CONTENT),
        _ => limit.join(
            target
                .components()
                .chain(wanted.image.source.path.components()),
        ),
    })
}

/// Returns the tag of an image on the target; true if the image was requested under this tag.
pub(super) fn tag(wanted: &ImageToName, options: &Options) -> Result<(Tag, bool), NameError> {
    let image = &wanted.image;
    let made = match (&wanted.role, options.profile_of(&wanted.role)) {
        (Role::Release(_), _) if options.release.tag.is_some() => {
            options.release.tag.as_ref().map(ToString::to_string)
        }
        (Role::Release(release), Profile::Oc) => Some(release.tag(options.release.tags)),
        (Role::Component { release, name }, Profile::Oc) => {
            Some(format!("{}-{name}", release.tag(options.release.tags)))
        }
        (Role::Release(release), Profile::OcMirror) => Some(release_tag(release)),
        (Role::Component { release, name }, Profile::OcMirror) => {
            Some(format!("{}-{name}", release_tag(release)))
        }
        _ => None,
    };
    if let Some(made) = made {
        let tag: Tag = made.parse()?;
        let own = image.tag.as_ref() == Some(&tag);
        return Ok((tag, own));
    }
    if let Some(tag) = &image.tag {
        return Ok((tag.clone(), true));
    }
    if image.requested.tag.is_none() && image.requested.digest.is_none() {
        return Ok((image.requested.selector().parse()?, true));
    }
    Ok((tag_of_digest(wanted, options)?, false))
}

/// Returns the tag for an image that does not get its own tag on the target.
pub(super) fn tag_of_digest(wanted: &ImageToName, options: &Options) -> Result<Tag, NameError> {
    let image = &wanted.image;
    match (options.profile_of(&wanted.role), &wanted.role) {
        (Profile::Plain | Profile::OcMirror, _) => digest_tag(&image.root),
        (Profile::Oc, Role::Member { written, .. }) => fnv_tag(&without_tag(written)),
        (Profile::Oc, _) => fnv_tag(&image.source.pinned(image.root).to_string()),
    }
}

/// Turns `name:tag@digest` into `name@digest`: `oc` computes FNV tags from references without
/// tags.
fn without_tag(written: &str) -> Cow<'_, str> {
    let Some((name, digest)) = written.rsplit_once('@') else {
        return Cow::Borrowed(written);
    };
    let path = name.rfind('/').map_or(0, |slash| slash + 1);
    let colon = name.get(path..).and_then(|last| last.find(':'));
    match colon.and_then(|colon| name.get(..path + colon)) {
        Some(bare) => Cow::Owned(format!("{bare}@{digest}")),
        None => Cow::Borrowed(written),
    }
}

/// Returns the prefix that oc-mirror gives to its tags: the release image's own tag. A release
/// that was found by its version has no tag here; oc-mirror takes it from the signature, where it
/// is the version with the architecture. (For a release that is given by digest, oc-mirror takes
/// the version alone, which two architectures would share.)
fn release_tag(release: &super::ReleaseName) -> String {
    match &release.image.tag {
        Some(tag) => tag.to_string(),
        None => release.tag(ReleaseTags::Current),
    }
}

/// Joins host and path.
pub(super) fn repository(host: &Host, path: &str) -> Result<Repository, NameError> {
    let path: RepositoryPath = path.parse()?;
    Ok(Repository::new(host.clone(), path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_tag_is_taken_out_of_a_reference() {
        for (written, expected) in [
            ("quay.io/a/b:v1@sha256:00", "quay.io/a/b@sha256:00"),
            ("r.lan:5000/b:v1@sha256:00", "r.lan:5000/b@sha256:00"),
            ("r.lan:5000/b@sha256:00", "r.lan:5000/b@sha256:00"),
            ("etcd:3@sha256:00", "etcd@sha256:00"),
            ("quay.io/a/b:v1", "quay.io/a/b:v1"),
        ] {
            assert_eq!(without_tag(written), expected);
        }
    }
}
