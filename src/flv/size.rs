//! The size of the picture, from the configuration that a video sequence header carries.

use super::FourCc;
use super::bits::BitReader;
use super::enhanced::{Part, SEQUENCE_START};
use super::video::{AV1, AVC, EX_HEADER, HEVC, enhanced};
use crate::bytes::{Reader, UnexpectedEnd};

/// Wider or higher pictures are taken for a misreading: no codec has a level for them.
const MAX_SIDE: u32 = 1 << 16;

/// What precedes the configuration under a legacy codec id: codec, packet type and composition time.
const LEGACY_HEAD: usize = 5;

/// NAL unit types that hold a sequence parameter set.
const AVC_SPS: u8 = 7;
const HEVC_SPS: u8 = 33;

/// What an AV1 configuration begins with, before its OBUs.
const AV1C_HEAD: usize = 4;
const OBU_SEQUENCE_HEADER: u8 = 1;

/// Width and height in pixels of a video track, as the sequence header in `payload` says: what is shown, after
/// cropping. `None` if the payload is no sequence header of that track, its codec is not H.264, HEVC or AV1, or it
/// does not say (AV1 may leave that to the keyframes).
pub fn picture_size(payload: &[u8], track: u8) -> Option<(u32, u32)> {
    let (codec, configuration) = configuration(payload, track)?;
    let size = match &codec.0 {
        b"avc1" => avc_size(configuration),
        b"hvc1" => hevc_size(configuration),
        b"av01" => av1_size(configuration),
        _ => return None,
    };
    let (width, height) = size.ok()?;
    let is_sound = |side| (1..=MAX_SIDE).contains(&side);
    (is_sound(width) && is_sound(height)).then_some((width, height))
}

/// The codec and the decoder configuration record of a track.
pub(super) fn configuration(payload: &[u8], track: u8) -> Option<(FourCc, &[u8])> {
    let first = *payload.first()?;
    if first & EX_HEADER != 0 {
        let enhanced = enhanced(payload).filter(|enhanced| enhanced.packet_type == SEQUENCE_START)?;
        let Part { codec, body, .. } = enhanced.part(track)?;
        return Some((codec, body));
    }
    let codec = match first & 0x0F {
        AVC => *b"avc1",
        HEVC => *b"hvc1",
        AV1 => *b"av01",
        _ => return None,
    };
    let is_header = track == 0 && payload.get(1) == Some(&0);
    is_header.then_some((FourCc(codec), payload.get(LEGACY_HEAD..)?))
}

/// AVCDecoderConfigurationRecord (ISO/IEC 14496-15, section 5.3.3.1).
fn avc_size(record: &[u8]) -> Result<(u32, u32), UnexpectedEnd> {
    let mut reader = Reader::new(record);
    reader.take(5)?;
    let count = reader.u8()? & 0x1F;
    for _ in 0..count {
        let length = reader.u16()?;
        let unit = reader.take(usize::from(length))?;
        if let Some((head, body)) = unit.split_first()
            && head & 0x1F == AVC_SPS
        {
            return avc_sps(&mut BitReader::new(&unescaped(body)));
        }
    }
    Err(UnexpectedEnd)
}

/// `seq_parameter_set_data()` (H.264, section 7.3.2.1.1).
fn avc_sps(bits: &mut BitReader<'_>) -> Result<(u32, u32), UnexpectedEnd> {
    let profile = bits.bits(8)?;
    bits.skip(16)?; // constraints, level
    bits.exp_golomb()?; // seq_parameter_set_id
    // Profiles without these fields have 4:2:0.
    let has_chroma =
        matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135);
    let chroma = if has_chroma { Chroma::read(bits)? } else { Chroma::C420 };
    if has_chroma {
        skip_avc_depth_and_scaling(chroma, bits)?;
    }
    bits.exp_golomb()?; // log2_max_frame_num_minus4
    skip_picture_order(bits)?;
    bits.exp_golomb()?; // max_num_ref_frames
    bits.skip(1)?; // gaps_in_frame_num_value_allowed_flag
    let width_in_macroblocks = bits.exp_golomb()?;
    let height_in_map_units = bits.exp_golomb()?;
    let frames_only = bits.bit()?;
    bits.skip(if frames_only { 1 } else { 2 })?; // mb_adaptive_frame_field_flag, direct_8x8_inference_flag
    // A map unit of a stream with fields is two macroblocks high, and so are the units of cropping.
    let rows = if frames_only { 1 } else { 2 };
    let width = side(width_in_macroblocks, 16)?;
    let height = side(height_in_map_units, 16 * rows)?;
    cropped((width, height), (chroma.width(), chroma.height() * rows), bits)
}

