use super::*;
use serde_json::{Value, json};

fn node(version: &str, channels: &str) -> Value {
    let digest = hex::encode(blake3::hash(version.as_bytes()).as_bytes());
    json!({
        "version": version,
        "payload": format!("quay.io/okd/scos-release@sha256:{digest}"),
        "metadata": { "io.openshift.upgrades.graph.release.channels": channels, "url": "https://example.com/" },
    })
}

fn parse(value: &Value) -> Result<Graph, GraphError> {
    Graph::parse(value.to_string().as_bytes())
}

#[test]
fn nodes_edges_and_conditions_are_read() {
    let graph = parse(&json!({
        "version": 1,
        "nodes": [node("4.2.0", "fast-4.2,stable-4.2"), node("4.1.9", ""), node("4.1.10", " fast-4.2, b/ad")],
        "edges": [[1, 2], [2, 0], [1, 2]],
        "conditionalEdges": [
            { "edges": [{ "from": "4.1.9", "to": "4.2.0" }, { "from": "4.0.0", "to": "4.2.0" }],
              "risks": [{ "name": "B", "url": "" }, { "name": "A" }] },
        ],
    }))
    .unwrap();
    let versions: Vec<String> = graph.nodes().map(|node| node.version.to_string()).collect();
    assert_eq!(versions, ["4.1.9", "4.1.10", "4.2.0"]);
    let version = |text: &str| text.parse::<SemanticVersion>().unwrap();
    let targets: Vec<_> = graph.targets(&version("4.1.9")).collect();
    assert_eq!(targets, [&version("4.1.10")]);
    let node = graph.node(&version("4.1.10")).unwrap();
    assert_eq!(node.channels, BTreeSet::from(["fast-4.2".parse().unwrap()]));
    assert_eq!(node.url.as_deref(), Some("https://example.com/"));
    let conditional: Vec<_> = graph.conditional().collect();
    let [conditional] = conditional.as_slice() else {
        panic!("{conditional:?}");
    };
    assert_eq!(*conditional.risks, ["A", "B"]);
}

/// Parses a graph with nodes 4.0.0 to 4.9.0 and the given groups of conditional edges.
fn groups(groups: &Value) -> Result<Graph, GraphError> {
    let nodes: Vec<_> = (0..10).map(|n| node(&format!("4.{n}.0"), "")).collect();
    parse(&json!({ "nodes": nodes, "conditionalEdges": groups }))
}

fn edge(from: usize, to: usize) -> Value {
    json!({ "from": format!("4.{from}.0"), "to": format!("4.{to}.0") })
}

#[test]
fn conditional_updates_are_found_by_where_they_begin() {
    let graph = groups(&json!([
        { "edges": [edge(1, 3), edge(1, 2), edge(2, 3), edge(1, 3)], "risks": [{ "name": "B" }] },
        { "edges": [edge(1, 3), edge(0, 1)], "risks": [{ "name": "A" }] },
        { "edges": [edge(1, 3)], "risks": [{ "name": "B" }] },
    ]))
    .unwrap();
    let version = |n: usize| format!("4.{n}.0").parse::<SemanticVersion>().unwrap();
    let (one, three) = (version(1), version(3));
    let targets: Vec<_> = graph.conditional_targets(&one).collect();
    assert_eq!(targets, [&version(2), &three, &three]);
    assert_eq!(graph.conditional_targets(&version(9)).count(), 0);
    let between = graph.conditional_between(&one, &three);
    let risks: Vec<String> = between.map(|update| update.risks.concat()).collect();
    assert_eq!(risks, ["A", "B"]);
    assert_eq!(graph.conditional().count(), 5);
}

#[test]
fn the_edges_of_a_group_share_its_risks() {
    let edges: Vec<Value> = (0..10)
        .flat_map(|from| (0..10).map(move |to| edge(from, to)))
        .collect();
    let risk = json!({ "name": "x".repeat(1000) });
    let graph = groups(&json!([{ "edges": edges, "risks": [risk] }])).unwrap();
    let lists: BTreeSet<_> = graph.conditional().map(|c| Arc::as_ptr(&c.risks)).collect();
    assert_eq!((graph.conditional().count(), lists.len()), (100, 1));
}

#[test]
fn lists_that_are_too_long_are_refused_and_not_kept() {
    let risks = |count: usize| {
        let risks: Vec<Value> = (0..count)
            .map(|n| json!({ "name": n.to_string() }))
            .collect();
        groups(&json!([{ "edges": [edge(1, 2)], "risks": risks }]))
    };
    assert!(risks(MAX_RISKS).is_ok());
    for count in [MAX_RISKS + 1, 10 * MAX_RISKS] {
        let said = risks(count).unwrap_err().to_string();
        let expected =
            format!("The graph has {count} risks in a group, more than the 100 that are allowed");
        assert_eq!(said, expected);
    }
    let empty: Vec<Value> = vec![json!({ "edges": [] }); MAX_GROUPS + 1];
    let said = groups(&json!(empty)).unwrap_err().to_string();
    assert!(said.contains("20001 groups of conditional edges"), "{said}");
    let list: AtMost<u8, 3> = serde_json::from_str("[1,2,3,4,5]").unwrap();
    assert_eq!((list.items, list.count), (vec![1, 2, 3], 5));
    // Unknown fields are skipped, whatever their type.
    let mut other = node("4.1.0", "fast-4.1");
    other["metadata"]["more"] = json!({ "a": [1, 2] });
    let graph = parse(&json!({ "nodes": [other] })).unwrap();
    assert_eq!(graph.nodes().next().unwrap().channels.len(), 1);
}

