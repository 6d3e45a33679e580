use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::burst::Burst;
use super::cursor::{Ahead, Cursor, Start};
use super::event::{Outlet, StreamEvent};
use super::headers::Wanted;
use super::live::LiveStream;
use super::watching::Watching;
use crate::deadline::after;
use crate::flv::tag::split_tag;
use crate::flv::variant::{Form, Variant};
use crate::media::{PacketKind, Timestamp};

/// One FLV tag of a live stream. Its body is shared with everybody who gets it.
#[derive(Debug, Clone)]
pub struct Tag {
    /// The track.
    pub kind: PacketKind,
    /// Decoding time.
    pub timestamp: Timestamp,
    burst: Arc<Burst>,
    body: Range<usize>,
}

impl Tag {
    /// The tag's body: codec header and payload.
    pub fn body(&self) -> &[u8] {
        &self.burst.tags()[self.body.clone()]
    }
}

/// A program's own view of a live stream: metadata and sequence headers first, then frames from the newest
/// keyframe on, all as it came in. A subscriber that falls too far behind is moved to a later keyframe, as a viewer is.
#[derive(Debug)]
pub struct Subscription {
    live: Watching,
    cursor: Cursor,
    current: Option<(Arc<Burst>, usize)>,
    outlet: Arc<dyn Outlet>,
    wakes: Receiver<()>,
}

/// Wakes a subscriber. One pending wake is as good as many.
#[derive(Debug)]
struct Waker(Sender<()>);

impl Outlet for Waker {
    fn notify(&self, _: StreamEvent) {
        if let Err(TrySendError::Full(()) | TrySendError::Disconnected(())) = self.0.try_send(()) {}
    }
}

impl Subscription {
    pub(crate) fn new(live: Arc<LiveStream>) -> Self {
        let (sender, wakes) = bounded(1);
        let outlet: Arc<dyn Outlet> = Arc::new(Waker(sender));
        live.attach(&outlet);
        let raw = Wanted { form: Form::Raw, ..Wanted::default() };
        let variant = live.variant(raw).unwrap_or(Variant::RAW);
        let live = Watching::subscriber(live);
        Self { live, cursor: Cursor::new(Start::Gop, variant), current: None, outlet, wakes }
    }

    /// Waits for the next tag, at most `timeout`; `Ok(None)` is the end of the stream.
    ///
    /// # Errors
    /// [`Timeout`] if no tag has come by then.
    pub fn next_within(&mut self, timeout: Duration) -> Result<Option<Tag>, Timeout> {
        let deadline = after(Instant::now(), timeout);
        loop {
            if let Some(tag) = self.tag_of_current() {
                return Ok(Some(tag));
            }
            let mut bursts = Vec::new();
            match self.live.peek(&mut self.cursor, &mut bursts, 1, Instant::now()) {
                Ahead::Bursts => {
                    self.current = bursts.pop().map(|burst| (burst, 0));
                    self.cursor.advance();
                }
                Ahead::End(_) => return Ok(None),
                Ahead::Nothing => self.wakes.recv_deadline(deadline).map_err(|_| Timeout)?,
            }
        }
    }

    fn tag_of_current(&mut self) -> Option<Tag> {
        let (burst, at) = self.current.as_mut()?;
        let Some((kind, timestamp, body, rest)) = split_tag(&burst.tags()[*at..]) else {
            self.current = None;
            return None;
        };
        let start = *at + crate::flv::tag::TAG_HEADER_LENGTH;
        let body = start..start + body.len();
        *at = burst.tags().len() - rest.len();
        Some(Tag { kind, timestamp, burst: Arc::clone(burst), body })
    }
}

/// Blocks for each tag and ends with the stream.
impl Iterator for Subscription {
    type Item = Tag;

    fn next(&mut self) -> Option<Tag> {
        loop {
            if let Ok(next) = self.next_within(Duration::from_secs(3600)) {
                return next;
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.live.detach(&self.outlet);
    }
}

/// Nothing came in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no tag came in time")]
pub struct Timeout;
