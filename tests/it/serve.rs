//! The embedded registry over real HTTP, with common client tools.

// Test helpers may panic, and may use files and the environment.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

mod clients;
mod commands;
mod content;
mod hostile;
mod uploads;

use std::net::SocketAddr;
use std::path::Path;

use airferry::serve::{ServeOptions, Server};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// A server in this process and a client for it.
struct Registry {
    address: SocketAddr,
    client: Client,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

fn client() -> Client {
    // Fails if another test was first, which does not matter.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        .build()
        .unwrap()
}

impl Registry {
    async fn start(options: ServeOptions) -> Self {
        let server = Server::bind(options).await.unwrap();
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        Self {
            address,
            client: client(),
            stop,
            task,
        }
    }

    async fn open(store: &Path) -> Self {
        Self::start(ServeOptions::new(store)).await
    }

    async fn stop(self) {
        drop(self.client);
        let _ = self.stop.send(());
        self.task.await.unwrap();
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = match path.starts_with("http") {
            true => path.to_owned(),
            false => format!("http://{}{path}", self.address),
        };
        self.client.request(method, url)
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    async fn json(&self, path: &str) -> serde_json::Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), StatusCode::OK, "{path}");
        serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
    }

    /// Begins an upload session, and returns its path.
    async fn begin(&self, repository: &str) -> String {
        let path = format!("/v2/{repository}/blobs/uploads/");
        let response = self.request(Method::POST, &path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        header(&response, "location")
    }

    async fn patch(&self, session: &str, range: Option<&str>, bytes: &[u8]) -> Response {
        let mut request = self.request(Method::PATCH, session).body(bytes.to_vec());
        if let Some(range) = range {
            request = request.header("content-range", range);
        }
        request.send().await.unwrap()
    }

    async fn finish(&self, session: &str, digest: &str, bytes: &[u8]) -> Response {
        self.request(Method::PUT, &format!("{session}?digest={digest}"))
            .body(bytes.to_vec())
            .send()
            .await
            .unwrap()
    }

    async fn push_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = digest(bytes);
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        let request = self.request(Method::POST, &path).body(bytes.to_vec());
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::CREATED);
        digest
    }

    async fn put_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Response {
        self.request(
            Method::PUT,
            &format!("/v2/{repository}/manifests/{reference}"),
        )
        .header("content-type", media_type)
        .body(bytes.to_vec())
        .send()
        .await
        .unwrap()
    }

    /// Pushes an image of one layer under a tag, and returns its manifest.
    async fn push_image(&self, repository: &str, tag: &str, layer: &[u8]) -> Vec<u8> {
        let config = b"{}";
        self.push_blob(repository, config).await;
        self.push_blob(repository, layer).await;
        let manifest = image(config, layer).to_string().into_bytes();
        let response = self
            .put_manifest(repository, tag, OCI_MANIFEST, &manifest)
            .await;
        assert_eq!(response.status(), StatusCode::CREATED);
        manifest
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn descriptor(media_type: &str, bytes: &[u8]) -> serde_json::Value {
    serde_json::json!({"mediaType": media_type, "digest": digest(bytes), "size": bytes.len()})
}

fn image(config: &[u8], layer: &[u8]) -> serde_json::Value {
    serde_json::json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
    })
}

fn header(response: &Response, name: &str) -> String {
    let value = response.headers().get(name);
    value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
}

/// Asserts the status and the error code in the body, and returns the error.
#[track_caller]
fn refused(
    response: Response,
    status: StatusCode,
    code: &'static str,
) -> impl Future<Output = serde_json::Value> {
    let place = std::panic::Location::caller();
    async move {
        assert_eq!(response.status(), status, "at {place}");
        let bytes = response.bytes().await.unwrap();
        let document: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(document["errors"][0]["code"], code, "at {place}");
        document["errors"][0].clone()
    }
}

/// Returns pseudo-random bytes, the same in every run.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(length)
    .collect()
}
