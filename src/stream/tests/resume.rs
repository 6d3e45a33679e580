//! A publisher is lost, and comes back: the same one or another, with another clock, other tracks, or nothing.

use super::*;

/// Another program's.
const OTHER_VIDEO_HEADER: &[u8] = &[0x17, 0, 0, 0, 0, 9, 9];

/// An HEVC keyframe under Enhanced RTMP.
const HEVC_KEYFRAME: &[u8] = b"\x93hvc1abc";

/// A stream of some seconds, whose publisher is lost then.
pub(super) struct Gap {
    pub(super) registry: Arc<Registry>,
    pub(super) live: Arc<LiveStream>,
    cursor: Cursor,
    _viewer: Watching,
    /// When it was lost, and how far the stream had come.
    pub(super) lost: Instant,
    time: u32,
}

impl Gap {
    pub(super) fn after(encoder: Encoder) -> Self {
        let cursor = encoder.cursor(Start::Gop);
        let (registry, live) = (Arc::clone(&encoder.registry), encoder.live());
        let (_viewer, lost, time) =
            (Watching::new(encoder.live(), Protocol::HttpFlv), encoder.now(), encoder.time);
        assert_eq!(encoder.publication.finish(EndReason::PublisherLost, lost), Some(RESUME));
        let mut gap = Self { registry, live, cursor, _viewer, lost, time };
        gap.peek();
        gap
    }

    pub(super) fn with_both_tracks() -> Self {
        let mut encoder = Encoder::with_both_tracks(settings());
        for _ in 0..3 {
            encoder.gop(25, 10);
            encoder.audio();
        }
        Self::after(encoder)
    }

    /// The next publisher, whose clock starts at `clock`.
    pub(super) fn returns(&self, gap: Duration, clock: u32) -> Encoder {
        let now = self.lost + gap;
        let publication = self.registry.publish(&name(), "another", now).unwrap();
        let start = now - Duration::from_millis(u64::from(clock));
        Encoder { registry: Arc::clone(&self.registry), publication, start, time: clock }
    }

    /// What the viewer gets, and whether that is all.
    pub(super) fn peek(&mut self) -> (Vec<(PacketKind, u32, u8)>, Ahead) {
        let mut bursts = Vec::new();
        let ahead = self.live.peek(&mut self.cursor, &mut bursts, usize::MAX, self.lost);
        bursts.iter().for_each(|_| self.cursor.advance());
        (all_tags(&bursts), ahead)
    }
}

#[test]
fn viewers_see_one_stream_that_goes_on_with_a_keyframe() {
    for clock in [0, 2_000, 3_000, 1_000_000] {
        let mut gap = Gap::with_both_tracks();
        let mut encoder = gap.returns(Duration::from_secs(5), clock);
        encoder.metadata(&["audiocodecid", "videocodecid"]);
        encoder.send(Video, VIDEO_HEADER);
        encoder.send(Audio, AUDIO_HEADER);
        // It may begin in the middle.
        encoder.audio();
        encoder.video(false, 5);
        assert_eq!(gap.peek(), (vec![], Ahead::Nothing), "nothing that cannot be decoded, and no header again");
        encoder.gop(2, 10);
        encoder.audio();
        encoder.gop(1, 10);
        let at = gap.time + 5_000;
        let expected =
            vec![(Video, at, 0x17), (Video, at + 40, 0x27), (Audio, at + 80, 0xAF), (Video, at + 80, 0x17)];
        assert_eq!(gap.peek(), (expected, Ahead::Bursts), "a clock that starts at {clock}");
        let status = gap.live.status(encoder.now());
        assert_eq!((&*status.publisher, status.resumes, status.lost_for), ("another", 1, None));
    }
}

