use super::{Form, Shaped};
use crate::flv::FourCc;
use crate::flv::audio::{AAC, AudioCodec, EX_HEADER, enhanced};
use crate::flv::enhanced::{CODED_FRAMES, Part, SEQUENCE_START};

const MP4A: FourCc = FourCc(*b"mp4a");
const MP3: FourCc = FourCc(*b".mp3");
const OPUS: FourCc = FourCc(*b"Opus");
const FLAC: FourCc = FourCc(*b"fLaC");

/// Sound formats that browser players know beside AAC.
const LEGACY_MP3: u8 = 2;
const LEGACY_PCM: u8 = 3;
/// MP3 of 8 kHz, which players know as MP3.
const LEGACY_MP3_8K: u8 = 14;

/// Rate, size and channels in the first byte, as they always are for AAC; the configuration tells the truth.
const USUAL_SOUND: u8 = 0x0F;

/// Whether browser players know a codec.
pub(super) fn is_known(codec: AudioCodec) -> bool {
    match codec {
        AudioCodec::Legacy(format) => is_known_format(format) || format == LEGACY_MP3_8K,
        AudioCodec::Enhanced(fourcc) => matches!(fourcc, MP4A | MP3 | OPUS | FLAC),
    }
}

fn is_known_format(format: u8) -> bool {
    matches!(format, AAC | LEGACY_MP3 | LEGACY_PCM)
}

pub(super) fn shape(form: Form, track: u8, payload: &[u8]) -> Shaped {
    let Some(&first) = payload.first() else { return Shaped::Nothing };
    if form == Form::Raw && track == 0 {
        return Shaped::Same;
    }
    match first >> 4 {
        EX_HEADER => shape_enhanced(form, track, payload).unwrap_or(Shaped::Nothing),
        _ if track != 0 => Shaped::Nothing,
        format if is_known_format(format) => Shaped::Same,
        LEGACY_MP3_8K => Shaped::Changed([&[LEGACY_MP3 << 4 | (first & USUAL_SOUND)], &payload[1..]].concat()),
        _ => Shaped::Nothing,
    }
}

fn shape_enhanced(form: Form, track: u8, payload: &[u8]) -> Option<Shaped> {
    let whole = enhanced(payload)?;
    let Part { codec, body, .. } = whole.part(track)?;
    let packet_type = whole.packet_type;
    // Of the others a configuration may be empty.
    let needs_body = packet_type == CODED_FRAMES || (codec, packet_type) == (MP4A, SEQUENCE_START);
    if needs_body && body.is_empty() {
        return None;
    }
    let unwrapped = || [&[EX_HEADER << 4 | packet_type], &codec.0[..], body].concat();
    if form == Form::Raw {
        return Some(Shaped::Changed(unwrapped()));
    }
    Some(match (codec, packet_type) {
        (MP4A, SEQUENCE_START | CODED_FRAMES) => {
            Shaped::Changed([&[AAC << 4 | USUAL_SOUND, packet_type], body].concat())
        }
        (MP3, CODED_FRAMES) => Shaped::Changed([&[LEGACY_MP3 << 4 | USUAL_SOUND], body].concat()),
        (OPUS | FLAC, SEQUENCE_START | CODED_FRAMES) if whole.is_plain(payload[0] & 0x0F) => Shaped::Same,
        (OPUS | FLAC, SEQUENCE_START | CODED_FRAMES) => Shaped::Changed(unwrapped()),
        _ => Shaped::Nothing,
    })
}
