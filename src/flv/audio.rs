//! The first bytes of an audio payload (annex E.4.2.1; Enhanced RTMP v2, "ExAudioTagHeader").

use super::FourCc;
use super::enhanced::{CODED_FRAMES, Enhanced, SEQUENCE_START};
use crate::bytes::{Reader, UnexpectedEnd};

/// How the codec is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioCodec {
    /// A legacy sound format: 2 MP3, 7 and 8 G.711, 10 AAC, 11 Speex; by custom 13 Opus.
    Legacy(u8),
    /// An Enhanced RTMP codec.
    Enhanced(FourCc),
}

/// What a payload is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioContent {
    /// The decoder's configuration.
    SequenceHeader,
    /// Coded sound.
    Frames,
    /// Which channel is which, where the decoder's configuration does not say.
    ChannelLayout,
    /// A packet without sound: an empty AAC frame or configuration, an end of sequence.
    Other,
}

/// The head of an audio payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioTagHeader {
    /// The codec; of several tracks, the first one's.
    pub codec: AudioCodec,
    /// What follows.
    pub content: AudioContent,
    /// Which track it belongs to; of several, the first that has something in it. Without a word about it, 0.
    pub track: u8,
    /// Nanoseconds to add to the timestamp, below 1,000,000.
    pub nano_offset: u32,
}

/// Sound format of AAC.
pub const AAC: u8 = 10;
/// Sound format that Enhanced RTMP uses to say that a FourCC follows.
pub(super) const EX_HEADER: u8 = 9;
const MULTICHANNEL_CONFIG: u8 = 4;
/// The packet type of several tracks.
pub(super) const MULTITRACK: u8 = 5;

impl AudioTagHeader {
    /// Reads the head of `payload`; `None` if it is cut off.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let first = reader.u8().ok()?;
        if first >> 4 == EX_HEADER {
            Self::enhanced(&enhanced(payload)?)
        } else {
            Self::legacy(first >> 4, &mut reader).ok()
        }
    }

    fn legacy(format: u8, reader: &mut Reader<'_>) -> Result<Self, UnexpectedEnd> {
        let content = match format {
            AAC => {
                let packet_type = reader.u8()?;
                match packet_type {
                    _ if reader.is_empty() => AudioContent::Other,
                    0 => AudioContent::SequenceHeader,
                    _ => AudioContent::Frames,
                }
            }
            _ if reader.is_empty() => AudioContent::Other,
            _ => AudioContent::Frames,
        };
        Ok(Self { codec: AudioCodec::Legacy(format), content, track: 0, nano_offset: 0 })
    }

    fn enhanced(enhanced: &Enhanced<'_>) -> Option<Self> {
        // Of several tracks some may have nothing in this packet.
        let first = enhanced.parts().find(|part| !part.body.is_empty()).or(enhanced.parts().next())?;
        let content = match enhanced.packet_type {
            SEQUENCE_START if first.body.is_empty() && is_configured(first.codec) => AudioContent::Other,
            SEQUENCE_START => AudioContent::SequenceHeader,
            CODED_FRAMES if !first.body.is_empty() => AudioContent::Frames,
            MULTICHANNEL_CONFIG => AudioContent::ChannelLayout,
            _ => AudioContent::Other,
        };
        Some(Self {
            codec: AudioCodec::Enhanced(first.codec),
            content,
            track: first.track,
            nano_offset: enhanced.nano_offset,
        })
    }

    /// Whether this configures the decoder.
    pub fn is_sequence_header(&self) -> bool {
        self.content == AudioContent::SequenceHeader
    }
}

/// Whether a codec has a configuration. The others say with an empty one that their track is there.
fn is_configured(codec: FourCc) -> bool {
    matches!(&codec.0, b"mp4a" | b"Opus" | b"fLaC")
}

/// Takes an enhanced payload apart; `None` if it is cut off.
pub(super) fn enhanced(payload: &[u8]) -> Option<Enhanced<'_>> {
    let mut reader = Reader::new(payload);
    let packet_type = reader.u8().ok()? & 0x0F;
    Enhanced::read(packet_type, MULTITRACK, &mut reader).ok()
}

impl AudioCodec {
    /// The same for both names of a codec that has two: the enhanced one.
    pub fn canonical(self) -> Self {
        match self {
            Self::Legacy(2 | 14) => Self::Enhanced(FourCc(*b".mp3")),
            Self::Legacy(AAC) => Self::Enhanced(FourCc(*b"mp4a")),
            other => other,
        }
    }

    /// The usual name, for logs and status.
    pub fn name(self) -> String {
        match self.canonical() {
            Self::Legacy(0 | 3) => "PCM".into(),
            Self::Legacy(1) => "ADPCM".into(),
            Self::Legacy(4..=6) => "Nellymoser".into(),
            Self::Legacy(7) => "G.711 A-law".into(),
            Self::Legacy(8) => "G.711 mu-law".into(),
            Self::Legacy(11) => "Speex".into(),
            Self::Legacy(13) => "Opus under format 13".into(),
            Self::Legacy(format) => format!("audio format {format}"),
            Self::Enhanced(fourcc) => match &fourcc.0 {
                b"mp4a" => "AAC".into(),
                b"Opus" => "Opus".into(),
                b"fLaC" => "FLAC".into(),
                b"ac-3" => "AC-3".into(),
                b"ec-3" => "E-AC-3".into(),
                b".mp3" => "MP3".into(),
                _ => fourcc.to_string(),
            },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn content(payload: &[u8]) -> AudioContent {
        AudioTagHeader::parse(payload).unwrap().content
    }

    #[test]
    fn aac_has_sequence_headers_and_empty_frames() {
        assert_eq!(content(&[0xAF, 0, 0x12, 0x10]), AudioContent::SequenceHeader);
        assert_eq!(content(&[0xAF, 1, 0x21]), AudioContent::Frames);
        for payload in [&[0xAF, 1][..], &[0xAF, 0], b"\x90mp4a", b"\x90Opus", b"\x91mp4a"] {
            assert_eq!(content(payload), AudioContent::Other, "{payload:02x?} is empty");
        }
        assert_eq!(
            content(b"\x90ac-3"),
            AudioContent::SequenceHeader,
            "which is all that there is to configure"
        );
        assert_eq!(AudioTagHeader::parse(&[0xAF]), None);
    }

    #[test]
    fn mp3_needs_no_sequence_header() {
        assert_eq!(content(&[0x2F, 0xFF]), AudioContent::Frames);
        assert_eq!(content(&[0x2F]), AudioContent::Other);
        assert_eq!(AudioTagHeader::parse(&[]), None);
    }

    #[test]
    fn enhanced_payloads_are_recognised() {
        let opus = AudioTagHeader::parse(b"\x90OpusOpusHead").unwrap();
        assert!(opus.is_sequence_header());
        assert_eq!(opus.codec.name(), "Opus");
        assert_eq!(content(b"\x91Opus\x01"), AudioContent::Frames);
        assert_eq!(content(b"\x94mp4a\x01"), AudioContent::ChannelLayout);
        assert_eq!(content(b"\x92mp4a"), AudioContent::Other);
        let second = AudioTagHeader::parse(b"\x95\x01Opus\x01x").unwrap();
        assert_eq!((second.track, second.content), (1, AudioContent::Frames));
        assert_eq!(AudioTagHeader::parse(b"\x90Opu"), None);
        let several = b"\x95\x11Opus\0\0\0\0\x02\0\0\x01y";
        let head = AudioTagHeader::parse(several).unwrap();
        assert_eq!((head.track, head.content), (2, AudioContent::Frames), "track 0 has nothing here");
    }
}
