//! What the server uses, and that it gives it back.

use super::deadline::{poll, seconds, wait_until};
use super::rtmpd::Rtmpd;

#[derive(Clone, Copy, Debug)]
pub struct Usage {
    pub threads: usize,
    pub descriptors: usize,
    /// Resident, in bytes.
    pub memory: u64,
}

impl Usage {
    pub fn of(rtmpd: &Rtmpd) -> Self {
        Self { threads: rtmpd.threads(), descriptors: rtmpd.descriptors(), memory: rtmpd.memory() }
    }

    /// What is used once that has not changed for a moment.
    #[track_caller]
    pub fn settled(rtmpd: &Rtmpd) -> Self {
        let (mut last, mut same) = (Self::of(rtmpd), 0);
        wait_until("the server to come to rest", seconds(10), || {
            let now = Self::of(rtmpd);
            let is_same = (now.threads, now.descriptors) == (last.threads, last.descriptors);
            same = if is_same { same + 1 } else { 0 };
            last = now;
            (same >= 20).then_some(now)
        })
    }

    /// Whether this is no more than `before`, but for what a pool of threads and an allocator keep.
    fn is_back_at(self, before: Self) -> bool {
        self.threads <= before.threads + THREAD_NOISE
            && self.descriptors <= before.descriptors
            && self.memory <= before.memory + MEMORY_NOISE
    }
}

/// Waits until the server uses no more than `before`.
#[track_caller]
pub fn wait_until_back_at(rtmpd: &Rtmpd, before: Usage) {
    let limit = seconds(15);
    if poll(limit, || Usage::of(rtmpd).is_back_at(before).then_some(())).is_none() {
        panic!("after {limit:?} the server still uses {:?}; before it was {before:?}", Usage::of(rtmpd));
    }
}

/// tiny_http ends the threads that it has no work for, a little later.
const THREAD_NOISE: usize = 8;

/// What the allocator may keep after a storm; every leak looked for here is larger.
pub const MEMORY_NOISE: u64 = 16 << 20;
