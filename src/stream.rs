//! Live streams: who publishes what, what a viewer needs first, and the window that all viewers read from.
//!
//! A publisher's packets become tags, and runs of tags become [bursts](burst::Burst). Each stream keeps its
//! newest bursts in a window, and every viewer is nothing but a [cursor](cursor::Cursor) into it: to join is to
//! put the cursor on the newest keyframe, to fall behind is to be far from the window's end, to skip is to
//! move on. So there are no queues that could grow, and a viewer that stands still costs nothing.
//!
//! Publishers tell [outlets](event::Outlet) of every burst over their channels. Such an event is a hint: it
//! wakes and it carries the burst, but what counts is the stream's state, so a lost event loses nothing.

pub(crate) mod budget;
pub(crate) mod burst;
pub(crate) mod cursor;
pub(crate) mod event;
pub(crate) mod headers;
mod health;
mod history;
pub(crate) mod live;
mod meter;
pub(crate) mod publication;
pub(crate) mod publisher;
pub(crate) mod registry;
mod stamp;
mod subscription;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;
mod timeline;
mod vitals;
pub(crate) mod watching;
mod window;

pub use cursor::Start;
pub use event::EndReason;
pub use health::HealthWarning;
pub use live::StreamStatus;
pub use registry::PublisherTotals;
pub use subscription::{Subscription, Tag, Timeout};
pub use watching::{Protocol, ViewerCounts};

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
    /// How long viewers are held when a publisher was lost; zero ends its stream at once.
    pub(crate) resume: Duration,
    /// Most streams that are held at a time.
    pub(crate) held: usize,
    /// Most bytes that all streams keep together.
    pub(crate) total_bytes: usize,
}
