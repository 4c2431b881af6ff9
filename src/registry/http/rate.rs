//! `--limit-rate`: bytes per second for all transfers of the process together.

use std::num::NonZeroU64;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use crate::registry::locks::lock;

/// Maximum bytes handed to the HTTP library at a time. Bytes handed over count as sent and as
/// progress, and on a slow line with many uploads a mebibyte takes minutes.
pub(super) const LARGEST_PIECE: usize = 64 << 10;

/// A limit in bytes per second. Each piece waits for the time that the pieces before it take at
/// that rate.
#[derive(Debug)]
pub(super) struct RateLimit {
    bytes_per_second: NonZeroU64,
    /// Earliest time for the next piece.
    free: Mutex<Instant>,
}

impl RateLimit {
    pub(super) fn new(bytes_per_second: NonZeroU64) -> Self {
        Self {
            bytes_per_second,
            free: Mutex::new(Instant::now()),
        }
    }

    /// Returns the bytes to hand over at a time: an eighth of a second's, so that progress is
    /// visible on a slow line.
    pub(super) fn piece(&self) -> usize {
        let bytes = usize::try_from(self.bytes_per_second.get() / 8).unwrap_or(usize::MAX);
        bytes.clamp(1, LARGEST_PIECE)
    }

    /// Waits until `bytes` more may be sent.
    pub(super) async fn take(&self, bytes: u64) {
        let turn = {
            let mut free = lock(&self.free);
            let turn = (*free).max(Instant::now());
            *free = turn + self.time_for(bytes);
            turn
        };
        tokio::time::sleep_until(turn).await;
    }

    fn time_for(&self, bytes: u64) -> Duration {
        let nanos = u128::from(bytes).saturating_mul(1_000_000_000)
            / u128::from(self.bytes_per_second.get());
        // Limited to a day, which is practically for ever, because a longer time could overflow
        // an `Instant`.
        let day = Duration::from_secs(86_400);
        u64::try_from(nanos).map_or(day, |nanos| Duration::from_nanos(nanos).min(day))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(bytes_per_second: u64) -> RateLimit {
        RateLimit::new(NonZeroU64::new(bytes_per_second).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_together_stays_below_the_rate() {
        let limit = limit(1000);
        let began = Instant::now();
        let take = || async {
            for _ in 0..10 {
                limit.take(100).await;
            }
        };
        tokio::join!(take(), take(), take());
        // 3000 bytes; the last piece is sent after the time for all pieces before it.
        assert_eq!(began.elapsed().as_millis(), 2900);
    }

    #[tokio::test(start_paused = true)]
    async fn time_not_used_is_not_saved_up() {
        let limit = limit(1000);
        tokio::time::advance(Duration::from_secs(100)).await;
        let began = Instant::now();
        limit.take(500).await;
        limit.take(500).await;
        limit.take(1).await;
        assert_eq!(began.elapsed().as_millis(), 1000);
    }

    #[test]
    fn pieces_are_small_where_the_line_is_slow() {
        assert_eq!(limit(1).piece(), 1);
        assert_eq!(limit(8000).piece(), 1000);
        assert_eq!(limit(u64::MAX).piece(), 64 << 10);
        assert_eq!(limit(1).time_for(u64::MAX), Duration::from_secs(86_400));
    }
}
