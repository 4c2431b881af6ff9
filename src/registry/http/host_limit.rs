//! Limits the requests that run at a registry at the same time, to the number that [`Pace`] finds
//! best, and keeps the sum of all transfers below `--limit-rate`.

use std::collections::HashMap;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::length::length;
use super::pace::Pace;
use super::rate::{LARGEST_PIECE, RateLimit};
use crate::model::Host;
use crate::registry::locks::lock;

/// The limits of all registries.
#[derive(Debug)]
pub(super) struct HostLimits {
    fixed: Option<NonZeroUsize>,
    rate: Option<Arc<RateLimit>>,
    hosts: Mutex<HashMap<Host, Arc<HostLimit>>>,
}

impl HostLimits {
    /// `fixed`: concurrent requests per registry; `rate`: bytes per second for all registries
    /// together.
    pub(super) fn new(fixed: Option<NonZeroUsize>, rate: Option<NonZeroU64>) -> Self {
        Self {
            fixed,
            rate: rate.map(|rate| Arc::new(RateLimit::new(rate))),
            hosts: Mutex::default(),
        }
    }

    fn of(&self, host: &Host) -> Arc<HostLimit> {
        let mut hosts = lock(&self.hosts);
        let limit = hosts.entry(host.clone());
        Arc::clone(limit.or_insert_with(|| Arc::new(HostLimit::new(self.fixed, self.rate.clone()))))
    }

    /// Returns how many requests may run at a registry at the same time.
    #[cfg(test)]
    pub(super) fn limit(&self, host: &Host) -> usize {
        lock(&self.of(host).state).pace.limit()
    }

    /// Waits until a request may be sent to a registry.
    pub(super) async fn enter(&self, host: &Host) -> Admission {
        let limit = self.of(host);
        let place = limit.place().await;
        let throttle = Throttle(limit);
        Admission { throttle, place }
    }
}

/// The limit of one registry.
#[derive(Debug)]
struct HostLimit {
    began: Instant,
    places: Arc<Semaphore>,
    state: Mutex<State>,
    rate: Option<Arc<RateLimit>>,
}

#[derive(Debug)]
struct State {
    pace: Pace,
    /// Permits that the semaphore has, in use or free.
    places: usize,
}

impl HostLimit {
    fn new(fixed: Option<NonZeroUsize>, rate: Option<Arc<RateLimit>>) -> Self {
        let pace = Pace::new(fixed.map(NonZeroUsize::get));
        let places = pace.limit();
        Self {
            began: Instant::now(),
            places: Arc::new(Semaphore::new(places)),
            state: Mutex::new(State { pace, places }),
            rate,
        }
    }

    /// Acquires a permit; never `None`, because the semaphore is never closed.
    async fn place(self: &Arc<Self>) -> Option<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Some(place);
        }
        lock(&self.state).pace.waits();
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Passes an event to the pace, then adds or removes permits to match its new limit.
    fn tell(&self, what: impl FnOnce(&mut Pace, Duration)) {
        let mut state = lock(&self.state);
        what(&mut state.pace, self.began.elapsed());
        let limit = state.pace.limit();
        if limit > state.places {
            self.places.add_permits(limit - state.places);
            state.places = limit;
        } else if limit < state.places {
            state.places -= self.places.forget_permits(state.places - limit);
        }
    }

    /// Returns a permit. If there is one more than the limit, it is removed instead of going to
    /// the next request: under load no permit is ever free, so `tell` cannot remove any.
    fn give_back(&self, place: OwnedSemaphorePermit) {
        let mut state = lock(&self.state);
        if state.places > state.pace.limit() {
            state.places -= 1;
            place.forget();
        }
    }
}

/// A request that was admitted; dropping it releases its permit.
#[derive(Debug)]
pub(super) struct Admission {
    throttle: Throttle,
    place: Option<OwnedSemaphorePermit>,
}

impl Admission {
    /// Returns the counter for the bytes of the request and its answer.
    pub(super) fn throttle(&self) -> &Throttle {
        &self.throttle
    }

