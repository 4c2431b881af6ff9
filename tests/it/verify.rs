//! `airferry verify` on all kinds of damage, and `inspect` on the same bundles.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::command::Outcome;
use crate::support::images::{Build, noise};
use crate::support::stage::{Stage, files, flip};
use crate::support::tools::run;

const MIB: usize = 1 << 20;

/// Exports a signed bundle of several data chunks; one blob is cut, one chunk has several blocks.
fn signed() -> (Stage, PathBuf) {
    let stage = Stage::new();
    let small = Build::oci("small").layer(3000).layer(700).image();
    let large = Build::docker("large").plain_layer(9 * MIB).image();
    let references = [
        stage.publish("team/small", "v1", &small),
        stage.publish("team/large", "v1", &large),
    ];
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    let bundle = stage.export("bundle", &references, &["--chunk-size", "6MiB"]);
    let chunks = files(&bundle.join("chunks"));
    assert!(chunks.len() >= 3, "{chunks:?}");
    (stage, bundle)
}

/// Returns the findings of a run with `--output json`.
fn findings(outcome: &Outcome) -> Vec<Value> {
    outcome.json()["findings"].as_array().unwrap().clone()
}

/// Returns true if a finding that makes the run fail names a file.
fn names(outcome: &Outcome, file: &str) -> bool {
    let harmless = ["foreign-file", "system-file", "not-authenticated"];
    findings(outcome).iter().any(|finding| {
        finding["file"] == file && !harmless.contains(&finding["kind"].as_str().unwrap())
    })
}

/// Returns offsets in a chunk for each kind of region: headers, padding, blob, trailer.
fn regions(chunk: &Path) -> Vec<usize> {
    let bytes = fs::read(chunk).unwrap();
    let mut offsets = vec![0, 156, 300, 511, 512, 530, 700, 1023];
    let mut archive = tar::Archive::new(bytes.as_slice());
    for entry in archive.entries().unwrap() {
        let entry = entry.unwrap();
        let header = usize::try_from(entry.raw_header_position()).unwrap();
        let data = usize::try_from(entry.raw_file_position()).unwrap();
        let size = usize::try_from(entry.size()).unwrap();
        offsets.extend([
            header + 20,
            header + 130,
            data,
            data + size / 2,
            data + size - 1,
        ]);
        if size % 512 != 0 {
            offsets.push(data + size);
        }
    }
    offsets.extend([bytes.len() - 1024, bytes.len() - 1]);
    offsets.sort_unstable();
    offsets.dedup();
    offsets
}

#[test]
fn one_flipped_bit_is_found_wherever_it_is() {
    let (stage, bundle) = signed();
    stage
        .verify(&bundle, &["--strict"])
        .succeeds()
        .stdout_has("authenticated, intact, complete");
    for file in files(&bundle) {
        let length = fs::metadata(bundle.join(&file)).unwrap().len() as usize;
        let offsets = match file.ends_with(".tar") {
            true => regions(&bundle.join(&file)),
            false => (0..8).map(|n| n * (length - 1) / 7).collect(),
        };
        let original = fs::read(bundle.join(&file)).unwrap();
        for (turn, offset) in offsets.into_iter().enumerate() {
            let bit = (turn % 8) as u8;
            flip(&bundle.join(&file), offset, bit);
            let outcome = stage.verify(&bundle, &["--output", "json"]);
            let place = format!("{file}, byte {offset}, bit {bit}\n{outcome}");
            assert_eq!(outcome.code, Some(4), "{place}");
            // Either the statement or its signature may be the damaged one.
            let named = match file.strip_suffix(".sig") {
                Some(stem) => {
                    assert!(outcome.stdout.contains(&file), "{place}");
                    format!("{stem}.statement")
                }
                None => file.clone(),
            };
            assert!(names(&outcome, &named), "{place}");
            if file.ends_with(".tar") {
                let block = (offset / (4 * MIB)) as u64;
                let all = findings(&outcome);
                assert_eq!(all.len(), 1, "{place}");
                assert_eq!(all[0]["block"], block, "{place}");
                assert_eq!(all[0]["file"], file, "{place}");
            }
            outcome.hides("panicked");
            fs::write(bundle.join(&file), &original).unwrap();
        }
    }
    stage.verify(&bundle, &[]).succeeds();
}

