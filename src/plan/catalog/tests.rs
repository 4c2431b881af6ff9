mod properties;

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::content::catalog::{Edit, Indexer};

/// Builds a package with its bundles; entries of channels are `bundle > replaced ! skipped !
/// skipped`.
fn package(name: &str, default: &str, channels: &[(&str, &[&str])]) -> String {
    let mut text = format!("---\nschema: olm.package\nname: {name}\ndefaultChannel: {default}\n");
    let mut bundles = BTreeSet::new();
    for (channel, entries) in channels {
        text.push_str(&format!(
            "---\nschema: olm.channel\npackage: {name}\nname: {channel}\nentries:\n"
        ));
        for entry in *entries {
            let mut skips = entry.split('!');
            let (bundle, replaces) = match skips.next().unwrap().split_once('>') {
                Some((bundle, replaces)) => (bundle.trim(), Some(replaces.trim())),
                None => (entry.split('!').next().unwrap().trim(), None),
            };
            text.push_str(&format!("- name: {name}.v{bundle}\n"));
            if let Some(replaces) = replaces {
                text.push_str(&format!("  replaces: {name}.v{replaces}\n"));
            }
            let skips: Vec<String> = skips.map(|s| format!("{name}.v{}", s.trim())).collect();
            if !skips.is_empty() {
                text.push_str(&format!("  skips: [{}]\n", skips.join(", ")));
            }
            bundles.insert(bundle.to_owned());
        }
    }
    for bundle in bundles {
        text.push_str(&self::bundle(name, &bundle, &[]));
    }
    text
}

/// Builds a bundle document; properties are pairs of type and JSON value.
fn bundle(package: &str, version: &str, properties: &[(&str, &str)]) -> String {
    let mut text = format!(
        "---\nschema: olm.bundle\npackage: {package}\nname: {package}.v{version}\n\
         image: r.example/{package}:v{version}\nproperties:\n\
         - {{type: olm.package, value: {{packageName: {package}, version: {version}}}}}\n"
    );
    for (kind, value) in properties {
        text.push_str(&format!("- {{type: {kind}, value: {value}}}\n"));
    }
    text
}

fn catalog(text: &str) -> Catalog {
    let mut indexer = Indexer::new();
    indexer.add("catalog.yaml", text.as_bytes()).unwrap();
    indexer.finish().unwrap()
}

fn bounds(text: &str) -> VersionBounds {
    let (min, max) = text.split_once("..").unwrap_or((text, text));
    let version = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
    VersionBounds::new(version(min), version(max)).unwrap()
}

/// Builds a filter of one package; channels are `name` or `name range`.
fn one(package: &str, channels: &[&str]) -> CatalogFilter {
    let channels = channels.iter().map(|text| match text.split_once(' ') {
        Some((name, range)) => (name.to_owned(), bounds(range)),
        None => ((*text).to_owned(), VersionBounds::default()),
    });
    let filter = PackageFilter {
        channels: channels.collect(),
        ..PackageFilter::default()
    };
    CatalogFilter {
        packages: [(package.to_owned(), filter)].into(),
        ..CatalogFilter::default()
    }
}

/// Returns `channel: versions` for each channel, sorted.
fn shown(kept: &Kept, package: &str) -> Vec<String> {
    let known = &kept.packages[package];
    let line = |(channel, entries): (&String, &BTreeSet<String>)| {
        let prefix = format!("{package}.v");
        let names = entries
            .iter()
            .map(|name| name.strip_prefix(&prefix).unwrap());
        format!("{channel}: {}", names.collect::<Vec<_>>().join(" "))
    };
    known.channels.iter().map(line).collect()
}

fn reasons(kept: &Kept, package: &str, bundle: &str) -> Vec<String> {
    let bundle = &kept.packages[package].bundles[bundle];
    bundle.reasons.iter().map(ToString::to_string).collect()
}

