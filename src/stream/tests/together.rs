//! Several tracks in one packet: each has its own headers, keyframes and place in time.

use super::*;

const BOTH_HEADERS: &[u8] = b"\x96\x10avc1\0\0\0\x04new0\x01\0\0\x04new1";
const BOTH_KEYFRAMES: &[u8] = b"\x96\x11avc1\0\0\0\x04\0\0\0a\x01\0\0\x04\0\0\0b";
const BOTH_FRAMES: &[u8] = b"\xA6\x11avc1\0\0\0\x04\0\0\0c\x01\0\0\x04\0\0\0d";

fn encoder() -> Encoder {
    let mut encoder = Encoder::new(settings());
    encoder.metadata(&["videocodecid"]);
    encoder
}

fn track(track: u8) -> Wanted {
    Wanted { track, ..Wanted::default() }
}

fn bodies(encoder: &Encoder, number: u8) -> Vec<Vec<u8>> {
    encoder.joined(track(number)).unwrap().into_iter().map(|(.., body)| body).collect()
}

#[test]
fn a_viewer_begins_at_a_keyframe_of_its_own_track() {
    let mut encoder = encoder();
    encoder.send(Video, VIDEO_HEADER);
    encoder.send(Video, b"\x96\x00avc1\x01avcC");
    encoder.gop(2, 1);
    encoder.send(Video, b"\x96\x11avc1\0\0\0\0\x01\0\0\x04\0\0\0k");
    encoder.video(false, 1);
    let bodies = bodies(&encoder, 0);
    assert_eq!(bodies[1][0], 0x17, "not at that of track 1: {bodies:02x?}");
}

#[test]
fn the_newest_header_of_a_track_counts_however_it_came() {
    let mut encoder = encoder();
    encoder.send(Video, b"\x96\x00avc1\x01old1");
    encoder.send(Video, BOTH_HEADERS);
    encoder.send(Video, BOTH_KEYFRAMES);
    assert_eq!(bodies(&encoder, 1)[..2], [b"\x17\0\0\0\0new1".to_vec(), b"\x17\x01\0\0\0b".to_vec()]);
}

#[test]
fn a_header_stays_when_another_track_of_its_packet_changes() {
    let mut encoder = encoder();
    encoder.send(Video, BOTH_HEADERS);
    encoder.send(Video, BOTH_KEYFRAMES);
    encoder.time += 2000;
    encoder.send(Video, b"\x90hvc1hvcC");
    encoder.send(Video, b"\x91hvc1\0\0\0k");
    encoder.send(Video, b"\x96\x01avc1\x01\0\0\0l");
    assert_eq!(bodies(&encoder, 1)[0], b"\x17\0\0\0\0new1");
}

#[test]
fn time_goes_on_for_each_track_however_its_frames_come() {
    let mut encoder = encoder();
    encoder.send(Video, BOTH_HEADERS);
    encoder.time = 1000;
    encoder.send(Video, BOTH_KEYFRAMES);
    encoder.time = 500;
    encoder.send(Video, b"\xA6\x01avc1\x01\0\0\0e");
    encoder.time = 1040;
    encoder.send(Video, BOTH_FRAMES);
    encoder.time = 1000;
    let times: Vec<_> = encoder.joined(track(1)).unwrap().iter().map(|tag| tag.1).collect();
    assert_eq!(times, [1000, 1000, 1001, 1040]);
}

#[test]
fn raw_has_the_tracks_one_by_one() {
    let mut encoder = encoder();
    encoder.send(Video, BOTH_HEADERS);
    encoder.send(Video, BOTH_KEYFRAMES);
    let raw = encoder.joined(Wanted { form: Form::Raw, ..Wanted::default() }).unwrap();
    let bodies: Vec<_> = raw.iter().map(|(.., body)| &body[..]).collect();
    let expected: [&[u8]; 4] =
        [b"\x96\x00avc1\0new0", b"\x96\x00avc1\x01new1", b"\x96\x01avc1\0\0\0\0a", b"\x96\x01avc1\x01\0\0\0b"];
    assert_eq!(bodies, expected);
}
