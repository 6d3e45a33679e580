use super::*;
use crate::amf0::Object;
use crate::flv::FourCc;

fn video(track: u8, codec: &[u8; 4]) -> TrackCodec {
    TrackCodec { track, codec: Codec::Video(VideoCodec::Enhanced(FourCc(*codec))) }
}

fn audio(track: u8, codec: &[u8; 4]) -> TrackCodec {
    TrackCodec { track, codec: Codec::Audio(AudioCodec::Enhanced(FourCc(*codec))) }
}

fn cache(codecs: &[TrackCodec]) -> HeaderCache {
    let mut cache = HeaderCache::default();
    codecs.iter().for_each(|known| cache.note_codec(known.track, known.codec));
    cache
}

/// The numbers of the video and the audio track.
fn given(codecs: &[TrackCodec], wanted: Wanted) -> Result<(Option<u8>, Option<u8>), NotThere> {
    cache(codecs).variant(wanted).map(|variant| (variant.video, variant.audio))
}

#[test]
fn a_viewer_gets_the_track_that_it_asks_for_where_there_is_one() {
    let ladder = [video(0, b"avc1"), audio(0, b"mp4a"), video(2, b"hvc1"), audio(1, b"Opus")];
    let track = |track| Wanted { track, ..Wanted::default() };
    assert_eq!(given(&ladder, track(0)), Ok((Some(0), Some(0))));
    assert_eq!(given(&ladder, track(1)), Ok((Some(0), Some(1))));
    assert_eq!(given(&ladder, track(2)), Ok((Some(2), Some(0))));
    assert_eq!(given(&ladder, track(3)), Err(NotThere::Track));
    let only = |kind, track| Wanted { only: Some(kind), track, ..Wanted::default() };
    assert_eq!(given(&ladder, only(PacketKind::Audio, 1)), Ok((None, Some(1))));
    assert_eq!(given(&ladder, only(PacketKind::Audio, 2)), Err(NotThere::Track));
    assert_eq!(given(&[audio(0, b"mp4a")], only(PacketKind::Video, 0)), Err(NotThere::Track));
    assert_eq!(given(&[video(3, b"hvc1")], track(0)), Ok((Some(3), None)), "the lowest there is");
}

#[test]
fn what_the_form_cannot_carry_is_left_out_or_all_there_is() {
    let raw = Wanted { form: Form::Raw, ..Wanted::default() };
    let odd = [video(0, b"vp09"), audio(0, b"mp4a")];
    assert_eq!(given(&odd, Wanted::default()), Ok((None, Some(0))));
    assert_eq!(given(&odd, raw), Ok((Some(0), Some(0))));
    assert_eq!(given(&odd[..1], Wanted::default()), Err(NotThere::Form));
}

#[test]
fn headers_are_kept_by_track_and_role_within_their_bounds() {
    use PacketKind::{Audio, Data, Video};
    let mut cache = HeaderCache::default();
    let mut store = |kind, track, role, payload: &[u8]| cache.store(kind, track, role, payload);
    assert_eq!(store(Audio, 0, Role::Sequence, b"\xAF\0a"), Change::First);
    assert_eq!(store(Video, 1, Role::Sequence, b"v1"), Change::First);
    assert_eq!(store(Video, 0, Role::Sequence, b"v0"), Change::First);
    assert_eq!(store(Video, 0, Role::Description, b"colour"), Change::First);
    assert_eq!(store(Video, 0, Role::Sequence, b"v0"), Change::Same);
    assert_eq!(store(Video, 0, Role::Sequence, b"v0'"), Change::Replaced);
    let room = MAX_HEADER_BYTES - [&b"\xAF\0a"[..], b"v1", b"v0'", b"colour"].concat().len();
    assert_eq!(store(Video, 2, Role::Sequence, &vec![0; room + 1]), Change::Same);
    assert_eq!(store(Video, 2, Role::Sequence, &vec![0; room]), Change::First);
    assert_eq!(store(Video, 0, Role::Sequence, b"v0''"), Change::Same, "one byte more");
    assert_eq!(cache.generation, 6);
    let order: Vec<_> = cache.packets(&Variant::RAW, Timestamp(7)).into_iter().map(|p| p.kind).collect();
    assert_eq!(order, [Data, Video, Video, Video, Video, Audio]);
}

#[test]
fn size_and_sound_are_what_the_first_tracks_headers_say_or_else_the_metadata() {
    let mut cache = cache(&[video(1, b"avc1"), video(2, b"vp09"), audio(0, b"mp4a")]);
    let properties =
        [("width", 640.0), ("height", 360.5), ("audiosamplerate", 22_050.0), ("audiochannels", 1.0)];
    let metadata = |height: f64| {
        let mut values = Object::default();
        properties.iter().for_each(|(key, number)| values.set(key, *number));
        values.set("height", height);
        Metadata(values)
    };
    cache.store_metadata(metadata(360.5));
    assert_eq!((cache.picture_size(), cache.sound()), (None, (Some(22_050), Some(1))), "half a pixel");
    cache.store_metadata(metadata(360.0));
    assert_eq!(cache.picture_size(), Some((640, 360)));
    // libopenh264's, of 322 by 242 pixels.
    let record = b"\x01\x42\xC0\x14\xFF\xE1\0\x10\x67\x42\xC0\x14\x8C\x68\x15\x08\x58\x88\x8C\x04\x07\x84\x42\x35\x01\0\x04\x68\xCE\x3C\x80";
    cache.store(PacketKind::Video, 1, Role::Sequence, &[b"\x96\x00avc1\x01", &record[..]].concat());
    cache.store(PacketKind::Audio, 0, Role::Sequence, b"\xAF\0\x12\x10");
    assert_eq!((cache.picture_size(), cache.sound()), (Some((322, 242)), (Some(44_100), Some(2))));
    assert_eq!(HeaderCache::default().picture_size(), None);
}

#[test]
fn another_codec_puts_the_headers_of_its_track_aside() {
    let mut cache = cache(&[video(0, b"avc1"), video(1, b"avc1")]);
    cache.store(PacketKind::Video, 0, Role::Sequence, b"old");
    cache.store(PacketKind::Video, 1, Role::Sequence, b"other");
    cache.note_codec(0, video(0, b"hvc1").codec);
    assert_eq!(cache.headers.len(), 1);
    assert_eq!(cache.codecs(PacketKind::Video), [video(0, b"hvc1"), video(1, b"avc1")]);
    cache.note_codec(0, video(0, b"avc1").codec);
    assert_eq!(cache.headers[0].payload, b"old", "which it is again");
}
