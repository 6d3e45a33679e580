use super::{Form, Shaped};
use crate::flv::FourCc;
use crate::flv::enhanced::{CODED_FRAMES, Part, SEQUENCE_END, SEQUENCE_START};
use crate::flv::video::{
    AV1, AVC, CODED_FRAMES_X, EX_HEADER, HEVC, VideoCodec, VideoContent, VideoTagHeader, enhanced,
    has_composition_time,
};

const AVC1: FourCc = FourCc(*b"avc1");
const HVC1: FourCc = FourCc(*b"hvc1");
const AV01: FourCc = FourCc(*b"av01");

/// Length of a legacy head: frame type and codec, packet type, composition time.
const LEGACY_HEAD: usize = 5;

/// Length of a composition time.
const COMPOSITION_TIME: usize = 3;

/// Whether browser players know a codec.
pub(super) fn is_known(codec: VideoCodec) -> bool {
    matches!(codec.canonical(), VideoCodec::Enhanced(AVC1 | HVC1 | AV01))
}

pub(super) fn shape(form: Form, track: u8, payload: &[u8]) -> Shaped {
    let Some(&first) = payload.first() else { return Shaped::Nothing };
    if form == Form::Raw && track == 0 {
        return Shaped::Same;
    }
    if first & EX_HEADER != 0 {
        shape_enhanced(form, track, payload).unwrap_or(Shaped::Nothing)
    } else if track != 0 {
        Shaped::Nothing
    } else {
        shape_legacy(form, payload)
    }
}

fn shape_legacy(form: Form, payload: &[u8]) -> Shaped {
    let Some(header) = VideoTagHeader::parse(payload) else { return Shaped::Nothing };
    let VideoCodec::Legacy(id) = header.codec else { return Shaped::Nothing };
    if matches!(header.content, VideoContent::Empty | VideoContent::Other) || payload.len() < LEGACY_HEAD {
        return Shaped::Nothing;
    }
    match (id, form) {
        (AVC, _) | (HEVC, Form::LegacyHevc) => Shaped::Same,
        (HEVC, _) => Shaped::Changed(enhance(HVC1, payload)),
        (AV1, _) => Shaped::Changed(enhance(AV01, payload)),
        _ => Shaped::Nothing,
    }
}

/// A legacy payload whose codec has a FourCC. Its packet types 0, 1 and 2 mean the same there.
fn enhance(codec: FourCc, payload: &[u8]) -> Vec<u8> {
    let (frame_type, packet_type) = (payload[0] & 0x70, payload[1]);
    let times = packet_type == CODED_FRAMES && has_composition_time(codec);
    let body = if times { &payload[2..] } else { &payload[LEGACY_HEAD..] };
    unwrapped(frame_type, packet_type, codec, body)
}

fn shape_enhanced(form: Form, track: u8, payload: &[u8]) -> Option<Shaped> {
    let whole = enhanced(payload)?;
    let Part { codec, body, .. } = whole.part(track)?;
    let plain = whole.is_plain(payload[0] & 0x0F);
    let (frame_type, packet_type) = (payload[0] & 0x70, whole.packet_type);
    let times = if packet_type == CODED_FRAMES && has_composition_time(codec) { COMPOSITION_TIME } else { 0 };
    if matches!(packet_type, SEQUENCE_START | CODED_FRAMES | CODED_FRAMES_X) && body.len() <= times {
        return None;
    }
    if form == Form::Raw {
        return Some(Shaped::Changed(unwrapped(frame_type, packet_type, codec, body)));
    }
    let is_known_type = matches!(packet_type, SEQUENCE_START | CODED_FRAMES | SEQUENCE_END | CODED_FRAMES_X);
    Some(match (codec, form) {
        _ if !is_known_type => Shaped::Nothing,
        (AVC1, _) => Shaped::Changed(legacy(AVC, frame_type, packet_type, body)),
        (HVC1, Form::LegacyHevc) => Shaped::Changed(legacy(HEVC, frame_type, packet_type, body)),
        // AV1 has no composition time, so both kinds of frames are one, and mpegts.js knows the first.
        (AV01, _) if packet_type == CODED_FRAMES_X => {
            Shaped::Changed(unwrapped(frame_type, CODED_FRAMES, codec, body))
        }
        (HVC1 | AV01, _) if plain => Shaped::Same,
        (HVC1 | AV01, _) => Shaped::Changed(unwrapped(frame_type, packet_type, codec, body)),
        _ => Shaped::Nothing,
    })
}

fn unwrapped(frame_type: u8, packet_type: u8, codec: FourCc, body: &[u8]) -> Vec<u8> {
    [&[EX_HEADER | frame_type | packet_type], &codec.0[..], body].concat()
}

/// An enhanced payload under a legacy codec id.
fn legacy(id: u8, frame_type: u8, packet_type: u8, body: &[u8]) -> Vec<u8> {
    let head = |packet_type| [frame_type | id, packet_type];
    match packet_type {
        CODED_FRAMES => [&head(1)[..], body].concat(),
        CODED_FRAMES_X => [&head(1)[..], &[0; 3], body].concat(),
        other => [&head(other)[..], &[0; 3], body].concat(),
    }
}
