//! What audio and video payloads of Enhanced RTMP have in common: modifiers, then one track or several
//! (Enhanced RTMP v2, "ExVideoTagHeader" and "ExAudioTagHeader").

use super::FourCc;
use crate::bytes::{Reader, UnexpectedEnd};

/// Sent before the first frame: the decoder's configuration.
pub(super) const SEQUENCE_START: u8 = 0;
/// Coded frames, with a composition time where the codec has one.
pub(super) const CODED_FRAMES: u8 = 1;
/// Nothing more comes in this sequence.
pub(super) const SEQUENCE_END: u8 = 2;

/// The packet type that wraps others; what the packet really is follows the modifiers.
const MOD_EX: u8 = 7;

/// The modifier that refines the timestamp by nanoseconds.
const TIMESTAMP_OFFSET_NANO: u8 = 0;

/// A payload taken apart as far as its tracks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Enhanced<'a> {
    pub(super) packet_type: u8,
    /// Nanoseconds to add to the timestamp, below 1,000,000.
    pub(super) nano_offset: u32,
    pub(super) layout: Layout,
    /// The codec of all tracks, unless each names its own.
    codec: Option<FourCc>,
    /// Behind the codec of all tracks.
    pub(super) rest: &'a [u8],
}

/// How the tracks lie in a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// The only track, 0, without a word about it.
    Plain,
    /// One track with its number.
    OneTrack,
    /// Tracks with number and length.
    ManyTracks,
    /// The same, and each with its codec.
    ManyCodecs,
}

/// One track's part of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part<'a> {
    pub(super) track: u8,
    pub(super) codec: FourCc,
    pub(super) body: &'a [u8],
}

/// The modifiers of a payload.
struct Modifiers {
    packet_type: u8,
    nano_offset: u32,
}

impl<'a> Enhanced<'a> {
    /// Reads what follows the first byte. `multitrack` is the packet type that says so: audio and video differ in it.
    pub(super) fn read(
        first_packet_type: u8,
        multitrack: u8,
        reader: &mut Reader<'a>,
    ) -> Result<Self, UnexpectedEnd> {
        let Modifiers { mut packet_type, nano_offset } = Modifiers::read(first_packet_type, reader)?;
        let mut layout = Layout::Plain;
        if packet_type == multitrack {
            let byte = reader.u8()?;
            packet_type = byte & 0x0F;
            layout = match byte >> 4 {
                0 => Layout::OneTrack,
                1 => Layout::ManyTracks,
                2 => Layout::ManyCodecs,
                _ => return Err(UnexpectedEnd),
            };
        }
        let codec = if layout == Layout::ManyCodecs { None } else { Some(fourcc(reader)?) };
        Ok(Self { packet_type, nano_offset, layout, codec, rest: reader.rest() })
    }

    /// The parts of the payload, to the first that is not whole.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part<'a>> + use<'a> {
        let (layout, codec) = (self.layout, self.codec);
        let mut reader = Reader::new(self.rest);
        let mut first = true;
        std::iter::from_fn(move || {
            // A plain payload may be empty; a list of tracks then has an end.
            if !std::mem::take(&mut first) && reader.is_empty() {
                return None;
            }
            part(layout, codec, &mut reader).ok()
        })
    }

    /// The part of one track.
    pub(super) fn part(&self, track: u8) -> Option<Part<'a>> {
        self.parts().find(|part| part.track == track)
    }

    /// Whether nothing but the codec and the body of track 0 follows the first byte.
    pub(super) fn is_plain(&self, first_packet_type: u8) -> bool {
        self.layout == Layout::Plain && first_packet_type != MOD_EX
    }
}

fn part<'a>(layout: Layout, codec: Option<FourCc>, reader: &mut Reader<'a>) -> Result<Part<'a>, UnexpectedEnd> {
    let codec = match codec {
        Some(codec) => codec,
        None => fourcc(reader)?,
    };
    let track = if layout == Layout::Plain { 0 } else { reader.u8()? };
    let length = match layout {
        Layout::Plain | Layout::OneTrack => reader.rest().len(),
        Layout::ManyTracks | Layout::ManyCodecs => reader.u24()? as usize,
    };
    Ok(Part { track, codec, body: reader.take(length)? })
}

