//! The chunk reader and writer, byte by byte: every header form, every split, every limit at its edge.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/noise.rs"]
mod noise;

use rtmpd::media::Timestamp;
use rtmpd::rtmp::chunk::{ChunkError, ChunkLimits, ChunkReader, ChunkStreamId, ChunkWriter};
use rtmpd::rtmp::message::{Message, MessageType};

use noise::Noise;

const AUDIO: u8 = 8;
const VIDEO: u8 = 9;

fn limits(change: impl FnOnce(&mut ChunkLimits)) -> ChunkLimits {
    let mut limits = ChunkLimits::default();
    change(&mut limits);
    limits
}

fn read_all(reader: &mut ChunkReader, mut input: &[u8]) -> Result<Vec<Message>, ChunkError> {
    let mut messages = Vec::new();
    while let Some(message) = reader.read(&mut input)? {
        messages.push(message);
    }
    assert!(input.is_empty(), "the reader takes everything");
    Ok(messages)
}

fn read(input: &[u8]) -> Result<Vec<Message>, ChunkError> {
    read_all(&mut ChunkReader::new(ChunkLimits::default()), input)
}

fn message(timestamp: u32, message_type: u8, stream_id: u32, payload: &[u8]) -> Message {
    Message {
        timestamp: Timestamp(timestamp),
        message_type: MessageType(message_type),
        stream_id,
        payload: payload.to_vec(),
    }
}

/// A type 0 header on a one-byte chunk stream.
fn full(chunk_stream: u8, timestamp: u32, length: u32, message_type: u8, stream_id: u32) -> Vec<u8> {
    let mut bytes = vec![chunk_stream];
    bytes.extend_from_slice(&timestamp.min(0xFF_FFFF).to_be_bytes()[1..]);
    bytes.extend_from_slice(&length.to_be_bytes()[1..]);
    bytes.push(message_type);
    bytes.extend_from_slice(&stream_id.to_le_bytes());
    if timestamp >= 0xFF_FFFF {
        bytes.extend_from_slice(&timestamp.to_be_bytes());
    }
    bytes
}

fn set_chunk_size(size: u32) -> Vec<u8> {
    [full(2, 0, 4, 1, 0), size.to_be_bytes().to_vec()].concat()
}

/// Audio on one chunk stream inside a video message on another, with all four header types, a new message by
/// type 3, an extended timestamp, an empty message and a change of the chunk size in the middle.
fn busy_stream() -> (Vec<u8>, Vec<Message>) {
    let video: Vec<u8> = (0..300).map(|index| index as u8).collect();
    let bytes = [
        full(6, 1000, 300, VIDEO, 1),
        video[..128].to_vec(),
        full(4, 1000, 3, AUDIO, 1),
        vec![1, 2, 3],
        vec![0xC6],
        video[128..256].to_vec(),
        vec![0x44, 0, 0, 23, 0, 0, 2, AUDIO, 4, 5], // type 1: delta 23, length 2
        set_chunk_size(4096),
        vec![0xC6],
        video[256..].to_vec(),
        vec![0x84, 0, 0, 24, 6, 7], // type 2: delta 24
        vec![0xC4, 8, 9],           // type 3: a new message, the same delta
        full(4, 0x0100_0000, 130, AUDIO, 1),
        vec![7; 130],
        full(5, 7, 0, 18, 1),
    ]
    .concat();
    let messages = vec![
        message(1000, AUDIO, 1, &[1, 2, 3]),
        message(1023, AUDIO, 1, &[4, 5]),
        message(1000, VIDEO, 1, &video),
        message(1047, AUDIO, 1, &[6, 7]),
        message(1071, AUDIO, 1, &[8, 9]),
        message(0x0100_0000, AUDIO, 1, &[7; 130]),
        message(7, 18, 1, &[]),
    ];
    (bytes, messages)
}

#[test]
fn all_header_types_interleaved() {
    let (bytes, messages) = busy_stream();
    assert_eq!(read(&bytes).unwrap(), messages);
}

#[test]
fn every_split_gives_the_same_messages() {
    let (bytes, messages) = busy_stream();
    for split in 0..=bytes.len() {
        let mut reader = ChunkReader::new(ChunkLimits::default());
        let mut got = read_all(&mut reader, &bytes[..split]).unwrap();
        got.extend(read_all(&mut reader, &bytes[split..]).unwrap());
        assert_eq!(got, messages, "split at {split}");
    }
}

#[test]
fn one_byte_at_a_time_gives_the_same_messages() {
    let (bytes, messages) = busy_stream();
    let mut reader = ChunkReader::new(ChunkLimits::default());
    let got: Vec<_> = bytes.chunks(1).flat_map(|byte| read_all(&mut reader, byte).unwrap()).collect();
    assert_eq!(got, messages);
}

