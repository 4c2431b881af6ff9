//! Text about releases, for people.

use crate::model::Count;
use crate::ops::release::selection::Selected;
use crate::ops::release::{ReleaseLine, SignedOver};

/// Describes a release in one line: version, architecture, components, signatures.
pub(super) fn summary(release: &ReleaseLine) -> String {
    let components = Count::of(release.components.len(), "component");
    let lacking = release.components.iter().filter(|c| c.missing).count();
    let lacking = match lacking {
        0 => String::new(),
        lacking => format!(", {lacking} of them missing"),
    };
    format!(
        "release {} {}, {components}{lacking}, {}",
        release.version,
        release.architecture,
        signatures(release)
    )
}

fn signatures(release: &ReleaseLine) -> String {
    let count = Count::of(release.signatures, "signature");
    match release.signed_over {
        SignedOver::Nothing => "UNSIGNED".to_owned(),
        SignedOver::Release => format!("{count} over the release image"),
        SignedOver::EachImage => format!("{count} over the images of its list"),
    }
}

/// Describes a release with its components, for plans.
pub(super) fn lines(release: &ReleaseLine) -> Vec<String> {
    let mut lines = vec![summary(release), format!("  {}", release.image)];
    lines.extend(release.components.iter().map(|component| {
        let missing = if component.missing { "  missing" } else { "" };
        format!("  {}  {}{missing}", component.name, component.image)
    }));
    lines
}

/// Describes the releases that a request by version selected.
pub(super) fn selected(selected: &Selected) -> Vec<String> {
    let versions: Vec<&str> = selected
        .releases
        .iter()
        .map(|r| r.version.as_str())
        .collect();
    let (channel, architecture) = (&selected.channel, &selected.architecture);
    let first = match &selected.from {
        Some(_) => format!(
            "update path in {channel} for {architecture}, {}: {}",
            Count::of(versions.len().saturating_sub(1), "step"),
            versions.join(" -> ")
        ),
        None => format!(
            "{} in {channel} for {architecture}: {}",
            selected.wanted,
            versions.join(", ")
        ),
    };
    let avoided = selected.avoided.iter().map(|avoided| {
        format!(
            "  not taken: {} -> {}, known risks: {}",
            avoided.from,
            avoided.to,
            avoided.risks.join(", ").escape_debug()
        )
    });
    std::iter::once(first).chain(avoided).collect()
}
