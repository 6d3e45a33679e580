use super::*;

fn wanted(form: Form, track: u8) -> Wanted {
    Wanted { form, track, only: None }
}

/// OBS with two video tracks: track 0 as ever, the other one wrapped.
fn ladder() -> Encoder {
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["audiocodecid", "videocodecid"]);
    encoder.send(Video, VIDEO_HEADER);
    encoder.send(Video, b"\x96\x00avc1\x01avcC");
    encoder.send(Audio, AUDIO_HEADER);
    for first in [[b'\x17', b'\x96'], [b'\x27', b'\xA6']] {
        encoder.send(Video, &[first[0], 1, 0, 0, 0, b'z']);
        encoder.send(Video, &[&[first[1]], &b"\x01avc1\x01\0\0\0o"[..]].concat());
        encoder.time += 40;
    }
    encoder
}

#[test]
fn track_0_goes_out_without_the_others_and_another_one_on_request() {
    let encoder = ladder();
    let zero = encoder.joined(Wanted::default()).unwrap();
    let frame = |first, time, name| (Video, time, vec![first, 1, 0, 0, 0, name]);
    let headers = |video: &[u8]| [(Video, 0, video.to_vec()), (Audio, 0, AUDIO_HEADER.to_vec())];
    let frames = |name| [frame(0x17, 0, name), frame(0x27, 40, name)];
    assert_eq!(zero, [&headers(VIDEO_HEADER)[..], &frames(b'z')].concat());
    let one = encoder.joined(wanted(Form::Browser, 1)).unwrap();
    assert_eq!(one, [&headers(b"\x17\0\0\0\0avcC")[..], &frames(b'o')].concat());
    let raw = encoder.joined(wanted(Form::Raw, 0)).unwrap();
    assert_eq!(raw.len(), 3 + 4, "all tracks");
    assert_eq!(encoder.joined(wanted(Form::Browser, 2)), Err(NotThere::Track));
    let sound = Wanted { only: Some(Audio), ..Wanted::default() };
    assert_eq!(encoder.joined(sound).unwrap(), [(Audio, 0, AUDIO_HEADER.to_vec())], "from the last second on");
}

#[test]
fn what_browsers_cannot_play_is_left_out_and_the_header_says_so() {
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["audiocodecid", "videocodecid"]);
    encoder.send(Audio, b"\x72pcma");
    encoder.send(Video, b"\x90hvc1hvcC");
    encoder.send(Video, b"\xD4hvc1colorInfo");
    encoder.send(Video, b"\x93hvc1key");
    encoder.send(Audio, b"\x72pcma");
    encoder.send(Video, b"\xD4hvc1changed");
    encoder.time += 40;
    encoder.send(Video, b"\xA1hvc1\0\0\x28next");
    let variant = encoder.live().variant(Wanted::default()).unwrap();
    assert_eq!((variant.video, variant.audio), (Some(0), None));
    let browser = encoder.joined(Wanted::default()).unwrap();
    assert_eq!(
        browser,
        [
            (Video, 0, b"\x90hvc1hvcC".to_vec()),
            (Video, 0, b"\x93hvc1key".to_vec()),
            (Video, 40, b"\xA1hvc1\0\0\x28next".to_vec())
        ]
    );
    let bursts = encoder.take(&mut Cursor::new(Start::Gop, variant));
    assert_eq!(bursts[0].plain(&variant)[4], 1, "video alone");
    let raw = encoder.joined(wanted(Form::Raw, 0)).unwrap();
    assert!(
        raw.contains(&(Video, 0, b"\xD4hvc1changed".to_vec())),
        "the newest colours are in the header cache"
    );
    assert!(raw.iter().any(|(kind, ..)| *kind == Audio));
    let mut silent = Encoder::new(settings());
    silent.metadata(&["videocodecid"]);
    silent.send(Video, b"\x90vp09vpcC");
    silent.send(Video, b"\x91vp09key");
    assert_eq!(silent.joined(Wanted::default()), Err(NotThere::Form));
    assert_eq!(silent.joined(wanted(Form::Raw, 0)).unwrap().len(), 2);
}

