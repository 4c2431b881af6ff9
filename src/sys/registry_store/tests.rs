use std::io::Read as _;

use fs_err as fs;
use sha2::{Digest as _, Sha256};

use super::*;
use crate::model::{Digest, MediaType, RawManifest, RepositoryPath, Tag};

fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

fn repository(text: &str) -> RepositoryPath {
    text.parse().unwrap()
}

fn open(root: &Path) -> Store {
    Store::open(root, Access::ReadWrite).unwrap()
}

fn push(store: &Store, name: &RepositoryPath, bytes: &[u8]) -> Digest {
    let mut upload = store.start_upload(name).unwrap();
    upload.append(bytes).unwrap();
    let digest = digest(bytes);
    store.commit_upload(upload, &digest).unwrap();
    digest
}

fn manifest(bytes: &[u8]) -> RawManifest {
    RawManifest {
        digest: digest(bytes),
        media_type: MediaType::new(MediaType::OCI_MANIFEST),
        bytes: bytes.to_vec(),
    }
}

#[test]
fn opens_only_its_own_directories_and_only_once() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("new/store");
    let missing = Store::open(&root, Access::ReadOnly).unwrap_err();
    assert!(matches!(
        missing,
        StoreError::NotAStore { .. } | StoreError::Io { .. }
    ));
    let first = open(&root);
    let second = Store::open(&root, Access::ReadWrite).unwrap_err();
    assert!(matches!(second, StoreError::Locked { .. }), "{second:?}");
    Store::open(&root, Access::ReadOnly).unwrap();
    drop(first);
    drop(open(&root));

    fs::write(root.join("airferry-registry"), "airferry-registry-v9\n").unwrap();
    let newer = Store::open(&root, Access::ReadWrite).unwrap_err();
    assert!(matches!(newer, StoreError::Version { .. }));
    let foreign = Store::open(directory.path(), Access::ReadWrite).unwrap_err();
    assert!(matches!(foreign, StoreError::NotAStore { .. }));
    assert!(!directory.path().join("tmp").exists());
}

#[test]
fn an_upload_goes_on_in_another_process_with_the_hash_of_all_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let name = repository("a/b");
    let store = open(directory.path());
    let mut upload = store.start_upload(&name).unwrap();
    upload.append(b"first ").unwrap();
    let id = upload.id();
    drop((upload, store));

    let store = open(directory.path());
    assert_eq!(store.upload_offset(&name, &id).unwrap(), 6);
    let mut upload = store.resume_upload(&name, &id).unwrap();
    assert_eq!(upload.offset(), 6);
    upload.append(b"second").unwrap();
    let whole = digest(b"first second");
    assert_eq!(store.commit_upload(upload, &whole).unwrap(), 12);
    let mut text = String::new();
    let mut reader = store.open_blob(&name, &whole).unwrap().unwrap();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "first second");
}

#[test]
fn the_latest_claim_writes_and_the_others_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let name = repository("a");
    let mut stuck = store.start_upload(&name).unwrap();
    stuck.append(b"one ").unwrap();
    let mut next = store.resume_upload(&name, &stuck.id()).unwrap();
    next.append(b"two").unwrap();
    assert!(matches!(
        stuck.append(b"late"),
        Err(StoreError::UploadTakenOver)
    ));
    assert!(matches!(stuck.rewind(0), Err(StoreError::UploadTakenOver)));
    let whole = digest(b"one two");
    let refused = store.commit_upload(stuck, &whole).unwrap_err();
    assert!(matches!(refused, StoreError::UploadTakenOver));

    // A published blob must not be changed, not even through a file that is still open.
    let id = next.id();
    store.commit_upload(next, &whole).unwrap();
    assert!(matches!(
        store.resume_upload(&name, &id),
        Err(StoreError::UploadUnknown)
    ));
    assert_eq!(store.blob_size(&name, &whole).unwrap(), Some(7));
}

#[test]
fn rewinding_forgets_the_bytes_and_their_hash() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut upload = store.start_upload(&repository("a")).unwrap();
    upload.append(b"kept, dropped").unwrap();
    upload.rewind(4).unwrap();
    upload.append(b"!").unwrap();
    assert_eq!(upload.offset(), 5);
    store.commit_upload(upload, &digest(b"kept!")).unwrap();
}

