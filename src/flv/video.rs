//! The first bytes of a video payload (annex E.4.3.1; Enhanced RTMP v2, "ExVideoTagHeader").

use super::FourCc;
use crate::bytes::Reader;

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
    /// 5: a command to the player, no frame.
    Command,
    /// 0, 6 and 7.
    Unknown(u8),
}

/// How the codec is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VideoCodec {
    /// A legacy codec id: 2 Sorenson H.263, 4 VP6, 7 AVC; by custom 12 HEVC, 13 AV1.
    Legacy(u8),
    /// An Enhanced RTMP codec.
    Enhanced(FourCc),
    /// Enhanced RTMP whose codec stands deeper in the payload (several tracks, extended modifiers).
    Nested,
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
    /// Metadata (colour volume, HDR) or a command to the player: neither starts nor holds a picture.
    Other,
}

/// The head of a video payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VideoTagHeader {
    /// Kind of frame; sequence headers say `Key` too.
    pub frame_type: FrameType,
    /// The codec.
    pub codec: VideoCodec,
    /// What follows.
    pub content: VideoContent,
}

/// Codec id of AVC (H.264).
pub const AVC: u8 = 7;
/// Codec id of HEVC, by custom.
pub const HEVC: u8 = 12;
/// Codec id of AV1, by custom.
pub const AV1: u8 = 13;

/// Set in the first byte of an Enhanced RTMP payload.
const EX_HEADER: u8 = 0x80;

impl VideoTagHeader {
    /// Reads the head of `payload`; `None` if it is cut off.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let first = reader.u8().ok()?;
        if first & EX_HEADER != 0 {
            Self::enhanced(first, &mut reader)
        } else {
            Self::legacy(first, &mut reader)
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

    fn legacy(first: u8, reader: &mut Reader<'_>) -> Option<Self> {
        let (frame_type, codec) = (FrameType::from_bits(first >> 4), first & 0x0F);
        let content = match codec {
            _ if frame_type == FrameType::Command => VideoContent::Other,
            AVC | HEVC | AV1 => match reader.u8().ok()? {
                0 => VideoContent::SequenceHeader,
                1 => VideoContent::Frames { composition_time: reader.i24().ok()? },
                2 => VideoContent::EndOfSequence,
                _ => VideoContent::Other,
            },
            _ => VideoContent::Frames { composition_time: 0 },
        };
        Some(Self { frame_type, codec: VideoCodec::Legacy(codec), content })
    }

    fn enhanced(first: u8, reader: &mut Reader<'_>) -> Option<Self> {
        let (frame_type, packet_type) = (FrameType::from_bits(first >> 4 & 0x07), first & 0x0F);
        // Metadata's frame type means nothing: look at the packet type first.
        if frame_type == FrameType::Command && packet_type != 4 {
            return Some(Self { frame_type, codec: VideoCodec::Nested, content: VideoContent::Other });
        }
        if matches!(packet_type, 6 | 7) {
            // Multitrack and ModEx are passed on unread; their inner packet is not looked for yet.
            return Some(Self {
                frame_type,
                codec: VideoCodec::Nested,
                content: VideoContent::Frames { composition_time: 0 },
            });
        }
        let fourcc = FourCc(reader.take(4).ok()?.try_into().ok()?);
        let content = match packet_type {
            0 | 5 => VideoContent::SequenceHeader,
            1 => {
                let timed = matches!(&fourcc.0, b"avc1" | b"hvc1" | b"vvc1");
                VideoContent::Frames { composition_time: if timed { reader.i24().ok()? } else { 0 } }
            }
            2 => VideoContent::EndOfSequence,
            3 => VideoContent::Frames { composition_time: 0 },
            _ => VideoContent::Other,
        };
        Some(Self { frame_type, codec: VideoCodec::Enhanced(fourcc), content })
    }
}

impl FrameType {
    fn from_bits(bits: u8) -> Self {
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
    /// The usual name, for logs and status.
    pub fn name(&self) -> String {
        match self {
            Self::Legacy(2) => "H.263".into(),
            Self::Legacy(4 | 5) => "VP6".into(),
            Self::Legacy(AVC) => "H.264".into(),
            Self::Legacy(HEVC) => "HEVC".into(),
            Self::Legacy(AV1) => "AV1".into(),
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
            Self::Nested => "multitrack video".into(),
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
        assert_eq!(parse(&[0x27, 1, 0xFF, 0xFF, 0xD8]).content, VideoContent::Frames { composition_time: -40 });
        assert_eq!(parse(&[0x1C, 1, 0, 0, 80]).content, VideoContent::Frames { composition_time: 80 });
    }

    #[test]
    fn old_codecs_have_no_packet_type_and_commands_are_no_frames() {
        assert!(parse(&[0x12]).is_keyframe());
        assert_eq!(parse(&[0x57, 0]).content, VideoContent::Other);
    }

    #[test]
    fn enhanced_payloads_are_recognised() {
        let hevc = parse(b"\x90hvc1\x01");
        assert!(hevc.is_sequence_header());
        assert_eq!(hevc.codec.name(), "HEVC");
        assert_eq!(parse(b"\x91hvc1\xFF\xFF\xFE").content, VideoContent::Frames { composition_time: -2 });
        assert!(parse(b"\x93hvc1\x01").is_keyframe());
        assert!(parse(b"\x91av01\x01").is_keyframe());
        assert!(!parse(b"\xA1av01\x01").is_keyframe());
        assert_eq!(parse(b"\x92av01").content, VideoContent::EndOfSequence);
        assert_eq!(parse(b"\xD4hvc1\x02").content, VideoContent::Other, "metadata, whatever its frame type");
        assert_eq!(parse(b"\xD0\x00").content, VideoContent::Other, "a command has no FourCC");
    }

    #[test]
    fn cut_off_heads_are_none() {
        for payload in [&b""[..], b"\x17", b"\x17\x01\0\0", b"\x90hvc", b"\x91hvc1\0\0"] {
            assert_eq!(VideoTagHeader::parse(payload), None, "{payload:?}");
        }
    }
}
