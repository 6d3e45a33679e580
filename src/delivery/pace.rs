use std::time::{Duration, Instant};

/// How many marks there are, and how far apart at the least: the oldest is 10 to 12 s old.
const MARKS: usize = 6;
const STRIDE: Duration = Duration::from_secs(2);

/// How fast something grows that is looked at now and then.
#[derive(Debug)]
pub(super) struct Pace {
    /// When it was how much, the oldest first.
    marks: [(Instant, u64); MARKS],
}

impl Pace {
    /// Of what begins with nothing.
    pub(super) fn new(now: Instant) -> Self {
        Self { marks: [(now, 0); MARKS] }
    }

    /// How much it has grown each second, over the last 10 s or so, or since it began. To be asked at least every 2 s.
    pub(super) fn per_second(&mut self, amount: u64, now: Instant) -> u64 {
        let (since, before) = self.marks[0];
        let millis = now.saturating_duration_since(since).as_millis() as u64;
        let newest = self.marks[MARKS - 1].0;
        if now.saturating_duration_since(newest) >= STRIDE {
            self.marks.rotate_left(1);
            self.marks[MARKS - 1] = (now, amount);
        }
        amount.saturating_sub(before).saturating_mul(1000).checked_div(millis).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_pace_is_found_from_the_first_second_on_and_a_change_after_ten() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.per_second(50_000, start), 0, "no time has passed");
        let mut ask = |seconds: u64, amount| pace.per_second(amount, start + Duration::from_secs(seconds));
        for second in 1..=60 {
            assert_eq!(ask(second, second * 1000), 1000, "after {second} s");
        }
        let slower: Vec<_> = (61..=72).map(|second| ask(second, 60_000 + (second - 60) * 200)).collect();
        assert!(slower.is_sorted_by(|a, b| a >= b) && slower[0] < 1000, "{slower:?}");
        assert_eq!(slower.last(), Some(&200));
        for second in 73..=83 {
            ask(second, 62_400);
        }
        assert_eq!(ask(84, 62_400), 0, "in silence it falls to nothing by itself");
    }

    #[test]
    fn it_does_not_matter_how_often_one_looks() {
        let start = Instant::now();
        for interval in [100, 250, 700, 1000, 1999] {
            let mut pace = Pace::new(start);
            for millis in (interval..60_000).step_by(interval as usize) {
                assert_eq!(pace.per_second(millis, start + Duration::from_millis(millis)), 1000, "{interval}");
            }
        }
    }
}
