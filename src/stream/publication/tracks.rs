use std::time::{Duration, Instant};

use crate::flv::tag::Tracks;
use crate::media::PacketKind;
use crate::stream::headers::{Codec, MAX_TRACKS};

/// How long after the first audio or video a stream waits for the tracks that it announces.
const TRACK_WAIT: Duration = Duration::from_millis(300);

/// The same for video that is announced. A relay that joins in the middle of a stream sends audio at once, and nothing of
/// the video, not even its sequence header, before the next keyframe.
const VIDEO_WAIT: Duration = Duration::from_secs(3);

/// How long viewers wait for what the last publisher sent, once the next one sends anything. Phones open their microphones
/// late, relays join in the middle of a group of pictures, and whose tracks are the same nobody has to reconnect for.
pub(super) const MAX_RESUMING: Duration = Duration::from_secs(10);

/// The same for a kind that the next publisher's metadata does not announce.
const UNANNOUNCED_WAIT: Duration = Duration::from_secs(2);

/// How long one kind may send nothing while the other goes on. Players stand still then, and are better off without it.
const FELL_SILENT: Duration = Duration::from_secs(10);

/// How often that time doubles, each time a kind is given up: slides, or someone who talks now and then, would otherwise
/// end the responses again and again.
const MAX_DOUBLINGS: u32 = 3;

/// A pause of the other kind that is longer than this is the publisher's, not the silent track's.
const SOLO_GAP: Duration = Duration::from_secs(2);

/// How soon after one change of its tracks a stream may begin anew because of another. What does not fit the tracks
/// is dropped until then.
const MIN_RESTART: Duration = Duration::from_secs(1);

/// Which tracks a publisher sends, and what viewers have been told of it.
#[derive(Debug, Default)]
pub(super) struct TrackList {
    known: Vec<Known>,
    /// This publisher's first audio or video. Metadata often comes long before, when its connection is made.
    first_packet: Option<Instant>,
    /// Whether there has been a coded frame. Encoders send the headers of all tracks before.
    has_frames: bool,
    /// What the metadata announces.
    announced: Option<Tracks>,
    /// What viewers have been told.
    decided: Option<Tracks>,
    restarted: Option<Instant>,
    /// Which kind alone sends frames.
    solo: Option<Solo>,
    /// How often a kind of this publisher's has been given up.
    given_up: u32,
}

/// A track that has been seen.
#[derive(Debug, Clone, Copy)]
struct Known {
    track: u8,
    codec: Codec,
    /// Whether it was this publisher that sent it.
    is_here: bool,
}

/// One kind that has sent frames since then, while the other sent none.
#[derive(Debug, Clone, Copy)]
struct Solo {
    kind: PacketKind,
    since: Instant,
    last: Instant,
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
    pub(super) fn note_packet(&mut self, kind: PacketKind, now: Instant) {
        if kind != PacketKind::Data {
            self.first_packet.get_or_insert(now);
        }
    }

    /// Notes a coded frame, and whether those of its kind come alone.
    pub(super) fn note_frame(&mut self, kind: PacketKind, now: Instant) {
        self.has_frames = true;
        let since = match self.solo {
            Some(solo) if solo.kind == kind && now.saturating_duration_since(solo.last) < SOLO_GAP => {
                solo.since
            }
            _ => now,
        };
        self.solo = Some(Solo { kind, since, last: now });
    }

    /// The kind that has sent no frame for so long that viewers wait for it in vain, while the other went on.
    pub(super) fn fallen_silent(&self) -> Option<PacketKind> {
        let Some(Tracks { audio: true, video: true }) = self.decided else { return None };
        let patience = FELL_SILENT * (1 << self.given_up.min(MAX_DOUBLINGS));
        let solo = self.solo.filter(|solo| solo.last.saturating_duration_since(solo.since) >= patience)?;
        Some(if solo.kind == PacketKind::Audio { PacketKind::Video } else { PacketKind::Audio })
    }

    /// Forgets the tracks of a kind that has fallen silent. The stream must begin anew.
    pub(super) fn forget(&mut self, kind: PacketKind) {
        self.known.retain(|known| known.codec.kind() != kind);
        self.announced = None;
        self.given_up += 1;
    }

    /// Another publisher goes on, and is to send what the last one did.
    pub(super) fn change_publisher(&mut self) {
        self.known.iter_mut().for_each(|known| known.is_here = false);
        (self.first_packet, self.announced, self.solo) = (None, None, None);
        (self.has_frames, self.given_up) = (false, 0);
    }

