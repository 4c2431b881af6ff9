//! Reads YAML streams, and JSON, which is a subset of YAML. Outside of tests, no other module uses
//! the YAML crate.
//!
//! The input is untrusted, so every cost is limited: the bytes of the stream, and the nodes, the
//! depth and the expansion of aliases of each document. A few hundred bytes of nested aliases can
//! describe a tree of gigabytes; such documents are refused.
//!
//! Callers choose how a duplicate key of a map is treated ([`Duplicates`]): files written for
//! airferry are refused, files that upstream publishes are read as the tools of their publisher
//! read them.
//!
//! This module does not depend on what the documents contain: callers give the type, or
//! `serde_json::Value`.

use std::io::{self, Read};

use serde::de::DeserializeOwned;
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Error, MergeKeyPolicy, Options};

/// Upper limit of aliases, and of anchors, in one document. The number of values that they expand
/// to is limited below and by the caller's `nodes`; this limit bounds long lists of small
/// aliases.
const ALIASES: usize = 10_000;
/// Upper limit of what all aliases of a stream expand to (a count of parser events).
const REPLAYED: usize = 20_000;
/// Upper limit of aliases nested in the expansion of an alias (a count of levels).
const REPLAY_DEPTH: usize = 8;
/// Upper limit of a message taken over from the parser, in characters.
const MESSAGE: usize = 300;

/// Treatment of a key that a map has twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicates {
    /// Refuse the document. For files that people write for airferry, and for files on which
    /// trust depends: readers differ in which value they use.
    Refuse,
    /// Use the last value, as `sigs.k8s.io/yaml` does, with which `oc`, `opm` and the cluster
    /// read. For files that upstream publishes.
    LastCounts,
}

/// Limits for one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct YamlLimits {
    /// Bytes of the whole stream.
    pub bytes: u64,
    /// Scalars, lists and maps of one document (a count).
    pub nodes: usize,
    /// Nesting of lists and maps in one document (a count).
    pub depth: usize,
}

impl YamlLimits {
    /// Limits for one Kubernetes manifest file: more than an API server accepts.
    pub const MANIFEST: Self = Self {
        bytes: 4 << 20,
        nodes: 100_000,
        depth: 64,
    };
}

/// The error for a stream that cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum YamlError {
    /// The stream is longer than its limit.
    #[error("The YAML is longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: u64,
    },
    /// Reading from the underlying reader failed.
    #[error("Cannot read the YAML")]
    Read(#[source] io::Error),
    /// A document is not YAML, exceeds a limit, or is not of the caller's type.
    #[error("Invalid YAML{}: {message}", NearLine(*.line))]
    Document {
        /// The line, counted from 1, if the parser knows it.
        line: Option<u64>,
        /// The parser's message, shortened and printable.
        message: String,
    },
    /// A map has a key twice, and the caller chose [`Duplicates::Refuse`].
    #[error("Invalid YAML{}: {}", NearLine(*.line), DuplicateKey(key))]
    Duplicate {
        /// The line, counted from 1, if the parser knows it.
        line: Option<u64>,
        /// The key, shortened and printable, if the parser knows it.
        key: Option<String>,
    },
}

/// Displays which key a map has twice.
struct DuplicateKey<'a>(&'a Option<String>);

impl std::fmt::Display for DuplicateKey<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(key) => write!(f, "duplicate key `{key}`"),
            None => f.write_str("duplicate key"),
        }
    }
}

/// Displays ` near line N`, or nothing if the line is not known.
struct NearLine(Option<u64>);

impl std::fmt::Display for NearLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(line) => write!(f, " near line {line}"),
            None => Ok(()),
        }
    }
}

/// Reads all documents of a stream that is already in memory. Empty documents are skipped.
///
/// # Errors
///
/// The first error of [`stream`].
pub fn documents<T: DeserializeOwned>(
    mut bytes: &[u8],
    limits: &YamlLimits,
    duplicates: Duplicates,
) -> Result<Vec<T>, YamlError> {
    stream(&mut bytes, limits, duplicates).collect()
}

