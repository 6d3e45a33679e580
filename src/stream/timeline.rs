//! One timeline for all tracks of a stream, from the clocks that encoders really have.
//!
//! Clocks wrap at 32 bits, or at 31 or 24 where a sender cuts them off; they start anywhere, jump when an encoder starts
//! again, and take small steps back. Viewers get a time that goes on from frame to frame, the same for audio and
//! video. It is the encoder's own where that makes sense, so that it can be compared with other streams'.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

use crate::media::{PacketKind, Timestamp};

/// A clock that starts beyond this starts from 0 here: at 2³¹ players see times before the beginning.
const LATEST_START: i64 = 1 << 30;

/// Past this the timeline must start again (21 days), at a keyframe.
const FULL: i64 = 0x7000_0000;
/// And past this at any frame.
const OVERFULL: i64 = 0x7F00_0000;

/// A step back of more than this is a jump, a smaller one an encoder's inaccuracy.
const MAX_STEP_BACK: i64 = 1000;
/// A step ahead of more than this and the time that has really passed is a jump.
const MAX_STEP_AHEAD: i64 = 5000;

/// Tracks that are this far behind when the timeline starts again have ended.
const MAX_SPREAD: i64 = 60_000;

/// How far a clock steps back that its sender cuts off: at 24 bits, after 4 h 39 min, or at 31, as ffmpeg and OBS do,
/// after 24 days.
const SHORT_WRAPS: [i64; 2] = [1 << 24, 1 << 31];

/// Most tracks whose clocks are followed. A further one takes the place of the one that has been silent for longest.
const MAX_CLOCKS: usize = 32;

/// Puts the frames of one stream in their place.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    clocks: Vec<Clock>,
    /// The latest that has been given out, of any track.
    latest: i64,
}

/// What is known of one track's clock.
#[derive(Debug, Clone, Copy)]
struct Clock {
    kind: PacketKind,
    track: u8,
    /// The last frame's time as it was sent.
    sent: Timestamp,
    /// Its place, before small steps back were taken out.
    time: i64,
    /// What was given out for it.
    given: i64,
    arrived: Instant,
    /// Whether it is another publisher's: what was sent says nothing about what will be.
    is_void: bool,
}

/// Where a frame goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) timestamp: Timestamp,
    /// How far the encoder's clock has jumped, in ms, if it has: the frame goes on where the last one was.
    pub(super) jump: Option<i64>,
}

impl Timeline {
    /// Finds the place of the next frame of a track. Its first frames, too, are put in order by the other tracks.
    pub(super) fn place(&mut self, kind: PacketKind, track: u8, sent: Timestamp, now: Instant) -> Place {
        let own = self.clocks.iter().position(|clock| clock.kind == kind && clock.track == track);
        let (time, jump) = self.time_of(own.map(|index| self.clocks[index]), sent, now);
        let mut given = time.max(0);
        if let Some(last) = own.map(|index| self.clocks[index].given).filter(|last| given < *last) {
            given = last + 1;
        }
        let clock = Clock { kind, track, sent, time, given, arrived: now, is_void: false };
        match own {
            Some(index) => self.clocks[index] = clock,
            None => self.add(clock),
        }
        self.latest = self.latest.max(given);
        Place { timestamp: Timestamp(given as u32), jump }
    }

    fn add(&mut self, clock: Clock) {
        if self.clocks.len() >= MAX_CLOCKS {
            let oldest = self.clocks.iter().enumerate().min_by_key(|(_, clock)| clock.arrived);
            oldest.map(|(index, _)| index).map(|index| self.clocks.swap_remove(index));
        }
        self.clocks.push(clock);
    }

    /// Where the last frame of a track went.
    pub(super) fn last_of(&self, kind: PacketKind, track: u8) -> Option<Timestamp> {
        let clock = self.clocks.iter().find(|clock| clock.kind == kind && clock.track == track)?;
        Some(Timestamp(clock.given as u32))
    }

