use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::burst::{Burst, Framing};
use super::cursor::{Ahead, Cursor, Start};
use super::live::{EndReason, LiveStream, Outlet, StreamEvent};
use super::publication::{MAX_HEADER, Publication};
use super::registry::{PublishError, Registry};
use super::{StreamSettings, Subscription};
use crate::amf0::{self, Object, Value};
use crate::flv::tag::{FILE_HEADER_LENGTH, split_tag};
use crate::media::PacketKind::{self, Audio, Data, Video};
use crate::media::{Packet, StreamName, Timestamp};

const VIDEO_HEADER: &[u8] = &[0x17, 0, 0, 0, 0, 1, 2, 3];
const AUDIO_HEADER: &[u8] = &[0xAF, 0, 0x12, 0x10];

fn settings() -> StreamSettings {
    StreamSettings {
        merge: Duration::ZERO,
        gop_bytes: 16 << 20,
        gop_time: Duration::from_secs(12),
        lag_bytes: 8 << 20,
        lag_time: Duration::from_secs(8),
        total_bytes: 256 << 20,
    }
}

fn name() -> StreamName {
    StreamName::new("live", "cam1").unwrap()
}

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
        self.registry.joinable(&name()).expect("the stream is ready")
    }

    fn peek(&self, cursor: &mut Cursor) -> Vec<Arc<Burst>> {
        let mut bursts = Vec::new();
        self.live().peek(cursor, &mut bursts, usize::MAX, self.now());
        bursts
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
    encoder.take(&mut Cursor::new(Start::Gop))[1].cost()
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

#[test]
fn a_join_in_mid_gop_gets_header_metadata_sequence_headers_and_the_gop() {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.gop(10, 10);
    encoder.gop(3, 10);
    encoder.audio();
    encoder.video(false, 10);
    let bursts = encoder.take(&mut Cursor::new(Start::Gop));
    assert_eq!(&bursts[0].framed(Framing::Plain)[..FILE_HEADER_LENGTH], b"FLV\x01\x05\0\0\0\x09\0\0\0\0");
    let prefix = [(Data, 400, 2), (Video, 400, 0x17), (Audio, 400, 0xAF)];
    assert_eq!(tags(&bursts[0]), prefix, "stamped with the time of the first frame");
    let frames =
        [(Video, 400, 0x17), (Video, 440, 0x27), (Video, 480, 0x27), (Audio, 520, 0xAF), (Video, 520, 0x27)];
    assert_eq!(all_tags(&bursts[1..]), frames);
    // Those who join at the same place share the prefix.
    let again = encoder.peek(&mut Cursor::new(Start::Gop));
    assert!(Arc::ptr_eq(&bursts[0], &again[0]));
}

#[test]
fn a_join_loses_nothing_and_doubles_nothing_wherever_it_falls() {
    for join_after in 0..60 {
        let mut encoder = Encoder::with_both_tracks(settings());
        let mut cursor = Cursor::new(Start::Gop);
        let mut got = Vec::new();
        for frame in 0..75 {
            encoder.video(frame % 25 == 0, 10);
            encoder.time += 20;
            encoder.audio();
            encoder.time += 20;
            if frame >= join_after {
                got.extend(all_tags(&encoder.take(&mut cursor)));
            }
        }
        let frames: Vec<_> = got[3..].iter().filter(|tag| tag.0 == Video).map(|tag| tag.1).collect();
        let first = join_after / 25 * 25;
        assert_eq!(
            frames,
            (first..75).map(|frame| frame * 40).collect::<Vec<_>>(),
            "joined after {join_after}"
        );
    }
}

#[test]
fn bursts_end_at_video_frames_and_begin_at_keyframes() {
    let mut encoder = Encoder::with_both_tracks(settings());
    let mut cursor = Cursor::new(Start::Gop);
    encoder.video(true, 1);
    encoder.take(&mut cursor);
    for _ in 0..2 {
        encoder.time += 20;
        encoder.audio();
    }
    assert!(encoder.peek(&mut cursor).is_empty(), "audio waits for the frame that follows");
    encoder.video(false, 1);
    encoder.time += 20;
    encoder.audio();
    encoder.video(true, 1);
    let bursts = encoder.take(&mut cursor);
    let kinds: Vec<Vec<_>> = bursts.iter().map(|burst| tags(burst).iter().map(|tag| tag.0).collect()).collect();
    assert_eq!(kinds, [vec![Audio, Audio, Video], vec![Audio], vec![Video]]);
    assert_eq!(bursts.iter().map(|burst| burst.keyframe).collect::<Vec<_>>(), [false, false, true]);
}

#[test]
fn audio_that_no_video_follows_goes_out_after_60_ms() {
    let mut encoder = Encoder::with_both_tracks(settings());
    let mut cursor = Cursor::new(Start::Gop);
    encoder.video(true, 1);
    encoder.take(&mut cursor);
    let start = encoder.time;
    for age in [0, 23, 46, 59] {
        encoder.time = start + age;
        encoder.audio();
        assert!(encoder.peek(&mut cursor).is_empty(), "after {age} ms");
    }
    encoder.time = start + 60;
    encoder.audio();
    assert_eq!(all_tags(&encoder.take(&mut cursor)).len(), 5);
    // The same by the clock alone, when nothing more comes.
    encoder.audio();
    encoder.time += 59;
    encoder.publication.tick(encoder.now());
    assert!(encoder.peek(&mut cursor).is_empty());
    encoder.time += 1;
    encoder.publication.tick(encoder.now());
    assert_eq!(all_tags(&encoder.take(&mut cursor)).len(), 1);
}

#[test]
fn a_merge_window_holds_frames_together_but_for_keyframes() {
    let mut encoder =
        Encoder::with_both_tracks(StreamSettings { merge: Duration::from_millis(350), ..settings() });
    let mut cursor = Cursor::new(Start::Gop);
    encoder.gop(25, 1);
    encoder.gop(1, 1);
    let lengths: Vec<_> = encoder.take(&mut cursor)[1..].iter().map(|burst| tags(burst).len()).collect();
    assert_eq!(lengths, [10, 10, 5], "360 ms, 360 ms, and what the next keyframe cut off");
}

#[test]
fn a_gop_is_kept_up_to_its_bounds_and_not_beyond() {
    let frame = cost_of_a_frame(100);
    for (frames, kept) in [(11, true), (12, false)] {
        // The distance of a burst counts what lies behind it: eleven frames put ten behind the first.
        let bounds = StreamSettings { gop_bytes: 10 * frame, ..settings() };
        let mut encoder = Encoder::with_both_tracks(bounds);
        encoder.gop(frames, 100);
        let mut cursor = Cursor::new(Start::Gop);
        assert_eq!(!encoder.take(&mut cursor).is_empty(), kept, "{frames} frames by bytes");
        if !kept {
            encoder.gop(1, 100);
            assert_eq!(all_tags(&encoder.take(&mut cursor)).len(), 4, "the next keyframe, with its headers");
        }
    }
    for (frames, kept) in [(11, true), (12, false)] {
        let mut encoder =
            Encoder::with_both_tracks(StreamSettings { gop_time: Duration::from_millis(400), ..settings() });
        encoder.gop(frames, 1);
        assert_eq!(!encoder.peek(&mut Cursor::new(Start::Gop)).is_empty(), kept, "{frames} frames by time");
    }
}

#[test]
fn a_viewer_too_far_behind_skips_to_the_newest_keyframe() {
    let by_bytes = StreamSettings { lag_bytes: 30 * cost_of_a_frame(100), ..settings() };
    let by_time = StreamSettings { lag_time: Duration::from_millis(30 * 40), ..settings() };
    for bounds in [by_bytes, by_time] {
        let mut encoder = Encoder::with_both_tracks(bounds);
        let outlet: Arc<dyn Outlet> = Arc::new(Counter::default());
        encoder.gop(5, 100);
        encoder.live().attach(&outlet);
        let mut cursor = Cursor::new(Start::Gop);
        encoder.take(&mut cursor);
        // At the bound it still gets everything: the first of 31 unsent frames has 30 behind it.
        encoder.gop(10, 100);
        encoder.gop(20, 100);
        encoder.video(false, 100);
        encoder.time -= 40;
        let before = encoder.peek(&mut cursor).len();
        assert_eq!((before, cursor.skips), (31, 0));
        encoder.time += 80;
        encoder.gop(25, 100);
        let got = all_tags(&encoder.take(&mut cursor));
        assert_eq!(cursor.skips, 1);
        assert_eq!((got[0].0, got[0].2, got.len()), (Video, 0x17, 25), "no headers again: they are the same");
    }
}

#[test]
fn a_skip_over_a_new_sequence_header_brings_the_headers_again() {
    let mut encoder =
        Encoder::with_both_tracks(StreamSettings { lag_time: Duration::from_millis(400), ..settings() });
    encoder.gop(5, 10);
    let mut cursor = Cursor::new(Start::Gop);
    encoder.take(&mut cursor);
    encoder.gop(5, 10);
    encoder.send(Video, &[0x17, 0, 0, 0, 0, 9, 9]);
    encoder.gop(20, 10);
    let bursts = encoder.take(&mut cursor);
    assert_eq!(cursor.skips, 1);
    assert_eq!(tags(&bursts[0])[1..], [(Video, 400, 0x17), (Audio, 400, 0xAF)]);
    assert_ne!(&bursts[0].framed(Framing::Plain)[..3], b"FLV", "but no second file header");
    assert_eq!(all_tags(&bursts).len(), 3 + 20);
}

#[test]
fn a_new_sequence_header_reaches_viewers_in_order_and_empties_the_gop_cache() {
    let mut encoder = Encoder::with_both_tracks(settings());
    let mut viewer = Cursor::new(Start::Gop);
    encoder.gop(5, 10);
    encoder.take(&mut viewer);
    encoder.send(Video, VIDEO_HEADER);
    encoder.video(false, 10);
    assert_eq!(all_tags(&encoder.take(&mut viewer)), [(Video, 200, 0x27)], "the same header again is no news");
    encoder.send(Video, &[0x17, 0, 0, 0, 0, 9, 9]);
    let mut joiner = Cursor::new(Start::Gop);
    assert!(encoder.peek(&mut joiner).is_empty(), "nothing that it could decode");
    encoder.time += 40;
    encoder.video(true, 10);
    let seen = all_tags(&encoder.take(&mut viewer));
    assert_eq!(seen, [(Video, 200, 0x17), (Video, 240, 0x17)], "at the stream's time, before the keyframe");
    assert_eq!(all_tags(&encoder.take(&mut joiner)).len(), 4);
    assert_eq!(
        encoder.take(&mut Cursor::new(Start::First)).len(),
        2,
        "nor can those who waited decode what was before"
    );
}

#[test]
fn a_stream_is_joinable_when_its_announced_tracks_have_come() {
    let ready = |encoder: &Encoder| encoder.registry.joinable(&name()).is_some();
    let mut both = Encoder::new(settings());
    both.metadata(&["audiocodecid", "videocodecid"]);
    both.send(Video, VIDEO_HEADER);
    assert!(!ready(&both));
    both.send(Audio, AUDIO_HEADER);
    assert!(ready(&both));

    let mut video_only = Encoder::new(settings());
    video_only.metadata(&["videocodecid"]);
    video_only.send(Video, VIDEO_HEADER);
    video_only.gop(1, 1);
    let bursts = video_only.take(&mut Cursor::new(Start::Gop));
    assert_eq!(bursts[0].framed(Framing::Plain)[4], 1, "the header announces video alone");

    // Announced, and never comes: the flags tell the truth after 300 ms, and not before.
    let mut silent = Encoder::new(settings());
    silent.metadata(&["audiocodecid", "videocodecid"]);
    silent.gop(1, 1);
    silent.time = 299;
    silent.publication.tick(silent.now());
    assert!(!ready(&silent));
    silent.time = 300;
    silent.publication.tick(silent.now());
    let bursts = silent.take(&mut Cursor::new(Start::First));
    assert_eq!(bursts[0].framed(Framing::Plain)[4], 1);
}

#[test]
fn a_late_track_ends_the_stream_so_that_players_reconnect() {
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["videocodecid"]);
    encoder.send(Video, VIDEO_HEADER);
    encoder.gop(5, 10);
    let old = encoder.live();
    let mut cursor = Cursor::new(Start::Gop);
    encoder.take(&mut cursor);
    encoder.send(Audio, AUDIO_HEADER);
    let mut bursts = Vec::new();
    assert_eq!(old.peek(&mut cursor, &mut bursts, 9, encoder.now()), Ahead::End(EndReason::TracksChanged));
    encoder.gop(5, 10);
    let bursts = encoder.take(&mut Cursor::new(Start::Gop));
    assert_eq!(bursts[0].framed(Framing::Plain)[4], 5, "both tracks now");
    assert_eq!(tags(&bursts[0]).len(), 3, "with both sequence headers");
    assert!(!Arc::ptr_eq(&old, &encoder.live()));
}

