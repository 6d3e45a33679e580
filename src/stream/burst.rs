//! Bursts: runs of whole FLV tags, framed once for all viewers.

use std::io::{IoSlice, Write as _};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use super::budget::{Budget, Ticket};
use crate::flv::tag::{FILE_HEADER_LENGTH, put_tag, split_tag, tag_length};
use crate::flv::variant::{Shaped, Variant};
use crate::media::{Packet, PacketKind, Timestamp};

/// The longest head of an HTTP chunk: eight hexadecimal digits and a line end.
const MAX_CHUNK_HEAD: usize = 10;
const LINE_END: &[u8] = b"\r\n";

/// The longest head of a WebSocket frame that is not masked.
const MAX_FRAME_HEAD: usize = 10;

/// What a burst costs beside its bytes: its fields, its places in lists, and the allocator's rounding.
const OVERHEAD: usize = 256;

/// How a burst's bytes go onto a viewer's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// One chunk of an HTTP/1.1 chunked body.
    Chunked,
    /// As they are: an HTTP/1.0 body, ended by closing.
    Plain,
    /// One binary message, in one frame.
    WebSocket,
}

/// The bytes of a burst in a framing. Only a WebSocket frame's head does not lie directly in front of the tags, where the
/// head of the HTTP chunk is; both pieces go out in one write.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Framed<'a> {
    head: &'a [u8],
    rest: &'a [u8],
}

/// What a burst begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// A keyframe of this video track.
    Keyframe(u8),
    /// Anything else.
    Other,
}

/// A run of whole tags, shared by reference by all who send it. The tags lie in one piece, between the head and
/// the end of an HTTP chunk, so that each framing is made of the same bytes and goes out in one write.
#[derive(Debug)]
pub(crate) struct Burst {
    /// Its place in the stream, counted from 0.
    pub(crate) sequence: u64,
    /// What its first tag is.
    pub(crate) opening: Opening,
    /// Of its first tag.
    pub(crate) timestamp: Timestamp,
    /// When its last tag came from the publisher.
    pub(crate) arrived: Instant,
    /// How much the stream's bursts have cost up to its end, in bytes.
    pub(crate) stream_end: u64,
    as_it_came: Layout,
    /// Whether it is the same in all variants: made for one of them.
    fixed: bool,
    /// The variants that somebody has asked for, made by who asked first.
    variants: OnceLock<Box<InVariant>>,
    budget: Arc<Budget>,
    _ticket: Ticket,
}

/// A burst's tags in one variant, and the way to the next.
#[derive(Debug)]
struct InVariant {
    variant: Variant,
    /// `None` if it differs in nothing.
    layout: Option<(Layout, Ticket)>,
    next: OnceLock<Box<Self>>,
}

/// Tags with what HTTP puts around them. Without tags it is empty: a chunk of length 0 would end the body.
#[derive(Debug)]
struct Layout {
    bytes: Box<[u8]>,
    /// Where the head of a WebSocket frame ends, and that of the chunk begins.
    chunk_at: usize,
    /// Where the chunk's head ends.
    flv_at: usize,
    /// Where the file header ends, if there is one.
    tags_at: usize,
}

impl Opening {
    /// Whether a player of this video track can begin here.
    pub(crate) fn is_keyframe_of(self, track: u8) -> bool {
        self == Self::Keyframe(track)
    }
}

impl Burst {
    /// Lays out `packets` as tags. `stream_start` is the previous burst's `stream_end`.
    pub(crate) fn new(
        sequence: u64,
        opening: Opening,
        arrived: Instant,
        stream_start: u64,
        packets: &[Packet],
        budget: &Arc<Budget>,
    ) -> Self {
        let as_it_came = Layout::new(&[], packets);
        let cost = as_it_came.cost();
        Self {
            sequence,
            opening,
            timestamp: packets.first().map_or(Timestamp(0), |packet| packet.timestamp),
            arrived,
            stream_end: stream_start + cost as u64,
            as_it_came,
            fixed: false,
            variants: OnceLock::new(),
            budget: Arc::clone(budget),
            _ticket: budget.ticket(cost),
        }
    }

    /// What a viewer gets in front of `first`: the file header (unless it has it) and tags from the header cache, in
    /// the form that this viewer gets.
    pub(crate) fn prefix(
        first: &Self,
        file_header: Option<[u8; FILE_HEADER_LENGTH]>,
        tags: &[Packet],
        budget: &Arc<Budget>,
    ) -> Self {
        let header = file_header.as_ref().map_or(&[][..], |header| &header[..]);
        let as_it_came = Layout::new(header, tags);
        Self {
            sequence: first.sequence,
            opening: first.opening,
            timestamp: first.timestamp,
            arrived: first.arrived,
            stream_end: first.stream_end,
            fixed: true,
            variants: OnceLock::new(),
            budget: Arc::clone(budget),
            _ticket: budget.ticket(as_it_came.cost()),
            as_it_came,
        }
    }

