use super::*;

#[test]
fn bursts_end_at_video_frames_and_begin_at_keyframes() {
    let mut encoder = Encoder::with_both_tracks(settings());
    let mut cursor = encoder.cursor(Start::Gop);
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
    assert_eq!(
        bursts.iter().map(|burst| burst.opening.is_keyframe_of(0)).collect::<Vec<_>>(),
        [false, false, true]
    );
}

#[test]
fn audio_that_no_video_follows_goes_out_after_60_ms() {
    let mut encoder = Encoder::with_both_tracks(settings());
    let mut cursor = encoder.cursor(Start::Gop);
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
    let mut cursor = encoder.cursor(Start::Gop);
    encoder.gop(25, 1);
    encoder.gop(1, 1);
    let lengths: Vec<_> = encoder.take(&mut cursor)[1..].iter().map(|burst| tags(burst).len()).collect();
    assert_eq!(lengths, [10, 10, 5], "360 ms, 360 ms, and what the next keyframe cut off");
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
    let got = all_tags(&encoder.take(&mut encoder.cursor(Start::Gop)));
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
        let prefix = &encoder.take(&mut encoder.cursor(Start::Gop))[0];
        assert_eq!(tags(prefix).len() == 2, taken, "{length} bytes");
    }
}

#[test]
fn frames_that_are_received_together_go_out_together() {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.video(true, 1);
    for _ in 0..5 {
        encoder.send_with_more(Video, &[0x27, 1, 0, 0, 0, 1]);
    }
    encoder.send_with_more(Audio, &[0xAF, 1, 5]);
    encoder.video(false, 1);
    // A frame does not wait because audio was received with it.
    encoder.send_with_more(Video, &[0x27, 1, 0, 0, 0, 1]);
    encoder.audio();
    let bursts = encoder.take(&mut encoder.cursor(Start::Gop));
    let lengths: Vec<_> = bursts.iter().map(|burst| tags(burst).len()).collect();
    assert_eq!(lengths, [3, 1, 7, 2]);
}

#[test]
fn a_flood_of_audio_is_bounded_in_bytes_and_nobody_goes_back_in_it() {
    let mut encoder = Encoder::new(StreamSettings { gop_bytes: 50_000, lag_bytes: 20_000, ..settings() });
    encoder.metadata(&["audiocodecid"]);
    encoder.send(Audio, AUDIO_HEADER);
    encoder.start -= Duration::from_secs(10);
    let mut cursor = encoder.cursor(Start::Gop);
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
fn data_in_front_of_the_first_frame_has_its_time() {
    let data = [2, 0, 4, b'o', b'n', b'F', b'I', 5];
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["audiocodecid"]);
    encoder.time = 36_000_000;
    encoder.send(Audio, AUDIO_HEADER);
    (0..100).for_each(|_| encoder.send(Data, &data));
    for _ in 0..2 {
        encoder.audio();
        encoder.time += 60;
    }
    encoder.publication.tick(encoder.now());
    let tags = encoder.joined(Wanted::default()).unwrap();
    let times: Vec<_> = tags.iter().filter(|tag| tag.2 != data).map(|tag| (tag.0, tag.1)).collect();
    assert_eq!(times, [(Audio, 36_000_000), (Audio, 36_000_000), (Audio, 36_000_060)]);
    let early: Vec<_> = tags.iter().filter(|tag| tag.2 == data).map(|tag| tag.1).collect();
    assert_eq!(early, [36_000_000; 16], "as many as are kept");
}

#[test]
fn data_in_front_of_the_first_keyframe_does_not_take_its_place() {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.send(Data, &[2, 0, 4, b'o', b'n', b'F', b'I', 5]);
    encoder.gop(2, 1);
    encoder.audio();
    let bursts = encoder.take(&mut encoder.cursor(Start::Gop));
    assert_eq!(tags(&bursts[1])[0], (Video, 0, 0x17));
}

#[test]
fn a_header_goes_along_with_its_own_track() {
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["videocodecid"]);
    encoder.send(Video, VIDEO_HEADER);
    encoder.send(Video, b"\x96\x00avc1\x01avc1");
    encoder.video(true, 1);
    let variant = encoder.live().variant(Wanted::default()).unwrap();
    let mut cursor = Cursor::new(Start::Gop, variant);
    encoder.take(&mut cursor);
    encoder.time = 800;
    encoder.send(Video, b"\x96\x01avc1\x01\0\0\0k");
    encoder.time = 40;
    encoder.send(Video, &[0x17, 0, 0, 0, 0, 9, 9, 9, 9]);
    encoder.video(true, 1);
    let flv: Vec<u8> =
        encoder.take(&mut cursor).iter().flat_map(|burst| burst.plain(&variant).to_vec()).collect();
    let (_, time, header, rest) = split_tag(&flv).unwrap();
    assert_eq!((time.0, header[1]), (0, 0), "when the last frame of track 0 was");
    assert_eq!(split_tag(rest).unwrap().1.0, 40);
}
