//! How much has come in the last minutes, for a curve.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How much time one value stands for.
pub(super) const STEP: Duration = Duration::from_secs(5);

/// How many values are kept: five minutes.
const LENGTH: usize = 60;

/// Bytes by the step in which they came.
#[derive(Debug, Default)]
pub(super) struct History {
    started: Option<Instant>,
    /// The last one is of the step that is going on.
    steps: VecDeque<u64>,
    /// The number of that step since the start.
    newest: u64,
    /// All bytes that are known of.
    total: u64,
}

impl History {
    /// Takes how many bytes there have been in all.
    pub(super) fn note(&mut self, total: u64, now: Instant) {
        let started = *self.started.get_or_insert(now);
        let newest = number(started, now);
        if self.steps.is_empty() {
            self.steps.push_back(0);
        }
        for _ in 0..missed(self.newest, newest) {
            self.steps.push_back(0);
        }
        while self.steps.len() > LENGTH + 1 {
            self.steps.pop_front();
        }
        self.newest = newest;
        if let Some(step) = self.steps.back_mut() {
            *step += total.saturating_sub(self.total);
        }
        self.total = total;
    }

    /// Bits a second in each whole step, the oldest first. Nothing has come since the last note.
    pub(super) fn bitrates(&self, now: Instant) -> Vec<u64> {
        let Some(started) = self.started else { return Vec::new() };
        let silent = missed(self.newest, number(started, now));
        let steps = self.steps.iter().copied().chain(std::iter::repeat_n(0, silent));
        let whole = (self.steps.len() + silent).saturating_sub(1);
        steps.take(whole).skip(whole.saturating_sub(LENGTH)).map(|bytes| bytes * 8 / STEP.as_secs()).collect()
    }
}

fn number(started: Instant, now: Instant) -> u64 {
    now.saturating_duration_since(started).as_secs() / STEP.as_secs()
}

/// How many steps have begun since, as far as any are kept.
fn missed(newest: u64, now: u64) -> usize {
    now.saturating_sub(newest).min(LENGTH as u64 + 1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes 1000 bytes more in each second of `seconds`, and then looks at second `at`.
    fn bitrates(seconds: impl Iterator<Item = u64>, at: u64) -> Vec<u64> {
        let (start, mut history) = (Instant::now(), History::default());
        let after = |seconds| start + Duration::from_secs(seconds);
        for (index, second) in seconds.enumerate() {
            history.note(1000 * (index as u64 + 1), after(second));
        }
        history.bitrates(after(at))
    }

    #[test]
    fn each_whole_step_has_its_rate_and_silence_is_zero() {
        assert!(bitrates(0..0, 100).is_empty());
        assert!(bitrates(0..4, 4).is_empty(), "the first is not over");
        assert_eq!(bitrates(0..10, 9), [8000]);
        assert_eq!(bitrates(0..10, 10), [8000, 8000]);
        assert_eq!(bitrates((0..5).chain(20..25), 25), [8000, 0, 0, 0, 8000], "a publisher that was lost");
        assert_eq!(bitrates(0..5, 15), [8000, 0, 0], "and one that still is");
    }

    #[test]
    fn five_minutes_are_kept() {
        assert_eq!(bitrates(0..300, 300), [8000; LENGTH]);
        assert_eq!(bitrates(0..1000, 1000), [8000; LENGTH]);
        assert_eq!(bitrates(0..1000, 1100), [[8000; LENGTH - 20].as_slice(), &[0; 20]].concat());
        assert_eq!(bitrates(0..5, u64::from(u32::MAX)), [0; LENGTH]);
    }
}
