//! When a stream begins anew under its name, because viewers have been told otherwise.

use std::time::Instant;

use super::Publication;
use super::keyed::Keyed;
use super::tracks::{MAX_RESUMING, Seen};
use crate::media::Packet;
use crate::stream::event::EndReason;
use crate::stream::headers::{Codec, MAX_HEADER, Role};

impl Publication {
    /// Whether a packet of this codec is taken. The header in one that is not is kept: its encoder sends it once, and its
    /// frames may be taken a moment later. `role` is the header's.
    pub(super) fn takes(
        &mut self,
        packet: &Packet,
        track: u8,
        codec: Codec,
        role: Option<Role>,
        now: Instant,
    ) -> bool {
        let takes = match role {
            // A track is what a decoder is configured for or fed with; what is said about it makes none, and no other.
            Some(Role::Description) => self.progress.tracks.has(track, codec),
            _ => self.see(track, codec, now),
        };
        if let Some(role) = role.filter(|_| !takes && packet.payload.len() <= MAX_HEADER) {
            self.live.put_header_aside(codec, track, role, &packet.payload);
        }
        takes
    }

    /// Notes a packet's track; returns whether the packet is to be taken. If viewers have been told otherwise, they
    /// get a new stream with a true header.
    pub(super) fn see(&mut self, track: u8, codec: Codec, now: Instant) -> bool {
        match self.progress.tracks.see(track, codec, now) {
            Seen::Known => return true,
            Seen::New => {}
            Seen::Surprise => {
                let (name, codec) = (&self.live.name, codec.name());
                log::info!("stream {name}: {codec} turned up late; viewers are asked to reconnect");
                self.begin_anew(EndReason::TracksChanged, now);
            }
            Seen::Excess => {
                let (name, codec) = (&self.live.name, codec.name());
                self.progress.complaints.say(|more| {
                    log::warn!(
                        "stream {name}: dropped {codec} of track {track}: its tracks change too often{more}"
                    );
                });
                return false;
            }
        }
        self.live.note_codec(track, codec);
        true
    }

    /// Viewers who have been told of a track, or of none, get a new stream when this sequence header makes that untrue.
    /// Returns whether it is to be taken: not if browsers would end at it, and that came too often.
    pub(super) fn can_take_header(&mut self, packet: &Packet, track: u8, role: Role, now: Instant) -> bool {
        let is_told = role == Role::Sequence && self.progress.tracks.decided().is_some();
        let turned = self.live.turned_by(packet.kind, track, &packet.payload).filter(|_| is_told);
        let Some(is_playable) = turned else { return true };
        let (name, kind) = (&self.live.name, packet.kind);
        if self.progress.tracks.is_too_soon(now) {
            self.progress.complaints.say(|more| {
                log::warn!("stream {name}: a header of its {kind} comes too soon to tell viewers{more}");
            });
            return is_playable;
        }
        log::info!(
            "stream {name}: a header of its {kind} changes what browsers can play; viewers are asked to reconnect"
        );
        self.begin_anew(EndReason::TracksChanged, now);
        true
    }

    /// Viewers of a publisher that comes back with less get a new stream with a true header.
    pub(super) fn give_up_missing_tracks(&mut self, now: Instant) {
        if self.progress.tracks.is_missing_some(now) {
            log::info!(
                "stream {}: the publisher has come back with other tracks; viewers are asked to reconnect",
                self.live.name
            );
            self.begin_anew(EndReason::TracksChanged, now);
        }
    }

    /// So do those of one that has come back and sends nothing that decoding can begin with. What it does send goes out in
    /// the new stream.
    pub(super) fn give_up_resuming(&mut self, now: Instant) {
        if self.is_resuming && now.saturating_duration_since(self.began) >= MAX_RESUMING {
            log::warn!(
                "stream {}: the publisher has come back without a keyframe; viewers are let go",
                self.live.name
            );
            self.begin_anew(EndReason::PublisherLost, now);
        }
    }

    /// So do those who wait for a kind that does not come any more.
    pub(super) fn give_up_silent_track(&mut self, now: Instant) {
        if let Some(kind) = self.progress.tracks.fallen_silent() {
            log::warn!("stream {}: its {kind} has stopped; viewers are asked to reconnect", self.live.name);
            self.progress.tracks.forget(kind);
            self.begin_anew(EndReason::TracksChanged, now);
        }
    }

    pub(super) fn begin_anew(&mut self, reason: EndReason, now: Instant) {
        self.flush(now);
        self.progress.tracks.begin_anew(now);
        self.live = self.registry.restart(&self.live, reason, now);
        self.live.keep_tracks(&self.progress.tracks.tracks());
        self.progress.vitals.begin_anew(&self.live.vitals);
        (self.keyed, self.is_resuming) = (Keyed::default(), false);
    }
}
