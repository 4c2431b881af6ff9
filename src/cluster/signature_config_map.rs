//! The ConfigMap that brings a release's signatures into a cluster, where the cluster version
//! operator looks for them before it updates (docs/oc-compatibility.md, section 2.6).
//!
//! The text is what `oc adm release mirror` writes, byte for byte: JSON on one line, with the
//! newline that Kubernetes' JSON encoder puts at the end of every object.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::model::Digest;

/// The namespace and the label by which the cluster version operator finds the ConfigMap.
const NAMESPACE: &str = "openshift-config-managed";
const LABEL: &str = "release.openshift.io/verification-signatures";

// The order of the fields is the order in the text.
#[derive(Serialize)]
struct ConfigMap {
    kind: &'static str,
    #[serde(rename = "apiVersion")]
    api_version: &'static str,
    metadata: Metadata,
    #[serde(rename = "binaryData", skip_serializing_if = "BTreeMap::is_empty")]
    binary_data: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Metadata {
    name: String,
    namespace: &'static str,
    #[serde(rename = "creationTimestamp")]
    creation_timestamp: (),
    labels: BTreeMap<&'static str, &'static str>,
}

/// The name of the file to which `oc` writes a release's signatures.
pub(super) fn file_name(release: &Digest) -> String {
    let hex: String = release.hex().chars().take(16).collect();
    format!("signature-sha256-{hex}.json")
}

/// Renders the ConfigMap of a release. `signatures` are whole signature files, in order.
///
/// # Errors
///
/// The JSON encoder's; no release is known to cause one.
pub(super) fn render(
    release: &Digest,
    signatures: &[Vec<u8>],
) -> Result<String, serde_json::Error> {
    let name = format!("sha256-{}", release.hex());
    let binary_data = (1..)
        .zip(signatures)
        .map(|(number, bytes): (usize, _)| (format!("{name}-{number}"), STANDARD.encode(bytes)))
        .collect();
    let object = ConfigMap {
        kind: "ConfigMap",
        api_version: "v1",
        metadata: Metadata {
            name,
            namespace: NAMESPACE,
            creation_timestamp: (),
            labels: BTreeMap::from([(LABEL, "")]),
        },
        binary_data,
    };
    let mut text = serde_json::to_string(&object)?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The object of docs/oc-compatibility.md, section 2.6, with two short signatures.
    #[test]
    fn the_text_is_what_oc_writes() {
        let hex = "ab".repeat(32);
        let release = Digest::from_hex(&hex).unwrap();
        let text = render(&release, &[vec![0xa3, 0x01, 0x9b], b"second".to_vec()]).unwrap();
        assert_eq!(
            text,
            format!(
                "{{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{{\"name\":\
                 \"sha256-{hex}\",\"namespace\":\"openshift-config-managed\",\
                 \"creationTimestamp\":null,\"labels\":{{\
                 \"release.openshift.io/verification-signatures\":\"\"}}}},\"binaryData\":{{\
                 \"sha256-{hex}-1\":\"owGb\",\"sha256-{hex}-2\":\"c2Vjb25k\"}}}}\n"
            )
        );
        assert_eq!(
            file_name(&release),
            "signature-sha256-abababababababab.json"
        );
    }
}