/// A catalog of two packages; `a` has a chain with a skipped bundle beside it.
fn two() -> Catalog {
    let a = package(
        "a",
        "stable",
        &[
            (
                "stable",
                &[
                    "1.0.0",
                    "1.1.0 > 1.0.0",
                    "1.2.0 > 1.1.0",
                    "1.2.1",
                    "1.3.0 > 1.2.0 ! 1.2.1",
                ],
            ),
            ("fast", &["1.3.0", "2.0.0 > 1.3.0"]),
        ],
    );
    catalog(&(a + &package("b", "alpha", &[("alpha", &["0.1.0"])])))
}

#[test]
fn the_matrix_of_what_may_be_asked_for() {
    let everything = CatalogFilter::default();
    let kept = filter(&two(), &everything).unwrap();
    assert_eq!(shown(&kept, "a"), ["fast: 2.0.0", "stable: 1.3.0"]);
    assert_eq!(shown(&kept, "b"), ["alpha: 0.1.0"]);
    assert_eq!(reasons(&kept, "b", "b.v0.1.0"), ["head of alpha"]);

    // A package: keeps the head of each of its channels.
    let kept = filter(&two(), &one("a", &[])).unwrap();
    assert_eq!(shown(&kept, "a"), ["fast: 2.0.0", "stable: 1.3.0"]);
    assert_eq!(kept.packages.len(), 1);

    // A package with `full`.
    let mut full = one("a", &[]);
    full.full = true;
    let kept = filter(&two(), &full).unwrap();
    assert_eq!(
        shown(&kept, "a"),
        ["fast: 1.3.0 2.0.0", "stable: 1.0.0 1.1.0 1.2.0 1.2.1 1.3.0"]
    );
    assert_eq!(reasons(&kept, "a", "a.v1.3.0"), ["in fast", "in stable"]);

    // Versions of a package: apply to all of its channels.
    let mut versions = one("a", &[]);
    versions.packages.get_mut("a").unwrap().versions = bounds("1.1.0..1.3.0");
    let kept = filter(&two(), &versions).unwrap();
    assert_eq!(
        shown(&kept, "a"),
        ["fast: 1.3.0", "stable: 1.1.0 1.2.0 1.2.1 1.3.0"]
    );
    assert_eq!(
        reasons(&kept, "a", "a.v1.3.0"),
        ["in 1.1.0..1.3.0 of fast", "in 1.1.0..1.3.0 of stable"]
    );

    // A channel, and versions of a channel.
    let kept = filter(&two(), &one("a", &["stable"])).unwrap();
    assert_eq!(shown(&kept, "a"), ["stable: 1.3.0"]);
    let kept = filter(&two(), &one("a", &["stable 1.0.0..1.2.0"])).unwrap();
    assert_eq!(shown(&kept, "a"), ["stable: 1.0.0 1.1.0 1.2.0"]);
    let kept = filter(&two(), &one("a", &["stable 1.1.0", "fast"])).unwrap();
    assert_eq!(shown(&kept, "a"), ["fast: 2.0.0", "stable: 1.1.0"]);
}

#[test]
fn what_is_not_there_is_named() {
    let mut wrong = one("a", &["stable", "slow"]);
    wrong
        .packages
        .insert("c".to_owned(), PackageFilter::default());
    let text = filter(&two(), &wrong).unwrap_err().to_string();
    assert_eq!(
        text,
        "The catalog cannot be filtered:\n  - The catalog has no package `c`\n  - The package `a` has no \
         channel `slow`; it has `fast`, `stable`"
    );
}

#[test]
fn the_default_channel_survives_or_is_chosen() {
    let error = filter(&two(), &one("a", &["fast"])).unwrap_err();
    assert_eq!(
        error.problems,
        [FilterProblem::DefaultChannel {
            package: "a".to_owned(),
            channel: "stable".to_owned(),
            kept: vec!["fast".to_owned()],
        }]
    );
    let mut chosen = one("a", &["fast"]);
    chosen.packages.get_mut("a").unwrap().default_channel = Some("fast".to_owned());
    let kept = filter(&two(), &chosen).unwrap();
    assert_eq!(kept.packages["a"].default_channel.as_deref(), Some("fast"));
    chosen.packages.get_mut("a").unwrap().default_channel = Some("stable".to_owned());
    assert!(filter(&two(), &chosen).is_err());
}

