//! The test vectors of the bundle format (bundle-format.md, section 15): documents with one
//! fault each, and a whole bundle that another program wrote.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test may read files and panic"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::support::command::{Airferry, Outcome};
use crate::support::forge::sign_root;
use airferry::format::data_chunk::{FrameExpectation, Piece};
use airferry::format::hash::{self, BlobHasher, FileHasher};
use airferry::format::left_out::Filters;
use airferry::format::manifest_row::{self, ForeignUrls};
use airferry::format::statement::StatementStem;
use airferry::format::texts::Texts;
use airferry::format::{Placement, Rule, bundle, cbor, keys, metadata_chunk, statement};
use airferry::model::{BundleId, BundleManifest, ChunkKind, Digest, Inventory, ManifestFacts};

/// Returns the directory of the vectors.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/bundle")
}

/// The bytes of a vector's sections, by name.
pub(crate) fn sections<'a>(lines: impl Iterator<Item = &'a str>) -> BTreeMap<String, Vec<u8>> {
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    let mut current = None;
    for line in lines.filter(|line| !line.is_empty()) {
        match line.strip_prefix('[') {
            Some(name) => {
                let name = name.strip_suffix(']').unwrap().to_owned();
                texts.insert(name.clone(), String::new());
                current = Some(name);
            }
            None => texts
                .get_mut(current.as_ref().unwrap())
                .unwrap()
                .push_str(line),
        }
    }
    texts
        .into_iter()
        .map(|(name, text)| (name, hex::decode(text).unwrap()))
        .collect()
}

/// A test vector: its kind, the expected result, and its bytes.
pub(crate) struct Vector {
    pub(crate) kind: String,
    /// The rule that it breaks; `None` for a valid one.
    pub(crate) expect: Option<Rule>,
    pub(crate) sections: BTreeMap<String, Vec<u8>>,
}

impl Vector {
    pub(crate) fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let mut field = |name: &str| {
            let line = lines
                .next()
                .expect("a vector begins with kind, expect, comment");
            line.strip_prefix(&format!("{name}: "))
                .expect(name)
                .to_owned()
        };
        let (kind, expect, comment) = (field("kind"), field("expect"), field("comment"));
        assert!(!comment.is_empty());
        let expect = (expect != "ok").then(|| {
            let number = expect
                .strip_prefix("R-")
                .and_then(|number| number.parse().ok());
            Rule(number.unwrap_or_else(|| panic!("unknown expectation {expect}")))
        });
        Self {
            kind,
            expect,
            sections: sections(lines),
        }
    }

    fn section(&self, name: &str) -> &[u8] {
        &self.sections[name]
    }

    /// Returns the rule that our reader finds broken, if any, and its message.
    fn outcome(&self) -> Option<(Rule, String)> {
        match self.kind.as_str() {
            "manifest" => {
                let bytes = self.section("manifest");
                let error = match bundle::decode_manifest(bytes) {
                    Ok(manifest) => {
                        assert_eq!(bundle::encode_manifest(&manifest).unwrap(), bytes);
                        return None;
                    }
                    Err(error) => error,
                };
                Some((error.rule(), error.to_string()))
            }
            "inventory" => {
                let manifest = bundle::decode_manifest(self.section("manifest")).unwrap();
                let bytes = self.section("inventory");
                let error = match bundle::open_inventory(bytes, &manifest) {
                    Ok(inventory) => {
                        assert_eq!(bundle::encode_inventory(&inventory).unwrap(), bytes);
                        return None;
                    }
                    Err(error) => error,
                };
                Some((error.rule(), error.to_string()))
            }
            "row" => {
                let bytes = self.section("inventory");
                let inventory: Inventory = cbor::decode(bytes, "inventory").unwrap();
                let document = self.section("document");
                let row = inventory.manifest(&hash::sha256(document)).unwrap();
                let filters = Filters::new(&inventory).unwrap();
                let checked = manifest_row::check(row, document, &inventory);
                let checked = checked.and_then(|facts| {
                    filters.check(row, &facts)?;
                    Ok(facts)
                });
                let found = |facts: ManifestFacts| {
                    let mut urls = ForeignUrls::default();
                    urls.note(&facts, &inventory);
                    urls.wrong(&inventory)
                };
                match checked.map(found) {
                    Ok(wrong) if wrong.is_empty() => None,
                    Ok(wrong) => Some((Rule(26), format!("URLs of {wrong:?}"))),
                    Err(error) => Some((error.rule(), error.to_string())),
                }
            }
            "statement" => {
                let bytes = self.section("statement");
                let error = match statement::parse(bytes) {
                    Ok(parsed) => {
                        assert_eq!(statement::render(&parsed).unwrap().as_bytes(), bytes);
                        return None;
                    }
                    Err(error) => error,
                };
                Some((error.rule(), error.to_string()))
            }
            "signature" => {
                let key = self.section("key").try_into().unwrap();
                let error = match keys::VerifyingKey::from_bytes(key) {
                    Err(error) => error.to_string(),
                    Ok(key) => match key.verify(self.section("message"), self.section("signature"))
                    {
                        Ok(()) => return None,
                        Err(error) => error.to_string(),
                    },
                };
                Some((Rule(51), error))
            }
            other => panic!("unknown kind {other}"),
        }
    }
}

