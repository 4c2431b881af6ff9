//! Publishes images, in an OCI layout or in a registry over plain HTTP.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use serde_json::json;

use super::{Image, digest_of};

/// Writes an OCI layout with one name for each image, for `skopeo copy oci:DIR:NAME`. (skopeo finds
/// images of Docker's types there only below an index: push such images instead.)
pub fn oci_layout<'a>(directory: &Path, images: impl IntoIterator<Item = (&'a str, &'a Image)>) {
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("a directory");
    let store = |bytes: &[u8]| {
        let digest = digest_of(bytes);
        let name = digest.strip_prefix("sha256:").expect("a digest");
        fs::write(blobs.join(name), bytes).expect("a file");
    };
    let mut manifests = Vec::new();
    for (name, image) in images {
        for part in image.walk() {
            store(&part.bytes);
            let local = part.blobs.iter().filter(|blob| blob.urls.is_empty());
            local.for_each(|blob| store(&blob.bytes));
        }
        let mut descriptor = image.descriptor();
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
        manifests.push(descriptor);
    }
    let index = json!({ "schemaVersion": 2, "manifests": manifests });
    fs::write(directory.join("index.json"), index.to_string()).expect("a file");
    let layout = json!({ "imageLayoutVersion": "1.0.0" });
    fs::write(directory.join("oci-layout"), layout.to_string()).expect("a file");
}

/// Pushes an image with everything that it names to `host:port` over plain HTTP: blobs, then
/// children, then the manifest itself, under the tag or, without one, by its digest.
#[track_caller]
pub fn push(registry: &str, repository: &str, tag: Option<&str>, image: &Image) {
    for part in image.walk() {
        for blob in part.blobs.iter().filter(|blob| blob.urls.is_empty()) {
            push_blob(registry, repository, &blob.bytes);
        }
        let digest = part.digest();
        let name = match tag {
            Some(tag) if digest == image.digest() => tag,
            _ => &digest,
        };
        push_manifest(registry, repository, name, part.media_type, &part.bytes);
    }
}

/// Pushes one blob in one request.
#[track_caller]
pub fn push_blob(registry: &str, repository: &str, bytes: &[u8]) {
    let path = format!("/v2/{repository}/blobs/uploads/");
    let begun = send(registry, "POST", &path, "application/octet-stream", b"");
    assert_eq!(begun.status, 202, "{}", begun.text);
    let location = begun.header("location").expect("a session");
    let path = location
        .strip_prefix(&format!("http://{registry}"))
        .unwrap_or(location);
    let separator = if path.contains('?') { '&' } else { '?' };
    let path = format!("{path}{separator}digest={}", digest_of(bytes));
    let done = send(registry, "PUT", &path, "application/octet-stream", bytes);
    assert_eq!(done.status, 201, "{}", done.text);
}

/// Pushes any bytes as a manifest.
#[track_caller]
pub fn push_manifest(registry: &str, repository: &str, name: &str, media_type: &str, bytes: &[u8]) {
    let path = format!("/v2/{repository}/manifests/{name}");
    let done = send(registry, "PUT", &path, media_type, bytes);
    assert_eq!(done.status, 201, "{}", done.text);
}

/// An HTTP answer; `text` is status line, headers and body.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub text: String,
}

impl Answer {
    /// Returns a header's value. The case of the name does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.text.lines().take_while(|line| !line.is_empty());
        lines.find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Sends one request on a new connection.
#[track_caller]
pub fn send(registry: &str, method: &str, path: &str, media_type: &str, body: &[u8]) -> Answer {
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {registry}\r\nConnection: close\r\n\
         Content-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n"
    );
    let mut stream = TcpStream::connect(registry).expect("the registry listens");
    stream.write_all(head.as_bytes()).expect("a request");
    stream.write_all(body).expect("a request body");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("an answer");
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.unwrap_or_else(|| panic!("not HTTP: {text}"));
    Answer { status, text }
}
