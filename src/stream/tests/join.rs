use super::*;

#[test]
fn a_join_in_mid_gop_gets_header_metadata_sequence_headers_and_the_gop() {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.gop(10, 10);
    encoder.gop(3, 10);
    encoder.audio();
    encoder.video(false, 10);
    let bursts = encoder.take(&mut encoder.cursor(Start::Gop));
    assert_eq!(&bursts[0].plain(&Variant::RAW)[..FILE_HEADER_LENGTH], b"FLV\x01\x05\0\0\0\x09\0\0\0\0");
    let prefix = [(Data, 400, 2), (Video, 400, 0x17), (Audio, 400, 0xAF)];
    assert_eq!(tags(&bursts[0]), prefix, "stamped with the time of the first frame");
    let frames =
        [(Video, 400, 0x17), (Video, 440, 0x27), (Video, 480, 0x27), (Audio, 520, 0xAF), (Video, 520, 0x27)];
    assert_eq!(all_tags(&bursts[1..]), frames);
    // Those who join at the same place share the prefix.
    let again = encoder.peek(&mut encoder.cursor(Start::Gop));
    assert!(Arc::ptr_eq(&bursts[0], &again[0]));
}

#[test]
fn a_join_loses_nothing_and_doubles_nothing_wherever_it_falls() {
    for join_after in 0..60 {
        let mut encoder = Encoder::with_both_tracks(settings());
        let mut cursor = encoder.cursor(Start::Gop);
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
fn a_viewer_too_far_behind_skips_to_the_newest_keyframe() {
    let by_bytes = StreamSettings { lag_bytes: 30 * cost_of_a_frame(100), ..settings() };
    let by_time = StreamSettings { lag_time: Duration::from_millis(30 * 40), ..settings() };
    for bounds in [by_bytes, by_time] {
        let mut encoder = Encoder::with_both_tracks(bounds);
        encoder.gop(5, 100);
        let _viewer = Watching::new(encoder.live(), Protocol::HttpFlv);
        let mut cursor = encoder.cursor(Start::Gop);
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
        assert_eq!((cursor.skips, encoder.live().status(encoder.now()).skips), (1, 1));
        assert_eq!((got[0].0, got[0].2, got.len()), (Video, 0x17, 25), "no headers again: they are the same");
    }
}

#[test]
fn a_skip_over_a_new_sequence_header_brings_the_headers_again() {
    let mut encoder =
        Encoder::with_both_tracks(StreamSettings { lag_time: Duration::from_millis(400), ..settings() });
    encoder.gop(5, 10);
    let mut cursor = encoder.cursor(Start::Gop);
    encoder.take(&mut cursor);
    encoder.gop(5, 10);
    encoder.send(Video, &[0x17, 0, 0, 0, 0, 9, 9]);
    encoder.gop(20, 10);
    let bursts = encoder.take(&mut cursor);
    assert_eq!(cursor.skips, 1);
    assert_eq!(tags(&bursts[0])[1..], [(Video, 400, 0x17), (Audio, 400, 0xAF)]);
    assert_ne!(&bursts[0].plain(&Variant::RAW)[..3], b"FLV", "but no second file header");
    assert_eq!(all_tags(&bursts).len(), 3 + 20);
}

#[test]
fn a_new_sequence_header_reaches_viewers_in_order_and_empties_the_gop_cache() {
    let mut encoder = Encoder::with_both_tracks(settings());
    let mut viewer = encoder.cursor(Start::Gop);
    encoder.gop(5, 10);
    encoder.take(&mut viewer);
    encoder.send(Video, VIDEO_HEADER);
    encoder.video(false, 10);
    assert_eq!(all_tags(&encoder.take(&mut viewer)), [(Video, 200, 0x27)], "the same header again is no news");
    encoder.send(Video, &[0x17, 0, 0, 0, 0, 9, 9]);
    let mut joiner = encoder.cursor(Start::Gop);
    assert!(encoder.peek(&mut joiner).is_empty(), "nothing that it could decode");
    encoder.time += 40;
    encoder.video(true, 10);
    let seen = all_tags(&encoder.take(&mut viewer));
    assert_eq!(seen, [(Video, 200, 0x17), (Video, 240, 0x17)], "at the stream's time, before the keyframe");
    assert_eq!(all_tags(&encoder.take(&mut joiner)).len(), 4);
    assert_eq!(
        encoder.take(&mut encoder.cursor(Start::First)).len(),
        2,
        "nor can those who waited decode what was before"
    );
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
fn readers_are_counted_by_protocol_while_they_are_there() {
    let encoder = Encoder::with_both_tracks(settings());
    let counts = || encoder.live().status(encoder.now()).viewers;
    assert_eq!(counts(), ViewerCounts::default());
    let viewers = [Protocol::HttpFlv, Protocol::HttpFlv, Protocol::WebSocketFlv]
        .map(|protocol| Watching::new(encoder.live(), protocol));
    let subscription = Subscription::new(encoder.live());
    assert_eq!(
        (counts(), counts().total()),
        (ViewerCounts { http_flv: 2, websocket_flv: 1, subscribers: 1 }, 4)
    );
    drop(viewers);
    assert_eq!(counts(), ViewerCounts { subscribers: 1, ..ViewerCounts::default() });
    drop(subscription);
    assert_eq!(counts(), ViewerCounts::default());
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
    encoder.publication.finish(EndReason::Unpublished, Instant::now());
    assert_eq!(subscription.next().map(|tag| tag.kind), None);
}