#[test]
fn a_channel_that_becomes_empty_goes_and_is_named() {
    let mut versions = one("a", &[]);
    versions.packages.get_mut("a").unwrap().versions = bounds("1.0.0..1.2.0");
    let kept = filter(&two(), &versions).unwrap();
    assert_eq!(shown(&kept, "a"), ["stable: 1.0.0 1.1.0 1.2.0"]);
    assert_eq!(kept.warnings.len(), 1);
    assert!(
        matches!(&kept.warnings[0], FilterWarning::EmptyChannel { channel, .. } if channel == "fast")
    );

    versions.packages.get_mut("a").unwrap().versions = bounds("2.0.0..");
    let error = filter(&two(), &versions).unwrap_err();
    assert!(matches!(
        error.problems[0],
        FilterProblem::DefaultChannel { .. }
    ));
    versions.packages.get_mut("a").unwrap().versions = bounds("7.0.0");
    let error = filter(&two(), &versions).unwrap_err();
    assert!(matches!(error.problems[0], FilterProblem::Nothing { .. }));
}

#[test]
fn the_chain_between_versions_stays_whole() {
    // 9.9.9 was inserted into the middle of the chain, and 1.2.5 is only skipped.
    let odd = catalog(&package(
        "a",
        "s",
        &[(
            "s",
            &[
                "1.0.0",
                "1.1.0 > 1.0.0",
                "9.9.9 > 1.1.0",
                "1.2.0 > 9.9.9",
                "1.2.5",
                "3.0.0 > 1.2.0 ! 1.2.5",
                "3.1.0 > 3.0.0",
            ],
        )],
    ));
    let kept = filter(&odd, &one("a", &["s 1.1.0..1.2.0"])).unwrap();
    assert_eq!(shown(&kept, "a"), ["s: 1.1.0 1.2.0 9.9.9"]);
    assert_eq!(
        reasons(&kept, "a", "a.v9.9.9"),
        ["connects the upgrades of s"]
    );
    // An upgrade to 1.2.5 needs the bundle that skips it.
    let kept = filter(&odd, &one("a", &["s 1.2.0..1.2.9"])).unwrap();
    assert_eq!(shown(&kept, "a"), ["s: 1.2.0 1.2.5 3.0.0"]);
    // A single version selects only that bundle.
    let kept = filter(&odd, &one("a", &["s 1.2.5"])).unwrap();
    assert_eq!(shown(&kept, "a"), ["s: 1.2.5"]);
}

#[test]
fn prereleases_that_do_not_count_are_told() {
    let pre = catalog(&package(
        "a",
        "s",
        &[("s", &["1.0.0", "1.1.0-rc.1 > 1.0.0"])],
    ));
    let kept = filter(&pre, &one("a", &["s 1.0.0..2.0.0"])).unwrap();
    assert_eq!(shown(&kept, "a"), ["s: 1.0.0"]);
    assert!(matches!(
        kept.warnings[0],
        FilterWarning::PreReleases { count: 1, .. }
    ));
    let kept = filter(&pre, &one("a", &["s 1.0.0-0..2.0.0"])).unwrap();
    assert_eq!(shown(&kept, "a"), ["s: 1.0.0 1.1.0-rc.1"]);
}

