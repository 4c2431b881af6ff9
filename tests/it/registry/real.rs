//! The registry client against Debian's docker-registry (distribution 2.8).

use std::sync::Arc;

use airferry::model::{MediaType, RawManifest, Tag};
use airferry::registry::{
    Authentication, BlobUpload, Client, ClientOptions, Error, MemorySessions, Mount,
    ReferrersSource, Selector, SessionStore,
};
use bytes::Bytes;

use super::{Memory, client, credentials, digest, noise, options, read, upload};
use crate::support::docker_registry::{DockerRegistry, Settings};

const MIB: usize = 1 << 20;

/// `user:hunter2`, with bcrypt.
const HTPASSWD: &str = "user:$2b$05$abcdefghijklmnopqrstuuoXuKqgZXLiJqzfmMXDDhSFPIvxV7t8.\n";

fn manifest(config: &Bytes, layer: &Bytes) -> RawManifest {
    let descriptor = |bytes: &Bytes, media_type: &str| {
        let (digest, size) = (digest(bytes), bytes.len());
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}}}"#)
    };
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{},"layers":[{}]}}"#,
        MediaType::OCI_MANIFEST,
        descriptor(config, "application/vnd.oci.image.config.v1+json"),
        descriptor(layer, "application/vnd.oci.image.layer.v1.tar"),
    );
    RawManifest {
        digest: digest(text.as_bytes()),
        media_type: MediaType::new(MediaType::OCI_MANIFEST),
        bytes: text.into_bytes(),
    }
}

#[tokio::test]
async fn an_image_goes_up_and_comes_down() {
    let registry = DockerRegistry::start();
    let repository = registry.repository("a/image");
    let (config, layer) = (Bytes::from_static(b"{}"), noise(100 * MIB));
    let (client, sessions) = (client(), MemorySessions::default());
    let image = manifest(&config, &layer);
    let tag = Selector::from(&"v1".parse::<Tag>().unwrap());
    let early = client
        .push_manifest(&repository, &tag, &image)
        .await
        .unwrap_err();
    match &early {
        Error::ContentUnknown { digests, .. } => assert!(digests.contains(&digest(&layer))),
        other => panic!("{other:?}"),
    }
    let size = 100 << 20;
    assert!(
        !client
            .blob_present(&repository, digest(&layer), size)
            .await
            .unwrap()
    );
    for blob in [&config, &layer] {
        upload(
            &client,
            &repository,
            digest(blob),
            &Memory::new(blob),
            &sessions,
        )
        .await
        .unwrap();
    }
    assert!(
        client
            .blob_present(&repository, digest(&layer), size)
            .await
            .unwrap()
    );
    assert!(
        !client
            .blob_present(&repository, digest(&layer), size - 1)
            .await
            .unwrap()
    );
    client
        .push_manifest(&repository, &tag, &image)
        .await
        .unwrap();
    let back = client.manifest(&repository, &tag).await.unwrap();
    assert_eq!(back.value, image);
    let head = client
        .head_manifest(&repository, &tag)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(head.value.digest, image.digest);
    for offset in [0, 33_333_333] {
        let download = client
            .blob(&repository, digest(&layer), size, offset)
            .await
            .unwrap();
        let from = usize::try_from(offset).unwrap();
        assert!(read(download).await.unwrap() == layer[from..]);
    }
    let tags = client.tags(&repository).await.unwrap();
    assert_eq!(tags.iter().map(Tag::as_str).collect::<Vec<_>>(), ["v1"]);
    let referrers = client.referrers(&repository, image.digest).await.unwrap();
    assert_eq!(referrers.source, ReferrersSource::None);
    let gone = client
        .head_manifest(&repository, &digest(b"x").into())
        .await;
    assert_eq!(gone.unwrap(), None);
    let empty = Bytes::new();
    upload(
        &client,
        &repository,
        digest(&empty),
        &Memory::new(&empty),
        &sessions,
    )
    .await
    .unwrap();
    assert!(
        client
            .blob_present(&repository, digest(&empty), 0)
            .await
            .unwrap()
    );
    let ping = client.ping(&registry.host()).await.unwrap();
    assert_eq!(
        (ping.tls, ping.authentication),
        (false, Authentication::None)
    );
}

#[tokio::test]
async fn mounts_are_offered_or_become_uploads() {
    let registry = DockerRegistry::start();
    let (from, to) = (registry.repository("from"), registry.repository("to"));
    let (client, sessions) = (client(), MemorySessions::default());
    let blob = noise(MIB);
    let Mount::Upload(session) = client.mount(&to, digest(&blob), &from.path).await.unwrap() else {
        panic!("there is nothing to mount yet");
    };
    let source = Memory::new(&blob);
    let into_session = BlobUpload {
        repository: &to,
        digest: digest(&blob),
        size: 1 << 20,
        source: &source,
        sessions: &sessions,
        session: Some(session),
        listener: Arc::new(|_| {}),
    };
    client.upload(&into_session).await.unwrap();
    assert!(
        client
            .blob_present(&to, digest(&blob), 1 << 20)
            .await
            .unwrap()
    );
    let mounted = client.mount(&from, digest(&blob), &to.path).await.unwrap();
    assert_eq!(mounted, Mount::Mounted);
    assert!(
        client
            .blob_present(&from, digest(&blob), 1 << 20)
            .await
            .unwrap()
    );
}

