//! A publisher's end of a stream: packets in, bursts out.

mod anew;
mod keyed;
mod pending;
mod progress;
mod tracks;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::keyed::Keyed;
use self::pending::{Early, Pending};
pub(super) use self::progress::Progress;
use super::burst::Opening;
use super::event::EndReason;
use super::headers::{Change, Codec, MAX_HEADER, MAX_TRACKS, Role, Wanted};
use super::live::LiveStream;
use super::registry::{Held, Registry};
use crate::deadline::after;
use crate::flv::audio::{AudioContent, AudioTagHeader};
use crate::flv::metadata::DataMessage;
use crate::flv::split_tracks;
use crate::flv::tag::MAX_TAG_BODY;
use crate::flv::video::{VideoContent, VideoTagHeader};
use crate::media::{Packet, PacketKind};

/// A burst that no video frame ends is sent this long after the merge window.
const QUIET_BURST: Duration = Duration::from_millis(60);

/// A burst ends when it has come to this many bytes: what a publisher floods must reach the window, where
/// it is bounded.
const MAX_BURST: usize = 1 << 20;

/// Tells publications apart: of one stream, too, which may go on with another publisher.
pub(crate) type PublicationId = u64;

/// Longest payload: what fits into a tag, and a little less, for it may have a longer head in another form.
const MAX_PAYLOAD: usize = MAX_TAG_BODY - 16;

/// The right and the duty to feed one stream. Dropping it without [`finish`](Self::finish) means that
/// the publisher was lost.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) id: PublicationId,
    registry: Arc<Registry>,
    live: Arc<LiveStream>,
    pending: Pending,
    early: Early,
    progress: Progress,
    /// Whether a publisher that has come back has yet to send what decoding can begin with.
    is_resuming: bool,
    keyed: Keyed,
    /// For how long there had been none.
    resumed_after: Option<Duration>,
    /// What this publisher has sent, in bytes of payload, and since when it feeds the stream.
    bytes: u64,
    began: Instant,
    is_over: bool,
}

impl Publication {
    /// Of a new stream.
    pub(super) fn new(id: PublicationId, registry: Arc<Registry>, live: Arc<LiveStream>, now: Instant) -> Self {
        Self {
            id,
            registry,
            live,
            pending: Pending::default(),
            early: Early::default(),
            progress: Progress::default(),
            resumed_after: None,
            is_resuming: false,
            keyed: Keyed::default(),
            bytes: 0,
            began: now,
            is_over: false,
        }
    }

    /// Of a stream whose last publisher was lost.
    pub(super) fn resume(
        id: PublicationId,
        registry: Arc<Registry>,
        live: Arc<LiveStream>,
        held: Held,
        publisher: &str,
        now: Instant,
    ) -> Self {
        let gap = live.publisher.resume(publisher, id, now);
        let mut publication = Self::new(id, registry, live, now);
        publication.progress = held.progress.resumed(held.until);
        (publication.resumed_after, publication.is_resuming) = (Some(gap), true);
        publication
    }

    /// For how long there was no publisher before this one, if it goes on with what another began.
    pub(crate) fn resumed_after(&self) -> Option<Duration> {
        self.resumed_after
    }

    /// Bytes of payload that this publisher has sent, and for how long it has fed the stream.
    pub(crate) fn share(&self, now: Instant) -> (u64, Duration) {
        (self.bytes, now.saturating_duration_since(self.began))
    }

    /// Whether another publisher waits for this one to let go of the stream.
    pub(crate) fn is_displaced(&self) -> bool {
        self.live.publisher.is_displaced(self.id)
    }

    /// The stream that is being fed.
    pub(crate) fn live(&self) -> &Arc<LiveStream> {
        &self.live
    }

    /// Whether somebody takes the stream as it comes, or may be about to.
    pub(crate) fn is_awaited(&self, now: Instant) -> bool {
        self.progress.tracks.decided().is_none() || self.live.is_awaited(now)
    }

    /// Takes the next packet. What cannot be read is dropped: a broken packet must not end a stream.
    pub(crate) fn push(&mut self, packet: Packet, now: Instant) {
        self.live.touch(packet.payload.len(), now);
        self.registry.note_received(packet.payload.len());
        self.bytes += packet.payload.len() as u64;
        self.progress.tracks.note_packet(packet.kind, now);
        self.progress.vitals.note_packet(packet.payload.len(), now);
        if self.is_longer(&packet, MAX_PAYLOAD, "packet") {
            return;
        }
        if let Some(parts) = split_tracks(packet.kind, &packet.payload) {
            // One of them too many costs the others nothing.
            parts.take(MAX_TRACKS).for_each(|payload| self.take(Packet { payload, ..packet }, now));
        } else {
            self.take(packet, now);
        }
        self.decide_tracks(now);
    }

