use super::*;

#[test]
fn a_viewer_that_awaits_a_keyframe_gets_the_next_one_and_all_behind_it() {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.gop(5, 10);
    let (mut cursor, mut late) = (encoder.cursor(Start::Key), encoder.cursor(Start::Key));
    assert!(encoder.peek(&mut cursor).is_empty() && encoder.peek(&mut late).is_empty());
    encoder.audio();
    encoder.video(false, 10);
    assert!(encoder.peek(&mut cursor).is_empty(), "nothing but a keyframe");
    encoder.time += 40;
    encoder.gop(2, 10);
    let prefix = [(Data, 240, 2), (Video, 240, 0x17), (Audio, 240, 0xAF)];
    let first = [(Video, 240, 0x17), (Video, 280, 0x27)];
    assert_eq!(all_tags(&encoder.take(&mut cursor)), [&prefix[..], &first].concat());
    encoder.gop(1, 10);
    assert_eq!(all_tags(&encoder.take(&mut cursor)), [(Video, 320, 0x17)]);
    let all = [&prefix[..], &first, &[(Video, 320, 0x17)]].concat();
    assert_eq!(all_tags(&encoder.take(&mut late)), all, "though it comes to look after the one that follows");
}

#[test]
fn a_live_viewer_gets_the_headers_and_the_very_next_frame() {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.gop(5, 10);
    let mut cursor = encoder.cursor(Start::Live);
    assert!(encoder.peek(&mut cursor).is_empty());
    encoder.video(false, 10);
    encoder.time += 40;
    encoder.video(false, 10);
    let bursts = encoder.take(&mut cursor);
    assert_eq!(&bursts[0].plain(&Variant::RAW)[..5], b"FLV\x01\x05");
    assert_eq!(tags(&bursts[0]), [(Data, 200, 2), (Video, 200, 0x17), (Audio, 200, 0xAF)]);
    assert_eq!(all_tags(&bursts[1..]), [(Video, 200, 0x27), (Video, 240, 0x27)]);
}

#[test]
fn a_live_viewer_gets_nothing_that_a_new_sequence_header_has_made_unreadable() {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.gop(5, 10);
    let mut cursor = encoder.cursor(Start::Live);
    encoder.peek(&mut cursor);
    encoder.video(false, 10);
    encoder.send(Video, &[0x17, 0, 0, 0, 0, 9, 9]);
    encoder.time += 40;
    encoder.video(false, 10);
    let got = all_tags(&encoder.take(&mut cursor));
    assert_eq!(got[3..], [(Video, 200, 0x17), (Video, 240, 0x27)], "the header and what follows it");
}

#[test]
fn without_video_both_begin_with_the_next_burst() {
    for start in [Start::Key, Start::Live] {
        let mut encoder = Encoder::new(settings());
        encoder.metadata(&["audiocodecid"]);
        encoder.send(Audio, AUDIO_HEADER);
        let step = |encoder: &mut Encoder| {
            encoder.time += 100;
            encoder.audio();
            encoder.publication.tick(encoder.now() + Duration::from_millis(60));
        };
        (0..10).for_each(|_| step(&mut encoder));
        let mut cursor = encoder.cursor(start);
        assert!(encoder.peek(&mut cursor).is_empty(), "{start}");
        step(&mut encoder);
        assert_eq!(
            all_tags(&encoder.take(&mut cursor)),
            [(Data, 1100, 2), (Audio, 1100, 0xAF), (Audio, 1100, 0xAF)],
            "{start}"
        );
        step(&mut encoder);
        assert_eq!(all_tags(&encoder.take(&mut cursor)), [(Audio, 1200, 0xAF)], "{start}");
    }
}

#[test]
fn a_live_viewer_that_falls_behind_skips_to_a_keyframe_or_if_there_is_none_goes_on_live() {
    let bounds = StreamSettings {
        lag_time: Duration::from_millis(400),
        gop_time: Duration::from_millis(400),
        ..settings()
    };
    let mut encoder = Encoder::with_both_tracks(bounds);
    encoder.gop(1, 10);
    let mut cursor = encoder.cursor(Start::Live);
    encoder.peek(&mut cursor);
    encoder.gop(1, 10);
    assert_eq!(encoder.take(&mut cursor).len(), 2);
    encoder.gop(20, 10);
    encoder.gop(5, 10);
    let got = all_tags(&encoder.take(&mut cursor));
    assert_eq!((cursor.skips, got[0], got.len()), (1, (Video, 880, 0x17), 5));
    // From here on the picture is refreshed without keyframes.
    for _ in 0..100 {
        encoder.video(false, 10);
        encoder.time += 40;
    }
    let mut gop = encoder.cursor(Start::Gop);
    assert!(encoder.take(&mut cursor).is_empty() && encoder.take(&mut gop).is_empty());
    assert_eq!(cursor.skips, 2);
    encoder.video(false, 10);
    assert_eq!(all_tags(&encoder.take(&mut cursor)), [(Video, 5080, 0x27)]);
    assert!(encoder.take(&mut gop).is_empty(), "who wants a keyframe waits for one");
}

#[test]
fn raw_without_a_track_0_begins_with_a_keyframe_of_the_lowest_track() {
    for start in [Start::Gop, Start::First, Start::Key] {
        let mut encoder = Encoder::new(settings());
        encoder.metadata(&["videocodecid"]);
        encoder.send(Video, b"\x96\x00avc1\x01head");
        let keyframe = |encoder: &mut Encoder| {
            encoder.send(Video, b"\x96\x01avc1\x01\0\0\0key");
            encoder.time += 400;
        };
        keyframe(&mut encoder);
        let mut cursor = encoder.cursor(start);
        let joined = encoder.take(&mut cursor).len();
        assert_eq!(joined, if start == Start::Key { 0 } else { 2 }, "{start}");
        keyframe(&mut encoder);
        assert_eq!(encoder.take(&mut cursor).len(), if start == Start::Key { 2 } else { 1 }, "{start}");
    }
}

#[test]
fn a_stream_of_sound_that_stands_still_has_nowhere_to_skip_to() {
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["audiocodecid"]);
    encoder.send(Audio, AUDIO_HEADER);
    for _ in 0..20 {
        encoder.time += 100;
        encoder.audio();
        encoder.publication.tick(encoder.now() + Duration::from_millis(60));
    }
    let (live, mut cursor) = (encoder.live(), encoder.cursor(Start::Gop));
    let later = encoder.now() + Duration::from_secs(9);
    let mut bursts = Vec::new();
    while live.peek(&mut cursor, &mut bursts, 1, later) == Ahead::Bursts {
        cursor.advance();
    }
    // The prefix, and the last second with both of its ends.
    assert_eq!((bursts.len(), cursor.skips), (12, 0));
}
