use byteorder::{BigEndian, ByteOrder, LittleEndian};

use super::{ChunkStreamId, DEFAULT_CHUNK_SIZE, EXTENDED};
use crate::rtmp::message::{Message, MessageType};

/// Cuts messages into chunks. Every message begins with a type 0 header: a few bytes more than needed, and
/// nothing that a peer could understand in two ways. Everything that this crate sends goes through here.
#[derive(Debug)]
pub struct ChunkWriter {
    chunk_size: usize,
}

impl Default for ChunkWriter {
    fn default() -> Self {
        Self { chunk_size: DEFAULT_CHUNK_SIZE as usize }
    }
}

impl ChunkWriter {
    /// Appends `message` as chunks of `chunk_stream`. A Set Chunk Size is in force for the messages after it.
    pub fn write(&mut self, chunk_stream: ChunkStreamId, message: &Message, out: &mut Vec<u8>) {
        let timestamp = message.timestamp.0;
        let extended = (timestamp >= EXTENDED).then(|| timestamp.to_be_bytes());
        basic_header(0, chunk_stream, out);
        let mut header = [0; 11];
        BigEndian::write_u24(&mut header[0..], timestamp.min(EXTENDED));
        BigEndian::write_u24(&mut header[3..], message.payload.len() as u32);
        header[6] = message.message_type.0;
        LittleEndian::write_u32(&mut header[7..], message.stream_id);
        out.extend_from_slice(&header);
        out.extend(extended.into_iter().flatten());
        for (index, chunk) in message.payload.chunks(self.chunk_size).enumerate() {
            if index > 0 {
                basic_header(3, chunk_stream, out);
                out.extend(extended.into_iter().flatten());
            }
            out.extend_from_slice(chunk);
        }
        if let (MessageType::SET_CHUNK_SIZE, &[a, b, c, d]) = (message.message_type, &message.payload[..]) {
            self.chunk_size = u32::from_be_bytes([a, b, c, d]).max(1) as usize;
        }
    }
}

/// Section 5.3.1.1.
fn basic_header(format: u8, chunk_stream: ChunkStreamId, out: &mut Vec<u8>) {
    let format = format << 6;
    match chunk_stream.0 {
        number @ ..64 => out.push(format | number as u8),
        number @ 64..320 => out.extend_from_slice(&[format, (number - 64) as u8]),
        number => {
            let [low, high, ..] = (number - 64).to_le_bytes();
            out.extend_from_slice(&[format | 1, low, high]);
        }
    }
}
