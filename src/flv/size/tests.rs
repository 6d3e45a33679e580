#![allow(clippy::unwrap_used)]

use super::*;

/// Real sequence headers as hexadecimal digits, made by
/// `ffmpeg -f lavfi -i testsrc=size=WxH:rate=25 -frames:v 2 OPTIONS -f flv out.flv`
/// with ffmpeg 5.1 (H.264) and 9.0 (HEVC, without x265's message about itself, and AV1).
const REAL: [(&str, (u32, u32), &str); 14] = [
    (
        "-c:v libx264 -preset ultrafast",
        (1918, 1078),
        "17000000000142c028ffe1001a6742c028da01e0089ea6c044000003000400000300c83c60ca8001000468ce0fc8",
    ),
    (
        "-c:v libx264 -preset medium",
        (322, 242),
        "17000000000164000dffe1001b6764000dacd94150878888c044000003000400000300c83c50a65801000668ebe3cb22c0\
         fdf8f800",
    ),
    (
        "-c:v libx264 -profile:v baseline -pix_fmt yuv420p",
        (322, 242),
        "17000000000142c00dffe1001a6742c00dd90150878888c044000003000400000300c83c50a92001000568cb83cb20",
    ),
    (
        "-c:v libx264 -preset ultrafast -x264-params interlaced=1",
        (1920, 1080),
        "1700000000014d4028ffe10019674d4028f403c0227ef011000003000100000300321f162ea001000468de0fc8",
    ),
    (
        "-c:v libx264 -preset ultrafast -pix_fmt yuv444p",
        (321, 241),
        "170000000001f4000dffe1001a67f4000d919681508784210c0440000003004000000c83c50aa801000568ce0f1920fff8\
         f800",
    ),
    (
        "-c:v libx264 -preset ultrafast -pix_fmt yuv422p10le -x264-params interlaced=1",
        (720, 486),
        "1700000000017a001effe10019677a001eb6ce80b420fc760220000003002000000643e2855401000468de0fc8fefafa00",
    ),
    (
        "-c:v libx264 -preset ultrafast -pix_fmt gray",
        (321, 241),
        "17000000000164000dffe1001a6764000df2d02a10f0842180b640000003004000000c83c50aa801000468ce0fc8fcf8f8\
         00",
    ),
    (
        "-c:v libopenh264 (ffmpeg 9)",
        (322, 242),
        "17000000000142c014ffe100106742c0148c68150858888c040784423501000468ce3c80",
    ),
    (
        "-c:v libx265 -preset ultrafast",
        (1918, 1078),
        "906876633101016000000090000000000078f000fcfdf8f800000f03200001001840010c01ffff01600000030090000003\
         0000030078959409210001002c420101016000000300900000030000030078a003c0801107536595952930bc05a0200000\
         030020000003032122000100064401c073c189",
    ),
    (
        "-c:v libx265 -preset ultrafast -x265-params temporal-layers=3",
        (322, 242),
        "90687663310101600000009000000000003cf000fcfdf8f800001b03200001001e40010c04ffff01600000030090000003\
         000003003c00009594aca5650240210001003142010401600000030090000003000003003c0000a00a8804071111965652\
         b295952930bc05a0200000030020000003032122000100064401c073c189",
    ),
    (
        "-c:v libx265 -preset ultrafast -pix_fmt yuv422p",
        (322, 241),
        "90687663310104080000009d08000000003cf000fcfef8f800000f03200001001740010c01ffff0408000003009d080000\
         0300003c959409210001002b4201010408000003009d0800000300003cb00a88040711086595952930bc05a02000000300\
         20000003032122000100064401c073c189",
    ),
    ("-c:v libsvtav1 -preset 12", (322, 242), "906176303181000c000a0b0200000521e83e2017c002"),
    ("-c:v libaom-av1 -cpu-used 8", (1918, 1078), "906176303181080c000a0b00000042abbec3532be401"),
    ("-c:v libaom-av1 -cpu-used 8", (321, 241), "906176303181000c000a0b000000043d03c0daf90040"),
];

