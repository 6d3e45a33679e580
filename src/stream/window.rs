use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::StreamSettings;
use super::budget::Budget;
use super::burst::{Burst, Opening};
use super::cursor::Cursor;
use crate::media::PacketKind;

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
    /// The video tracks that have had a keyframe, or a header that replaced another.
    videos: Vec<Video>,
    /// From here on frames can be decoded with the sequence headers of audio in the header cache.
    decodable: u64,
    /// Whether the stream has ended: what is here no longer counts against live streams.
    retired: bool,
    settings: Arc<StreamSettings>,
    budget: Arc<Budget>,
}

/// Of a video track.
#[derive(Debug)]
struct Video {
    track: u8,
    /// The sequence number of the burst that its GOP cache begins with.
    gop: Option<u64>,
    /// From here on its frames can be decoded with the sequence header in the header cache.
    decodable: u64,
}

impl Window {
    pub(super) fn new(settings: Arc<StreamSettings>, budget: Arc<Budget>) -> Self {
        Self {
            bursts: VecDeque::new(),
            next: 0,
            held: 0,
            stream_end: 0,
            videos: Vec::new(),
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
        self.videos.iter().find(|video| video.track == track)?.gop
    }

    pub(super) fn newest(&self) -> Option<&Arc<Burst>> {
        self.bursts.back()
    }

    /// Appends a burst and lets go of what nobody needs any more: what is not in the GOP cache and older than
    /// `keep`. Returns what was let go of, so that it is freed outside the lock.
    pub(super) fn push(&mut self, burst: Arc<Burst>, keep: Option<Duration>) -> Vec<Arc<Burst>> {
        self.next = burst.sequence + 1;
        self.stream_end = burst.stream_end;
        if let Opening::Keyframe(track) = burst.opening {
            self.video(track).gop = Some(burst.sequence);
        }
        self.held += burst.cost();
        if !self.retired {
            self.budget.enter_window(burst.cost());
        }
        let now = burst.arrived;
        self.bursts.push_back(burst);
        self.bound_gops(now);
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

    /// Empties the GOP cache of a video track, or with new audio of all: what it holds cannot be decoded with the new
    /// sequence header.
    pub(super) fn drop_gop(&mut self, kind: PacketKind, track: u8) {
        let next = self.next;
        if kind == PacketKind::Video {
            let video = self.video(track);
            (video.gop, video.decodable) = (None, next);
        } else {
            self.videos.iter_mut().for_each(|video| video.gop = None);
            self.decodable = next;
        }
    }

    fn video(&mut self, track: u8) -> &mut Video {
        let index = self.videos.iter().position(|video| video.track == track).unwrap_or_else(|| {
            self.videos.push(Video { track, gop: None, decodable: 0 });
            self.videos.len() - 1
        });
        &mut self.videos[index]
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

    /// The first burst at or behind `sequence` that one can decode who gets this video track.
    pub(super) fn first_decodable(&self, track: Option<u8>, sequence: u64) -> u64 {
        let video = self.videos.iter().find(|video| Some(video.track) == track);
        video.map_or(0, |video| video.decodable).max(self.decodable).max(sequence)
    }

    /// Where the oldest keyframe of a video track is, at or behind `sequence`, that is still here and can be decoded.
    pub(super) fn first_keyframe(&self, track: u8, sequence: u64) -> Option<u64> {
        let mut decodable = self.from(self.first_decodable(Some(track), sequence));
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

    /// Gives up the GOP caches that have grown past their bounds.
    fn bound_gops(&mut self, now: Instant) {
        let is_within = |gop: u64| {
            let (bytes, time) =
                self.from(gop).next().map_or((0, Duration::ZERO), |first| self.distance(first, now));
            bytes <= self.settings.gop_bytes as u64 && time <= self.settings.gop_time
        };
        let kept: Vec<_> = self.videos.iter().map(|video| video.gop.filter(|&gop| is_within(gop))).collect();
        self.videos.iter_mut().zip(kept).for_each(|(video, gop)| video.gop = gop);
    }

    fn front_is_needed(&self, now: Instant, keep: Option<Duration>) -> bool {
        let Some(front) = self.bursts.front() else { return false };
        let (bytes, time) = self.distance(front, now);
        let for_join = match self.videos.iter().filter_map(|video| video.gop).min() {
            Some(oldest) => front.sequence >= oldest,
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
        for video in self.videos.iter_mut().filter(|video| video.gop == Some(burst.sequence)) {
            video.gop = None;
        }
        Some(burst)
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        while self.pop_front().is_some() {}
    }
}
