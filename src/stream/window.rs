use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::StreamSettings;
use super::budget::Budget;
use super::burst::Burst;
use super::cursor::Cursor;

/// How much of a stream without video is kept for those who join.
const AUDIO_ONLY_JOIN: Duration = Duration::from_secs(1);

/// The newest bursts of a stream: the GOP cache for those who join, and what viewers that are behind still need.
#[derive(Debug)]
pub(super) struct Window {
    bursts: VecDeque<Arc<Burst>>,
    /// The sequence number of the next burst.
    next: u64,
    /// What the bursts that are here cost, in bytes.
    held: usize,
    /// What all bursts that have been here cost.
    stream_end: u64,
    /// The sequence number of the burst that the GOP cache begins with.
    gop: Option<u64>,
    /// From here on frames can be decoded with the sequence headers in the header cache.
    decodable: u64,
    /// Whether the stream has ended: what is here no longer counts against live streams.
    retired: bool,
    settings: Arc<StreamSettings>,
    budget: Arc<Budget>,
}

impl Window {
    pub(super) fn new(settings: Arc<StreamSettings>, budget: Arc<Budget>) -> Self {
        Self {
            bursts: VecDeque::new(),
            next: 0,
            held: 0,
            stream_end: 0,
            gop: None,
            decodable: 0,
            retired: false,
            settings,
            budget,
        }
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn stream_end(&self) -> u64 {
        self.stream_end
    }

    /// Where the newest keyframe of a video track is, if it can be decoded.
    pub(super) fn gop(&self, track: u8) -> Option<u64> {
        if track == 0 {
            return self.gop;
        }
        let newest = self.bursts.iter().rev().find(|burst| burst.opening.is_keyframe_of(track));
        newest.map(|burst| burst.sequence).filter(|&sequence| sequence >= self.decodable)
    }

    pub(super) fn newest(&self) -> Option<&Arc<Burst>> {
        self.bursts.back()
    }

    /// Appends a burst and lets go of what nobody needs any more: what is not in the GOP cache and older than
    /// `keep`. Returns what was let go of, so that it is freed outside the lock.
    pub(super) fn push(&mut self, burst: Arc<Burst>, keep: Option<Duration>) -> Vec<Arc<Burst>> {
        self.next = burst.sequence + 1;
        self.stream_end = burst.stream_end;
        if burst.opening.is_keyframe_of(0) {
            self.gop = Some(burst.sequence);
        }
        self.held += burst.cost();
        if !self.retired {
            self.budget.enter_window(burst.cost());
        }
        let now = burst.arrived;
        self.bursts.push_back(burst);
        self.bound_gop(now);
        let mut gone = Vec::new();
        while self.bursts.len() > 1 && !self.front_is_needed(now, keep) {
            gone.extend(self.pop_front());
        }
        gone
    }

    /// What the bursts that are here cost, in bytes.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// No more bursts come; what is here is for viewers that are behind, and goes with the last of them.
    pub(super) fn retire(&mut self) {
        if !std::mem::replace(&mut self.retired, true) {
            self.budget.leave_window(self.held);
        }
    }

    /// Lets go of the older half, because memory is short. Viewers that needed it will skip.
    pub(super) fn shed(&mut self) -> Vec<Arc<Burst>> {
        let enough = self.held / 2;
        let mut gone = Vec::new();
        while self.held > enough {
            gone.extend(self.pop_front());
        }
        gone
    }

    /// Empties the GOP cache: what it holds cannot be decoded with the new sequence header.
    pub(super) fn drop_gop(&mut self) {
        self.gop = None;
        self.decodable = self.next;
    }

    /// The first burst at or behind `sequence` and all behind it.
    pub(super) fn from(&self, sequence: u64) -> impl Iterator<Item = &Arc<Burst>> {
        let index = sequence.saturating_sub(self.first()).min(self.bursts.len() as u64);
        self.bursts.range(index as usize..)
    }

    /// The sequence number of the oldest burst, or of the next if there is none.
    pub(super) fn first(&self) -> u64 {
        self.bursts.front().map_or(self.next, |burst| burst.sequence)
    }

    /// Where the last second begins: the start for those who join a stream without video.
    pub(super) fn last_second(&self) -> u64 {
        let Some(newest) = self.newest() else { return self.next };
        let recent =
            |burst: &&Arc<Burst>| newest.arrived.saturating_duration_since(burst.arrived) <= AUDIO_ONLY_JOIN;
        self.bursts.iter().rev().take_while(recent).last().map_or(self.next, |burst| burst.sequence)
    }

    /// The first burst at or behind `sequence` that can be decoded.
    pub(super) fn first_decodable(&self, sequence: u64) -> u64 {
        self.decodable.max(sequence)
    }

    /// Where the oldest keyframe of a video track is, at or behind `sequence`, that is still here and can be decoded.
    pub(super) fn first_keyframe(&self, track: u8, sequence: u64) -> Option<u64> {
        let mut decodable = self.from(self.first_decodable(sequence));
        decodable.find(|burst| burst.opening.is_keyframe_of(track)).map(|burst| burst.sequence)
    }

    /// Whether somebody whose next burst is `sequence` is too far behind.
    pub(super) fn is_too_far_behind(&self, sequence: u64, now: Instant) -> bool {
        if sequence < self.first() {
            return true;
        }
        let Some(burst) = self.from(sequence).next() else { return false };
        let (bytes, time) = self.distance(burst, now);
        bytes > self.settings.lag_bytes as u64 || time > self.settings.lag_time
    }

    /// How long ago the burst came that a cursor stands at.
    pub(super) fn age(&self, cursor: &Cursor, now: Instant) -> Duration {
        let next = self.from(cursor.next()).next().filter(|_| cursor.is_running());
        next.map_or(Duration::ZERO, |burst| self.distance(burst, now).1)
    }

    /// What lies between a burst's end and the stream's costs, and how long ago it came.
    fn distance(&self, burst: &Burst, now: Instant) -> (u64, Duration) {
        (self.stream_end - burst.stream_end, now.saturating_duration_since(burst.arrived))
    }

    /// Gives the GOP cache up if it has grown past its bounds.
    fn bound_gop(&mut self, now: Instant) {
        let Some(first) = self.gop.and_then(|gop| self.from(gop).next()) else { return };
        let (bytes, time) = self.distance(first, now);
        if bytes > self.settings.gop_bytes as u64 || time > self.settings.gop_time {
            self.gop = None;
        }
    }

    fn front_is_needed(&self, now: Instant, keep: Option<Duration>) -> bool {
        let Some(front) = self.bursts.front() else { return false };
        let (bytes, time) = self.distance(front, now);
        let for_join = match self.gop {
            Some(gop) => front.sequence >= gop,
            None => time <= AUDIO_ONLY_JOIN && bytes <= self.settings.gop_bytes as u64,
        };
        let for_lag = keep.is_some_and(|keep| time <= keep) && bytes <= self.settings.lag_bytes as u64;
        for_join || for_lag
    }

    fn pop_front(&mut self) -> Option<Arc<Burst>> {
        let burst = self.bursts.pop_front()?;
        self.held -= burst.cost();
        if !self.retired {
            self.budget.leave_window(burst.cost());
        }
        if self.gop == Some(burst.sequence) {
            self.gop = None;
        }
        Some(burst)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        while self.pop_front().is_some() {}
    }
}