#[test]
fn broken_channels_are_named() {
    let text = |entries: &[&str]| {
        let broken = catalog(&package("a", "s", &[("s", entries)]));
        let whole = CatalogFilter {
            full: true,
            ..one("a", &[])
        };
        let error = filter(&broken, &whole).unwrap_err();
        assert_eq!(error.problems.len(), 1, "{error}");
        error.problems[0].to_string()
    };
    assert_eq!(
        text(&[
            "1.0.0 > 3.0.0",
            "2.0.0 > 1.0.0",
            "3.0.0 > 2.0.0",
            "4.0.0 > 3.0.0"
        ]),
        "The channel `s` of package `a` has a cycle of bundles that replace each other: `a.v1.0.0` -> \
         `a.v3.0.0` -> `a.v2.0.0` -> `a.v1.0.0`"
    );
    assert_eq!(
        text(&["1.0.0 > 1.0.0"]),
        "The channel `s` of package `a` has a cycle of bundles that replace each other: `a.v1.0.0` -> \
         `a.v1.0.0`"
    );
    assert_eq!(
        text(&["1.0.0 ! 2.0.0", "2.0.0 ! 1.0.0"]),
        "The channel `s` of package `a` has a cycle of bundles that replace each other: `a.v1.0.0` -> \
         `a.v2.0.0` -> `a.v1.0.0`"
    );
    assert_eq!(
        text(&["1.0.0", "2.0.0"]),
        "The channel `s` of package `a` must have exactly one head; it has `a.v1.0.0`, `a.v2.0.0`"
    );
    assert_eq!(
        text(&["1.0.0", "1.0.0"]),
        "The catalog has the entry of channel `s` `a.v1.0.0` of package `a` twice"
    );
}

#[test]
fn a_long_circle_ends() {
    let entries: Vec<String> = (0..20_000)
        .map(|n| format!("1.0.{n} > 1.0.{}", (n + 1) % 20_000))
        .collect();
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    let mut indexer = Indexer::new();
    // Without bundles: this test needs only the graph.
    let text = package("a", "s", &[("s", &entries)]);
    let channel = text.split("---\nschema: olm.bundle").next().unwrap();
    indexer.add("c.yaml", channel.as_bytes()).unwrap();
    let error = filter(&indexer.finish().unwrap(), &CatalogFilter::default()).unwrap_err();
    assert!(error.to_string().contains("19980 more -> "), "{error}");
}

#[test]
fn what_is_described_twice_is_refused_where_it_is_kept() {
    let twice = package("a", "s", &[("s", &["1.0.0"])]) + &bundle("a", "1.0.0", &[]);
    let twice = catalog(&(twice + &package("b", "s", &[("s", &["1.0.0"])])));
    let error = filter(&twice, &one("a", &[])).unwrap_err();
    assert!(
        matches!(&error.problems[..], [FilterProblem::Duplicate { name, .. }] if name == "a.v1.0.0")
    );
    assert!(filter(&twice, &one("b", &[])).is_ok());

    let no_bundle =
        package("a", "s", &[("s", &["1.0.0"])]).replace("name: a.v1.0.0\nimage", "name: x\nimage");
    let error = filter(&catalog(&no_bundle), &one("a", &[])).unwrap_err();
    assert!(matches!(error.problems[0], FilterProblem::NoBundle { .. }));
}

/// `app` requires `lib`, an API, and something that the catalog does not have; `lib` requires
/// `app`.
fn with_dependencies() -> Catalog {
    let channels: &[(&str, &[&str])] = &[
        (
            "stable",
            &["1.0.0", "1.1.0 > 1.0.0", "1.2.0 > 1.1.0", "2.0.0 > 1.2.0"],
        ),
        ("edge", &["3.0.0"]),
    ];
    let lib = package("lib", "stable", channels);
    let needs_app = bundle(
        "lib",
        "1.2.0",
        &[(
            "olm.package.required",
            "{packageName: app, versionRange: '>=1.0.0'}",
        )],
    );
    let lib = lib.replace(&bundle("lib", "1.2.0", &[]), &needs_app);
    let app = package("app", "s", &[("s", &["1.0.0"])]).replace(
        &bundle("app", "1.0.0", &[]),
        &bundle(
            "app",
            "1.0.0",
            &[
                (
                    "olm.package.required",
                    "{packageName: lib, versionRange: '>=1.0.0 <2.0.0'}",
                ),
                (
                    "olm.package.required",
                    "{packageName: none, versionRange: '1.0.0'}",
                ),
                (
                    "olm.gvk.required",
                    "{group: g.example, version: v1, kind: Thing}",
                ),
            ],
        ),
    );
    let provides = [("olm.gvk", "{group: g.example, version: v1, kind: Thing}")];
    let provider = |name: &str| {
        package(name, "s", &[("s", &["0.1.0"])]).replace(
            &bundle(name, "0.1.0", &[]),
            &bundle(name, "0.1.0", &provides),
        )
    };
    catalog(&(lib + &app + &provider("things") + &provider("others")))
}

