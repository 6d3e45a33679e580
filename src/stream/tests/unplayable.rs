//! Tracks of codecs that browsers play, in a way at which they end.

use super::*;

const BAD_AUDIO: &[u8] = &[0xAF, 0, 0x11, 0xE0]; // AAC of 7.1 channels
const BAD_VIDEO: &[u8] = b"\x17\0\0\0\0\0\x42\0\x1E\xFF\xE1\0\0"; // of version 0

const RAW: Wanted = Wanted { form: Form::Raw, track: 0, only: None };

/// Which tracks a browser gets, and which the header announces.
fn tracks(encoder: &Encoder) -> (Option<u8>, Option<u8>) {
    let variant = encoder.live().variant(Wanted::default()).unwrap();
    let bursts = encoder.peek(&mut Cursor::new(Start::Gop, variant));
    let flags = bursts[0].plain(&variant)[4];
    assert_eq!((flags & 1 != 0, flags & 4 != 0), (variant.video.is_some(), variant.audio.is_some()));
    (variant.video, variant.audio)
}

fn with_headers(video: &[u8], audio: &[u8]) -> Encoder {
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["audiocodecid", "videocodecid"]);
    encoder.send(Video, video);
    encoder.send(Audio, audio);
    encoder.gop(2, 1);
    encoder.audio();
    encoder.time += 100;
    encoder.gop(2, 1);
    encoder
}

#[test]
fn a_track_with_a_header_at_which_browsers_end_is_left_out() {
    for (video, audio, expected) in
        [(VIDEO_HEADER, BAD_AUDIO, (Some(0), None)), (BAD_VIDEO, AUDIO_HEADER, (None, Some(0)))]
    {
        let encoder = with_headers(video, audio);
        assert_eq!(tracks(&encoder), expected);
        let raw = encoder.joined(RAW).unwrap();
        assert_eq!([&raw[0].2, &raw[1].2], [video, audio], "raw is all there is");
    }
    let encoder = with_headers(BAD_VIDEO, BAD_AUDIO);
    assert_eq!(encoder.live().variant(Wanted::default()), Err(NotThere::Form));
}

#[test]
fn such_a_header_in_mid_stream_reaches_no_browser() {
    let mut encoder = with_headers(VIDEO_HEADER, AUDIO_HEADER);
    let old = encoder.live();
    encoder.time += 1000;
    encoder.send(Video, BAD_VIDEO);
    assert_eq!(old.ended(), Some(EndReason::TracksChanged));
    encoder.audio();
    encoder.gop(2, 1);
    encoder.audio();
    assert_eq!(tracks(&encoder), (None, Some(0)));
    let unplayable = encoder.live();
    encoder.send(Video, VIDEO_HEADER);
    assert_eq!(unplayable.ended(), None, "too soon after the last time");
    encoder.gop(2, 1);
    assert_eq!(tracks(&encoder), (Some(0), Some(0)), "but who comes now gets it");
    encoder.send(Video, BAD_VIDEO);
    encoder.gop(2, 1);
    assert_eq!(tracks(&encoder), (Some(0), Some(0)), "and keeps it");
}

#[test]
fn av1_goes_out_once_its_header_is_there() {
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["audiocodecid", "videocodecid"]);
    encoder.send(Audio, AUDIO_HEADER);
    encoder.send(Video, b"\x95av01mpeg2ts");
    encoder.send(Video, b"\x91av01key");
    encoder.audio();
    encoder.time += 1000;
    encoder.send(Video, b"\x91av01key");
    let old = encoder.live();
    assert_eq!(tracks(&encoder), (None, Some(0)));
    encoder.send(Video, b"\x90av01av1C");
    assert_eq!(old.ended(), Some(EndReason::TracksChanged));
    encoder.send(Video, b"\x91av01key");
    encoder.audio();
    encoder.time += 40;
    encoder.send(Video, b"\x91av01key");
    assert_eq!(tracks(&encoder), (Some(0), Some(0)));
}