#[test]
fn a_stream_without_video_keeps_the_last_second() {
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["audiocodecid"]);
    encoder.send(Audio, AUDIO_HEADER);
    for _ in 0..500 {
        encoder.time += 20;
        encoder.audio();
    }
    let bursts = encoder.take(&mut Cursor::new(Start::Gop));
    let got = all_tags(&bursts[1..]);
    let (first, last) = (got[0].1, got[got.len() - 1].1);
    assert!((900..=1100).contains(&(last - first)), "{first} to {last}");
    let kept: usize = encoder.take(&mut Cursor::new(Start::First)).iter().map(|burst| tags(burst).len()).sum();
    assert!(kept <= got.len() + 10, "and nothing older: {kept}");
}

#[test]
fn frames_before_the_first_keyframe_and_unreadable_packets_are_dropped() {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.video(false, 10);
    for payload in [&b""[..], &[0x17], &[0xAF], &[0x17, 1, 0], &[0x17, 2, 0, 0, 0], b"\x90hvc"] {
        encoder.send(Video, payload);
        encoder.send(Audio, payload);
    }
    encoder.send(Data, &[0xFF, 1, 2]);
    encoder.gop(2, 10);
    let got = all_tags(&encoder.take(&mut Cursor::new(Start::Gop)));
    assert_eq!(got.iter().filter(|tag| tag.0 == Video).count(), 1 + 2);
}