#[test]
fn requirements_are_kept_with_their_reason() {
    let mut wanted = one("app", &[]);
    let kept = filter(&with_dependencies(), &wanted).unwrap();
    assert_eq!(kept.packages.len(), 1);
    wanted.dependencies = true;
    let kept = filter(&with_dependencies(), &wanted).unwrap();
    // Takes the highest version in the range from the default channel; its own requirement is met
    // already.
    assert_eq!(shown(&kept, "lib"), ["stable: 1.2.0"]);
    assert_eq!(
        reasons(&kept, "lib", "lib.v1.2.0"),
        ["required by app.v1.0.0 (olm.package.required lib >=1.0.0 <2.0.0)"]
    );
    assert_eq!(
        reasons(&kept, "others", "others.v0.1.0"),
        ["required by app.v1.0.0 (olm.gvk.required g.example/v1 Thing)"]
    );
    assert!(!kept.packages.contains_key("things"));
    let warnings: Vec<String> = kept.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "No bundle of the catalog meets a requirement of app.v1.0.0 of package app: \
             olm.package.required none 1.0.0",
            "Several packages provide olm.gvk.required g.example/v1 Thing; others was kept, not things",
        ]
    );
    // A package that is kept anyway is preferred as the provider.
    wanted
        .packages
        .insert("things".to_owned(), PackageFilter::default());
    let kept = filter(&with_dependencies(), &wanted).unwrap();
    assert!(!kept.packages.contains_key("others"));
    assert_eq!(reasons(&kept, "things", "things.v0.1.0"), ["head of s"]);
}

#[test]
fn what_is_added_to_a_channel_is_connected() {
    let mut wanted = one("app", &[]);
    wanted.dependencies = true;
    let lib = one("lib", &["stable"]).packages["lib"].clone();
    wanted.packages.insert("lib".to_owned(), lib);
    // The head is 2.0.0, which is out of the range: 1.2.0 is added, and the two are neighbours.
    let kept = filter(&with_dependencies(), &wanted).unwrap();
    assert_eq!(shown(&kept, "lib"), ["stable: 1.2.0 2.0.0"]);
    let text = "{packageName: lib, versionRange: '<1.1.0'}";
    let app = package("app", "s", &[("s", &["1.0.0"])]).replace(
        &bundle("app", "1.0.0", &[]),
        &bundle("app", "1.0.0", &[("olm.package.required", text)]),
    );
    let lib: &[(&str, &[&str])] = &[("stable", &["1.0.0", "1.1.0 > 1.0.0", "2.0.0 > 1.1.0"])];
    let kept = filter(&catalog(&(app + &package("lib", "stable", lib))), &wanted).unwrap();
    assert_eq!(shown(&kept, "lib"), ["stable: 1.0.0 1.1.0 2.0.0"]);
    assert_eq!(
        reasons(&kept, "lib", "lib.v1.1.0"),
        ["connects the upgrades of stable"]
    );
}

#[test]
fn a_required_package_keeps_its_default_channel() {
    let app = package("app", "s", &[("s", &["1.0.0"])]).replace(
        &bundle("app", "1.0.0", &[]),
        &bundle(
            "app",
            "1.0.0",
            &[(
                "olm.package.required",
                "{packageName: lib, versionRange: '>=3.0.0'}",
            )],
        ),
    );
    let lib: &[(&str, &[&str])] = &[("stable", &["1.0.0"]), ("edge", &["3.0.0"])];
    let catalog = catalog(&(app + &package("lib", "stable", lib)));
    let mut wanted = one("app", &[]);
    wanted.dependencies = true;
    let kept = filter(&catalog, &wanted).unwrap();
    assert_eq!(shown(&kept, "lib"), ["edge: 3.0.0", "stable: 1.0.0"]);
    assert_eq!(
        reasons(&kept, "lib", "lib.v1.0.0"),
        ["head of stable, the default channel"]
    );
}

