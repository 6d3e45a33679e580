//! Packets that do not belong into their stream, or say nothing: what there was goes on.

use super::*;

/// The tags of one who joins now, as browsers get them.
fn joined(encoder: &Encoder) -> Vec<Tag> {
    encoder.joined(Wanted::default()).unwrap()
}

fn has(tags: &[Tag], payload: &[u8]) -> bool {
    tags.iter().any(|(.., body)| body == payload)
}

/// Both tracks for so many seconds.
fn go_on(encoder: &mut Encoder, seconds: u32) {
    for _ in 0..seconds {
        encoder.gop(25, 1);
        encoder.audio();
    }
}

#[test]
fn a_command_to_the_player_ends_nothing_and_costs_no_header() {
    let mut encoder = Encoder::with_both_tracks(settings());
    go_on(&mut encoder, 1);
    let old = encoder.live();
    for command in [[0x52, 0], [0x57, 0], [0x57, 1]] {
        encoder.send(Video, &command);
    }
    go_on(&mut encoder, 1);
    assert_eq!(old.ended(), None);
    assert!(has(&joined(&encoder), VIDEO_HEADER));
    let raw = Wanted { form: Form::Raw, ..Wanted::default() };
    assert!(!has(&encoder.joined(raw).unwrap(), &[0x57, 0]), "nor is it one");
}

/// Wowza begins so, without video, too.
#[test]
fn a_command_to_the_player_is_no_track() {
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["audiocodecid"]);
    encoder.send(Video, &[0x57, 0]);
    encoder.send(Audio, AUDIO_HEADER);
    encoder.audio();
    let variant = encoder.live().variant(Wanted::default()).unwrap();
    assert_eq!((variant.video, variant.audio), (None, Some(0)));
}

#[test]
fn one_packet_of_another_codec_does_not_cost_the_header() {
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["audiocodecid", "videocodecid"]);
    encoder.send(Audio, AUDIO_HEADER);
    encoder.send(Audio, &[0x0F, 0]);
    encoder.send(Video, VIDEO_HEADER);
    encoder.audio();
    go_on(&mut encoder, 1);
    assert!(has(&joined(&encoder), AUDIO_HEADER));
    for (kind, stray) in [(Audio, &[0x0F, 0][..]), (Video, &[0x12, 0])] {
        encoder.send(kind, stray);
        go_on(&mut encoder, 5);
        let tags = joined(&encoder);
        assert!(has(&tags, AUDIO_HEADER) && has(&tags, VIDEO_HEADER), "{kind}: {tags:?}");
    }
}

#[test]
fn what_is_said_about_another_codec_changes_none() {
    let mut encoder = Encoder::with_both_tracks(settings());
    go_on(&mut encoder, 1);
    let old = encoder.live();
    encoder.send(Video, b"\xD4hvc1colour");
    encoder.send(Audio, b"\x94Opuslayout");
    go_on(&mut encoder, 1);
    assert_eq!(old.ended(), None);
    encoder.time += 2000;
    encoder.send(Video, b"\x90hvc1hvcC");
    encoder.send(Video, b"\x93hvc1key");
    let raw = encoder.joined(Wanted { form: Form::Raw, ..Wanted::default() }).unwrap();
    assert!(has(&raw, b"\xD4hvc1colour"), "it was kept for when the codec comes: {raw:?}");
}

#[test]
fn a_keyframe_of_no_bytes_is_none() {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.gop(2, 1);
    encoder.audio();
    encoder.send(Video, &[0x17, 1, 0, 0, 0]);
    encoder.video(false, 1);
    let tags = joined(&encoder);
    assert_eq!(tags.iter().filter(|tag| tag.2[..2] == [0x17, 1]).count(), 1, "{tags:?}");
}

#[test]
fn a_header_of_no_bytes_replaces_nothing() {
    let mut encoder = Encoder::with_both_tracks(settings());
    for (kind, empty, good) in
        [(Video, &[0x17, 0, 0, 0, 0][..], VIDEO_HEADER), (Audio, &[0xAF, 0], AUDIO_HEADER)]
    {
        go_on(&mut encoder, 1);
        encoder.send(kind, empty);
        encoder.video(false, 1);
        let tags = joined(&encoder);
        assert!(has(&tags, good) && !has(&tags, empty) && tags.len() > 20, "{kind}: {tags:?}");
    }
}