    /// Another publisher goes on, with a clock of its own. Its first frame goes where the last one was, plus the time that
    /// has really passed.
    pub(super) fn change_clock(&mut self) {
        self.clocks.iter_mut().for_each(|clock| clock.is_void = true);
    }

    /// Whether it must [start again](Self::start_again) before the next frame.
    pub(super) fn is_full(&self, at_keyframe: bool) -> bool {
        self.latest >= if at_keyframe { FULL } else { OVERFULL }
    }

    /// Goes on from 0. Who sees both sides of this sees time go back. Tracks that have ended are forgotten: nothing
    /// could start from 0 that keeps its distance from them.
    pub(super) fn start_again(&mut self) {
        self.clocks.retain(|clock| clock.given >= self.latest - MAX_SPREAD);
        let start = self.clocks.iter().map(|clock| clock.given).min().unwrap_or(0);
        for clock in &mut self.clocks {
            clock.time -= start;
            clock.given -= start;
        }
        self.latest = self.clocks.iter().map(|clock| clock.given).max().unwrap_or(0);
    }

    /// The place by a track's own clock if that goes on, else by another track's, which may have jumped before; else
    /// where the last frame was, plus the time that has passed since. Where the track has long been is no place for it:
    /// viewers would see it stand still until it has caught up. Clocks of tracks that have ended lead there.
    fn time_of(&self, own: Option<Clock>, sent: Timestamp, now: Instant) -> (i64, Option<i64>) {
        let known = self.clocks.iter().filter(|clock| !clock.is_void);
        let Some(last) = known.max_by_key(|clock| clock.arrived) else {
            return (self.beginning(sent, now), None);
        };
        let earliest = own.map_or(last.time, |own| own.given) - MAX_STEP_BACK;
        let by = |clock: &Clock| clock.follow(sent, MAX_STEP_BACK, now).filter(|time| *time >= earliest);
        let by_another = || self.by_freshness().into_iter().find_map(by);
        // A track's first frame may be far behind the others: it has no time that could go back.
        let at_first = || last.follow(sent, MAX_STEP_AHEAD, now).filter(|_| own.is_none());
        if let Some(time) = own.as_ref().and_then(by).or_else(by_another).or_else(at_first) {
            return (time, None);
        }
        let jump = i64::from(sent.since(own.unwrap_or(*last).sent));
        let time = last.time + millis(last.passed(now));
        (time.max(own.map_or(0, |own| own.given)), Some(jump))
    }

    /// Where a publisher's first frame goes: where it says, or beyond each of the last publisher's tracks, of which one
    /// may have been sent further ahead than another.
    fn beginning(&self, sent: Timestamp, now: Instant) -> i64 {
        let start = i64::from(sent.0);
        let start = if start > LATEST_START { 0 } else { start };
        self.clocks.iter().map(|clock| clock.time + millis(clock.passed(now)).max(1)).max().unwrap_or(start)
    }

    /// The clocks, with those in front that were looked at last.
    fn by_freshness(&self) -> Vec<&Clock> {
        let mut clocks: Vec<_> = self.clocks.iter().collect();
        clocks.sort_by_key(|clock| Reverse(clock.arrived));
        clocks
    }
}

impl Clock {
    fn passed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.arrived)
    }

    /// The place of a frame that was sent with this time, if this clock can have gone there, by a step back of no more
    /// than `back`.
    fn follow(&self, sent: Timestamp, back: i64, now: Instant) -> Option<i64> {
        if self.is_void {
            return None;
        }
        let step = i64::from(sent.since(self.sent));
        let most = MAX_STEP_AHEAD + millis(self.passed(now));
        let wrapped = SHORT_WRAPS.into_iter().flat_map(|wrap| [step + wrap, step - wrap]);
        std::iter::once(step)
            .chain(wrapped)
            .find(|step| (-back..=most).contains(step))
            .map(|step| self.time + step)
    }
}

fn millis(duration: Duration) -> i64 {
    duration.as_millis() as i64
}

#[cfg(test)]
mod tests;
