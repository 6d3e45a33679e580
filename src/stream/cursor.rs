//! Where a viewer stands in a stream.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::budget::Budget;
use super::burst::Burst;
use super::event::EndReason;
use super::headers::HeaderCache;
use super::window::Window;
use crate::flv::tag::file_header;
use crate::flv::variant::Variant;

/// Where in a live stream a viewer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Start {
    /// At the newest keyframe that has come, so that there is a picture at once; without video, a second ago.
    #[default]
    Gop,
    /// At the next keyframe to come; without video, with whatever comes next.
    Key,
    /// With whatever comes next, behind the headers: the lowest delay, and the only way into a stream that sends no more
    /// keyframes. A decoder begins at the next point where it can.
    Live,
    /// At the oldest keyframe that is still there: where those begin who waited for the stream, whatever they asked for.
    First,
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gop => "gop",
            Self::Key => "key",
            Self::Live => "live",
            Self::First => "first",
        })
    }
}

/// A viewer's place in a stream's window.
#[derive(Debug)]
pub(crate) struct Cursor {
    place: Place,
    start: Start,
    pub(crate) variant: Variant,
    /// The sequence number of the next burst.
    next: u64,
    /// What goes out in front of it.
    owed: Option<Arc<Burst>>,
    /// Whether the file header has been given out.
    has_file_header: bool,
    /// Which sequence headers have been given out.
    generation: u32,
    /// How often the viewer was too far behind and moved on to a keyframe.
    pub(crate) skips: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Joining,
    /// The next burst that begins with a keyframe is the one to go on with; without video, the next burst.
    AwaitingKeyframe,
    /// The next burst is.
    AwaitingBurst,
    Running,
}

/// What lies in front of a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ahead {
    /// Bursts, which were given.
    Bursts,
    /// Nothing yet.
    Nothing,
    /// Nothing, and there will be no more.
    End(EndReason),
}

impl Cursor {
    pub(crate) fn new(start: Start, variant: Variant) -> Self {
        Self {
            place: Place::Joining,
            start,
            variant,
            next: 0,
            owed: None,
            has_file_header: false,
            generation: 0,
            skips: 0,
        }
    }

    /// Whether the very next thing to send is the burst with this sequence number. Then, and only then, that
    /// burst may be sent without [`peek`](super::live::LiveStream::peek).
    pub(crate) fn is_at(&self, sequence: u64) -> bool {
        self.next == sequence && self.place == Place::Running && self.owed.is_none()
    }

    /// Whether the viewer has had the burst with this sequence number, or skipped it.
    pub(crate) fn is_past(&self, sequence: u64) -> bool {
        self.next > sequence && self.place == Place::Running
    }

    /// Moves on by one of the bursts that `peek` gave, or the one that [`is_at`](Self::is_at) was true for.
    pub(crate) fn advance(&mut self) {
        if self.owed.take().is_none() {
            self.next += 1;
        }
    }

    /// What to send in front of the next burst.
    pub(super) fn owed(&self) -> Option<&Arc<Burst>> {
        self.owed.as_ref()
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn is_running(&self) -> bool {
        self.place == Place::Running
    }

    /// Finds the place to go on: after a join, at a keyframe that was awaited, or past a gap that is too wide.
    /// `video` is the track with whose keyframes to begin, `prefix` makes what goes in front of a burst, with a file
    /// header or without.
    pub(super) fn settle(
        &mut self,
        window: &Window,
        video: Option<u8>,
        generation: u32,
        now: Instant,
        prefix: impl FnOnce(&Burst, bool) -> Arc<Burst>,
    ) {
        if self.place == Place::Running {
            if !window.is_too_far_behind(self.next, now) {
                return;
            }
            // Without a newer place to go to, what is still in the window is better than nothing.
            let is_newer = self.target(window, video).is_some_and(|sequence| sequence > self.next);
            if !is_newer && self.next >= window.first() {
                return;
            }
            self.skips += 1;
            self.owed = None;
        }
        match self.target(window, video).and_then(|sequence| window.from(sequence).next()) {
            Some(first) => {
                self.next = first.sequence;
                let fresh = !self.has_file_header;
                if fresh || self.generation != generation {
                    self.owed = Some(prefix(first, fresh));
                }
                self.has_file_header = true;
                self.generation = generation;
                self.place = Place::Running;
            }
            None => {
                self.next = window.next();
                self.place =
                    if self.start == Start::Live { Place::AwaitingBurst } else { Place::AwaitingKeyframe };
            }
        }
    }

    /// The burst to go on with, if it is there. `video` as for [`settle`](Self::settle).
    fn target(&self, window: &Window, video: Option<u8>) -> Option<u64> {
        match (self.place, self.start, video) {
            (Place::Joining, Start::Key | Start::Live, _) => None,
            (Place::Joining, Start::First, Some(track)) => window.first_keyframe(track, 0),
            (Place::Joining, Start::First, None) => Some(window.first()),
            (Place::Joining, Start::Gop, None) => Some(window.last_second()),
            (Place::Joining | Place::Running, _, Some(track)) => window.gop(track),
            (Place::Running, _, None) => Some(window.last_second().max(self.next)),
            (Place::AwaitingKeyframe, _, Some(track)) => window.first_keyframe(track, self.next),
            (Place::AwaitingKeyframe | Place::AwaitingBurst, ..) => {
                Some(window.first_decodable(video, self.next))
            }
        }
    }
}

/// Makes a prefix from the header cache.
pub(super) fn make_prefix(
    first: &Burst,
    fresh: bool,
    headers: &HeaderCache,
    variant: &Variant,
    budget: &Arc<Budget>,
) -> Arc<Burst> {
    let header = fresh.then(|| file_header(variant.tracks()));
    Arc::new(Burst::prefix(first, header, &headers.packets(variant, first.timestamp), budget))
}
