use super::{Codec, Header, MAX_HEADER_BYTES, MAX_HEADERS};
use crate::media::PacketKind;

/// Headers that belong to nothing that the stream has now, each with the codec that it is for. Encoders send a header once:
/// when its track comes back, or is taken at last, it is needed.
#[derive(Debug, Clone, Default)]
pub(super) struct Aside(Vec<(Codec, Header)>);

impl Aside {
    /// Puts a header here, in the place of one for the same. The oldest make room for it.
    pub(super) fn put(&mut self, codec: Codec, header: Header) {
        self.0.retain(|(of, other)| *of != codec || !other.is_for_the_same_as(&header));
        self.0.push((codec, header));
        while self.0.len() > MAX_HEADERS || self.held() > MAX_HEADER_BYTES {
            self.0.remove(0);
        }
    }

    /// Takes the headers of a track with this codec out.
    pub(super) fn take(&mut self, kind: PacketKind, track: u8, codec: Codec) -> Vec<Header> {
        let is_it = |(of, header): &mut (Codec, Header)| *of == codec && header.is_of(track, kind);
        self.0.extract_if(.., is_it).map(|(_, header)| header).collect()
    }

    /// Bytes of all of them.
    fn held(&self) -> usize {
        self.0.iter().map(|(_, header)| header.payload.len()).sum()
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
        aside.put(avc, header(0, 6));
        aside.put(hevc, header(0, MAX_HEADER_BYTES - 6));
        let lengths =
            |aside: &Aside| aside.0.iter().map(|(_, header)| header.payload.len()).collect::<Vec<_>>();
        assert_eq!(lengths(&aside), [6, MAX_HEADER_BYTES - 6], "the newest of each codec");
        aside.put(avc, header(1, 1));
        assert_eq!(lengths(&aside), [MAX_HEADER_BYTES - 6, 1], "the oldest goes for one byte too many");
        assert_eq!(aside.take(PacketKind::Video, 0, avc).len(), 0, "of another codec");
        assert_eq!(aside.take(PacketKind::Video, 0, hevc).len(), 1);
        (0..=MAX_HEADERS as u8).for_each(|track| aside.put(avc, header(track, 1)));
        assert_eq!(aside.0.len(), MAX_HEADERS);
        assert_eq!(aside.take(PacketKind::Video, 7, avc).len(), 1);
    }
}