    /// Whether this publisher sends less than the last one, whose tracks viewers wait for. The stream must begin anew.
    pub(super) fn is_missing_some(&self, now: Instant) -> bool {
        let is_overdue =
            |known: &Known| !known.is_here && self.waited(now) >= self.patience(known.codec.kind());
        let any_here = self.known.iter().any(|known| known.is_here);
        self.decided.is_some() && any_here && self.known.iter().any(is_overdue) && !self.is_too_soon(now)
    }

    /// How long a kind that the last publisher sent is waited for.
    fn patience(&self, kind: PacketKind) -> Duration {
        let is_announced = self.announced.is_none_or(|tracks| has(tracks, kind));
        if is_announced { MAX_RESUMING } else { UNANNOUNCED_WAIT }
    }

    /// The tracks that this publisher has sent.
    pub(super) fn tracks(&self) -> Vec<(PacketKind, u8)> {
        let here = self.known.iter().filter(|known| known.is_here);
        here.map(|known| (known.codec.kind(), known.track)).collect()
    }

    pub(super) fn announce(&mut self, tracks: Option<Tracks>) {
        self.announced = tracks;
    }

    pub(super) fn decided(&self) -> Option<Tracks> {
        self.decided
    }

    /// Whether there is this track, with this codec.
    pub(super) fn has(&self, track: u8, codec: Codec) -> bool {
        self.known.iter().any(|known| known.is_of(track, codec.kind()) && known.codec == codec)
    }

    /// Looks at the track of a packet. After [`Seen::Surprise`] the stream must begin anew.
    pub(super) fn see(&mut self, track: u8, codec: Codec, now: Instant) -> Seen {
        let kind = codec.kind();
        let (is_full, is_too_soon) = (self.known.len() >= MAX_TRACKS, self.is_too_soon(now));
        if let Some(known) =
            self.known.iter_mut().find(|known| known.is_of(track, kind) && known.codec == codec)
        {
            known.is_here = true;
            return Seen::Known;
        }
        let known = self.known.iter_mut().find(|known| known.is_of(track, kind));
        let is_new_kind = known.is_none() && !has(self.decided.unwrap_or_default(), kind);
        let is_surprise = self.decided.is_some() && (known.is_some() || is_new_kind);
        if is_surprise && is_too_soon {
            return Seen::Excess;
        }
        match known {
            Some(known) => (known.codec, known.is_here) = (codec, true),
            None if is_full => return Seen::Excess,
            None => self.known.push(Known { track, codec, is_here: true }),
        }
        if !is_surprise {
            return Seen::New;
        }
        self.begin_anew(now);
        Seen::Surprise
    }

    /// Whether the stream has begun anew so shortly ago that it may not do so again.
    pub(super) fn is_too_soon(&self, now: Instant) -> bool {
        self.restarted.is_some_and(|at| now.saturating_duration_since(at) < MIN_RESTART)
    }

    /// The stream begins anew; nobody has been told anything.
    pub(super) fn begin_anew(&mut self, now: Instant) {
        self.known.retain(|known| known.is_here);
        (self.decided, self.solo, self.restarted) = (None, None, Some(now));
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
        self.decided = (complete || self.has_waited(now)).then_some(seen);
        self.decided
    }

    /// Whether tracks that have not come by now are not waited for.
    fn has_waited(&self, now: Instant) -> bool {
        let is_video_due = self.announced.is_some_and(|tracks| tracks.video) && !self.seen().video;
        let wait = if is_video_due { VIDEO_WAIT } else { TRACK_WAIT };
        self.waited(now) >= wait
    }

    /// How long ago this publisher's first packet came.
    fn waited(&self, now: Instant) -> Duration {
        self.first_packet.map_or(Duration::ZERO, |first| now.saturating_duration_since(first))
    }

    fn seen(&self) -> Tracks {
        let has = |kind| self.known.iter().any(|known| known.is_here && known.codec.kind() == kind);
        Tracks { audio: has(PacketKind::Audio), video: has(PacketKind::Video) }
    }
}

impl Known {
    fn is_of(&self, track: u8, kind: PacketKind) -> bool {
        self.track == track && self.codec.kind() == kind
    }
}

fn has(tracks: Tracks, kind: PacketKind) -> bool {
    if kind == PacketKind::Audio { tracks.audio } else { tracks.video }
}
