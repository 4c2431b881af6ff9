//! Arguments for the names of images on the target.

use std::path::{Path, PathBuf};

use crate::content::mapping_file::MappingFile;
use crate::error::Error;
use crate::model::{Reference, RepositoryPath};
use crate::plan::naming::{MaxComponents, Options, Profile, ReleaseOptions, ReleaseTags, Target};
use crate::sys::files;

/// Arguments for names on the target; flattened into verbs that need them.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct NamingArgs {
    /// Target registry, and optionally a namespace for all repositories.
    #[arg(long = "to", value_name = "HOST[:PORT][/NAMESPACE]")]
    pub(crate) target: Target,

    /// Naming scheme for all images. Default: oc for releases and catalogs, plain for other images.
    #[arg(long, value_name = "PROFILE")]
    profile: Option<ProfileArg>,

    /// Maximum number of path components on the target; deeper paths are joined with hyphens. 0: no
    /// limit.
    #[arg(long, value_name = "N")]
    max_components: Option<MaxComponents>,

    /// Repository on the target for all images of a release, if it is not the namespace of --to.
    #[arg(long, value_name = "PATH")]
    to_release_repository: Option<RepositoryPath>,

    /// Repository and tag of the release image on the target.
    #[arg(long, value_name = "REPOSITORY[:TAG]")]
    to_release_image: Option<Reference>,

    /// Form of the tags of release content: current (with architecture), or pre-4.7.
    #[arg(long, value_name = "FORM", default_value_t)]
    release_tags: ReleaseTags,

    /// Edited mapping.txt with target names for the images that it lists.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,
}

/// Limit for the length of a mapping file, in bytes.
const MAPPING_CAP: u64 = 16 << 20;

/// Reads a mapping file; `-` is standard input.
pub(crate) fn read_mapping(path: &Path) -> Result<MappingFile, Error> {
    let refused = |error: Box<dyn std::error::Error + Send + Sync>| {
        let message = format!("The mapping `{}` cannot be used", path.display());
        Error::usage(message).caused_by(error)
    };
    let text = match path.as_os_str() == "-" {
        true => files::read_stdin(MAPPING_CAP),
        false => files::read_text(path, MAPPING_CAP),
    };
    let text = text.map_err(|error| refused(error.into()))?;
    MappingFile::parse(&text).map_err(|error| refused(error.into()))
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum ProfileArg {
    /// The source's path at any depth.
    Plain,
    /// As `oc adm release mirror` and `oc adm catalog mirror`.
    Oc,
    /// As oc-mirror v2.
    OcMirror,
}

impl From<ProfileArg> for Profile {
    fn from(profile: ProfileArg) -> Self {
        match profile {
            ProfileArg::Plain => Self::Plain,
            ProfileArg::Oc => Self::Oc,
            ProfileArg::OcMirror => Self::OcMirror,
        }
    }
}

impl NamingArgs {
    /// True if release content gets the names that `oc` would give.
    pub(crate) fn is_like_oc(&self) -> bool {
        matches!(self.profile, None | Some(ProfileArg::Oc))
    }

    pub(crate) fn options(&self) -> Result<Options, Error> {
        let profile = self.profile.map(Profile::from);
        if self.to_release_repository.is_some() && !self.is_like_oc() {
            let message = "--to-release-repository is valid only with --profile oc";
            return Err(Error::usage(message));
        }
        if let Some(image) = &self.to_release_image
            && image.digest.is_some()
        {
            let message = format!(
                "`{image}` has a digest, which cannot be chosen: it follows from the image"
            );
            return Err(Error::usage(message).hint("write --to-release-image REPOSITORY[:TAG]"));
        }
        let listed = self.mapping.as_deref().map(read_mapping).transpose()?;
        Ok(Options {
            listed: listed.unwrap_or_default(),
            profile,
            max_components: self.max_components,
            release: ReleaseOptions {
                repository: self.to_release_repository.clone(),
                image: self
                    .to_release_image
                    .as_ref()
                    .map(|image| image.repository.clone()),
                tag: self
                    .to_release_image
                    .as_ref()
                    .and_then(|image| image.tag.clone()),
                tags: self.release_tags,
            },
        })
    }
}
