//! A publisher's end of a stream: packets in, bursts out.

mod pending;
mod tracks;

use std::sync::Arc;
use std::time::{Duration, Instant};

use self::pending::Pending;
use self::tracks::{Seen, TrackList};
use super::burst::Opening;
use super::headers::{Change, Codec, MAX_HEADER, Role, Wanted};
use super::live::{EndReason, LiveStream};
use super::registry::Registry;
use super::timeline::Timeline;
use crate::flv::audio::{AudioContent, AudioTagHeader};
use crate::flv::metadata::DataMessage;
use crate::flv::video::{VideoContent, VideoTagHeader};
use crate::media::{Packet, PacketKind, Timestamp};
use crate::occasional::Occasional;

/// A burst that no video frame ends is sent this long after the merge window.
const QUIET_BURST: Duration = Duration::from_millis(60);

/// A burst ends when it has come to this many bytes: what a publisher floods must reach the window, where
/// it is bounded.
const MAX_BURST: usize = 1 << 20;

/// The right and the duty to feed one stream. Dropping it without [`finish`](Self::finish) means that
/// the publisher was lost.
#[derive(Debug)]
pub(crate) struct Publication {
    registry: Arc<Registry>,
    live: Arc<LiveStream>,
    pending: Pending,
    tracks: TrackList,
    timeline: Timeline,
    had_keyframe: bool,
    /// When the last coded frame was, of each kind and of all.
    last_audio: Timestamp,
    last_video: Timestamp,
    last: Timestamp,
    complaints: Occasional,
}

impl Publication {
    pub(super) fn new(registry: Arc<Registry>, live: Arc<LiveStream>) -> Self {
        Self {
            registry,
            live,
            pending: Pending::default(),
            tracks: TrackList::default(),
            timeline: Timeline::default(),
            had_keyframe: false,
            last_audio: Timestamp(0),
            last_video: Timestamp(0),
            last: Timestamp(0),
            complaints: Occasional::default(),
        }
    }

    /// The stream that is being fed.
    pub(crate) fn live(&self) -> &Arc<LiveStream> {
        &self.live
    }

    /// Whether somebody takes the stream as it comes, or may be about to.
    pub(crate) fn is_awaited(&self, now: Instant) -> bool {
        self.tracks.decided().is_none() || self.live.is_awaited(now)
    }

    /// Takes the next packet. What cannot be read is dropped: a broken packet must not end a stream.
    pub(crate) fn push(&mut self, packet: Packet, now: Instant) {
        self.live.touch(packet.payload.len(), now);
        self.tracks.note_packet(now);
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
        self.decide_tracks(now);
    }

    /// Ends the burst if that is due; to be called when all that has been received was pushed, and at least every
    /// 100 ms. Frames that came together go out together: a publisher that floods must not cost a write for each.
    pub(crate) fn tick(&mut self, now: Instant) {
        self.decide_tracks(now);
        let (merge, age) = (self.registry.settings().merge, self.pending.age(now));
        let has_new_video = std::mem::take(&mut self.pending.has_new_video);
        if (has_new_video && age >= merge) || age >= merge + QUIET_BURST {
            self.flush(now);
        }
    }

    /// Ends the stream.
    pub(crate) fn finish(mut self, reason: EndReason) {
        self.end(reason);
    }

    fn end(&mut self, reason: EndReason) {
        self.flush(Instant::now());
        self.registry.end(&self.live, reason);
    }

    fn audio(&mut self, packet: Packet, head: &AudioTagHeader, now: Instant) {
        if head.content == AudioContent::Other
            || !self.see(head.track, Codec::Audio(head.codec.canonical()), now)
        {
            return;
        }
        match head.content {
            AudioContent::SequenceHeader => self.header(packet, head.track, Role::Sequence, now),
            AudioContent::ChannelLayout => self.header(packet, head.track, Role::Description, now),
            _ => self.frame(packet, head.track, Opening::Other, now),
        }
    }

    fn video(&mut self, packet: Packet, head: &VideoTagHeader, now: Instant) {
        // The end of a sequence is not for viewers: the end of the response tells them.
        if head.content == VideoContent::EndOfSequence
            || !self.see(head.track, Codec::Video(head.codec.canonical()), now)
        {
            return;
        }
        match head.content {
            VideoContent::SequenceHeader => self.header(packet, head.track, Role::Sequence, now),
            VideoContent::Frames { .. } => {
                let opening = match head.is_keyframe() {
                    true if head.many_tracks => Opening::Keyframes,
                    true => Opening::Keyframe(head.track),
                    false => Opening::Other,
                };
                self.frame(packet, head.track, opening, now);
            }
            _ => self.header(packet, head.track, Role::Description, now),
        }
    }