#[test]
fn headers_are_taken_up_to_their_limit() {
    for (length, taken) in [(MAX_HEADER, true), (MAX_HEADER + 1, false)] {
        let mut encoder = Encoder::new(settings());
        let mut header = VIDEO_HEADER.to_vec();
        header.resize(length, 1);
        encoder.send(Video, &header);
        encoder.gop(10, 10);
        let prefix = &encoder.take(&mut Cursor::new(Start::Gop))[0];
        assert_eq!(tags(prefix).len() == 2, taken, "{length} bytes");
    }
}

#[test]
fn all_windows_together_stay_within_their_budget() {
    let registry = Registry::new(StreamSettings { total_bytes: 100_000, ..settings() });
    let now = Instant::now();
    let publish =
        |number: i32| registry.publish(&StreamName::new("", &number.to_string()).unwrap(), "test", now);
    let mut streams: Vec<_> = (0..4).map(|number| publish(number).unwrap()).collect();
    for round in 0..100 {
        for publication in &mut streams {
            let payload = [&[if round == 0 { 0x17 } else { 0x27 }, 1, 0, 0, 0][..], &[0; 1000]].concat();
            publication.push(Packet { kind: Video, timestamp: Timestamp(round), payload }, now);
            publication.tick(now + Duration::from_secs(1));
        }
    }
    let held: usize = streams.iter().map(|publication| publication.live().held()).sum();
    assert!((50_000..=100_000).contains(&held), "{held}");
    assert!(!registry.is_short_of_memory());
}

