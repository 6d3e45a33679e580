//! The chunk stream: messages cut into chunks so that large ones do not hold up small ones
//! (RTMP 1.0, section 5.3).

mod header;
mod reader;
mod writer;

pub use reader::{ChunkError, ChunkLimits, ChunkReader};
pub use writer::ChunkWriter;

/// Chunk size of both directions until a Set Chunk Size says otherwise (section 5.4.1).
pub const DEFAULT_CHUNK_SIZE: u32 = 128;

/// Largest chunk size that means anything: no message is longer (section 5.4.1).
pub const MAX_CHUNK_SIZE: u32 = 0x00FF_FFFF;

/// A 24-bit timestamp field of this value says that 32 bits follow (section 5.3.1.3).
const EXTENDED: u32 = 0x00FF_FFFF;

/// Number of a chunk stream, 2 to 65,599 (section 5.3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkStreamId(pub u32);

impl ChunkStreamId {
    /// Protocol control messages.
    pub const CONTROL: Self = Self(2);
    /// Where this server sends commands.
    pub const COMMAND: Self = Self(3);
}
