use super::*;

const BROWSER: Variant = Variant { form: Form::Browser, video: Some(0), audio: Some(0) };
const LEGACY_HEVC: Variant = Variant { form: Form::LegacyHevc, ..BROWSER };

fn video(variant: Variant, payload: &[u8]) -> Shaped {
    variant.shape(PacketKind::Video, payload)
}

fn audio(variant: Variant, payload: &[u8]) -> Shaped {
    variant.shape(PacketKind::Audio, payload)
}

fn changed(bytes: &[u8]) -> Shaped {
    Shaped::Changed(bytes.to_vec())
}

#[test]
fn what_browsers_take_stays_as_it_is() {
    for payload in [
        &b"\x17\0\0\0\0avcC"[..],
        b"\x17\x01\0\0\x28frame",
        b"\x27\x02\0\0\0",
        b"\x90hvc1hvcC",
        b"\x91hvc1\0\0\x28frame",
        b"\xA3hvc1frame",
        b"\x92hvc1",
        b"\x90av01av1C",
        b"\xA1av01frame",
    ] {
        assert_eq!(video(BROWSER, payload), Shaped::Same, "{payload:?}");
    }
    for payload in
        [&b"\xAF\0\x12\x10"[..], b"\xAF\x01frame", b"\x2Fmp3", b"\x3Fpcm", b"\x90OpusHead", b"\x91fLaCx"]
    {
        assert_eq!(audio(BROWSER, payload), Shaped::Same, "{payload:?}");
    }
}

#[test]
fn what_browsers_would_fail_at_is_left_out() {
    for payload in [
        &b""[..],
        b"\xA6\x11av01\0\0\0\0\x01\0\0\x01x",
        b"\x17",
        b"\x17\x01\0\0",
        b"\x17\x03\0\0\0?",
        b"\x57\0",
        b"\x12h263",
        b"\x24vp6",
        b"\x1E\x01\0\0\0vp8",
        b"\xD4hvc1colorInfo",
        b"\x94hvc1colorInfo",
        b"\x95av01mpeg2ts",
        b"\x91vp09frame",
        b"\x91vp08frame",
        b"\x90vvc1vvcC",
        b"\xD0\0",
        b"\x9Fav01?",
    ] {
        assert_eq!(video(BROWSER, payload), Shaped::Nothing, "{payload:?}");
    }
    for payload in [
        &b""[..],
        b"\x7Fpcma",
        b"\x8Fpcmu",
        b"\xBFspeex",
        b"\xDFopus",
        b"\x91ac-3x",
        b"\x91ec-3x",
        b"\x94Opus\0",
    ] {
        assert_eq!(audio(BROWSER, payload), Shaped::Nothing, "{payload:?}");
    }
}

#[test]
fn h264_aac_and_mp3_take_their_legacy_form() {
    assert_eq!(video(BROWSER, b"\x90avc1avcC"), changed(b"\x17\0\0\0\0avcC"));
    assert_eq!(video(BROWSER, b"\xA1avc1\xFF\xFF\xD8frame"), changed(b"\x27\x01\xFF\xFF\xD8frame"));
    assert_eq!(video(BROWSER, b"\x93avc1frame"), changed(b"\x17\x01\0\0\0frame"));
    assert_eq!(video(BROWSER, b"\x92avc1"), changed(b"\x17\x02\0\0\0"));
    assert_eq!(audio(BROWSER, b"\x90mp4a\x12\x10"), changed(b"\xAF\0\x12\x10"));
    assert_eq!(audio(BROWSER, b"\x91mp4aframe"), changed(b"\xAF\x01frame"));
    assert_eq!(audio(BROWSER, b"\x91.mp3frame"), changed(b"\x2Fframe"));
    assert_eq!(audio(BROWSER, b"\xE2frame"), changed(b"\x22frame"), "MP3 of 8 kHz");
}

