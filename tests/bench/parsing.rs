//! The chunk parser alone, on one core.

use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

use rtmpd::media::{PacketKind, Timestamp};
use rtmpd::rtmp::chunk::{ChunkLimits, ChunkReader, ChunkStreamId, ChunkWriter};
use rtmpd::rtmp::message::{Message, MessageType};

use crate::load::frames::{Frame, Frames, Shape};
use crate::load::table::{Column, Row};

pub const COLUMNS: [Column; 3] =
    [Column("speed", "GB/s", 2), Column("messages", "millions/s", 2), Column("mean", "bytes/message", 0)];

const CHUNK_SIZES: [u32; 3] = [128, 4096, 65_536];

/// How the server reads its sockets.
const READ: usize = 64 << 10;

/// How much is parsed again and again. It fits no core's own cache, as a socket's bytes do not.
const LENGTH: usize = 8 << 20;

/// How long each figure is measured.
const TIME: Duration = Duration::from_millis(1000);

/// Streams as cameras send them, and the large frames of a studio's.
const STREAMS: [(&str, u32); 2] = [("1 Mbit/s", 1_000_000), ("40 Mbit/s", 40_000_000)];

pub fn measure(runs: usize) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, bits_per_second) in STREAMS {
        for chunk_size in CHUNK_SIZES {
            let source = Source::new(Shape { bits_per_second, ..Shape::default() }, chunk_size);
            source.check()?;
            let runs: io::Result<Vec<_>> = (0..runs).map(|_| source.measure()).collect();
            rows.push(Row::of_medians(format!("{name}, chunks of {chunk_size}"), &runs?));
        }
    }
    Ok(rows)
}

/// A stream on the wire, and what it must come to.
struct Source {
    bytes: Vec<u8>,
    messages: Vec<Message>,
}

impl Source {
    fn new(shape: Shape, chunk_size: u32) -> Self {
        let mut writer = ChunkWriter::default();
        let mut source = Self { bytes: Vec::with_capacity(LENGTH + (1 << 20)), messages: Vec::new() };
        let set_chunk_size = chunk_size.to_be_bytes().to_vec();
        let control = message(MessageType::SET_CHUNK_SIZE, 0, 0, set_chunk_size);
        writer.write(ChunkStreamId::CONTROL, &control, &mut source.bytes);
        for frame in Frames::new(shape) {
            let (chunk_stream, message) = on_the_wire(frame);
            writer.write(chunk_stream, &message, &mut source.bytes);
            source.messages.push(message);
            if source.bytes.len() >= LENGTH {
                break;
            }
        }
        source
    }

    /// Every message comes out as it went in.
    fn check(&self) -> io::Result<()> {
        let mut expected = self.messages.iter();
        let all_equal = |message: Message| expected.next() == Some(&message);
        let mut reader = ChunkReader::new(ChunkLimits::default());
        if !self.pass(&mut reader, all_equal)? || expected.next().is_some() {
            return Err(io::Error::other("the parser's messages are not those that were written"));
        }
        Ok(())
    }

    fn measure(&self) -> io::Result<Vec<f64>> {
        let mut reader = ChunkReader::new(ChunkLimits::default());
        let (mut passes, mut messages) = (0, 0);
        let begin = Instant::now();
        while begin.elapsed() < TIME {
            self.pass(&mut reader, |message| {
                messages += 1;
                !black_box(message).payload.is_empty()
            })?;
            passes += 1;
        }
        let seconds = begin.elapsed().as_secs_f64();
        if messages != passes * self.messages.len() {
            return Err(io::Error::other("the parser lost messages"));
        }
        Ok(vec![
            (passes * self.bytes.len()) as f64 / seconds / 1e9,
            messages as f64 / seconds / 1e6,
            self.bytes.len() as f64 / self.messages.len() as f64,
        ])
    }

    /// Reads all bytes once, and says whether each message was to the liking of `take`.
    fn pass(&self, reader: &mut ChunkReader, mut take: impl FnMut(Message) -> bool) -> io::Result<bool> {
        let mut fine = true;
        for mut input in self.bytes.chunks(READ) {
            while let Some(message) = reader.read(&mut input).map_err(io::Error::other)? {
                fine &= take(message);
            }
        }
        Ok(fine)
    }
}

/// Audio and video on chunk streams of their own, as encoders send them.
fn on_the_wire(frame: Frame) -> (ChunkStreamId, Message) {
    let (chunk_stream, message_type) = match frame.kind {
        PacketKind::Video => (ChunkStreamId(6), MessageType::VIDEO),
        _ => (ChunkStreamId(4), MessageType::AUDIO),
    };
    (chunk_stream, message(message_type, 1, frame.timestamp, frame.payload))
}

fn message(message_type: MessageType, stream_id: u32, timestamp: u32, payload: Vec<u8>) -> Message {
    Message { timestamp: Timestamp(timestamp), message_type, stream_id, payload }
}