#[test]
fn what_the_writer_writes_comes_back_on_every_kind_of_chunk_stream() {
    for chunk_stream in [2, 3, 63, 64, 65, 319, 320, 575, 576, 65_599] {
        for length in [0, 1, 127, 128, 129, 256, 1000] {
            for timestamp in [0, 0xFF_FFFE, 0xFF_FFFF, 0x0100_0000, u32::MAX] {
                let payload: Vec<u8> = (0..length).map(|index| (index * 3) as u8).collect();
                let sent = message(timestamp, VIDEO, 0x0102_0304, &payload);
                let mut bytes = Vec::new();
                ChunkWriter::default().write(ChunkStreamId(chunk_stream), &sent, &mut bytes);
                let what = format!("chunk stream {chunk_stream}, {length} bytes at {timestamp}");
                assert_eq!(read(&bytes).unwrap(), [sent], "{what}");
            }
        }
    }
}

#[test]
fn the_writer_uses_the_chunk_size_that_it_announced() {
    let mut writer = ChunkWriter::default();
    let mut bytes = Vec::new();
    let big = message(1, VIDEO, 1, &[5; 1000]);
    writer.write(ChunkStreamId(2), &message(0, 1, 0, &600_u32.to_be_bytes()), &mut bytes);
    writer.write(ChunkStreamId(4), &big, &mut bytes);
    assert_eq!(bytes.len(), 16 + 12 + 1000 + 1, "two chunks, of 600 and 400 bytes");
    assert_eq!(read(&bytes).unwrap(), [big]);
}

#[test]
fn type_3_after_type_0_adds_that_timestamp_unless_it_is_absolute() {
    let near = [full(4, 40, 1, AUDIO, 1), vec![1, 0xC4, 2, 0xC4, 3]].concat();
    let times: Vec<_> = read(&near).unwrap().iter().map(|m| m.timestamp.0).collect();
    assert_eq!(times, [40, 80, 120]);
    let edge = [full(4, 5000, 1, AUDIO, 1), vec![1, 0xC4, 2]].concat();
    assert_eq!(read(&edge).unwrap()[1].timestamp.0, 10_000);
    let far = [full(4, 5001, 1, AUDIO, 1), vec![1, 0xC4, 2]].concat();
    assert_eq!(read(&far).unwrap()[1].timestamp.0, 5001);
}

#[test]
fn timestamps_wrap() {
    let bytes = [full(4, u32::MAX - 9, 1, AUDIO, 1), vec![1], vec![0x84, 0, 0, 20, 2]].concat();
    assert_eq!(read(&bytes).unwrap()[1].timestamp, Timestamp(10));
}

/// Extended timestamps on type 3 chunks: repeated by ffmpeg, new OBS and GStreamer, left out by others.
#[test]
fn extended_timestamps_are_found_where_they_are_repeated_and_where_they_are_not() {
    let payload: Vec<u8> = (0..300).map(|index| 0x80 | index as u8).collect();
    let raw = 0x0123_4567_u32;
    for repeated in [true, false] {
        let again = if repeated { raw.to_be_bytes().to_vec() } else { Vec::new() };
        let parts = [&payload[..128], &payload[128..256], &payload[256..]];
        let mut bytes = full(6, raw, 300, VIDEO, 1);
        bytes.extend_from_slice(parts[0]);
        for part in &parts[1..] {
            bytes.push(0xC6);
            bytes.extend_from_slice(&again);
            bytes.extend_from_slice(part);
        }
        for split in 0..=bytes.len() {
            let mut reader = ChunkReader::new(ChunkLimits::default());
            let mut got = read_all(&mut reader, &bytes[..split]).unwrap();
            got.extend(read_all(&mut reader, &bytes[split..]).unwrap());
            assert_eq!(got, [message(raw, VIDEO, 1, &payload)], "repeated: {repeated}, split at {split}");
        }
    }
}

#[test]
fn an_extended_delta_is_repeated_as_it_was_or_as_the_time_it_came_to() {
    let delta = 20_000_000_u32;
    for again in [delta, delta + 100] {
        let mut bytes = [full(6, 100, 1, VIDEO, 1), vec![9]].concat();
        bytes.extend_from_slice(&[0x46, 0xFF, 0xFF, 0xFF, 0, 0, 130, VIDEO]);
        bytes.extend_from_slice(&delta.to_be_bytes());
        bytes.extend_from_slice(&[5; 128]);
        bytes.push(0xC6);
        bytes.extend_from_slice(&again.to_be_bytes());
        bytes.extend_from_slice(&[6; 2]);
        let got = read(&bytes).unwrap();
        assert_eq!(got[1].timestamp.0, delta + 100);
        assert_eq!(got[1].payload, [&[5; 128][..], &[6; 2]].concat());
    }
}

