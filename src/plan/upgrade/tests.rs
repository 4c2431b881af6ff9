use proptest::prelude::*;
use serde_json::json;

use super::*;

fn version(text: &str) -> SemanticVersion {
    text.parse().unwrap()
}

fn channel() -> Channel {
    "stable-4.2".parse().unwrap()
}

/// Builds a graph of versions with their channels, edges, and edges with the risk `R`.
fn graph(nodes: &[(&str, &str)], edges: &[(usize, usize)], risky: &[(usize, usize)]) -> Graph {
    let node = |(version, channels): &(&str, &str)| {
        let digest = hex::encode(blake3::hash(version.as_bytes()).as_bytes());
        let metadata = json!({ "io.openshift.upgrades.graph.release.channels": channels });
        json!({
            "version": version,
            "payload": format!("q.io/release@sha256:{digest}"),
            "metadata": metadata,
        })
    };
    let risky: Vec<_> = risky
        .iter()
        .map(|(from, to)| json!({ "from": nodes[*from].0, "to": nodes[*to].0 }))
        .collect();
    let answer = json!({
        "nodes": nodes.iter().map(node).collect::<Vec<_>>(),
        "edges": edges,
        "conditionalEdges": [{ "edges": risky, "risks": [{ "name": "R" }] }],
    });
    Graph::parse(answer.to_string().as_bytes()).unwrap()
}

/// Nodes 0 to 6; node 6 is in another channel, node 5 names no channels.
fn sample() -> Graph {
    let here = "fast-4.2,stable-4.2";
    let nodes = [
        ("4.1.8", here),
        ("4.1.9", here),
        ("4.1.10", here),
        ("4.2.0", here),
        ("4.2.1", here),
        ("4.2.2", ""),
        ("4.3.0", "fast-4.3"),
    ];
    let edges = [(0, 1), (0, 2), (1, 3), (2, 3), (3, 4), (2, 6), (6, 5)];
    graph(&nodes, &edges, &[(4, 5), (0, 3)])
}

fn texts(choice: &Choice) -> Vec<String> {
    let versions = choice.releases.iter().map(|node| node.version.to_string());
    versions.collect()
}

fn chosen(wanted: &str, from: Option<&str>) -> Result<Vec<String>, UpgradeError> {
    let from = from.map(version);
    let choice = select(
        &sample(),
        &channel(),
        &wanted.parse().unwrap(),
        from.as_ref(),
    )?;
    assert_eq!(choice.is_path, from.is_some());
    Ok(texts(&choice))
}

#[test]
fn one_release_or_a_range_of_the_channel() {
    assert_eq!(chosen("latest", None).unwrap(), ["4.2.2"]);
    assert_eq!(chosen("4.1.10", None).unwrap(), ["4.1.10"]);
    assert_eq!(
        chosen("4.1.9..4.2.0", None).unwrap(),
        ["4.1.9", "4.1.10", "4.2.0"]
    );
    assert_eq!(chosen("4.2.1..", None).unwrap(), ["4.2.1", "4.2.2"]);
    assert_eq!(chosen("..4.1.9", None).unwrap(), ["4.1.8", "4.1.9"]);
    assert_eq!(chosen("..", None).unwrap().len(), 6);
    for bad in ["", "4", "4.1.8...4.2.0", "4.1.8..x", "newest"] {
        assert!(bad.parse::<VersionRequest>().is_err(), "{bad:?}");
    }
    for good in ["latest", "4.1.9", "4.1.9..4.2.0", "..4.2.0", "4.1.9.."] {
        assert_eq!(good.parse::<VersionRequest>().unwrap().to_string(), good);
    }
}

#[test]
fn a_path_takes_the_fewest_steps_and_of_these_the_highest() {
    assert_eq!(
        chosen("4.2.1", Some("4.1.8")).unwrap(),
        ["4.1.8", "4.1.10", "4.2.0", "4.2.1"]
    );
    assert_eq!(chosen("4.2.0", Some("4.1.9")).unwrap(), ["4.1.9", "4.2.0"]);
    assert_eq!(chosen("4.2.0", Some("4.2.0")).unwrap(), ["4.2.0"]);
    let choice = select(
        &sample(),
        &channel(),
        &"4.2.0".parse().unwrap(),
        Some(&version("4.1.8")),
    );
    let avoided = choice.unwrap().avoided;
    assert_eq!(avoided.len(), 1);
    assert_eq!(*avoided[0].risks, ["R"]);
}

