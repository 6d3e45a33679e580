use std::time::Instant;

use super::tracks::TrackList;
use crate::media::{Packet, PacketKind, StreamName, Timestamp};
use crate::occasional::Occasional;
use crate::stream::timeline::Timeline;
use crate::stream::vitals::Vitals;

/// How far a stream has come: what the next publisher goes on with when the last one was lost.
#[derive(Debug, Default)]
pub(in crate::stream) struct Progress {
    pub(super) tracks: TrackList,
    pub(super) timeline: Timeline,
    /// Kilobytes, and this is moved about.
    pub(super) vitals: Box<Vitals>,
    /// When the last coded frame was, if there has been one since time began.
    last: Option<Timestamp>,
    pub(super) complaints: Occasional,
    /// Until when viewers are held for one who sends frames, should this publisher be lost before it does.
    pub(super) held_until: Option<Instant>,
}

impl Progress {
    /// For the next publisher, who is to send frames by `held_until`.
    pub(super) fn resumed(mut self, held_until: Instant) -> Self {
        self.tracks.change_publisher();
        self.timeline.change_clock();
        self.vitals.change_publisher();
        Self { held_until: Some(held_until), ..self }
    }

    /// Goes on from 0.
    pub(super) fn start_again(&mut self) {
        self.timeline.start_again();
        self.last = None;
    }

    /// When the last coded frame of a track was; for data and for tracks that have had none, of any. `None` before the
    /// first.
    pub(super) fn time_of_last(&self, kind: PacketKind, track: u8) -> Option<Timestamp> {
        let last = self.last?;
        Some(self.timeline.last_of(kind, track).unwrap_or(last))
    }

    /// Puts a coded frame of the stream `name` in its place on the timeline.
    pub(super) fn place(
        &mut self,
        packet: &Packet,
        track: u8,
        is_keyframe: bool,
        name: &StreamName,
        now: Instant,
    ) -> Timestamp {
        let place = self.timeline.place(packet.kind, track, packet.timestamp, now);
        self.vitals.note_frame(packet, track, is_keyframe, Some(place), now);
        if let Some(jump) = place.jump {
            self.complaints.say(|more| {
                log::warn!(
                    "stream {name}: the publisher's clock jumped by {jump} ms; viewers see no jump{more}"
                );
            });
        }
        self.last = Some(place.timestamp);
        place.timestamp
    }
}
