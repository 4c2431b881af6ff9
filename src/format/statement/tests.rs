use proptest::prelude::*;

use super::super::testing::sample;
use super::*;
use crate::model::BundleId;

fn full() -> Statement {
    Statement {
        subject: StatementType::Bundle,
        key: Digest::from_bytes([0x11; 32]),
        format: 1,
        document_length: 12345,
        document_sha256: Digest::from_bytes([0x22; 32]),
        document_blake3: Blake3::from_bytes([0x33; 32]),
        bundle: Some(BundleStatement {
            sums_sha256: Digest::from_bytes([0x44; 32]),
            lineage: Some("okd-prod".parse().unwrap()),
            sequence: Some(7),
            generation: 2,
            complete: false,
        }),
        role: "reviewer".parse().unwrap(),
        verdict: Verdict::Reject,
        time: Timestamp(1_790_000_000),
        expires: Some(Timestamp(1_890_000_000)),
        report_sha256: Some(Digest::from_bytes([0x55; 32])),
        comment: Some("Gepr\u{fc}ft: nicht in Ordnung".parse().unwrap()),
    }
}

fn plan() -> Statement {
    Statement {
        subject: StatementType::Plan,
        bundle: None,
        role: Role::exporter(),
        verdict: Verdict::Approve,
        expires: None,
        report_sha256: None,
        comment: None,
        ..full()
    }
}

#[test]
fn the_text_is_the_one_that_is_signed() {
    let expected = format!(
        "airferry-bundle-v1\n\
         algorithm: ed25519\n\
         key: {}\n\
         format: 1\n\
         manifest-length: 12345\n\
         manifest-sha256: {}\n\
         manifest-blake3: {}\n\
         sums-sha256: {}\n\
         lineage: okd-prod\n\
         sequence: 7\n\
         generation: 2\n\
         complete: no\n\
         role: reviewer\n\
         verdict: reject\n\
         time: 2026-09-21T14:13:20Z\n\
         expires: 2029-11-22T00:00:00Z\n\
         report-sha256: {}\n\
         comment: Gepr\u{fc}ft: nicht in Ordnung\n",
        "11".repeat(32),
        "22".repeat(32),
        "33".repeat(32),
        "44".repeat(32),
        "55".repeat(32)
    );
    let text = render(&full()).unwrap();
    assert_eq!(text, expected);
    assert_eq!(parse(text.as_bytes()).unwrap(), full());
    let text = render(&plan()).unwrap();
    assert!(text.starts_with("airferry-plan-v1\nalgorithm: ed25519\n"));
    assert!(text.contains("\nplan-length: 12345\nplan-sha256: 2222"));
    assert_eq!(parse(text.as_bytes()).unwrap(), plan());
}