/// Reads the documents of a stream one at a time, so that a large catalog is never in memory as a
/// whole. Empty documents are skipped.
///
/// The iterator ends after its first error: behind a document that cannot be read, the next one
/// may not begin where it seems to.
///
/// # Errors
///
/// When the stream is longer than its limit or cannot be read, and for each document that is not
/// UTF-8 or not YAML, exceeds the limits of size, depth or repetition, or is not a `T`. Under
/// [`Duplicates::Refuse`] also for each document that has a key twice.
pub fn stream<'a, R, T>(
    reader: &'a mut R,
    limits: &YamlLimits,
    duplicates: Duplicates,
) -> impl Iterator<Item = Result<T, YamlError>> + use<'a, R, T>
where
    R: Read + 'a,
    T: DeserializeOwned + 'a,
{
    let limits = *limits;
    let mut documents = serde_saphyr::read_with_options(reader, options(&limits, duplicates));
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let item = documents
            .next()
            .map(|document| document.map_err(|error| refused(&error, &limits)));
        ended = !matches!(item, Some(Ok(_)));
        item
    })
}

fn options(limits: &YamlLimits, duplicates: Duplicates) -> Options {
    let bytes = usize::try_from(limits.bytes).unwrap_or(usize::MAX);
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_reader_input_bytes: Some(bytes),
            // A node gives at most two events: a beginning and an end.
            max_events: limits.nodes.saturating_mul(2).saturating_add(ALIASES),
            max_nodes: limits.nodes,
            max_depth: limits.depth,
            flow_nesting_limit: limits.depth,
            max_aliases: ALIASES,
            max_anchors: ALIASES,
            // A list of similar items legitimately has one anchor and many aliases.
            enforce_alias_anchor_ratio: false,
            max_recorded_anchor_events: REPLAYED,
            max_total_scalar_bytes: bytes,
            max_documents: usize::MAX,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: REPLAYED,
            max_replay_stack_depth: REPLAY_DEPTH,
        },
        duplicate_keys: match duplicates {
            Duplicates::Refuse => DuplicateKeyPolicy::Error,
            Duplicates::LastCounts => DuplicateKeyPolicy::LastWins,
        },
        // YAML 1.1, as Kubernetes' own reader implements it.
        merge_keys: MergeKeyPolicy::Merge,
        legacy_octal_numbers: true,
        with_snippet: false,
    }
}

/// Turns the parser's error into one of ours.
fn refused(error: &Error, limits: &YamlLimits) -> YamlError {
    let error = error.without_snippet();
    if let Error::IOError { cause } = error {
        return match cause.kind() {
            io::ErrorKind::FileTooLarge => YamlError::TooLong {
                limit: limits.bytes,
            },
            kind => YamlError::Read(io::Error::new(kind, cause.to_string())),
        };
    }
    let line = error.location().map(|location| location.line());
    if let Error::DuplicateMappingKey { key, .. } = error {
        let key = key.as_deref().map(printable);
        return YamlError::Duplicate { line, key };
    }
    let message = limit_message(error, limits).unwrap_or_else(|| error.to_string());
    YamlError::Document {
        line,
        message: printable(&message),
    }
}

/// Makes a text printable on one line, and shortens it.
fn printable(text: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().take(MESSAGE).map(printable).collect()
}

/// Describes an exceeded limit in words for operators: the parser's message names its options.
fn limit_message(error: &Error, limits: &YamlLimits) -> Option<String> {
    use serde_saphyr::budget::BudgetBreach as Breach;

    let YamlLimits { nodes, depth, .. } = limits;
    Some(match error {
        Error::Budget { breach, .. } => match breach {
            Breach::Events { .. } | Breach::Nodes { .. } => {
                format!("it has more than {nodes} values")
            }
            Breach::Depth { .. } => format!("it is nested deeper than {depth}"),
            Breach::Aliases { .. } => format!("it has more than {ALIASES} aliases"),
            Breach::Anchors { .. } => format!("it has more than {ALIASES} anchors"),
            Breach::RecordedAnchorEvents { .. } => repeated(),
            _ => "it exceeds a safety limit of size or repetition".to_owned(),
        },
        Error::AliasReplayLimitExceeded { .. } | Error::AliasExpansionLimitExceeded { .. } => {
            repeated()
        }
        Error::AliasReplayStackDepthExceeded { .. } => {
            format!("its aliases are nested more than {REPLAY_DEPTH} deep")
        }
        // For a breach at an alias, the parser reports only a text.
        other if other.to_string().contains("budget breached") => {
            format!("with its aliases expanded it has more than {nodes} values")
        }
        // For lists nested in brackets, the scanner reports only a text.
        other if other.to_string().contains("recursion limit exceeded") => {
            format!("it is nested deeper than {depth}")
        }
        _ => return None,
    })
}

