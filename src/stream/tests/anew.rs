//! Streams that begin anew under their name, and what those get who join then.

use super::*;

/// How many of a kind's sequence headers one gets who joins.
fn headers(encoder: &Encoder, kind: PacketKind) -> usize {
    let prefix = encoder.take(&mut encoder.cursor(Start::Gop)).into_iter().next();
    let tags = prefix.map(|prefix| tags(&prefix)).unwrap_or_default();
    tags.iter().filter(|tag| tag.0 == kind).count()
}

#[test]
fn a_kind_that_comes_back_has_the_header_that_was_sent_once() {
    for silent in [Audio, Video] {
        let mut encoder = Encoder::with_both_tracks(settings());
        encoder.gop(1, 10);
        encoder.audio();
        let old = encoder.live();
        let (without, other) = if silent == Audio { (0, Video) } else { (0, Audio) };
        while encoder.time < 13_000 {
            match silent {
                Audio => encoder.video(true, 10),
                _ => encoder.audio(),
            }
            encoder.time += 100;
        }
        assert_eq!(old.ended(), Some(EndReason::TracksChanged));
        assert_eq!((headers(&encoder, silent), headers(&encoder, other)), (without, 1));
        encoder.audio();
        encoder.gop(2, 10);
        assert_eq!((headers(&encoder, Video), headers(&encoder, Audio)), (1, 1), "{silent} is back");
    }
}

#[test]
fn a_codec_that_changes_back_too_soon_has_its_header_when_it_is_taken() {
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["videocodecid"]);
    encoder.send(Video, VIDEO_HEADER);
    encoder.gop(5, 10);
    encoder.send(Video, b"\x90hvc1hvcC");
    encoder.send(Video, b"\x93hvc1abc");
    encoder.time += 300;
    encoder.send(Video, VIDEO_HEADER);
    (0..3).for_each(|_| encoder.gop(25, 10));
    assert_eq!(encoder.live().status(encoder.now()).video_codec.as_deref(), Some("H.264"));
    assert_eq!(headers(&encoder, Video), 1);
}

#[test]
fn a_kind_that_comes_now_and_then_ends_the_responses_less_and_less_often() {
    for (seconds, within, most) in [(15, 600, 2), (60, 600, 6), (100, 1000, 2 * 10)] {
        let mut encoder = Encoder::with_both_tracks(settings());
        let (mut live, mut ends) = (encoder.live(), 0);
        while encoder.time < within * 1000 {
            if encoder.time.is_multiple_of(seconds * 1000) {
                encoder.video(true, 10);
            }
            encoder.audio();
            encoder.time += 100;
            ends += usize::from(!Arc::ptr_eq(&live, &encoder.live()));
            live = encoder.live();
        }
        assert!(ends <= most, "{ends} in {within} s, with a picture every {seconds} s");
    }
}

#[test]
fn to_begin_anew_is_no_sign_of_life_and_forgets_nobody_who_waits() {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.audio();
    encoder.gop(5, 10);
    let registry = Arc::clone(&encoder.registry);
    encoder.publication.finish(EndReason::PublisherLost, encoder.start);
    // It comes back with sound alone, which is given up by time, and then its line is dead.
    let publication = registry.publish(&name(), "another", encoder.start).unwrap();
    let mut encoder = Encoder { registry, publication, start: encoder.start, time: 0 };
    encoder.metadata(&["audiocodecid"]);
    encoder.send(Audio, AUDIO_HEADER);
    let (old, next) = (encoder.live(), encoder.publication.id);
    old.publisher.displace(next);
    while Arc::ptr_eq(&old, &encoder.live()) {
        encoder.time += 100;
        encoder.publication.tick(encoder.now());
    }
    let silence = encoder.live().silence(encoder.now());
    assert_eq!(silence, Duration::from_millis(encoder.time.into()), "since its last packet");
    assert!(encoder.publication.is_displaced());
}