#[test]
fn every_line_is_needed_in_its_place() {
    let text = render(&full()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let optional = ["lineage", "sequence", "expires", "report-sha256", "comment"];
    for at in 0..lines.len() {
        let key = lines[at].split(':').next().unwrap();
        let mut without = lines.clone();
        without.remove(at);
        let parsed = parse(format!("{}\n", without.join("\n")).as_bytes());
        // Without lineage the sequence is in the wrong place.
        let may_be_absent = optional.contains(&key) && key != "lineage";
        assert_eq!(parsed.is_ok(), may_be_absent, "without {key}: {parsed:?}");
        let mut twice = lines.clone();
        twice.insert(at, lines[at]);
        assert!(
            parse(format!("{}\n", twice.join("\n")).as_bytes()).is_err(),
            "{key} twice"
        );
        if at + 1 < lines.len() {
            let mut swapped = lines.clone();
            swapped.swap(at, at + 1);
            assert!(
                parse(format!("{}\n", swapped.join("\n")).as_bytes()).is_err(),
                "{key} later"
            );
        }
    }
}

#[test]
fn other_forms_are_refused() {
    let text = render(&full()).unwrap();
    for (from, to) in [
        ("airferry-bundle-v1", "airferry-bundle-v2"),
        ("airferry-bundle-v1", "airferry-plan-v1"),
        ("ed25519", "Ed25519"),
        ("key: 11", "key: 1G"),
        ("key: 11", "key:11"),
        ("key: 11", "key:  11"),
        ("key: 11", "Key: 11"),
        ("sha256: 22", "sha256: sha256:22"),
        ("format: 1", "format: 2"),
        ("12345", "012345"),
        ("12345", "+12345"),
        ("12345", ""),
        ("12345", "99999999999999999999"),
        ("generation: 2", "generation: 0"),
        ("complete: no", "complete: No"),
        ("role: reviewer", "role: Reviewer"),
        ("verdict: reject", "verdict: rejected"),
        ("2026-09-21T14:13:20Z", "2026-09-21 14:13:20Z"),
        ("2026-09-21T14:13:20Z", "2026-09-21t14:13:20z"),
        ("2026-09-21T14:13:20Z", "2026-09-21T14:13:20+00:00"),
        ("2026-09-21T14:13:20Z", "2026-09-21T14:13:20.5Z"),
        ("2026-09-21T14:13:20Z", "2026-09-31T14:13:20Z"),
        ("2026-09-21T14:13:20Z", "2026-09-21T14:13:60Z"),
        ("2026-09-21T14:13:20Z", "2026-09-21T24:00:00Z"),
        ("2026-09-21T14:13:20Z", "+002026-09-21T14:13:20Z"),
        ("in Ordnung\n", "in Ordnung"),
        ("in Ordnung\n", "in Ordnung\n\n"),
        ("in Ordnung\n", "in Ordnung \n"),
        ("in Ordnung\n", "in Ordnung\r\n"),
        ("in Ordnung", "in\u{202e}Ordnung"),
        ("in Ordnung", "in\u{0}Ordnung"),
        ("okd-prod", " okd-prod"),
    ] {
        assert!(text.contains(from), "{from}");
        let other = text.replacen(from, to, 1);
        assert!(parse(other.as_bytes()).is_err(), "{from:?} by {to:?}");
    }
    assert!(parse(b"").is_err());
    assert!(parse(b"\xff\n").is_err());
    let long = format!("{text}{}\n", "x".repeat(16384));
    assert!(
        parse(long.as_bytes())
            .unwrap_err()
            .to_string()
            .contains("16384")
    );
}

#[test]
fn contradicting_fields_are_not_written() {
    let cases: &[fn(&mut Statement)] = &[
        |s| s.bundle = None,
        |s| s.subject = StatementType::Plan,
        |s| s.format = 2,
        |s| s.bundle.as_mut().unwrap().lineage = None,
        |s| s.bundle.as_mut().unwrap().generation = 0,
        |s| s.time = Timestamp(i64::MAX),
        |s| s.time = Timestamp(253_402_300_800),
        |s| s.expires = Some(Timestamp(-99_999_999_999)),
    ];
    for (number, change) in cases.iter().enumerate() {
        let mut statement = full();
        change(&mut statement);
        assert!(render(&statement).is_err(), "case {number}");
    }
    let mut with_report = plan();
    with_report.report_sha256 = Some(Digest::from_bytes([1; 32]));
    assert!(render(&with_report).is_err());
}

#[test]
fn a_statement_agrees_with_its_files_or_says_in_what_not() {
    let manifest = sample().manifest;
    let bytes = super::super::bundle::encode_manifest(&manifest).unwrap();
    let entry = hash::file_entry(&bytes);
    let sums = b"sums";
    let mut statement = full();
    statement.document_length = entry.length;
    statement.document_sha256 = entry.sha256;
    statement.document_blake3 = entry.blake3;
    let bundle = statement.bundle.as_mut().unwrap();
    bundle.generation = 1;
    bundle.complete = true;
    bundle.sums_sha256 = hash::sha256(sums);
    let disagrees = |change: fn(&mut Statement)| {
        let mut statement = statement.clone();
        change(&mut statement);
        check_document(&statement, &bytes)
            .and_then(|()| check_manifest(&statement, &manifest, sums))
            .err()
            .map(|error| error.key)
    };
    assert_eq!(disagrees(|_| {}), None);
    assert_eq!(
        disagrees(|s| s.document_length += 1),
        Some("manifest-length")
    );
    assert_eq!(
        disagrees(|s| s.document_sha256 = s.key),
        Some("manifest-sha256")
    );
    assert_eq!(
        disagrees(|s| s.document_blake3 = Blake3::from_bytes([0; 32])),
        Some("manifest-blake3")
    );
    assert_eq!(
        disagrees(|s| s.bundle.as_mut().unwrap().generation = 2),
        Some("generation")
    );
    assert_eq!(
        disagrees(|s| s.bundle.as_mut().unwrap().complete = false),
        Some("complete")
    );
    assert_eq!(
        disagrees(|s| s.bundle.as_mut().unwrap().sums_sha256 = s.key),
        Some("sums-sha256")
    );
    assert_eq!(disagrees(|s| s.bundle = None), Some("type"));
}

#[test]
fn stems_follow_from_bundle_and_key() {
    let bundle = BundleId::new(Digest::from_hex(&"0a".repeat(32)).unwrap());
    let key = Digest::from_hex(&"b1".repeat(32)).unwrap();
    let stems: Vec<StatementStem> = StatementStem::all(&bundle, &key).collect();
    assert_eq!(stems.len(), 16);
    let text = "0a0a0a0a0a0a0a0a-b1b1b1b1b1b1b1b1-01";
    assert_eq!(stems[0].to_string(), text);
    assert_eq!(stems[0].signature_path(), format!("signatures/{text}.sig"));
    for stem in stems {
        assert_eq!(stem.to_string().parse(), Ok(stem));
        assert!(stem.names_bundle(&bundle) && stem.names_key(&key));
        assert!(!stem.names_bundle(&BundleId::new(key)) && !stem.names_key(bundle.digest()));
    }
    for bad in [
        "",
        "0a0a0a0a0a0a0a0a-b1b1b1b1b1b1b1b1",
        "0a0a0a0a0a0a0a0a-b1b1b1b1b1b1b1b1-1",
        "0a0a0a0a0a0a0a0a-b1b1b1b1b1b1b1b1-00",
        "0a0a0a0a0a0a0a0a-b1b1b1b1b1b1b1b1-17",
        "0a0a0a0a0a0a0a0a-b1b1b1b1b1b1b1b1-01-01",
        "0A0A0A0A0A0A0A0A-b1b1b1b1b1b1b1b1-01",
        "+a0a0a0a0a0a0a0a-b1b1b1b1b1b1b1b1-01",
        "00a0a0a0a0a0a0a0a-b1b1b1b1b1b1b1b1-01",
    ] {
        assert_eq!(bad.parse::<StatementStem>(), Err(StemError), "{bad}");
    }
}

proptest! {
    #[test]
    fn statements_round_trip(
        length: u64,
        second in -62_000_000_000i64..253_000_000_000,
        sequence in proptest::option::of(any::<u64>()),
        generation in 1u64..,
        comment in proptest::option::of("[^\\p{C}\\s]([^\\p{C}]{0,50}[^\\p{C}\\s])?"),
        approve: bool,
    ) {
        let mut statement = full();
        statement.document_length = length;
        statement.time = Timestamp(second);
        statement.comment = comment.and_then(|text| text.parse().ok());
        statement.verdict = if approve { Verdict::Approve } else { Verdict::Reject };
        let bundle = statement.bundle.as_mut().unwrap();
        bundle.sequence = sequence;
        bundle.generation = generation;
        let text = render(&statement).unwrap();
        prop_assert_eq!(parse(text.as_bytes()).unwrap(), statement);
    }

    #[test]
    fn what_parses_is_written_back_the_same(at in 0usize..900, byte: u8, cut in 0usize..900) {
        let mut bytes = render(&full()).unwrap().into_bytes();
        if let Some(slot) = bytes.get_mut(at) {
            *slot = byte;
        }
        if let Ok(statement) = parse(&bytes) {
            prop_assert_eq!(render(&statement).unwrap().into_bytes(), bytes.clone());
        }
        bytes.truncate(cut);
        let _ = parse(&bytes);
    }
}