/// A missing chunk is not counted; the others are counted by kind.
#[test]
fn bytes_are_counted_for_what_is_there() {
    let (stage, bundle) = signed();
    let bytes = |outcome: &Outcome| {
        let report = outcome.json();
        let number = |key: &str| report["bytes"][key].as_u64().unwrap();
        (number("content"), number("framing"))
    };
    let (content, framing) = bytes(&stage.verify(&bundle, &["--output", "json"]).succeeds());
    let chunks = files(&bundle.join("chunks"));
    let data = chunks.iter().filter(|name| name.ends_with(".tar"));
    let sizes = |name: &String| {
        fs::metadata(bundle.join("chunks").join(name))
            .unwrap()
            .len()
    };
    let gone = data.min_by_key(|name| sizes(name)).unwrap();
    let lost = sizes(gone);
    fs::remove_file(bundle.join("chunks").join(gone)).unwrap();
    let outcome = stage.verify(&bundle, &["--output", "json"]).fails_with(4);
    let (content_left, framing_left) = bytes(&outcome);
    assert_eq!(content_left + framing_left + lost, content + framing);
    assert!(framing_left > 0 && framing_left < framing, "{outcome}");
}

#[test]
fn damage_names_the_images_that_it_hits_and_no_others() {
    let (stage, bundle) = signed();
    let host = stage.source.host().to_string();
    let mut hit = Vec::new();
    for chunk in files(&bundle.join("chunks")) {
        let path = bundle.join("chunks").join(&chunk);
        let original = fs::read(&path).unwrap();
        flip(&path, original.len() / 2, 3);
        let outcome = stage.verify(&bundle, &["--output", "json"]).fails_with(4);
        for finding in findings(&outcome) {
            let images = finding["images"]
                .as_array()
                .unwrap_or_else(|| panic!("{outcome}"));
            hit.push((chunk.clone(), images.clone()));
        }
        fs::write(&path, original).unwrap();
    }
    let large = Value::from(format!("{host}/team/large:v1"));
    let alone = hit.iter().filter(|(_, images)| *images == [large.clone()]);
    assert!(alone.count() >= 1, "{hit:?}");
    let both = hit.iter().filter(|(chunk, _)| chunk.ends_with(".zst"));
    assert!(both.clone().all(|(_, images)| images.len() == 2), "{hit:?}");
}

#[test]
fn every_finding_is_reported_and_not_the_first() {
    let (stage, bundle) = signed();
    let chunks = files(&bundle.join("chunks"));
    for chunk in &chunks {
        flip(&bundle.join("chunks").join(chunk), 600, 1);
    }
    flip(&bundle.join("LABEL.txt"), 3, 1);
    flip(&bundle.join("SHA256SUMS"), 3, 1);
    let outcome = stage.verify(&bundle, &["--output", "json"]).fails_with(4);
    for chunk in &chunks {
        assert!(names(&outcome, &format!("chunks/{chunk}")), "{outcome}");
    }
    assert!(names(&outcome, "LABEL.txt"), "{outcome}");
    assert!(names(&outcome, "SHA256SUMS"), "{outcome}");
    let text = stage.verify(&bundle, &[]).fails_with(4);
    text.stdout_has("DAMAGED").stdout_has("LABEL.txt: ");
    let untrusted = stage.importer.run(["verify".as_ref(), bundle.as_os_str()]);
    untrusted.fails_with(4).stdout_has("NOT AUTHENTICATED");
}

/// The signed manifest is right, so a wrong line about it in `SHA256SUMS` blames that file alone.
#[test]
fn a_wrong_line_about_the_manifest_does_not_blame_the_manifest() {
    let (stage, bundle) = signed();
    let sums = fs::read_to_string(bundle.join("SHA256SUMS")).unwrap();
    flip(
        &bundle.join("SHA256SUMS"),
        sums.find("  manifest.cbor").unwrap() - 1,
        1,
    );
    let outcome = stage.verify(&bundle, &["--output", "json"]).fails_with(4);
    assert!(names(&outcome, "SHA256SUMS"), "{outcome}");
    assert!(!names(&outcome, "manifest.cbor"), "{outcome}");
}