#[test]
fn parts_may_be_absent() {
    assert_eq!(parse(&json!({ "nodes": [] })).unwrap(), Graph::default());
    let mut bare = node("4.1.0", "");
    bare["metadata"] = Value::Null;
    let graph = json!({ "nodes": [bare], "edges": null, "conditionalEdges": null });
    assert_eq!(parse(&graph).unwrap().nodes().count(), 1);
}

#[test]
fn an_odd_node_costs_itself_and_no_other() {
    let pinned = format!("q.io/a:v1@sha256:{}", "0".repeat(64));
    for odd in [
        json!(null),
        json!({}),
        json!({ "version": "banana", "payload": "x" }),
        json!({ "version": null, "payload": null, "metadata": null }),
        json!({ "version": "4.3.0" }),
        json!({ "version": "4.3.0", "payload": null, "metadata": null }),
        json!({ "version": "4.3.0", "payload": "", "metadata": { "url": null } }),
        json!({ "version": "4.3.0", "payload": "x@@" }),
        json!({ "version": "4.3.0", "payload": "q.io/a:v1" }),
        json!({ "version": "4.3.0", "payload": pinned }),
    ] {
        let graph = json!({
            "nodes": [node("4.1.0", ""), odd, node("4.2.0", "")],
            "edges": [[0, 2], [0, 1], [1, 2], [1, 1], [2, 2]],
            "conditionalEdges": [null, { "edges": null }, { "edges": [null, {}], "risks": [null, {}] }],
        });
        let graph = parse(&graph).unwrap();
        let usable: Vec<String> = graph
            .nodes()
            .filter(|node| node.payload.is_ok())
            .map(|node| node.version.to_string())
            .collect();
        assert_eq!(usable, ["4.1.0", "4.2.0"], "{odd}");
        let version = |text: &str| text.parse::<SemanticVersion>().unwrap();
        let joined = graph
            .targets(&version("4.1.0"))
            .any(|to| *to == version("4.2.0"));
        assert!(joined, "{odd}");
        assert_eq!(graph.targets(&version("4.2.0")).count(), 0, "{odd}");
    }
}

#[test]
fn a_version_that_stands_twice_is_one_release() {
    let twice = |second: Value| {
        let nodes = [node("4.1.0", "a"), node("4.2.0", ""), second];
        parse(&json!({ "nodes": nodes, "edges": [[2, 1], [0, 2]] })).unwrap()
    };
    let graph = twice(node("4.1.0", "b"));
    let version = "4.1.0".parse().unwrap();
    let same = graph.node(&version).unwrap();
    assert!(same.payload.is_ok());
    assert_eq!(same.channels.len(), 2);
    assert_eq!(
        (graph.nodes().count(), graph.targets(&version).count()),
        (2, 1)
    );
    let mut other = node("4.9.0", "");
    other["version"] = json!("4.1.0");
    let graph = twice(other);
    let different = graph.node(&version).unwrap();
    assert_eq!(different.payload, Err(BadPayload::Two));
}

#[test]
fn wrong_graphs_are_refused() {
    let with = |path: &str, value: Value| {
        let mut graph =
            json!({ "nodes": [node("4.1.0", ""), node("4.2.0", "")], "edges": [[0, 1]] });
        *graph.pointer_mut(path).unwrap() = value;
        parse(&graph).unwrap_err()
    };
    use GraphError as E;
    for edge in [json!([0, 2]), json!([2, 0]), json!([0, u64::MAX])] {
        assert!(matches!(with("/edges/0", edge), E::Edge { .. }));
    }
    for edge in [json!([0, -1]), json!([0]), json!([0, 1, 1]), json!("01")] {
        assert!(matches!(with("/edges/0", edge), E::Json(_)));
    }
    assert!(matches!(with("/nodes", json!({})), E::Json(_)));
    // An answer of a server that has an internal error.
    assert!(matches!(Graph::parse(b"<html>"), Err(E::Json(_))));
    assert!(matches!(parse(&json!({ "error": "no" })), Err(E::Json(_))));
    let nodes: Vec<Value> = (0..=MAX_NODES)
        .map(|n| node(&format!("4.{n}.0"), ""))
        .collect();
    assert!(matches!(
        with("/nodes", json!(nodes)),
        E::TooMany { what: "nodes", .. }
    ));
    let long = vec![b' '; LIMIT as usize + 1];
    assert!(matches!(Graph::parse(&long), Err(E::TooLong { .. })));
}
