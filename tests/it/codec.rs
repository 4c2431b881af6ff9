//! `airferry codec`, and the codecs compared with other programs.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Cursor, Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use airferry::codec::{
    Caps, EncodeWriter, Encoder, IdentifyOptions, Identity, Recipe, identify, inflate, recreate,
};
use airferry::model::Digest;
use proptest::prelude::*;
use sha2::Digest as _;

const THREADS: NonZeroUsize = NonZeroUsize::new(2).unwrap();

fn options() -> IdentifyOptions {
    IdentifyOptions {
        threads: THREADS,
        caps: Caps::DEFAULT,
    }
}

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/codec")
}

fn vector(name: &str) -> Vec<u8> {
    fs_err::read(vectors().join(name)).unwrap()
}

/// Runs a program with `input` on stdin; the program must exist.
fn run(program: &str, args: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("this test needs `{program}`: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // A program that refuses its arguments does not read its input.
        scope.spawn(move || stdin.write_all(input).ok());
        child.wait_with_output().unwrap()
    })
}

fn airferry(args: &[&str], input: &[u8]) -> Output {
    run(env!("CARGO_BIN_EXE_airferry"), args, input)
}

fn stdout_of(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    let output = run(program, args, input);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {stderr}");
    output.stdout
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_airferry"))
        .args(["codec", "encode", "--encoder", "go126-6"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let random: Vec<u8> = (0..1u32 << 20)
        .flat_map(|n| n.wrapping_mul(2_654_435_761).rotate_left(n).to_le_bytes())
        .collect();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(&random).ok());
        stdout.read_exact(&mut [0; 10]).unwrap();
        drop(stdout);
        child.wait_with_output().unwrap()
    });
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr, "");
}

/// Identifies a blob; asserts that a recipe, if there is one, recreates the blob.
fn identified(blob: &[u8]) -> Identity {
    let identity = identify(Cursor::new(blob), &options()).unwrap();
    if let Identity::Recipe(recipe) = &identity {
        let recipe = Recipe::from_bytes(&recipe.to_bytes()).unwrap();
        let mut plain = Vec::new();
        inflate(blob, Caps::DEFAULT, &mut plain).unwrap();
        let mut made = Vec::new();
        recreate(plain.as_slice(), &recipe, THREADS, &mut made).unwrap();
        assert!(made == blob, "another blob was made");
    }
    identity
}

fn name(identity: &Identity) -> String {
    match identity {
        Identity::Recipe(recipe) => recipe.encoder().to_string(),
        Identity::Raw(reason) => reason.name().to_owned(),
    }
}

#[test]
fn blobs_of_real_programs_are_identified() {
    let expected = String::from_utf8(vector("expected.tsv")).unwrap();
    let (mut files, mut results) = (Vec::new(), Vec::new());
    for line in expected.lines().skip(1) {
        let mut columns = line.split('\t');
        files.push(
            vectors()
                .join(columns.next().unwrap())
                .display()
                .to_string(),
        );
        results.push(columns.next().unwrap().to_owned());
    }
    let mut args = vec!["codec", "identify", "--output", "json"];
    args.extend(files.iter().map(String::as_str));
    let found: serde_json::Value =
        serde_json::from_slice(&stdout_of(env!("CARGO_BIN_EXE_airferry"), &args, b"")).unwrap();
    let found: Vec<&str> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|found| {
            found
                .get("encoder")
                .or(found.get("reason"))
                .unwrap()
                .as_str()
                .unwrap()
        })
        .collect();
    assert_eq!(found, results);
    for file in &files {
        identified(&fs_err::read(file).unwrap());
    }
}

#[test]
fn identify_prints_the_encoder_and_the_recipe() {
    let file = vectors().join("buildah.gz").display().to_string();
    let text = stdout_of(
        env!("CARGO_BIN_EXE_airferry"),
        &["codec", "identify", &file],
        b"",
    );
    let text = String::from_utf8(text).unwrap();
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some(format!("{file}: kp5-C-pgzip-1024").as_str())
    );
    assert_eq!(lines.next(), Some("  content 90624 bytes"));
    let recipe = lines
        .next()
        .and_then(|line| line.strip_prefix("  recipe "))
        .unwrap();
    let recipe = Recipe::from_bytes(&hex::decode(recipe).unwrap()).unwrap();
    let digest = sha2::Sha256::digest(vector("buildah.gz"));
    assert_eq!(recipe.digest().as_bytes(), digest.as_slice());
}

#[test]
fn encode_makes_the_blob_of_a_real_program() {
    let blob = vector("buildah.gz");
    let plain = stdout_of("gzip", &["-dc"], &blob);
    let args = ["codec", "encode", "--encoder", "kp5-C-pgzip-1024"];
    assert!(stdout_of(env!("CARGO_BIN_EXE_airferry"), &args, &plain) == blob);
}

#[test]
fn mistakes_have_their_exit_codes() {
    let unknown = airferry(&["codec", "encode", "--encoder", "kp5-D-gzip"], b"");
    assert_eq!(unknown.status.code(), Some(2));
    let stderr = String::from_utf8(unknown.stderr).unwrap();
    assert!(
        stderr.contains("`kp5-D-gzip` is not the name of an encoder"),
        "{stderr}"
    );

    let missing = airferry(&["codec", "identify", "/nonexistent/blob"], b"");
    assert_eq!(missing.status.code(), Some(8));
    let stderr = String::from_utf8(missing.stderr).unwrap();
    assert!(stderr.contains("/nonexistent/blob"), "{stderr}");
}

