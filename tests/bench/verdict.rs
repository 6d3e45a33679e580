//! Whether a soak has gone well.

use crate::load::table::{Column, median};
use crate::turnover::Tally;

/// What is sampled each second.
pub const SERIES: [Column; 5] = [
    Column("memory", "MB", 1),
    Column("threads", "", 0),
    Column("descriptors", "", 0),
    Column("viewers", "playing", 0),
    Column("CPU", "cores", 2),
];

/// One second's values, in the order of the series.
pub struct Sample {
    pub seconds: f64,
    pub values: [f64; SERIES.len()],
}

/// What must not grow: the series, the share of its own size that is noise, and the noise of any size.
///
/// Memory has the allocator's, whose free pieces fit what comes next better or worse. Threads are those of tiny_http,
/// which come when many ask at once (one for each of eight requests, and as many that are about to end) and stay as long as
/// they have something to do every five seconds.
/// Descriptors are mostly viewers, of whom more or fewer may be joining at the moment.
const FLAT: [(usize, f64, f64); 3] = [(0, 0.10, 3.0), (1, 0.10, 16.0), (2, 0.05, 16.0)];

/// Medians of a series in the second and in the last quarter of the time.
pub struct Change {
    pub series: usize,
    pub before: f64,
    pub after: f64,
    pub allowed: f64,
}

/// How what must be flat has changed.
///
/// The rule: the median of the last quarter of the samples may be above the median of the second quarter by the larger
/// of the two allowances. The first quarter does not count, because caches fill up there; medians are not moved by
/// the moments in which the publisher is away and all viewers ask at once. Less than before is always fine.
pub fn changes(samples: &[Sample]) -> Vec<Change> {
    let quarter = samples.len() / 4;
    let median_of =
        |part: &[Sample], series: usize| median(part.iter().map(|sample| sample.values[series]).collect());
    let change = |(series, share, least): (usize, f64, f64)| {
        let before = median_of(&samples[quarter..2 * quarter], series);
        let after = median_of(&samples[samples.len() - quarter..], series);
        Change { series, before, after, allowed: (before * share).max(least) }
    };
    FLAT.into_iter().map(change).collect()
}

/// Everything that is wrong, each in one line.
pub fn complaints(changes: &[Change], tally: &Tally) -> Vec<String> {
    let counts = &tally.counts;
    let mut wrong = Vec::new();
    for change in changes.iter().filter(|change| change.grew()) {
        let Column(name, unit, digits) = SERIES[change.series];
        let Change { before, after, allowed, .. } = change;
        wrong.push(format!(
            "{name} has grown from {before:.digits$} to {after:.digits$} {unit}; {allowed:.digits$} more is allowed"
        ));
    }
    for (what, times) in &tally.failed {
        wrong.push(format!("{what} of a viewer, {times} times"));
    }
    for (count, what) in [
        (counts.disordered, "frames came again or too late"),
        (counts.torn, "times the first video frame of all, of a session, or after a gap, was no keyframe"),
        (counts.backward, "frames had a time before that of the frame in front"),
        (counts.missing, "frames were left out for viewers that read all they could get"),
    ] {
        if count > 0 {
            wrong.push(format!("{count} {what}"));
        }
    }
    if counts.frames == 0 {
        wrong.push("no viewer got a frame".into());
    }
    wrong
}

impl Change {
    fn grew(&self) -> bool {
        self.after > self.before + self.allowed
    }
}
