//! Bursts: runs of whole FLV tags, framed once for all viewers.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Instant;

use super::budget::{Budget, Ticket};
use crate::flv::tag::{FILE_HEADER_LENGTH, put_tag, tag_length};
use crate::media::{Packet, Timestamp};

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

/// A run of whole tags, shared by reference by all who send it. The tags lie in one piece, between the head and
/// the end of an HTTP chunk, so that each framing is a slice of the same bytes and goes out in one write.
#[derive(Debug)]
pub(crate) struct Burst {
    /// Its place in the stream, counted from 0.
    pub(crate) sequence: u64,
    /// Whether its first tag is a keyframe.
    pub(crate) keyframe: bool,
    /// Of its first tag.
    pub(crate) timestamp: Timestamp,
    /// When its last tag came from the publisher.
    pub(crate) arrived: Instant,
    /// How much the stream's bursts have cost up to its end, in bytes.
    pub(crate) stream_end: u64,
    /// Bytes in front of the first tag that belong to no tag: a file header, or nothing.
    file_header: usize,
    bytes: Box<[u8]>,
    tags_at: usize,
    _ticket: Ticket,
}

impl Burst {
    /// Lays out `packets` as tags. `stream_start` is the previous burst's `stream_end`.
    pub(crate) fn new(
        sequence: u64,
        keyframe: bool,
        arrived: Instant,
        stream_start: u64,
        packets: &[Packet],
        budget: &Arc<Budget>,
    ) -> Self {
        let (bytes, tags_at) = framed(&[], packets);
        let cost = bytes.len() + OVERHEAD;
        Self {
            sequence,
            keyframe,
            timestamp: packets.first().map_or(Timestamp(0), |packet| packet.timestamp),
            arrived,
            stream_end: stream_start + cost as u64,
            file_header: 0,
            bytes,
            tags_at,
            _ticket: budget.ticket(cost),
        }
    }

    /// What a viewer gets in front of `first`: the file header (unless it has it) and tags from the header cache.
    pub(crate) fn prefix(
        first: &Self,
        file_header: Option<[u8; FILE_HEADER_LENGTH]>,
        tags: &[Packet],
        budget: &Arc<Budget>,
    ) -> Self {
        let header = file_header.as_ref().map_or(&[][..], |header| &header[..]);
        let (bytes, tags_at) = framed(header, tags);
        Self {
            sequence: first.sequence,
            keyframe: first.keyframe,
            timestamp: first.timestamp,
            arrived: first.arrived,
            stream_end: first.stream_end,
            file_header: header.len(),
            _ticket: budget.ticket(bytes.len() + OVERHEAD),
            bytes,
            tags_at,
        }
    }

    /// The bytes that go onto a socket.
    pub(crate) fn framed(&self, framing: Framing) -> &[u8] {
        match framing {
            Framing::Chunked => &self.bytes,
            Framing::Plain => self.flv(),
        }
    }

    /// The tags alone, without a file header.
    pub(crate) fn tags(&self) -> &[u8] {
        &self.flv()[self.file_header..]
    }

    /// How much memory it costs, roughly.
    pub(crate) fn cost(&self) -> usize {
        self.bytes.len() + OVERHEAD
    }

    fn flv(&self) -> &[u8] {
        &self.bytes[self.tags_at..self.bytes.len() - LINE_END.len()]
    }
}

/// A file header and tags as one HTTP chunk; and where in it they begin. A chunk of length 0 would end the body, but
/// there are no empty bursts.
fn framed(header: &[u8], packets: &[Packet]) -> (Box<[u8]>, usize) {
    let length = header.len() + packets.iter().map(|packet| tag_length(packet.payload.len())).sum::<usize>();
    debug_assert!(length > 0);
    let mut head = Vec::with_capacity(MAX_CHUNK_HEAD);
    let _infallible = write!(head, "{length:x}\r\n");
    let mut bytes = Vec::with_capacity(head.len() + length + LINE_END.len());
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(header);
    packets.iter().for_each(|packet| put_tag(&mut bytes, packet.kind, packet.timestamp, &packet.payload));
    bytes.extend_from_slice(LINE_END);
    (bytes.into_boxed_slice(), head.len())
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
        let packets = [packet(40, b"abc"), packet(80, b"")];
        let mut tags = Vec::new();
        packets.iter().for_each(|p| put_tag(&mut tags, p.kind, p.timestamp, &p.payload));
        let budget = Budget::new(1000);
        let burst = Burst::new(3, true, Instant::now(), 100, &packets, &budget);
        assert_eq!(burst.framed(Framing::Plain), tags);
        assert_eq!(burst.tags(), tags);
        assert_eq!(burst.framed(Framing::Chunked), [b"21\r\n", &tags[..], b"\r\n"].concat());
        assert_eq!((burst.stream_end, burst.timestamp), (100 + burst.cost() as u64, Timestamp(40)));

        let header = file_header(Tracks { audio: false, video: true });
        let prefix = Burst::prefix(&burst, Some(header), &packets[..1], &budget);
        assert_eq!(prefix.framed(Framing::Plain), [&header[..], &tags[..18]].concat());
        assert_eq!(prefix.tags(), &tags[..18]);
        let bare = Burst::prefix(&burst, None, &packets[..1], &budget);
        assert_eq!(bare.framed(Framing::Plain), &tags[..18]);
        assert!(!budget.is_exceeded());
        let _many: Vec<_> = (0..2).map(|_| Burst::prefix(&burst, None, &packets[..1], &budget)).collect();
        assert!(budget.is_exceeded());
        drop(_many);
        assert!(!budget.is_exceeded());
    }
}
