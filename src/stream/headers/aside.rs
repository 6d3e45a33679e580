use super::{Codec, Header, MAX_HEADER_BYTES, MAX_HEADERS};
use crate::media::PacketKind;

/// Headers that belong to nothing that the stream has now, each with the codec that it is for. Encoders send a header once:
/// when its track comes back, or is taken at last, it is needed.
#[derive(Debug, Clone, Default)]
pub(super) struct Aside(Vec<(Codec, Header)>);

impl Aside {
    /// Puts a header here, in the place of one for the same. What there is no room for is forgotten.
    pub(super) fn put(&mut self, codec: Codec, header: Header) {
        self.0.retain(|(_, other)| !other.is_for_the_same_as(&header));
        let held: usize = self.0.iter().map(|(_, header)| header.payload.len()).sum();
        if self.0.len() < MAX_HEADERS && held + header.payload.len() <= MAX_HEADER_BYTES {
            self.0.push((codec, header));
        }
    }

    /// Takes the headers of a track out. Those for another codec are void.
    pub(super) fn take(&mut self, kind: PacketKind, track: u8, codec: Codec) -> Vec<Header> {
        let of_track = self.0.extract_if(.., |(_, header)| (header.kind, header.track) == (kind, track));
        of_track.filter(|(of, _)| *of == codec).map(|(_, header)| header).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flv::FourCc;
    use crate::flv::video::VideoCodec;
    use crate::stream::headers::Role;

    fn header(track: u8, length: usize) -> Header {
        Header { kind: PacketKind::Video, track, role: Role::Sequence, payload: vec![0; length] }
    }

    #[test]
    fn headers_are_taken_for_their_codec_alone_and_have_their_bounds() {
        let [avc, hevc] = [b"avc1", b"hvc1"].map(|name| Codec::Video(VideoCodec::Enhanced(FourCc(*name))));
        let mut aside = Aside::default();
        assert_eq!(aside.take(PacketKind::Video, 0, avc).len(), 0);
        aside.put(avc, header(0, 5));
        aside.put(hevc, header(0, MAX_HEADER_BYTES));
        aside.put(avc, header(1, 1));
        let lengths: Vec<_> = aside.0.iter().map(|(_, header)| header.payload.len()).collect();
        assert_eq!(lengths, [MAX_HEADER_BYTES], "the newest of a track, and no byte more");
        assert_eq!(aside.take(PacketKind::Video, 0, avc).len(), 0, "of another codec");
        assert_eq!(aside.take(PacketKind::Video, 0, hevc).len(), 0, "and void then");
        (0..=MAX_HEADERS as u8).for_each(|track| aside.put(avc, header(track, 1)));
        assert_eq!(aside.0.len(), MAX_HEADERS);
        assert_eq!(aside.take(PacketKind::Video, 7, avc).len(), 1);
    }
}
