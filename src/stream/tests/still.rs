use super::*;

const PICTURE: Wanted = Wanted { form: Form::Browser, track: 0, only: Some(Video) };

impl Encoder {
    /// The tags of a still.
    fn still(&self) -> Option<Vec<(PacketKind, u32, Vec<u8>)>> {
        let live = self.live();
        let file = live.still(&live.variant(PICTURE).unwrap())?;
        assert_eq!(&file[..FILE_HEADER_LENGTH], b"FLV\x01\x01\0\0\0\x09\0\0\0\0", "video alone");
        let (mut tags, mut rest) = (Vec::new(), &file[FILE_HEADER_LENGTH..]);
        while let Some((kind, timestamp, body, behind)) = split_tag(rest) {
            tags.push((kind, timestamp.0, body.to_vec()));
            rest = behind;
        }
        assert!(rest.is_empty(), "whole tags");
        Some(tags)
    }
}

#[test]
fn a_still_is_the_newest_keyframe_behind_its_headers_and_makes_no_viewer() {
    let mut encoder =
        Encoder::with_both_tracks(StreamSettings { merge: Duration::from_millis(400), ..settings() });
    assert_eq!(encoder.still(), None, "nothing has come");
    encoder.gop(10, 50);
    let second = encoder.time;
    encoder.gop(15, 50);
    let tags = encoder.still().unwrap();
    let kinds: Vec<_> = tags.iter().map(|(kind, timestamp, _)| (*kind, *timestamp)).collect();
    assert_eq!(kinds, [(Data, second), (Video, second), (Video, second)]);
    assert_eq!(tags[1].2, VIDEO_HEADER);
    assert_eq!(tags[2].2[..2], [0x17, 1], "and no frame behind it");
    assert_eq!(encoder.live().status(encoder.now()).viewers, ViewerCounts::default());
    encoder.send(Video, &[0x17, 0, 0, 0, 0, 9, 9, 9]);
    assert_eq!(encoder.still(), None, "it cannot be decoded with the new header");
}

#[test]
fn sound_alone_has_no_still() {
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["audiocodecid"]);
    encoder.send(Audio, AUDIO_HEADER);
    encoder.audio();
    assert!(encoder.live().variant(PICTURE).is_err());
}
