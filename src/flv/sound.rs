//! Sample rate and channels, from the configuration that an audio sequence header carries.

use super::FourCc;
use super::audio::{AAC, EX_HEADER, enhanced};
use super::bits::BitReader;
use super::enhanced::{Part, SEQUENCE_START};
use crate::bytes::{Reader, UnexpectedEnd};

/// How finely sound is sampled, and on how many channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SoundFormat {
    /// Samples a second, of each channel.
    pub sample_rate: u32,
    /// How many channels there are.
    pub channels: u8,
}

/// Rates by their index (ISO/IEC 14496-3, table 1.18); index 15 stands before the rate itself.
const AAC_RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350];
const AAC_OWN_RATE: u32 = 15;
/// Object types that say the rate with which the decoder is to extend the sound, behind that of the core.
const SBR: u32 = 5;
const PARAMETRIC_STEREO: u32 = 29;

/// Opus always decodes to this rate, whatever was recorded (RFC 7845, section 5.1).
const OPUS_RATE: u32 = 48_000;

/// What the sequence header in `payload` says of an audio track. `None` if it is no such header of that track, its codec
/// is neither AAC nor Opus, or it does not say.
pub fn sound_format(payload: &[u8], track: u8) -> Option<SoundFormat> {
    let (codec, configuration) = configuration(payload, track)?;
    match &codec.0 {
        b"mp4a" => aac(configuration).ok(),
        b"Opus" => opus(configuration).ok(),
        _ => None,
    }
}

/// The codec and the decoder configuration of a track.
pub(super) fn configuration(payload: &[u8], track: u8) -> Option<(FourCc, &[u8])> {
    let first = *payload.first()?;
    if first >> 4 == EX_HEADER {
        let enhanced = enhanced(payload).filter(|enhanced| enhanced.packet_type == SEQUENCE_START)?;
        let Part { codec, body, .. } = enhanced.part(track)?;
        return Some((codec, body));
    }
    let is_header = first >> 4 == AAC && track == 0 && payload.get(1) == Some(&0);
    is_header.then(|| (FourCc(*b"mp4a"), &payload[2..]))
}

/// AudioSpecificConfig (ISO/IEC 14496-3, section 1.6.2.1).
fn aac(configuration: &[u8]) -> Result<SoundFormat, UnexpectedEnd> {
    let mut bits = BitReader::new(configuration);
    let mut object_type = bits.bits(5)?;
    if object_type == 31 {
        object_type = 32 + bits.bits(6)?;
    }
    let core_rate = aac_rate(&mut bits)?;
    let channels = match bits.bits(4)? as u8 {
        count @ 1..=6 => count,
        11 => 7,
        7 | 12 | 14 => 8,
        // 0 leaves it to what follows, the rest is reserved or rare.
        _ => return Err(UnexpectedEnd),
    };
    Ok(match object_type {
        SBR => SoundFormat { sample_rate: aac_rate(&mut bits)?, channels },
        PARAMETRIC_STEREO => SoundFormat { sample_rate: aac_rate(&mut bits)?, channels: 2 },
        _ => SoundFormat { sample_rate: core_rate, channels },
    })
}

fn aac_rate(bits: &mut BitReader<'_>) -> Result<u32, UnexpectedEnd> {
    match bits.bits(4)? {
        AAC_OWN_RATE => bits.bits(24),
        index => AAC_RATES.get(index as usize).copied().ok_or(UnexpectedEnd),
    }
}

/// The identification header (RFC 7845, section 5.1).
fn opus(head: &[u8]) -> Result<SoundFormat, UnexpectedEnd> {
    let mut reader = Reader::new(head);
    if reader.take(8)? != b"OpusHead" {
        return Err(UnexpectedEnd);
    }
    reader.u8()?; // version
    Ok(SoundFormat { sample_rate: OPUS_RATE, channels: reader.u8()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(payload: &[u8]) -> Option<(u32, u8)> {
        sound_format(payload, 0).map(|format| (format.sample_rate, format.channels))
    }

    #[test]
    fn aac_says_rate_and_channels() {
        assert_eq!(format(&[0xAF, 0, 0x12, 0x10]), Some((44_100, 2)), "ffmpeg");
        assert_eq!(format(&[0xAF, 0, 0x11, 0x88]), Some((48_000, 1)));
        assert_eq!(format(b"\x90mp4a\x11\xB0"), Some((48_000, 6)));
        assert_eq!(format(&[0xAF, 0, 0x2B, 0x92, 0x08, 0]), Some((44_100, 2)), "HE-AAC on a core of 22050");
        assert_eq!(format(&[0xAF, 0, 0xEB, 0x8A, 0x08]), Some((44_100, 2)), "parametric stereo on one channel");
        assert_eq!(format(&[0xAF, 0, 0x17, 0x80, 0x1F, 0x40, 0x08]), Some((16_000, 1)), "a rate in full");
        assert_eq!(format(&[0xAF, 0, 0xF9, 0x48, 0x40]), Some((44_100, 2)), "an object type above 31");
        assert_eq!(format(&[0xAF, 0, 0x12, 0x00]), None, "channels by a list");
        assert_eq!(format(&[0xAF, 0, 0x16, 0x90]), None, "a reserved rate");
    }

    #[test]
    fn opus_and_tracks() {
        assert_eq!(format(b"\x90OpusOpusHead\x01\x02\x38\x01\x44\xAC\0\0\0\0\0"), Some((48_000, 2)));
        assert_eq!(sound_format(b"\x95\x00mp4a\x01\x12\x10", 1).map(|format| format.channels), Some(2));
        assert_eq!(sound_format(b"\x95\x00mp4a\x01\x12\x10", 0), None);
        assert_eq!(sound_format(&[0xAF, 0, 0x12, 0x10], 1), None);
    }

    #[test]
    fn what_is_cut_off_or_something_else_is_none() {
        for payload in [
            &b""[..],
            b"\xAF",
            b"\xAF\0",
            b"\xAF\0\x12",
            b"\xAF\x01\x12\x10",
            b"\x2F\0\x12\x10",
            b"\x90Opus",
            b"\x90OpusOpusHead\x01",
            b"\x91mp4a\x12\x10",
            b"\x90fLaCfLaC\0\0\0\x22",
        ] {
            assert_eq!(format(payload), None, "{payload:?}");
        }
    }
}