/// Streams that hold much and have fallen silent must not starve the one that is small and alive.
#[test]
fn a_small_stream_keeps_its_window_while_large_ones_let_go() {
    let registry = Registry::new(StreamSettings { total_bytes: 100_000, ..settings() });
    let now = Instant::now();
    let publish = |name: &str| registry.publish(&StreamName::new("", name).unwrap(), "test", now).unwrap();
    let frame = |publication: &mut Publication, keyframe: bool, length: usize| {
        let payload = [&[if keyframe { 0x17 } else { 0x27 }, 1, 0, 0, 0][..], &vec![0; length]].concat();
        publication.push(Packet { kind: Video, timestamp: Timestamp(0), payload }, now);
        publication.tick(now + Duration::from_secs(1));
    };
    let mut small = publish("small");
    frame(&mut small, true, 10);
    let mut large: Vec<_> = (0..5).map(|number| publish(&number.to_string())).collect();
    large.iter_mut().for_each(|publication| frame(publication, true, 30_000));
    (0..10).for_each(|_| frame(&mut small, false, 10));
    let mut bursts = Vec::new();
    small.live().peek(&mut Cursor::new(Start::Gop), &mut bursts, usize::MAX, now);
    assert_eq!(bursts.len(), 1 + 11);
    let held: usize = large.iter().map(|publication| publication.live().held()).sum();
    assert!(held <= 100_000, "{held}");
}

