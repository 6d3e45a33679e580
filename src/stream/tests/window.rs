use super::*;

#[test]
fn a_gop_is_kept_up_to_its_bounds_and_not_beyond() {
    let frame = cost_of_a_frame(100);
    for (frames, kept) in [(11, true), (12, false)] {
        // The distance of a burst counts what lies behind it: eleven frames put ten behind the first.
        let bounds = StreamSettings { gop_bytes: 10 * frame, ..settings() };
        let mut encoder = Encoder::with_both_tracks(bounds);
        encoder.gop(frames, 100);
        let mut cursor = encoder.cursor(Start::Gop);
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
        assert_eq!(!encoder.peek(&mut encoder.cursor(Start::Gop)).is_empty(), kept, "{frames} frames by time");
    }
}

#[test]
fn more_than_the_gop_is_kept_only_for_those_who_may_need_it() {
    for (keeps_up, kept) in [(false, 101), (true, 0)] {
        let mut encoder = Encoder::new(settings());
        encoder.metadata(&["videocodecid"]);
        encoder.gop(1, 10);
        let mut viewer = Watching::new(encoder.live(), Protocol::HttpFlv);
        viewer.set_keeps_up(keeps_up);
        for _ in 0..5 {
            encoder.gop(100, 10);
        }
        let frames = encoder.live().held() / cost_of_a_frame(10);
        assert_eq!(frames - 100, kept, "8 s for one who is behind, 2 s for one who keeps up: {keeps_up}");
    }
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
    let bursts = encoder.take(&mut encoder.cursor(Start::Gop));
    let got = all_tags(&bursts[1..]);
    let (first, last) = (got[0].1, got[got.len() - 1].1);
    assert!((900..=1100).contains(&(last - first)), "{first} to {last}");
    let kept: usize =
        encoder.take(&mut encoder.cursor(Start::First)).iter().map(|burst| tags(burst).len()).sum();
    assert!(kept <= got.len() + 10, "and nothing older: {kept}");
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
    small.live().peek(&mut Cursor::new(Start::Gop, Variant::RAW), &mut bursts, usize::MAX, now);
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
        publication.live().peek(&mut Cursor::new(Start::Gop, Variant::RAW), &mut bursts, usize::MAX, now);
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
            publication.finish(EndReason::Unpublished, Instant::now());
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

/// A frame of track 1.
fn other_track(encoder: &mut Encoder, is_keyframe: bool) {
    let first = if is_keyframe { 0x96 } else { 0xA6 };
    encoder.send(Video, &[&[first], &b"\x01avc1\x01\0\0\0k"[..]].concat());
}

fn frames_of(encoder: &Encoder, track: u8) -> usize {
    encoder.joined(Wanted { track, ..Wanted::default() }).unwrap().len()
}

#[test]
fn every_video_track_has_its_gop() {
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["videocodecid"]);
    encoder.send(Video, VIDEO_HEADER);
    encoder.send(Video, b"\x96\x00avc1\x01avcC");
    for frame in 0..100 {
        // Its keyframe comes just before that of track 0.
        other_track(&mut encoder, frame % 50 == 0);
        encoder.video(frame % 50 == 1, 1);
        encoder.time += 40;
    }
    assert_eq!([0, 1].map(|track| frames_of(&encoder, track)), [1 + 49, 1 + 50]);
    encoder.send(Video, b"\x96\x00avc1\x01new1");
    encoder.video(false, 1);
    assert_eq!(frames_of(&encoder, 0), 1 + 50, "another track's header costs it nothing");
    let cursor =
        |track| Cursor::new(Start::Gop, encoder.live().variant(Wanted { track, ..Wanted::default() }).unwrap());
    assert!(encoder.peek(&mut cursor(1)).is_empty(), "what there was is not for the new header");
}

#[test]
fn a_stream_without_track_0_has_a_gop() {
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["videocodecid"]);
    encoder.send(Video, b"\x96\x00avc1\x01avcC");
    for frame in 0..180 {
        other_track(&mut encoder, frame == 0 || frame == 100);
        encoder.time += 40;
    }
    assert_eq!(frames_of(&encoder, 0), 1 + 80);
}
