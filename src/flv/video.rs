//! The first bytes of a video payload (annex E.4.3.1; Enhanced RTMP v2, "ExVideoTagHeader").

use super::FourCc;
use super::enhanced::{CODED_FRAMES, Enhanced, Part, SEQUENCE_END, SEQUENCE_START};
use crate::bytes::{Reader, UnexpectedEnd};

/// What kind of frame a payload holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameType {
    /// 1: decodable on its own.
    Key,
    /// 2: needs earlier frames.
    Inter,
    /// 3: needs earlier frames, needed by none.
    Disposable,
    /// 4: reserved for servers.
    GeneratedKey,
    /// 5: a command to the player, no frame. Only metadata of Enhanced RTMP, where it means nothing, has it.
    Command,
    /// 0, 6 and 7.
    Unknown(u8),
}

/// How the codec is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoCodec {
    /// A legacy codec id: 2 Sorenson H.263, 4 VP6, 7 AVC; by custom 12 HEVC, 13 AV1, 14 VP8, 15 VP9.
    Legacy(u8),
    /// An Enhanced RTMP codec.
    Enhanced(FourCc),
}

/// What a payload is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoContent {
    /// The decoder's configuration, sent before the first frame and when it changes.
    SequenceHeader,
    /// Coded pictures.
    Frames {
        /// Presentation minus decoding time in ms; 0 where the codec or packet has no such field.
        composition_time: i32,
    },
    /// Nothing more comes in this sequence.
    EndOfSequence,
    /// A configuration or a frame of no bytes, which stands for nothing.
    Empty,
    /// Metadata (colour volume, HDR), a configuration that decoders have in another form: no picture.
    Other,
}

/// The head of a video payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoTagHeader {
    /// Kind of frame; sequence headers say `Key` too.
    pub frame_type: FrameType,
    /// The codec; of several tracks, the first one's.
    pub codec: VideoCodec,
    /// What follows.
    pub content: VideoContent,
    /// Which track it belongs to; of several, the first that has something in it. Without a word about it, 0.
    pub track: u8,
    /// Nanoseconds to add to the timestamp, below 1,000,000.
    pub nano_offset: u32,
}

/// Codec id of AVC (H.264).
pub const AVC: u8 = 7;
/// Codec id of HEVC, by custom.
pub const HEVC: u8 = 12;
/// Codec id of AV1, by custom.
pub const AV1: u8 = 13;

/// Set in the first byte of an Enhanced RTMP payload.
pub(super) const EX_HEADER: u8 = 0x80;
/// Coded frames that are shown when they are decoded: without a composition time.
pub(super) const CODED_FRAMES_X: u8 = 3;
/// Colour and other properties that are no configuration of the decoder.
const METADATA: u8 = 4;
/// The packet type of several tracks.
pub(super) const MULTITRACK: u8 = 6;

impl VideoTagHeader {
    /// Reads the head of `payload`; `None` if it is cut off, or nothing but a command to the player.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let first = reader.u8().ok()?;
        if first & EX_HEADER != 0 {
            let enhanced = enhanced(payload)?;
            Self::enhanced(FrameType::of(first), &enhanced)
        } else if FrameType::of(first) == FrameType::Command {
            // The codec that it names need not be that of the stream.
            None
        } else {
            Self::legacy(first, &mut reader).ok()
        }
    }

    /// Whether a decoder can begin here.
    pub fn is_keyframe(&self) -> bool {
        self.frame_type == FrameType::Key && matches!(self.content, VideoContent::Frames { .. })
    }

    /// Whether this configures the decoder.
    pub fn is_sequence_header(&self) -> bool {
        self.content == VideoContent::SequenceHeader
    }

    fn legacy(first: u8, reader: &mut Reader<'_>) -> Result<Self, UnexpectedEnd> {
        let (frame_type, codec) = (FrameType::of(first), first & 0x0F);
        let content = match codec {
            AVC | HEVC | AV1 => {
                let (packet_type, composition_time) = (reader.u8()?, reader.i24());
                match packet_type {
                    0 | 1 if reader.is_empty() => VideoContent::Empty,
                    0 => VideoContent::SequenceHeader,
                    1 => VideoContent::Frames { composition_time: composition_time? },
                    2 => VideoContent::EndOfSequence,
                    _ => VideoContent::Other,
                }
            }
            _ if reader.is_empty() => VideoContent::Empty,
            _ => VideoContent::Frames { composition_time: 0 },
        };
        Ok(Self { frame_type, codec: VideoCodec::Legacy(codec), content, track: 0, nano_offset: 0 })
    }

    fn enhanced(frame_type: FrameType, enhanced: &Enhanced<'_>) -> Option<Self> {
        // Of several tracks some may have nothing in this packet.
        let known = || enhanced.parts().filter_map(|part| Some((part, content(enhanced.packet_type, &part)?)));
        let is_something = |(_, content): &(Part<'_>, VideoContent)| *content != VideoContent::Empty;
        let (first, content) = known().find(is_something).or(known().next())?;
        let codec = VideoCodec::Enhanced(first.codec);
        Some(Self { frame_type, codec, content, track: first.track, nano_offset: enhanced.nano_offset })
    }
}