#[test]
fn chunks_that_are_cut_swapped_missing_doubled_or_foreign_are_found() {
    let (stage, bundle) = signed();
    let other = {
        let image = Build::oci("other").layer(3000).image();
        let reference = stage.publish("team/other", "v1", &image);
        stage.export("other", &[&reference], &[])
    };
    let chunks: Vec<String> = files(&bundle.join("chunks"))
        .iter()
        .map(|name| format!("chunks/{name}"))
        .collect();
    let check = |name: &str, damage: &dyn Fn(&Path), wrong: &[&str]| {
        let copy = stage.copy(&bundle, "copy");
        damage(&copy);
        let outcome = stage.verify(&copy, &["--output", "json"]);
        assert_eq!(outcome.code, Some(4), "{name}\n{outcome}");
        for file in wrong {
            assert!(names(&outcome, file), "{name}: {file}\n{outcome}");
        }
        outcome
    };
    for chunk in &chunks {
        let outcome = check(
            "missing",
            &|at| fs::remove_file(at.join(chunk)).unwrap(),
            &[chunk],
        );
        let about = findings(&outcome);
        let about = about.iter().filter(|finding| finding["file"] == *chunk);
        assert_eq!(about.count(), 1, "said once\n{outcome}");
        for length in [0, 1, 600, 2048] {
            let cut = |at: &Path| {
                let file = fs::OpenOptions::new().write(true).open(at.join(chunk));
                file.unwrap().set_len(length).unwrap();
            };
            if length < fs::metadata(bundle.join(chunk)).unwrap().len() {
                check("cut", &cut, &[chunk]);
            }
        }
        let longer = |at: &Path| {
            let mut bytes = fs::read(at.join(chunk)).unwrap();
            bytes.extend([0; 512]);
            fs::write(at.join(chunk), bytes).unwrap();
        };
        check("longer", &longer, &[chunk]);
        let foreign = |at: &Path| {
            fs::copy(other.join("chunks/000001.tar"), at.join(chunk)).unwrap();
        };
        check("of another bundle", &foreign, &[chunk]);
        let zeroes = |at: &Path| {
            let length = fs::metadata(at.join(chunk)).unwrap().len() as usize;
            fs::write(at.join(chunk), vec![0; length]).unwrap();
        };
        check("zeroes", &zeroes, &[chunk]);
    }
    let swap = |at: &Path| {
        fs::rename(at.join(&chunks[0]), at.join("x")).unwrap();
        fs::rename(at.join(&chunks[1]), at.join(&chunks[0])).unwrap();
        fs::rename(at.join("x"), at.join(&chunks[1])).unwrap();
    };
    check("swapped", &swap, &[&chunks[0], &chunks[1]]);
    let copy = stage.copy(&bundle, "copy");
    fs::copy(copy.join(&chunks[0]), copy.join("chunks/000077.tar")).unwrap();
    stage.verify(&copy, &[]).succeeds().stdout_has("000077.tar");
    stage.verify(&copy, &["--strict"]).fails_with(9);
}

#[test]
fn what_is_no_regular_file_is_refused_everywhere() {
    let (stage, bundle) = signed();
    let elsewhere = stage.copy(&bundle, "elsewhere");
    let mut all = files(&bundle);
    all.extend(["chunks", "signatures"].map(str::to_owned));
    for file in all {
        for kind in ["link", "fifo", "directory"] {
            let copy = stage.copy(&bundle, "copy");
            let path = copy.join(&file);
            let is_directory = path.is_dir();
            if is_directory {
                fs::remove_dir_all(&path).unwrap();
            } else {
                fs::remove_file(&path).unwrap();
            }
            match kind {
                // The link points to a correct file: following it would be the bug.
                "link" => symlink(elsewhere.join(&file), &path).unwrap(),
                "fifo" => drop(run(Command::new("mkfifo").arg(&path))),
                _ => fs::create_dir(&path).unwrap(),
            }
            let outcome = stage.verify(&copy, &["--output", "json"]);
            // Without its signatures a bundle is not damaged but unsigned.
            let allowed: &[i32] = match file.starts_with("signatures") {
                true => &[3, 4],
                false => &[4],
            };
            let code = outcome.code.unwrap();
            assert!(allowed.contains(&code), "{file} as {kind}\n{outcome}");
            outcome.hides("panicked");
            stage.import(&copy, "127.0.0.1:9", &[]).fails_with(code);
            let mut inspect = stage.importer.command();
            inspect.arg("inspect").arg(&copy);
            Outcome::of(inspect).hides("panicked");
        }
    }
}