#[test]
fn errors_say_what_there_is_instead() {
    let says = |wanted: &str, from: Option<&str>, text: &str| {
        let message = chosen(wanted, from).unwrap_err().to_string();
        assert!(message.contains(text), "{message:?} lacks {text:?}");
    };
    says("4.1.11", None, "nearest are `4.1.10`, `4.2.0`");
    says("4.9.0", None, "nearest is `4.2.2`");
    says(
        "4.3.0",
        None,
        "not in channel `stable-4.2`, only in `fast-4.3`",
    );
    says("4.2.0..4.1.8", None, "ends before it begins");
    says("4.4.0..", None, "its releases go from `4.1.8` to `4.2.2`");
    says("4.2.0..", Some("4.1.8"), "must end at one version");
    says("4.1.8", Some("4.2.0"), "which is older");
    says("4.2.0", Some("4.1.7"), "nearest is `4.1.8`");
    says(
        "4.2.2",
        Some("4.1.8"),
        "known risks would lead there: `4.1.8` to `4.2.0` (R), `4.2.1` to `4.2.2` (R)",
    );

    let other = "stable-9".parse().unwrap();
    let empty = graph(&[("4.1.0", "b,a")], &[], &[]);
    let error = select(&empty, &other, &VersionRequest::One(None), None).unwrap_err();
    let text = "names no release of channel `stable-9`, only of `a`, `b`";
    assert!(error.to_string().contains(text), "{error}");
}

#[test]
fn no_path_says_why() {
    let nodes = [
        ("4.1.0", ""),
        ("4.1.1", ""),
        ("4.2.0", ""),
        ("4.2.1", ""),
        ("4.3.0", ""),
    ];
    let graph = graph(&nodes, &[(0, 1), (2, 3)], &[]);
    let why = |from: &str, to: &str| {
        let wanted = VersionRequest::One(Some(version(to)));
        match select(&graph, &channel(), &wanted, Some(&version(from))).unwrap_err() {
            UpgradeError::NoPath { why, .. } => *why,
            other => panic!("{other}"),
        }
    };
    assert_eq!(why("4.1.1", "4.2.1"), NoPath::NoUpdateFrom);
    assert_eq!(why("4.1.0", "4.3.0"), NoPath::NoUpdateTo);
    let apart = why("4.1.0", "4.2.1");
    assert_eq!(
        apart,
        NoPath::Disconnected {
            reachable: vec![version("4.1.1")],
            origins: vec![version("4.2.0")],
        }
    );
    assert_eq!(
        apart.to_string(),
        "the highest reachable: `4.1.1`; the second version can be reached from `4.2.0`"
    );
}

/// Returns the smallest number of steps, found by trying all paths.
fn fewest(edges: &BTreeSet<(usize, usize)>, from: usize, to: usize, nodes: usize) -> Option<usize> {
    let mut at = BTreeSet::from([from]);
    for steps in 0..=nodes {
        if at.contains(&to) {
            return Some(steps);
        }
        let next = edges.iter().filter(|(from, _)| at.contains(from));
        at = next.map(|(_, to)| *to).collect();
    }
    None
}

proptest! {
    /// Every path is a path of the graph, no path is shorter, and the order of edges has no
    /// effect.
    #[test]
    fn paths_are_valid_and_shortest(
        nodes in 2usize..9,
        edges in prop::collection::btree_set((0usize..8, 0usize..8), 0..24),
        from in 0usize..8,
        to in 0usize..8,
    ) {
        let edges: BTreeSet<(usize, usize)> =
            edges.into_iter().filter(|(a, b)| a != b && *a < nodes && *b < nodes).collect();
        let (from, to) = (from.min(nodes - 1), to.min(nodes - 1));
        let names: Vec<String> = (0..nodes).map(|n| format!("4.{n}.0")).collect();
        let labelled: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        let ordered: Vec<_> = edges.iter().copied().collect();
        let reversed: Vec<_> = edges.iter().rev().copied().collect();
        let wanted = VersionRequest::One(Some(version(&names[to])));
        let begin = version(&names[from]);
        let found = select(&graph(&labelled, &ordered, &[]), &channel(), &wanted, Some(&begin));
        let again = select(&graph(&labelled, &reversed, &[]), &channel(), &wanted, Some(&begin));
        prop_assert_eq!(&found, &again);
        match found {
            Ok(choice) => {
                let steps: Vec<usize> = texts(&choice)
                    .iter()
                    .map(|text| names.iter().position(|name| name == text).unwrap())
                    .collect();
                prop_assert_eq!((steps.first(), steps.last()), (Some(&from), Some(&to)));
                for step in steps.windows(2) {
                    prop_assert!(edges.contains(&(step[0], step[1])), "{:?}", steps);
                }
                prop_assert_eq!(Some(steps.len() - 1), fewest(&edges, from, to, nodes));
            }
            Err(UpgradeError::Downgrade { .. }) => prop_assert!(from > to),
            Err(UpgradeError::NoPath { .. }) => {
                prop_assert_eq!(fewest(&edges, from, to, nodes), None);
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