/// What a track's part of a payload is for; `None` if its frame is cut off.
fn content(packet_type: u8, part: &Part<'_>) -> Option<VideoContent> {
    let mut reader = Reader::new(part.body);
    let has_composition_time = packet_type == CODED_FRAMES && has_composition_time(part.codec);
    let composition_time = if has_composition_time { reader.i24().ok()? } else { 0 };
    Some(match packet_type {
        SEQUENCE_START | CODED_FRAMES | CODED_FRAMES_X if reader.is_empty() => VideoContent::Empty,
        SEQUENCE_START => VideoContent::SequenceHeader,
        CODED_FRAMES | CODED_FRAMES_X => VideoContent::Frames { composition_time },
        SEQUENCE_END => VideoContent::EndOfSequence,
        _ => VideoContent::Other,
    })
}

/// Takes an enhanced payload apart; `None` if it is cut off or a command.
pub(super) fn enhanced(payload: &[u8]) -> Option<Enhanced<'_>> {
    let mut reader = Reader::new(payload);
    let first = reader.u8().ok()?;
    // A command has no codec. Metadata has one, and its frame type means nothing.
    if FrameType::of(first) == FrameType::Command && first & 0x0F != METADATA {
        return None;
    }
    Enhanced::read(first & 0x0F, MULTITRACK, &mut reader).ok()
}

/// Whether coded frames of a codec begin with a composition time.
pub(super) fn has_composition_time(codec: FourCc) -> bool {
    matches!(&codec.0, b"avc1" | b"hvc1" | b"vvc1")
}

impl FrameType {
    /// Of a payload with this first byte.
    fn of(first: u8) -> Self {
        let bits = if first & EX_HEADER != 0 { first >> 4 & 0x07 } else { first >> 4 };
        match bits {
            1 => Self::Key,
            2 => Self::Inter,
            3 => Self::Disposable,
            4 => Self::GeneratedKey,
            5 => Self::Command,
            other => Self::Unknown(other),
        }
    }
}

impl VideoCodec {
    /// The same for both names of a codec that has two: the enhanced one.
    pub fn canonical(self) -> Self {
        match self {
            Self::Legacy(AVC) => Self::Enhanced(FourCc(*b"avc1")),
            Self::Legacy(HEVC) => Self::Enhanced(FourCc(*b"hvc1")),
            Self::Legacy(AV1) => Self::Enhanced(FourCc(*b"av01")),
            Self::Legacy(14) => Self::Enhanced(FourCc(*b"vp08")),
            Self::Legacy(15) => Self::Enhanced(FourCc(*b"vp09")),
            other => other,
        }
    }