#[test]
fn bursts_that_viewers_pin_count_until_they_let_go() {
    let registry = Registry::new(StreamSettings { total_bytes: 100_000, ..settings() });
    let now = Instant::now();
    let mut publication = registry.publish(&name(), "test", now).unwrap();
    let mut pinned = Vec::new();
    for _ in 0..5 {
        let payload = [&[0x17, 1, 0, 0, 0][..], &[0; 30_000]].concat();
        publication.push(Packet { kind: Video, timestamp: Timestamp(0), payload }, now);
        publication.tick(now + Duration::from_secs(1));
        let mut bursts = Vec::new();
        publication.live().peek(&mut Cursor::new(Start::Gop), &mut bursts, usize::MAX, now);
        pinned.extend(bursts);
    }
    assert!(registry.is_short_of_memory());
    assert!(publication.live().has_let_go_of(0));
    drop(pinned);
    assert!(!registry.is_short_of_memory());
}

/// What viewers of an ended stream still have to take must not make live streams give theirs up.
#[test]
fn windows_of_ended_streams_do_not_count_against_live_ones() {
    let registry = Registry::new(StreamSettings { total_bytes: 100_000, ..settings() });
    let now = Instant::now();
    let feed = |publication: &mut Publication, length: usize| {
        let payload = [&[0x17, 1, 0, 0, 0][..], &vec![0; length]].concat();
        publication.push(Packet { kind: Video, timestamp: Timestamp(0), payload }, now);
        publication.tick(now + Duration::from_secs(1));
    };
    let ended: Vec<_> = (0..5)
        .map(|number| {
            let name = StreamName::new("", &number.to_string()).unwrap();
            let mut publication = registry.publish(&name, "test", now).unwrap();
            feed(&mut publication, 30_000);
            let live = Arc::clone(publication.live());
            publication.finish(EndReason::Unpublished);
            live
        })
        .collect();
    let mut alive = registry.publish(&name(), "test", now).unwrap();
    feed(&mut alive, 1000);
    assert!(alive.live().held() > 1000);
    assert!(registry.is_short_of_memory());
    drop(ended);
    assert!(!registry.is_short_of_memory());
    drop(alive);
}