#[test]
fn hevc_and_av1_by_custom_take_their_enhanced_form() {
    assert_eq!(video(BROWSER, b"\x1C\0\0\0\0hvcC"), changed(b"\x90hvc1hvcC"));
    assert_eq!(video(BROWSER, b"\x2C\x01\0\0\x28frame"), changed(b"\xA1hvc1\0\0\x28frame"));
    assert_eq!(video(BROWSER, b"\x1D\0\0\0\0av1C"), changed(b"\x90av01av1C"));
    assert_eq!(video(BROWSER, b"\x2D\x01\0\0\0frame"), changed(b"\xA1av01frame"));
    assert_eq!(video(BROWSER, b"\x93av01frame"), changed(b"\x91av01frame"), "one kind of frames is enough");
}

#[test]
fn hevc_takes_codec_id_12_where_that_is_asked_for() {
    assert_eq!(video(LEGACY_HEVC, b"\x90hvc1hvcC"), changed(b"\x1C\0\0\0\0hvcC"));
    assert_eq!(video(LEGACY_HEVC, b"\xA1hvc1\0\0\x28frame"), changed(b"\x2C\x01\0\0\x28frame"));
    assert_eq!(video(LEGACY_HEVC, b"\x93hvc1frame"), changed(b"\x1C\x01\0\0\0frame"));
    assert_eq!(video(LEGACY_HEVC, b"\x1C\x01\0\0\0frame"), Shaped::Same);
    assert_eq!(video(LEGACY_HEVC, b"\x91av01frame"), Shaped::Same);
}

#[test]
fn a_track_comes_out_of_its_wrapping() {
    let one = b"\xA6\x01avc1\x01\0\0\x28frame";
    let many = b"\x96\x20av01\0\0\0\x01abhv".map(|byte| byte);
    let second = Variant { video: Some(1), audio: Some(2), ..BROWSER };
    assert_eq!(video(second, one), changed(b"\x27\x01\0\0\x28frame"));
    assert_eq!(video(BROWSER, one), Shaped::Nothing, "track 0 is another one");
    assert_eq!(video(second, b"\x17\x01\0\0\0frame"), Shaped::Nothing, "that is track 0");
    assert_eq!(video(BROWSER, &many[..]), changed(b"\x90av01a"));
    let codecs = b"\x96\x21avc1\0\0\0\x04\0\0\0ahvc1\x01\0\0\x04\0\0\x01b";
    assert_eq!(video(BROWSER, codecs), changed(b"\x17\x01\0\0\0a"));
    assert_eq!(video(second, codecs), changed(b"\x91hvc1\0\0\x01b"));
    assert_eq!(video(second, b"\xA6\x01avc1\x01\0\0"), Shaped::Nothing, "cut off in its composition time");
    for empty in [
        &b"\x90avc1"[..],
        b"\x96\0avc1\0",
        b"\x0D\x01\0\0\0",
        b"\x1C\x01\0\0\0",
        b"\x17\x01\0\0\0",
        b"\x91hvc1\0\0\0",
        b"\x93hvc1",
        b"\x91av01",
    ] {
        assert_eq!(video(BROWSER, empty), Shaped::Nothing, "there is nothing in it: {empty:?}");
    }
    assert_eq!(audio(second, b"\x95\x01Opus\x02frame"), changed(b"\x91Opusframe"));
    assert_eq!(audio(second, b"\x91Opusframe"), Shaped::Nothing);
    assert_eq!(audio(BROWSER, b"\x90mp4a"), Shaped::Nothing, "no configuration");
    assert_eq!(audio(BROWSER, b"\x90Opus"), Shaped::Same, "which needs none");
    assert_eq!(audio(second, b"\x95\x00mp4a\x02\x12\x10"), changed(b"\xAF\0\x12\x10"));
}

#[test]
fn modifiers_are_taken_off() {
    assert_eq!(video(BROWSER, b"\x97\x02\0\0\x01\x01av01frame"), changed(b"\x91av01frame"));
    assert_eq!(audio(BROWSER, b"\x97\x02\0\0\x01\x01Opusframe"), changed(b"\x91Opusframe"));
}

