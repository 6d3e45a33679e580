use std::time::{Duration, Instant};

use super::Viewer;
use crate::delivery::Patience;
use crate::delivery::leave::LeaveReason;

/// How long a viewer may take nothing while memory is short and it holds what nobody else needs.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);

/// How long one whose response somebody has ended may take for the rest of a burst that has begun, and the last chunk.
const LAST_WORDS: Duration = Duration::from_millis(500);

const SKIP_WINDOW: Duration = Duration::from_secs(60);

impl Viewer {
    /// Whether it must be given up: it takes nothing, or it skips too often.
    pub(in crate::delivery) fn exhausts(
        &mut self,
        patience: &Patience,
        short_of_memory: bool,
        now: Instant,
    ) -> Option<LeaveReason> {
        if self.kicked.is_some_and(|kicked| now.saturating_duration_since(kicked) >= LAST_WORDS) {
            return Some(LeaveReason::Kicked);
        }
        let stall = now.saturating_duration_since(self.last_progress);
        if self.blocked && stall >= patience.stall {
            return Some(LeaveReason::Stalled);
        }
        let pins_what_is_gone =
            || self.unsent.as_ref().is_some_and(|unsent| unsent.pins_what_is_gone(&self.live));
        if self.blocked && short_of_memory && stall >= SHORT_PATIENCE && pins_what_is_gone() {
            return Some(LeaveReason::OutOfMemory);
        }
        let (since, before) = self.skips_since;
        if self.cursor.skips - before >= patience.skips {
            return Some(LeaveReason::TooSlow);
        }
        if now.saturating_duration_since(since) >= SKIP_WINDOW {
            self.skips_since = (now, self.cursor.skips);
        }
        None
    }
}