    /// Records that the registry is overloaded: it answered so, or did not answer in time.
    pub(super) fn refused(&self) {
        self.throttle.0.tell(Pace::refused);
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.throttle.0.tell(Pace::finished);
        if let Some(place) = self.place.take() {
            self.throttle.0.give_back(place);
        }
    }
}

/// Counts and limits the bytes that are sent to a registry or received from it.
#[derive(Debug, Clone)]
pub(in crate::registry) struct Throttle(Arc<HostLimit>);

impl Throttle {
    /// Waits until so many more bytes may be sent, and counts them.
    pub(super) async fn moves(&self, bytes: u64) {
        if let Some(rate) = &self.0.rate {
            rate.take(bytes).await;
        }
        self.0.tell(|pace, now| pace.moved(now, bytes));
    }

    /// Splits off the bytes that may be sent at once, and waits for their turn.
    pub(super) async fn next_piece(&self, bytes: &mut Bytes) -> Bytes {
        let rate = self.0.rate.as_ref();
        let most = rate.map_or(LARGEST_PIECE, |rate| rate.piece());
        let piece = bytes.split_to(bytes.len().min(most));
        self.moves(length(&piece)).await;
        piece
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn host() -> Host {
        "r.lan".parse().unwrap()
    }

    /// Sends `requests` requests through the limits at once; returns the largest number of them
    /// that ran at the same time.
    async fn crowd(limits: &Arc<HostLimits>, requests: usize) -> usize {
        let (inside, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let tasks: Vec<_> = (0..requests)
            .map(|_| {
                let (limits, inside, most) = (Arc::clone(limits), inside.clone(), most.clone());
                tokio::spawn(async move {
                    let admission = limits.enter(&host()).await;
                    let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    drop(admission);
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        most.load(Ordering::SeqCst)
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_are_let_in_as_the_pace_says() {
        let limits = Arc::new(HostLimits::new(NonZeroUsize::new(6), None));
        assert_eq!(crowd(&limits, 50).await, 6);
        limits.enter(&host()).await.refused();
        assert_eq!(crowd(&limits, 50).await, 3);
    }

    /// Under load no permit is free when the registry refuses: permits are removed as they are
    /// returned.
    #[tokio::test(start_paused = true)]
    async fn places_are_taken_away_under_load() {
        let limits = Arc::new(HostLimits::new(NonZeroUsize::new(8), None));
        let mut inside = Vec::new();
        for _ in 0..8 {
            inside.push(limits.enter(&host()).await);
        }
        let waiting = tokio::spawn({
            let limits = Arc::clone(&limits);
            async move { crowd(&limits, 50).await }
        });
        tokio::task::yield_now().await;
        inside[0].refused();
        inside.clear();
        assert_eq!(waiting.await.unwrap(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn it_grows_with_what_gets_done_and_hosts_are_apart() {
        let limits = Arc::new(HostLimits::new(None, None));
        let first = crowd(&limits, 3).await;
        assert_eq!(first, 3);
        // Each request takes a millisecond regardless of their number: more requests mean more
        // throughput.
        let later = crowd(&limits, 20_000).await;
        assert!(later > 20, "{later}");
        let other = limits.of(&"other.lan".parse().unwrap());
        assert_eq!(other.places.available_permits(), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_go_in_pieces_where_the_rate_is_limited() {
        let limits = HostLimits::new(None, NonZeroU64::new(8000));
        let throttle = limits.enter(&host()).await.throttle().clone();
        let mut bytes = Bytes::from(vec![1; 2500]);
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            pieces.push(throttle.next_piece(&mut bytes).await.len());
        }
        assert_eq!(pieces, [1000, 1000, 500]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_mebibyte_does_not_go_at_once() {
        let throttle = HostLimits::new(None, None)
            .enter(&host())
            .await
            .throttle()
            .clone();
        let mut bytes = Bytes::from(vec![1; 100_000]);
        assert_eq!(throttle.next_piece(&mut bytes).await.len(), 65_536);
        assert_eq!(throttle.next_piece(&mut bytes).await.len(), 34_464);
    }
}
