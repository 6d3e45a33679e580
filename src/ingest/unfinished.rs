//! What all connections hold in unfinished messages together, against one bound.
//!
//! A message may have 16 MiB, and a thousand connections that each leave one unfinished would take the machine's
//! memory. Who has more than its share is closed when all together have too much: at first who has held it for
//! long, for a real encoder's message is whole within moments; and anybody when it gets too much all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How long a connection may hold more than its share while all together hold too much.
const PATIENCE: Duration = Duration::from_secs(2);

/// Counts what all connections hold.
#[derive(Debug)]
pub(super) struct Unfinished {
    held: AtomicUsize,
    limit: usize,
    share: usize,
}

/// What one connection holds, counted while it lives.
#[derive(Debug)]
pub(super) struct Holding {
    all: Arc<Unfinished>,
    bytes: usize,
    /// Since when it is more than a share.
    large_since: Option<Instant>,
}

impl Unfinished {
    /// `connections` share `limit` bytes; for moments they may hold twice as much.
    pub(super) fn new(limit: usize, connections: usize) -> Arc<Self> {
        Arc::new(Self { held: AtomicUsize::new(0), limit, share: limit / connections.max(1) })
    }
}

impl Holding {
    pub(super) fn new(all: &Arc<Unfinished>) -> Self {
        Self { all: Arc::clone(all), bytes: 0, large_since: None }
    }

    /// Takes note of what the connection holds now; returns whether it may keep it.
    pub(super) fn set(&mut self, bytes: usize, now: Instant) -> bool {
        if bytes != self.bytes {
            self.all.held.fetch_add(bytes, Ordering::Relaxed);
            self.all.held.fetch_sub(std::mem::replace(&mut self.bytes, bytes), Ordering::Relaxed);
        }
        if bytes <= self.all.share {
            self.large_since = None;
            return true;
        }
        let since = *self.large_since.get_or_insert(now);
        let held = self.all.held.load(Ordering::Relaxed);
        let is_late = now.saturating_duration_since(since) >= PATIENCE;
        held <= self.all.limit || (held <= 2 * self.all.limit && !is_late)
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.all.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_more_than_his_share_for_long_gives_way_when_all_have_too_much() {
        let (all, now) = (Unfinished::new(1000, 10), Instant::now());
        let mut holdings: Vec<_> = (0..4).map(|_| Holding::new(&all)).collect();
        let [old, young, small, idle] = &mut holdings[..] else { return };
        assert!(old.set(900, now) && small.set(100, now));
        let later = now + PATIENCE;
        assert!(old.set(900, later), "together they hold no more than the limit");
        assert!(young.set(1, later) && small.set(100, later) && idle.set(0, later));
        assert!(!old.set(900, later), "one byte more than the limit");
        assert!(young.set(1000, later), "less than twice the limit, and not for long");
        assert!(!young.set(1001, later), "more than twice the limit");
        assert!(small.set(100, later), "a share is everybody's");
        drop(holdings);
        assert_eq!(all.held.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_message_that_ends_in_time_never_counts_as_old() {
        let (all, now) = (Unfinished::new(1000, 10), Instant::now());
        let (mut fat, mut encoder) = (Holding::new(&all), Holding::new(&all));
        assert!(fat.set(1000, now));
        for second in 0..10 {
            let now = now + Duration::from_secs(second);
            assert!(encoder.set(500, now), "a keyframe is half there");
            assert!(encoder.set(0, now), "and whole");
        }
    }
}
