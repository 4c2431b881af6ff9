use proptest::prelude::*;

use super::super::testing::{Sample, chunk_id, sample};
use super::*;

/// Returns the sample with the length of its metadata chunk filled in, and that chunk.
fn finished() -> (Sample, Vec<u8>) {
    let mut sample = sample();
    sample.inventory.chunks[2].decoded = 0;
    let decoded = MetadataTar::new(&sample.inventory, chunk_id(3))
        .unwrap()
        .decoded();
    sample.inventory.chunks[2].decoded = decoded;
    let tar = MetadataTar::new(&sample.inventory, chunk_id(3)).unwrap();
    let bytes = tar
        .write_compressed(Vec::new(), &mut fetch(&sample))
        .unwrap();
    (sample, bytes)
}

fn fetch(sample: &Sample) -> impl FnMut(&Digest) -> io::Result<Vec<u8>> + '_ {
    |digest| Ok(sample.content[digest].clone())
}

fn plain(sample: &Sample) -> Vec<u8> {
    let tar = MetadataTar::new(&sample.inventory, chunk_id(3)).unwrap();
    let mut bytes = Vec::new();
    tar.write(&mut bytes, &mut fetch(sample)).unwrap();
    bytes
}

fn compressed(tar: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder
        .set_pledged_src_size(Some(tar.len() as u64))
        .unwrap();
    encoder.write_all(tar).unwrap();
    encoder.finish().unwrap()
}

fn read_all(sample: &Sample, bytes: &[u8]) -> Result<Vec<(Digest, bool)>, MetadataError> {
    let mut manifests = Vec::new();
    read(bytes, &sample.inventory, chunk_id(3), &mut |manifest| {
        manifests.push((manifest.entry.digest, manifest.fault.is_none()));
    })?;
    Ok(manifests)
}

fn rule(sample: &Sample, bytes: &[u8]) -> Option<u8> {
    read_all(sample, bytes).err().map(|error| error.rule().0)
}

#[test]
fn what_is_written_is_read_back() {
    let (sample, bytes) = finished();
    let manifests = read_all(&sample, &bytes).unwrap();
    let expected: Vec<(Digest, bool)> = sample
        .inventory
        .manifests
        .iter()
        .map(|m| (m.digest, true))
        .collect();
    assert_eq!(manifests, expected);
    let again = MetadataTar::new(&sample.inventory, chunk_id(3)).unwrap();
    assert_eq!(
        again
            .write_compressed(Vec::new(), &mut fetch(&sample))
            .unwrap(),
        bytes
    );
    let mut manifest = sample.manifest.clone();
    manifest.chunks[2].length = bytes.len() as u64;
    super::super::bundle::check_inventory(&sample.inventory, &manifest).unwrap();
    let lengths: BTreeMap<Digest, u64> = sample
        .inventory
        .manifests
        .iter()
        .map(|m| (m.digest, m.extent.stored))
        .collect();
    let placed = place(chunk_id(3), &lengths).unwrap();
    for entry in &sample.inventory.manifests {
        assert_eq!(placed[&entry.digest], entry.extent);
    }
}

#[test]
fn the_tar_is_read_by_others() {
    let (sample, _) = finished();
    let bytes = plain(&sample);
    assert_eq!(bytes.len() as u64, sample.inventory.chunks[2].decoded);
    let mut archive = ::tar::Archive::new(bytes.as_slice());
    let mut lines = Vec::new();
    let mut join = String::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = String::from_utf8(entry.path_bytes().to_vec()).unwrap();
        let link = entry
            .link_name_bytes()
            .map(|link| String::from_utf8(link.to_vec()).unwrap());
        if path.starts_with("airferry/join") {
            entry.read_to_string(&mut join).unwrap();
        }
        lines.push((entry.header().entry_type(), path, link));
    }
    // Marker, three OCI manifests, join file, names of one blob, three manifests, two tags.
    assert_eq!(lines.len(), 1 + 3 + 1 + 6, "{lines:#?}");
    assert_eq!(lines[4].1, "airferry/join-000003.txt");
    let cut = sample
        .content
        .iter()
        .find(|(_, bytes)| bytes.len() == 1500)
        .unwrap()
        .0
        .hex();
    let line = format!(
        "cat v2/blobs/sha256-{cut}.0001 v2/blobs/sha256-{cut}.0002 > v2/blobs/sha256-{cut}\n"
    );
    assert_eq!(join, line);
    let root = sample.inventory.images[0].root.unwrap();
    assert!(lines.contains(&(
        ::tar::EntryType::Symlink,
        "v2/quay.io/okd/scos/manifests/4.18".to_owned(),
        Some(root.to_string())
    )));
    assert!(lines.contains(&(
        ::tar::EntryType::Link,
        format!("v2/quay.io/okd/scos/manifests/{root}"),
        Some(format!("v2/blobs/sha256-{}", root.hex()))
    )));
}

#[test]
fn every_changed_byte_of_the_tar_is_found() {
    let (sample, _) = finished();
    let tar = plain(&sample);
    assert_eq!(rule(&sample, &compressed(&tar)), None);
    for at in (0..tar.len()).step_by(3) {
        let mut other = tar.clone();
        other[at] ^= 1;
        match read_all(&sample, &compressed(&other)) {
            Err(error) => assert!(matches!(error, MetadataError::Content { .. }), "{error}"),
            Ok(manifests) => {
                let faulty = manifests.iter().filter(|(_, right)| !right).count();
                assert_eq!(faulty, 1, "byte {at}");
            }
        }
    }
}