#[test]
fn another_codec_ends_the_stream_so_that_players_reconnect_but_not_all_the_time() {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.gop(5, 10);
    let old = encoder.live();
    encoder.send(Video, b"\x1C\0\0\0\0hvcC");
    assert_eq!(old.ended(), Some(EndReason::TracksChanged));
    encoder.send(Video, b"\x1C\x01\0\0\0key");
    let new = encoder.joined(Wanted::default()).unwrap();
    assert_eq!(new[0].2, b"\x90hvc1hvcC");
    assert_eq!(new[2].2, b"\x91hvc1\0\0\0key", "what by custom is HEVC goes out by its proper name");
    let current = encoder.live();
    encoder.send(Video, b"\x90hvc1hvcC");
    assert_eq!(current.ended(), None, "the same codec by another name");
    encoder.send(Video, VIDEO_HEADER);
    encoder.video(true, 1);
    assert_eq!(current.ended(), None, "too soon: dropped");
    encoder.time += 1000;
    encoder.send(Video, VIDEO_HEADER);
    assert_eq!(current.ended(), Some(EndReason::TracksChanged));
}

#[test]
fn a_second_track_that_turns_up_late_ends_nothing() {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.gop(2, 1);
    let old = encoder.live();
    encoder.send(Audio, b"\x95\x00Opus\x01head");
    assert_eq!(old.ended(), None);
    assert!(encoder.live().variant(wanted(Form::Browser, 1)).is_ok());
}

#[test]
fn a_publisher_cannot_have_tracks_without_end() {
    let mut encoder = Encoder::with_both_tracks(settings());
    for track in 0..=255 {
        encoder.send(Video, &[&b"\x96\x00avc1"[..], &[track], b"avcC"].concat());
    }
    encoder.video(true, 1);
    let variant = |track| encoder.live().variant(wanted(Form::Browser, track));
    assert!(variant(30).is_ok(), "32 with track 0 and the audio");
    assert_eq!(variant(31), Err(NotThere::Track));
}

#[test]
fn a_clock_that_jumps_moves_no_viewer_and_headers_go_along() {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.time = 5000;
    encoder.gop(2, 1);
    let now = encoder.now();
    let mut send = |kind, timestamp, payload: &[u8]| {
        let packet = Packet { kind, timestamp: Timestamp(timestamp), payload: payload.to_vec() };
        encoder.publication.push(packet, now);
    };
    send(Video, 0, &[0x17, 0, 0, 0, 0, 9]);
    send(Video, 0, &[0x17, 1, 0, 0, 0, 1]);
    send(Audio, 15, &[0xAF, 1, 1]);
    send(Video, 40, &[0x27, 1, 0, 0, 0, 1]);
    encoder.publication.tick(now);
    let tags = encoder.joined(Wanted::default()).unwrap();
    let times: Vec<_> = tags.iter().map(|(kind, time, _)| (*kind, *time)).collect();
    // The last frame was at 5040, and 40 ms have passed since.
    assert_eq!(times, [(Video, 5080), (Audio, 5080), (Video, 5080), (Audio, 5095), (Video, 5120)]);
}

#[test]
fn timestamps_that_are_used_up_begin_anew_at_a_keyframe() {
    let mut encoder = Encoder::with_both_tracks(settings());
    let frame = |encoder: &mut Encoder, keyframe: bool| {
        encoder.time += 1_000_000;
        encoder.video(keyframe, 1);
    };
    while encoder.time < 0x7000_0000 {
        frame(&mut encoder, true);
    }
    encoder.audio();
    let old = encoder.live();
    frame(&mut encoder, false);
    assert_eq!(old.ended(), None, "a frame that nobody can begin with");
    frame(&mut encoder, true);
    assert_eq!(old.ended(), Some(EndReason::TimestampsUsedUp));
    let tags = encoder.joined(Wanted::default()).unwrap();
    assert_eq!(tags.len(), 3);
    assert!(tags.iter().all(|(_, time, _)| *time < 2_000_000), "{tags:?}");
    let mut cursor = encoder.cursor(Start::Gop);
    encoder.take(&mut cursor);
    encoder.send(Audio, &[0xAF, 0, 0x11, 0x90]);
    encoder.gop(2, 1);
    let all = all_tags(&encoder.take(&mut cursor));
    assert!(all.iter().all(|(_, time, _)| *time < 2_000_000), "nor does a header bring it back: {all:?}");
}

#[test]
fn a_track_that_comes_together_with_others_in_one_packet_can_be_asked_for() {
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["videocodecid"]);
    encoder.send(Video, b"\x96\x20avc1\0\0\0\x01aav01\x01\0\0\x01b");
    encoder.send(Video, b"\x96\x21avc1\0\0\0\x04\0\0\0zav01\x01\0\0\x01o");
    let one = encoder.joined(wanted(Form::Browser, 1)).unwrap();
    assert_eq!(one, [(Video, 0, b"\x90av01b".to_vec()), (Video, 0, b"\x91av01o".to_vec())]);
}