#[test]
fn statements_are_weighed() {
    let (stage, bundle) = signed();
    let key = |name: &str| {
        let path = stage.exporter.path(name);
        stage
            .exporter
            .run(["keygen".as_ref(), "--out".as_ref(), path.as_os_str()])
            .succeeds();
        stage.exporter.path(&format!("{name}.pem"))
    };
    let sign = |bundle: &Path, key: &Path, more: &[&str]| {
        let mut command = stage.exporter.command();
        command
            .arg("sign")
            .arg(bundle)
            .arg("--key")
            .arg(key)
            .args(more);
        Outcome::of(command).succeeds()
    };
    let exporter = stage.exporter.path("exporter.pem");
    let stranger = key("stranger");

    // A statement by another key is listed and has no effect.
    let copy = stage.copy(&bundle, "copy");
    sign(&copy, &stranger, &["--verdict", "reject"]);
    let outcome = stage.verify(&copy, &["--strict"]).succeeds();
    outcome.stdout_has("signature not checked (no --trust key matches): ");

    // A trusted key's rejection is never waived.
    let copy = stage.copy(&bundle, "copy");
    sign(&copy, &exporter, &["--verdict", "reject"]);
    for more in [&[][..], &["--allow-unsigned"]] {
        let outcome = stage.verify(&copy, more).fails_with(4);
        outcome.stdout_has("REJECTS");
        stage.import(&copy, "127.0.0.1:9", more).fails_with(4);
    }

    // An expired statement counts as no statement, and is waived like one: an attacker could remove
    // it as well.
    let copy = stage.copy(&bundle, "copy");
    fs::remove_dir_all(copy.join("signatures")).unwrap();
    let past = ["--role", "exporter", "--expires", "2020-01-01T00:00:00Z"];
    sign(&copy, &exporter, &past);
    stage
        .verify(&copy, &[])
        .fails_with(3)
        .stdout_has("expired on 2020-01-01T00:00:00Z");
    stage.verify(&copy, &["--allow-unsigned"]).succeeds();
    // A newer statement replaces it.
    sign(&copy, &exporter, &["--role", "exporter"]);
    stage.verify(&copy, &[]).succeeds();

    // A reviewer's approval does not replace an exporter's.
    let copy = stage.copy(&bundle, "copy");
    fs::remove_dir_all(copy.join("signatures")).unwrap();
    stage
        .verify(&copy, &[])
        .fails_with(3)
        .stdout_has("NOT AUTHENTICATED");
    stage.verify(&copy, &["--allow-unsigned"]).succeeds();
    sign(&copy, &exporter, &["--role", "reviewer"]);
    stage.verify(&copy, &[]).fails_with(3);

    // An invalid signature by a known key is worse than none.
    let copy = stage.copy(&bundle, "copy");
    let signature = files(&copy)
        .into_iter()
        .find(|f| f.ends_with(".sig"))
        .unwrap();
    fs::write(copy.join(&signature), noise("sig", 64)).unwrap();
    for more in [&[][..], &["--allow-unsigned"]] {
        stage.verify(&copy, more).fails_with(4);
        stage.import(&copy, "127.0.0.1:9", more).fails_with(4);
    }

    // Without trusted keys the exit code is 3, and everything else is checked.
    let nobody = |bundle: &Path| stage.importer.run(["verify".as_ref(), bundle.as_os_str()]);
    nobody(&bundle)
        .fails_with(3)
        .stdout_has("NOT AUTHENTICATED, intact");
}

#[test]
fn foreign_files_are_listed_and_forbidden_only_when_asked() {
    let (stage, bundle) = signed();
    fs::create_dir(bundle.join("System Volume Information")).unwrap();
    fs::write(
        bundle.join("System Volume Information/IndexerVolumeGuid"),
        "x",
    )
    .unwrap();
    fs::write(bundle.join("._LABEL.txt"), "x").unwrap();
    fs::write(bundle.join("chunks/Thumbs.db"), "x").unwrap();
    fs::write(bundle.join("VOLUME.txt"), "disk 1\n").unwrap();
    stage.verify(&bundle, &["--strict"]).succeeds();
    fs::write(bundle.join("chunks/evil\n\u{202e}name"), "x").unwrap();
    let outcome = stage.verify(&bundle, &[]).succeeds();
    outcome.stdout_has("it does not belong to the bundle");
    assert!(!outcome.stdout.contains('\u{202e}'), "{outcome}");
    stage.verify(&bundle, &["--strict"]).fails_with(9);
    let json = stage
        .verify(&bundle, &["--strict", "--output", "json"])
        .fails_with(9);
    // Four files of one byte, and the note about the disk with seven.
    assert_eq!(json.json()["bytes"]["foreign"], 11, "{json}");
    assert_eq!(json.json()["bytes"]["unaccounted"], 0, "{json}");
}

