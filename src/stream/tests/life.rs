use super::*;

#[test]
fn a_stream_is_joinable_when_its_announced_tracks_have_come() {
    let ready = |encoder: &Encoder| encoder.registry.joinable(&name()).is_some();
    let mut both = Encoder::new(settings());
    both.metadata(&["audiocodecid", "videocodecid"]);
    both.send(Video, VIDEO_HEADER);
    assert!(!ready(&both));
    both.send(Audio, AUDIO_HEADER);
    assert!(!ready(&both), "other tracks may have headers, too");
    both.audio();
    assert!(ready(&both));

    let mut video_only = Encoder::new(settings());
    video_only.metadata(&["videocodecid"]);
    video_only.send(Video, VIDEO_HEADER);
    video_only.gop(1, 1);
    let bursts = video_only.take(&mut video_only.cursor(Start::Gop));
    assert_eq!(bursts[0].plain(&Variant::RAW)[4], 1, "the header announces video alone");

    // Announced, and never comes: the flags tell the truth after 300 ms, and not before.
    let mut silent = Encoder::new(settings());
    silent.metadata(&["audiocodecid", "videocodecid"]);
    silent.gop(1, 1);
    silent.time = 299;
    silent.publication.tick(silent.now());
    assert!(!ready(&silent));
    silent.time = 300;
    silent.publication.tick(silent.now());
    let bursts = silent.take(&mut silent.cursor(Start::First));
    assert_eq!(bursts[0].plain(&Variant::RAW)[4], 1);
}

#[test]
fn tracks_are_waited_for_from_the_first_of_them_on() {
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["audiocodecid", "videocodecid"]);
    // Encoders announce when they connect, and send when they have begun.
    encoder.time = 5_000;
    encoder.send(Video, VIDEO_HEADER);
    encoder.video(true, 1);
    encoder.time = 5_299;
    encoder.publication.tick(encoder.now());
    assert!(encoder.registry.joinable(&name()).is_none());
    encoder.send(Audio, AUDIO_HEADER);
    let bursts = encoder.take(&mut encoder.cursor(Start::First));
    assert_eq!(bursts[0].plain(&Variant::RAW)[4], 5, "both tracks");
}

#[test]
fn video_that_is_announced_is_waited_for_longer_because_relays_begin_with_the_next_keyframe() {
    let relay = |millis: u32| {
        let mut relay = Encoder::new(settings());
        relay.metadata(&["audiocodecid", "videocodecid"]);
        relay.send(Audio, AUDIO_HEADER);
        while relay.time < millis {
            relay.audio();
            relay.time += 20;
        }
        relay
    };
    let mut late = relay(2980);
    assert!(late.registry.joinable(&name()).is_none());
    late.send(Video, VIDEO_HEADER);
    late.video(true, 1);
    let bursts = late.take(&mut late.cursor(Start::First));
    assert_eq!(bursts[0].plain(&Variant::RAW)[4], 5, "both tracks");
    let mut never = relay(3000);
    never.audio();
    let bursts = never.take(&mut never.cursor(Start::First));
    assert_eq!(bursts[0].plain(&Variant::RAW)[4], 4, "audio alone, after 3 s");
}

#[test]
fn a_late_track_ends_the_stream_so_that_players_reconnect() {
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["videocodecid"]);
    encoder.send(Video, VIDEO_HEADER);
    encoder.gop(5, 10);
    let old = encoder.live();
    let mut cursor = encoder.cursor(Start::Gop);
    encoder.take(&mut cursor);
    encoder.send(Audio, AUDIO_HEADER);
    let mut bursts = Vec::new();
    assert_eq!(old.peek(&mut cursor, &mut bursts, 9, encoder.now()), Ahead::End(EndReason::TracksChanged));
    encoder.gop(5, 10);
    let bursts = encoder.take(&mut encoder.cursor(Start::Gop));
    assert_eq!(bursts[0].plain(&Variant::RAW)[4], 5, "both tracks now");
    assert_eq!(tags(&bursts[0]).len(), 3, "with both sequence headers");
    assert!(!Arc::ptr_eq(&old, &encoder.live()));
}

#[test]
fn a_name_has_one_publisher_and_is_free_when_that_ends() {
    let encoder = Encoder::with_both_tracks(settings());
    let busy = encoder.registry.publish(&name(), "other", encoder.now());
    assert!(matches!(busy, Err(PublishError::Busy(live, _)) if &*live.publisher.who() == "test"));
    let live = Arc::clone(encoder.publication.live());
    let registry = Arc::clone(&encoder.registry);
    encoder.publication.finish(EndReason::Unpublished, Instant::now());
    assert_eq!(live.ended(), Some(EndReason::Unpublished));
    let second = registry.publish(&name(), "other", Instant::now()).unwrap();
    let live = Arc::clone(second.live());
    drop(second);
    assert_eq!(live.ended(), Some(EndReason::PublisherLost), "nobody can have joined it");
    registry.close();
    assert!(matches!(registry.publish(&name(), "late", Instant::now()), Err(PublishError::Closed)));
}

#[test]
fn a_publisher_that_is_ended_is_not_waited_for_and_its_name_is_free_at_once() {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.gop(5, 10);
    let (old, publication) = (encoder.live(), encoder.publication.id);
    assert_eq!(old.status(encoder.now()).publication, Some(publication));
    assert!(encoder.registry.kick(publication + 100).is_none());
    assert!(encoder.registry.kick(publication).is_some_and(|live| Arc::ptr_eq(&live, &old)));
    assert!(encoder.registry.kick(publication).is_none(), "it is not there any more");
    assert_eq!(old.ended(), Some(EndReason::Kicked));

    let next = encoder.registry.publish(&name(), "next", encoder.now()).unwrap();
    // The first, which notices now, does not take the name with it, and begins nothing anew under it.
    encoder.send(Audio, &[0x2f, 0, 1]);
    assert_eq!(encoder.publication.live().ended(), Some(EndReason::Kicked));
    let (registry, now) = (Arc::clone(&encoder.registry), encoder.now());
    assert_eq!(encoder.publication.finish(EndReason::Kicked, now), None);
    assert_eq!(registry.status()[0].publication, Some(next.id));
    assert_eq!(registry.totals().publications, 2);
    assert!(registry.totals().bytes >= old.bytes());
}
