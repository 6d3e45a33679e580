//! A publisher's end of a stream: packets in, bursts out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::headers::Change;
use super::live::{EndReason, LiveStream};
use super::registry::Registry;
use crate::flv::audio::{AudioContent, AudioTagHeader};
use crate::flv::metadata::DataMessage;
use crate::flv::tag::Tracks;
use crate::flv::video::{VideoContent, VideoTagHeader};
use crate::media::{Packet, PacketKind, Timestamp};

/// How long after the first packet a stream waits for the tracks that it announces.
const TRACK_WAIT: Duration = Duration::from_millis(300);

/// A burst that no video frame ends is sent this long after the merge window.
const QUIET_BURST: Duration = Duration::from_millis(60);

/// A burst ends when it has come to this many bytes: what a publisher floods must reach the window, where
/// it is bounded.
const MAX_BURST: usize = 1 << 20;

/// Longest sequence header or metadata message in bytes. They go to each viewer, and real ones take a few hundred.
pub(super) const MAX_HEADER: usize = 64 << 10;

/// The right and the duty to feed one stream. Dropping it without [`finish`](Self::finish) means that
/// the publisher was lost.
#[derive(Debug)]
pub(crate) struct Publication {
    registry: Arc<Registry>,
    live: Arc<LiveStream>,
    pending: Pending,
    first_packet: Option<Instant>,
    /// What the metadata announces.
    announced: Option<Tracks>,
    /// What has come.
    seen: Tracks,
    /// What viewers have been told.
    decided: Option<Tracks>,
    had_keyframe: bool,
    /// Whether a header that is too long has been complained of.
    complained: bool,
    /// Of the last coded frame.
    last_timestamp: Timestamp,
}

/// The burst in the making.
#[derive(Debug, Default)]
struct Pending {
    packets: Vec<Packet>,
    bytes: usize,
    /// Whether its first packet is a keyframe.
    keyframe: bool,
    /// Whether a video frame was added since the last tick.
    has_new_video: bool,
    first_arrived: Option<Instant>,
}

impl Publication {
    pub(super) fn new(registry: Arc<Registry>, live: Arc<LiveStream>) -> Self {
        Self {
            registry,
            live,
            pending: Pending::default(),
            first_packet: None,
            announced: None,
            seen: Tracks::default(),
            decided: None,
            had_keyframe: false,
            complained: false,
            last_timestamp: Timestamp(0),
        }
    }

    /// The stream that is being fed.
    pub(crate) fn live(&self) -> &Arc<LiveStream> {
        &self.live
    }

    /// Whether somebody takes the stream as it comes, or may be about to.
    pub(crate) fn is_awaited(&self, now: Instant) -> bool {
        self.decided.is_none() || self.live.is_awaited(now)
    }

