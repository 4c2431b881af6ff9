//! Arguments that select catalogs for an export, and the operators to carry from them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::catalog::IndexArgs;
use super::naming_args::read_mapping;
use crate::content::image_set::ImageSet;
use crate::content::mapping_file::MappingFile;
use crate::error::Error;
use crate::model::Reference;
use crate::ops::export::CatalogRequest;
use crate::plan::catalog::{CatalogFilter, OperatorSpec};
use crate::sys::files;

/// Limit for the length of a catalog configuration, in bytes.
const CONFIG_CAP: u64 = 4 << 20;

/// Arguments about catalogs; flattened into `export`.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Catalogs")]
pub(crate) struct CatalogArgs {
    /// Operator catalog to carry, with every image that it names. Repeatable.
    #[arg(long = "catalog", value_name = "REF")]
    catalogs: Vec<Reference>,

    /// Carry only this operator of the catalog: `etcd` (heads of all its channels), `etcd:stable`
    /// (head of one), `etcd:stable>=1.2.0<=1.4.0`, `etcd:stable=1.3.0`, `etcd>=1.2.0`. A filtered
    /// catalog image is made, with a digest of its own. Repeatable.
    #[arg(
        long = "operator",
        value_name = "NAME[:CHANNEL][RANGE]",
        requires = "catalogs"
    )]
    operators: Vec<OperatorSpec>,

    /// Carry only the head of every channel of the catalog. A filtered catalog image is made.
    #[arg(long, requires = "catalogs", conflicts_with_all = ["operators", "catalog_full"])]
    heads_only: bool,

    /// Carry whole channels of the operators named with --operator, instead of their heads.
    #[arg(long, requires = "operators")]
    catalog_full: bool,

    /// Default channel of an operator in the filtered catalog; needed if the filter leaves out the
    /// original one. Repeatable.
    #[arg(long, value_name = "NAME=CHANNEL", requires = "operators", value_parser = default_channel)]
    default_channel: Vec<(String, String)>,

    /// Also carry the operators' dependencies in the same catalog, and the dependencies of these.
    #[arg(long)]
    resolve_dependencies: bool,

    /// oc-mirror ImageSetConfiguration (v2alpha1) with catalogs and operators. Files with other
    /// sections than `mirror.operators` are refused; see --images-from and --channel.
    #[arg(long, value_name = "FILE")]
    catalog_config: Option<PathBuf>,

    /// Edited mapping.txt: carry only the catalog images that it lists. Give the same file to
    /// `airferry import`, which takes the target names from it. `-` is standard input.
    #[arg(long, value_name = "FILE")]
    mapping: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) index: IndexArgs,
}

fn default_channel(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, channel)) if !name.is_empty() && !channel.is_empty() => {
            Ok((name.to_owned(), channel.to_owned()))
        }
        _ => Err("write NAME=CHANNEL".to_owned()),
    }
}

impl CatalogArgs {
    /// Returns the images that `--mapping` lists, if it is given.
    pub(crate) fn mapping(&self) -> Result<Option<MappingFile>, Error> {
        match (
            &self.mapping,
            self.catalogs.is_empty() && self.catalog_config.is_none(),
        ) {
            (Some(_), true) => Err(Error::usage("--mapping chooses images of a catalog")
                .hint("name the catalog with --catalog")),
            (mapping, _) => mapping.as_deref().map(read_mapping).transpose(),
        }
    }

    /// Returns the requested catalogs, sorted and without duplicates.
    pub(crate) fn requests(&self) -> Result<Vec<CatalogRequest>, Error> {
        let mut catalogs: BTreeMap<Reference, Option<CatalogFilter>> = BTreeMap::new();
        if !self.operators.is_empty() && self.catalogs.len() > 1 {
            let message = "--operator needs exactly one --catalog";
            return Err(Error::usage(message)
                .hint("name one --catalog, or describe them in a --catalog-config"));
        }
        let filter = self.filter()?;
        for reference in &self.catalogs {
            catalogs.insert(reference.clone(), filter.clone());
        }
        if let Some(path) = &self.catalog_config {
            self.read_config(path, &mut catalogs)?;
        }
        if self.resolve_dependencies && catalogs.values().all(Option::is_none) {
            let message = "--resolve-dependencies needs a filter of a catalog";
            return Err(Error::usage(message).hint("name operators with --operator"));
        }
        let request = |(reference, filter)| CatalogRequest { reference, filter };
        Ok(catalogs.into_iter().map(request).collect())
    }

    /// Returns the filter that the arguments describe; `None` selects whole catalogs.
    fn filter(&self) -> Result<Option<CatalogFilter>, Error> {
        if self.operators.is_empty() && !self.heads_only {
            return Ok(None);
        }
        let default_channels = &self.default_channel;
        let filter = CatalogFilter::of(&self.operators, default_channels, self.catalog_full);
        let filter = filter.map_err(|error| Error::usage(error.to_string()))?;
        Ok(Some(self.with_dependencies(filter)))
    }

    fn with_dependencies(&self, filter: CatalogFilter) -> CatalogFilter {
        CatalogFilter {
            dependencies: self.resolve_dependencies,
            ..filter
        }
    }

    fn read_config(
        &self,
        path: &Path,
        catalogs: &mut BTreeMap<Reference, Option<CatalogFilter>>,
    ) -> Result<(), Error> {
        let refused = |error: Box<dyn std::error::Error + Send + Sync>| {
            let message = format!("The configuration `{}` cannot be used", path.display());
            Error::usage(message).caused_by(error)
        };
        let bytes = files::read(path, CONFIG_CAP).map_err(|error| refused(error.into()))?;
        let set = ImageSet::read(&bytes).map_err(|error| refused(error.into()))?;
        for stanza in &set.mirror.operators {
            let reference: Reference = stanza
                .catalog
                .parse()
                .map_err(|error: crate::model::NameError| refused(error.into()))?;
            let filter = CatalogFilter::of_stanza(stanza).map_err(|error| refused(error.into()))?;
            let filter = (!filter.keeps_everything()).then(|| self.with_dependencies(filter));
            if catalogs.insert(reference.clone(), filter).is_some() {
                return Err(refused(format!("{reference} is named twice").into()));
            }
        }
        Ok(())
    }
}
