//! Sequence headers at which browser players end with an error, read as mpegts.js 1.8.2 reads them. What is cut off is left
//! to the player.

use crate::bytes::{Reader, UnexpectedEnd};
use crate::flv::audio::AudioCodec;
use crate::flv::video::VideoCodec;
use crate::flv::{FourCc, size, sound};

/// Shorter records are passed over.
const SHORTEST_AVC: usize = 7;
const SHORTEST_HEVC: usize = 22;

/// "fLaC" and a STREAMINFO.
const SHORTEST_FLAC: usize = 38;

/// Sampling rates and channel configurations of AAC that are known by their number.
const AAC_RATES: u8 = 13;
const AAC_CHANNELS: u8 = 8;

/// Whether players take video of this codec behind the sequence header of its track, or without one.
pub(super) fn is_video_taken(codec: VideoCodec, track: u8, header: Option<&[u8]>) -> bool {
    let VideoCodec::Enhanced(FourCc(codec)) = codec.canonical() else { return true };
    let record = header.and_then(|payload| size::configuration(payload, track)).map(|(_, record)| record);
    match (&codec, record) {
        (b"avc1", Some(record)) => record.len() < SHORTEST_AVC || is_avc_sound(record).unwrap_or(true),
        (b"hvc1", Some(record)) => record.len() < SHORTEST_HEVC || is_hevc_sound(record),
        // No keyframe can be read before there is one.
        (b"av01", record) => record.is_some(),
        _ => true,
    }
}

/// The same for audio.
pub(super) fn is_audio_taken(codec: AudioCodec, track: u8, header: Option<&[u8]>) -> bool {
    let AudioCodec::Enhanced(FourCc(codec)) = codec.canonical() else { return true };
    let configuration = header.and_then(|payload| sound::configuration(payload, track));
    match (&codec, configuration) {
        (b"mp4a", Some((_, configuration))) => is_aac_known(configuration),
        (b"fLaC", Some((_, configuration))) => configuration.len() >= SHORTEST_FLAC,
        _ => true,
    }
}

/// AVCDecoderConfigurationRecord (ISO/IEC 14496-15, section 5.3.3.1).
fn is_avc_sound(record: &[u8]) -> Result<bool, UnexpectedEnd> {
    let mut reader = Reader::new(record);
    let (version, profile) = (reader.u8()?, reader.u8()?);
    reader.take(2)?; // compatibility, level
    let (lengths, sequences) = (reader.u8()?, reader.u8()? & 0x1F);
    if version != 1 || profile == 0 || !is_length_known(lengths) || sequences == 0 {
        return Ok(false);
    }
    for _ in 0..sequences {
        let length = reader.u16()?;
        reader.take(length.into())?;
    }
    let pictures = reader.u8()?;
    Ok(pictures > 0)
}

/// HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, section 8.3.3.1), of no less than [`SHORTEST_HEVC`].
fn is_hevc_sound(record: &[u8]) -> bool {
    let (version, profile, lengths) = (record[0], record[1] & 0x1F, record[SHORTEST_HEVC - 1]);
    version <= 1 && profile != 0 && is_length_known(lengths)
}

/// Whether the length in front of each unit has three bytes or four, in the lowest bits of this one.
fn is_length_known(lengths: u8) -> bool {
    lengths & 3 >= 2
}

/// AudioSpecificConfig (ISO/IEC 14496-3, section 1.6.2.1).
fn is_aac_known(configuration: &[u8]) -> bool {
    let byte = |index| configuration.get(index).copied().unwrap_or_default();
    let (rate, channels) = ((byte(0) & 7) << 1 | byte(1) >> 7, byte(1) >> 3 & 0x0F);
    rate < AAC_RATES && channels < AAC_CHANNELS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// libopenh264's.
    const AVC: &[u8] = b"\x17\0\0\0\0\x01\x42\xC0\x14\xFF\xE1\0\x04\x67\x42\xC0\x14\x01\0\x04\x68\xCE\x3C\x80";

    fn video(header: &[u8]) -> bool {
        let codec = match header[0] {
            0x17 => VideoCodec::Legacy(7),
            _ => VideoCodec::Enhanced(FourCc([header[1], header[2], header[3], header[4]])),
        };
        is_video_taken(codec, 0, Some(header))
    }

    fn audio(header: &[u8]) -> bool {
        let codec = match header[0] {
            0xAF => AudioCodec::Legacy(10),
            _ => AudioCodec::Enhanced(FourCc([header[1], header[2], header[3], header[4]])),
        };
        is_audio_taken(codec, 0, Some(header))
    }

    /// This header with another byte.
    fn with(header: &[u8], at: usize, byte: u8) -> Vec<u8> {
        let mut header = header.to_vec();
        header[at] = byte;
        header
    }

    #[test]
    fn avc_has_a_version_a_profile_lengths_and_both_parameter_sets() {
        assert!(video(AVC));
        assert!(video(&with(AVC, 9, 0xFE)), "lengths of three bytes");
        let faults = [(5, 0), (5, 2), (6, 0), (9, 0xFC), (9, 0xFD), (10, 0xE0), (17, 0)];
        for (at, byte) in faults {
            assert!(!video(&with(AVC, at, byte)), "{byte} at {at}");
        }
        assert!(video(&with(AVC, 12, 0xFF)), "cut off");
        assert!(video(&with(&AVC[..11], 5, 2)), "so short that it is passed over");
    }

    #[test]
    fn hevc_has_a_version_a_profile_and_lengths() {
        let record = [&b"\x90hvc1\x01\x01"[..], &[0; 19], &[3, 0]].concat();
        assert!(video(&record));
        assert!(video(&with(&record, 5, 0)), "the version of drafts");
        for (at, byte) in [(5, 2), (6, 0x40), (26, 0), (26, 1)] {
            assert!(!video(&with(&record, at, byte)), "{byte} at {at}");
        }
        assert!(video(&with(&record[..26], 5, 2)), "so short that it is passed over");
    }

    #[test]
    fn av1_has_a_header() {
        let codec = VideoCodec::Legacy(13);
        assert!(video(b"\x90av01av1C") && !is_video_taken(codec, 0, None));
        assert!(!is_video_taken(codec, 0, Some(b"\x95av01mpeg2ts")));
        assert!(is_video_taken(VideoCodec::Legacy(7), 0, None), "which others need not");
    }

    #[test]
    fn aac_has_a_rate_and_channels_by_their_numbers() {
        for header in
            [&[0xAF, 0, 0x12, 0x10][..], &[0xAF, 0, 0x12], &[0xAF, 0, 0x16, 0x38], b"\x90mp4a\x12\x10"]
        {
            assert!(audio(header), "{header:02x?}");
        }
        // 13, 15 and the rate, 8 channels, 7.1.
        for header in [
            &[0xAF, 0, 0x16, 0x90][..],
            &[0xAF, 0, 0x17, 0x80, 0x1F, 0x40, 0x08],
            &[0xAF, 0, 0x11, 0xC0],
            &[0xAF, 0, 0x11, 0xE0],
        ] {
            assert!(!audio(header), "{header:02x?}");
        }
    }

    #[test]
    fn flac_has_a_streaminfo() {
        let header = [&b"\x90fLaCfLaC"[..], &[0; 34]].concat();
        assert!(audio(&header) && !audio(&header[..header.len() - 1]));
    }
}