/// Uploads 100 MiB until the source breaks in the third PATCH, and leaves the session as a run that
/// was killed between two PATCHes would leave it.
async fn interrupted(registry: &DockerRegistry, blob: &Bytes, sessions: &MemorySessions) {
    let broken = Memory {
        bytes: blob.clone(),
        fails_at: Some(64 * MIB),
    };
    let repository = registry.repository("a");
    let result = upload(&client(), &repository, digest(blob), &broken, sessions).await;
    assert!(matches!(result, Err(Error::Source { .. })), "{result:?}");
    let kept = sessions.load(&repository, &digest(blob)).unwrap().unwrap();
    assert_eq!(kept.offset(), 64 << 20);
}

#[tokio::test]
async fn an_upload_survives_a_restart_of_both_sides() {
    let mut registry = DockerRegistry::start();
    let blob = noise(100 * MIB);
    let sessions = MemorySessions::default();
    interrupted(&registry, &blob, &sessions).await;
    registry.restart();
    let repository = registry.repository("a");
    let source = Memory::new(&blob);
    let uploaded = upload(&client(), &repository, digest(&blob), &source, &sessions)
        .await
        .unwrap();
    assert_eq!((uploaded.resumed_at, uploaded.sent), (64 << 20, 36 << 20));
    let size = 100 << 20;
    assert!(
        client()
            .blob_present(&repository, digest(&blob), size)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn a_registry_that_forgets_its_sessions_gets_the_blob_again() {
    let mut registry = DockerRegistry::start_with(Settings::default());
    let blob = noise(100 * MIB);
    let sessions = MemorySessions::default();
    interrupted(&registry, &blob, &sessions).await;
    registry.restart();
    let repository = registry.repository("a");
    let source = Memory::new(&blob);
    let uploaded = upload(&client(), &repository, digest(&blob), &source, &sessions)
        .await
        .unwrap();
    assert_eq!((uploaded.resumed_at, uploaded.sent), (0, 100 << 20));
    let size = 100 << 20;
    assert!(
        client()
            .blob_present(&repository, digest(&blob), size)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn an_upload_cut_in_the_middle_of_a_patch_succeeds_in_the_next_run() {
    let registry = DockerRegistry::start();
    let blob = noise(100 * MIB);
    let sessions = MemorySessions::default();
    let broken = Memory {
        bytes: blob.clone(),
        fails_at: Some(80 * MIB),
    };
    let repository = registry.repository("a");
    let client = client();
    let result = upload(&client, &repository, digest(&blob), &broken, &sessions).await;
    assert!(matches!(result, Err(Error::Source { .. })), "{result:?}");
    let source = Memory::new(&blob);
    upload(&client, &repository, digest(&blob), &source, &sessions)
        .await
        .unwrap();
    let size = 100 << 20;
    assert!(
        client
            .blob_present(&repository, digest(&blob), size)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn data_that_a_collector_took_is_not_present() {
    let registry = DockerRegistry::start_with(Settings {
        cache: true,
        ..Settings::default()
    });
    let repository = registry.repository("a");
    let (client, sessions) = (client(), MemorySessions::default());
    let blob = noise(MIB);
    upload(
        &client,
        &repository,
        digest(&blob),
        &Memory::new(&blob),
        &sessions,
    )
    .await
    .unwrap();
    assert!(
        client
            .blob_present(&repository, digest(&blob), 1 << 20)
            .await
            .unwrap()
    );
    remove(&registry.blob_file(&digest(&blob).hex()));
    assert!(
        !client
            .blob_present(&repository, digest(&blob), 1 << 20)
            .await
            .unwrap()
    );
}

#[allow(clippy::disallowed_methods)] // Like a garbage collector.
fn remove(path: &std::path::Path) {
    std::fs::remove_file(path).unwrap();
}

#[tokio::test]
async fn passwords_are_asked_for_and_accepted() {
    let registry = DockerRegistry::start_with(Settings {
        htpasswd: Some(HTPASSWD),
        ..Settings::default()
    });
    let host = registry.host();
    match client().ping(&host).await {
        Err(Error::Unauthorized { credentials, .. }) => assert!(!credentials),
        other => panic!("{other:?}"),
    }
    let client = Client::new(ClientOptions {
        credentials: credentials(&host),
        ..options()
    });
    let ping = client.ping(&host).await.unwrap();
    assert_eq!(ping.authentication, Authentication::Basic);
    let blob = noise(MIB);
    let (repository, sessions) = (registry.repository("a"), MemorySessions::default());
    upload(
        &client,
        &repository,
        digest(&blob),
        &Memory::new(&blob),
        &sessions,
    )
    .await
    .unwrap();
    let download = client
        .blob(&repository, digest(&blob), 1 << 20, 0)
        .await
        .unwrap();
    assert!(read(download).await.unwrap() == blob);
}
