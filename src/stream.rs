//! Live streams: who publishes what, what a viewer needs first, and the window that all viewers read from.
//!
//! A publisher's packets become tags, and runs of tags become [bursts](burst::Burst). Each stream keeps its
//! newest bursts in a window, and every viewer is nothing but a [cursor](cursor::Cursor) into it: to join is to
//! put the cursor on the newest keyframe, to fall behind is to be far from the window's end, to skip is to
//! move on. So there are no queues that could grow, and a viewer that stands still costs nothing.
//!
//! Publishers tell [outlets](live::Outlet) of every burst over their channels. Such an event is a hint: it
//! wakes and it carries the burst, but what counts is the stream's state, so a lost event loses nothing.

pub(crate) mod budget;
pub(crate) mod burst;
pub(crate) mod cursor;
pub(crate) mod headers;
pub(crate) mod live;
pub(crate) mod publication;
pub(crate) mod registry;
mod subscription;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
mod timeline;
pub(crate) mod watching;
mod window;

pub use live::{EndReason, StreamStatus};
pub use subscription::{Subscription, Tag, Timeout};

use std::time::Duration;

/// How streams are kept and cut into bursts.
#[derive(Debug, Clone)]
pub(crate) struct StreamSettings {
    /// Merge window; zero ends a burst at each video frame.
    pub(crate) merge: Duration,
    /// Most bytes of one group of pictures that are kept for those who join.
    pub(crate) gop_bytes: usize,
    /// Longest group of pictures that is kept for those who join.
    pub(crate) gop_time: Duration,
    /// How many unsent bytes a viewer may be behind before it skips.
    pub(crate) lag_bytes: usize,
    /// How long a viewer may be behind before it skips.
    pub(crate) lag_time: Duration,
    /// Most bytes that all streams keep together.
    pub(crate) total_bytes: usize,
}