#[test]
fn a_wrong_digest_ends_the_session() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let name = repository("a");
    let mut upload = store.start_upload(&name).unwrap();
    upload.append(b"content").unwrap();
    let id = upload.id();
    let wrong = digest(b"other");
    let refused = store.commit_upload(upload, &wrong).unwrap_err();
    assert!(matches!(refused, StoreError::DigestMismatch { .. }));
    for digest in [wrong, digest(b"content")] {
        assert_eq!(store.blob_size(&name, &digest).unwrap(), None);
    }
    assert!(matches!(
        store.upload_offset(&name, &id),
        Err(StoreError::UploadUnknown)
    ));
}

#[test]
fn pushing_again_heals_damaged_data() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let name = repository("a");
    let digest = push(&store, &name, b"content");
    let path = store.layout.data(&digest);
    fs::write(&path, b"c0ntent").unwrap();
    push(&store, &repository("b"), b"content");
    assert_eq!(fs::read(&path).unwrap(), b"content");

    let document = manifest(b"{}");
    store.put_manifest(&name, &document, None, None).unwrap();
    fs::write(store.layout.data(&document.digest), b"[]").unwrap();
    let damaged = store.manifest(&name, &document.digest).unwrap_err();
    assert!(matches!(damaged, StoreError::Damaged { .. }));
    store.put_manifest(&name, &document, None, None).unwrap();
    assert_eq!(
        store.manifest(&name, &document.digest).unwrap(),
        Some(document)
    );
}

#[test]
fn a_crash_between_two_steps_leaves_no_name_without_content() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let name = repository("a");
    let (document, tag) = (manifest(b"{}"), "v1".parse::<Tag>().unwrap());
    let referrer = Referrer {
        subject: digest(b"subject"),
        descriptor: b"{}".to_vec(),
    };
    // Data and referrer entry are written, the link is not.
    store
        .put_manifest(&name, &document, Some(&tag), Some(&referrer))
        .unwrap();
    fs::remove_file(store.layout.manifest_link(&name, &document.digest)).unwrap();
    assert_eq!(store.manifest(&name, &document.digest).unwrap(), None);
    let listed = store.referrers(&name, &referrer.subject).unwrap();
    assert_eq!(listed, [document.digest]);
    let entry = store.referrer(&name, &referrer.subject, &document.digest);
    assert_eq!(entry.unwrap(), None);
    // A half-written file of a killed process is removed at the next start.
    fs::write(store.layout.temporary().join("half"), "{").unwrap();
    drop(store);
    let store = open(directory.path());
    assert_eq!(entries(&store.layout.temporary()).unwrap().len(), 0);
    store
        .put_manifest(&name, &document, Some(&tag), Some(&referrer))
        .unwrap();
    let entry = store.referrer(&name, &referrer.subject, &document.digest);
    assert_eq!(entry.unwrap(), Some(referrer.descriptor));
}

#[test]
fn forgets_sessions_that_nobody_continues() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let name = repository("deep/er");
    let old = store.start_upload(&name).unwrap();
    let young = store.start_upload(&name).unwrap();
    let (old, young) = (old.id(), young.id());
    let file = fs::File::options()
        .write(true)
        .open(store.layout.upload(&name, &old))
        .unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    drop((file, store));
    let store = open(directory.path());
    assert!(matches!(
        store.upload_offset(&name, &old),
        Err(StoreError::UploadUnknown)
    ));
    assert_eq!(store.upload_offset(&name, &young).unwrap(), 0);
}

#[test]
fn lists_repositories_below_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for name in ["b/c/d", "b", "a"] {
        let tag = "t".parse().unwrap();
        store
            .put_manifest(&repository(name), &manifest(b"{}"), Some(&tag), None)
            .unwrap();
    }
    push(&store, &repository("blobs-only"), b"x");
    let expected: Vec<_> = ["a", "b", "b/c/d"].map(repository).into();
    assert_eq!(store.repositories().unwrap(), expected);
}
