//! What flows in a stream, counted as it comes: a few additions a packet, without clock, lock or allocation.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::media::{PacketKind, Timestamp};

/// How many seconds are remembered: a minute, the five seconds after it, and the one that is going on.
const SECONDS: usize = 66;

/// Over how many seconds rates are taken.
const RATE_SECONDS: u64 = 10;

/// And over so many at the least: a first packet is no rate.
const MIN_RATE_SECONDS: u64 = 1;

/// How many intervals between keyframes are remembered.
const INTERVALS: usize = 8;

/// A step back of this many milliseconds is a small one; the timeline takes longer ones for jumps, or a clock that wraps.
const MAX_STEP_BACK: i32 = 1000;

/// Counts one stream, from its first packet on. Of several tracks of a kind the one with the lowest number is looked at,
/// which is what viewers get unless they ask for another.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    started: Option<Instant>,
    totals: Totals,
    /// By their number since the start, modulo the length.
    seconds: [(u64, Tally); SECONDS],
    video: Option<Track>,
    audio: Option<Track>,
    keyframes: Keyframes,
}

/// All there has been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Totals {
    pub(super) bytes: u64,
    /// Coded frames of all video tracks.
    pub(super) video: u64,
    /// And of all audio tracks.
    pub(super) audio: u64,
}

/// What came within a second, or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) bytes: u64,
    /// Frames of the first video track.
    pub(super) video: u32,
    /// And of the first audio track.
    pub(super) audio: u32,
    /// How often the publisher's clock jumped.
    pub(super) jumps: u32,
    /// How often a track's timestamp stepped back a little.
    pub(super) steps_back: u32,
    /// The least time in ms by which a frame came later than its timestamp says, counted from any point.
    pub(super) least_lag: Option<i64>,
    /// The least and the greatest of how far the newest video frame was ahead of the newest audio frame, in ms.
    pub(super) video_ahead: Option<(i64, i64)>,
}

/// A coded frame.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) kind: PacketKind,
    pub(super) track: u8,
    pub(super) is_keyframe: bool,
    /// The time that the publisher sent with it.
    pub(super) sent: Timestamp,
    /// Its place on the stream's timeline; `None` if it was dropped, because it came before a keyframe.
    pub(super) placed: Option<Timestamp>,
    /// Whether the publisher's clock has jumped there.
    pub(super) is_jump: bool,
}

#[derive(Debug, Clone, Copy)]
struct Track {
    number: u8,
    sent: Timestamp,
    placed: Option<Timestamp>,
    arrived: Instant,
}

#[derive(Debug, Clone, Default)]
struct Keyframes {
    last: Option<Timestamp>,
    /// The newest intervals, in ms, in a ring.
    intervals: [u32; INTERVALS],
    count: usize,
    /// Since when video frames come and are dropped, because none is a keyframe.
    dropping_since: Option<Instant>,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            started: None,
            totals: Totals::default(),
            seconds: [(0, Tally::default()); SECONDS],
            video: None,
            audio: None,
            keyframes: Keyframes::default(),
        }
    }
}

impl Meter {
    /// Counts a packet of so many bytes, frame or not.
    pub(super) fn note_packet(&mut self, bytes: usize, now: Instant) {
        self.totals.bytes += bytes as u64;
        self.tally(now).bytes += bytes as u64;
    }

    /// Counts a coded frame, beside the packet that it came in.
    pub(super) fn note_frame(&mut self, frame: &Frame, now: Instant) {
        let is_video = frame.kind == PacketKind::Video;
        let (total, track) = match is_video {
            true => (&mut self.totals.video, &mut self.video),
            false => (&mut self.totals.audio, &mut self.audio),
        };
        *total += 1;
        let last = *track;
        if last.is_some_and(|last| last.number < frame.track) {
            return;
        }
        let last = last.filter(|last| last.number == frame.track);
        *track = Some(Track {
            number: frame.track,
            sent: frame.sent,
            placed: frame.placed.or(last.and_then(|last| last.placed)),
            arrived: now,
        });
        if is_video {
            self.keyframes.note(frame, now);
        }
        let is_step_back = last.is_some_and(|last| (-MAX_STEP_BACK..0).contains(&frame.sent.since(last.sent)));
        let lag = frame.placed.map(|time| self.lag(time, now));
        let ahead = frame.placed.and_then(|_| self.video_ahead());
        let tally = self.tally(now);
        *if is_video { &mut tally.video } else { &mut tally.audio } += 1;
        tally.add(&Tally {
            jumps: u32::from(frame.is_jump),
            steps_back: u32::from(is_step_back && !frame.is_jump),
            least_lag: lag,
            video_ahead: ahead.map(|ahead| (ahead, ahead)),
            ..Tally::default()
        });
    }

    /// Counts from 0 again. Rates go on.
    pub(super) fn forget_totals(&mut self) {
        self.totals = Totals::default();
    }