#[test]
fn raw_is_raw_and_a_track_of_it_only_unwrapped() {
    for payload in [&b"\x96\x01avc1\x01\0\0\0x"[..], b"\xD4hvc1x", b"\x57\0", b"\x91vp09x"] {
        assert_eq!(video(Variant::RAW, payload), Shaped::Same);
    }
    assert_eq!(audio(Variant::RAW, b"\x7Fx"), Shaped::Same);
    assert_eq!(audio(Variant::RAW, b""), Shaped::Nothing, "no valid tag");
    let second = Variant { video: Some(1), audio: Some(1), ..Variant::RAW };
    assert_eq!(video(second, b"\x96\x01avc1\x01\0\0\0x"), changed(b"\x91avc1\0\0\0x"));
    assert_eq!(audio(second, b"\x95\x01ac-3\x01x"), changed(b"\x91ac-3x"));
}

#[test]
fn a_track_that_is_not_wanted_is_left_out_and_the_metadata_says_so() {
    let sound = Variant { video: None, ..BROWSER };
    assert_eq!(video(sound, b"\x17\x01\0\0\0frame"), Shaped::Nothing);
    assert_eq!(audio(sound, b"\xAF\x01frame"), Shaped::Same);
    let metadata = crate::flv::metadata::Metadata::default();
    let (both, only) = (metadata.script_tag(BROWSER.tracks()), metadata.script_tag(sound.tracks()));
    assert_eq!(BROWSER.shape(PacketKind::Data, &both), Shaped::Same);
    assert_eq!(sound.shape(PacketKind::Data, &both), Shaped::Changed(only));
    let cue = b"\x02\0\x0AonCuePoint\x05";
    assert_eq!(sound.shape(PacketKind::Data, cue), Shaped::Same);
}

/// What is told of a codec must be true of its packets: players wait for ever for a track that never comes.
#[test]
fn what_is_carried_comes_out_and_nothing_else() {
    for format in 0..16_u8 {
        for payload in [[format << 4, 1, 2], [format << 4, 0, 2]] {
            let Some(head) = crate::flv::audio::AudioTagHeader::parse(&payload) else { continue };
            let carried = Form::Browser.carries_audio(head.codec.canonical());
            assert_eq!(audio(BROWSER, &payload) != Shaped::Nothing, carried, "audio format {format}");
        }
    }
    for codec in 0..16_u8 {
        let payload = [0x10 | codec, 1, 0, 0, 0, 9];
        let Some(head) = crate::flv::video::VideoTagHeader::parse(&payload) else { continue };
        let carried = Form::Browser.carries_video(head.codec.canonical());
        assert_eq!(video(BROWSER, &payload) != Shaped::Nothing, carried, "video codec {codec}");
    }
    for fourcc in
        [b"avc1", b"hvc1", b"vvc1", b"av01", b"vp08", b"vp09", b"mp4a", b"Opus", b"fLaC", b"ac-3", b".mp3"]
    {
        let fourcc = crate::flv::FourCc(*fourcc);
        let payload = |first: u8| [&[first], &fourcc.0[..], &[0, 0, 0, 9]].concat();
        let carried = Form::Browser.carries_video(VideoCodec::Enhanced(fourcc));
        assert_eq!(video(BROWSER, &payload(0x91)) != Shaped::Nothing, carried, "video {fourcc}");
        let carried = Form::Browser.carries_audio(AudioCodec::Enhanced(fourcc));
        assert_eq!(audio(BROWSER, &payload(0x91)) != Shaped::Nothing, carried, "audio {fourcc}");
    }
}

#[test]
fn codecs_that_can_go_out_are_known_by_form() {
    let vp9 = VideoCodec::Enhanced(crate::flv::FourCc(*b"vp09"));
    assert!(!Form::Browser.carries_video(vp9) && Form::Raw.carries_video(vp9));
    assert!(Form::Browser.carries_video(VideoCodec::Legacy(12)));
    assert!(
        !Form::LegacyHevc.carries_audio(AudioCodec::Legacy(7))
            && Form::Raw.carries_audio(AudioCodec::Legacy(7))
    );
    assert!(Form::Browser.carries_audio(AudioCodec::Legacy(10)));
}