#[test]
fn frames_that_are_received_together_go_out_together() {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.video(true, 1);
    for _ in 0..5 {
        encoder.send_with_more(Video, &[0x27, 1, 0, 0, 0]);
    }
    encoder.send_with_more(Audio, &[0xAF, 1, 5]);
    encoder.video(false, 1);
    // A frame does not wait because audio was received with it.
    encoder.send_with_more(Video, &[0x27, 1, 0, 0, 0]);
    encoder.audio();
    let bursts = encoder.take(&mut Cursor::new(Start::Gop));
    let lengths: Vec<_> = bursts.iter().map(|burst| tags(burst).len()).collect();
    assert_eq!(lengths, [3, 1, 7, 2]);
}

#[test]
fn a_flood_of_audio_is_bounded_in_bytes_and_nobody_goes_back_in_it() {
    let mut encoder = Encoder::new(StreamSettings { gop_bytes: 50_000, lag_bytes: 20_000, ..settings() });
    encoder.metadata(&["audiocodecid"]);
    encoder.send(Audio, AUDIO_HEADER);
    encoder.start -= Duration::from_secs(10);
    let mut cursor = Cursor::new(Start::Gop);
    let mut times = Vec::new();
    for round in 0..2000 {
        encoder.time += 1;
        encoder.send_with_more(Audio, &[&[0xAF, 1][..], &[7; 500]].concat());
        encoder.publication.tick(encoder.now() + Duration::from_secs(1));
        if round % 300 == 299 {
            times.extend(all_tags(&encoder.take(&mut cursor)).iter().map(|tag| tag.1));
        }
    }
    assert!(encoder.live().held() < 60_000, "{}", encoder.live().held());
    assert!(cursor.skips > 0);
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn a_name_has_one_publisher_and_is_free_when_that_ends() {
    let encoder = Encoder::with_both_tracks(settings());
    let busy = encoder.registry.publish(&name(), "other", encoder.now());
    assert!(matches!(busy, Err(PublishError::Busy(live)) if live.publisher == "test"));
    let live = Arc::clone(encoder.publication.live());
    let registry = Arc::clone(&encoder.registry);
    encoder.publication.finish(EndReason::Unpublished);
    assert_eq!(live.ended(), Some(EndReason::Unpublished));
    let second = registry.publish(&name(), "other", Instant::now()).unwrap();
    let live = Arc::clone(second.live());
    drop(second);
    assert_eq!(live.ended(), Some(EndReason::PublisherLost));
    registry.close();
    assert!(matches!(registry.publish(&name(), "late", Instant::now()), Err(PublishError::Closed)));
}

#[test]
fn outlets_hear_of_bursts_until_they_are_detached() {
    let mut encoder = Encoder::with_both_tracks(settings());
    let counter = Arc::new(Counter::default());
    let outlet: Arc<dyn Outlet> = counter.clone();
    encoder.live().attach(&outlet);
    encoder.live().attach(&outlet);
    encoder.gop(5, 1);
    assert_eq!(counter.0.load(Ordering::Relaxed), 5, "once each, though attached twice");
    encoder.live().detach(&outlet);
    encoder.gop(5, 1);
    assert_eq!(counter.0.load(Ordering::Relaxed), 5);
}

#[test]
fn a_subscription_gives_tag_after_tag_and_ends_with_the_stream() {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.gop(3, 10);
    let mut subscription = Subscription::new(encoder.live());
    let mut next =
        || subscription.next_within(Duration::ZERO).ok().flatten().map(|tag| (tag.kind, tag.body().len()));
    let kinds: Vec<_> = std::iter::from_fn(&mut next).map(|tag| tag.0).collect();
    assert_eq!(kinds, [Data, Video, Audio, Video, Video, Video]);
    encoder.video(false, 10);
    assert_eq!(next(), Some((Video, 15)));
    encoder.publication.finish(EndReason::Unpublished);
    assert_eq!(subscription.next().map(|tag| tag.kind), None);
}
