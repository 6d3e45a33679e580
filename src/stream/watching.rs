//! Who reads a stream, counted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::live::LiveStream;

/// How a viewer gets its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protocol {
    /// As the body of an HTTP response.
    HttpFlv,
    /// As the messages of a WebSocket.
    WebSocketFlv,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::HttpFlv => "HTTP-FLV",
            Self::WebSocketFlv => "WebSocket-FLV",
        })
    }
}

/// How many read a stream now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ViewerCounts {
    /// Viewers over [`Protocol::HttpFlv`].
    pub http_flv: usize,
    /// Viewers over [`Protocol::WebSocketFlv`].
    pub websocket_flv: usize,
    /// The program's own [`Subscription`](super::Subscription)s.
    pub subscribers: usize,
}

impl ViewerCounts {
    /// All of them.
    pub fn total(self) -> usize {
        self.http_flv + self.websocket_flv + self.subscribers
    }
}

/// Counts those who read a stream.
#[derive(Debug, Default)]
pub(super) struct Audience {
    http_flv: AtomicUsize,
    websocket_flv: AtomicUsize,
    subscribers: AtomicUsize,
    /// Of all, who may be behind by more than a burst or two.
    behind: AtomicUsize,
    skips: AtomicU64,
    sent: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
enum Reader {
    Viewer(Protocol),
    Subscriber,
}

impl Audience {
    pub(super) fn counts(&self) -> ViewerCounts {
        let get = |reader| self.of(reader).load(Ordering::Relaxed);
        ViewerCounts {
            http_flv: get(Reader::Viewer(Protocol::HttpFlv)),
            websocket_flv: get(Reader::Viewer(Protocol::WebSocketFlv)),
            subscribers: get(Reader::Subscriber),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts().total() == 0
    }

    pub(super) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Relaxed) > 0
    }

    /// How often one of them moved on to a keyframe because it was too far behind.
    pub(super) fn skips(&self) -> u64 {
        self.skips.load(Ordering::Relaxed)
    }

    pub(super) fn note_skips(&self, times: u32) {
        if times > 0 {
            self.skips.fetch_add(times.into(), Ordering::Relaxed);
        }
    }

    /// Bytes that viewers have been sent, up to a second ago.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(super) fn note_sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
    }

    fn of(&self, reader: Reader) -> &AtomicUsize {
        match reader {
            Reader::Viewer(Protocol::HttpFlv) => &self.http_flv,
            Reader::Viewer(Protocol::WebSocketFlv) => &self.websocket_flv,
            Reader::Subscriber => &self.subscribers,
        }
    }
}

/// A reader's hold on a stream: counted while it lives.
#[derive(Debug)]
pub(crate) struct Watching {
    live: Arc<LiveStream>,
    reader: Reader,
    behind: Option<Behind>,
}

impl Watching {
    /// Of a viewer who joins, and is behind until he has caught up.
    pub(crate) fn new(live: Arc<LiveStream>, protocol: Protocol) -> Self {
        Self::counted(live, Reader::Viewer(protocol))
    }

    /// Of a program, which may take its time between two tags and so counts as behind.
    pub(super) fn subscriber(live: Arc<LiveStream>) -> Self {
        Self::counted(live, Reader::Subscriber)
    }

    fn counted(live: Arc<LiveStream>, reader: Reader) -> Self {
        live.audience.of(reader).fetch_add(1, Ordering::Relaxed);
        let behind = Some(Behind::new(Arc::clone(&live)));
        Self { live, reader, behind }
    }

    /// Whether the viewer is sent each burst as it comes. As long as it is not, the window keeps more for it.
    pub(crate) fn set_keeps_up(&mut self, keeps_up: bool) {
        if keeps_up {
            self.behind = None;
        } else if self.behind.is_none() {
            self.behind = Some(Behind::new(Arc::clone(&self.live)));
        }
    }
}

impl std::ops::Deref for Watching {
    type Target = Arc<LiveStream>;

    fn deref(&self) -> &Self::Target {
        &self.live
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.live.audience.of(self.reader).fetch_sub(1, Ordering::Relaxed);
    }
}

/// Has the window keep what somebody who is behind still needs, while it lives.
#[derive(Debug)]
struct Behind(Arc<LiveStream>);

impl Behind {
    fn new(live: Arc<LiveStream>) -> Self {
        live.audience.behind.fetch_add(1, Ordering::Relaxed);
        Self(live)
    }
}

impl Drop for Behind {
    fn drop(&mut self) {
        self.0.audience.behind.fetch_sub(1, Ordering::Relaxed);
    }
}