fn repeated() -> String {
    format!("its anchors and aliases expand to more than {REPLAYED} values")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const SMALL: YamlLimits = YamlLimits {
        bytes: 10_000,
        nodes: 1_000,
        depth: 20,
    };

    fn read(text: &str) -> Result<Vec<Value>, YamlError> {
        documents(text.as_bytes(), &SMALL, Duplicates::Refuse)
    }

    fn read_upstream(text: &str) -> Result<Vec<Value>, YamlError> {
        documents(text.as_bytes(), &SMALL, Duplicates::LastCounts)
    }

    #[test]
    fn of_a_key_twice_the_last_counts_where_the_owner_reads_it_so() {
        for (text, expected) in [
            ("a: 1\na: 2\n", json!({"a": 2})),
            ("a: {b: 1, b: {c: 1}, b: 3}\n", json!({"a": {"b": 3}})),
            ("- {x: [1], x: null}\n", json!([{"x": null}])),
            ("{\"k\": 1, \"k\": 2}", json!({"k": 2})),
            ("1: a\n1: b\n", json!({"1": "b"})),
            (
                "a: &x {b: 1, b: 2}\nc: *x\n",
                json!({"a": {"b": 2}, "c": {"b": 2}}),
            ),
        ] {
            assert_eq!(read_upstream(text).unwrap(), [expected], "{text:?}");
            let error = read(text).unwrap_err();
            assert!(
                matches!(error, YamlError::Duplicate { .. }),
                "{text:?}: {error}"
            );
        }
    }

    #[test]
    fn what_upstream_writes_is_read() {
        for (text, expected) in [
            ("\u{feff}a: 1\n", json!({"a": 1})),
            (
                "a: 1\r\nb: |\r\n  x\r\n  y\r\n",
                json!({"a": 1, "b": "x\ny\n"}),
            ),
            ("%YAML 1.1\n---\na:\t1\n...\n", json!({"a": 1})),
            (
                "metadata:\n  creationTimestamp: null\n  labels:\n",
                json!({"metadata": {"creationTimestamp": null, "labels": null}}),
            ),
            ("a: 1\n---\n---\n# nothing\n", json!({"a": 1})),
            (
                "[0644, 0o644, -010, 0x1F, 0b101, 1_000]\n",
                json!([420, 420, -8, 31, 5, 1000]),
            ),
        ] {
            assert_eq!(read_upstream(text).unwrap(), [expected], "{text:?}");
        }
    }

    #[test]
    fn reads_every_document_and_skips_empty_ones() {
        let text = "# note\n---\na: 1\n---\n---\n# nothing\n---\n- x\n- \"y\"\n...\n";
        assert_eq!(read(text).unwrap(), [json!({"a": 1}), json!(["x", "y"])]);
        assert_eq!(read("").unwrap(), Vec::<Value>::new());
        assert_eq!(
            read("{\"kind\":\"A\",\"data\":{\"k\":\"v\\n\"}}\n").unwrap(),
            [json!({"kind": "A", "data": {"k": "v\n"}})]
        );
    }

    #[test]
    fn block_scalars_keep_their_lines() {
        let text = "data:\n  key: |\n    one\n\n    two\n  folded: >-\n    a\n    b\n";
        assert_eq!(
            read(text).unwrap(),
            [json!({"data": {"key": "one\n\ntwo\n", "folded": "a b"}})]
        );
    }

    #[test]
    fn a_few_aliases_are_fine() {
        let text = "base: &b {x: 1}\nsame: *b\nmerged: {<<: *b, y: 2}\n";
        assert_eq!(
            read(text).unwrap(),
            [json!({"base": {"x": 1}, "same": {"x": 1}, "merged": {"x": 1, "y": 2}})]
        );
    }

    #[test]
    fn bombs_are_refused() {
        let mut billion = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let below = level - 1;
            let list = vec![format!("*a{below}"); 9].join(", ");
            billion.push_str(&format!("a{level}: &a{level} [{list}]\n"));
        }
        let many_nodes = format!("[{}]", "1,".repeat(1_100));
        let deep_flow = "[".repeat(30) + &"]".repeat(30);
        let deep_block: String = (0..30).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
        for (name, text) in [
            ("billion laughs", billion),
            ("nodes", many_nodes),
            ("flow depth", deep_flow),
            ("block depth", deep_block),
        ] {
            let error = read(&text).unwrap_err();
            assert!(
                matches!(error, YamlError::Document { .. }),
                "{name}: {error}"
            );
        }
    }

    #[test]
    fn limits_are_told_in_words() {
        let many = |count: usize, item: fn(usize) -> String| -> String {
            let items: Vec<String> = (0..count).map(item).collect();
            format!("x: &x 1\nl: [{}]\n", items.join(","))
        };
        let wide = format!("x: &x [{}]\nl: [{}]\n", "1,".repeat(500), "*x,".repeat(50));
        for (text, expected) in [
            (
                many(1_100, |n| n.to_string()),
                "it has more than 1000 values",
            ),
            (
                "[".repeat(30) + &"]".repeat(30),
                "it is nested deeper than 20",
            ),
            (
                wide,
                "with its aliases expanded it has more than 1000 values",
            ),
            ("a: 1\n\"a\": 2\n".to_owned(), "duplicate key `a`"),
        ] {
            let said = read(&text).unwrap_err().to_string();
            assert!(said.contains(expected), "{expected}: {said}");
            assert!(
                !said.contains("budget") && !said.contains("Options"),
                "{said}"
            );
        }
    }

    #[test]
    fn many_aliases_are_fine_and_no_end_of_them_is_not() {
        let limits = YamlLimits {
            bytes: 1_000_000,
            nodes: 100_000,
            depth: 20,
        };
        let read = |count: usize, item: fn(usize) -> String| {
            let items: Vec<String> = (0..count).map(item).collect();
            let text = format!("x: &x 1\nl: [{}]\n", items.join(","));
            documents::<Value>(text.as_bytes(), &limits, Duplicates::LastCounts)
        };
        let alias = |_| "*x".to_owned();
        let anchor = |n| format!("&a{n} 1");
        assert_eq!(read(1_000, alias).unwrap()[0]["l"][999], json!(1));
        assert_eq!(read(1_000, anchor).unwrap()[0]["l"][999], json!(1));
        let aliases = read(ALIASES + 1, alias).unwrap_err().to_string();
        assert!(
            aliases.contains("it has more than 10000 aliases"),
            "{aliases}"
        );
        let anchors = read(ALIASES + 1, anchor).unwrap_err().to_string();
        assert!(
            anchors.contains("it has more than 10000 anchors"),
            "{anchors}"
        );
    }

    #[test]
    fn the_byte_cap_is_exact() {
        let exact = format!("a: {}", "x".repeat(9_997));
        assert_eq!(read(&exact).unwrap().len(), 1);
        let error = read(&format!("{exact}x")).unwrap_err();
        assert!(
            matches!(error, YamlError::TooLong { limit: 10_000 }),
            "{error}"
        );
    }

    #[test]
    fn ambiguous_and_broken_documents_are_refused() {
        for text in [
            "a: 1\na: 2\n",
            "a: [1\n",
            "a: b: c\n",
            "\"\\q\"",
            "a: \u{1}",
        ] {
            assert!(read(text).is_err(), "{text:?}");
        }
        assert!(documents::<Value>(b"a: \xff\xfe", &SMALL, Duplicates::Refuse).is_err());
    }

    #[test]
    fn errors_name_the_line_and_print_on_one() {
        let error = read("ok: 1\n---\nx: 1\n\"a\\u001b\": 1\n\"a\\u001b\": 2\n").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("near line 5"), "{text}");
        assert!(!text.contains(char::is_control), "{text}");
    }

    #[test]
    fn a_stream_gives_what_is_whole_and_ends_at_the_first_error() {
        let mut reader = io::Cursor::new("a: 1\n---\nb: [\n---\nc: 3\n");
        let read: Vec<_> = stream::<_, Value>(&mut reader, &SMALL, Duplicates::Refuse).collect();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].as_ref().unwrap(), &json!({"a": 1}));
        assert!(read[1].is_err());
    }

    #[test]
    fn a_failing_reader_is_told_apart() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("gone"))
            }
        }
        let error = stream::<_, Value>(&mut Broken, &SMALL, Duplicates::Refuse)
            .next()
            .unwrap()
            .unwrap_err();
        assert!(matches!(error, YamlError::Read(_)), "{error}");
    }
}
