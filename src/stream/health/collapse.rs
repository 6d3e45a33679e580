use std::time::Instant;

use super::{Finding, HealthWarning, last_seconds};
use crate::stream::meter::{Meter, Tally};

/// The seconds that are looked at, those before them that they are compared with, and how many of those there must be.
const RECENT: u64 = 5;
const BEFORE: u64 = 60;
const MIN_BEFORE: u64 = 15;

/// Streams thinner than this vary by themselves, in bits a second.
const MIN_BITRATE: u64 = 100_000;

/// By how many milliseconds frames must come later than they did.
const MIN_LATE: i64 = 500;

/// A bitrate that has collapsed. One that falls because the picture stands still looks much the same: below a quarter,
/// and with fewer frames if the encoder varies their number. But then each frame that is there still comes in time, and
/// so does the audio. On a line that is too thin, frames come late, or the audio is cut, too, or nothing comes.
#[derive(Debug, Default)]
pub(super) struct Collapse {
    /// What there was before, while the collapse lasts.
    before: Option<Flow>,
}

/// What flows on average.
#[derive(Debug, Clone, Copy)]
struct Flow {
    /// Bits a second.
    bitrate: u64,
    /// Frames a second of video, or of audio if there is no video.
    frames: f64,
    audio: f64,
    least_lag: Option<i64>,
}

impl Collapse {
    pub(super) fn look(&mut self, meter: &Meter, now: Instant) -> Finding {
        let Some(recent) = last_seconds(meter, RECENT, now) else { return Finding::Sound };
        let earlier = recent.start.saturating_sub(BEFORE)..recent.start;
        let has_video = meter.last_frame(crate::media::PacketKind::Video).is_some();
        let is_long_enough = earlier.end - earlier.start >= MIN_BEFORE;
        let before = Flow::new(&meter.over(earlier.clone()), earlier.end - earlier.start, has_video);
        let recent = Flow::new(&meter.over(recent), RECENT, has_video);
        match self.before {
            None if is_long_enough && recent.has_collapsed_from(&before) => self.before = Some(before),
            Some(before) if recent.has_recovered_to(&before) => self.before = None,
            _ => {}
        }
        self.before.map_or(Finding::Sound, |before| {
            Finding::Wrong(HealthWarning::BitrateCollapse { now: recent.bitrate, before: before.bitrate })
        })
    }
}

impl Flow {
    fn new(tally: &Tally, seconds: u64, has_video: bool) -> Self {
        let per_second = |count: u32| f64::from(count) / seconds.max(1) as f64;
        Self {
            bitrate: tally.bytes * 8 / seconds.max(1),
            frames: per_second(if has_video { tally.video } else { tally.audio }),
            audio: per_second(tally.audio),
            least_lag: tally.least_lag,
        }
    }

    fn has_collapsed_from(&self, before: &Self) -> bool {
        before.bitrate > MIN_BITRATE
            && self.bitrate < before.bitrate / 4
            && self.frames < before.frames / 2.0
            && self.is_late_or_cut(before)
    }

    fn is_late_or_cut(&self, before: &Self) -> bool {
        let is_late = match (self.least_lag, before.least_lag) {
            (Some(lag), Some(usual)) => lag - usual > MIN_LATE,
            // Nothing has come.
            (None, _) => true,
            (_, None) => false,
        };
        is_late || self.audio < before.audio * 0.75
    }

    fn has_recovered_to(&self, before: &Self) -> bool {
        self.bitrate > before.bitrate / 2 || self.frames > before.frames * 0.75
    }
}