    fn data(&mut self, packet: &Packet, now: Instant) {
        match DataMessage::parse(&packet.payload) {
            Some(DataMessage::Metadata(_)) if self.is_too_long(packet) => {}
            Some(DataMessage::Metadata(metadata)) => {
                self.tracks.announce(metadata.announced());
                let differs = self.live.store_metadata(metadata);
                if let Some(tracks) = self.tracks.decided().filter(|_| differs) {
                    let payload = self.live.metadata_tag(tracks);
                    self.insert(Packet { payload, ..*packet }, now);
                }
            }
            Some(DataMessage::Other(body)) => self.insert(Packet { payload: body.to_vec(), ..*packet }, now),
            Some(DataMessage::Ignored) | None => {}
        }
    }

    fn is_too_long(&mut self, packet: &Packet) -> bool {
        let (name, length) = (&self.live.name, packet.payload.len());
        if length > MAX_HEADER {
            self.complaints.say(|more| {
                log::warn!(
                    "stream {name}: dropped a header of {length} bytes; the limit is {MAX_HEADER}{more}"
                );
            });
        }
        length > MAX_HEADER
    }

    fn header(&mut self, packet: Packet, track: u8, role: Role, now: Instant) {
        if self.is_too_long(&packet) {
            return;
        }
        match self.live.store_header(packet.kind, track, role, &packet.payload) {
            // Before the stream can be joined, everybody gets it from the header cache.
            Change::First if self.tracks.decided().is_some() => self.insert(packet, now),
            Change::Replaced if role == Role::Sequence => {
                self.flush(now);
                self.live.drop_gop();
                self.insert(packet, now);
            }
            Change::Replaced => self.insert(packet, now),
            Change::First | Change::Same => {}
        }
    }

    /// A packet that is no coded frame goes along with the frames, at their time: its own is often 0, and
    /// players must not see time go back.
    fn insert(&mut self, packet: Packet, now: Instant) {
        let timestamp = match packet.kind {
            PacketKind::Audio => self.last_audio,
            PacketKind::Video => self.last_video,
            PacketKind::Data => self.last,
        };
        self.add(Packet { timestamp, ..packet }, now);
    }

    fn frame(&mut self, packet: Packet, track: u8, opening: Opening, now: Instant) {
        self.tracks.note_frame();
        let video = packet.kind == PacketKind::Video;
        let keyframe = opening != Opening::Other;
        let begins = keyframe || self.tracks.decided().is_some_and(|tracks| !tracks.video);
        if self.timeline.is_full(begins) {
            self.begin_anew(EndReason::TimestampsUsedUp, now);
            self.timeline.start_again();
        }
        if keyframe {
            self.flush(now);
            self.had_keyframe = true;
        } else if video && !self.had_keyframe {
            return;
        }
        let timestamp = self.place(&packet, track, now);
        if keyframe {
            self.pending.opening = opening;
        }
        self.add(Packet { timestamp, ..packet }, now);
        self.pending.has_new_video |= video;
    }

    /// Puts a coded frame in its place on the timeline.
    fn place(&mut self, packet: &Packet, track: u8, now: Instant) -> Timestamp {
        let place = self.timeline.place(packet.kind, track, packet.timestamp, now);
        if let Some(jump) = place.jump {
            let name = &self.live.name;
            self.complaints.say(|more| {
                log::warn!(
                    "stream {name}: the publisher's clock jumped by {jump} ms; viewers see no jump{more}"
                );
            });
        }
        match packet.kind {
            PacketKind::Audio => self.last_audio = place.timestamp,
            _ => self.last_video = place.timestamp,
        }
        self.last = place.timestamp;
        place.timestamp
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

    /// Notes a packet's track; returns whether the packet is to be taken. If viewers have been told otherwise, they
    /// get a new stream with a true header.
    fn see(&mut self, track: u8, codec: Codec, now: Instant) -> bool {
        match self.tracks.see(track, codec, now) {
            Seen::Known => return true,
            Seen::New => {}
            Seen::Surprise => {
                let (name, codec) = (&self.live.name, codec.name());
                log::info!("stream {name}: {codec} turned up late; viewers are asked to reconnect");
                self.begin_anew(EndReason::TracksChanged, now);
            }
            Seen::Excess => {
                let (name, codec) = (&self.live.name, codec.name());
                self.complaints.say(|more| {
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

    fn begin_anew(&mut self, reason: EndReason, now: Instant) {
        self.flush(now);
        self.live = self.registry.restart(&self.live, reason, now);
        self.had_keyframe = false;
        self.tracks.begin_anew(now);
    }

    /// Makes the stream joinable once its tracks are known.
    fn decide_tracks(&mut self, now: Instant) {
        let Some(tracks) = self.tracks.decide(now) else { return };
        let (name, left_out) = (&self.live.name, self.live.left_out(Wanted::default()));
        if !left_out.is_empty() {
            let codecs = left_out.join(" and ");
            log::warn!("stream {name}: browsers cannot play {codecs}; only ?enhanced=raw has it");
        }
        self.live.set_tracks(tracks);
        self.registry.announce(&self.live);
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        self.end(EndReason::PublisherLost);
    }
}