    /// The bytes that go onto a socket; none if the variant has nothing of this burst.
    pub(crate) fn framed(&self, variant: &Variant, framing: Framing) -> Framed<'_> {
        self.layout(variant).framed(framing)
    }

    /// File header and tags as they are.
    pub(crate) fn plain(&self, variant: &Variant) -> &[u8] {
        self.framed(variant, Framing::Plain).rest
    }

    /// The tags as they came, without a file header.
    pub(crate) fn tags(&self) -> &[u8] {
        self.as_it_came.tags()
    }

    /// How much memory it costs, roughly, without its variants.
    pub(crate) fn cost(&self) -> usize {
        self.as_it_came.cost()
    }

    fn layout(&self, variant: &Variant) -> &Layout {
        if self.fixed {
            return &self.as_it_came;
        }
        let mut place = &self.variants;
        loop {
            // Who comes second waits for the first, and may find another variant made.
            let made = place.get_or_init(|| Box::new(self.in_variant(*variant)));
            if made.variant == *variant {
                return made.layout.as_ref().map_or(&self.as_it_came, |(layout, _)| layout);
            }
            place = &made.next;
        }
    }

    fn in_variant(&self, variant: Variant) -> InVariant {
        let shaped: Vec<_> =
            tags(self.tags()).map(|(kind, at, body)| (kind, at, body, variant.shape(kind, body))).collect();
        let same = shaped.iter().all(|(.., shaped)| *shaped == Shaped::Same);
        let layout = (!same).then(|| {
            let packets = shaped.into_iter().filter_map(|(kind, timestamp, body, shaped)| {
                shaped.payload(body).map(|payload| Packet { kind, timestamp, payload })
            });
            let layout = Layout::new(&[], &packets.collect::<Vec<_>>());
            let ticket = self.budget.ticket_of_variant(layout.cost());
            (layout, ticket)
        });
        InVariant { variant, layout, next: OnceLock::new() }
    }
}

/// The tags in `bytes`: kind, time and body of each.
fn tags(bytes: &[u8]) -> impl Iterator<Item = (PacketKind, Timestamp, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (kind, timestamp, body, behind) = split_tag(rest)?;
        rest = behind;
        Some((kind, timestamp, body))
    })
}

impl Layout {
    /// A file header and tags as one HTTP chunk.
    fn new(header: &[u8], packets: &[Packet]) -> Self {
        let length =
            header.len() + packets.iter().map(|packet| tag_length(packet.payload.len())).sum::<usize>();
        if length == 0 {
            return Self { bytes: Box::default(), chunk_at: 0, flv_at: 0, tags_at: 0 };
        }
        let mut head = frame_head(OpCode::Data(Data::Binary), length);
        let chunk_at = head.len();
        let _infallible = write!(head, "{length:x}\r\n");
        let mut bytes = Vec::with_capacity(head.len() + length + LINE_END.len());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(header);
        packets.iter().for_each(|packet| put_tag(&mut bytes, packet.kind, packet.timestamp, &packet.payload));
        bytes.extend_from_slice(LINE_END);
        let (bytes, flv_at) = (bytes.into_boxed_slice(), head.len());
        Self { bytes, chunk_at, flv_at, tags_at: flv_at + header.len() }
    }

    fn framed(&self, framing: Framing) -> Framed<'_> {
        match framing {
            Framing::Chunked => Framed::whole(&self.bytes[self.chunk_at..]),
            Framing::Plain => Framed::whole(self.from(self.flv_at)),
            Framing::WebSocket => Framed { head: &self.bytes[..self.chunk_at], rest: self.from(self.flv_at) },
        }
    }

    fn tags(&self) -> &[u8] {
        self.from(self.tags_at)
    }

    fn from(&self, at: usize) -> &[u8] {
        &self.bytes[at..self.bytes.len().saturating_sub(LINE_END.len())]
    }

    fn cost(&self) -> usize {
        self.bytes.len() + OVERHEAD
    }
}

/// The head of a frame that holds a whole message of `length` bytes, as a server sends it.
pub(crate) fn frame_head(opcode: OpCode, length: usize) -> Vec<u8> {
    let mut head = Vec::with_capacity(MAX_FRAME_HEAD + MAX_CHUNK_HEAD);
    let _infallible = FrameHeader { opcode, ..FrameHeader::default() }.format(length as u64, &mut head);
    head
}

impl<'a> Framed<'a> {
    /// Bytes that lie in one piece.
    pub(crate) fn whole(bytes: &'a [u8]) -> Self {
        Self { head: &[], rest: bytes }
    }

    pub(crate) fn len(self) -> usize {
        self.head.len() + self.rest.len()
    }

    pub(crate) fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// What is left behind the first `count` bytes.
    pub(crate) fn from(self, count: usize) -> Self {
        let of_head = count.min(self.head.len());
        Self { head: &self.head[of_head..], rest: &self.rest[count - of_head..] }
    }

    /// Its pieces, of which the first is often empty.
    pub(crate) fn pieces(self) -> [IoSlice<'a>; 2] {
        [self.head, self.rest].map(IoSlice::new)
    }

