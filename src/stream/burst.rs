//! Bursts: runs of whole FLV tags, framed once for all viewers.

use std::io::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::budget::{Budget, Ticket};
use crate::flv::tag::{FILE_HEADER_LENGTH, put_tag, split_tag, tag_length};
use crate::flv::variant::{Shaped, Variant};
use crate::media::{Packet, PacketKind, Timestamp};

/// The longest head of an HTTP chunk: eight hexadecimal digits and a line end.
const MAX_CHUNK_HEAD: usize = 10;
const LINE_END: &[u8] = b"\r\n";

/// What a burst costs beside its bytes: its fields, its places in lists, and the allocator's rounding.
const OVERHEAD: usize = 256;

/// How a burst's bytes go onto a viewer's socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// One chunk of an HTTP/1.1 chunked body.
    Chunked,
    /// As they are: an HTTP/1.0 body, ended by closing.
    Plain,
}

/// What a burst begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// A keyframe of this video track.
    Keyframe(u8),
    /// Keyframes of several video tracks in one packet.
    Keyframes,
    /// Anything else.
    Other,
}

/// A run of whole tags, shared by reference by all who send it. The tags lie in one piece, between the head and
/// the end of an HTTP chunk, so that each framing is a slice of the same bytes and goes out in one write.
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
    flv_at: usize,
}

impl Opening {
    /// Whether a player of this video track can begin here.
    pub(crate) fn is_keyframe_of(self, track: u8) -> bool {
        match self {
            Self::Keyframe(of) => of == track,
            Self::Keyframes => true,
            Self::Other => false,
        }
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
    pub(crate) fn framed(&self, variant: &Variant, framing: Framing) -> &[u8] {
        self.layout(variant).framed(framing)
    }

    /// The tags as they came, without a file header.
    pub(crate) fn tags(&self) -> &[u8] {
        let flv = self.as_it_came.framed(Framing::Plain);
        if self.fixed && flv.starts_with(b"FLV") { &flv[FILE_HEADER_LENGTH..] } else { flv }
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
            return Self { bytes: Box::default(), flv_at: 0 };
        }
        let mut head = Vec::with_capacity(MAX_CHUNK_HEAD);
        let _infallible = write!(head, "{length:x}\r\n");
        let mut bytes = Vec::with_capacity(head.len() + length + LINE_END.len());
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(header);
        packets.iter().for_each(|packet| put_tag(&mut bytes, packet.kind, packet.timestamp, &packet.payload));
        bytes.extend_from_slice(LINE_END);
        Self { bytes: bytes.into_boxed_slice(), flv_at: head.len() }
    }

    fn framed(&self, framing: Framing) -> &[u8] {
        match framing {
            Framing::Chunked => &self.bytes,
            Framing::Plain => &self.bytes[self.flv_at..self.bytes.len().saturating_sub(LINE_END.len())],
        }
    }

    fn cost(&self) -> usize {
        self.bytes.len() + OVERHEAD
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

    #[test]
    fn both_framings_are_slices_of_the_same_tags() {
        let packets = [packet(40, b"abc"), packet(80, b"d")];
        let mut tags = Vec::new();
        packets.iter().for_each(|p| put_tag(&mut tags, p.kind, p.timestamp, &p.payload));
        let budget = Budget::new(1400);
        let burst = Burst::new(3, Opening::Keyframe(0), Instant::now(), 100, &packets, &budget);
        assert_eq!(burst.framed(&Variant::RAW, Framing::Plain), tags);
        assert_eq!(burst.tags(), tags);
        assert_eq!(burst.framed(&Variant::RAW, Framing::Chunked), [b"22\r\n", &tags[..], b"\r\n"].concat());
        assert_eq!((burst.stream_end, burst.timestamp), (100 + burst.cost() as u64, Timestamp(40)));

        let header = file_header(Tracks { audio: false, video: true });
        let prefix = Burst::prefix(&burst, Some(header), &packets[..1], &budget);
        assert_eq!(prefix.framed(&Variant::RAW, Framing::Plain), [&header[..], &tags[..18]].concat());
        assert_eq!(prefix.tags(), &tags[..18]);
        let bare = Burst::prefix(&burst, None, &packets[..1], &budget);
        assert_eq!(bare.framed(&Variant::RAW, Framing::Plain), &tags[..18]);
        assert!(!budget.is_exceeded());
        let sound = Variant { video: None, ..Variant::RAW };
        assert_eq!(burst.framed(&sound, Framing::Plain), b"", "no chunk: an empty one would end the body");
        assert_eq!(burst.framed(&sound, Framing::Chunked), b"");
        assert_eq!(prefix.framed(&sound, Framing::Plain).len(), 13 + 18, "made for whom it is");
        let _many: Vec<_> = (0..2).map(|_| Burst::prefix(&burst, None, &packets[..1], &budget)).collect();
        assert!(budget.is_exceeded());
        drop(_many);
        assert!(!budget.is_exceeded());
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
        let made = burst.framed(&browser, Framing::Plain);
        assert_eq!(made, tags);
        assert!(std::ptr::eq(made, burst.framed(&browser, Framing::Plain)), "not made again");
        let legacy = Variant { form: crate::flv::variant::Form::LegacyHevc, ..browser };
        assert_eq!(burst.framed(&legacy, Framing::Plain), tags);
        assert!(std::ptr::eq(made, burst.framed(&browser, Framing::Plain)), "nor when others were");
        assert!(std::ptr::eq(burst.framed(&Variant::RAW, Framing::Plain), burst.tags()));
        assert!(
            budget.is_exceeded_by_windows(),
            "two variants of some 300 bytes each, and one that is the burst"
        );
        drop(burst);
        assert!(!budget.is_exceeded_by_windows() && !budget.is_exceeded());
    }
}
