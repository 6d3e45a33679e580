//! The chunk reader: the same messages and the same end however the bytes arrive, within the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rtmpd::rtmp::chunk::{ChunkError, ChunkLimits, ChunkReader, ChunkStreamId, ChunkWriter};
use rtmpd::rtmp::message::{Message, MessageType};

fuzz_target!(|input: &[u8]| {
    let Some((&piece, input)) = input.split_first() else { return };
    let whole = read(input, input.len().max(1));
    assert_eq!(read(input, usize::from(piece) + 1), whole);
    let mut bytes = Vec::new();
    let mut writer = ChunkWriter::default();
    whole.0.iter().for_each(|message| writer.write(ChunkStreamId(5), message, &mut bytes));
    assert_eq!(read(&bytes, bytes.len().max(1)), (whole.0, None), "what was read can be written");
});

fn read(input: &[u8], piece: usize) -> (Vec<Message>, Option<ChunkError>) {
    let limits = ChunkLimits::default().for_commands();
    let most = limits.partial_bytes;
    let mut reader = ChunkReader::new(limits);
    let mut messages = Vec::new();
    for mut bytes in input.chunks(piece) {
        loop {
            match reader.read(&mut bytes) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
        assert!(bytes.is_empty() && reader.unfinished_bytes() <= most.min(input.len()));
    }
    let control =
        |message: &Message| matches!(message.message_type, MessageType::SET_CHUNK_SIZE | MessageType::ABORT);
    assert!(!messages.iter().any(control), "these are for the reader");
    (messages, None)
}