    /// All of it, if it lies in one piece.
    pub(crate) fn in_one_piece(self) -> Option<&'a [u8]> {
        self.head.is_empty().then_some(self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flv::tag::{Tracks, file_header};
    use crate::media::PacketKind;

    fn packet(timestamp: u32, payload: &[u8]) -> Packet {
        Packet { kind: PacketKind::Video, timestamp: Timestamp(timestamp), payload: payload.to_vec() }
    }

    fn bytes(framed: Framed<'_>) -> Vec<u8> {
        framed.pieces().iter().flat_map(|piece| piece.to_vec()).collect()
    }

    #[test]
    fn all_framings_are_slices_of_the_same_tags() {
        let packets = [packet(40, b"abc"), packet(80, b"d")];
        let mut tags = Vec::new();
        packets.iter().for_each(|p| put_tag(&mut tags, p.kind, p.timestamp, &p.payload));
        let budget = Budget::new(1400);
        let burst = Burst::new(3, Opening::Keyframe(0), Instant::now(), 100, &packets, &budget);
        assert_eq!(burst.plain(&Variant::RAW), tags);
        assert_eq!(burst.tags(), tags);
        let framed = |framing| bytes(burst.framed(&Variant::RAW, framing));
        assert_eq!(framed(Framing::Chunked), [b"22\r\n", &tags[..], b"\r\n"].concat());
        assert_eq!(framed(Framing::WebSocket), [b"\x82\x22", &tags[..]].concat());
        assert_eq!((burst.stream_end, burst.timestamp), (100 + burst.cost() as u64, Timestamp(40)));

        let header = file_header(Tracks { audio: false, video: true });
        let prefix = Burst::prefix(&burst, Some(header), &packets[..1], &budget);
        assert_eq!(prefix.plain(&Variant::RAW), [&header[..], &tags[..18]].concat());
        assert_eq!(prefix.tags(), &tags[..18]);
        let bare = Burst::prefix(&burst, None, &packets[..1], &budget);
        assert_eq!(bare.plain(&Variant::RAW), &tags[..18]);
        assert!(!budget.is_exceeded());
        let sound = Variant { video: None, ..Variant::RAW };
        assert_eq!(burst.plain(&sound), b"", "no chunk: an empty one would end the body");
        for framing in [Framing::Chunked, Framing::WebSocket] {
            assert!(burst.framed(&sound, framing).is_empty(), "{framing:?}");
        }
        assert_eq!(prefix.plain(&sound).len(), 13 + 18, "made for whom it is");
        let _many: Vec<_> = (0..2).map(|_| Burst::prefix(&burst, None, &packets[..1], &budget)).collect();
        assert!(budget.is_exceeded());
        drop(_many);
        assert!(!budget.is_exceeded());
    }

    #[test]
    fn frames_have_the_shortest_head_for_their_length() {
        let budget = Budget::new(1 << 20);
        for (length, head) in [
            (125, &[0x82, 125][..]),
            (126, &[0x82, 126, 0, 126]),
            (65_535, &[0x82, 126, 0xFF, 0xFF]),
            (65_536, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let payload = vec![7; length - tag_length(0)];
            let burst = Burst::new(0, Opening::Other, Instant::now(), 0, &[packet(0, &payload)], &budget);
            let framed = burst.framed(&Variant::RAW, Framing::WebSocket);
            assert_eq!(bytes(framed), [head, burst.tags()].concat());
            assert_eq!((framed.len(), framed.in_one_piece()), (head.len() + length, None));
            for cut in [0, 1, head.len(), head.len() + 1, framed.len()] {
                assert_eq!(bytes(framed.from(cut)), bytes(framed)[cut..], "{length}, {cut}");
            }
            assert_eq!(framed.from(head.len()).in_one_piece(), Some(burst.tags()));
        }
    }

    #[test]
    fn a_variant_is_made_once_and_counted_while_the_burst_lives() {
        let packets = [packet(40, b"\x91avc1\0\0\0x"), packet(80, b"\xD4hvc1"), packet(81, b"\x27\x01\0\0\0y")];
        let budget = Budget::new(500);
        let burst = Burst::new(0, Opening::Keyframe(0), Instant::now(), 0, &packets, &budget);
        let browser = Variant { form: crate::flv::variant::Form::Browser, ..Variant::RAW };
        let mut tags = Vec::new();
        put_tag(&mut tags, PacketKind::Video, Timestamp(40), b"\x17\x01\0\0\0x");
        put_tag(&mut tags, PacketKind::Video, Timestamp(81), b"\x27\x01\0\0\0y");
        let made = burst.plain(&browser);
        assert_eq!(made, tags);
        assert!(std::ptr::eq(made, burst.plain(&browser)), "not made again");
        let legacy = Variant { form: crate::flv::variant::Form::LegacyHevc, ..browser };
        assert_eq!(burst.plain(&legacy), tags);
        assert!(std::ptr::eq(made, burst.plain(&browser)), "nor when others were");
        assert!(std::ptr::eq(burst.plain(&Variant::RAW), burst.tags()));
        assert!(
            budget.is_exceeded_by_windows(),
            "two variants of some 300 bytes each, and one that is the burst"
        );
        drop(burst);
        assert!(!budget.is_exceeded_by_windows() && !budget.is_exceeded());
    }
}
