use std::time::{Duration, Instant};

use crate::flv::tag::Tracks;
use crate::media::PacketKind;
use crate::stream::headers::{Codec, MAX_TRACKS, TrackCodec};

/// How long after the first packet a stream waits for the tracks that it announces.
const TRACK_WAIT: Duration = Duration::from_millis(300);

/// The same for video that is announced. A relay that joins in the middle of a stream sends audio at once, and nothing of
/// the video, not even its sequence header, before the next keyframe.
const VIDEO_WAIT: Duration = Duration::from_secs(3);

/// How soon after one change of its tracks a stream may begin anew because of another. What does not fit the tracks
/// is dropped until then.
const MIN_RESTART: Duration = Duration::from_secs(1);

/// Which tracks a publisher sends, and what viewers have been told of it.
#[derive(Debug, Default)]
pub(super) struct TrackList {
    known: Vec<TrackCodec>,
    first_packet: Option<Instant>,
    /// Whether there has been a coded frame. Encoders send the headers of all tracks before.
    has_frames: bool,
    /// What the metadata announces.
    announced: Option<Tracks>,
    /// What viewers have been told.
    decided: Option<Tracks>,
    restarted: Option<Instant>,
}

/// What a packet means for the tracks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Nothing new.
    Known,
    /// A track, or a codec, that viewers have not been told another of.
    New,
    /// Something that viewers have been told otherwise: no player can add a track to what it plays, or change a codec.
    Surprise,
    /// Too much of it.
    Excess,
}

impl TrackList {
    pub(super) fn note_packet(&mut self, now: Instant) {
        self.first_packet.get_or_insert(now);
    }

    pub(super) fn note_frame(&mut self) {
        self.has_frames = true;
    }

    pub(super) fn announce(&mut self, tracks: Option<Tracks>) {
        self.announced = tracks;
    }

    pub(super) fn decided(&self) -> Option<Tracks> {
        self.decided
    }

    /// Looks at the track of a packet. After [`Seen::Surprise`] the stream must begin anew.
    pub(super) fn see(&mut self, track: u8, codec: Codec, now: Instant) -> Seen {
        let kind = codec.kind();
        let is_full = self.known.len() >= MAX_TRACKS;
        let known = self.known.iter_mut().find(|known| known.track == track && known.codec.kind() == kind);
        if known.as_ref().is_some_and(|known| known.codec == codec) {
            return Seen::Known;
        }
        let is_new_kind = known.is_none() && !has(self.decided.unwrap_or_default(), kind);
        let is_surprise = self.decided.is_some() && (known.is_some() || is_new_kind);
        let is_too_soon = || self.restarted.is_some_and(|at| now.saturating_duration_since(at) < MIN_RESTART);
        if is_surprise && is_too_soon() {
            return Seen::Excess;
        }
        match known {
            Some(known) => known.codec = codec,
            None if is_full => return Seen::Excess,
            None => self.known.push(TrackCodec { track, codec }),
        }
        if !is_surprise {
            return Seen::New;
        }
        self.restarted = Some(now);
        self.begin_anew(now);
        Seen::Surprise
    }

    /// The stream begins anew; nobody has been told anything.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        self.decided = None;
        self.first_packet = Some(now);
    }

    /// Decides on the tracks once those that are announced have come, and a frame, or have been waited for.
    pub(super) fn decide(&mut self, now: Instant) -> Option<Tracks> {
        if self.decided.is_some() || self.known.is_empty() {
            return None;
        }
        let seen = self.seen();
        let Tracks { audio, video } = self.announced.unwrap_or(Tracks { audio: true, video: true });
        let complete = self.has_frames && seen.audio >= audio && seen.video >= video;
        let is_video_due = self.announced.is_some_and(|tracks| tracks.video) && !seen.video;
        let wait = if is_video_due { VIDEO_WAIT } else { TRACK_WAIT };
        let waited = self.first_packet.is_some_and(|first| now.saturating_duration_since(first) >= wait);
        self.decided = (complete || waited).then_some(seen);
        self.decided
    }

    fn seen(&self) -> Tracks {
        let has = |kind| self.known.iter().any(|known| known.codec.kind() == kind);
        Tracks { audio: has(PacketKind::Audio), video: has(PacketKind::Video) }
    }
}

fn has(tracks: Tracks, kind: PacketKind) -> bool {
    if kind == PacketKind::Audio { tracks.audio } else { tracks.video }
}