/// Input for the programs of this machine: machine code, text, noise, and some repeats.
fn layer() -> Vec<u8> {
    let mut layer = Vec::new();
    let binary = fs_err::File::open(env!("CARGO_BIN_EXE_airferry")).unwrap();
    binary.take(300_000).read_to_end(&mut layer).unwrap();
    for source in ["src/codec/encoder.rs", "src/codec/block.rs"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(source);
        layer.extend(fs_err::read(path).unwrap());
    }
    layer.extend(vector("buildah.gz"));
    layer.extend_from_within(100_000..350_000);
    layer.resize(layer.len().next_multiple_of(512), 0);
    layer
}

#[test]
fn gzip_of_any_tool_comes_back_or_is_raw() {
    let layer = layer();
    for (program, args) in [
        ("gzip", &["-c"][..]),
        ("gzip", &["-1nc"]),
        ("pigz", &["-c"]),
        ("pigz", &["-9", "-p", "1", "-c"]),
        (
            "node",
            &[
                "-e",
                "process.stdin.pipe(require('zlib').createGzip()).pipe(process.stdout)",
            ],
        ),
    ] {
        let identity = identified(&stdout_of(program, args, &layer));
        // We do not have their encoders: the test is that no encoder claims the blob.
        assert_eq!(name(&identity), "unknown", "{program} {args:?}");
    }
}

#[test]
fn gzip_of_python_comes_back() {
    let layer = layer();
    for level in 1..=9 {
        let script = format!(
            "import gzip,sys\n\
             with gzip.GzipFile('x', 'wb', {level}, sys.stdout.buffer, 1) as f:\n \
             f.write(sys.stdin.buffer.read())"
        );
        let identity = identified(&stdout_of("python3", &["-c", &script], &layer));
        assert_eq!(name(&identity), format!("zlib-{level}-raw"));
    }
}

/// Writes an OCI layout with one image of one layer that is not compressed.
fn write_layout(at: &Path, layer: &[u8]) {
    let blobs = at.join("blobs/sha256");
    fs_err::create_dir_all(&blobs).unwrap();
    let put = |media_type: &str, bytes: &[u8]| {
        let hex = hex::encode(sha2::Sha256::digest(bytes));
        fs_err::write(blobs.join(&hex), bytes).unwrap();
        let digest = format!("sha256:{hex}");
        serde_json::json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    };
    let layer = put("application/vnd.oci.image.layer.v1.tar", layer);
    let config = serde_json::json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": [layer["digest"]] },
    });
    let config = put(
        "application/vnd.oci.image.config.v1+json",
        config.to_string().as_bytes(),
    );
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config,
        "layers": [layer],
    });
    let mut manifest = put(media_type, manifest.to_string().as_bytes());
    manifest["annotations"] = serde_json::json!({ "org.opencontainers.image.ref.name": "x" });
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs_err::write(at.join("index.json"), index.to_string()).unwrap();
    fs_err::write(at.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

/// Returns the blobs in a `dir:` directory that are gzip.
fn gzip_blobs(at: &Path) -> Vec<Vec<u8>> {
    fs_err::read_dir(at)
        .unwrap()
        .map(|entry| fs_err::read(entry.unwrap().path()).unwrap())
        .filter(|bytes| bytes.starts_with(b"\x1f\x8b"))
        .collect()
}

#[test]
fn layers_of_skopeo_come_back() {
    let work = tempfile::tempdir().unwrap();
    let (layout, copy) = (work.path().join("layout"), work.path().join("copy"));
    // More than a block of pgzip.
    let layer = [layer(), layer()].concat();
    write_layout(&layout, &layer);
    let from = format!("oci:{}:x", layout.display());
    let to = format!("dir:{}", copy.display());
    let args = ["--insecure-policy", "copy", "--dest-compress", &from, &to];
    stdout_of("skopeo", &args, b"");
    let blobs = gzip_blobs(&copy);
    assert_eq!(blobs.len(), 1);
    let name = name(&identified(&blobs[0]));
    let klauspost = name.starts_with("kp5-") && name.ends_with("-pgzip-1024");
    assert!(klauspost, "{name}");
}

fn small_blob(encoder: &str, plain: &[u8]) -> Vec<u8> {
    let encoder: Encoder = encoder.parse().unwrap();
    let mut writer = EncodeWriter::new(encoder, THREADS, Vec::new()).unwrap();
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// A changed blob is recreated exactly, or it is raw.
    #[test]
    fn changed_blobs_come_back_or_are_raw(
        encoder in prop::sample::select(vec!["kp5-C-pgzip-17", "kp6-A-gzip", "go126-6", "go126-1"]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
        tail in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let layer = layer();
        let mut blob = small_blob(encoder, &layer[100_000..140_000]);
        for (at, value) in changes {
            let at = at.index(blob.len());
            blob[at] = value;
        }
        if let Some(cut) = cut {
            blob.truncate(cut.index(blob.len()));
        }
        blob.extend(tail);
        identified(&blob);
    }

    /// A changed recipe is refused, or makes the blob whose digest it has, or fails.
    #[test]
    fn changed_recipes_make_no_wrong_blob(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..3),
    ) {
        let layer = layer();
        let plain = &layer[100_000..120_000];
        let blob = small_blob("kp5-C-pgzip-17", plain);
        let Identity::Recipe(recipe) = identified(&blob) else {
            panic!("the blob of an encoder must be identified");
        };
        let mut bytes = recipe.to_bytes();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(changed) = Recipe::from_bytes(&bytes) {
            let mut made = Vec::new();
            if recreate(plain, &changed, THREADS, &mut made).is_ok() {
                let digest = Digest::from_bytes(sha2::Sha256::digest(&made).into());
                prop_assert_eq!(changed.digest(), digest);
                prop_assert!(made == blob);
            }
        }
    }
}