#[test]
fn headers_go_out_again_only_if_they_differ() {
    let mut gap = Gap::with_both_tracks();
    let mut encoder = gap.returns(Duration::from_secs(1), 0);
    encoder.metadata(&["audiocodecid", "videocodecid", "encoder"]);
    encoder.send(Video, OTHER_VIDEO_HEADER);
    encoder.send(Audio, AUDIO_HEADER);
    encoder.gop(1, 10);
    let tags = gap.peek().0;
    let kinds: Vec<_> = tags.iter().map(|(kind, _, first)| (*kind, *first)).collect();
    assert_eq!(kinds, [(Data, 2), (Video, 0x17), (Video, 0x17)]);
    assert!(tags[0].1 == gap.time && tags[1].1 < tags[2].1, "each track goes on by itself: {tags:?}");
    // One who joins now gets the new ones alone.
    let tags = all_tags(&encoder.take(&mut encoder.cursor(Start::Gop)));
    assert_eq!(tags.len(), 4, "{tags:?}");
}

#[test]
fn another_codec_or_fewer_tracks_end_the_responses() {
    let mut gap = Gap::with_both_tracks();
    let mut encoder = gap.returns(Duration::from_secs(1), 0);
    encoder.send(Video, HEVC_KEYFRAME);
    assert_eq!(gap.peek(), (vec![], Ahead::End(EndReason::TracksChanged)));
    encoder.send(Audio, AUDIO_HEADER);
    encoder.send(Audio, &[0xAF, 1, 5]);
    encoder.send(Video, HEVC_KEYFRAME);
    let first = &encoder.take(&mut encoder.cursor(Start::Gop))[0];
    assert_eq!(first.plain(&Variant::RAW)[4], 5, "both tracks, as they are now");

    // Video alone, where there was audio, too: the players wait for it in vain.
    for (announced, seconds) in [(&["videocodecid"][..], 2), (&["audiocodecid", "videocodecid"], 10), (&[], 10)]
    {
        let mut gap = Gap::with_both_tracks();
        let mut encoder = gap.returns(Duration::from_secs(1), 0);
        encoder.metadata(announced);
        encoder.send(Video, VIDEO_HEADER);
        while encoder.time < seconds * 1000 {
            encoder.gop(5, 10);
            assert_eq!(gap.peek().1, Ahead::Bursts, "after {} ms it may still come", encoder.time - 40);
        }
        encoder.video(true, 10);
        gap.peek();
        assert_eq!(gap.peek().1, Ahead::End(EndReason::TracksChanged), "after {seconds} s, with {announced:?}");
        encoder.gop(100, 10);
        let first = &encoder.take(&mut encoder.cursor(Start::Gop))[0];
        assert_eq!(first.plain(&Variant::RAW)[4], 1, "video alone");
        assert_eq!(encoder.live().status(encoder.now()).audio_codec, None);
    }
}

/// A phone whose microphone opens after its camera; a relay that has the sound at once, and nothing of the video before its
/// next keyframe.
#[test]
fn the_same_tracks_may_come_one_after_the_other() {
    let (picture, sound) = ((Video, VIDEO_HEADER), (Audio, AUDIO_HEADER));
    for (first, second, late) in [(picture, sound, 400), (picture, sound, 9_900), (sound, picture, 5_000)] {
        let mut gap = Gap::with_both_tracks();
        let mut encoder = gap.returns(Duration::from_secs(2), 0);
        encoder.metadata(&["audiocodecid", "videocodecid"]);
        // What was announced when the connection was made comes when the encoder has begun.
        encoder.time = 400;
        encoder.send(first.0, first.1);
        while encoder.time < late + 1000 {
            let has_come = |kind| first.0 == kind || encoder.time >= late;
            let (has_video, has_audio) = (has_come(Video), has_come(Audio));
            if encoder.time == late {
                encoder.send(second.0, second.1);
            }
            if has_video {
                encoder.video(encoder.time.is_multiple_of(1000) || encoder.time == 400, 10);
            }
            if has_audio {
                encoder.audio();
            }
            encoder.time += 20;
        }
        assert!(Arc::ptr_eq(&gap.live, &encoder.live()), "{} {late} ms late", second.0);
        let tags = gap.peek().0;
        assert!([Audio, Video].iter().all(|kind| tags.iter().any(|tag| tag.0 == *kind)), "{tags:?}");
    }
}

