//! CatalogSource (`operators.coreos.com/v1alpha1`) and ClusterCatalog
//! (`olm.operatorframework.io/v1`), the objects that make a catalog available in a cluster
//! (docs/oc-compatibility.md, sections 4.3 and 6.3).

use std::collections::BTreeMap;

use super::object::Object;
use super::yaml::Node;
use super::{Catalog, Warning, grammar};

/// Renders a CatalogSource for OLM v0, with the fields that `oc adm catalog mirror` writes.
pub(super) fn catalog_source(catalog: &Catalog, name: &str) -> String {
    let object = Object {
        api_version: "operators.coreos.com/v1alpha1",
        kind: "CatalogSource",
        name: name.to_owned(),
        namespace: Some("openshift-marketplace"),
        labels: &BTreeMap::new(),
        spec: Node::map([
            ("image", Node::text(&catalog.image)),
            ("sourceType", Node::text("grpc")),
        ]),
    };
    object.into_yaml()
}

/// Renders a ClusterCatalog for OLM v1. Returns a warning if its validation rules reject the image.
pub(super) fn cluster_catalog(catalog: &Catalog, name: &str) -> Result<String, Warning> {
    let image = &catalog.image;
    if !can_name(catalog) {
        let image = image.clone();
        return Err(Warning::ClusterCatalog { image });
    }
    let object = Object {
        api_version: "olm.operatorframework.io/v1",
        kind: "ClusterCatalog",
        name: name.to_owned(),
        namespace: None,
        labels: &BTreeMap::new(),
        spec: Node::map([(
            "source",
            Node::map([
                ("image", Node::map([("ref", Node::text(image))])),
                ("type", Node::text("Image")),
            ]),
        )]),
    };
    Ok(object.into_yaml())
}

/// Checks the validation rules of the CRD: the registry is a domain; a reference has at most 1000
/// characters; in a reference by tag, what follows the first colon (that of a port included) has at
/// most 127.
fn can_name(catalog: &Catalog) -> bool {
    let text = catalog.image.to_string();
    let after_colon = text.split_once(':').map_or("", |(_, rest)| rest);
    grammar::can_name(&catalog.image.repository.host)
        && text.len() <= 1000
        && (catalog.image.digest.is_some() || after_colon.len() <= 127)
}
