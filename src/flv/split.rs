//! Packets of several tracks, taken apart: each track then has its own headers, keyframes and place in time.

use super::enhanced::{Enhanced, Layout, Part};
use super::{audio, video};
use crate::media::PacketKind;

/// Length of a FourCC.
const FOURCC: usize = 4;

/// Longer modifiers are left away: they would stand in front of each track, and be many times what came. The only one
/// that is known takes five bytes.
const MAX_MODIFIERS: usize = 64;

/// The payloads of one track each that a payload of several tracks consists of, in their order; none if it is no such
/// payload. What modifies all of them stands in front of each.
pub fn split_tracks(kind: PacketKind, payload: &[u8]) -> Option<impl Iterator<Item = Vec<u8>>> {
    let first = *payload.first()?;
    let (enhanced, multitrack) = match kind {
        PacketKind::Video if first & video::EX_HEADER != 0 => (video::enhanced(payload)?, video::MULTITRACK),
        PacketKind::Audio if first >> 4 == audio::EX_HEADER => (audio::enhanced(payload)?, audio::MULTITRACK),
        _ => return None,
    };
    let modifiers = match &payload[..modifiers_length(payload, &enhanced)?] {
        short if short.len() <= MAX_MODIFIERS => short.to_vec(),
        _ => vec![first & 0xF0 | multitrack],
    };
    let packet_type = [enhanced.packet_type];
    let one = move |Part { track, codec, body }: Part<'_>| {
        [&modifiers[..], &packet_type, &codec.0, &[track], body].concat()
    };
    Some(enhanced.parts().map(one))
}

/// How much stands in front of the byte that says how several tracks lie; `None` if they do not.
fn modifiers_length(payload: &[u8], enhanced: &Enhanced<'_>) -> Option<usize> {
    let head = payload.len() - enhanced.rest.len();
    match enhanced.layout {
        Layout::ManyTracks => Some(head - FOURCC - 1),
        Layout::ManyCodecs => Some(head - 1),
        Layout::Plain | Layout::OneTrack => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use PacketKind::{Audio, Data, Video};

    fn split(kind: PacketKind, payload: &[u8]) -> Vec<Vec<u8>> {
        split_tracks(kind, payload).unwrap().collect()
    }

    #[test]
    fn each_part_becomes_a_packet_of_its_own() {
        assert_eq!(
            split(Video, b"\x96\x11avc1\0\0\0\x04\0\0\0k\x02\0\0\x04\0\0\0l"),
            [&b"\x96\x01avc1\0\0\0\0k"[..], b"\x96\x01avc1\x02\0\0\0l"]
        );
        assert_eq!(
            split(Video, b"\x96\x20avc1\0\0\0\x01aav01\x01\0\0\x01b"),
            [&b"\x96\x00avc1\0a"[..], b"\x96\x00av01\x01b"]
        );
        assert_eq!(
            split(Audio, b"\x95\x11Opus\0\0\0\0\x01\0\0\x01s"),
            [&b"\x95\x01Opus\0"[..], b"\x95\x01Opus\x01s"]
        );
    }

    #[test]
    fn modifiers_stand_in_front_of_each() {
        let nano = b"\xA7\x02\0\0\x05\x06\x21avc1\0\0\0\x01aav01\x01\0\0\x01b";
        let expected = [&b"\xA7\x02\0\0\x05\x06\x01avc1\0a"[..], b"\xA7\x02\0\0\x05\x06\x01av01\x01b"];
        assert_eq!(split(Video, nano), expected);
    }

    #[test]
    fn modifiers_that_are_too_long_are_left_away() {
        // The first is unknown, of so many bytes.
        let modified = |length: u8| {
            let modifier = [&[0xA7, length - 1][..], &vec![7; length.into()], &[0x16]].concat();
            split(Video, &[&modifier[..], b"\x11avc1\x01\0\0\x01b"].concat())
        };
        assert_eq!(modified(61)[0].len(), MAX_MODIFIERS + b"\x01avc1\x01b".len());
        assert_eq!(modified(62), [b"\xA6\x01avc1\x01b"]);
    }

    #[test]
    fn what_is_cut_off_is_left_out() {
        assert_eq!(split(Video, b"\x96\x10avc1\0\0\0\x01a\x01\0\0\x09b"), [b"\x96\x00avc1\0a"]);
        assert_eq!(split(Video, b"\x96\x10avc1"), [&b""[..]; 0]);
    }

    #[test]
    fn all_else_is_no_packet_of_several_tracks() {
        for (kind, payload) in [
            (Video, &b""[..]),
            (Video, b"\x17\x01\0\0\0k"),
            (Video, b"\x91avc1\0\0\0k"),
            (Video, b"\x96\x01avc1\x01\0\0\0k"),
            (Video, b"\x96\x11av"),
            (Video, b"\xD6\x11avc1"),
            (Audio, b"\xAF\x01\x21"),
            (Audio, b"\x95\x01Opus\x01s"),
            (Data, b"\x96\x10avc1\0\0\0\x01a"),
        ] {
            assert!(split_tracks(kind, payload).is_none(), "{payload:02x?}");
        }
    }
}
