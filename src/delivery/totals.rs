//! What has become of all viewers.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::leave::LeaveReason;
use crate::occasional::Refusals;

/// Counts as things happen.
#[derive(Debug, Default)]
pub(super) struct Counters {
    joined: AtomicU64,
    ended: AtomicU64,
    left: AtomicU64,
    stalled: AtomicU64,
    too_slow: AtomicU64,
    out_of_memory: AtomicU64,
    kicked: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    skips: AtomicU64,
    sent: AtomicU64,
    turned_slow: AtomicU64,
    slow: AtomicUsize,
    waiting: AtomicUsize,
    /// The log lines about those who are refused.
    pub(super) refusals: Refusals,
}

/// Viewers since the server's start, and those of now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ViewerTotals {
    /// Who watch now.
    pub watching: u64,
    /// Of these, who are served one by one because they have something unsent or had it lately.
    pub slow: usize,
    /// Who wait for a stream that is not live.
    pub waiting: usize,
    /// Who have joined a stream.
    pub joined: u64,
    /// Whose stream ended.
    pub ended: u64,
    /// Who closed their connection, lost it, or broke a rule of WebSocket.
    pub left: u64,
    /// Who were given up because they took nothing for too long.
    pub stalled: u64,
    /// Who were given up because they skipped too often.
    pub too_slow: u64,
    /// Who were given up because they took nothing while memory was short.
    pub out_of_memory: u64,
    /// Whose response was ended by somebody who may do so: over the API, or by the program.
    pub kicked: u64,
    /// Who were cut off by the server: at shutdown, or after an error of its own.
    pub failed: u64,
    /// Who waited for a stream that did not come, or came during shutdown.
    pub refused: u64,
    /// How often viewers fell too far behind and moved on to a keyframe.
    pub skips: u64,
    /// Bytes that they have been sent, as [`ViewerStatus::bytes`](super::ViewerStatus::bytes) counts them; up to a second old.
    pub sent: u64,
    /// How often a viewer that was sent each burst as it came did not take one whole.
    pub turned_slow: u64,
}

impl Counters {
    pub(super) fn joined(&self) {
        self.joined.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn skipped(&self, times: u32) {
        if times > 0 {
            self.skips.fetch_add(times.into(), Ordering::Relaxed);
        }
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn turned_slow(&self) {
        self.turned_slow.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn gone(&self, reason: LeaveReason) {
        let counter = match reason {
            LeaveReason::Ended(_) => &self.ended,
            LeaveReason::Left | LeaveReason::Broken(_) => &self.left,
            LeaveReason::Stalled => &self.stalled,
            LeaveReason::TooSlow => &self.too_slow,
            LeaveReason::OutOfMemory => &self.out_of_memory,
            LeaveReason::Kicked => &self.kicked,
            LeaveReason::CutOff | LeaveReason::Failure => &self.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// How many are in the slow lane now.
    pub(super) fn set_lane(&self, slow: usize, waiting: usize) {
        self.slow.store(slow, Ordering::Relaxed);
        self.waiting.store(waiting, Ordering::Relaxed);
    }

    pub(super) fn totals(&self) -> ViewerTotals {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut totals = ViewerTotals {
            watching: 0,
            slow: self.slow.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            joined: 0,
            ended: get(&self.ended),
            left: get(&self.left),
            stalled: get(&self.stalled),
            too_slow: get(&self.too_slow),
            out_of_memory: get(&self.out_of_memory),
            kicked: get(&self.kicked),
            failed: get(&self.failed),
            refused: get(&self.refused),
            skips: get(&self.skips),
            sent: get(&self.sent),
            turned_slow: get(&self.turned_slow),
        };
        // Looked at last, so that nobody seems to have gone who has not joined.
        totals.joined = get(&self.joined);
        totals.watching = totals.joined.saturating_sub(totals.gone());
        totals
    }
}

impl ViewerTotals {
    fn gone(&self) -> u64 {
        self.ended + self.left + self.stalled + self.too_slow + self.out_of_memory + self.kicked + self.failed
    }
}

impl fmt::Display for ViewerTotals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { joined, ended, left, stalled, too_slow, out_of_memory, failed, refused, skips, .. } = self;
        let given_up = stalled + too_slow + out_of_memory;
        write!(
            f,
            "{joined} viewers joined, {left} left, {ended} saw the end, {given_up} were given up, {failed} cut off; \
             {refused} found no stream; {skips} skips"
        )
    }
}
