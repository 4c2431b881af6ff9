//! The clock.

use crate::model::Timestamp;

/// The time now, by this machine's clock. A clock before 1970 gives 0.
pub fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this module is the clock")]
    let now = std::time::SystemTime::now();
    let since = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