/// Payload that happens to begin like the timestamp must not be eaten once it differs, even at the very end.
#[test]
fn payload_that_begins_like_the_extended_timestamp_stays_payload() {
    let raw = 0x0123_4567_u32;
    let tail = [0x01, 0x23, 0x99];
    let bytes = [full(6, raw, 131, VIDEO, 1), vec![5; 128], vec![0xC6], tail.to_vec()].concat();
    let following = [full(4, 1, 1, AUDIO, 1), vec![7]].concat();
    for split in 0..=tail.len() {
        let mut reader = ChunkReader::new(ChunkLimits::default());
        let cut = bytes.len() - split;
        let mut got = read_all(&mut reader, &bytes[..cut]).unwrap();
        got.extend(read_all(&mut reader, &bytes[cut..]).unwrap());
        got.extend(read_all(&mut reader, &following).unwrap());
        assert_eq!(got[0].payload, [&[5; 128][..], &tail].concat(), "split {split} before the end");
        assert_eq!(got[1], message(1, AUDIO, 1, &[7]));
    }
}

#[test]
fn types_1_and_2_with_the_same_length_continue_a_message() {
    for continuation in [vec![0x46, 0, 0, 0, 0, 0, 130, VIDEO], vec![0x86, 0, 0, 0], vec![0xC6]] {
        let bytes = [full(6, 50, 130, VIDEO, 1), vec![1; 128], continuation, vec![2; 2]].concat();
        let got = read(&bytes).unwrap();
        assert_eq!(got, [message(50, VIDEO, 1, &[&[1; 128][..], &[2; 2]].concat())]);
    }
}

#[test]
fn a_message_may_be_broken_off_by_another_but_not_for_ever() {
    let broken = [full(6, 50, 130, VIDEO, 1), vec![1; 128]].concat();
    let whole = [full(6, 60, 2, VIDEO, 1), vec![3, 4]].concat();
    let shorter = [vec![0x46, 0, 0, 0, 0, 0, 2, VIDEO], vec![3, 4]].concat();
    assert_eq!(read(&[broken.clone(), whole.clone()].concat()).unwrap(), [message(60, VIDEO, 1, &[3, 4])]);
    assert_eq!(read(&[broken.clone(), shorter].concat()).unwrap(), [message(50, VIDEO, 1, &[3, 4])]);

    let few = limits(|limits| limits.broken_messages = 2);
    let edge = [broken.repeat(2), whole.clone()].concat();
    assert_eq!(read_all(&mut ChunkReader::new(few.clone()), &edge).unwrap().len(), 1);
    let beyond = [broken.repeat(3), whole].concat();
    assert_eq!(read_all(&mut ChunkReader::new(few), &beyond), Err(ChunkError::TooManyBroken(2)));
}

#[test]
fn abort_drops_a_partial_message_and_nothing_else() {
    let bytes = [
        full(6, 50, 200, VIDEO, 1),
        vec![1; 128],
        full(2, 0, 4, 2, 0),
        vec![0, 0, 0, 6],
        vec![0xC6], // the header state is still there: a new message of 200 bytes
        vec![2; 128],
        vec![0xC6],
        vec![2; 72],
        full(2, 0, 4, 2, 0),
        vec![0, 0, 0, 99],
    ]
    .concat();
    assert_eq!(read(&bytes).unwrap(), [message(100, VIDEO, 1, &[2; 200])]);
    assert_eq!(read(&[full(2, 0, 3, 2, 0), vec![0; 3]].concat()), Err(ChunkError::ShortControl));
}

#[test]
fn chunk_sizes_are_taken_within_their_bounds() {
    for size in [0, 0x8000_0000, u32::MAX] {
        assert_eq!(read(&set_chunk_size(size)), Err(ChunkError::ChunkSize(size)));
    }
    for size in [1, 0x7FFF_FFFF] {
        let mut bytes = [set_chunk_size(size), full(4, 1, 2, AUDIO, 1)].concat();
        bytes.extend_from_slice(if size == 1 { &[5, 0xC4, 6] } else { &[5, 6] });
        assert_eq!(read(&bytes).unwrap(), [message(1, AUDIO, 1, &[5, 6])], "chunk size {size}");
    }
    assert_eq!(read(&[full(2, 0, 3, 1, 0), vec![0; 3]].concat()), Err(ChunkError::ShortControl));
}

