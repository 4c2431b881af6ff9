//! Reads the system clock and measures elapsed time.

use std::time::{Duration, Instant};

use crate::model::Timestamp;

/// Returns the present time of this machine's clock. A clock before 1970 gives 0.
pub fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this module is the clock")]
    let now = std::time::SystemTime::now();
    let since = now
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// Measures elapsed time, independent of changes to the system clock.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Returns the time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
