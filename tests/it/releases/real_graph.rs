//! Selections from a real answer of the update service, which is stored outside the repository: run
//! by `scripts/check-shared`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use airferry::content::graph::Graph;
use airferry::plan::upgrade::{UpgradeError, VersionRequest, select};
use serde_json::Value;

/// Returns the length of the shortest path from one node to each node that it reaches.
fn steps(targets: &BTreeMap<u64, BTreeSet<u64>>, from: u64) -> BTreeMap<u64, usize> {
    let mut steps = BTreeMap::from([(from, 0)]);
    let mut ring = BTreeSet::from([from]);
    for step in 1.. {
        let next = ring
            .iter()
            .flat_map(|node| targets.get(node).into_iter().flatten());
        ring = next
            .copied()
            .filter(|node| !steps.contains_key(node))
            .collect();
        if ring.is_empty() {
            break;
        }
        steps.extend(ring.iter().map(|node| (*node, step)));
    }
    steps
}

#[test]
#[ignore = "needs the shared directory; scripts/check-shared runs it"]
fn every_path_of_a_real_graph_is_a_shortest_one() {
    let shared = PathBuf::from(std::env::var_os("SHARED").expect("SHARED is set"));
    let path = shared.join("data/release/update-graph-amd64-stable-4.13.json");
    let bytes = std::fs::read(path).unwrap();
    let graph = Graph::parse(&bytes).unwrap();
    let raw: Value = serde_json::from_slice(&bytes).unwrap();
    let nodes = raw["nodes"].as_array().unwrap();
    let names: Vec<&str> = nodes
        .iter()
        .map(|node| node["version"].as_str().unwrap())
        .collect();
    let mut targets: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for edge in raw["edges"].as_array().unwrap() {
        let end = |n: usize| edge[n].as_u64().unwrap();
        targets.entry(end(0)).or_default().insert(end(1));
    }
    assert_eq!(graph.nodes().count(), names.len());
    assert!(graph.conditional().next().is_some());

    let channel = "stable-4.13".parse().unwrap();
    let head = select(&graph, &channel, &VersionRequest::One(None), None).unwrap();
    assert_eq!(head.releases[0].version.to_string(), "4.13.43");
    let (mut paths, mut none) = (0, 0);
    for (from, from_name) in names.iter().enumerate() {
        let reached = steps(&targets, from as u64);
        let begin = from_name.parse().unwrap();
        for (to, to_name) in names.iter().enumerate() {
            let wanted: VersionRequest = to_name.parse().unwrap();
            match select(&graph, &channel, &wanted, Some(&begin)) {
                Ok(choice) => {
                    let length = choice.releases.len() - 1;
                    assert_eq!(
                        Some(&length),
                        reached.get(&(to as u64)),
                        "{from_name} {to_name}"
                    );
                    paths += 1;
                }
                Err(UpgradeError::NoPath { .. } | UpgradeError::Downgrade { .. }) => {
                    assert_eq!(reached.get(&(to as u64)), None, "{from_name} {to_name}");
                    none += 1;
                }
                Err(other) => panic!("{from_name} {to_name}: {other}"),
            }
        }
    }
    eprintln!(
        "{} releases: {paths} paths, {none} pairs without",
        names.len()
    );
    assert!(paths > 1000 && none > 1000);
}