fn bytes(digits: &str) -> Vec<u8> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Writes what no encoder at hand does.
#[derive(Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn put(mut self, value: u64, count: u32) -> Self {
        self.0.extend((0..count).rev().map(|bit| value >> bit & 1 != 0));
        self
    }

    fn ue(self, value: u32) -> Self {
        let code = u64::from(value) + 1;
        let length = code.ilog2();
        self.put(0, length).put(code, length + 1)
    }

    fn se(self, value: i32) -> Self {
        self.ue(if value > 0 { 2 * value as u32 - 1 } else { 2 * value.unsigned_abs() })
    }

    /// Filled up to whole bytes.
    fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| {
            bits.iter().enumerate().fold(0, |byte, (at, bit)| byte | u8::from(*bit) << (7 - at))
        };
        self.0.chunks(8).map(byte).collect()
    }
}

#[test]
fn real_headers_of_all_three_codecs_tell_the_size() {
    for (options, size, header) in REAL {
        assert_eq!(picture_size(&bytes(header), 0), Some(size), "{options}");
    }
}

#[test]
fn legacy_codec_ids_and_other_tracks_carry_the_same_configuration() {
    let hevc = bytes(REAL[8].2);
    let legacy = [b"\x1C\0\0\0\0", &hevc[5..]].concat();
    assert_eq!(picture_size(&legacy, 0), Some((1918, 1078)));
    assert_eq!(picture_size(&[b"\x1D\0\0\0\0", &bytes(REAL[11].2)[5..]].concat(), 0), Some((322, 242)));
    let third = [b"\x96\x00hvc1\x02", &hevc[5..]].concat();
    assert_eq!(picture_size(&third, 2), Some((1918, 1078)));
    assert_eq!(picture_size(&third, 0), None, "another track's");
    assert_eq!(picture_size(&legacy, 1), None);
}

#[test]
fn what_is_no_such_header_has_no_size() {
    let avc = bytes(REAL[0].2);
    let frame = [b"\x17\x01\0\0\0", &avc[5..]].concat();
    let coded = [b"\x91hvc1", &bytes(REAL[8].2)[5..]].concat();
    let flash = [b"\x12\0\0\0\0", &avc[5..]].concat();
    let vp9 = [b"\x90vp09", &avc[5..]].concat();
    // What ffmpeg sends before libaom has said anything, and what librav1e never adds to.
    let bare = [&b"\x90av01"[..], b"\x90av01\x81\x1f\x0c\0"];
    for payload in [&frame[..], &coded, &flash, &vp9, bare[0], bare[1], b"", b"\x17"] {
        assert_eq!(picture_size(payload, 0), None, "{payload:?}");
    }
}

