//! A publisher without a socket, and what comes out of its stream.

mod anew;
mod bursts;
mod held;
mod join;
mod life;
mod resume;
mod start;
mod still;
mod strays;
mod together;
mod unplayable;
mod variants;
mod vitals;
mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::burst::Burst;
use super::cursor::{Ahead, Cursor, Start};
use super::event::{EndReason, Outlet, StreamEvent};
use super::headers::{MAX_HEADER, NotThere, Wanted};
use super::live::LiveStream;
use super::publication::Publication;
use super::registry::{PublishError, Registry};
use super::watching::{Protocol, ViewerCounts, Watching};
use super::{StreamSettings, Subscription};
use crate::amf0::{self, Object, Value};
use crate::flv::tag::{FILE_HEADER_LENGTH, split_tag};
use crate::flv::variant::{Form, Variant};
use crate::media::PacketKind::{self, Audio, Data, Video};
use crate::media::{Packet, StreamName, Timestamp};

const VIDEO_HEADER: &[u8] = &[0x17, 0, 0, 0, 0, 1, 2, 3];
const AUDIO_HEADER: &[u8] = &[0xAF, 0, 0x12, 0x10];

const RESUME: Duration = Duration::from_secs(10);

fn settings() -> StreamSettings {
    StreamSettings {
        merge: Duration::ZERO,
        gop_bytes: 16 << 20,
        gop_time: Duration::from_secs(12),
        lag_bytes: 8 << 20,
        lag_time: Duration::from_secs(8),
        resume: RESUME,
        held: 1000,
        total_bytes: 256 << 20,
    }
}

fn name() -> StreamName {
    StreamName::new("live", "cam1").unwrap()
}

/// Kind, time and body of a tag.
type Tag = (PacketKind, u32, Vec<u8>);

/// A publisher with a clock of its own: one millisecond of arrival for each of media time.
struct Encoder {
    registry: Arc<Registry>,
    publication: Publication,
    start: Instant,
    time: u32,
}

impl Encoder {
    fn new(settings: StreamSettings) -> Self {
        let registry = Registry::new(settings);
        // Old enough that the window no longer waits for those who are about to join.
        let start = Instant::now();
        let publication = registry.publish(&name(), "test", start).unwrap();
        Self { registry, publication, start, time: 0 }
    }

    /// Announces both tracks and sends both sequence headers.
    fn with_both_tracks(settings: StreamSettings) -> Self {
        let mut encoder = Self::new(settings);
        encoder.metadata(&["audiocodecid", "videocodecid"]);
        encoder.send(Video, VIDEO_HEADER);
        encoder.send(Audio, AUDIO_HEADER);
        encoder
    }

    /// One who wants everything as it came in.
    fn cursor(&self, start: Start) -> Cursor {
        let wanted = Wanted { form: Form::Raw, ..Wanted::default() };
        Cursor::new(start, self.live().variant(wanted).unwrap_or(Variant::RAW))
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(u64::from(self.time))
    }

    fn send(&mut self, kind: PacketKind, payload: &[u8]) {
        self.send_with_more(kind, payload);
        self.publication.tick(self.now());
    }

    /// As if more were received with it.
    fn send_with_more(&mut self, kind: PacketKind, payload: &[u8]) {
        let packet = Packet { kind, timestamp: Timestamp(self.time), payload: payload.to_vec() };
        let now = self.now();
        self.publication.push(packet, now);
    }

    fn metadata(&mut self, keys: &[&str]) {
        let mut payload = Vec::new();
        amf0::encode(&Value::from("onMetaData"), &mut payload);
        let values: Object = keys.iter().map(|key| (*key, Value::Number(7.0))).collect();
        amf0::encode(&Value::EcmaArray(values), &mut payload);
        self.send(Data, &payload);
    }

    fn video(&mut self, keyframe: bool, length: usize) {
        let first = if keyframe { 0x17 } else { 0x27 };
        let payload: Vec<u8> = [first, 1, 0, 0, 0].into_iter().chain(std::iter::repeat_n(9, length)).collect();
        self.send(Video, &payload);
    }

    fn audio(&mut self) {
        self.send(Audio, &[0xAF, 1, 5, 5]);
    }

    /// A group of pictures at 25 frames a second; time then stands at its end.
    fn gop(&mut self, frames: u32, length: usize) {
        for frame in 0..frames {
            self.video(frame == 0, length);
            self.time += 40;
        }
    }

    fn live(&self) -> Arc<LiveStream> {
        Arc::clone(self.publication.live())
    }

    fn peek(&self, cursor: &mut Cursor) -> Vec<Arc<Burst>> {
        let mut bursts = Vec::new();
        self.live().peek(cursor, &mut bursts, usize::MAX, self.now());
        bursts
    }

    /// What one gets who joins now and asks for this: kinds, times and bodies behind the metadata.
    fn joined(&self, wanted: Wanted) -> Result<Vec<Tag>, NotThere> {
        let variant = self.live().variant(wanted)?;
        let bursts = self.peek(&mut Cursor::new(Start::Gop, variant));
        let flv = bursts.iter().map(|burst| burst.plain(&variant)).collect::<Vec<_>>().concat();
        let mut rest = &flv[FILE_HEADER_LENGTH..];
        let mut tags = Vec::new();
        while let Some((kind, timestamp, body, behind)) = split_tag(rest) {
            tags.push((kind, timestamp.0, body.to_vec()));
            rest = behind;
        }
        assert!(rest.is_empty() && tags[0].0 == Data);
        Ok(tags.split_off(1))
    }

    /// Everything in front of `cursor`, taken.
    fn take(&self, cursor: &mut Cursor) -> Vec<Arc<Burst>> {
        let bursts = self.peek(cursor);
        bursts.iter().for_each(|_| cursor.advance());
        bursts
    }
}

/// Kinds, times and first bytes of the tags of a burst: enough to tell them apart.
fn tags(burst: &Burst) -> Vec<(PacketKind, u32, u8)> {
    let mut tags = Vec::new();
    let mut rest = burst.tags();
    while let Some((kind, timestamp, body, behind)) = split_tag(rest) {
        tags.push((kind, timestamp.0, body[0]));
        rest = behind;
    }
    assert!(rest.is_empty(), "a burst holds whole tags");
    tags
}

fn all_tags(bursts: &[Arc<Burst>]) -> Vec<(PacketKind, u32, u8)> {
    bursts.iter().flat_map(|burst| tags(burst)).collect()
}

/// What a burst of one video frame of this length costs.
fn cost_of_a_frame(length: usize) -> usize {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.gop(1, length);
    encoder.take(&mut encoder.cursor(Start::Gop))[1].cost()
}

/// Counts events, as a worker's channel would take them.
#[derive(Debug, Default)]
struct Counter(AtomicUsize);

impl Outlet for Counter {
    fn notify(&self, event: StreamEvent) {
        if matches!(event, StreamEvent::Burst(..)) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}