/// One more than `minus_one`, times `unit`.
fn side(minus_one: u32, unit: u32) -> Result<u32, UnexpectedEnd> {
    minus_one.checked_add(1).and_then(|count| count.checked_mul(unit)).ok_or(UnexpectedEnd)
}

fn skip_avc_depth_and_scaling(chroma: Chroma, bits: &mut BitReader<'_>) -> Result<(), UnexpectedEnd> {
    bits.exp_golomb()?; // bit_depth_luma_minus8
    bits.exp_golomb()?; // bit_depth_chroma_minus8
    bits.skip(1)?; // qpprime_y_zero_transform_bypass_flag
    if bits.bit()? {
        let lists = if chroma.is_444() { 12 } else { 8 };
        for list in 0..lists {
            if bits.bit()? {
                skip_scaling_list(if list < 6 { 16 } else { 64 }, bits)?;
            }
        }
    }
    Ok(())
}

/// `scaling_list()` (H.264, section 7.3.2.1.1.1).
fn skip_scaling_list(size: u32, bits: &mut BitReader<'_>) -> Result<(), UnexpectedEnd> {
    let mut last = 8;
    for _ in 0..size {
        let delta = i64::from(bits.signed_exp_golomb()?);
        match (i64::from(last) + delta).rem_euclid(256) {
            // The rest is as the last one was.
            0 => break,
            next => last = next as i32,
        }
    }
    Ok(())
}

fn skip_picture_order(bits: &mut BitReader<'_>) -> Result<(), UnexpectedEnd> {
    match bits.exp_golomb()? {
        0 => {
            bits.exp_golomb()?; // log2_max_pic_order_cnt_lsb_minus4
        }
        1 => {
            bits.skip(1)?; // delta_pic_order_always_zero_flag
            bits.exp_golomb()?; // offset_for_non_ref_pic
            bits.exp_golomb()?; // offset_for_top_to_bottom_field
            let count = bits.exp_golomb()?;
            for _ in 0..count {
                bits.exp_golomb()?; // offset_for_ref_frame
            }
        }
        _ => {}
    }
    Ok(())
}

/// HEVCDecoderConfigurationRecord (ISO/IEC 14496-15, section 8.3.3.1).
fn hevc_size(record: &[u8]) -> Result<(u32, u32), UnexpectedEnd> {
    let mut reader = Reader::new(record);
    reader.take(22)?;
    let arrays = reader.u8()?;
    for _ in 0..arrays {
        let kind = reader.u8()? & 0x3F;
        let count = reader.u16()?;
        for _ in 0..count {
            let length = reader.u16()?;
            let unit = reader.take(usize::from(length))?;
            if kind == HEVC_SPS {
                let body = unit.get(2..).ok_or(UnexpectedEnd)?;
                return hevc_sps(&mut BitReader::new(&unescaped(body)));
            }
        }
    }
    Err(UnexpectedEnd)
}

/// `seq_parameter_set_rbsp()` (H.265, section 7.3.2.2).
fn hevc_sps(bits: &mut BitReader<'_>) -> Result<(u32, u32), UnexpectedEnd> {
    bits.skip(4)?; // sps_video_parameter_set_id
    let sub_layers = bits.bits(3)?; // sps_max_sub_layers_minus1
    bits.skip(1)?; // sps_temporal_id_nesting_flag
    skip_profile_tier_level(sub_layers, bits)?;
    bits.exp_golomb()?; // sps_seq_parameter_set_id
    let chroma = Chroma::read(bits)?;
    let size = (bits.exp_golomb()?, bits.exp_golomb()?);
    cropped(size, (chroma.width(), chroma.height()), bits)
}

/// `profile_tier_level( 1, sub_layers )` (H.265, section 7.3.3).
fn skip_profile_tier_level(sub_layers: u32, bits: &mut BitReader<'_>) -> Result<(), UnexpectedEnd> {
    const PROFILE: u32 = 88;
    const LEVEL: u32 = 8;
    bits.skip(PROFILE + LEVEL)?;
    let mut present = 0;
    for _ in 0..sub_layers {
        present += if bits.bit()? { PROFILE } else { 0 };
        present += if bits.bit()? { LEVEL } else { 0 };
    }
    if sub_layers > 0 {
        bits.skip(2 * (8 - sub_layers))?; // reserved_zero_2bits
    }
    bits.skip(present)
}

/// AV1CodecConfigurationRecord (AV1 in ISO base media files, section 2.3), and its OBUs (AV1, section 5.3).
fn av1_size(record: &[u8]) -> Result<(u32, u32), UnexpectedEnd> {
    let mut reader = Reader::new(record);
    reader.take(AV1C_HEAD)?;
    loop {
        let head = reader.u8()?;
        if head & 0x04 != 0 {
            reader.u8()?; // obu_extension_header()
        }
        let length = if head & 0x02 != 0 { leb128(&mut reader)? } else { reader.rest().len() };
        let body = reader.take(length)?;
        if head >> 3 & 0x0F == OBU_SEQUENCE_HEADER {
            return av1_sequence_header(&mut BitReader::new(body));
        }
    }
}

