//! What makes viewers suffer and lies with the publisher: found once a second in what the [meter](super::meter) has
//! counted. A rule finds its fault [present](Finding::Wrong), [gone](Finding::Sound), or neither; an [alarm](Alarm) that
//! has begun is over when its fault has been gone for a while, so that nothing flaps.

mod collapse;
mod warning;

use std::time::{Duration, Instant};

use self::collapse::Collapse;
pub use self::warning::HealthWarning;
use self::warning::other;
use super::meter::Meter;
use crate::flv::tag::Tracks;
use crate::media::PacketKind;

/// Keyframes may be this far apart.
const MAX_KEYFRAME_INTERVAL: Duration = Duration::from_secs(5);

/// So much video may come without a keyframe; where long intervals are known, twice the longest.
const MAX_WITHOUT_KEYFRAME: Duration = Duration::from_secs(10);

/// For how many seconds irregular timestamps are remembered, and from how many steps back on they are worth a word. A jump
/// always is.
const TIMESTAMPS_SECONDS: u64 = 60;
const MIN_STEPS_BACK: u32 = 3;

/// Audio and video may be this many milliseconds apart, at their nearest within so many seconds, and are well again
/// below the second figure.
const MAX_APART: i64 = 500;
const WELL_APART: i64 = 300;
const APART_SECONDS: u64 = 5;

/// After so long without a frame a track is silent, if the other one has sent in three of the last five seconds.
const MAX_SILENCE: Duration = Duration::from_secs(5);
const SILENT_SECONDS: u64 = 5;
const MIN_OTHER_SECONDS: usize = 3;

/// How long a fault must be gone before it is over.
const CALM: Duration = Duration::from_secs(10);

/// How long one that comes and goes is not spoken of again, be it of the same publisher or of the next.
const SAID_ONCE: Duration = Duration::from_secs(600);

/// What is wrong with one stream.
#[derive(Debug, Default)]
pub(super) struct Health {
    keyframe_interval: Alarm,
    no_keyframe: Alarm,
    timestamps: Alarm,
    drift: Alarm,
    collapse: Collapse,
    collapsed: Alarm,
    audio: Alarm,
    video: Alarm,
}

/// A change for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Begun(HealthWarning),
    /// It is well again; what was wrong at last.
    Over(HealthWarning),
}

/// What a rule finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    Wrong(HealthWarning),
    /// Neither certainly wrong nor certainly well.
    Unclear,
    Sound,
}

/// One rule's memory.
#[derive(Debug, Default)]
struct Alarm {
    warning: Option<HealthWarning>,
    sound_since: Option<Instant>,
    /// When it was last said that the fault is there.
    said: Option<Instant>,
    /// Whether its end is to be said, too.
    is_told: bool,
}

impl Health {
    /// Looks at what has been counted; to be called once a second. `announced` is what the metadata says.
    pub(super) fn check(&mut self, meter: &Meter, announced: Option<Tracks>, now: Instant) -> Vec<Change> {
        let announced = announced.unwrap_or_default();
        let findings = [
            (&mut self.keyframe_interval, keyframe_interval(meter)),
            (&mut self.no_keyframe, no_keyframe(meter, now)),
            (&mut self.timestamps, timestamps(meter, now)),
            (&mut self.drift, drift(meter, now)),
            (&mut self.collapsed, self.collapse.look(meter, now)),
            (&mut self.audio, presence(meter, PacketKind::Audio, announced.audio, now)),
            (&mut self.video, presence(meter, PacketKind::Video, announced.video, now)),
        ];
        findings.into_iter().filter_map(|(alarm, finding)| alarm.take(finding, now)).collect()
    }

    /// Another publisher goes on, of whom nothing is known yet. What the log says of the stream it does not say again for
    /// him.
    pub(super) fn change_publisher(&mut self) {
        let Self { keyframe_interval, no_keyframe, timestamps, drift, collapse, collapsed, audio, video } =
            self;
        *collapse = Collapse::default();
        for alarm in [keyframe_interval, no_keyframe, timestamps, drift, collapsed, audio, video] {
            *alarm = Alarm { said: alarm.said, ..Alarm::default() };
        }
    }

    /// What is wrong now.
    pub(super) fn warnings(&self) -> Vec<HealthWarning> {
        let Self { keyframe_interval, no_keyframe, timestamps, drift, collapsed, audio, video, .. } = self;
        let alarms = [keyframe_interval, no_keyframe, timestamps, drift, collapsed, audio, video];
        alarms.into_iter().filter_map(|alarm| alarm.warning).collect()
    }
}