#[test]
fn every_byte_is_accounted_for() {
    let (stage, bundle) = signed();
    let report = stage
        .verify(&bundle, &["--output", "json"])
        .succeeds()
        .json();
    let bytes = report["bytes"].as_object().unwrap();
    let sum: u64 = bytes.values().map(|value| value.as_u64().unwrap()).sum();
    let on_disk = files(&bundle)
        .into_iter()
        .map(|file| fs::metadata(bundle.join(file)).unwrap().len());
    assert_eq!(sum, on_disk.sum::<u64>());
}

#[test]
fn a_directory_above_bundles_was_named_by_mistake() {
    let (stage, bundle) = signed();
    let above = bundle.parent().unwrap();
    for verb in ["verify", "inspect", "unpack"] {
        let mut command = stage.importer.command();
        command.arg(verb).arg(above);
        if verb == "unpack" {
            command.args(["--to", "tree"]);
        }
        Outcome::of(command)
            .fails_with(2)
            .stderr_has("There is no bundle in")
            .stderr_has(&format!("there is one in `{}`", bundle.display()));
    }
    let nothing = stage.at("nothing");
    fs::create_dir(&nothing).unwrap();
    fs::write(nothing.join("holiday.jpg"), "x").unwrap();
    stage
        .verify(&nothing, &[])
        .fails_with(2)
        .stderr_has("plugged in");
}

#[test]
fn unfinished_and_incomplete_bundles_have_a_code_of_their_own() {
    let (stage, bundle) = signed();
    let copy = stage.copy(&bundle, "unfinished");
    fs::write(copy.join("export.plan"), "x").unwrap();
    stage
        .verify(&copy, &[])
        .fails_with(5)
        .stdout_has("not finished");
    stage
        .import(&copy, "127.0.0.1:9", &["--allow-incomplete"])
        .fails_with(5);
    for file in ["manifest.cbor", "inventory.cbor", "LABEL.txt", "SHA256SUMS"] {
        fs::remove_file(copy.join(file)).unwrap();
    }
    stage
        .verify(&copy, &[])
        .fails_with(5)
        .stdout_has("not finished");

    let there = stage.publish("team/there", "v1", &Build::oci("there").layer(500).image());
    let missing = format!("{}/team/there:v2", stage.source.host());
    stage
        .try_export("incomplete", &[&there, &missing], &[])
        .fails_with(5);
    let incomplete = stage.at("incomplete");
    stage
        .verify(&incomplete, &[])
        .fails_with(5)
        .stdout_has("INCOMPLETE");
    stage
        .verify(&incomplete, &["--allow-incomplete"])
        .succeeds();
    let inspect = stage
        .importer
        .run(["inspect".as_ref(), incomplete.as_os_str()]);
    inspect.stdout_has("team/there:v2");
}

#[test]
fn inspect_reads_a_damaged_bundle_as_far_as_it_goes() {
    let (stage, bundle) = signed();
    let inspect = |bundle: &Path| {
        let mut command = stage.importer.command();
        command
            .arg("inspect")
            .arg(bundle)
            .args(["--output", "json"]);
        let outcome = Outcome::of(command);
        outcome.hides("panicked");
        outcome
    };
    let whole = inspect(&bundle).succeeds().json();
    assert_eq!(whole["depth"], "inventory");
    assert_eq!(whole["images"].as_array().unwrap().len(), 2);
    for (file, depth) in [
        ("chunks/000001.tar", "inventory"),
        ("LABEL.txt", "inventory"),
        ("inventory.cbor", "manifest"),
        ("manifest.cbor", "nothing"),
    ] {
        let copy = stage.copy(&bundle, "copy");
        fs::remove_file(copy.join(file)).unwrap();
        let outcome = inspect(&copy);
        let report = outcome.json();
        assert_eq!(report["depth"], depth, "{file}\n{outcome}");
        assert!(outcome.stdout.contains(file), "{outcome}");
    }
}