#[test]
fn documents_stay_go_or_change() {
    let text = package(
        "a",
        "stable",
        &[("stable", &["1.0.0", "1.1.0 > 1.0.0"]), ("old", &["1.0.0"])],
    ) + "---\nschema: olm.deprecations\npackage: a\nentries:\n\
           - {reference: {schema: olm.bundle, name: a.v1.0.0}, message: m}\n\
           - {reference: {schema: olm.package}, message: m}\n\
           ---\nschema: olm.deprecations\npackage: b\nentries: []\n\
           ---\nschema: x.example\nname: for all\n\
           ---\nschema: x.example\npackage: a\nname: for a\n\
           ---\nschema: x.example\npackage: b\nname: for b\n";
    let catalog = catalog(&(text + &package("b", "s", &[("s", &["1.0.0"])])));
    let kept = filter(&catalog, &one("a", &["stable"])).unwrap();
    let by_number: BTreeMap<u64, Edit> = edits(&catalog, &kept)
        .into_iter()
        .map(|(place, edit)| (place.number, edit))
        .collect();
    let gone = [("olm.bundle".to_owned(), "a.v1.0.0".to_owned())].into();
    let expected = [
        (1, Edit::Keep),
        (2, Edit::Entries(["a.v1.1.0".to_owned()].into())),
        (5, Edit::Keep),
        (6, Edit::Deprecated { gone }),
        (8, Edit::Keep),
        (9, Edit::Keep),
    ];
    assert_eq!(by_number, expected.into());

    let mut chosen = one("a", &["old"]);
    chosen.packages.get_mut("a").unwrap().default_channel = Some("old".to_owned());
    let kept = filter(&catalog, &chosen).unwrap();
    let package = &catalog.packages[0].place;
    assert_eq!(
        edits(&catalog, &kept)[package],
        Edit::DefaultChannel("old".to_owned())
    );
}

#[test]
fn filters_have_one_text() {
    let mut filter = one("b", &["stable 1.2.0..1.4.0", "alpha"]);
    let full = PackageFilter {
        full: true,
        ..PackageFilter::default()
    };
    filter.packages.insert("a".to_owned(), full);
    filter.dependencies = true;
    assert_eq!(
        filter.to_string(),
        "a full; b alpha, stable 1.2.0..1.4.0; with what they require"
    );
    assert_eq!(
        CatalogFilter::default().to_string(),
        "heads of all channels"
    );
}

#[test]
fn what_is_kept_is_looked_at_once_for_a_requirement() {
    let entries: Vec<String> = (1..=40)
        .map(|n| match n {
            1 => "1.1.0".to_owned(),
            n => format!("1.{n}.0 > 1.{}.0", n - 1),
        })
        .collect();
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    // 20 bundles are kept, and 20 others meet the requirement.
    let required = r#"{packageName: b, versionRange: ">=1.21.0"}"#;
    let text = package("b", "stable", &[("stable", &entries)])
        + "---\nschema: olm.package\nname: a\ndefaultChannel: c\n\
           ---\nschema: olm.channel\npackage: a\nname: c\nentries: [{name: a.v1.0.0}]\n"
        + &bundle("a", "1.0.0", &[("olm.package.required", required)]);
    let catalog = catalog(&text);
    let mut wanted = one("b", &["stable 1.1.0..1.20.0"]);
    wanted
        .packages
        .insert("a".to_owned(), PackageFilter::default());
    let facts = facts::Facts::new(&catalog);
    let (mut kept, mut problems) = select::select(&facts, &wanted);
    let channel = catalog.channels_of("b").next().unwrap();
    let graph = facts.graph(channel).unwrap();
    graph.asked.set(0);
    dependencies::resolve(&facts, &mut kept, &mut problems);
    assert_eq!(problems, []);
    assert!(kept.has("b", "b.v1.40.0"));
    // One call for each kept bundle, one for each candidate, one for each bundle connected in the
    // end.
    assert_eq!(graph.asked.get(), 20 + 20 + 21);
}
