use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When something came last, which any thread may ask while another one notes it.
#[derive(Debug)]
pub(super) struct Stamp {
    start: Instant,
    /// From then on.
    millis: AtomicU64,
}

impl Stamp {
    pub(super) fn new(now: Instant) -> Self {
        Self { start: now, millis: AtomicU64::new(0) }
    }

    pub(super) fn renew(&self, now: Instant) {
        let millis = now.saturating_duration_since(self.start).as_millis() as u64;
        self.millis.store(millis, Ordering::Relaxed);
    }

    /// How long ago that was.
    pub(super) fn age(&self, now: Instant) -> Duration {
        let last = self.start + Duration::from_millis(self.millis.load(Ordering::Relaxed));
        now.saturating_duration_since(last)
    }
}

impl Clone for Stamp {
    fn clone(&self) -> Self {
        Self { start: self.start, millis: AtomicU64::new(self.millis.load(Ordering::Relaxed)) }
    }
}