#[test]
fn one_who_sends_headers_alone_does_not_keep_viewers_waiting() {
    let mut gap = Gap::with_both_tracks();
    for round in 1..=9 {
        let mut encoder = gap.returns(Duration::from_secs(round), 0);
        encoder.send(Video, VIDEO_HEADER);
        encoder.send(Audio, AUDIO_HEADER);
        let (left, now) = (RESUME - Duration::from_secs(round), encoder.now());
        assert_eq!(encoder.publication.finish(EndReason::PublisherLost, now), Some(left));
        assert_eq!(gap.peek(), (vec![], Ahead::Nothing));
    }
    let mut encoder = gap.returns(RESUME - Duration::from_millis(1), 0);
    encoder.send(Video, VIDEO_HEADER);
    let later = encoder.now() + Duration::from_millis(1);
    assert_eq!(encoder.publication.finish(EndReason::PublisherLost, later), None);
    assert_eq!(gap.peek(), (vec![], Ahead::End(EndReason::PublisherLost)));
}

#[test]
fn one_who_flaps_is_one_stream() {
    let mut gap = Gap::with_both_tracks();
    let (mut last, mut lost) = (gap.time, gap.lost);
    for flap in 0..100 {
        gap.lost = lost;
        let mut encoder = gap.returns(Duration::from_millis(100), flap % 7 * 1000);
        encoder.send(Video, VIDEO_HEADER);
        encoder.video(true, 10);
        encoder.audio();
        lost = encoder.now();
        assert_eq!(encoder.publication.finish(EndReason::PublisherLost, lost), Some(RESUME));
        let (tags, _) = gap.peek();
        assert_eq!(tags.len(), 2, "{tags:?}");
        assert!(tags[0].2 == 0x17 && tags[0].1 > last && tags[1].1 >= tags[0].1, "{tags:?} after {last}");
        last = tags[1].1;
    }
    assert_eq!(gap.live.status(lost).resumes, 100);
}

#[test]
fn publishers_of_different_tracks_that_take_turns_end_a_stream_once_a_second() {
    let gap = Gap::with_both_tracks();
    let (mut live, mut lost, mut ends) = (Arc::clone(&gap.live), gap.lost, 0);
    for flap in 0..100_u32 {
        let publication =
            gap.registry.publish(&name(), "one of two", lost + Duration::from_millis(50)).unwrap();
        let start = lost + Duration::from_millis(50);
        let mut encoder = Encoder { registry: Arc::clone(&gap.registry), publication, start, time: 0 };
        encoder.send(Audio, AUDIO_HEADER);
        encoder.audio();
        let keyframe: &[u8] = if flap % 2 == 0 { HEVC_KEYFRAME } else { &[0x17, 1, 0, 0, 0, 1] };
        encoder.send(Video, keyframe);
        encoder.time += 50;
        encoder.publication.tick(encoder.now());
        ends += usize::from(!Arc::ptr_eq(&live, &encoder.live()));
        (live, lost) = (encoder.live(), encoder.now());
        drop(encoder);
    }
    assert!((5..=11).contains(&ends), "{ends} in ten seconds");
}

#[test]
fn a_kind_that_falls_silent_is_given_up_so_that_players_go_on() {
    for (silent, flags) in [(Audio, 1), (Video, 4)] {
        let mut encoder = Encoder::with_both_tracks(settings());
        encoder.audio();
        encoder.gop(25, 10);
        let old = encoder.live();
        // Both stand still: that is the publisher's pause.
        encoder.time += 60_000;
        let from = encoder.time;
        let go_on = |encoder: &mut Encoder| {
            if silent == Audio {
                encoder.gop(25, 10);
            } else {
                (0..50).for_each(|_| {
                    encoder.audio();
                    encoder.time += 20;
                });
            }
        };
        while encoder.time < from + 10_000 {
            go_on(&mut encoder);
            assert_eq!(old.ended(), None, "after {} ms", encoder.time - from);
        }
        (0..2).for_each(|_| go_on(&mut encoder));
        assert_eq!(old.ended(), Some(EndReason::TracksChanged));
        let first = &encoder.take(&mut encoder.cursor(Start::Gop))[0];
        assert_eq!(first.plain(&Variant::RAW)[4], flags);
        // It comes back.
        let without = encoder.live();
        if silent == Audio {
            encoder.audio();
        } else {
            encoder.gop(1, 1);
        }
        assert_eq!(without.ended(), Some(EndReason::TracksChanged));
    }
}

