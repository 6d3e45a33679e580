//! Log lines that a peer could cause as often as it likes, said at most once a second.

use std::time::{Duration, Instant};

/// Says something at most once a second, and how often it was left out meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Occasional {
    last: Option<Instant>,
    left_out: u32,
}

impl Occasional {
    /// `say` gets a text to append: empty, or how often it was left out.
    pub(crate) fn say(&mut self, say: impl FnOnce(&str)) {
        let now = Instant::now();
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < Duration::from_secs(1)) {
            self.left_out += 1;
            return;
        }
        let left_out = match std::mem::take(&mut self.left_out) {
            0 => String::new(),
            count => format!(" (and {count} more like it)"),
        };
        self.last = Some(now);
        say(&left_out);
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
        occasional.last = None;
        occasional.say(|more| said.push(more.to_owned()));
        assert_eq!(said[1], " (and 2 more like it)");
    }
}
