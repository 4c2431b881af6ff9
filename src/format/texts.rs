//! Builds `LABEL.txt` and `SHA256SUMS`, both from the bytes of `manifest.cbor` (bundle-format.md,
//! R-07 and R-08).

use std::fmt::Write as _;

use super::hash;
use crate::model::{BundleId, BundleManifest};

/// Names of the files in the bundle's top directory.
pub mod name {
    /// The label, for people.
    pub const LABEL: &str = "LABEL.txt";
    /// The checksums, for `sha256sum -c`.
    pub const SUMS: &str = "SHA256SUMS";
    /// The root document.
    pub const MANIFEST: &str = "manifest.cbor";
    /// The list of content.
    pub const INVENTORY: &str = "inventory.cbor";
}

/// The contents of the two text files of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// `LABEL.txt`.
    pub label: String,
    /// `SHA256SUMS`.
    pub sums: String,
}

impl Texts {
    /// Builds both texts. `id` is the SHA-256 of the bytes from which `manifest` was read.
    pub fn new(id: &BundleId, manifest: &BundleManifest) -> Self {
        let label = label(id, manifest);
        let sums = sums(id, manifest, &label);
        Self { label, sums }
    }
}

/// The part of `LABEL.txt` below the fields (bundle-format.md, appendix).
const BY_HAND: &str = r#"
CHECK IT BY HAND (verify first, then extract)

1. Who made it. The maker's public key (maker.pub) must have reached you another
   way than this medium. Compare its fingerprint with the one you were told:
     openssl pkey -pubin -in maker.pub -outform DER | sha256sum
   Then, for NAME in signatures/ (OpenSSL 3.0 or newer):
     openssl pkeyutl -verify -pubin -inkey maker.pub -rawin \
       -in signatures/NAME.statement -sigfile signatures/NAME.sig
   In NAME.statement the line `manifest-sha256` must be the SHA-256 of manifest.cbor,
   the line `sums-sha256` that of SHA256SUMS, and the verdict must be `approve`:
     sha256sum manifest.cbor SHA256SUMS
2. Every byte:
     sha256sum -c SHA256SUMS
3. Only then look inside (data chunks first, the metadata chunks last):
     mkdir OUT
     for f in chunks/*.tar; do tar -xf "$f" -C OUT; done
     for f in chunks/*.tar.zst; do zstd -dc "$f" | tar -xf - -C OUT; done
   Blobs that were cut are put together by the lines of OUT/airferry/join-*.txt.

With airferry:  airferry verify DIR --trust maker.pub
"#;

fn label(id: &BundleId, manifest: &BundleManifest) -> String {
    let mut text = String::from("AIRFERRY BUNDLE\n\n");
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<13}{value}");
    };
    let fields = [
        ("Title:", &manifest.label.title),
        ("Owner:", &manifest.label.owner),
        ("Marking:", &manifest.label.marking),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            line(name, value.as_str());
        }
    }
    let groups: Vec<String> = id.digest().as_bytes().chunks(2).map(hex::encode).collect();
    let (first, second) = groups.split_at(groups.len() / 2);
    line("Bundle id:", &first.join(" "));
    line("", &second.join(" "));
    line("Format:", &manifest.format.to_string());
    line("Generation:", &manifest.generation.to_string());
    line(
        "Complete:",
        if manifest.complete {
            "yes"
        } else {
            "no: some images are missing, see `airferry inspect`"
        },
    );
    let (files, bytes) = (manifest.chunks.len(), manifest.chunk_bytes());
    line("Chunks:", &format!("{files} files, {bytes} bytes"));
    text.push_str(BY_HAND);
    text
}

fn sums(id: &BundleId, manifest: &BundleManifest, label: &str) -> String {
    let label = hash::sha256(label.as_bytes());
    let heads = [
        (label, name::LABEL),
        (manifest.inventory.sha256, name::INVENTORY),
        (*id.digest(), name::MANIFEST),
    ];
    let mut text = String::new();
    for (digest, path) in heads {
        text.push_str(&format!("{}  {path}\n", digest.hex()));
    }
    for chunk in &manifest.chunks {
        text.push_str(&format!("{}  {}\n", chunk.sha256.hex(), chunk.path()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::testing::sample;
    use super::*;

    /// Reads the template from the appendix of bundle-format.md, without its indentation.
    fn template() -> String {
        let document = include_str!("../../bundle-format.md");
        let (_, appendix) = document.split_once("## Appendix: LABEL.txt").unwrap();
        let (_, template) = appendix.split_once("    AIRFERRY BUNDLE").unwrap();
        let lines = template.trim_end().lines();
        let lines: Vec<&str> = lines
            .map(|line| line.strip_prefix("    ").unwrap_or(""))
            .collect();
        format!("AIRFERRY BUNDLE{}\n", lines.join("\n"))
    }

    #[test]
    fn the_label_is_the_specifications_template() {
        let mut manifest = sample().manifest;
        let id: BundleId = format!("sha256:{}", "0123456789abcdef".repeat(4))
            .parse()
            .unwrap();
        let groups = ["0123 4567 89ab cdef"; 2].join(" ");
        let filled = |text: String| {
            text.replace("{8 groups of 4 digits of the bundle id}", &groups)
                .replace("{the other 8 groups}", &groups)
                .replace("{generation}", "1")
                .replace("{number of chunks}", "3")
                .replace("{their bytes}", "8380")
        };
        let complete = "{yes | no: some images are missing, see `airferry inspect`}";
        manifest.label.owner = Some("The owner".parse().unwrap());
        manifest.label.marking = Some("OFFICIAL".parse().unwrap());
        let all = filled(template())
            .replace("{title}", "A sample")
            .replace("{owner}", "The owner")
            .replace("{marking}", "OFFICIAL")
            .replace(complete, "yes");
        assert_eq!(Texts::new(&id, &manifest).label, all);
        manifest.label = Default::default();
        manifest.complete = false;
        let none: String = filled(template())
            .replace(
                complete,
                "no: some images are missing, see `airferry inspect`",
            )
            .split_inclusive('\n')
            .filter(|line| !line.contains(['{', '}']))
            .collect();
        assert_eq!(Texts::new(&id, &manifest).label, none);
    }

    #[test]
    fn sums_list_everything_but_signatures() {
        let manifest = sample().manifest;
        let id = BundleId::new(hash::sha256(b"id"));
        let texts = Texts::new(&id, &manifest);
        let label = hash::sha256(texts.label.as_bytes()).hex();
        let chunk = hash::sha256(b"chunk").hex();
        let expected = format!(
            "{label}  LABEL.txt\n{}  inventory.cbor\n{}  manifest.cbor\n\
             {chunk}  chunks/000001.tar\n{chunk}  chunks/000002.tar\n{chunk}  chunks/000003.tar.zst\n",
            manifest.inventory.sha256.hex(),
            id.hex()
        );
        assert_eq!(texts.sums, expected);
    }
}