    /// Takes the next packet. What cannot be read is dropped: a broken packet must not end a stream.
    pub(crate) fn push(&mut self, packet: Packet, now: Instant) {
        self.live.touch(packet.payload.len(), now);
        self.first_packet.get_or_insert(now);
        match packet.kind {
            PacketKind::Data => self.data(&packet, now),
            PacketKind::Audio => match AudioTagHeader::parse(&packet.payload).map(|head| head.content) {
                Some(AudioContent::SequenceHeader) => self.sequence_header(packet, now),
                Some(AudioContent::Frames) => self.frame(packet, false, now),
                Some(AudioContent::Other) | None => {}
            },
            PacketKind::Video => match VideoTagHeader::parse(&packet.payload) {
                Some(head) if head.is_sequence_header() => self.sequence_header(packet, now),
                Some(head) if matches!(head.content, VideoContent::Frames { .. }) => {
                    self.frame(packet, head.is_keyframe(), now);
                }
                Some(head) if head.content == VideoContent::Other => self.insert(packet, now),
                // The end of a sequence is not for viewers: the end of the response tells them.
                _ => {}
            },
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

    fn data(&mut self, packet: &Packet, now: Instant) {
        match DataMessage::parse(&packet.payload) {
            Some(DataMessage::Metadata(_)) if self.is_too_long(packet) => {}
            Some(DataMessage::Metadata(metadata)) => {
                self.announced = metadata.announced();
                let differs = self.live.store_metadata(metadata);
                if let Some(tracks) = self.decided.filter(|_| differs) {
                    let payload = self.live.metadata_tag(tracks);
                    self.insert(Packet { payload, ..*packet }, now);
                }
            }
            Some(DataMessage::Other(body)) => self.insert(Packet { payload: body.to_vec(), ..*packet }, now),
            Some(DataMessage::Ignored) | None => {}
        }
    }

    fn is_too_long(&mut self, packet: &Packet) -> bool {
        let too_long = packet.payload.len() > MAX_HEADER;
        if too_long && !std::mem::replace(&mut self.complained, true) {
            let (name, length) = (&self.live.name, packet.payload.len());
            log::warn!("stream {name}: dropped a header of {length} bytes; the limit is {MAX_HEADER}");
        }
        too_long
    }

    fn sequence_header(&mut self, packet: Packet, now: Instant) {
        if self.is_too_long(&packet) {
            return;
        }
        self.see(packet.kind, now);
        match self.live.store_header(packet.kind, &packet.payload) {
            // Before the stream can be joined, everybody gets it from the header cache.
            Change::First if self.decided.is_some() => self.insert(packet, now),
            Change::Replaced => {
                self.flush(now);
                self.live.drop_gop();
                self.insert(packet, now);
            }
            Change::First | Change::Same => {}
        }
    }

    /// A packet that is no coded frame goes along with the frames, at their time: its own is often 0, and
    /// players must not see time go back.
    fn insert(&mut self, packet: Packet, now: Instant) {
        let timestamp = self.last_timestamp;
        self.add(Packet { timestamp, ..packet }, now);
    }

    fn frame(&mut self, packet: Packet, keyframe: bool, now: Instant) {
        self.see(packet.kind, now);
        let video = packet.kind == PacketKind::Video;
        if keyframe {
            self.flush(now);
            self.had_keyframe = true;
        } else if video && !self.had_keyframe {
            return;
        }
        self.last_timestamp = packet.timestamp;
        self.pending.keyframe |= keyframe;
        self.add(packet, now);
        self.pending.has_new_video |= video;
    }

    fn add(&mut self, packet: Packet, now: Instant) {
        if self.pending.bytes >= MAX_BURST {
            self.flush(now);
        }
        self.pending.first_arrived.get_or_insert(now);
        self.pending.bytes += packet.payload.len();
        self.pending.packets.push(packet);
    }

    fn flush(&mut self, now: Instant) {
        let pending = std::mem::take(&mut self.pending);
        if !pending.packets.is_empty() {
            self.live.push(pending.keyframe, now, &pending.packets);
            self.registry.keep_to_budget();
        }
    }

    /// Notes that a track is there. If viewers have been told that it is not, they get a new stream with a true
    /// header: no player can add a track to what it plays.
    fn see(&mut self, kind: PacketKind, now: Instant) {
        match kind {
            PacketKind::Audio => self.seen.audio = true,
            PacketKind::Video => self.seen.video = true,
            PacketKind::Data => {}
        }
        if self.decided.is_some_and(|decided| decided != self.seen) {
            self.flush(now);
            let next = self.registry.restart(&self.live, now);
            log::info!("stream {}: a track turned up late; viewers are asked to reconnect", self.live.name);
            self.live = next;
            self.had_keyframe = false;
            self.decided = None;
            self.first_packet = Some(now);
        }
    }

    /// Makes the stream joinable once the tracks that it announces have come, or have been waited for.
    fn decide_tracks(&mut self, now: Instant) {
        if self.decided.is_some() || self.seen == Tracks::default() {
            return;
        }
        let Tracks { audio, video } = self.announced.unwrap_or(Tracks { audio: true, video: true });
        let complete = self.seen.audio >= audio && self.seen.video >= video;
        let waited = self.first_packet.is_some_and(|first| now.saturating_duration_since(first) >= TRACK_WAIT);
        if complete || waited {
            self.decided = Some(self.seen);
            self.live.set_tracks(self.seen);
            self.registry.announce(&self.live);
        }
    }
}

impl Drop for Publication {
    fn drop(&mut self) {
        self.end(EndReason::PublisherLost);
    }
}

impl Pending {
    fn age(&self, now: Instant) -> Duration {
        self.first_arrived.map_or(Duration::ZERO, |first| now.saturating_duration_since(first))
    }
}
