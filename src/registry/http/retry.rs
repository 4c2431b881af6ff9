//! The retry policy: number of attempts, pauses between them, and which failures count.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use super::outage::{Advice, Outages};
use crate::progress::{Event, Progress};
use crate::registry::error::{Error, Result, chain};
use crate::registry::redact::one_line;

/// Maximum characters of a cause in a report.
const LONGEST_CAUSE: usize = 400;

/// How failures are retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts for one object without progress, the first included; 0 counts as 1.
    pub attempts: u32,
    /// Pause before the second attempt; doubled for each one after.
    pub base: Duration,
    /// Longest pause that this side chooses.
    pub cap: Duration,
    /// Longest pause that a registry may ask for with `Retry-After`.
    pub retry_after_cap: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 6,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            retry_after_cap: Duration::from_secs(300),
        }
    }
}

impl RetryPolicy {
    /// Returns the pause after the `failures`-th failure in a row (from 1) of `what`.
    ///
    /// Half to all of the exponential value. The jitter is a hash of `what` and `failures`:
    /// objects that fail together are retried at different times, and a test sees the same pauses
    /// twice.
    fn pause(&self, what: &str, failures: u32, asked: Option<Duration>) -> Duration {
        if let Some(asked) = asked {
            return asked.min(self.retry_after_cap);
        }
        let doublings = failures.saturating_sub(1).min(20);
        let full = self.base.saturating_mul(1 << doublings).min(self.cap);
        let mut hasher = DefaultHasher::new();
        (what, failures).hash(&mut hasher);
        let percent = 50 + u32::try_from(hasher.finish() % 51).unwrap_or(50);
        full.saturating_mul(percent) / 100
    }
}

/// The attempts that one object has left.
pub(crate) struct Budget {
    policy: RetryPolicy,
    progress: Arc<dyn Progress>,
    outages: Arc<Outages>,
    what: String,
    failures: u32,
    /// True if the caller allows fewer attempts than the policy.
    is_limited: bool,
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("what", &self.what)
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

impl Budget {
    pub(crate) fn new(
        policy: RetryPolicy,
        progress: Arc<dyn Progress>,
        outages: Arc<Outages>,
        what: String,
    ) -> Self {
        Self {
            policy,
            progress,
            outages,
            what,
            failures: 0,
            is_limited: false,
        }
    }

    /// Limits the attempts further than the policy does.
    pub(crate) fn at_most(mut self, attempts: u32) -> Self {
        self.is_limited = attempts < self.policy.attempts;
        self.policy.attempts = self.policy.attempts.min(attempts);
        self
    }

    /// Sends a request until it succeeds, fails with a permanent error, or has no attempts left.
    pub(crate) async fn retry<T, Fut>(mut self, mut request: impl FnMut() -> Fut) -> Result<T>
    where
        Fut: Future<Output = Result<T>>,
    {
        loop {
            match request().await {
                Ok(answered) => return Ok(answered),
                Err(error) => self.spend(error).await?,
            }
        }
    }

    /// Records progress: all attempts are available again.
    pub(crate) fn progressed(&mut self) {
        self.failures = 0;
    }

    /// Pauses before the next attempt. Returns the error if it is permanent or no attempts are
    /// left.
    pub(crate) async fn spend(&mut self, error: Error) -> Result<()> {
        if error.is_transient() {
            self.spend_any(error).await
        } else {
            Err(error)
        }
    }

    /// Like [`Self::spend`], also for permanent errors, which the caller can work around.
    pub(crate) async fn spend_any(&mut self, error: Error) -> Result<()> {
        self.failures = self.failures.saturating_add(1);
        let unconnected = error.unconnected();
        let advice = unconnected.map_or(Advice::Report, |host| {
            self.outages.failed(host, self.failures)
        });
        let is_last = self.failures >= self.policy.attempts;
        if let (true, false, Some(host)) = (is_last, self.is_limited, unconnected) {
            self.outages.gave_up(host);
        }
        if is_last || advice == Advice::GiveUp {
            return Err(error);
        }
        let pause = self
            .policy
            .pause(&self.what, self.failures, error.retry_after());
        if advice == Advice::Report {
            self.progress.emit(Event::Retrying {
                what: self.what.clone(),
                attempt: self.failures.saturating_add(1),
                after_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                cause: one_line(&chain(&error), LONGEST_CAUSE),
            });
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// Returns the pause that a response asks for (RFC 9110, 10.2.3), given as seconds or as a date.
///
/// A date is compared with the response's own `Date` header: both come from the server's clock,
/// so the local clock need not be right.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let asked = text(RETRY_AFTER)?.trim();
    if let Ok(seconds) = asked.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let until = http_date(asked)?;
    let now = http_date(text(DATE)?)?;
    u64::try_from(until.saturating_sub(now))
        .ok()
        .map(Duration::from_secs)
}

/// Parses an HTTP date into seconds since 1970 (RFC 9110, 5.6.7; only the preferred form).
pub(crate) fn http_date(text: &str) -> Option<i64> {
    let parser = jiff::fmt::rfc2822::DateTimeParser::new();
    parser
        .parse_timestamp(text.trim())
        .ok()
        .map(jiff::Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_the_cap_and_are_the_same_twice() {
        let policy = RetryPolicy {
            attempts: 9,
            base: Duration::from_millis(100),
            cap: Duration::from_secs(1),
            retry_after_cap: Duration::from_secs(2),
        };
        for failures in 1..40 {
            let full = Duration::from_millis(100 << (failures - 1).min(10)).min(policy.cap);
            let pause = policy.pause("x", failures, None);
            assert!(pause >= full / 2 && pause <= full, "{failures}: {pause:?}");
            assert_eq!(pause, policy.pause("x", failures, None));
        }
        let pauses: std::collections::BTreeSet<_> = (0..50)
            .map(|n| policy.pause(&format!("blob {n}"), 1, None))
            .collect();
        assert!(pauses.len() > 10, "objects must not come back together");
        let hour = Some(Duration::from_secs(3600));
        assert_eq!(policy.pause("x", 1, hour), Duration::from_secs(2));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let mut headers = HeaderMap::new();
        assert_eq!(retry_after(&headers), None);
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(7)));
        let until = "Sun, 06 Nov 1994 08:49:37 GMT";
        headers.insert(RETRY_AFTER, until.parse().unwrap());
        assert_eq!(retry_after(&headers), None, "no Date to compare with");
        headers.insert(DATE, "Sun, 06 Nov 1994 08:49:07 GMT".parse().unwrap());
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(30)));
        headers.insert(DATE, "Sun, 06 Nov 1994 08:50:07 GMT".parse().unwrap());
        assert_eq!(retry_after(&headers), None, "in the past");
        headers.insert(RETRY_AFTER, "soon".parse().unwrap());
        assert_eq!(retry_after(&headers), None);
    }
}
