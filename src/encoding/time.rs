//! Times as text: `YYYY-MM-DDTHH:MM:SSZ`, one form of RFC 3339 (bundle-format.md, section 8.1).

use crate::model::Timestamp;

/// Reads a time: `YYYY-MM-DDTHH:MM:SSZ` of an existing second; none is 60. No other form is
/// accepted.
pub fn parse_time(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    let time = Timestamp(time.as_second());
    // The library accepts many more forms; writing it again leaves one.
    (render_time(time)? == text).then_some(time)
}

/// Writes a time as `YYYY-MM-DDTHH:MM:SSZ`; `None` when its year has no four digits.
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
