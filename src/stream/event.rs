//! What streams tell those who deliver them.

use std::sync::Arc;

use super::burst::Burst;
use super::live::{LiveStream, StreamId};

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndReason {
    /// The publisher ended it in good order.
    Unpublished,
    /// The publisher's connection was lost, or broke a rule, and nobody went on in time.
    PublisherLost,
    /// The publisher sent nothing for too long.
    PublisherSilent,
    /// Another publisher took its name over.
    Replaced,
    /// Somebody who may do so ended it: over the API, or the program that embeds the server.
    Kicked,
    /// A track turned up that was not announced, or has another codec now; the stream goes on under the same name
    /// with a new header.
    TracksChanged,
    /// The stream's timestamps have no room left, after 21 days; it goes on under the same name from 0.
    TimestampsUsedUp,
    /// The server is shutting down.
    Shutdown,
}

impl std::fmt::Display for EndReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unpublished => "stream ended",
            Self::PublisherLost => "publisher lost",
            Self::PublisherSilent => "publisher silent",
            Self::Replaced => "another publisher took over",
            Self::Kicked => "ended by an operator",
            Self::TracksChanged => "tracks changed",
            Self::TimestampsUsedUp => "timestamps used up",
            Self::Shutdown => "server shutdown",
        })
    }
}

/// What a stream tells those who deliver it.
#[derive(Debug, Clone)]
pub(crate) enum StreamEvent {
    /// It can be joined: its tracks are known. Goes to all who [watch](super::registry::Registry::watch).
    Ready(Arc<LiveStream>),
    /// It has a new burst.
    Burst(StreamId, Arc<Burst>),
    /// It will have no more bursts.
    Ended(StreamId),
}

/// Where stream events go. An event may be lost; the stream itself has the truth.
pub(crate) trait Outlet: Send + Sync + std::fmt::Debug {
    /// Takes an event without ever blocking.
    fn notify(&self, event: StreamEvent);
}