impl Alarm {
    fn take(&mut self, finding: Finding, now: Instant) -> Option<Change> {
        match finding {
            Finding::Wrong(warning) => {
                (self.sound_since, self.warning) = (None, Some(warning));
                let is_due = self.said.is_none_or(|said| now.saturating_duration_since(said) >= SAID_ONCE);
                if self.is_told || !is_due {
                    return None;
                }
                (self.said, self.is_told) = (Some(now), true);
                Some(Change::Begun(warning))
            }
            Finding::Unclear => {
                self.sound_since = None;
                None
            }
            Finding::Sound => {
                let since = *self.sound_since.get_or_insert(now);
                let is_over = now.saturating_duration_since(since) >= CALM;
                let over = self.warning.take_if(|_| is_over)?;
                std::mem::take(&mut self.is_told).then_some(Change::Over(over))
            }
        }
    }
}

fn keyframe_interval(meter: &Meter) -> Finding {
    match meter.longest_keyframe_interval() {
        Some(longest) if longest > MAX_KEYFRAME_INTERVAL => {
            Finding::Wrong(HealthWarning::KeyframeInterval { longest })
        }
        _ => Finding::Sound,
    }
}

/// A stream whose keyframes are known to be far apart has one warning already.
fn no_keyframe(meter: &Meter, now: Instant) -> Finding {
    let longest = meter.longest_keyframe_interval().unwrap_or_default();
    let time = meter.without_keyframe();
    if time < MAX_WITHOUT_KEYFRAME.max(2 * longest) {
        Finding::Sound
    } else if last_seconds(meter, SILENT_SECONDS, now).is_some_and(|seconds| meter.over(seconds).video > 0) {
        Finding::Wrong(HealthWarning::NoKeyframe { time })
    } else {
        Finding::Unclear
    }
}

fn timestamps(meter: &Meter, now: Instant) -> Finding {
    let Some(second) = meter.second(now) else { return Finding::Sound };
    let minute = meter.over(second.saturating_sub(TIMESTAMPS_SECONDS)..second);
    if minute.jumps > 0 || minute.steps_back >= MIN_STEPS_BACK {
        Finding::Wrong(HealthWarning::Timestamps { jumps: minute.jumps, steps_back: minute.steps_back })
    } else {
        Finding::Sound
    }
}

/// However audio and video are interleaved, in batches or bursts, they come past each other now and then: what counts is
/// how near they were at the nearest.
fn drift(meter: &Meter, now: Instant) -> Finding {
    let Some(seconds) = last_seconds(meter, APART_SECONDS, now) else { return Finding::Sound };
    let recent = meter.over(seconds);
    let Some((least, most)) = recent.video_ahead.filter(|_| recent.video > 1 && recent.audio > 1) else {
        return Finding::Unclear;
    };
    let (behind, nearest) = match (least > 0, most < 0) {
        (true, _) => (PacketKind::Audio, least),
        (_, true) => (PacketKind::Video, -most),
        _ => return Finding::Sound,
    };
    if nearest > MAX_APART {
        let by = Duration::from_millis(nearest.unsigned_abs());
        Finding::Wrong(HealthWarning::Drift { behind, by })
    } else if nearest > WELL_APART {
        Finding::Unclear
    } else {
        Finding::Sound
    }
}

/// Whether a kind of track that is announced comes, and goes on.
fn presence(meter: &Meter, kind: PacketKind, announced: bool, now: Instant) -> Finding {
    let Some(seconds) = last_seconds(meter, SILENT_SECONDS, now) else { return Finding::Sound };
    let silence = meter.last_frame(kind).map(|last| now.saturating_duration_since(last));
    if silence.map_or(!announced, |silence| silence < MAX_SILENCE) {
        return Finding::Sound;
    }
    let has_other = |second: &u64| meter.over(*second..second + 1).frames(other(kind)) > 0;
    if seconds.filter(has_other).count() < MIN_OTHER_SECONDS {
        return Finding::Unclear;
    }
    Finding::Wrong(match silence {
        Some(time) => HealthWarning::FellSilent { kind, time },
        None => HealthWarning::NeverCame { kind },
    })
}

/// The last `count` seconds that are whole, once there are so many.
fn last_seconds(meter: &Meter, count: u64, now: Instant) -> Option<std::ops::Range<u64>> {
    let end = meter.second(now)?;
    Some(end.checked_sub(count)?..end)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