#[test]
fn a_header_that_builds_on_nothing_is_an_error() {
    assert_eq!(read(&[0x86, 0, 0, 1]), Err(ChunkError::NoHeader { format: 2, chunk_stream: 6 }));
    assert_eq!(read(&[0xC0, 10]), Err(ChunkError::NoHeader { format: 3, chunk_stream: 74 }));
    // librtmp sends its first ping with type 1.
    let ping = [0x42, 0, 0, 9, 0, 0, 2, 4, 0, 6];
    assert_eq!(read(&ping).unwrap(), [message(9, 4, 0, &[0, 6])]);
}

#[test]
fn lengths_over_the_limit_are_refused_before_a_byte_of_them_is_taken() {
    let small = limits(|limits| (limits.media_message, limits.other_message) = (1000, 100));
    let outcome = |message_type, length| {
        read_all(&mut ChunkReader::new(small.clone()), &full(4, 0, length, message_type, 1))
    };
    for (message_type, limit) in [(AUDIO, 1000), (VIDEO, 1000), (20, 100), (77, 100)] {
        assert_eq!(outcome(message_type, limit), Ok(vec![]));
        let length = limit + 1;
        let error = ChunkError::MessageTooLong { message_type, length, limit: limit as usize };
        assert_eq!(outcome(message_type, length), Err(error));
    }
}

#[test]
fn chunk_streams_and_unfinished_bytes_are_bounded() {
    let few = limits(|limits| limits.chunk_streams = 3);
    let streams = |count: u8| (0..count).flat_map(|n| full(3 + n, 0, 0, AUDIO, 1)).collect::<Vec<_>>();
    assert_eq!(read_all(&mut ChunkReader::new(few.clone()), &streams(3)).unwrap().len(), 3);
    assert_eq!(read_all(&mut ChunkReader::new(few), &streams(4)), Err(ChunkError::TooManyChunkStreams(3)));

    let little = limits(|limits| limits.partial_bytes = 256);
    let unfinished = |count: u8| {
        (0..count).flat_map(|n| [full(3 + n, 0, 1000, VIDEO, 1), vec![0; 128]].concat()).collect::<Vec<_>>()
    };
    assert_eq!(read_all(&mut ChunkReader::new(little.clone()), &unfinished(2)), Ok(vec![]));
    let beyond = [unfinished(2), full(7, 0, 1000, VIDEO, 1)].concat();
    let refused = Err(ChunkError::TooMuchUnfinished(256));
    assert_eq!(read_all(&mut ChunkReader::new(little.clone()), &beyond), refused, "as soon as it is announced");
    let one_large = [set_chunk_size(0xFF_FFFF), full(4, 0, 257, VIDEO, 1)].concat();
    assert_eq!(read_all(&mut ChunkReader::new(little), &one_large), refused);
}

#[test]
fn a_peer_without_a_stream_has_little_room() {
    let room = ChunkLimits::default().for_commands();
    let announce = |length: u32| [set_chunk_size(0xFF_FFFF), full(4, 0, length, VIDEO, 1)].concat();
    assert_eq!(read_all(&mut ChunkReader::new(room.clone()), &announce(64 << 10)), Ok(vec![]));
    let refused = read_all(&mut ChunkReader::new(room.clone()), &announce((64 << 10) + 1));
    assert!(matches!(refused, Err(ChunkError::MessageTooLong { limit: 65_536, .. })), "{refused:?}");
    let mut reader = ChunkReader::new(room);
    reader.set_limits(ChunkLimits::default());
    assert_eq!(read_all(&mut reader, &announce(0xFF_FFFF)), Ok(vec![]));
}

#[test]
fn mutated_input_never_panics_and_is_read_the_same_however_it_is_split() {
    let (bytes, _) = busy_stream();
    let mut noise = Noise(0x5EED);
    for round in 0..20_000 {
        let mut mutated = bytes.clone();
        for _ in 0..1 + noise.next() % 4 {
            let at = noise.next() as usize % mutated.len();
            mutated[at] = noise.next() as u8;
        }
        let whole = collect(&mutated, mutated.len());
        let pieces = collect(&mutated, 1 + noise.next() as usize % 40);
        assert_eq!(whole, pieces, "round {round}");
    }
}

/// All messages up to the first error, and that error, when fed in pieces.
fn collect(bytes: &[u8], piece: usize) -> (Vec<Message>, Option<ChunkError>) {
    let mut reader = ChunkReader::new(ChunkLimits::default());
    let mut messages = Vec::new();
    for mut input in bytes.chunks(piece) {
        loop {
            match reader.read(&mut input) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}
