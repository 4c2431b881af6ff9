//! Times as text: `YYYY-MM-DDTHH:MM:SSZ`, one form of RFC 3339 (bundle-format.md, section 8.1).

use crate::model::Timestamp;

/// Parses a time of the form `YYYY-MM-DDTHH:MM:SSZ`, the only accepted one. The second must
/// exist; second 60 is refused.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    let time = Timestamp(time.as_second());
    // The library accepts many other forms: only the accepted one renders to the same text.
    (render_time(time)? == text).then_some(time)
}

/// Renders a time as `YYYY-MM-DDTHH:MM:SSZ`; `None` if its year does not have four digits.
pub fn render_time(time: Timestamp) -> Option<String> {
    let civil = jiff::Timestamp::from_second(time.0)
        .ok()
        .map(|time| time.to_zoned(jiff::tz::TimeZone::UTC).datetime())
        .filter(|civil| (0..=9999).contains(&civil.year()))?;
    Some(format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        civil.year(),
        civil.month(),
        civil.day(),
        civil.hour(),
        civil.minute(),
        civil.second()
    ))
}
