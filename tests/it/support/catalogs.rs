//! Operator catalogs to filter, and the checks that `opm validate` would make on the result.
//!
//! `opm` is in no Debian package and on no crate registry, so [`check`] implements its rules,
//! independently of the code under test.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use serde_json::{Value, json};

/// Regular files by path, after the layers of an image were applied.
pub type Tree = BTreeMap<String, Vec<u8>>;

/// Applies gzip layers on top of each other (OCI image-spec, layer.md).
pub fn unpack(layers: &[Vec<u8>]) -> Tree {
    let mut tree = Tree::new();
    for layer in layers {
        let mut plain = Vec::new();
        let mut gzip = flate2::read::MultiGzDecoder::new(layer.as_slice());
        gzip.read_to_end(&mut plain).expect("a gzip layer");
        let mut archive = tar::Archive::new(plain.as_slice());
        let (mut hidden, mut added) = (Vec::new(), Tree::new());
        for entry in archive.entries().expect("a tar") {
            let mut entry = entry.expect("an entry");
            if entry.header().entry_type() == tar::EntryType::Directory {
                continue;
            }
            let path = entry.path().expect("a path").display().to_string();
            let (directory, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let below = |name: &str| format!("{directory}/{name}").trim_matches('/').to_owned();
            if name == ".wh..wh..opq" {
                hidden.push(directory.to_owned());
            } else if let Some(name) = name.strip_prefix(".wh.") {
                hidden.push(below(name));
            } else {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes).expect("a file");
                added.insert(path, bytes);
            }
        }
        tree.retain(|path, _| {
            let under = |hidden: &String| path == hidden || path.starts_with(&format!("{hidden}/"));
            !hidden.iter().any(under)
        });
        tree.extend(added);
    }
    tree
}

/// Returns all documents of a catalog's directory, whose files are streams of JSON documents.
pub fn documents(tree: &Tree, directory: &str) -> Vec<Value> {
    let files = tree
        .iter()
        .filter(|(path, _)| path.starts_with(&format!("{directory}/")));
    let documents = files.flat_map(|(path, bytes)| {
        serde_json::Deserializer::from_slice(bytes)
            .into_iter::<Value>()
            .map(move |document| document.unwrap_or_else(|error| panic!("{path}: {error}")))
    });
    documents.collect()
}

fn text<'a>(document: &'a Value, key: &str) -> &'a str {
    document[key].as_str().unwrap_or_default()
}

/// Asserts the rules of `opm validate` on packages, channels, bundles and deprecations.
#[track_caller]
pub fn check(documents: &[Value]) {
    let of = |schema: &'static str| {
        documents
            .iter()
            .filter(move |d| text(d, "schema") == schema)
    };
    let mut bundles = BTreeMap::new();
    for bundle in of("olm.bundle") {
        let key = (text(bundle, "package"), text(bundle, "name"));
        assert!(bundles.insert(key, false).is_none(), "twice: {key:?}");
    }
    let mut packages = BTreeMap::new();
    for package in of("olm.package") {
        let before = packages.insert(text(package, "name"), text(package, "defaultChannel"));
        assert!(before.is_none(), "twice: {package}");
    }
    let mut channels = BTreeSet::new();
    for channel in of("olm.channel") {
        let (package, name) = (text(channel, "package"), text(channel, "name"));
        assert!(packages.contains_key(package), "no package: {channel}");
        assert!(channels.insert((package, name)), "twice: {channel}");
        let entries = channel["entries"].as_array().expect("entries");
        let by_name: BTreeMap<&str, &Value> =
            entries.iter().map(|e| (text(e, "name"), e)).collect();
        assert_eq!(by_name.len(), entries.len(), "twice in {channel}");
        let list = |entry: &Value| -> Vec<String> {
            let skips = entry["skips"].as_array().into_iter().flatten();
            skips
                .map(|skip| skip.as_str().expect("a name").to_owned())
                .collect()
        };
        let mut below = BTreeSet::new();
        for entry in entries {
            below.extend(list(entry));
            below.insert(text(entry, "replaces").to_owned());
            let bundle = bundles.get_mut(&(package, text(entry, "name")));
            *bundle.unwrap_or_else(|| panic!("no bundle: {entry}")) = true;
        }
        let heads: Vec<&&str> = by_name
            .keys()
            .filter(|name| !below.contains(**name))
            .collect();
        assert_eq!(heads.len(), 1, "heads of {channel}");
        let (mut reached, mut at) = (BTreeSet::new(), (*heads[0]).to_owned());
        while let Some(entry) = by_name.get(at.as_str()) {
            assert!(reached.insert(at.clone()), "a circle in {channel}");
            reached.extend(list(entry));
            at = text(entry, "replaces").to_owned();
        }
        for name in by_name.keys() {
            assert!(reached.contains(*name), "{name} is stranded in {channel}");
        }
    }
    for (package, default) in packages {
        assert!(
            channels.contains(&(package, default)),
            "default channel of {package}"
        );
    }
    for (bundle, used) in bundles {
        assert!(used, "in no channel: {bundle:?}");
    }
    for deprecations in of("olm.deprecations") {
        for entry in deprecations["entries"].as_array().expect("entries") {
            let (package, about) = (text(deprecations, "package"), &entry["reference"]);
            let name = text(about, "name");
            match text(about, "schema") {
                "olm.package" => {}
                "olm.channel" => assert!(channels.contains(&(package, name)), "{entry}"),
                _ => assert!(
                    documents.iter().any(|d| text(d, "schema") == "olm.bundle"
                        && text(d, "package") == package
                        && text(d, "name") == name),
                    "{entry}"
                ),
            }
        }
    }
}

/// Makes a bundle document. Its images are at `HOST/PACKAGE/bundle:vVERSION` and
/// `HOST/PACKAGE/op:vVERSION`.
pub fn bundle(host: &str, package: &str, version: &str, more: &[Value]) -> Value {
    let mut properties = vec![
        json!({"type": "olm.package", "value": {"packageName": package, "version": version}}),
        json!({"type": "x.exact", "value": {"number": 1.50, "text": "\u{e4}<&>"}}),
    ];
    properties.extend(more.iter().cloned());
    json!({
        "schema": "olm.bundle", "package": package, "name": format!("{package}.v{version}"),
        "image": format!("{host}/{package}/bundle:v{version}"),
        "properties": properties,
        "relatedImages": [{"name": "op", "image": format!("{host}/{package}/op:v{version}")}],
    })
}

/// Returns the bytes of an image's layers; `blob` returns a blob by its digest.
pub fn layers(manifest: &[u8], blob: impl Fn(&str) -> Vec<u8>) -> Vec<Vec<u8>> {
    let manifest: Value = serde_json::from_slice(manifest).expect("a manifest");
    let layers = manifest["layers"].as_array().expect("layers");
    layers
        .iter()
        .map(|layer| blob(text(layer, "digest")))
        .collect()
}
