//! The clock.

use std::time::{Duration, Instant};

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

/// Measures time that passes, whatever happens to the clock on the wall.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins to measure.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