#[test]
fn a_gap_is_no_fault_of_the_publisher_that_ends_it() {
    let mut gap = Gap::with_both_tracks();
    let frames = |gap: &Gap, now| {
        let status = gap.live.status(now);
        (status.video_frames, status.audio_frames)
    };
    for _ in 0..8 {
        let mut encoder = gap.returns(Duration::from_secs(9), 700);
        encoder.metadata(&["audiocodecid", "videocodecid"]);
        encoder.send(Audio, AUDIO_HEADER);
        for _ in 0..30 {
            encoder.gop(25, 100);
            encoder.audio();
            assert_eq!(encoder.live().status(encoder.now()).health, []);
        }
        let status = encoder.live().status(encoder.now());
        assert_eq!(status.keyframe_interval, Some(Duration::from_secs(1)));
        assert!((23.0..27.0).contains(&status.frame_rate), "{}", status.frame_rate);
        gap.lost = encoder.now();
        encoder.publication.finish(EndReason::PublisherLost, gap.lost);
    }
    assert_eq!(frames(&gap, gap.lost), (75 + 8 * 750, 3 + 8 * 30), "all publishers' together");
}

#[test]
fn one_who_sends_nothing_that_can_be_played_does_not_keep_viewers_for_ever() {
    let mut gap = Gap::with_both_tracks();
    let mut encoder = gap.returns(Duration::from_secs(9), 0);
    encoder.send(Video, VIDEO_HEADER);
    while encoder.time < 9_980 {
        encoder.audio();
        encoder.video(false, 10);
        encoder.time += 20;
    }
    assert_eq!(gap.peek(), (vec![], Ahead::Nothing), "a keyframe may still come");
    encoder.time += 20;
    encoder.audio();
    assert_eq!(gap.peek(), (vec![], Ahead::End(EndReason::PublisherLost)));
    encoder.audio();
    encoder.video(true, 10);
    assert_eq!(encoder.take(&mut encoder.cursor(Start::Gop)).len(), 2, "its own stream goes on");
}

/// A relay that begins in the middle: the keyframes of its tracks do not come together.
#[test]
fn each_video_track_goes_on_with_a_keyframe_of_its_own() {
    const OTHER_HEADER: &[u8] = b"\x96\x00avc1\x01head";
    const OTHER_KEYFRAME: &[u8] = b"\x96\x01avc1\x01\0\0\0key";
    let send_headers = |encoder: &mut Encoder| {
        encoder.metadata(&["videocodecid"]);
        encoder.send(Video, VIDEO_HEADER);
        encoder.send(Video, OTHER_HEADER);
    };
    let mut encoder = Encoder::new(settings());
    send_headers(&mut encoder);
    encoder.gop(1, 10);
    encoder.send(Video, OTHER_KEYFRAME);
    encoder.time = 400;
    let mut gap = Gap::after(encoder);
    let mut encoder = gap.returns(Duration::from_secs(2), 0);
    send_headers(&mut encoder);
    encoder.send(Video, OTHER_KEYFRAME);
    (0..5).for_each(|_| encoder.video(false, 10));
    encoder.video(true, 10);
    encoder.video(false, 10);
    let frames: Vec<_> = gap.peek().0.into_iter().map(|(_, _, first)| first).collect();
    assert_eq!(frames, [0x96, 0x17, 0x27]);
}
