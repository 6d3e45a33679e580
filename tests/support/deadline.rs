//! Waiting for a condition, never for a time.

use std::thread;
use std::time::{Duration, Instant};

/// Asks `probe` until it has something, and gives that back.
///
/// # Panics
///
/// When `limit` has passed, naming what was awaited.
#[track_caller]
pub fn wait_until<T>(what: &str, limit: Duration, probe: impl FnMut() -> Option<T>) -> T {
    poll(limit, probe).unwrap_or_else(|| panic!("waited {limit:?} in vain for {what}"))
}

/// Asks `probe` until it has something or `limit` has passed.
pub fn poll<T>(limit: Duration, mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        let found = probe();
        if found.is_some() || Instant::now() >= end {
            return found;
        }
        thread::sleep(TICK);
    }
}

pub const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const TICK: Duration = Duration::from_millis(5);