/// Every vector of a document or a signature, by relative path.
pub(crate) fn vector_files() -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(root()).sort_by_file_name();
    let files = walk
        .into_iter()
        .map(Result::unwrap)
        .filter(|e| e.file_type().is_file());
    files
        .map(walkdir::DirEntry::into_path)
        .filter(|path| !path.starts_with(root().join("whole")))
        .filter(|path| !path.starts_with(root().join("bundle")))
        .collect()
}

#[test]
fn every_vector_gives_what_it_expects() {
    let mut wrong = Vec::new();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for path in vector_files() {
        let vector = Vector::parse(&std::fs::read_to_string(&path).unwrap());
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        assert!(
            name.starts_with(&format!("{}/", vector.kind)),
            "{name} is in the wrong directory"
        );
        *kinds.entry(vector.kind.clone()).or_default() += 1;
        let outcome = vector.outcome();
        if outcome.as_ref().map(|(rule, _)| *rule) != vector.expect {
            wrong.push(format!(
                "{name}: expected {:?}, got {outcome:?}",
                vector.expect
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let kinds: Vec<&str> = kinds.keys().map(String::as_str).collect();
    assert_eq!(
        kinds,
        ["inventory", "manifest", "row", "signature", "statement"]
    );
}

/// The command reads documents as the library does. Each vector is put into a signed bundle whose
/// chunks are absent.
#[test]
fn the_command_gives_what_the_vectors_expect() {
    let account = Airferry::new();
    let key = keys::SigningKey::from_seed(&[7; 32]);
    let public = account.path("signer.pub");
    std::fs::write(&public, key.public().to_pem()).unwrap();
    let mut wrong = Vec::new();
    for path in vector_files() {
        let vector = Vector::parse(&std::fs::read_to_string(&path).unwrap());
        let Some(root) = vector.sections.get("manifest") else {
            continue;
        };
        let bundle = account.path("bundle");
        let _ = std::fs::remove_dir_all(&bundle);
        std::fs::create_dir(&bundle).unwrap();
        std::fs::write(bundle.join("manifest.cbor"), root).unwrap();
        if let Some(inventory) = vector.sections.get("inventory") {
            std::fs::write(bundle.join("inventory.cbor"), inventory).unwrap();
        }
        let sums = bundle::decode_manifest(root)
            .map(|manifest| Texts::new(&BundleId::new(hash::sha256(root)), &manifest).sums)
            .unwrap_or_default();
        std::fs::write(bundle.join("SHA256SUMS"), &sums).unwrap();
        sign_root(&bundle, &key, root, &sums);
        let mut command = account.command();
        command
            .arg("verify")
            .arg(&bundle)
            .arg("--trust")
            .arg(&public);
        command.args(["--output", "json"]);
        let outcome = Outcome::of(command);
        let report = outcome.json();
        let file = format!("{}.cbor", vector.kind);
        let about = report["findings"].as_array().unwrap().iter();
        let about: Vec<String> = about
            .filter(|finding| finding["file"] == file)
            .map(|finding| finding["message"].as_str().unwrap().to_owned())
            .collect();
        let right = match vector.expect {
            None => about.is_empty(),
            // The message about a difference from the manifest has no rule number.
            Some(Rule(20)) => about.iter().any(|message| message.contains("manifest")),
            Some(rule) => {
                let named = [
                    format!("{rule}:"),
                    format!("{rule} "),
                    "feature".to_owned(),
                    "version".to_owned(),
                ];
                about
                    .iter()
                    .any(|message| named.iter().any(|name| message.contains(name)))
            }
        };
        if !right || outcome.code != Some(4) {
            let name = path.strip_prefix(self::root()).unwrap().display();
            wrong.push(format!("{name}: {:?} {about:?}", outcome.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn whole(path: &str) -> Vec<u8> {
    std::fs::read(root().join("whole").join(path)).unwrap()
}

/// Returns the key that signed the whole bundle; its seed is 32 times the byte 7.
fn signer() -> keys::VerifyingKey {
    keys::SigningKey::from_seed(&[7; 32]).public()
}

#[test]
fn a_bundle_that_another_program_wrote_is_right() {
    let bytes = whole("manifest.cbor");
    let id = BundleId::new(hash::sha256(&bytes));
    let manifest = bundle::decode_manifest(&bytes).unwrap();
    let inventory = bundle::open_inventory(whole("inventory.cbor"), &manifest).unwrap();

    let texts = Texts::new(&id, &manifest);
    assert_eq!(texts.label.as_bytes(), whole("LABEL.txt"));
    assert_eq!(texts.sums.as_bytes(), whole("SHA256SUMS"));

    let stem = StatementStem::all(&id, &signer().fingerprint())
        .next()
        .unwrap();
    let text = whole(&stem.statement_path());
    signer()
        .verify(&text, &whole(&stem.signature_path()))
        .unwrap();
    let parsed = statement::parse(&text).unwrap();
    assert_eq!(parsed.key, signer().fingerprint());
    statement::check_document(&parsed, &bytes).unwrap();
    statement::check_manifest(&parsed, &manifest, texts.sums.as_bytes()).unwrap();

    check_chunks(&manifest, &inventory);
}

fn check_chunks(manifest: &BundleManifest, inventory: &Inventory) {
    let placement = Placement::new(inventory);
    let mut blobs: BTreeMap<Digest, BlobHasher> = BTreeMap::new();
    let mut documents = BTreeSet::new();
    for (chunk, origin) in manifest.chunks.iter().zip(&inventory.chunks) {
        let bytes = whole(&chunk.path());
        let mut hasher = FileHasher::new();
        hasher.update(&bytes);
        assert_eq!(&hasher.finish().into_chunk(chunk.number, chunk.kind), chunk);
        if chunk.kind == ChunkKind::Metadata {
            metadata_chunk::read(bytes.as_slice(), inventory, chunk.number, &mut |manifest| {
                assert!(manifest.fault.is_none(), "{:?}", manifest.fault);
                documents.insert(manifest.entry.digest);
            })
            .unwrap();
            let tar = metadata_chunk::MetadataTar::new(inventory, chunk.number).unwrap();
            assert_eq!(tar.decoded(), origin.decoded);
            continue;
        }
        let expectation = FrameExpectation::of(origin, &placement).unwrap();
        assert_eq!(expectation.length(), chunk.length);
        let mut comparison = expectation.compare();
        comparison.feed(&bytes, |piece| match piece {
            Piece::Fixed { wrong, .. } => assert_eq!(wrong, None),
            Piece::Beyond { length } => panic!("{length} bytes too many"),
            Piece::Blob { digest, bytes, .. } => blobs.entry(digest).or_default().update(bytes),
        });
        assert_eq!(comparison.position(), chunk.length);
    }
    for (digest, hasher) in blobs {
        assert_eq!(hasher.length(), inventory.blob(&digest).unwrap().size);
        assert_eq!(hasher.finish(), digest);
    }
    assert_eq!(documents.len(), inventory.manifests.len());
}

/// Runs openssl and returns its standard output; panics if it fails.
fn openssl(arguments: &[&str], directory: &Path) -> Vec<u8> {
    let output = std::process::Command::new("openssl")
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("openssl (Debian package `openssl`) must be installed");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "openssl {arguments:?}: {complaint}"
    );
    output.stdout
}

#[test]
fn openssl_takes_our_keys_and_signatures() {
    let directory = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    };
    let key = keys::SigningKey::from_seed(&[42; 32]);
    let message = b"What is signed.\n";
    put("plain.pem", key.to_pem().unwrap().as_bytes());
    put(
        "locked.pem",
        key.to_encrypted_pem(b"sesame", &[1; 32])
            .unwrap()
            .as_bytes(),
    );
    put("key.pub", key.public().to_pem().as_bytes());
    put("message", message);
    put("signature", &key.sign(message));
    let run = |line: &str| openssl(&line.split(' ').collect::<Vec<_>>(), directory.path());
    let der = key.public().to_der();
    assert_eq!(run("pkey -in plain.pem -pubout -outform DER"), der);
    assert_eq!(
        run("pkey -in locked.pem -passin pass:sesame -pubout -outform DER"),
        der
    );
    assert_eq!(run("pkey -pubin -in key.pub -outform DER"), der);
    run("pkeyutl -verify -pubin -inkey key.pub -rawin -in message -sigfile signature");
}