/// An H.264 configuration of profile High 4:4:4 with this parameter set behind the profile's fields.
fn avc(parameter_set: &Bits) -> Vec<u8> {
    let mut escaped = vec![0x67];
    let mut zeros = 0;
    for byte in parameter_set.bytes() {
        if zeros >= 2 && byte <= 3 {
            escaped.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        escaped.push(byte);
    }
    let length = escaped.len() as u16;
    [&b"\x17\0\0\0\0\x01\xF4\0\x0A\xFF\xE1"[..], &length.to_be_bytes(), &escaped].concat()
}

/// Up to `seq_scaling_matrix_present_flag`, with this `chroma_format_idc`.
fn avc_profile(chroma: u32) -> Bits {
    let bits = Bits::default().put(244, 8).put(0, 8).put(10, 8).ue(0).ue(chroma);
    if chroma == 3 { bits.put(1, 1) } else { bits }.ue(0).ue(0).put(0, 1)
}

#[test]
fn scaling_lists_and_the_other_picture_orders_are_skipped() {
    // 4:4:4 with separate planes; twelve lists: one absent, one that ends early, one default, the rest whole.
    let mut bits = avc_profile(3).put(1, 1).put(0, 1).put(1, 1).se(2).se(-10).put(1, 1).se(-8);
    for list in 3..12 {
        bits = bits.put(1, 1);
        for _ in 0..if list < 6 { 16 } else { 64 } {
            bits = bits.se(1);
        }
    }
    // Picture order type 1 with three offsets; 10 by 7 macroblocks, cropped by 1, 2, 3 and 4 pixels.
    let bits = bits.ue(0).ue(1).put(1, 1).se(-1).se(7).ue(3).se(1).se(-100_000).se(0).ue(4).put(0, 1);
    let bits = bits.ue(9).ue(6).put(1, 1).put(0, 1).put(1, 1).ue(1).ue(2).ue(3).ue(4).put(1, 1);
    assert_eq!(picture_size(&avc(&bits), 0), Some((157, 105)));
    // Picture order type 2, fields, 4:2:2, cropped by 8 pixels and 8 lines.
    let bits = avc_profile(2).put(0, 1).ue(0).ue(2).ue(1).put(0, 1);
    let bits = bits.ue(44).ue(16).put(0, 1).put(3, 2).put(1, 1).ue(0).ue(4).ue(0).ue(4).put(1, 1);
    assert_eq!(picture_size(&avc(&bits), 0), Some((712, 536)));
}

#[test]
fn absurd_sizes_are_none() {
    let sized = |width: u32, height: u32, cut: u32| {
        let bits = avc_profile(0).put(0, 1).ue(0).ue(2).ue(1).put(0, 1).ue(width).ue(height).put(1, 1);
        avc(&bits.put(0, 1).put(1, 1).ue(0).ue(cut).ue(0).ue(0).put(1, 1))
    };
    let size = |width, height, cut| picture_size(&sized(width, height, cut), 0);
    assert_eq!(size(0, 0, 15), Some((1, 16)));
    assert_eq!(size(0, 0, 16), None, "nothing is left");
    assert_eq!(size(0, 0, 17), None, "less than nothing");
    assert_eq!(size(4095, 4095, 0), Some((MAX_SIDE, MAX_SIDE)));
    assert_eq!(size(4096, 0, 0), None);
    assert_eq!(size(4096, 0, 15), None, "65537");
    assert_eq!(size(4096, 0, 16), Some((MAX_SIDE, 16)));
    assert_eq!(size(u32::MAX - 1, u32::MAX - 1, u32::MAX - 1), None);
}

#[test]
fn av1_sequence_headers_with_timing_and_many_operating_points() {
    // Timing with equal picture intervals, a decoder model, two operating points, 16 bits for each side.
    let point = |bits: Bits, level: u64| {
        let bits = bits.put(0, 12).put(level, 5);
        let bits = if level > 7 { bits.put(1, 1) } else { bits };
        bits.put(1, 1).put(7, 10).put(7, 10).put(0, 1).put(1, 1).put(3, 4)
    };
    let bits = Bits::default().put(0, 3).put(0, 2).put(1, 1).put(1, 32).put(25, 32).put(1, 1).put(0b00101, 5);
    let bits = bits.put(1, 1).put(9, 5).put(1, 32).put(9, 5).put(9, 5).put(1, 1).put(1, 5);
    let bits = point(point(bits, 7), 8).put(15, 4).put(15, 4).put(0xFFFF, 16).put(479, 16);
    let body = bits.bytes();
    // Behind a temporal delimiter and padding with an extension.
    let obus = [&b"\x12\0\x7E\0\x01\xAA\x0A"[..], &[body.len() as u8], &body].concat();
    let header = [b"\x90av01\x81\0\x0C\0", &obus[..]].concat();
    assert_eq!(picture_size(&header, 0), Some((65536, 480)));
    let still = Bits::default().put(3, 5).put(0, 5).put(7, 4).put(7, 4).put(99, 8).put(49, 8).bytes();
    let header = [b"\x90av01\x81\0\x0C\0\x08", &still[..]].concat();
    assert_eq!(picture_size(&header, 0), Some((100, 50)), "a still picture, and an OBU without a length");
    let endless = b"\x90av01\x81\0\x0C\0\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01";
    assert_eq!(picture_size(endless, 0), None);
}

#[test]
fn whatever_is_cut_off_or_bent_is_read_without_a_panic() {
    for (options, size, header) in REAL {
        let header = bytes(header);
        for length in 0..header.len() {
            let found = picture_size(&header[..length], 0);
            assert!(found.is_none() || found == Some(size), "{options}: {found:?} of {length} bytes");
            for flipped in 1..=255 {
                let mut bent = header.clone();
                bent[length] ^= flipped;
                picture_size(&bent, 0);
            }
        }
    }
}
