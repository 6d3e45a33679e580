//! The file header and tags (annexes E.2 to E.4.1).

use byteorder::{BigEndian, ByteOrder};

use crate::media::{PacketKind, Timestamp};

/// Length of the file header and the first PreviousTagSize in bytes.
pub const FILE_HEADER_LENGTH: usize = 13;

/// Length of a tag's header in bytes.
pub const TAG_HEADER_LENGTH: usize = 11;

/// Length of the PreviousTagSize behind a tag in bytes.
pub const PREVIOUS_TAG_SIZE_LENGTH: usize = 4;

/// Longest body of a tag in bytes: its length has 24 bits.
pub const MAX_TAG_BODY: usize = 0x00FF_FFFF;

/// Which tracks a stream has. Players wait for ever for a track that is announced and never comes, so
/// these must be true.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Tracks {
    /// There is audio.
    pub audio: bool,
    /// There is video.
    pub video: bool,
}

/// The file header with the first PreviousTagSize: what a response begins with.
pub fn file_header(tracks: Tracks) -> [u8; FILE_HEADER_LENGTH] {
    let flags = u8::from(tracks.audio) << 2 | u8::from(tracks.video);
    [b'F', b'L', b'V', 1, flags, 0, 0, 0, 9, 0, 0, 0, 0]
}

/// The type byte of a tag.
pub fn tag_type(kind: PacketKind) -> u8 {
    match kind {
        PacketKind::Audio => 8,
        PacketKind::Video => 9,
        PacketKind::Data => 18,
    }
}

/// How long the tag around a body is, its PreviousTagSize included.
pub fn tag_length(body: usize) -> usize {
    TAG_HEADER_LENGTH + body + PREVIOUS_TAG_SIZE_LENGTH
}

/// Appends a tag with its PreviousTagSize. The body has [`MAX_TAG_BODY`] bytes at the most.
pub fn put_tag(out: &mut Vec<u8>, kind: PacketKind, timestamp: Timestamp, body: &[u8]) {
    debug_assert!(body.len() <= MAX_TAG_BODY, "nothing longer is taken from a publisher");
    let length = body.len() as u32;
    let mut header = [0; TAG_HEADER_LENGTH];
    header[0] = tag_type(kind);
    BigEndian::write_u24(&mut header[1..], length & 0x00FF_FFFF);
    BigEndian::write_u24(&mut header[4..], timestamp.0 & 0x00FF_FFFF);
    header[7] = (timestamp.0 >> 24) as u8;
    out.extend_from_slice(&header);
    out.extend_from_slice(body);
    out.extend_from_slice(&(length + TAG_HEADER_LENGTH as u32).to_be_bytes());
}

/// The tag at the front of `bytes`: its kind, timestamp, body, and the bytes behind its PreviousTagSize.
/// `None` if it is not whole or of no known type.
pub fn split_tag(bytes: &[u8]) -> Option<(PacketKind, Timestamp, &[u8], &[u8])> {
    let (header, rest) = bytes.split_at_checked(TAG_HEADER_LENGTH)?;
    let kind = match header[0] {
        8 => PacketKind::Audio,
        9 => PacketKind::Video,
        18 => PacketKind::Data,
        _ => return None,
    };
    let timestamp = BigEndian::read_u24(&header[4..]) | u32::from(header[7]) << 24;
    let (body, rest) = rest.split_at_checked(BigEndian::read_u24(&header[1..]) as usize)?;
    let (_, rest) = rest.split_at_checked(PREVIOUS_TAG_SIZE_LENGTH)?;
    Some((kind, Timestamp(timestamp), body, rest))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_file_header_says_which_tracks_there_are() {
        let both = file_header(Tracks { audio: true, video: true });
        assert_eq!(both, *b"FLV\x01\x05\0\0\0\x09\0\0\0\0");
        assert_eq!(file_header(Tracks { audio: true, video: false })[4], 4);
        assert_eq!(file_header(Tracks { audio: false, video: true })[4], 1);
    }

    #[test]
    fn a_tag_is_laid_out_as_specified_and_read_back() {
        let mut out = Vec::new();
        put_tag(&mut out, PacketKind::Video, Timestamp(0x1234_5678), &[0x17, 1]);
        assert_eq!(out, [9, 0, 0, 2, 0x34, 0x56, 0x78, 0x12, 0, 0, 0, 0x17, 1, 0, 0, 0, 13]);
        assert_eq!(out.len(), tag_length(2));
        put_tag(&mut out, PacketKind::Audio, Timestamp(7), &[]);
        let (kind, timestamp, body, rest) = split_tag(&out).unwrap();
        assert_eq!((kind, timestamp, body), (PacketKind::Video, Timestamp(0x1234_5678), &[0x17, 1][..]));
        assert_eq!(split_tag(rest), Some((PacketKind::Audio, Timestamp(7), &[][..], &[][..])));
        for end in 0..17 {
            assert_eq!(split_tag(&out[..end]), None);
        }
    }
}