#[test]
fn frames_of_another_form_are_refused() {
    let (sample, bytes) = finished();
    let tar = plain(&sample);
    assert_eq!(rule(&sample, b""), Some(45));
    assert_eq!(rule(&sample, &tar), Some(45));
    assert_eq!(rule(&sample, &[&bytes[..], b"x"].concat()), Some(45));
    assert_eq!(rule(&sample, &[&bytes[..], &bytes[..]].concat()), Some(45));
    let skippable = b"\x50\x2a\x4d\x18\x00\x00\x00\x00";
    assert_eq!(
        rule(&sample, &[&skippable[..], &bytes[..]].concat()),
        Some(45)
    );
    assert_eq!(
        rule(&sample, &[&bytes[..], &skippable[..]].concat()),
        Some(45)
    );
    for length in 0..bytes.len() {
        assert_eq!(rule(&sample, &bytes[..length]), Some(45), "cut to {length}");
    }
    // Without content size.
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.write_all(&tar).unwrap();
    assert_eq!(rule(&sample, &encoder.finish().unwrap()), Some(45));
    // Two frames that decompress to the tar together; then a tar that is longer.
    let two = [compressed(&tar[..512]), compressed(&tar[512..])].concat();
    assert_eq!(rule(&sample, &two), Some(45));
    let longer = [&tar[..], &[0; 512]].concat();
    assert_eq!(rule(&sample, &compressed(&longer)), Some(45));
    let mut said = sample;
    said.inventory.chunks[2].decoded += 512;
    assert_eq!(rule(&said, &compressed(&longer)), Some(40));
}

#[test]
fn frame_heads_are_checked_before_decompression() {
    let fault = |head: &[u8]| match frame::check(head, 0x0100) {
        Ok(()) => "",
        Err(MetadataError::Frame { fault }) => fault,
        Err(other) => panic!("{other}"),
    };
    let head = |rest: &[u8]| [&b"\x28\xb5\x2f\xfd"[..], rest].concat();
    // Single segment and window forms of the content size 256.
    assert_eq!(fault(&head(b"\x60\x00\x00")), "");
    assert_eq!(fault(&head(b"\x40\x68\x00\x00")), "");
    assert_eq!(fault(&head(b"\xa0\x00\x01\x00\x00")), "");
    assert_eq!(fault(&head(b"\xe0\x00\x01\x00\x00\x00\x00\x00\x00")), "");
    assert!(fault(&head(b"\x40\x69\x00\x00")).contains("window"));
    assert!(fault(&head(b"\x40\xff\x00\x00")).contains("window"));
    assert!(fault(&head(b"\x60\x01\x00")).contains("inventory says"));
    assert!(fault(&head(b"\x00\x68")).contains("content size"));
    assert!(fault(&head(b"\x61\x00\x00\x00")).contains("dictionary"));
    assert!(fault(&head(b"\x68\x00\x00")).contains("reserved"));
    assert!(fault(&head(b"\x60\x00")).contains("no zstd"));
    let large = head(b"\xa0\x00\x00\x80\x01");
    assert!(
        frame::check(&large, 0x0180_0000)
            .unwrap_err()
            .to_string()
            .contains("window")
    );
}

#[test]
fn older_chunks_may_hold_fewer_names_but_no_false_ones() {
    let (sample, _) = finished();
    let tar = plain(&sample);
    let mut inventory = sample.inventory.clone();
    // A second generation makes chunk 3 a chunk of an older generation.
    let mut row = inventory.chunks[2].clone();
    (row.number, row.generation) = (chunk_id(4), 2);
    inventory.chunks.push(row);
    let names = Names::new(&inventory).unwrap();
    let entries: Vec<Vec<u8>> = names.all().map(|name| names.entry(name)).collect();
    let total: usize = entries.iter().map(Vec::len).sum();
    let front = &tar[..tar.len() - 1024 - total];
    let with = |entries: &[&[u8]]| {
        let tar = [front, &entries.concat(), &[0; 1024]].concat();
        let mut inventory = inventory.clone();
        inventory.chunks[2].decoded = tar.len() as u64;
        let result = read(&compressed(&tar)[..], &inventory, chunk_id(3), &mut |_| {});
        result.err().map(|error| error.rule().0)
    };
    let all: Vec<&[u8]> = entries.iter().map(Vec::as_slice).collect();
    assert!(
        all.iter().any(|entry| entry.len() > 512),
        "no long name is tested"
    );
    assert_eq!(with(&all), None);
    assert_eq!(with(&[]), None);
    assert_eq!(with(&[all[1], all[4]]), None);
    assert_eq!(with(&[all[4], all[1]]), Some(48));
    assert_eq!(with(&[all[1], all[1]]), Some(48));
    let mut wrong = entries[0].clone();
    let last = wrong.len() - 400;
    wrong[last] ^= 1;
    assert_eq!(with(&[&wrong]), Some(48));
    let endless = tar::header("x", tar::EntryKind::File, 4097, "").unwrap();
    let mut endless = endless;
    endless[156] = b'x';
    assert_eq!(with(&[&endless]), Some(42));
}

#[test]
fn places_have_caps() {
    let digest = |n| Digest::from_bytes([n; 32]);
    let one = |length| place(chunk_id(1), &BTreeMap::from([(digest(1), length)]));
    assert!(one(1).is_some());
    for length in [0, Limits::METADATA, u64::MAX] {
        assert!(one(length).is_none(), "{length}");
    }
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(at in 0usize..2000, byte: u8, cut in 0usize..4000) {
        let (sample, mut bytes) = finished();
        if let Some(slot) = bytes.get_mut(at) {
            *slot = byte;
        }
        bytes.truncate(cut);
        let _ = read_all(&sample, &bytes);
    }
}