    /// Another publisher goes on: no rate, interval or step reaches over from one to the other.
    pub(super) fn forget_all_but_totals(&mut self) {
        *self = Self { totals: self.totals, ..Self::default() };
    }

    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    /// Bits a second, over the last 10 s or since the start.
    pub(super) fn bitrate(&self, now: Instant) -> u64 {
        let (tally, time) = self.recent(now);
        (tally.bytes as f64 * 8.0 / time.as_secs_f64()) as u64
    }

    /// Frames a second of the first video track, over the same time.
    pub(super) fn frame_rate(&self, now: Instant) -> f64 {
        let (tally, time) = self.recent(now);
        f64::from(tally.video) / time.as_secs_f64()
    }

    /// The time between the last two keyframes.
    pub(super) fn keyframe_interval(&self) -> Option<Duration> {
        self.keyframes.newest()
    }

    /// The longest of the last eight such times.
    pub(super) fn longest_keyframe_interval(&self) -> Option<Duration> {
        self.keyframes.longest()
    }

    /// How much video has come since the last keyframe; before the first one, for how long it has been dropped.
    pub(super) fn without_keyframe(&self) -> Duration {
        let Some(video) = self.video else { return Duration::ZERO };
        match (self.keyframes.dropping_since, self.keyframes.last, video.placed) {
            (Some(since), ..) => video.arrived.saturating_duration_since(since),
            (None, Some(last), Some(newest)) => Duration::from_millis(newest.since(last).max(0) as u64),
            _ => Duration::ZERO,
        }
    }

    /// When the last frame of a kind came, if there was any.
    pub(super) fn last_frame(&self, kind: PacketKind) -> Option<Instant> {
        let track = if kind == PacketKind::Video { &self.video } else { &self.audio };
        track.as_ref().map(|track| track.arrived)
    }

    /// The number of the second that is going on, counted from the first packet; `None` before that.
    pub(super) fn second(&self, now: Instant) -> Option<u64> {
        self.started.map(|started| now.saturating_duration_since(started).as_secs())
    }

    /// What came in these seconds. They must be among the last 66.
    pub(super) fn over(&self, seconds: Range<u64>) -> Tally {
        let mut sum = Tally::default();
        for number in seconds {
            let (held, tally) = &self.seconds[slot(number)];
            if *held == number {
                sum.add(tally);
            }
        }
        sum
    }

    fn recent(&self, now: Instant) -> (Tally, Duration) {
        let Some(started) = self.started else {
            return (Tally::default(), Duration::from_secs(MIN_RATE_SECONDS));
        };
        // Whole seconds, for of the one that is going on who reads a copy does not know all.
        let end = now.saturating_duration_since(started).as_secs().max(MIN_RATE_SECONDS);
        let first = end.saturating_sub(RATE_SECONDS);
        (self.over(first..end), Duration::from_secs(end - first))
    }

    fn tally(&mut self, now: Instant) -> &mut Tally {
        let started = *self.started.get_or_insert(now);
        let number = now.saturating_duration_since(started).as_secs();
        let (held, tally) = &mut self.seconds[slot(number)];
        if *held != number {
            (*held, *tally) = (number, Tally::default());
        }
        tally
    }

    fn lag(&self, time: Timestamp, now: Instant) -> i64 {
        let passed = self.started.map_or(Duration::ZERO, |started| now.saturating_duration_since(started));
        passed.as_millis() as i64 - i64::from(time.0)
    }

    fn video_ahead(&self) -> Option<i64> {
        let (video, audio) = (self.video?.placed?, self.audio?.placed?);
        Some(i64::from(video.since(audio)))
    }
}

fn slot(number: u64) -> usize {
    (number % SECONDS as u64) as usize
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.video += other.video;
        self.audio += other.audio;
        self.jumps += other.jumps;
        self.steps_back += other.steps_back;
        self.least_lag = [self.least_lag, other.least_lag].into_iter().flatten().min();
        self.video_ahead = match (self.video_ahead, other.video_ahead) {
            (Some((least, most)), Some((low, high))) => Some((least.min(low), most.max(high))),
            (one, another) => one.or(another),
        };
    }

    pub(super) fn frames(&self, kind: PacketKind) -> u32 {
        if kind == PacketKind::Video { self.video } else { self.audio }
    }
}

impl Keyframes {
    /// Looks at a frame of the first video track.
    fn note(&mut self, frame: &Frame, now: Instant) {
        let Some(time) = frame.placed else {
            self.dropping_since.get_or_insert(now);
            return;
        };
        self.dropping_since = None;
        if !frame.is_keyframe {
            return;
        }
        // A timeline that starts again has gone back in between.
        if let Some(interval) = self.last.map(|last| time.since(last)).filter(|interval| *interval > 0) {
            self.intervals[self.count % INTERVALS] = interval.unsigned_abs();
            self.count += 1;
        }
        self.last = Some(time);
    }

    fn newest(&self) -> Option<Duration> {
        let newest = self.count.checked_sub(1)?;
        Some(Duration::from_millis(self.intervals[newest % INTERVALS].into()))
    }

    fn longest(&self) -> Option<Duration> {
        let known = &self.intervals[..self.count.min(INTERVALS)];
        known.iter().max().map(|millis| Duration::from_millis((*millis).into()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