/// `leb128()` (AV1, section 4.10.5).
fn leb128(reader: &mut Reader<'_>) -> Result<usize, UnexpectedEnd> {
    let mut value = 0_u64;
    for place in 0..8 {
        let byte = reader.u8()?;
        value |= u64::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return usize::try_from(value).map_err(|_| UnexpectedEnd);
        }
    }
    Err(UnexpectedEnd)
}

/// `sequence_header_obu()` (AV1, section 5.5.1).
fn av1_sequence_header(bits: &mut BitReader<'_>) -> Result<(u32, u32), UnexpectedEnd> {
    bits.skip(4)?; // seq_profile, still_picture
    if bits.bit()? {
        bits.skip(5)?; // reduced_still_picture_header: seq_level_idx
    } else {
        skip_operating_points(bits)?;
    }
    let (width_bits, height_bits) = (bits.bits(4)? as u8 + 1, bits.bits(4)? as u8 + 1);
    Ok((bits.bits(width_bits)? + 1, bits.bits(height_bits)? + 1))
}

/// Timing, decoder model (AV1, sections 5.5.3 to 5.5.5) and operating points.
fn skip_operating_points(bits: &mut BitReader<'_>) -> Result<(), UnexpectedEnd> {
    let mut delay_length = None;
    if bits.bit()? {
        bits.skip(64)?; // num_units_in_display_tick, time_scale
        if bits.bit()? {
            bits.skip_uvlc()?; // num_ticks_per_picture_minus_1
        }
        if bits.bit()? {
            delay_length = Some(bits.bits(5)? + 1); // buffer_delay_length_minus_1
            bits.skip(32 + 5 + 5)?;
        }
    }
    let has_display_delay = bits.bit()?;
    let points = bits.bits(5)? + 1;
    for _ in 0..points {
        bits.skip(12)?; // operating_point_idc
        if bits.bits(5)? > 7 {
            bits.skip(1)?; // seq_tier
        }
        if let Some(length) = delay_length
            && bits.bit()?
        {
            bits.skip(2 * length + 1)?; // operating_parameters_info()
        }
        if has_display_delay && bits.bit()? {
            bits.skip(4)?; // initial_display_delay_minus_1
        }
    }
    Ok(())
}

/// How finely colour is sampled: the unit of cropping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chroma {
    /// None at all, or each plane by itself.
    Monochrome,
    C420,
    C422,
    C444,
}

impl Chroma {
    /// `chroma_format_idc` and, behind 3, `separate_colour_plane_flag` (H.264 and H.265, section 6.2).
    fn read(bits: &mut BitReader<'_>) -> Result<Self, UnexpectedEnd> {
        match bits.exp_golomb()? {
            0 => Ok(Self::Monochrome),
            1 => Ok(Self::C420),
            2 => Ok(Self::C422),
            3 => {
                bits.skip(1)?;
                Ok(Self::C444)
            }
            _ => Err(UnexpectedEnd),
        }
    }

    fn is_444(self) -> bool {
        self == Self::C444
    }

    fn width(self) -> u32 {
        if matches!(self, Self::C420 | Self::C422) { 2 } else { 1 }
    }

    fn height(self) -> u32 {
        if self == Self::C420 { 2 } else { 1 }
    }
}

/// What is left of a picture after the cropping that follows: a flag; left, right, top and bottom in `unit`s.
fn cropped(
    (width, height): (u32, u32),
    unit: (u32, u32),
    bits: &mut BitReader<'_>,
) -> Result<(u32, u32), UnexpectedEnd> {
    if !bits.bit()? {
        return Ok((width, height));
    }
    let mut edges = |whole: u32, unit: u32| {
        let (first, second) = (bits.exp_golomb()?, bits.exp_golomb()?);
        let cut = first.checked_add(second).and_then(|sum| sum.checked_mul(unit));
        cut.and_then(|cut| whole.checked_sub(cut)).ok_or(UnexpectedEnd)
    };
    Ok((edges(width, unit.0)?, edges(height, unit.1)?))
}

/// The bytes of a NAL unit without the 3 that keeps them from looking like a start code (H.264, section 7.3.1;
/// H.265, section 7.3.1.1).
fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut zeros = 0;
    let is_payload = |byte: &u8| {
        let is_escape = zeros >= 2 && *byte == 3;
        zeros = if *byte == 0 { zeros + 1 } else { 0 };
        !is_escape
    };
    bytes.iter().copied().filter(is_payload).collect()
}

#[cfg(test)]
mod tests;