#[test]
fn raw_is_all_there_is_even_without_a_track_0() {
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["audiocodecid", "videocodecid"]);
    let packets: [(PacketKind, &[u8]); 5] = [
        (Video, b"\x96\x00avc1\x01avcC"),
        (Audio, b"\x95\x00Opus\x02head"),
        (Audio, b"\x95\x01Opus\x02sound"),
        (Video, b"\x96\x01avc1\x01\0\0\0key"),
        (Audio, b"\x95\x01Opus\x03other"),
    ];
    packets.iter().for_each(|(kind, payload)| encoder.send(*kind, payload));
    encoder.gop(1, 1);
    let raw = encoder.joined(wanted(Form::Raw, 0)).unwrap();
    let bodies: Vec<_> = raw.iter().map(|(.., body)| body.as_slice()).collect();
    assert_eq!(bodies[..2], [packets[0].1, packets[1].1], "the headers as they came");
    let mut subscription = Subscription::new(encoder.live());
    let tag = |subscription: &mut Subscription| subscription.next_within(Duration::ZERO).unwrap().unwrap();
    tag(&mut subscription);
    assert_eq!(tag(&mut subscription).body(), packets[0].1);
}

#[test]
fn what_does_not_fit_into_a_tag_is_dropped() {
    let mut encoder = Encoder::with_both_tracks(settings());
    encoder.gop(1, 1);
    let mut cursor = encoder.cursor(Start::Gop);
    encoder.take(&mut cursor);
    // A data message in AMF3 may become longer than it came.
    encoder.send(Data, &[&[2, 0, 1, b'x', 12, 1, 0, 0, 0][..], &vec![b'x'; 1 << 24]].concat());
    encoder.gop(1, 1);
    let bursts = encoder.take(&mut cursor);
    assert_eq!(all_tags(&bursts), [(Video, 40, 0x17)]);
}

#[test]
fn what_does_not_fit_into_a_tag_in_another_form_is_dropped() {
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["videocodecid"]);
    encoder.send(Video, b"\x1C\0\0\0\0hvcC");
    encoder.send(Video, b"\x1C\x01\0\0\0key");
    let variant = encoder.live().variant(Wanted::default()).unwrap();
    let mut cursor = Cursor::new(Start::Gop, variant);
    encoder.take(&mut cursor);
    // Three bytes longer under its proper name.
    encoder.send(Video, &[b"\x2C\x01\0\0\0", &vec![9; (1 << 24) - 6][..]].concat());
    for burst in encoder.take(&mut cursor) {
        let mut rest = burst.plain(&variant);
        while !rest.is_empty() {
            rest = split_tag(rest).expect("a whole tag").3;
        }
    }
}

#[test]
fn a_track_that_has_nothing_in_a_packet_costs_the_others_nothing() {
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["audiocodecid", "videocodecid"]);
    let packets: [(PacketKind, &[u8]); 5] = [
        (Video, b"\x96\x10avc1\0\0\0\x01a\x01\0\0\x01b"),
        (Audio, b"\x95\x10Opus\0\0\0\x01a\x01\0\0\x01b"),
        (Video, b"\x96\x11avc1\0\0\0\x04\0\0\0k\x01\0\0\x04\0\0\0l"),
        (Video, b"\xA6\x11avc1\0\0\0\0\x01\0\0\x04\0\0\0n"),
        (Audio, b"\x95\x11Opus\0\0\0\0\x01\0\0\x01s"),
    ];
    packets.iter().for_each(|(kind, payload)| encoder.send(*kind, payload));
    encoder.gop(1, 1);
    let bodies = |track| {
        let variant = encoder.live().variant(wanted(Form::Browser, track)).unwrap();
        let bursts = encoder.take(&mut Cursor::new(Start::First, variant));
        let flv: Vec<_> = bursts[1..].iter().flat_map(|burst| burst.plain(&variant).to_vec()).collect();
        let mut bodies = Vec::new();
        let mut rest = &flv[..];
        while let Some((_, _, body, behind)) = split_tag(rest) {
            bodies.push(body.to_vec());
            rest = behind;
        }
        bodies
    };
    let one: [&[u8]; 3] = [b"\x17\x01\0\0\0l", b"\x27\x01\0\0\0n", b"\x91Opuss"];
    assert_eq!(bodies(1)[..3], one);
    assert_eq!(bodies(0)[..2], [&b"\x17\x01\0\0\0k"[..], &[0x17, 1, 0, 0, 0, 9]]);
}
