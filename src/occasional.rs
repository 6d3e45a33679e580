//! Log lines that a peer could cause as often as it likes, said once a second or some times at the most.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Most lines a second about peers that were refused, each of them another one.
const REFUSALS_A_SECOND: u32 = 20;

/// Says something at most once a second, and how often it was left out meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Occasional {
    /// When the second began in which it was said last.
    began: Option<Instant>,
    /// How often it may still be said in this second, beside the first time.
    left: u32,
    left_out: u32,
    more: u32,
}

impl Occasional {
    /// What may be said `times` a second, because each is about somebody else.
    fn several(times: u32) -> Self {
        Self { more: times.saturating_sub(1), ..Self::default() }
    }

    /// `say` gets a text to append: empty, or how often it was left out.
    pub(crate) fn say(&mut self, say: impl FnOnce(&str)) {
        let now = Instant::now();
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= Duration::from_secs(1)) {
            (self.began, self.left) = (Some(now), self.more);
        } else if let Some(left) = self.left.checked_sub(1) {
            self.left = left;
        } else {
            self.left_out += 1;
            return;
        }
        let left_out = match std::mem::take(&mut self.left_out) {
            0 => String::new(),
            count => format!(" (and {count} more like it)"),
        };
        say(&left_out);
    }
}

/// The lines about peers that were refused, from any thread.
#[derive(Debug)]
pub(crate) struct Refusals(Mutex<Occasional>);

impl Refusals {
    /// `say` gets a text to append, as that of [`Occasional::say`] does.
    pub(crate) fn say(&self, say: impl FnOnce(&str)) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).say(say);
    }
}

impl Default for Refusals {
    fn default() -> Self {
        Self(Mutex::new(Occasional::several(REFUSALS_A_SECOND)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_the_first_and_later_how_many_were_left_out() {
        let mut occasional = Occasional::default();
        let mut said = Vec::new();
        for _ in 0..3 {
            occasional.say(|more| said.push(more.to_owned()));
        }
        assert_eq!(said, [""]);
        occasional.began = None;
        occasional.say(|more| said.push(more.to_owned()));
        assert_eq!(said[1], " (and 2 more like it)");
    }

    #[test]
    fn several_are_said_in_one_second() {
        let mut occasional = Occasional::several(3);
        let mut said = 0;
        (0..9).for_each(|_| occasional.say(|_| said += 1));
        assert_eq!(said, 3);
        occasional.began = None;
        (0..9).for_each(|_| occasional.say(|_| said += 1));
        assert_eq!(said, 6);
    }
}
