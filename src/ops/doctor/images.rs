//! The small images and artifacts that are tried out on a target.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::format::hash::sha256;
use crate::model::{Digest, MediaType, RawManifest};

/// An empty tar archive, gzip-compressed.
const LAYER: [u8; 45] = [
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff, 0xed, 0xc1, 0x01, 0x0d, 0x00, 0x00,
    0x00, 0xc2, 0xa0, 0xf7, 0x4f, 0x6d, 0x0e, 0x37, 0xa0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x80, 0x37, 0x03, 0x9a, 0xde, 0x1d, 0x27, 0x00, 0x28, 0x00, 0x00,
];

/// Digest of that archive's tar, for configs.
const DIFF_ID: &str = "sha256:84ff92691f909a05b224e1c56abb4864f01b4f8e3c854e4bb4c7baf1d3f6d652";

const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const ARTIFACT: &str = "application/vnd.airferry.doctor.v1+json";

/// A blob of a probe.
#[derive(Debug, Clone)]
pub(super) struct Blob {
    pub(super) digest: Digest,
    pub(super) bytes: Bytes,
}

impl Blob {
    fn new(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let digest = sha256(&bytes);
        Self { digest, bytes }
    }

    /// Makes a blob of so many bytes that no registry has: it begins with the nonce.
    pub(super) fn large(nonce: &str, size: usize) -> Self {
        let mut bytes = format!("airferry doctor {nonce} {size}\n").into_bytes();
        bytes.resize(size, b'.');
        Self::new(bytes)
    }

    fn descriptor(&self, media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": self.digest.to_string(), "size": self.bytes.len()})
    }
}

/// Everything that is tried out, unique to one run.
#[derive(Debug)]
pub(super) struct Images {
    pub(super) config: Blob,
    pub(super) layer: Blob,
    pub(super) oci: RawManifest,
    pub(super) docker: RawManifest,
    pub(super) oci_index: RawManifest,
    pub(super) docker_list: RawManifest,
    pub(super) sparse: RawManifest,
    pub(super) artifact: RawManifest,
    pub(super) subject: RawManifest,
    /// Two images for one tag.
    pub(super) moves: [RawManifest; 2],
}

impl Images {
    pub(super) fn new(nonce: &str) -> Self {
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "created": "1970-01-01T00:00:00Z",
            "config": {"Labels": {"airferry.doctor": nonce}},
            "rootfs": {"type": "layers", "diff_ids": [DIFF_ID]},
            "history": [{"created": "1970-01-01T00:00:00Z", "created_by": "airferry doctor"}],
        });
        let config = Blob::new(config.to_string());
        let layer = Blob::new(Bytes::from_static(&LAYER));
        let image = |note: &str| {
            manifest(
                MediaType::OCI_MANIFEST,
                json!({
                    "config": config.descriptor(OCI_CONFIG),
                    "layers": [layer.descriptor(OCI_LAYER)],
                    "annotations": {"airferry.doctor": format!("{nonce} {note}")},
                }),
            )
        };
        let oci = image("image");
        let docker = manifest(
            MediaType::DOCKER_MANIFEST,
            json!({
                "config": config.descriptor(DOCKER_CONFIG),
                "layers": [layer.descriptor(DOCKER_LAYER)],
            }),
        );
        let artifact = |note: &str, subject: Option<&RawManifest>| {
            let mut document = json!({
                "artifactType": ARTIFACT,
                "config": config.descriptor(ARTIFACT),
                "layers": [layer.descriptor(ARTIFACT)],
                "annotations": {"airferry.doctor": format!("{nonce} {note}")},
            });
            if let (Some(subject), Some(fields)) = (subject, document.as_object_mut()) {
                fields.insert("subject".to_owned(), child(subject, None));
            }
            manifest(MediaType::OCI_MANIFEST, document)
        };
        let index =
            |kind: &str, children: Vec<Value>| manifest(kind, json!({"manifests": children}));
        let absent = image("not there");
        Self {
            oci_index: index(MediaType::OCI_INDEX, vec![child(&oci, Some("amd64"))]),
            docker_list: index(MediaType::DOCKER_LIST, vec![child(&docker, Some("amd64"))]),
            sparse: index(
                MediaType::OCI_INDEX,
                vec![child(&oci, Some("amd64")), child(&absent, Some("arm64"))],
            ),
            artifact: artifact("artifact", None),
            subject: artifact("referrer", Some(&oci)),
            moves: [image("first"), image("second")],
            oci,
            docker,
            config,
            layer,
        }
    }
}

fn manifest(media_type: &str, mut document: Value) -> RawManifest {
    if let Some(fields) = document.as_object_mut() {
        fields.insert("schemaVersion".to_owned(), json!(2));
        fields.insert("mediaType".to_owned(), json!(media_type));
    }
    let bytes = document.to_string().into_bytes();
    RawManifest {
        digest: sha256(&bytes),
        media_type: MediaType::new(media_type.to_owned()),
        bytes,
    }
}

fn child(manifest: &RawManifest, architecture: Option<&str>) -> Value {
    let mut descriptor = json!({
        "mediaType": manifest.media_type.as_str(),
        "digest": manifest.digest.to_string(),
        "size": manifest.bytes.len(),
    });
    if let (Some(architecture), Some(fields)) = (architecture, descriptor.as_object_mut()) {
        let platform = json!({"os": "linux", "architecture": architecture});
        fields.insert("platform".to_owned(), platform);
    }
    descriptor
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::parse;

    #[test]
    fn everything_is_what_airferry_itself_would_carry() {
        let images = Images::new("0123");
        let all = [
            &images.oci,
            &images.docker,
            &images.oci_index,
            &images.docker_list,
            &images.sparse,
            &images.artifact,
            &images.subject,
            &images.moves[0],
        ];
        for one in all {
            let read = parse(&one.bytes, None).unwrap();
            assert_eq!(read.media_type, one.media_type);
        }
        let mut tar = Vec::new();
        let mut gzip = flate2::read::GzDecoder::new(&LAYER[..]);
        std::io::Read::read_to_end(&mut gzip, &mut tar).unwrap();
        assert_eq!(sha256(&tar).to_string(), DIFF_ID);
        assert_ne!(Images::new("4567").oci.digest, images.oci.digest);
    }
}