fn fourcc(reader: &mut Reader<'_>) -> Result<FourCc, UnexpectedEnd> {
    let bytes = reader.take(4)?;
    Ok(FourCc([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

impl Modifiers {
    fn read(mut packet_type: u8, reader: &mut Reader<'_>) -> Result<Self, UnexpectedEnd> {
        let mut nano_offset = 0;
        while packet_type == MOD_EX {
            let mut length = usize::from(reader.u8()?) + 1;
            if length == 256 {
                length = usize::from(reader.u16()?) + 1;
            }
            let data = reader.take(length)?;
            let next = reader.u8()?;
            if next >> 4 == TIMESTAMP_OFFSET_NANO
                && let Ok(offset) = Reader::new(data).u24()
            {
                nano_offset = offset.min(999_999);
            }
            packet_type = next & 0x0F;
        }
        Ok(Self { packet_type, nano_offset })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const MULTITRACK: u8 = 6;

    fn read(packet_type: u8, rest: &[u8]) -> Result<Enhanced<'_>, UnexpectedEnd> {
        Enhanced::read(packet_type, MULTITRACK, &mut Reader::new(rest))
    }

    fn parts(enhanced: Enhanced<'_>) -> Vec<(u8, String, &[u8])> {
        enhanced.parts().map(|part| (part.track, part.codec.to_string(), part.body)).collect()
    }

    #[test]
    fn a_plain_payload_is_track_0() {
        let plain = read(1, b"av01abc").unwrap();
        assert_eq!((plain.packet_type, plain.layout), (1, Layout::Plain));
        assert_eq!(parts(plain), [(0, "av01".into(), &b"abc"[..])]);
        assert_eq!(parts(read(0, b"Opus").unwrap()), [(0, "Opus".into(), &b""[..])], "an empty configuration");
    }

    #[test]
    fn tracks_have_numbers_lengths_and_codecs_as_the_layout_says() {
        let one = read(MULTITRACK, b"\x01avc1\x05abc").unwrap();
        assert_eq!((one.packet_type, one.layout), (1, Layout::OneTrack));
        assert_eq!(parts(one), [(5, "avc1".into(), &b"abc"[..])]);
        let many = read(MULTITRACK, b"\x10avc1\0\0\0\x02ab\x01\0\0\x01c").unwrap();
        assert_eq!(parts(many), [(0, "avc1".into(), &b"ab"[..]), (1, "avc1".into(), &b"c"[..])]);
        let codecs = read(MULTITRACK, b"\x20avc1\0\0\0\x01aav01\x02\0\0\x01b").unwrap();
        assert_eq!(parts(codecs), [(0, "avc1".into(), &b"a"[..]), (2, "av01".into(), &b"b"[..])]);
        assert_eq!(codecs.part(2).unwrap().body, b"b");
        assert_eq!(codecs.part(1), None);
        assert!(read(MULTITRACK, b"\x31avc1\0a").is_err(), "there is no such layout");
    }

    #[test]
    fn parts_end_at_the_first_that_is_cut_off() {
        let many = read(MULTITRACK, b"\x10avc1\0\0\0\x02ab\x01\0\0\x09c").unwrap();
        assert_eq!(parts(many), [(0, "avc1".into(), &b"ab"[..])]);
        assert_eq!(parts(read(MULTITRACK, b"\x10avc1").unwrap()), []);
    }

    #[test]
    fn modifiers_stand_in_front_of_what_the_packet_is() {
        let nano = read(7, b"\x02\x01\x02\x03\x01av01x").unwrap();
        assert_eq!((nano.packet_type, nano.nano_offset), (1, 0x01_02_03));
        // An unknown modifier, a long one, and only then what it is: several tracks.
        let mut chain = b"\x00\xAA\x17\xFF\x01\x00".to_vec();
        chain.extend([0; 257]);
        chain.extend(b"\x26\x00avc1\x03abc");
        let behind = read(7, &chain).unwrap();
        assert_eq!((behind.packet_type, behind.nano_offset, behind.layout), (0, 0, Layout::OneTrack));
        assert_eq!(parts(behind), [(3, "avc1".into(), &b"abc"[..])]);
        assert_eq!(read(7, b"\x02\x0F\xFF\xFF\x01av01").unwrap().nano_offset, 999_999, "never a millisecond");
        assert!(!behind.is_plain(7) && read(1, b"av01").unwrap().is_plain(1));
    }

    #[test]
    fn every_cut_is_an_error_or_less() {
        let whole = b"\x02\x01\x02\x03\x06\x21avc1\0\0\0\x01aav01\x02\0\0\x01b";
        for end in 0..whole.len() {
            if let Ok(enhanced) = read(7, &whole[..end]) {
                assert!(parts(enhanced).len() < 2, "{end}");
            }
        }
        assert_eq!(parts(read(7, whole).unwrap()).len(), 2);
    }
}
