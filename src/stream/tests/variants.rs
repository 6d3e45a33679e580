use super::*;
use crate::stream::headers::NotThere;

fn wanted(form: Form, track: u8) -> Wanted {
    Wanted { form, track, only: None }
}

impl Encoder {
    /// What one gets who joins now and asks for this: kinds, times and bodies behind the metadata.
    fn joined(&self, wanted: Wanted) -> Result<Vec<(PacketKind, u32, Vec<u8>)>, NotThere> {
        let variant = self.live().variant(wanted)?;
        let bursts = self.peek(&mut Cursor::new(Start::Gop, variant));
        let flv =
            bursts.iter().map(|burst| burst.framed(&variant, Framing::Plain)).collect::<Vec<_>>().concat();
        let mut rest = &flv[FILE_HEADER_LENGTH..];
        let mut tags = Vec::new();
        while let Some((kind, timestamp, body, behind)) = split_tag(rest) {
            tags.push((kind, timestamp.0, body.to_vec()));
            rest = behind;
        }
        assert!(rest.is_empty() && tags[0].0 == Data);
        Ok(tags.split_off(1))
    }
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
    assert_eq!(bursts[0].framed(&variant, Framing::Plain)[4], 1, "video alone");
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
    let old = encoder.live();
    frame(&mut encoder, false);
    assert_eq!(old.ended(), None, "a frame that nobody can begin with");
    frame(&mut encoder, true);
    assert_eq!(old.ended(), Some(EndReason::TimestampsUsedUp));
    let tags = encoder.joined(Wanted::default()).unwrap();
    assert_eq!(tags.len(), 3);
    assert!(tags.iter().all(|(_, time, _)| *time < 2_000_000), "{tags:?}");
}