    /// The usual name, for logs and status.
    pub fn name(self) -> String {
        match self.canonical() {
            Self::Legacy(2) => "H.263".into(),
            Self::Legacy(4 | 5) => "VP6".into(),
            Self::Legacy(id) => format!("video codec {id}"),
            Self::Enhanced(fourcc) => match &fourcc.0 {
                b"avc1" => "H.264".into(),
                b"hvc1" => "HEVC".into(),
                b"vvc1" => "VVC".into(),
                b"av01" => "AV1".into(),
                b"vp08" => "VP8".into(),
                b"vp09" => "VP9".into(),
                _ => fourcc.to_string(),
            },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(payload: &[u8]) -> VideoTagHeader {
        VideoTagHeader::parse(payload).unwrap()
    }

    #[test]
    fn avc_sequence_headers_are_no_keyframes() {
        let header = parse(&[0x17, 0, 0, 0, 0, 1]);
        assert!(header.is_sequence_header() && !header.is_keyframe());
        assert!(parse(&[0x17, 1, 0, 0, 0, 1]).is_keyframe());
        assert!(!parse(&[0x27, 1, 0, 0, 0, 1]).is_keyframe());
        assert_eq!(parse(&[0x17, 2, 0, 0, 0]).content, VideoContent::EndOfSequence);
    }

    #[test]
    fn composition_times_are_signed() {
        assert_eq!(
            parse(&[0x27, 1, 0xFF, 0xFF, 0xD8, 1]).content,
            VideoContent::Frames { composition_time: -40 }
        );
        assert_eq!(parse(&[0x1C, 1, 0, 0, 80, 1]).content, VideoContent::Frames { composition_time: 80 });
    }

    #[test]
    fn old_codecs_have_no_packet_type_and_commands_are_nothing() {
        assert!(parse(&[0x12, 1]).is_keyframe());
        assert_eq!(VideoTagHeader::parse(&[0x57, 0]), None, "as Wowza sends it");
    }

    #[test]
    fn enhanced_payloads_are_recognised() {
        let hevc = parse(b"\x90hvc1\x01");
        assert!(hevc.is_sequence_header());
        assert_eq!(hevc.codec.name(), "HEVC");
        assert_eq!(parse(b"\x91hvc1\xFF\xFF\xFE\x01").content, VideoContent::Frames { composition_time: -2 });
        assert!(parse(b"\x93hvc1\x01").is_keyframe());
        assert!(parse(b"\x91av01\x01").is_keyframe());
        assert!(!parse(b"\xA1av01\x01").is_keyframe());
        assert_eq!(parse(b"\x92av01").content, VideoContent::EndOfSequence);
        assert_eq!(parse(b"\xD4hvc1\x02").content, VideoContent::Other, "metadata, whatever its frame type");
        assert_eq!(VideoTagHeader::parse(b"\xD0\x00"), None, "a command has no codec");
        assert_eq!(
            parse(b"\x95av01\x80").content,
            VideoContent::Other,
            "a configuration for transport streams"
        );
    }

    #[test]
    fn tracks_are_found_behind_modifiers() {
        let second = parse(b"\x97\0\0\x06\x01avc1\x02\0\0\x28\x01");
        assert_eq!(second.track, 2);
        assert_eq!(second.content, VideoContent::Frames { composition_time: 40 });
        assert!(second.is_keyframe());
        let many = parse(b"\x96\x20vp09\x01\0\0\x01aav01\x02\0\0\x01b");
        assert_eq!((many.track, many.codec.name()), (1, "VP9".into()));
        assert!(many.is_sequence_header());
        assert_eq!(VideoTagHeader::parse(b"\x96\x20"), None, "no track at all");
        assert_eq!(parse(b"\xA6\x11avc1\0\0\0\0\x01\0\0\x03\0\0\0").track, 1, "track 0 has nothing here");
    }

    #[test]
    fn a_codec_with_two_names_is_one() {
        assert_eq!(parse(&[0x1C, 1, 0, 0, 0]).codec.canonical(), parse(b"\x91hvc1\0\0\0").codec);
        assert_eq!(parse(&[0x12]).codec.canonical(), VideoCodec::Legacy(2));
    }

    #[test]
    fn frames_and_configurations_of_no_bytes_are_empty() {
        for payload in [
            &b"\x17\0\0\0\0"[..],
            b"\x17\0",
            b"\x17\x01\0\0\0",
            b"\x12",
            b"\x90hvc1",
            b"\x91hvc1\0\0\0",
            b"\x93hvc1",
            b"\x91av01",
        ] {
            assert_eq!(parse(payload).content, VideoContent::Empty, "{payload:02x?}");
        }
    }

    #[test]
    fn cut_off_heads_are_none() {
        for payload in [&b""[..], b"\x17", b"\x17\x01\0\0", b"\x90hvc", b"\x91hvc1\0\0"] {
            assert_eq!(VideoTagHeader::parse(payload), None, "{payload:?}");
        }
    }
}
