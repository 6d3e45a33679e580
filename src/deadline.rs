//! Times that a program may set to whatever it likes, `Duration::MAX` among them.

use std::time::{Duration, Instant};

/// As good as for ever. Later moments than some cannot be told.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The moment after `time`, or in a year.
pub(crate) fn after(now: Instant, time: Duration) -> Instant {
    now + time.min(LONGEST)
}
