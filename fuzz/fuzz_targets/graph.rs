//! Update graphs, as update services answer them.
// max_len: 8192
#![no_main]

use airferry::content::graph::Graph;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(graph) = Graph::parse(bytes) else {
        return;
    };
    let versions: Vec<_> = graph.nodes().map(|node| &node.version).collect();
    assert!(versions.is_sorted_by(|a, b| a < b));
    let mut conditional = 0;
    for from in &versions {
        assert!(graph.targets(from).all(|to| to != *from && graph.node(to).is_some()));
        conditional += graph.conditional_targets(from).count();
    }
    // Lookups by version find all entries of the whole list.
    assert_eq!(conditional, graph.conditional().count());
    for update in graph.conditional() {
        assert!(graph.conditional_between(&update.from, &update.to).any(|same| same == update));
    }
});
