//! The first bytes of an audio payload (annex E.4.2.1; Enhanced RTMP v2, "ExAudioTagHeader").

use super::FourCc;
use crate::bytes::Reader;

/// How the codec is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioCodec {
    /// A legacy sound format: 2 MP3, 7 and 8 G.711, 10 AAC, 11 Speex; by custom 13 Opus.
    Legacy(u8),
    /// An Enhanced RTMP codec.
    Enhanced(FourCc),
    /// Enhanced RTMP whose codec stands deeper in the payload (several tracks, extended modifiers).
    Nested,
}

/// What a payload is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioContent {
    /// The decoder's configuration.
    SequenceHeader,
    /// Coded sound.
    Frames,
    /// A packet without sound: an empty AAC frame, an end of sequence, a channel layout.
    Other,
}

/// The head of an audio payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioTagHeader {
    /// The codec.
    pub codec: AudioCodec,
    /// What follows.
    pub content: AudioContent,
}

/// Sound format of AAC.
pub const AAC: u8 = 10;
/// Sound format that Enhanced RTMP uses to say that a FourCC follows.
const EX_HEADER: u8 = 9;

impl AudioTagHeader {
    /// Reads the head of `payload`; `None` if it is cut off.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(payload);
        let first = reader.u8().ok()?;
        let format = first >> 4;
        if format == EX_HEADER {
            return Self::enhanced(first & 0x0F, &mut reader);
        }
        let content = match format {
            AAC => match reader.u8().ok()? {
                0 => AudioContent::SequenceHeader,
                _ if reader.is_empty() => AudioContent::Other,
                _ => AudioContent::Frames,
            },
            _ if reader.is_empty() => AudioContent::Other,
            _ => AudioContent::Frames,
        };
        Some(Self { codec: AudioCodec::Legacy(format), content })
    }

    fn enhanced(packet_type: u8, reader: &mut Reader<'_>) -> Option<Self> {
        if matches!(packet_type, 5 | 7) {
            // Multitrack and ModEx are passed on unread; their inner packet is not looked for yet.
            return Some(Self { codec: AudioCodec::Nested, content: AudioContent::Frames });
        }
        let fourcc = FourCc(reader.take(4).ok()?.try_into().ok()?);
        let content = match packet_type {
            0 => AudioContent::SequenceHeader,
            1 if !reader.is_empty() => AudioContent::Frames,
            _ => AudioContent::Other,
        };
        Some(Self { codec: AudioCodec::Enhanced(fourcc), content })
    }

    /// Whether this configures the decoder.
    pub fn is_sequence_header(&self) -> bool {
        self.content == AudioContent::SequenceHeader
    }
}

impl AudioCodec {
    /// The usual name, for logs and status.
    pub fn name(&self) -> String {
        match self {
            Self::Legacy(0 | 3) => "PCM".into(),
            Self::Legacy(1) => "ADPCM".into(),
            Self::Legacy(2 | 14) => "MP3".into(),
            Self::Legacy(4..=6) => "Nellymoser".into(),
            Self::Legacy(7) => "G.711 A-law".into(),
            Self::Legacy(8) => "G.711 mu-law".into(),
            Self::Legacy(AAC) => "AAC".into(),
            Self::Legacy(11) => "Speex".into(),
            Self::Legacy(13) => "Opus".into(),
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
            Self::Nested => "multitrack audio".into(),
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
        assert_eq!(content(&[0xAF, 1]), AudioContent::Other, "an empty frame");
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
        assert_eq!(content(b"\x94mp4a\x01"), AudioContent::Other);
        assert_eq!(AudioTagHeader::parse(b"\x90Opu"), None);
    }
}
