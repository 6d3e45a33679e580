use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::occasional::Refusals;

/// What lasts no longer than this is not worth two lines in the log, should there be many.
const FLAP: Duration = Duration::from_secs(1);

/// Says who begins to publish and who ends, all of it, unless publications are short: of these so many lines a second as of
/// peers that are refused.
#[derive(Debug, Default)]
pub(super) struct Flaps {
    /// When the last short one ended.
    last: Mutex<Option<Instant>>,
    lines: Refusals,
}

impl Flaps {
    /// One begins, who may be as short as the last.
    pub(super) fn begins(&self, now: Instant, say: impl FnOnce(&str)) {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_likely = last.is_some_and(|last| now.saturating_duration_since(last) < FLAP);
        self.say(is_likely, say);
    }

    /// One ends that has lasted so long.
    pub(super) fn ends(&self, lasted: Duration, now: Instant, say: impl FnOnce(&str)) {
        let is_short = lasted < FLAP;
        if is_short {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        }
        self.say(is_short, say);
    }

    /// `say` gets a text to append, as that of [`Refusals::say`] does.
    fn say(&self, is_one_of_many: bool, say: impl FnOnce(&str)) {
        if is_one_of_many { self.lines.say(say) } else { say("") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stays_is_always_named_and_of_those_who_flap_some_are() {
        let (flaps, now) = (Flaps::default(), Instant::now());
        let lines = |lasted| {
            let mut lines = 0;
            for _ in 0..100 {
                flaps.begins(now, |_| lines += 1);
                flaps.ends(lasted, now, |_| lines += 1);
            }
            lines
        };
        assert_eq!(lines(FLAP), 200);
        let flapping = lines(FLAP / 2);
        // Twice as many should the clock's second end meanwhile.
        assert!((20..=41).contains(&flapping), "{flapping}");
        let later = now + FLAP;
        let mut is_said = false;
        flaps.begins(later, |more| is_said = more.is_empty());
        assert!(is_said, "nobody has flapped for a while");
    }
}