    /// Ends the burst if that is due; to be called when all that has been received was pushed, and at least every
    /// 100 ms. Frames that came together go out together: a publisher that floods must not cost a write for each.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.decide_tracks(now);
        self.give_up_missing_tracks(now);
        self.give_up_resuming(now);
        self.progress.vitals.look(&self.live.name, &self.live.vitals, now);
        let (merge, age) = (self.registry.settings().merge, self.pending.age(now));
        let has_new_video = std::mem::take(&mut self.pending.has_new_video);
        if (has_new_video && age >= merge) || age >= merge.saturating_add(QUIET_BURST) {
            self.flush(now);
        }
    }

    /// Ends the publication, and the stream with it, unless its publisher was lost or replaced: then the stream is held for
    /// the next one. Returns for how long.
    pub(crate) fn finish(mut self, reason: EndReason, now: Instant) -> Option<Duration> {
        self.end(reason, now)
    }

    fn end(&mut self, reason: EndReason, now: Instant) -> Option<Duration> {
        // What a panic has left may be broken, and is not to be gone on with.
        let held = if std::thread::panicking() { None } else { self.hand_over(reason, now) };
        if held.is_none() {
            self.registry.end(&self.live, reason);
        }
        // Not before: should something of this panic, the name is freed all the same.
        self.is_over = true;
        held
    }

    /// Keeps the stream for the next publisher, if it is to have one.
    fn hand_over(&mut self, reason: EndReason, now: Instant) -> Option<Duration> {
        self.flush(now);
        self.progress.vitals.show(&self.live.vitals);
        // The goodbye of one who has come back and has sent no frame is nobody's end: viewers still wait for the one before.
        let is_lost = match reason {
            EndReason::PublisherLost | EndReason::Replaced => true,
            EndReason::Unpublished => self.is_resuming,
            _ => false,
        };
        if !is_lost || self.progress.tracks.decided().is_none() {
            return None;
        }
        let until = self.progress.held_until.unwrap_or_else(|| after(now, self.registry.settings().resume));
        let held = Held { progress: std::mem::take(&mut self.progress), until };
        let is_held = until > now && self.registry.hold(&self.live, self.id, held, now);
        is_held.then(|| until - now)
    }

    /// Takes a packet of one track, or of data.
    fn take(&mut self, packet: Packet, now: Instant) {
        match packet.kind {
            PacketKind::Data => self.data(&packet, now),
            PacketKind::Audio => {
                if let Some(head) = AudioTagHeader::parse(&packet.payload) {
                    self.audio(packet, &head, now);
                }
            }
            PacketKind::Video => {
                if let Some(head) = VideoTagHeader::parse(&packet.payload) {
                    self.video(packet, &head, now);
                }
            }
        }
    }

    fn audio(&mut self, packet: Packet, head: &AudioTagHeader, now: Instant) {
        let (codec, role) = (Codec::Audio(head.codec.canonical()), audio_role(head.content));
        if head.content == AudioContent::Other || !self.takes(&packet, head.track, codec, role, now) {
            return;
        }
        match role {
            Some(role) => self.header(packet, head.track, role, now),
            None => self.frame(packet, head.track, Opening::Other, now),
        }
    }

    fn video(&mut self, packet: Packet, head: &VideoTagHeader, now: Instant) {
        // The end of a sequence is not for viewers: the end of the response tells them.
        let is_for_viewers = !matches!(head.content, VideoContent::EndOfSequence | VideoContent::Empty);
        let (codec, role) = (Codec::Video(head.codec.canonical()), video_role(head.content));
        if !is_for_viewers || !self.takes(&packet, head.track, codec, role, now) {
            return;
        }
        if let Some(role) = role {
            return self.header(packet, head.track, role, now);
        }
        let opening = if head.is_keyframe() { Opening::Keyframe(head.track) } else { Opening::Other };
        self.frame(packet, head.track, opening, now);
    }

    fn data(&mut self, packet: &Packet, now: Instant) {
        match DataMessage::parse(&packet.payload) {
            Some(DataMessage::Metadata(_)) if self.is_longer(packet, MAX_HEADER, "header") => {}
            Some(DataMessage::Metadata(metadata)) => {
                self.progress.tracks.announce(metadata.announced());
                self.progress.vitals.announce(metadata.announced());
                let differs = self.live.store_metadata(metadata);
                if let Some(tracks) = self.progress.tracks.decided().filter(|_| differs) {
                    let payload = self.live.metadata_tag(tracks);
                    self.insert(Packet { payload, ..*packet }, 0, now);
                }
            }
            Some(DataMessage::Other(body)) => self.insert(Packet { payload: body.to_vec(), ..*packet }, 0, now),
            Some(DataMessage::Ignored) | None => {}
        }
    }

    /// Whether a packet is too long to be taken, which is said then.
    fn is_longer(&mut self, packet: &Packet, limit: usize, what: &str) -> bool {
        let (name, length) = (&self.live.name, packet.payload.len());
        if length > limit {
            self.progress.complaints.say(|more| {
                log::warn!("stream {name}: dropped a {what} of {length} bytes; the limit is {limit}{more}");
            });
        }
        length > limit
    }

    fn header(&mut self, packet: Packet, track: u8, role: Role, now: Instant) {
        if self.is_longer(&packet, MAX_HEADER, "header") || !self.can_take_header(&packet, track, role, now) {
            return;
        }
        match self.live.store_header(packet.kind, track, role, &packet.payload) {
            // Before the stream can be joined, everybody gets it from the header cache.
            Change::First if self.progress.tracks.decided().is_some() => self.insert(packet, track, now),
            Change::Replaced if role == Role::Sequence => {
                self.flush(now);
                self.live.drop_gop(packet.kind, track);
                self.insert(packet, track, now);
            }
            Change::Replaced => self.insert(packet, track, now),
            Change::First | Change::Same => {}
        }
    }

    /// A packet that is no coded frame goes along with the frames of its track, at their time: its own is often 0, and
    /// players must not see time go back. Before the first frame it waits for that.
    fn insert(&mut self, packet: Packet, track: u8, now: Instant) {
        match self.progress.time_of_last(packet.kind, track) {
            Some(timestamp) => self.add(Packet { timestamp, ..packet }, now),
            None => self.early.put(packet),
        }
    }

    fn frame(&mut self, packet: Packet, track: u8, opening: Opening, now: Instant) {
        self.progress.tracks.note_frame(packet.kind, now);
        let video = packet.kind == PacketKind::Video;
        let keyframe = opening != Opening::Other;
        let begins = keyframe || self.progress.tracks.decided().is_some_and(|tracks| !tracks.video);
        if self.progress.timeline.is_full(begins) {
            self.begin_anew(EndReason::TimestampsUsedUp, now);
            self.progress.start_again();
        }
        if begins || !video {
            self.give_up_silent_track(now);
        }
        if keyframe {
            self.keyed.insert(track);
        } else if (video && !self.keyed.contains(track)) || (self.is_resuming && !begins) {
            self.progress.vitals.note_frame(&packet, track, false, None, now);
            return;
        }
        self.is_resuming = false;
        self.progress.held_until = None;
        let timestamp = self.progress.place(&packet, track, keyframe, &self.live.name, now);
        self.early.take().into_iter().for_each(|packet| self.add(Packet { timestamp, ..packet }, now));
        if keyframe {
            self.flush(now);
            self.pending.opening = opening;
        }
        self.add(Packet { timestamp, ..packet }, now);
        self.pending.has_new_video |= video;
    }

    fn add(&mut self, packet: Packet, now: Instant) {
        if self.pending.bytes >= MAX_BURST {
            self.flush(now);
        }
        self.pending.add(packet, now);
    }

    fn flush(&mut self, now: Instant) {
        let pending = std::mem::take(&mut self.pending);
        if !pending.packets.is_empty() {
            self.live.push(pending.opening, now, &pending.packets);
            self.registry.keep_to_budget();
        }
    }

    /// Makes the stream joinable once its tracks are known.
    fn decide_tracks(&mut self, now: Instant) {
        let Some(tracks) = self.progress.tracks.decide(now) else { return };
        let (name, left_out) = (&self.live.name, self.live.left_out(Wanted::default()));
        if !left_out.is_empty() {
            let codecs = left_out.join(" and ");
            log::warn!("stream {name}: browsers cannot play {codecs}; only ?enhanced=raw has it");
        }
        self.live.set_tracks(tracks);
        self.registry.announce(&self.live);
    }
}

/// What a header is for; `None` for frames.
fn audio_role(content: AudioContent) -> Option<Role> {
    match content {
        AudioContent::SequenceHeader => Some(Role::Sequence),
        AudioContent::ChannelLayout => Some(Role::Description),
        _ => None,
    }
}

fn video_role(content: VideoContent) -> Option<Role> {
    match content {
        VideoContent::SequenceHeader => Some(Role::Sequence),
        VideoContent::Frames { .. } => None,
        _ => Some(Role::Description),
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        if !self.is_over {
            self.end(EndReason::PublisherLost, Instant::now());
        }
    }
}
